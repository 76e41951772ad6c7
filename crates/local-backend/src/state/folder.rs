//! The state folder: its lock, its format, its epoch.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use portway_backend::BackendError;
use serde::{Deserialize, Serialize};

use super::file;

const FORMAT: &str = "format";
const LOCK: &str = "lock";
/// The format of the folder that this version reads and writes.
const FORMAT_VERSION: u32 = 1;

/// A state folder that this process owns until the value is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// How often the folder has been opened, this time included: names and fences of different runs differ by it.
    epoch: u32,
    _lock: Lock,
}

#[derive(Deserialize, Serialize)]
struct Format {
    version: u32,
    epoch: u32,
}

impl Folder {
    /// Takes `path` as a state folder, creating it if it does not exist.
    pub(crate) fn open(path: &Path) -> Result<Self, BackendError> {
        // Not durably: what lies above it may not be ours to open.
        file::private_folder(path).map_err(|error| file::failed("create the state folder", path, error))?;
        let root = path.canonicalize().map_err(|error| file::failed("find the state folder", path, error))?;
        refuse_foreign(&root)?;
        let lock = take_lock(&root)?;
        let epoch = next_epoch(&root)?;
        let folder = Self { root, epoch, _lock: lock };
        for part in [folder.catalog(), folder.artifacts(), folder.workloads(), folder.logs(), folder.runs()] {
            file::durable_folder(&part).map_err(|error| file::failed("create", &part, error))?;
        }
        Ok(folder)
    }

    /// The folder's absolute path without symbolic links.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(crate) fn catalog(&self) -> PathBuf {
        self.root.join("catalog")
    }

    pub(crate) fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    pub(crate) fn workloads(&self) -> PathBuf {
        self.root.join("workloads")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Where replicas have their temporary folders.
    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("run")
    }
}

/// The locked file of a folder; dropping it gives the folder free.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    /// Closing the file is not enough: a program that another thread is just starting has a copy of it for a moment.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "a state folder could not be unlocked");
        }
    }
}

/// Refuses a folder that holds something else, before anything is written to it.
fn refuse_foreign(root: &Path) -> Result<(), BackendError> {
    if root.join(FORMAT).exists() {
        return Ok(());
    }
    let entries = fs::read_dir(root).map_err(|error| file::failed("read the state folder", root, error))?;
    for entry in entries {
        let name = entry.map_err(|error| file::failed("read the state folder", root, error))?.file_name();
        let name = name.to_string_lossy();
        // A first opening that was cut short leaves these.
        if name != LOCK && !file::is_unfinished(&name) {
            return Err(BackendError::invalid(format!(
                "{} is no state folder: it holds {name:?} and no file {FORMAT:?}; use an empty or a new folder",
                root.display()
            )));
        }
    }
    Ok(())
}

fn take_lock(root: &Path) -> Result<Lock, BackendError> {
    let place = root.join(LOCK);
    let failed = |error| file::failed("lock", &place, error);
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&place)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // The owner may not have written its number yet.
            let _ = file.read_to_string(&mut owner);
            let owner = owner.trim();
            let owner = if owner.is_empty() { "another process" } else { &format!("process {owner}") };
            return Err(BackendError::conflict(format!(
                "the state folder {} is in use by {owner}; stop that one or use another folder",
                root.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let mut lock = Lock(file);
    lock.0.set_len(0).map_err(failed)?;
    writeln!(lock.0, "{}", std::process::id()).map_err(failed)?;
    Ok(lock)
}

/// Counts this opening of the folder.
fn next_epoch(root: &Path) -> Result<u32, BackendError> {
    let place = root.join(FORMAT);
    file::delete_unfinished(root).map_err(|error| file::failed("clean up", root, error))?;
    let last = match file::read_sealed("state", &place)? {
        None => 0,
        Some(body) => {
            let format: Format = serde_json::from_slice(&body).map_err(|error| {
                file::damaged(&place, "its content is not what was expected").with_source(error)
            })?;
            if format.version != FORMAT_VERSION {
                return Err(BackendError::invalid(format!(
                    "{} has format {}, this version reads format {FORMAT_VERSION}; use the version that wrote it, or \
                     another folder",
                    root.display(),
                    format.version
                )));
            }
            format.epoch
        }
    };
    let epoch = last.checked_add(1).ok_or_else(|| {
        BackendError::invalid(format!("{} has been opened too often; use another folder", root.display()))
    })?;
    let body = serde_json::to_vec(&Format { version: FORMAT_VERSION, epoch }).expect("two numbers are JSON");
    file::write_whole(&place, &file::seal("state", &body))
        .map_err(|error| file::failed("write", &place, error))?;
    Ok(epoch)
}

#[cfg(test)]
mod tests {
    use portway_backend::ErrorKind;

    use super::*;

    #[test]
    fn a_second_opener_is_told_who_has_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let first = Folder::open(place.path()).unwrap();
        let error = Folder::open(place.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
        drop(first);
        assert_eq!(Folder::open(place.path()).unwrap().epoch(), 2);
    }

    #[test]
    fn a_folder_is_free_at_once_even_if_a_program_that_is_being_started_has_copies_of_all_files() {
        let place = tempfile::tempdir().unwrap();
        let first = Folder::open(place.path()).unwrap();
        let copy = first._lock.0.try_clone().unwrap();
        drop(first);
        assert_eq!(Folder::open(place.path()).unwrap().epoch(), 2);
        drop(copy);
    }

    #[test]
    fn a_foreign_folder_is_refused_and_left_alone() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("thesis.tex"), "years of work").unwrap();
        let error = Folder::open(place.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("use an empty or a new folder"), "{error}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_or_newer_format_is_refused_and_kept() {
        let place = tempfile::tempdir().unwrap();
        drop(Folder::open(place.path()).unwrap());
        let format = place.path().join(FORMAT);
        let newer = file::seal("state", br#"{"version":2,"epoch":1}"#);
        for (bytes, message) in [(&b"\0\0\0"[..], "is damaged"), (&newer, "has format 2")] {
            fs::write(&format, bytes).unwrap();
            let error = Folder::open(place.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(message), "{error}");
            assert_eq!(fs::read(&format).unwrap(), bytes, "nothing is lost");
        }
    }

    #[test]
    fn what_cannot_be_written_is_said_with_the_remedy() {
        let place = tempfile::tempdir().unwrap();
        let taken = place.path().join("file");
        fs::write(&taken, "").unwrap();
        let error = Folder::open(&taken.join("below")).unwrap_err();
        assert!(error.to_string().contains("create the state folder"), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_read_only_place_is_said_to_be_that() {
        // Nobody may make folders there, the administrator included.
        let error = Folder::open(Path::new("/sys/portway-test")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("make the folder writable or use another one"), "{error}");
    }
}
