use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use portway_hashing::{Digest, ImageRef};
use serde::{Deserialize, Serialize};

/// A Python environment that stands on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// What it is known as; the digest covers the interpreter and all that is installed.
    pub image: ImageRef,
    /// The program to run: absolute, inside the venv if there is one.
    pub python: PathBuf,
    /// The interpreter behind it.
    pub interpreter: Interpreter,
    /// What is installed, as `name==version`, sorted; empty if it is the system's interpreter as it stands.
    pub packages: Vec<String>,
}

/// A Python interpreter as it was when an environment was built over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// Its file, links resolved.
    pub path: PathBuf,
    /// Its version, `3.11.7` for instance.
    pub version: String,
    /// The digest of its file.
    pub digest: Digest,
    /// The length of its file in bytes.
    pub bytes: u64,
    /// When its file was last changed, in nanoseconds since 1970.
    pub modified: u64,
}

impl Interpreter {
    /// Reads the interpreter in the file `path`.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn read(path: &Path, version: &str) -> io::Result<Self> {
        let (bytes, modified) = fingerprint(path)?;
        let digest = Digest::of(&fs::read(path)?);
        Ok(Self { path: path.to_owned(), version: version.to_owned(), digest, bytes, modified })
    }

    /// Whether the file looks as it did. An interpreter that was upgraded is another environment.
    pub(crate) fn still_stands(&self) -> io::Result<bool> {
        match fingerprint(&self.path) {
            Ok(now) => Ok(now == (self.bytes, self.modified)),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Environment {
    /// Whether everything it needs is still there.
    pub(crate) fn still_stands(&self) -> io::Result<bool> {
        match fs::metadata(&self.python) {
            Ok(_) => self.interpreter.still_stands(),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn fingerprint(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((metadata.len(), u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX)))
}

pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
