use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::flight::Flights;
use super::history::History;
use super::log::Fanout;
use super::{
    BuildError, BuildErrorKind, BuildLog, GlobalUse, ImageBuilder, Lock, LockError, LockErrorKind, Registry,
    RegistryError, RegistryErrorKind, Settings,
};
use crate::{Explanation, ImageInputs, ImageKey, ImageRef};

/// Finds the image of an environment, or builds it exactly once.
///
/// Clones share everything. Look-ups and builds run in tasks of the runtime from which the first caller asked; a caller
/// that goes away ends nothing, the last one of a key ends its build.
///
/// ```
/// use std::sync::Arc;
/// use async_trait::async_trait;
/// use portway_hashing::resolve::{BuildError, BuildLog, ImageBuilder, MemoryLock, MemoryRegistry, Origin, Resolver};
/// use portway_hashing::{Digest, ImageInputs, ImageKey, ImageRef, Platform, Recipe};
///
/// struct Builder(MemoryRegistry);
///
/// #[async_trait]
/// impl ImageBuilder for Builder {
///     async fn build(&self, key: &ImageKey, _: &ImageInputs, _: Arc<dyn BuildLog>) -> Result<ImageRef, BuildError> {
///         let image = ImageRef::new("envs", Digest::of(b"manifest")).expect("a good name");
///         self.0.put(*key, image.clone());
///         Ok(image)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = MemoryRegistry::default();
/// let resolver = Resolver::new(registry.clone(), Builder(registry), MemoryLock::default());
/// let inputs = ImageInputs::new(Platform::host(), "debian:12".parse()?, Recipe::new("demo-1")?);
/// assert!(matches!(resolver.resolve(&inputs, Arc::new(())).await?.origin, Origin::Built { .. }));
/// assert_eq!(resolver.resolve(&inputs, Arc::new(())).await?.origin, Origin::Workspace);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
    flights: Arc<Flights<ImageKey, Result<Resolved, ResolveError>, Arc<Fanout>>>,
}

struct Inner {
    workspace: Arc<dyn Registry>,
    global: Option<(Arc<dyn Registry>, GlobalUse)>,
    builder: Arc<dyn ImageBuilder>,
    lock: Arc<dyn Lock>,
    settings: Settings,
    history: History,
}

/// An image that stands, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The key it was asked for by.
    pub key: ImageKey,
    /// The image, by digest.
    pub image: ImageRef,
    /// Where it was found.
    pub origin: Origin,
}

/// Where an image was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// In the workspace's registry.
    Workspace,
    /// In the global registry, and used from there.
    Global,
    /// In the global registry, and stored in the workspace's.
    Adopted,
    /// Nowhere, hence it was built.
    Built {
        /// The nearest other inputs that this resolver has seen, and how they differ; `None` if it has seen none.
        nearest: Option<(ImageKey, Explanation)>,
    },
}

/// Why there is no image. Every caller of a flight hears the same error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A registry gave no answer; nothing was built.
    #[error("the {registry} registry gave no answer, so nothing is built")]
    Registry {
        /// `workspace` or `global`.
        registry: &'static str,
        /// What the registry said.
        #[source]
        source: Arc<RegistryError>,
    },
    /// The lock was not gained; nothing was built.
    #[error("the right to build was not gained")]
    Lock(#[source] Arc<LockError>),
    /// The build gave no image.
    #[error("no image was built")]
    Build(#[source] Arc<BuildError>),
    /// The last build failed a short while ago; [`Resolver::forget`] lifts the pause.
    #[error("the last {failures} builds of this image failed; the next attempt is possible in {} s", .retry_after.as_secs())]
    BackingOff {
        /// When the next attempt is possible.
        retry_after: Duration,
        /// How many builds failed in a row.
        failures: u32,
        /// How the last one failed.
        #[source]
        source: Arc<BuildError>,
    },
    /// The registry does not hold what was built or adopted.
    #[error("the workspace registry should hold {expected}, but {}", .found.as_ref().map_or_else(|| "has nothing under this key".to_owned(), |found| format!("holds {found}")))]
    Unverified {
        /// What was stored.
        expected: ImageRef,
        /// What the registry says.
        found: Option<ImageRef>,
    },
    /// The task that did the work ended half-way; the next caller starts anew.
    #[error("the task that resolved this image ended half-way; ask again")]
    Died,
}

impl ResolveError {
    /// Whether asking again, perhaps later, may give an image although nothing else has changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Registry { source, .. } => source.is_retryable(),
            Self::Lock(error) => error.is_retryable(),
            Self::Build(error) => error.is_retryable(),
            Self::BackingOff { .. } | Self::Died => true,
            Self::Unverified { .. } => false,
        }
    }
}

impl Resolver {
    /// A resolver over one registry, into which `builder` stores what it builds.
    pub fn new(
        workspace: impl Registry + 'static,
        builder: impl ImageBuilder + 'static,
        lock: impl Lock + 'static,
    ) -> Self {
        let settings = Settings::default();
        let inner = Inner {
            workspace: Arc::new(workspace),
            global: None,
            builder: Arc::new(builder),
            lock: Arc::new(lock),
            history: History::new(settings.clone()),
            settings,
        };
        Self::over(inner)
    }

    /// Asks `registry` for what the workspace lacks, before anything is built.
    #[must_use]
    pub fn with_global(self, registry: impl Registry + 'static, global_use: GlobalUse) -> Self {
        let inner = self.inner.copy();
        Self::over(Inner { global: Some((Arc::new(registry), global_use)), ..inner })
    }

    /// Replaces the settings.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        let inner = self.inner.copy();
        Self::over(Inner { history: History::new(settings.clone()), settings, ..inner })
    }

    fn over(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), flights: Arc::new(Flights::new()) }
    }

    /// Finds the image of `inputs`, or builds it. `log` gets what happens on the way, from whoever builds.
    ///
    /// # Errors
    /// See [`ResolveError`]; only “not there” from every registry leads to a build.
    pub async fn resolve(
        &self,
        inputs: &ImageInputs,
        log: Arc<dyn BuildLog>,
    ) -> Result<Resolved, ResolveError> {
        let key = inputs.key();
        let (waiter, fanout) = self.flights.join(&key, Arc::default(), |log| {
            let (inner, inputs) = (Arc::clone(&self.inner), inputs.clone());
            async move { inner.find_or_build(key, inputs, log).await }
        });
        fanout.add(log);
        waiter.await.unwrap_or(Err(ResolveError::Died))
    }

    /// Looks `key` up without ever building. “Not there” is believed for the settings' `missing_for`.
    ///
    /// # Errors
    /// [`ResolveError::Registry`] or, after an adoption, [`ResolveError::Unverified`].
    pub async fn find(&self, key: &ImageKey) -> Result<Option<Resolved>, ResolveError> {
        if self.inner.history.is_missing(key, Instant::now()) {
            return Ok(None);
        }
        self.inner.look_up(key).await
    }

    /// Forgets that builds of `key` failed and that it was missing, so that the next caller may build at once.
    pub fn forget(&self, key: &ImageKey) {
        self.inner.history.found(key);
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl Inner {
    fn copy(&self) -> Self {
        Self {
            workspace: Arc::clone(&self.workspace),
            global: self.global.clone(),
            builder: Arc::clone(&self.builder),
            lock: Arc::clone(&self.lock),
            settings: self.settings.clone(),
            history: History::new(self.settings.clone()),
        }
    }

    async fn find_or_build(
        &self,
        key: ImageKey,
        inputs: ImageInputs,
        log: Arc<Fanout>,
    ) -> Result<Resolved, ResolveError> {
        if !self.history.is_missing(&key, Instant::now())
            && let Some(found) = self.look_up(&key).await?
        {
            self.history.saw(&key, &inputs);
            return Ok(found);
        }
        self.check_backoff(&key)?;
        let _held = self.acquire(&key).await?;
        // Whoever held the lock before may have built it: what was known before the wait counts for nothing now.
        let resolved = match self.look_up(&key).await? {
            Some(found) => found,
            None => self.build(&key, &inputs, log).await?,
        };
        self.history.saw(&key, &inputs);
        Ok(resolved)
    }

    async fn look_up(&self, key: &ImageKey) -> Result<Option<Resolved>, ResolveError> {
        let resolved = |image, origin| Some(Resolved { key: *key, image, origin });
        if let Some(image) = self.ask("workspace", &self.workspace, key).await? {
            self.history.found(key);
            return Ok(resolved(image, Origin::Workspace));
        }
        if let Some((global, global_use)) = &self.global
            && let Some(image) = self.ask("global", global, key).await?
        {
            self.history.found(key);
            return Ok(match global_use {
                GlobalUse::InPlace => resolved(image, Origin::Global),
                GlobalUse::Adopt => resolved(self.adopt(key, &image).await?, Origin::Adopted),
            });
        }
        self.history.missed(key, Instant::now());
        Ok(None)
    }

    async fn ask(
        &self,
        name: &'static str,
        registry: &Arc<dyn Registry>,
        key: &ImageKey,
    ) -> Result<Option<ImageRef>, ResolveError> {
        answer(name, self.settings.find_wait, registry.find(key)).await
    }

    async fn adopt(&self, key: &ImageKey, from: &ImageRef) -> Result<ImageRef, ResolveError> {
        let adopted = answer("workspace", self.settings.adopt_wait, self.workspace.adopt(key, from)).await?;
        if adopted.digest() == from.digest() {
            Ok(adopted)
        } else {
            Err(ResolveError::Unverified { expected: from.clone(), found: Some(adopted) })
        }
    }

    fn check_backoff(&self, key: &ImageKey) -> Result<(), ResolveError> {
        let now = Instant::now();
        self.history.backing_off(key, now).map_or(Ok(()), |failure| {
            Err(ResolveError::BackingOff {
                retry_after: failure.retry_at - now,
                failures: failure.failures,
                source: failure.error,
            })
        })
    }

    async fn acquire(&self, key: &ImageKey) -> Result<super::Held, ResolveError> {
        let wait = self.settings.lock_wait;
        let late = |_| {
            let message = format!("waited {} s for {key}", wait.as_secs());
            Err(LockError::new(LockErrorKind::TimedOut, message))
        };
        let held = timeout(wait, self.lock.acquire(key)).await.unwrap_or_else(late);
        held.map_err(|error| ResolveError::Lock(Arc::new(error)))
    }

    /// Builds under the lock, then asks the registry whether it holds what was built.
    async fn build(
        &self,
        key: &ImageKey,
        inputs: &ImageInputs,
        log: Arc<Fanout>,
    ) -> Result<Resolved, ResolveError> {
        let nearest = self.history.nearest(key, inputs);
        say_why(&*log, key, nearest.as_ref());
        let wait = self.settings.build_wait;
        let late = |_| {
            let message = format!("ended after {} s", wait.as_secs());
            Err(BuildError::new(BuildErrorKind::TimedOut, message))
        };
        let built = timeout(wait, self.builder.build(key, inputs, log)).await.unwrap_or_else(late);
        let expected = match built {
            Ok(image) => image,
            Err(error) => return Err(self.build_failed(key, error)),
        };
        match self.ask("workspace", &self.workspace, key).await? {
            Some(image) if image.digest() == expected.digest() => {
                self.history.found(key);
                Ok(Resolved { key: *key, image, origin: Origin::Built { nearest } })
            }
            found => {
                let error = ResolveError::Unverified { expected, found };
                self.build_failed(key, BuildError::new(BuildErrorKind::Failed, error.to_string()));
                Err(error)
            }
        }
    }

    fn build_failed(&self, key: &ImageKey, error: BuildError) -> ResolveError {
        let error = Arc::new(error);
        if matches!(error.kind(), BuildErrorKind::Failed | BuildErrorKind::TimedOut) {
            self.history.failed(key, Instant::now(), Arc::clone(&error));
        }
        ResolveError::Build(error)
    }
}

fn say_why(log: &dyn BuildLog, key: &ImageKey, nearest: Option<&(ImageKey, Explanation)>) {
    log.line(&format!("no registry has {key}, building it"));
    if let Some((other, explanation)) = nearest {
        log.line(&format!("the nearest image known is {other}; it differs in"));
        explanation.differences().iter().for_each(|difference| log.line(&format!("  {difference}")));
    }
}

async fn answer<T>(
    registry: &'static str,
    wait: Duration,
    question: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, ResolveError> {
    let late = |_| {
        let message = format!("no answer within {} s", wait.as_secs());
        Err(RegistryError::new(RegistryErrorKind::TimedOut, message))
    };
    let answer = timeout(wait, question).await.unwrap_or_else(late);
    answer.map_err(|source| ResolveError::Registry { registry, source: Arc::new(source) })
}
