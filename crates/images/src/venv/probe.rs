//! Asks an interpreter what it is and what it has.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portway_hashing::Digest;
use portway_hashing::resolve::{BuildError, BuildErrorKind, BuildLog};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::run::Command;

#[derive(Debug, Deserialize)]
pub(super) struct Python {
    pub(super) executable: PathBuf,
    /// The same file with its links resolved.
    pub(super) real: PathBuf,
    pub(super) version: String,
    venv: bool,
    ensurepip: bool,
    /// Major and minor version of the interpreter's own pip.
    pip: Option<(u32, u32)>,
}

/// Which pip installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Installer {
    /// The interpreter's own, which can install into another environment since 22.3; saves unpacking one into the venv.
    Own,
    /// The one that the venv gets from the interpreter.
    Bundled,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    /// `name==version`.
    pub(super) requirement: String,
    /// The digest of the list of its files and their digests.
    pub(super) record: Digest,
}

impl Python {
    pub(super) fn installer(&self) -> Result<Installer, BuildError> {
        let missing = |what: &str| {
            let remedy = "install it (on Debian and Ubuntu: the packages python3-venv and python3-pip)";
            let message = format!("{} has no {what}; {remedy}", self.executable.display());
            Err(BuildError::new(BuildErrorKind::Unavailable, message))
        };
        match (self.venv, self.pip, self.ensurepip) {
            (false, _, _) => missing("venv module"),
            (true, Some(pip), _) if pip >= (22, 3) => Ok(Installer::Own),
            (true, _, true) => Ok(Installer::Bundled),
            (true, _, false) => missing("pip"),
        }
    }
}

pub(super) async fn python(program: &OsStr) -> Result<Python, BuildError> {
    ask(program, PYTHON).await
}

/// What is installed in a venv, sorted.
pub(super) async fn installed(venv_python: &Path) -> Result<Vec<Package>, BuildError> {
    ask(venv_python.as_os_str(), INSTALLED).await
}

async fn ask<T: DeserializeOwned>(program: &OsStr, script: &str) -> Result<T, BuildError> {
    // What it has to complain about is in the error.
    let log: Arc<dyn BuildLog> = Arc::new(());
    let command = Command::new(program, NO_PYTHON).args(["-I", "-c", script]);
    let output = command.output("ask the interpreter", &log).await?;
    serde_json::from_str(&output).map_err(|error| {
        let message = format!("{} is not a Python interpreter that we understand", program.to_string_lossy());
        BuildError::new(BuildErrorKind::Unavailable, message).with_source(error)
    })
}

pub(super) const NO_PYTHON: &str = "install Python 3 or name another interpreter";
const PYTHON: &str = r#"
import importlib.util, json, os, platform, sys
has = lambda name: importlib.util.find_spec(name) is not None
pip = None
if has("pip"):
    import pip as p
    pip = [int(part) for part in p.__version__.split(".")[:2]]
print(json.dumps({"executable": os.path.abspath(sys.executable), "real": os.path.realpath(sys.executable),
    "version": platform.python_version().split("+")[0], "venv": has("venv"), "ensurepip": has("ensurepip"), "pip": pip}))
"#;

const INSTALLED: &str = r#"
import hashlib, json, sysconfig
from importlib.metadata import distributions
folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
found = set()
for package in distributions(path=sorted(folders)):
    record = package.read_text("RECORD") or ""
    found.add((package.metadata["Name"] + "==" + package.version, "sha256:" + hashlib.sha256(record.encode()).hexdigest()))
print(json.dumps([{"requirement": name, "record": digest} for name, digest in sorted(found)]))
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn python(venv: bool, pip: Option<(u32, u32)>, ensurepip: bool) -> Python {
        let version = "3.11.7".to_owned();
        Python {
            executable: "/bin/python3".into(),
            real: "/bin/python3.11".into(),
            version,
            venv,
            ensurepip,
            pip,
        }
    }

    #[test]
    fn chooses_the_pip_that_is_there_and_names_what_is_missing() {
        let installer =
            |venv, pip, ensurepip| python(venv, pip, ensurepip).installer().map_err(|e| e.to_string());
        assert_eq!(installer(true, Some((22, 3)), false), Ok(Installer::Own));
        assert_eq!(installer(true, Some((23, 0)), true), Ok(Installer::Own));
        assert_eq!(installer(true, Some((22, 2)), true), Ok(Installer::Bundled));
        assert_eq!(installer(true, None, true), Ok(Installer::Bundled));
        for (venv, pip, ensurepip, what) in [
            (false, Some((23, 0)), true, "no venv module"),
            (true, Some((22, 2)), false, "no pip"),
            (true, None, false, "no pip"),
        ] {
            let error = installer(venv, pip, ensurepip).unwrap_err();
            assert!(error.contains(what) && error.contains("python3-venv"), "{error}");
        }
    }
}
