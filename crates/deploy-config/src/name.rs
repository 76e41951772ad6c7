//! Names, each a type of its own: a value that exists obeys its rule.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a name names; each kind has its own rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameKind {
    /// A service or an endpoint.
    Service,
    /// A version of an endpoint.
    Version,
    /// A model, without its version.
    Model,
    /// A model with its version, `name:version`.
    ModelId,
    /// A container image.
    Image,
    /// A Kubernetes namespace.
    Namespace,
    /// A workspace.
    Workspace,
    /// A compute target.
    Compute,
    /// The file name of an entry script.
    EntryScript,
}

/// The rule that a refused name breaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameRule {
    /// Too short or too long.
    Length {
        /// Fewest characters allowed.
        min: usize,
        /// Most characters allowed.
        max: usize,
        /// Characters found.
        found: usize,
    },
    /// The first character is not one a name may start with.
    Start(char),
    /// The last character is not one a name may end with.
    End(char),
    /// A character that may stand nowhere in the name.
    Character(char),
    /// The name is taken by the platform.
    Reserved,
    /// An entry script that is not called `….py`.
    Suffix,
    /// An entry script whose stem cannot be imported by Python.
    Identifier,
    /// An entry script whose stem is a Python keyword.
    Keyword,
    /// A model reference whose version is missing or not a number counted from 1.
    ModelVersion,
}

/// A text that is no name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InvalidName {
    kind: NameKind,
    rule: NameRule,
}

impl InvalidName {
    /// What the text was to name.
    #[must_use]
    pub fn kind(&self) -> NameKind {
        self.kind
    }

    /// The first rule that the text breaks.
    #[must_use]
    pub fn rule(&self) -> &NameRule {
        &self.rule
    }
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind;
        match &self.rule {
            NameRule::Length { min, max, found } => {
                write!(f, "{kind} has {found} characters, {min} to {max} are allowed")
            }
            NameRule::Start(found) => write!(f, "{kind} starts with {found:?}"),
            NameRule::End(found) => write!(f, "{kind} ends with {found:?}"),
            NameRule::Character(found) => write!(f, "{kind} contains {found:?}"),
            NameRule::Reserved => write!(f, "{kind} is reserved by the platform"),
            NameRule::Suffix => write!(f, "{kind} does not end in \".py\""),
            NameRule::Identifier => write!(f, "{kind} is not a name that Python can import"),
            NameRule::Keyword => write!(f, "{kind} is a Python keyword"),
            NameRule::ModelVersion => write!(f, "{kind} lacks a version counted from 1"),
        }
    }
}

impl std::error::Error for InvalidName {}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "service name",
            Self::Version => "version name",
            Self::Model => "model name",
            Self::ModelId => "model reference",
            Self::Image => "image name",
            Self::Namespace => "namespace",
            Self::Workspace => "workspace name",
            Self::Compute => "compute target name",
            Self::EntryScript => "entry script",
        })
    }
}

impl NameKind {
    /// What the rule allows, as a sentence's end.
    #[must_use]
    pub fn allowed(self) -> &'static str {
        match self {
            Self::Service | Self::Version => {
                "3 to 32 of a-z, 0-9 and \"-\", starting with a letter, ending with a letter or digit"
            }
            Self::Model => {
                "1 to 255 letters, digits, \"-\", \".\" and \"_\", starting with a letter or digit"
            }
            Self::ModelId => "name:version, the version a number counted from 1",
            Self::Image => "3 to 32 of a-z, 0-9, \"-\" and \".\", starting and ending with a letter or digit",
            Self::Namespace => "1 to 63 of a-z, 0-9 and \"-\", starting and ending with a letter or digit",
            Self::Workspace => "3 to 33 letters, digits, \"-\" and \"_\", starting with a letter or digit",
            Self::Compute => {
                "3 to 24 letters, digits and \"-\", starting with a letter, ending with a letter or digit"
            }
            Self::EntryScript => "a file name ending in .py whose stem is a Python identifier and no keyword",
        }
    }

    /// Checks a text against the rule of this kind.
    ///
    /// # Errors
    ///
    /// The first rule that the text breaks.
    pub fn check(self, text: &str) -> Result<(), InvalidName> {
        self.first_broken(text).map_or(Ok(()), |rule| Err(InvalidName { kind: self, rule }))
    }

    fn first_broken(self, text: &str) -> Option<NameRule> {
        match self {
            Self::ModelId => model_id_rule(text),
            Self::EntryScript => entry_script_rule(text),
            Self::Compute if RESERVED_COMPUTES.contains(&text) => Some(NameRule::Reserved),
            _ => self.shape().first_broken(text),
        }
    }

    fn shape(self) -> Shape {
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let lower_dash = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let alnum = |c: char| c.is_ascii_alphanumeric();
        let (min, max, start, body, end): (_, _, CharRule, CharRule, CharRule) = match self {
            Self::Service | Self::Version => (3, 32, |c| c.is_ascii_lowercase(), lower_dash, lower),
            Self::Image => {
                (3, 32, lower, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c), lower)
            }
            Self::Namespace => (1, 63, lower, lower_dash, lower),
            Self::Workspace => {
                let body: CharRule = |c| c.is_ascii_alphanumeric() || "-_".contains(c);
                (3, 33, alnum, body, body)
            }
            Self::Compute => {
                (3, 24, |c| c.is_ascii_alphabetic(), |c| c.is_ascii_alphanumeric() || c == '-', alnum)
            }
            Self::Model | Self::ModelId | Self::EntryScript => {
                let body: CharRule = |c| c.is_ascii_alphanumeric() || "-._".contains(c);
                (1, 255, alnum, body, body)
            }
        };
        Shape { min, max, start, body, end }
    }
}

type CharRule = fn(char) -> bool;

struct Shape {
    min: usize,
    max: usize,
    start: CharRule,
    body: CharRule,
    end: CharRule,
}

impl Shape {
    fn first_broken(&self, text: &str) -> Option<NameRule> {
        let found = text.chars().count();
        if found < self.min || found > self.max {
            return Some(NameRule::Length { min: self.min, max: self.max, found });
        }
        let (first, last) = (text.chars().next()?, text.chars().next_back()?);
        if !(self.start)(first) {
            return Some(NameRule::Start(first));
        }
        if let Some(odd) = text.chars().find(|&c| !(self.body)(c)) {
            return Some(NameRule::Character(odd));
        }
        (!(self.end)(last)).then_some(NameRule::End(last))
    }
}

fn model_id_rule(text: &str) -> Option<NameRule> {
    let Some((name, version)) = text.rsplit_once(':') else {
        return Some(NameRule::ModelVersion);
    };
    NameKind::Model
        .first_broken(name)
        .or_else(|| model_version(version).is_none().then_some(NameRule::ModelVersion))
}

/// Digits only, no leading zero: `+1` and `01` are not what the registry counts.
fn model_version(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

fn entry_script_rule(text: &str) -> Option<NameRule> {
    // It runs where only this separates folders; a file written elsewhere is named the same way.
    let file = text.rsplit('/').next().unwrap_or(text);
    let Some(stem) = file.strip_suffix(".py") else {
        return Some(NameRule::Suffix);
    };
    let mut characters = stem.chars();
    let starts = characters.next().is_some_and(|c| c == '_' || unicode_ident::is_xid_start(c));
    if !starts || !characters.all(unicode_ident::is_xid_continue) {
        return Some(NameRule::Identifier);
    }
    PYTHON_KEYWORDS.contains(&stem).then_some(NameRule::Keyword)
}

/// Names that the platform keeps for its own compute targets; letter case counts, as it does there.
pub(crate) const RESERVED_COMPUTES: [&str; 3] = ["amlcompute", "local", "containerinstance"];

#[rustfmt::skip]
pub(crate) const PYTHON_KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

macro_rules! names {
    ($($(#[$doc:meta])* $Name:ident, $kind:ident, $example:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("use portway_deploy_config::", stringify!($Name), ";")]
        ///
        #[doc = concat!("let name: ", stringify!($Name), " = \"", $example, "\".parse()?;")]
        #[doc = concat!("assert_eq!(name.as_str(), \"", $example, "\");")]
        /// # Ok::<(), portway_deploy_config::InvalidName>(())
        /// ```
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $Name(Arc<str>);

        impl $Name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $Name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                NameKind::$kind.check(text).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $Name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$Name> for String {
            fn from(name: $Name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $Name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $Name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )*};
}

names! {
    /// The name of a service or an endpoint: `[a-z]([-a-z0-9]*[a-z0-9])?`, 3 to 32 characters.
    ServiceName, Service, "mynewendpoint";
    /// The name of an endpoint's version: the rule of [`ServiceName`].
    VersionName, Version, "versiona";
    /// The name of a model, without its version: 1 to 255 characters.
    ModelName, Model, "Credit_default.v2";
    /// The name of a container image, without registry and tag: 3 to 32 characters.
    ImageName, Image, "scoring.image";
    /// A Kubernetes namespace: a DNS label of 1 to 63 characters.
    Namespace, Namespace, "team-a";
    /// The name of a workspace: 3 to 33 characters.
    WorkspaceName, Workspace, "My_workspace";
    /// The name of a compute target: 3 to 24 characters; its uniqueness is the workspace's affair.
    ComputeName, Compute, "MyAks-1";
    /// The file of an entry script, its folders included: the file ends in `.py` and Python can import it.
    EntryScript, EntryScript, "src/score.py";
}

/// A model with its version, `name:version`; versions are counted from 1 for each name.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::ModelId;
///
/// let id: ModelId = "sklearn_mnist:3".parse()?;
/// assert_eq!((id.name().as_str(), id.version()), ("sklearn_mnist", 3));
/// assert!("sklearn_mnist:0".parse::<ModelId>().is_err());
/// # Ok::<(), portway_deploy_config::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelId {
    name: ModelName,
    version: u32,
}

impl ModelId {
    /// A reference to one version of a model; `None` for version 0, which no registry hands out.
    #[must_use]
    pub fn new(name: ModelName, version: u32) -> Option<Self> {
        (version > 0).then_some(Self { name, version })
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &ModelName {
        &self.name
    }

    /// The version, counted from 1.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }
}

impl FromStr for ModelId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let lacking = || InvalidName { kind: NameKind::ModelId, rule: NameRule::ModelVersion };
        let (name, version) = text.rsplit_once(':').ok_or_else(lacking)?;
        let name =
            name.parse().map_err(|InvalidName { rule, .. }| InvalidName { kind: NameKind::ModelId, rule })?;
        Ok(Self { name, version: model_version(version).ok_or_else(lacking)? })
    }
}

impl TryFrom<String> for ModelId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<ModelId> for String {
    fn from(id: ModelId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.version)
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl AsRef<ModelName> for ModelId {
    fn as_ref(&self) -> &ModelName {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(kind: NameKind, good: &[&str], bad: &[&str]) {
        for name in good {
            assert_eq!(kind.check(name), Ok(()), "{kind} {name:?}");
        }
        for name in bad {
            assert!(kind.check(name).is_err(), "{kind} {name:?}");
        }
    }

    #[test]
    fn r_cfg_1_compute_names() {
        let longest = "a".repeat(24);
        holds(
            NameKind::Compute,
            &["aks", "MyAks-1", "A1b", "Local", "AMLCOMPUTE", &longest],
            &[
                "",
                "ab",
                "1ab",
                "-ab",
                "ab-",
                "a_b",
                "a.b",
                &"a".repeat(25),
                "local",
                "amlcompute",
                "äbc",
                "aks\n",
            ],
        );
        assert_eq!(NameKind::Compute.check("local").unwrap_err().rule(), &NameRule::Reserved);
    }

    #[test]
    fn r_cfg_2_service_endpoint_and_version_names() {
        for kind in [NameKind::Service, NameKind::Version] {
            holds(
                kind,
                &["abc", "a-1", "my-service-2", &"a".repeat(32)],
                &["ab", "Abc", "1abc", "abc-", "a_b", "a.bc", "abc ", "abc\n", &"a".repeat(33), "äbc"],
            );
        }
    }

    #[test]
    fn r_cfg_2_model_names_and_references() {
        holds(
            NameKind::Model,
            &["m", "M.2_x-y", &"a".repeat(255)],
            &["", "-m", "m:1", &"a".repeat(256), "m n"],
        );
        holds(
            NameKind::ModelId,
            &["m:1", "a.b:4294967295"],
            &["m", "m:", "m:0", "m:01", "m:+1", ":1", "m:1.0", "m:x"],
        );
        assert_eq!("m:7".parse::<ModelId>().unwrap().to_string(), "m:7");
    }

    #[test]
    fn r_cfg_2_namespaces_are_dns_labels() {
        holds(
            NameKind::Namespace,
            &["a", "0", "a-b", &"a".repeat(63)],
            &["", "-", "A", "a-", "a.b", "a\n", &"a".repeat(64)],
        );
    }

    #[test]
    fn r_cfg_9_entry_scripts_can_be_imported() {
        holds(
            NameKind::EntryScript,
            &["score.py", "src/score.py", "_x1.py", "match.py", "größe.py"],
            &[
                "score.PY",
                "score",
                "1score.py",
                "my-score.py",
                ".py",
                "class.py",
                "None.py",
                "src\\score.py",
                "a.b.py",
                "score.py\n",
            ],
        );
    }

    #[test]
    fn image_and_workspace_names() {
        holds(NameKind::Image, &["abc", "0.a-b"], &["ab", "Abc", "ab-", ".ab", "a_b"]);
        holds(NameKind::Workspace, &["abc", "A_-", &"a".repeat(33)], &["ab", "_bc", "a b", &"a".repeat(34)]);
    }

    #[test]
    fn serde_refuses_what_parsing_refuses() {
        assert_eq!(serde_json::from_str::<ServiceName>("\"abc\"").unwrap().as_str(), "abc");
        assert!(serde_json::from_str::<ServiceName>("\"a\"").is_err());
        assert_eq!(serde_json::to_string(&"abc".parse::<VersionName>().unwrap()).unwrap(), "\"abc\"");
    }
}
