use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use portway_hashing::resolve::{Registry, RegistryError, RegistryErrorKind};
use portway_hashing::{ImageKey, ImageRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Environment;
use crate::environment::is_absent;

/// A folder as registry, for one machine: from image key to the record of an environment that stands.
///
/// Every record is one small file that is written aside and renamed, so that readers in other processes see all of it or
/// nothing. An environment whose interpreter is gone or was replaced counts as not there; a damaged record is an error and
/// never a reason to build.
///
/// ```
/// use portway_hashing::resolve::Registry;
/// use portway_images::DirRegistry;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let registry = DirRegistry::open(folder.path().join("images"))?;
/// let key = format!("v1-{}", "0".repeat(64)).parse()?;
/// assert_eq!(registry.find(&key).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DirRegistry {
    root: PathBuf,
    sources: Vec<PathBuf>,
}

impl DirRegistry {
    /// The registry in the folder `root`, which is created if need be.
    ///
    /// # Errors
    /// The folder can't be created.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, RegistryError> {
        let root = root.into();
        for folder in [KEYS, ENVIRONMENTS] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(|error| failed("create", &path, error))?;
        }
        Ok(Self { root, sources: Vec::new() })
    }

    /// Lets this registry adopt environments that `other` knows.
    #[must_use]
    pub fn adopting_from(mut self, other: &Self) -> Self {
        self.sources.push(other.root.clone());
        self
    }

    /// Stores `environment` under `key`, in place of what stood there.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn put(&self, key: &ImageKey, environment: &Environment) -> Result<(), RegistryError> {
        // The key last: whoever finds it finds the environment.
        self.write(&environment_path(&self.root, &environment.image), environment)?;
        self.write(&self.key_path(key), &environment.image)
    }

    /// The environment behind `image`: where its interpreter is. `None` if it is not known here, or no longer stands.
    ///
    /// # Errors
    /// The record can't be read, or is damaged.
    pub fn environment(&self, image: &ImageRef) -> Result<Option<Environment>, RegistryError> {
        let path = environment_path(&self.root, image);
        let Some(environment) = read::<Environment>(&path)? else { return Ok(None) };
        let stands =
            environment.still_stands().map_err(|error| failed("look at", &environment.python, error))?;
        Ok(stands.then_some(environment))
    }

    /// What is recorded under `key`, whether it still stands or not; `None` also if that can't be told.
    #[cfg(all(feature = "venv", unix))]
    pub(crate) fn recorded(&self, key: &ImageKey) -> Option<Environment> {
        let image = read::<ImageRef>(&self.key_path(key)).ok()??;
        read(&environment_path(&self.root, &image)).ok()?
    }

    fn key_path(&self, key: &ImageKey) -> PathBuf {
        self.root.join(KEYS).join(format!("{key}.json"))
    }

    fn write(&self, path: &Path, record: &impl Serialize) -> Result<(), RegistryError> {
        let text = serde_json::to_vec_pretty(record).map_err(|error| invalid(path, error))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let aside = self.root.join(format!(".{}-{number}.tmp", std::process::id()));
        write_aside(&aside, &text).and_then(|()| fs::rename(&aside, path)).map_err(|error| {
            // The error that matters is the first one.
            let _ = fs::remove_file(&aside);
            failed("write", path, error)
        })
    }
}

#[async_trait]
impl Registry for DirRegistry {
    async fn find(&self, key: &ImageKey) -> Result<Option<ImageRef>, RegistryError> {
        match read::<ImageRef>(&self.key_path(key))? {
            Some(image) => Ok(self.environment(&image)?.map(|environment| environment.image)),
            None => Ok(None),
        }
    }

    async fn adopt(&self, key: &ImageKey, from: &ImageRef) -> Result<ImageRef, RegistryError> {
        for root in [&self.root].into_iter().chain(&self.sources) {
            if let Some(environment) = read::<Environment>(&environment_path(root, from))? {
                self.put(key, &environment)?;
                return Ok(environment.image);
            }
        }
        let message = format!("no folder that this registry adopts from knows {from}");
        Err(RegistryError::new(RegistryErrorKind::Refused, message))
    }
}

fn environment_path(root: &Path, image: &ImageRef) -> PathBuf {
    root.join(ENVIRONMENTS).join(format!("{}.json", image.digest().hex()))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RegistryError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| invalid(path, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.parent().is_some_and(Path::is_dir) => {
            Ok(None)
        }
        Err(error) => Err(failed("read", path, error)),
    }
}

fn write_aside(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn failed(what: &str, path: &Path, error: io::Error) -> RegistryError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => RegistryErrorKind::Refused,
        _ => RegistryErrorKind::Unavailable,
    };
    let hint = if is_absent(&error) { " (the registry's folder is gone)" } else { "" };
    RegistryError::new(kind, format!("could not {what} {}{hint}", path.display())).with_source(error)
}

fn invalid(path: &Path, error: serde_json::Error) -> RegistryError {
    let message = format!("{} is damaged; remove it to build anew", path.display());
    RegistryError::new(RegistryErrorKind::Invalid, message).with_source(error)
}

const KEYS: &str = "keys";
const ENVIRONMENTS: &str = "environments";
/// Tells the unfinished files of one process apart.
static NEXT: AtomicU64 = AtomicU64::new(0);
