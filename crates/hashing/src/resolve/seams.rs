use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::BuildLog;
use crate::{ImageInputs, ImageKey, ImageRef};

/// Where images are stored under their keys.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The image stored under `key`. `Ok(None)` only if the registry knows that there is none.
    ///
    /// # Errors
    /// Everything else: down, slow, refused, an answer that makes no sense. None of them starts a build.
    async fn find(&self, key: &ImageKey) -> Result<Option<ImageRef>, RegistryError>;

    /// Stores `from`, which lies in another registry, under `key` here, and returns it as it is known here. Twice is as
    /// good as once.
    ///
    /// # Errors
    /// The image can't be read there or stored here.
    async fn adopt(&self, key: &ImageKey, from: &ImageRef) -> Result<ImageRef, RegistryError>;
}

/// Builds images and stores them in the workspace's registry.
#[async_trait]
pub trait ImageBuilder: Send + Sync {
    /// Builds the image from `inputs` and stores it under `key` in the workspace's registry. Dropping the future ends the build; whatever
    /// it leaves behind doesn't disturb the next one.
    ///
    /// # Errors
    /// The kind says whether the recipe is at fault, or the builder.
    async fn build(
        &self,
        key: &ImageKey,
        inputs: &ImageInputs,
        log: Arc<dyn BuildLog>,
    ) -> Result<ImageRef, BuildError>;
}

/// One builder at a time for a key, over all processes.
#[async_trait]
pub trait Lock: Send + Sync {
    /// Waits until `key` is free, then holds it until the guard is dropped. A holder that dies gives it up.
    ///
    /// # Errors
    /// The lock can't be asked for.
    async fn acquire(&self, key: &ImageKey) -> Result<Held, LockError>;
}

/// A lock that is held; dropping it gives it up.
#[must_use = "the lock is given up when this is dropped"]
pub struct Held {
    _guard: Box<dyn Send>,
}

impl Held {
    /// Holds as long as `guard` lives.
    pub fn new(guard: impl Send + 'static) -> Self {
        Self { _guard: Box::new(guard) }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

macro_rules! forward {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<R: Registry + ?Sized> Registry for $pointer<R> {
            async fn find(&self, key: &ImageKey) -> Result<Option<ImageRef>, RegistryError> {
                (**self).find(key).await
            }

            async fn adopt(&self, key: &ImageKey, from: &ImageRef) -> Result<ImageRef, RegistryError> {
                (**self).adopt(key, from).await
            }
        }

        #[async_trait]
        impl<B: ImageBuilder + ?Sized> ImageBuilder for $pointer<B> {
            async fn build(
                &self,
                key: &ImageKey,
                inputs: &ImageInputs,
                log: Arc<dyn BuildLog>,
            ) -> Result<ImageRef, BuildError> {
                (**self).build(key, inputs, log).await
            }
        }

        #[async_trait]
        impl<L: Lock + ?Sized> Lock for $pointer<L> {
            async fn acquire(&self, key: &ImageKey) -> Result<Held, LockError> {
                (**self).acquire(key).await
            }
        }
    )*};
}

forward!(Arc, Box);

type Source = Box<dyn Error + Send + Sync>;

/// A registry's failure: whose fault it is, and whether asking again may help.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct RegistryError {
    kind: RegistryErrorKind,
    message: String,
    source: Option<Source>,
}

/// Why a registry gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryErrorKind {
    /// It is down or can't be reached.
    #[error("registry unavailable")]
    Unavailable,
    /// It did not answer in time.
    #[error("registry too slow")]
    TimedOut,
    /// It knows us and says no, or doesn't know us.
    #[error("registry refused")]
    Refused,
    /// It answered something that makes no sense.
    #[error("registry answer invalid")]
    Invalid,
}

impl RegistryError {
    /// A failure of this kind; the message says what was tried and how it went.
    pub fn new(kind: RegistryErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> RegistryErrorKind {
        self.kind
    }

    /// Whether the same question may be answered later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, RegistryErrorKind::Unavailable | RegistryErrorKind::TimedOut)
    }
}

/// A build's failure, with the end of its log.
#[derive(Debug, thiserror::Error)]
pub struct BuildError {
    kind: BuildErrorKind,
    message: String,
    log: Vec<String>,
    source: Option<Source>,
}

/// Why a build gave no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildErrorKind {
    /// The recipe was carried out and failed. The next attempt waits for the back-off.
    #[error("build failed")]
    Failed,
    /// It took longer than allowed. The next attempt waits for the back-off.
    #[error("build took too long")]
    TimedOut,
    /// The builder itself went away half-way. The next caller builds.
    #[error("builder died")]
    Died,
    /// This builder can't honour the inputs; nothing was started.
    #[error("build refused")]
    Refused,
    /// What the builder needs is missing or down; nothing was started.
    #[error("builder unavailable")]
    Unavailable,
}

impl BuildError {
    /// A failure of this kind; the message says what was tried and how it went, or the remedy.
    pub fn new(kind: BuildErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), log: Vec::new(), source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the last lines of the log.
    #[must_use]
    pub fn with_log(mut self, lines: Vec<String>) -> Self {
        self.log = lines;
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> BuildErrorKind {
        self.kind
    }

    /// The last lines of the build's log.
    #[must_use]
    pub fn log(&self) -> &[String] {
        &self.log
    }

    /// Whether the same build may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !matches!(self.kind, BuildErrorKind::Refused)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)?;
        self.log.iter().try_for_each(|line| write!(f, "\n  | {line}"))
    }
}

/// A lock's failure.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct LockError {
    kind: LockErrorKind,
    message: String,
    source: Option<Source>,
}

/// Why a lock was not gained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockErrorKind {
    /// Another holder kept it for longer than we wait.
    #[error("lock held by another builder")]
    TimedOut,
    /// It can't be asked for.
    #[error("lock unavailable")]
    Unavailable,
}

impl LockError {
    /// A failure of this kind; the message says what was tried and how it went.
    pub fn new(kind: LockErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> LockErrorKind {
        self.kind
    }

    /// Whether asking again may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        true
    }
}
