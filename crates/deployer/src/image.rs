//! Where the image of a version comes from.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use portway_backend::Environment;
use portway_hashing::resolve::{
    BuildErrorKind, BuildLog, Origin, RegistryError, RegistryErrorKind, ResolveError, Resolved, Resolver,
};
use portway_hashing::{BaseImage, CondaDocument, ImageInputs, Platform, Recipe};
use serde::{Deserialize, Serialize};

use crate::Reaction;

/// What a version asks its image to hold, in the words of an inference configuration.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageRequest {
    /// The image to start from; `None`: the default of the [`ImageSource`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Custom docker steps, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// The text of the conda document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conda: Option<String>,
}

/// Finds or builds what a version runs in (IMG-2).
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// The image for `request`. `log` takes the lines of a build.
    ///
    /// # Errors
    ///
    /// [`ImageError`], whose reaction tells a request that can never be granted from a registry that is down.
    async fn image(&self, request: &ImageRequest, log: Arc<dyn BuildLog>) -> Result<Image, ImageError>;
}

/// An image that stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    /// What it is called where people read it: a key, a reference, a path.
    pub name: String,
    /// What a backend runs.
    pub environment: Environment,
    /// How it came about.
    pub origin: ImageOrigin,
}

/// How an image came about. `Display` completes “image …”.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ImageOrigin {
    /// The caller named it; nothing was looked up.
    Given,
    /// It was in the workspace's registry.
    Workspace,
    /// It was in the global registry.
    Global,
    /// It was built.
    Built,
}

impl fmt::Display for ImageOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "given",
            Self::Workspace => "found in the workspace registry",
            Self::Global => "found in the global registry",
            Self::Built => "built",
        })
    }
}

/// Why there is no image.
#[derive(Debug)]
pub struct ImageError {
    message: String,
    reaction: Reaction,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ImageError {
    /// An error with its remedy in the message.
    pub fn new(reaction: Reaction, message: impl Into<String>) -> Self {
        Self { message: message.into(), reaction, source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        self.reaction
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ImageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

// === impl GivenImage ===

/// One image for all projects, by the caller's word: a registry is never asked.
///
/// A version that names its own image ([`Source::given`](crate::Source::given)) asks no [`ImageSource`] at all.
#[derive(Clone, Debug)]
pub struct GivenImage(pub Environment);

#[async_trait]
impl ImageSource for GivenImage {
    async fn image(&self, request: &ImageRequest, _: Arc<dyn BuildLog>) -> Result<Image, ImageError> {
        if *request != ImageRequest::default() {
            let message =
                "the image is given, so a base image, docker steps and conda packages can't be added to it";
            return Err(ImageError::new(Reaction::Change, message));
        }
        let name = match &self.0 {
            Environment::Interpreter { python } => python.display().to_string(),
            Environment::Image { reference } => reference.clone(),
        };
        Ok(Image { name, environment: self.0.clone(), origin: ImageOrigin::Given })
    }
}

// === impl ResolvedImages ===

/// Images by their key: found in a registry, else built once and found the next time.
pub struct ResolvedImages {
    resolver: Resolver,
    defaults: ImageInputs,
    environment: Box<ToEnvironment>,
}

type ToEnvironment = dyn Fn(&Resolved) -> Result<Environment, ImageError> + Send + Sync;

impl ResolvedImages {
    /// Images from `resolver`, built by `recipe` for this machine's platform from `base`, where a request names no other.
    ///
    /// `environment` turns what was found into what the backend runs.
    pub fn new(
        resolver: Resolver,
        recipe: Recipe,
        base: BaseImage,
        environment: impl Fn(&Resolved) -> Result<Environment, ImageError> + Send + Sync + 'static,
    ) -> Self {
        let defaults = ImageInputs::new(Platform::host(), base, recipe);
        Self { resolver, defaults, environment: Box::new(environment) }
    }

    fn inputs(&self, request: &ImageRequest) -> Result<ImageInputs, ImageError> {
        let refused = |what: &str, error: Box<dyn Error + Send + Sync>| {
            ImageError::new(Reaction::Change, format!("the {what} of the image can't be used"))
                .with_source(error)
        };
        let base = match &request.base {
            Some(base) => base.parse().map_err(|error| refused("base", Box::new(error)))?,
            None => self.defaults.base().clone(),
        };
        let (platform, recipe) = (self.defaults.platform().clone(), self.defaults.recipe().clone());
        let mut inputs = ImageInputs::new(platform, base, recipe);
        for step in &request.steps {
            inputs = inputs.step(step);
        }
        if let Some(conda) = &request.conda {
            let document =
                CondaDocument::parse(conda).map_err(|error| refused("conda document", Box::new(error)))?;
            inputs = inputs.conda(document);
        }
        Ok(inputs)
    }
}

impl fmt::Debug for ResolvedImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedImages").field("defaults", &self.defaults).finish_non_exhaustive()
    }
}

#[async_trait]
impl ImageSource for ResolvedImages {
    async fn image(&self, request: &ImageRequest, log: Arc<dyn BuildLog>) -> Result<Image, ImageError> {
        let resolved = self.resolver.resolve(&self.inputs(request)?, log).await?;
        let origin = match resolved.origin {
            Origin::Built { .. } => ImageOrigin::Built,
            Origin::Global | Origin::Adopted => ImageOrigin::Global,
            _ => ImageOrigin::Workspace,
        };
        let environment = (self.environment)(&resolved)?;
        Ok(Image { name: resolved.key.to_string(), environment, origin })
    }
}

impl From<RegistryError> for ImageError {
    fn from(error: RegistryError) -> Self {
        let reaction = if error.is_retryable() { Reaction::Retry } else { Reaction::Change };
        Self::new(reaction, "the registry gave no answer").with_source(error)
    }
}

impl From<ResolveError> for ImageError {
    fn from(error: ResolveError) -> Self {
        let reaction = match &error {
            ResolveError::Build(build) if build.kind() == BuildErrorKind::Refused => Reaction::Change,
            ResolveError::Build(build) if build.kind() == BuildErrorKind::Failed => Reaction::Change,
            ResolveError::Registry { source, .. } if source.kind() == RegistryErrorKind::Refused => {
                Reaction::Change
            }
            _ => Reaction::Retry,
        };
        Self::new(reaction, "there is no image").with_source(error)
    }
}
