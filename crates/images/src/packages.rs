//! What a conda document asks for, as far as pip can give it: one rule for every builder.

use portway_hashing::CondaDocument;
use portway_hashing::resolve::{BuildError, BuildErrorKind};

/// The pip section and the Python that it is for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Packages {
    /// The lines of the pip section; none holds a line break or goes on in the next one.
    pub(crate) requirements: Vec<String>,
    /// What is asked of the interpreter.
    pub(crate) python: Option<PythonVersion>,
}

/// Who refuses, and what its user can do about a conda package.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refuser {
    /// `a venv`, for instance.
    pub(crate) who: &'static str,
    /// What to do with a conda package.
    pub(crate) remedy: &'static str,
}

impl Packages {
    pub(crate) fn of(conda: &CondaDocument, refuser: Refuser) -> Result<Self, BuildError> {
        let Refuser { who, remedy } = refuser;
        if let Some(entry) = conda.other_entries().first() {
            return Err(refused(format!("{who} can't honour `{entry}` of the conda document; remove it")));
        }
        let mut packages = Self::default();
        for package in conda.packages() {
            let (name, version) = split(package);
            match name {
                "python" if !version.is_empty() => packages.python = Some(PythonVersion::parse(version)?),
                "python" | "pip" => {}
                _ => {
                    return Err(refused(format!(
                        "{who} can't install the conda package `{package}`; {remedy}"
                    )));
                }
            }
        }
        for line in conda.pip() {
            check_line(line)?;
            packages.requirements.push(line.to_owned());
        }
        Ok(packages)
    }
}

/// A conda version of Python such as `=3.11`, `==3.11.7`, `3.11.*` or `>=3.9,<3.12`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PythonVersion {
    /// As it was written.
    pub(crate) text: String,
    /// All must hold.
    pub(crate) clauses: Vec<Clause>,
}

/// One comparison.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clause {
    /// One of `=`, `!=`, `>=`, `<=`, `>`, `<`.
    pub(crate) operator: &'static str,
    pub(crate) version: Vec<u32>,
    /// For `=` and `!=`: whether any version that begins like this counts as the same.
    pub(crate) prefix: bool,
}

impl PythonVersion {
    fn parse(text: &str) -> Result<Self, BuildError> {
        let clauses: Option<Vec<Clause>> = text.split(',').map(Clause::parse).collect();
        let clauses = clauses.ok_or_else(|| {
            refused(format!("can't read the version in `python{text}`; write `python=3.11`, for instance"))
        })?;
        Ok(Self { text: text.to_owned(), clauses })
    }

    /// Whether the version `found`, `3.11.7` for instance, is allowed; one that isn't made of numbers never is.
    #[cfg(feature = "venv")]
    pub(crate) fn allows(&self, found: &str) -> bool {
        numbers(found).is_some_and(|found| self.clauses.iter().all(|clause| clause.allows(&found)))
    }
}

impl Clause {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| !"=<>!".contains(c))?;
        let (operator, version) = text.split_at(end);
        let (version, star) = match version.trim().strip_suffix(".*") {
            Some(version) => (version, true),
            None => (version.trim(), false),
        };
        let (operator, prefix) = match operator {
            "" | "=" => ("=", true),
            "==" => ("=", star),
            "!=" => ("!=", star),
            ">=" => (">=", false),
            "<=" => ("<=", false),
            ">" => (">", false),
            "<" => ("<", false),
            _ => return None,
        };
        Some(Self { operator, version: numbers(version)?, prefix })
    }

    #[cfg(feature = "venv")]
    fn allows(&self, found: &[u32]) -> bool {
        let version = self.version.as_slice();
        let same = if self.prefix { found.starts_with(version) } else { found == version };
        match self.operator {
            "=" => same,
            "!=" => !same,
            ">=" => found >= version,
            "<=" => found <= version,
            ">" => found > version,
            _ => found < version,
        }
    }
}

fn numbers(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// A file named by a requirement is no part of the key, and the folder of the build is not the project's.
fn check_line(line: &str) -> Result<(), BuildError> {
    if line.contains(LINE_BREAKS) || line.trim_end().ends_with('\\') {
        let why = "a requirement is one line and ends there; make it two entries";
        return Err(refused(format!("the pip section has {line:?}, but {why}")));
    }
    if line.contains("${") {
        let why = "pip would fill in a variable of the process that builds, which is not in the image key; write the value";
        return Err(refused(format!("the pip section has {line:?}, but {why}")));
    }
    let line = line.trim();
    let word = line.split([' ', '=', '\t']).next().unwrap_or_default();
    let option_of_file = matches!(word, "-r" | "--requirement" | "-c" | "--constraint" | "-e" | "--editable")
        || ["-r", "-c", "-e"].iter().any(|option| line.starts_with(option) && !line.starts_with("--"));
    let remote = line.contains("://") && !line.contains("file:");
    let archive = [".whl", ".zip", ".tar.gz"].iter().any(|end| word.ends_with(end));
    let links = word == "--find-links" || line.starts_with("-f");
    let is_path = line.starts_with(['.', '/']) || line.contains("file:");
    if option_of_file || is_path || (!remote && (word.contains('/') || archive || links)) {
        let why = "what it names is not in the image key; list the packages themselves";
        return Err(refused(format!("the pip section has `{line}`, but {why}")));
    }
    Ok(())
}

fn split(package: &str) -> (&str, &str) {
    let end = package.find(|c: char| !(c.is_alphanumeric() || "._-".contains(c))).unwrap_or(package.len());
    (&package[..end], package[end..].trim())
}

pub(crate) fn refused(message: impl Into<String>) -> BuildError {
    BuildError::new(BuildErrorKind::Refused, message)
}

/// Where pip ends a line: wherever Python's `splitlines` does.
const LINE_BREAKS: [char; 10] =
    ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];

/// Versions that allow 3.11.7.
#[cfg(test)]
pub(crate) const ALLOWED: [&str; 8] =
    ["=3.11", "==3.11.7", ">=3.9,<3.12", "=3", "3.11.*", "!=3.12.*", "<=3.11.7", "==3.11.*"];
/// Versions that don't.
#[cfg(test)]
pub(crate) const NOT_ALLOWED: [&str; 6] = ["=3.1", "==3.11", ">3.11.7", "!=3.11.*", "<3", "!=3.11.7"];

#[cfg(test)]
mod tests {
    use super::*;

    const VENV: Refuser = Refuser { who: "a venv", remedy: "move it into the `pip` section" };

    fn packages(conda: &str) -> Result<Packages, String> {
        Packages::of(&CondaDocument::parse(conda).unwrap(), VENV).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_python_pip_and_the_pip_section() {
        let packages =
            packages("dependencies: [python=3.11, pip, {pip: [numpy==1.10, '--no-binary :all:', 'a @ https://r.test/a.whl']}]")
                .unwrap();
        assert_eq!(packages.requirements, ["numpy==1.10", "--no-binary :all:", "a @ https://r.test/a.whl"]);
        assert_eq!(packages.python.unwrap().text, "=3.11");
    }

    #[test]
    fn refuses_what_pip_cannot_honour() {
        for (conda, names) in [
            ("dependencies: [numpy]", "`numpy`; move it into the `pip` section"),
            ("dependencies: [conda-forge::python]", "conda-forge::python"),
            ("dependencies: [python=3.11=h_0]", "`python=3.11=h_0`; write"),
            ("variables: {A: b}", "`variables`"),
            ("dependencies: [{npm: [left-pad]}]", "`npm`"),
            ("dependencies: [{pip: ['-r requirements.txt']}]", "requirements.txt"),
            ("dependencies: [{pip: ['-rrequirements.txt']}]", "requirements.txt"),
            ("dependencies: [{pip: ['--constraint=c.txt']}]", "c.txt"),
            ("dependencies: [{pip: [-e .]}]", "-e ."),
            ("dependencies: [{pip: ['--find-links wheels']}]", "wheels"),
            ("dependencies: [{pip: [./package]}]", "./package"),
            ("dependencies: [{pip: [folder/package]}]", "folder/package"),
            ("dependencies: [{pip: [package-1.0-py3-none-any.whl]}]", "package-1.0"),
            ("dependencies: [{pip: ['a @ file:///a.whl']}]", "file:"),
            ("dependencies: [{pip: [\"a\\n-r b\"]}]", "-r b"),
            ("dependencies: [{pip: ['--index-url https://r.test/${HOME}']}]", "write the value"),
        ] {
            let error = packages(conda).unwrap_err();
            assert!(error.contains(names), "{conda}: {error}");
        }
    }

    #[test]
    fn a_requirement_does_not_leave_its_line() {
        for end in LINE_BREAKS {
            let line = format!("a{end}-r /etc/passwd");
            assert!(check_line(&line).unwrap_err().to_string().contains("one line"), "{line:?}");
        }
        assert!(check_line("a \\").is_err() && check_line("a \\ \t").is_err());
        assert!(check_line("a; python_version < '3.12'").is_ok());
    }

    #[cfg(feature = "venv")]
    #[test]
    fn reads_conda_versions_of_python() {
        let allows = |wanted: &str| PythonVersion::parse(wanted).ok().map(|wanted| wanted.allows("3.11.7"));
        for wanted in ALLOWED {
            assert_eq!(allows(wanted), Some(true), "{wanted}");
        }
        for wanted in NOT_ALLOWED {
            assert_eq!(allows(wanted), Some(false), "{wanted}");
        }
        for wanted in ["=3.11=h_0", "~=3.11", ">=3.9|=2", "=", "=x"] {
            assert_eq!(allows(wanted), None, "{wanted}");
        }
    }
}
