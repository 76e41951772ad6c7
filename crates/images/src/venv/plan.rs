//! What there is to do, decided before anything is done.

use portway_hashing::ImageInputs;
use portway_hashing::resolve::{BuildError, BuildErrorKind};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The lines of the pip section.
    pub(super) requirements: Vec<String>,
    /// What the conda document asks of the interpreter, `=3.11` for instance.
    python: Option<String>,
}

impl Plan {
    pub(super) fn of(inputs: &ImageInputs) -> Result<Self, BuildError> {
        if !inputs.steps().is_empty() {
            return Err(refused("a venv can't carry out docker steps; use a builder of container images"));
        }
        let mut plan = Self { requirements: Vec::new(), python: None };
        let Some(conda) = inputs.conda_document() else { return Ok(plan) };
        if let Some(entry) = conda.other_entries().first() {
            return Err(refused(format!("a venv can't honour `{entry}` of the conda document; remove it")));
        }
        for package in conda.packages() {
            let (name, version) = split(package);
            match name {
                "python" if !version.is_empty() => plan.python = Some(version.to_owned()),
                "python" | "pip" => {}
                _ => {
                    let remedy = "move it into the `pip` section, or use a builder of container images";
                    return Err(refused(format!(
                        "a venv can't install the conda package `{package}`; {remedy}"
                    )));
                }
            }
        }
        for line in conda.pip() {
            check_line(line)?;
            plan.requirements.push(line.to_owned());
        }
        Ok(plan)
    }

    /// Refuses an interpreter that the conda document doesn't allow.
    pub(super) fn check_version(&self, found: &str) -> Result<(), BuildError> {
        let Some(wanted) = &self.python else { return Ok(()) };
        match allows(wanted, found) {
            Some(true) => Ok(()),
            Some(false) => Err(refused(format!(
                "the conda document wants python{wanted}, found {found}; choose another interpreter"
            ))),
            None => Err(refused(format!(
                "can't read the version in `python{wanted}`; write `python=3.11`, for instance"
            ))),
        }
    }
}

/// A file named by a requirement is no part of the key, and the folder of the build is not the project's.
fn check_line(line: &str) -> Result<(), BuildError> {
    let line = line.trim();
    let word = line.split([' ', '=', '\t']).next().unwrap_or_default();
    let names_file = matches!(word, "-r" | "--requirement" | "-c" | "--constraint" | "-e" | "--editable")
        || ["-r", "-c", "-e"].iter().any(|option| line.starts_with(option) && !line.starts_with("--"));
    let is_path = line.starts_with(['.', '/']) || line.contains("file:");
    if names_file || is_path || line.contains(['\n', '\r']) {
        let why = "what it names is not in the image key; list the packages themselves";
        return Err(refused(format!("the pip section has `{line}`, but {why}")));
    }
    Ok(())
}

fn split(package: &str) -> (&str, &str) {
    let end = package.find(|c: char| !(c.is_alphanumeric() || "._-".contains(c))).unwrap_or(package.len());
    (&package[..end], package[end..].trim())
}

/// Whether a conda version such as `=3.11`, `==3.11.7`, `3.11.*` or `>=3.9,<3.12` allows `found`; `None` if it can't be read.
fn allows(wanted: &str, found: &str) -> Option<bool> {
    let found = numbers(found)?;
    let mut allowed = true;
    for clause in wanted.split(',') {
        let clause = clause.trim();
        let end = clause.find(|c: char| !"=<>!".contains(c))?;
        let (operator, version) = clause.split_at(end);
        let (version, star) = match version.trim().strip_suffix(".*") {
            Some(version) => (version, true),
            None => (version.trim(), false),
        };
        let version = numbers(version)?;
        let prefix = found.starts_with(&version);
        allowed &= match operator {
            "=" | "" => prefix,
            "==" => {
                if star {
                    prefix
                } else {
                    found == version
                }
            }
            "!=" => {
                if star {
                    !prefix
                } else {
                    found != version
                }
            }
            ">=" => found >= version,
            "<=" => found <= version,
            ">" => found > version,
            "<" => found < version,
            _ => return None,
        };
    }
    Some(allowed)
}

fn numbers(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

fn refused(message: impl Into<String>) -> BuildError {
    BuildError::new(BuildErrorKind::Refused, message)
}

#[cfg(test)]
mod tests {
    use portway_hashing::{CondaDocument, Platform};

    use super::*;

    fn plan(conda: &str) -> Result<Plan, String> {
        let base = "none".parse().unwrap();
        let inputs = ImageInputs::new(Platform::host(), base, super::super::VenvBuilder::recipe());
        Plan::of(&inputs.conda(CondaDocument::parse(conda).unwrap())).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_python_pip_and_the_pip_section() {
        let plan =
            plan("dependencies: [python=3.11, pip, {pip: [numpy==1.10, '--no-binary :all:']}]").unwrap();
        assert_eq!(plan.requirements, ["numpy==1.10", "--no-binary :all:"]);
        assert_eq!(plan.python.as_deref(), Some("=3.11"));
    }

    #[test]
    fn refuses_what_a_venv_cannot_honour() {
        for (conda, names) in [
            ("dependencies: [numpy]", "`numpy`"),
            ("dependencies: [conda-forge::python]", "conda-forge::python"),
            ("variables: {A: b}", "`variables`"),
            ("dependencies: [{npm: [left-pad]}]", "`npm`"),
            ("dependencies: [{pip: ['-r requirements.txt']}]", "requirements.txt"),
            ("dependencies: [{pip: ['-rrequirements.txt']}]", "requirements.txt"),
            ("dependencies: [{pip: ['--constraint=c.txt']}]", "c.txt"),
            ("dependencies: [{pip: [-e .]}]", "-e ."),
            ("dependencies: [{pip: [./package]}]", "./package"),
            ("dependencies: [{pip: ['a @ file:///a.whl']}]", "file:"),
            ("dependencies: [{pip: [\"a\\n-r b\"]}]", "-r b"),
        ] {
            let error = plan(conda).unwrap_err();
            assert!(error.contains(names), "{conda}: {error}");
        }
    }

    #[test]
    fn reads_conda_versions_of_python() {
        for wanted in ["=3.11", "==3.11.7", ">=3.9,<3.12", "=3", "3.11.*", "!=3.12.*", "<=3.11.7"] {
            assert_eq!(allows(wanted, "3.11.7"), Some(true), "{wanted}");
        }
        for wanted in ["=3.1", "==3.11", ">3.11.7", "!=3.11.*", "<3"] {
            assert_eq!(allows(wanted, "3.11.7"), Some(false), "{wanted}");
        }
        for wanted in ["=3.11=h_0", "~=3.11", ">=3.9|=2", "=", "=x"] {
            assert_eq!(allows(wanted, "3.11.7"), None, "{wanted}");
        }
    }
}
