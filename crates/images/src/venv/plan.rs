//! What there is to do, decided before anything is done.

use portway_hashing::ImageInputs;
use portway_hashing::resolve::BuildError;

use crate::packages::{Packages, Refuser, refused};

/// The packages that the inputs ask for, if a venv can honour all of them.
pub(super) fn plan(inputs: &ImageInputs) -> Result<Packages, BuildError> {
    if !inputs.steps().is_empty() {
        return Err(refused("a venv can't carry out docker steps; use a builder of container images"));
    }
    inputs.conda_document().map_or_else(|| Ok(Packages::default()), |conda| Packages::of(conda, VENV))
}

/// Refuses an interpreter that the conda document doesn't allow.
pub(super) fn check_version(packages: &Packages, found: &str) -> Result<(), BuildError> {
    match &packages.python {
        Some(wanted) if !wanted.allows(found) => Err(refused(format!(
            "the conda document wants python{}, found {found}; choose another interpreter",
            wanted.text
        ))),
        _ => Ok(()),
    }
}

const VENV: Refuser =
    Refuser { who: "a venv", remedy: "move it into the `pip` section, or use a builder of container images" };

#[cfg(test)]
mod tests {
    use portway_hashing::{CondaDocument, Platform};

    use super::*;

    #[test]
    fn docker_steps_and_another_interpreter_are_refused() {
        let inputs =
            ImageInputs::new(Platform::host(), "none".parse().unwrap(), super::super::VenvBuilder::recipe());
        let steps = plan(&inputs.clone().step("RUN true")).unwrap_err().to_string();
        assert!(steps.contains("docker steps"), "{steps}");
        let packages =
            plan(&inputs.conda(CondaDocument::parse("dependencies: [python=3.11]").unwrap())).unwrap();
        assert!(check_version(&packages, "3.11.7").is_ok());
        let error = check_version(&packages, "3.12.1").unwrap_err().to_string();
        assert!(error.contains("wants python=3.11, found 3.12.1"), "{error}");
    }
}
