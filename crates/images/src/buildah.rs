mod base;
mod plan;
mod steps;
mod tool;
mod work;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portway_hashing::resolve::{BuildError, BuildErrorKind, BuildLog, ImageBuilder, Registry};
use portway_hashing::{ImageInputs, ImageKey, ImageRef, Platform, Recipe};

use crate::{ImageAnnotations, OciRegistry};
use base::Base;
use plan::Plan;
use tool::Tool;
use work::Work;

/// Builds an image with `buildah` and pushes it to an [`OciRegistry`] under its key (Linux; no daemon).
///
/// The image is the base, then the custom docker steps, then the pip section of the conda document in a virtual environment of the
/// image's own `python3`, whose `python` comes first in the `PATH`. Without a conda document nothing is added to the base and the steps.
/// The manifest names the key, the base and the base's digest in annotations (rule K8S-1), also if the base was given by tag.
///
/// Every build has a folder of its own with a storage of its own; it goes with the build, and so does all that runs in it. Base
/// images are kept in the folder `bases` for the next build.
///
/// ```no_run
/// use portway_images::{BuildahBuilder, Isolation, OciRegistry, OciSettings};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = OciRegistry::new(OciSettings::new("registry.test/environments".parse()?))?;
/// let builder = BuildahBuilder::new(registry, "/var/lib/portway/builds")
///     .isolation(Isolation::Oci)
///     .pip_argument("--only-binary=:all:");
/// # let _ = builder;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct BuildahBuilder {
    registry: OciRegistry,
    folder: PathBuf,
    program: OsString,
    isolation: Isolation,
    storage_driver: Option<String>,
    auth_file: Option<PathBuf>,
    pip_arguments: Vec<OsString>,
    pip_configuration: Option<PathBuf>,
    time_limit: Duration,
}

/// How the docker steps and pip are kept apart from the machine that builds.
///
/// The default is [`Chroot`](Self::Chroot), since it works everywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// A changed root and private mounts, nothing more: who writes docker steps then runs programs with the builder's rights, sees its
    /// processes and its network. Needs no runtime and no control groups.
    #[default]
    Chroot,
    /// A container of the machine's OCI runtime (`crun` or `runc`).
    Oci,
    /// The same for a builder that is not root.
    Rootless,
}

impl Isolation {
    const fn name(self) -> &'static str {
        match self {
            Self::Chroot => "chroot",
            Self::Oci => "oci",
            Self::Rootless => "rootless",
        }
    }
}

impl BuildahBuilder {
    /// Builds below `folder`, with `buildah` from the search path, and pushes to `registry`.
    ///
    /// The folder is created if need be; it should lie on a disk with room for a few images, and several builders may share it.
    pub fn new(registry: OciRegistry, folder: impl Into<PathBuf>) -> Self {
        Self {
            registry,
            folder: folder.into(),
            program: "buildah".into(),
            isolation: Isolation::default(),
            storage_driver: None,
            auth_file: None,
            pip_arguments: Vec::new(),
            pip_configuration: None,
            time_limit: Duration::from_secs(60 * 60),
        }
    }

    /// Uses another `buildah`, by name or path.
    #[must_use]
    pub fn program(mut self, program: impl Into<OsString>) -> Self {
        self.program = program.into();
        self
    }

    /// Sets the isolation; [`Isolation::Chroot`] by default.
    #[must_use]
    pub const fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Sets how layers are stored, `overlay` or `vfs` for instance; by default `buildah` takes the first that works. All builders that
    /// share a folder need the same.
    #[must_use]
    pub fn storage_driver(mut self, driver: impl Into<String>) -> Self {
        self.storage_driver = Some(driver.into());
        self
    }

    /// Asks the registries of base images as the file `path` says, in docker's form; by default as the logins of this machine say.
    ///
    /// A base on the same host as the builder's registry is always asked for with that registry's access.
    #[must_use]
    pub fn auth_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.auth_file = Some(path.into());
        self
    }

    /// Adds an argument to `pip install`. It is neither in the key nor in the image's history. One that holds a password is
    /// refused: see [`pip_configuration`](Self::pip_configuration).
    #[must_use]
    pub fn pip_argument(mut self, argument: impl Into<OsString>) -> Self {
        self.pip_arguments.push(argument.into());
        self
    }

    /// Shows pip the file `path` as its configuration, an index with a password in its URL for instance. Nothing else of the build sees
    /// the file, and it is in no layer and no history; but the code of a source package that pip builds can read it.
    #[must_use]
    pub fn pip_configuration(mut self, path: impl Into<PathBuf>) -> Self {
        self.pip_configuration = Some(path.into());
        self
    }

    /// Sets how long a build may take, transfers included; 60 min by default.
    #[must_use]
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// The recipe to put into the inputs of an image that this builder builds.
    ///
    /// # Panics
    /// Never: the name is a good one.
    #[must_use]
    pub fn recipe() -> Recipe {
        Recipe::new("buildah-1").expect("lower-case letters, a digit and a dash")
    }

    fn check(&self) -> Result<(), BuildError> {
        let secret = self.pip_arguments.iter().any(|argument| {
            argument.to_str().is_none_or(|text| text.split("://").skip(1).any(|rest| rest.contains('@')))
        });
        if secret {
            let message = "an argument of pip has a password in a URL or is no text; put it into a file, and name \
                           that with `pip_configuration`";
            return Err(BuildError::new(BuildErrorKind::Refused, message));
        }
        match &self.pip_configuration {
            Some(path) if !path.is_file() => {
                let message = format!("{}, which should configure pip, is not there", path.display());
                Err(BuildError::new(BuildErrorKind::Unavailable, message))
            }
            _ => Ok(()),
        }
    }

    async fn open(&self, key: &ImageKey) -> Result<Arc<Work>, BuildError> {
        let (folder, key) = (self.folder.clone(), *key);
        let opened = tokio::task::spawn_blocking(move || Work::open(&folder, &key).map(Arc::new));
        let opened = opened.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        opened.map_err(|error| cannot("use the folder", &self.folder, error))
    }

    async fn build_in(
        &self,
        work: &Arc<Work>,
        key: &ImageKey,
        platform: &Platform,
        plan: &Plan,
        log: &Arc<dyn BuildLog>,
    ) -> Result<ImageRef, BuildError> {
        let tool = Tool::new(self, work, platform, log).await?;
        let base = tool.pull(plan).await?;
        log.line(&format!("base image {}, by digest {}", base.name, base.digest));
        let context = work.path("context");
        let containerfile = work.path("Containerfile");
        let text = plan.containerfile(&base, self.pip_configuration.is_some());
        write(&containerfile, &text)?;
        fs::create_dir(&context).map_err(|error| cannot("create", &context, error))?;
        for (name, text) in plan.files(&self.pip_arguments) {
            write(&context.join(name), &text)?;
        }
        let built = tool.build(key, &base, &containerfile, &context).await?;
        let image = tool.push(key, &built).await?;
        self.check_pushed(key, &image, &base).await?;
        log.line(&format!("image {image} is pushed"));
        Ok(image)
    }

    /// Reads back what the registry holds under the key: that is what clusters will run and scanners will read.
    async fn check_pushed(&self, key: &ImageKey, image: &ImageRef, base: &Base) -> Result<(), BuildError> {
        let unread = |error| {
            let message = "the image was pushed, but could not be read back";
            BuildError::new(BuildErrorKind::Unavailable, message).with_source(error)
        };
        let wrong = |message| BuildError::new(BuildErrorKind::Failed, message);
        let found = self.registry.find(key).await.map_err(unread)?;
        if found.as_ref() != Some(image) {
            let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
            return Err(wrong(format!("{image} was pushed, but the registry holds {found} under {key}")));
        }
        let expected = annotations(key, base);
        let found = self.registry.annotations(image).await.map_err(unread)?;
        match expected.iter().find(|(name, value)| found.get(name) != Some(*value)) {
            None => Ok(()),
            Some((name, value)) => {
                let found = found.get(name).unwrap_or("nothing");
                let message = format!("the annotation {name} of {image} should be {value}, but is {found}");
                Err(wrong(message))
            }
        }
    }
}

#[async_trait]
impl ImageBuilder for BuildahBuilder {
    async fn build(
        &self,
        key: &ImageKey,
        inputs: &ImageInputs,
        log: Arc<dyn BuildLog>,
    ) -> Result<ImageRef, BuildError> {
        self.check()?;
        let plan = Plan::of(inputs)?;
        let work = self.open(key).await?;
        let (platform, limit) = (inputs.platform(), self.time_limit);
        let building = self.build_in(&work, key, platform, &plan, &log);
        let built = tokio::time::timeout(limit, building).await.unwrap_or_else(|_| {
            let message =
                format!("ended after {} s, for {platform}; allow more with `time_limit`", limit.as_secs());
            Err(BuildError::new(BuildErrorKind::TimedOut, message))
        });
        // The caller gets its answer when the folder is gone; what is still being ended keeps it until then.
        if let Some(work) = Arc::into_inner(work) {
            let _ = tokio::task::spawn_blocking(move || work.clean()).await;
        }
        built
    }
}

/// What the image says of itself.
fn annotations(key: &ImageKey, base: &Base) -> ImageAnnotations {
    ImageAnnotations::new(key).base(base.name.to_string(), base.digest)
}

fn write(path: &Path, text: &str) -> Result<(), BuildError> {
    fs::write(path, text).map_err(|error| cannot("write", path, error))
}

fn cannot(what: &str, path: &Path, error: std::io::Error) -> BuildError {
    BuildError::new(BuildErrorKind::Unavailable, format!("could not {what} {}", path.display()))
        .with_source(error)
}
