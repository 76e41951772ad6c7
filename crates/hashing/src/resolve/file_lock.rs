use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::{Held, Lock, LockError, LockErrorKind};
use crate::ImageKey;

/// A lock among the processes of one machine: an advisory lock on one small file a key.
///
/// The system gives the lock up when its holder dies, however it dies. The files stay, since removing one would split those that wait for it from
/// those that come. The folder has to lie on a local file system.
#[derive(Debug, Clone)]
pub struct FileLock {
    folder: PathBuf,
}

impl FileLock {
    /// Keeps its files in `folder`, which is created if need be.
    ///
    /// # Errors
    /// The folder can't be created.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, LockError> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|error| unavailable("create the folder", &folder, error))?;
        Ok(Self { folder })
    }
}

#[async_trait]
impl Lock for FileLock {
    async fn acquire(&self, key: &ImageKey) -> Result<Held, LockError> {
        let path = self.folder.join(format!("{key}.lock"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| unavailable("open", &path, error))?;
        // Polling keeps the wait cancellable: a thread blocked in the system call could not be called back. One flight a key
        // and process polls, and the pause grows, so it costs next to nothing.
        let mut pause = FIRST_PAUSE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Held::new(file)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(pause).await,
                Err(TryLockError::Error(error)) => return Err(unavailable("lock", &path, error)),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn unavailable(what: &str, path: &Path, error: std::io::Error) -> LockError {
    LockError::new(LockErrorKind::Unavailable, format!("could not {what} {}", path.display()))
        .with_source(error)
}

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
