//! What a version runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use portway_backend::EntryStyle;
use portway_deploy_config::{ProbeSpec, Resources, ServiceSpec};
use portway_hashing::Digest;
use serde::{Deserialize, Serialize};

use crate::entry::{entry_style, read_script};
use crate::{Fault, ImageRequest};

/// The source of a version: what its replicas run, and what one of them is given.
///
/// # Examples
///
/// ```
/// use portway_deployer::Source;
///
/// let mut source = Source::new("examples/iris/softmax", "score.py");
/// source.variables.insert("WORK_MS".into(), "20".into());
/// source.image.conda = Some("dependencies:\n- pip:\n  - numpy==2.1.0\n".into());
///
/// let digest = "0a".repeat(32);
/// let given = Source::given(format!("registry.example/models/iris@sha256:{digest}"));
/// ```
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Source {
    /// What the replicas run.
    #[serde(flatten)]
    pub code: Code,
    /// The arguments of the script, or of the image's own entry point.
    pub arguments: Vec<String>,
    /// How the script serves; `None`: as [`entry_style`] reads it, and inside a given image [`EntryStyle::Listens`].
    pub style: Option<EntryStyle>,
    /// What the image holds that a project runs in.
    pub image: ImageRequest,
    /// Environment variables of the program.
    pub variables: BTreeMap<String, String>,
    /// CPU, memory and GPUs of one replica.
    pub resources: Resources,
    /// How a running replica is found to have failed.
    pub probe: ProbeSpec,
}

/// What the replicas of a version run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Code {
    /// A project, brought into an image that is looked up and built if there is none.
    Project {
        /// The project folder. It is packed without what `.amlignore` or `.gitignore` name.
        folder: PathBuf,
        /// The entry script, relative to the folder.
        script: String,
    },
    /// An image that the caller names and that holds everything. Nothing is packed, looked up or built.
    Image {
        /// `repository@sha256:…`. A tag is taken as well, and an event says that it may change its meaning under the replicas.
        reference: String,
        /// A script inside the image; `None`: what the image starts by itself.
        script: Option<String>,
    },
}

impl Source {
    /// A project folder and its entry script; everything else at its default.
    pub fn new(folder: impl Into<PathBuf>, script: impl Into<String>) -> Self {
        Self::of(Code::Project { folder: folder.into(), script: script.into() })
    }

    /// An image by its reference, with its own entry point; it listens on `$PORT`.
    pub fn given(reference: impl Into<String>) -> Self {
        Self::of(Code::Image { reference: reference.into(), script: None })
    }

    fn of(code: Code) -> Self {
        Self {
            code,
            arguments: Vec::new(),
            style: None,
            image: ImageRequest::default(),
            variables: BTreeMap::new(),
            resources: Resources::default(),
            probe: ProbeSpec::default(),
        }
    }

    /// The same with the resources and the probe of a deployment configuration; its routing part is
    /// [`ServiceSpec::version_spec`].
    #[must_use]
    pub fn sized(self, spec: &ServiceSpec) -> Self {
        Self { resources: spec.resources.clone(), probe: spec.probe, ..self }
    }

    /// The style of the entry script, or all that is wrong with the source. Reads the disk.
    pub(crate) fn check(&self) -> Result<EntryStyle, Vec<Fault>> {
        let mut faults = Vec::new();
        for name in self.variables.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = format!("{name:?} can't be the name of an environment variable");
                faults.push(Fault::new("variables", message));
            }
        }
        let style = match &self.code {
            Code::Project { folder, script } => self.check_project(folder, script, &mut faults),
            Code::Image { reference, .. } => self.check_image(reference, &mut faults),
        };
        if faults.is_empty() { Ok(style) } else { Err(faults) }
    }

    fn check_project(&self, folder: &Path, script: &str, faults: &mut Vec<Fault>) -> EntryStyle {
        if !folder.is_dir() {
            let message =
                format!("{} is no folder that can be read; name the project folder", folder.display());
            faults.push(Fault::new("folder", message));
            return EntryStyle::Listens;
        }
        match read_script(folder, script) {
            Ok(text) => self.style.unwrap_or_else(|| entry_style(&text)),
            Err(bad) => {
                faults.push(Fault::new("script", format!("the entry script {script:?} {bad}")));
                EntryStyle::Listens
            }
        }
    }

    fn check_image(&self, reference: &str, faults: &mut Vec<Fault>) -> EntryStyle {
        if !is_reference(reference) {
            let shown: String = reference.chars().take(200).collect();
            let message = format!("{shown:?} is no image; name it as repository@sha256:…, or repository:tag");
            faults.push(Fault::new("reference", message));
        }
        if self.image != ImageRequest::default() {
            let message =
                "the image is given, so a base image, docker steps and conda packages can't be added to it";
            faults.push(Fault::new("image", message));
        }
        self.style.unwrap_or(EntryStyle::Listens)
    }
}

/// Whether `reference` can name an image: a repository, and behind it a tag, a digest or both.
fn is_reference(reference: &str) -> bool {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
    let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let ends_well = name.bytes().last().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_digest = |digest: &str| digest.parse::<Digest>().is_ok();
    starts_well && ends_well && name.len() <= 255 && name.bytes().all(legal) && digest.is_none_or(is_digest)
}

/// Whether nobody can put other bytes under this reference.
pub(crate) fn is_pinned(reference: &str) -> bool {
    reference.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(source: &Source) -> Vec<String> {
        source.check().err().unwrap_or_default().into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn a_given_image_needs_a_name_and_nothing_to_be_added() {
        let pinned = format!("registry.example:5000/models/iris:1@sha256:{}", "0a".repeat(32));
        for good in [pinned.as_str(), "iris", "iris:1.0", "registry.example/iris:latest"] {
            assert_eq!(Source::given(good).check(), Ok(EntryStyle::Listens), "{good}");
        }
        for bad in ["", "iris@sha256:abc", "two words", "iris:", "-iris", "iris\n"] {
            assert_eq!(fields(&Source::given(bad)), ["reference"], "{bad:?}");
        }
        let mut source = Source::given("");
        source.image.base = Some("python".into());
        assert_eq!(fields(&source), ["reference", "image"]);
    }

    #[test]
    fn records_of_projects_are_read_as_they_were_written() {
        let source = Source::new("folder", "score.py");
        let written = serde_json::to_value(&source).unwrap();
        assert_eq!(
            (written["folder"].as_str(), written["script"].as_str()),
            (Some("folder"), Some("score.py"))
        );
        assert_eq!(serde_json::from_value::<Source>(written).unwrap(), source);
        let given = Source::given("iris:1");
        let written = serde_json::to_value(&given).unwrap();
        assert_eq!(serde_json::from_value::<Source>(written).unwrap(), given);
    }
}
