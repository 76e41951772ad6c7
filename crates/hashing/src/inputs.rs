use std::fmt;
use std::str::FromStr;

use crate::canonical::{Canonical, Tag};
use crate::{CondaDocument, Explanation, ImageKey, ImageRef, Platform, explain};

/// Everything an image is made of, and nothing else: no names, versions, environment variables, times or credentials.
///
/// The order of the docker steps and of the conda document's lists counts; an absent conda document differs from an empty
/// one.
///
/// ```
/// use portway_hashing::{BaseImage, ImageInputs, Platform, Recipe};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let inputs = ImageInputs::new(Platform::host(), "debian:12".parse()?, Recipe::new("buildah-1")?);
/// let other = inputs.clone().step("RUN apt-get update");
/// assert_ne!(inputs.key(), other.key());
/// assert_eq!(inputs.explain(&other).to_string(), "steps[0]: absent here, \"RUN apt-get update\" there");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInputs {
    platform: Platform,
    base: BaseImage,
    steps: Vec<String>,
    conda: Option<CondaDocument>,
    recipe: Recipe,
}

impl ImageInputs {
    /// Inputs without docker steps and without a conda document.
    #[must_use]
    pub const fn new(platform: Platform, base: BaseImage, recipe: Recipe) -> Self {
        Self { platform, base, steps: Vec::new(), conda: None, recipe }
    }

    /// Adds one custom docker step, after those already there. Its text counts as it is given.
    #[must_use]
    pub fn step(mut self, step: impl Into<String>) -> Self {
        self.steps.push(step.into());
        self
    }

    /// Sets the conda document.
    #[must_use]
    pub fn conda(mut self, document: CondaDocument) -> Self {
        self.conda = Some(document);
        self
    }

    /// What the image runs on.
    #[must_use]
    pub const fn platform(&self) -> &Platform {
        &self.platform
    }

    /// What the image starts from.
    #[must_use]
    pub const fn base(&self) -> &BaseImage {
        &self.base
    }

    /// The custom docker steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// The conda document, if there is one.
    #[must_use]
    pub const fn conda_document(&self) -> Option<&CondaDocument> {
        self.conda.as_ref()
    }

    /// How the image is built.
    #[must_use]
    pub const fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The key that every machine computes from these inputs.
    #[must_use]
    pub fn key(&self) -> ImageKey {
        ImageKey::of_canonical(&self.canonical())
    }

    /// Says field by field how `other` differs; empty exactly if both have the same key.
    #[must_use]
    pub fn explain(&self, other: &Self) -> Explanation {
        explain::explain(self, other)
    }

    /// The bytes that [`key`](Self::key) hashes.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Canonical::new("portway/image/v1");
        out.field(Tag::Os, self.platform.os().as_bytes());
        out.field(Tag::Architecture, self.platform.architecture().as_bytes());
        out.list(Tag::Variant, usize::from(self.platform.variant().is_some()));
        if let Some(variant) = self.platform.variant() {
            out.field(Tag::Text, variant.as_bytes());
        }
        match &self.base {
            BaseImage::Pinned(image) => out.field(Tag::BasePinned, image.digest().as_bytes()),
            BaseImage::AsWritten(name) => out.field(Tag::BaseAsWritten, name.0.as_bytes()),
        }
        out.list(Tag::Steps, self.steps.len());
        for step in &self.steps {
            out.field(Tag::Text, step.as_bytes());
        }
        out.list(Tag::Conda, usize::from(self.conda.is_some()));
        if let Some(conda) = &self.conda {
            conda.write(&mut out);
        }
        out.field(Tag::Recipe, self.recipe.0.as_bytes());
        out.into_bytes()
    }
}

/// The image that a build starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseImage {
    /// Known by its digest. Only the digest is in the key: a mirror of the same image gives the same key.
    Pinned(ImageRef),
    /// Known by a name that may mean something else tomorrow; the name is in the key as it is written.
    AsWritten(BaseName),
}

/// The name of a base image as it was written: 1 to 512 characters, no white space, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseName(String);

impl AsRef<str> for BaseName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl BaseImage {
    /// Keeps `name` as it is written, even if it bears a digest.
    ///
    /// # Errors
    /// [`InvalidInput`] if the name is empty, longer than 512 characters, or holds white space or control characters.
    pub fn as_written(name: &str) -> Result<Self, InvalidInput> {
        let fits = (1..=512).contains(&name.chars().count());
        if fits && !name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            Ok(Self::AsWritten(BaseName(name.to_owned())))
        } else {
            Err(InvalidInput::new("base image", "1 to 512 characters without white space", name))
        }
    }
}

impl fmt::Display for BaseImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(image) => image.fmt(f),
            Self::AsWritten(name) => f.write_str(&name.0),
        }
    }
}

/// `repository@sha256:…` is pinned, everything else is kept as written.
impl FromStr for BaseImage {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map_or_else(|_| Self::as_written(text), |image| Ok(Self::Pinned(image)))
    }
}

/// The name and version of the way in which an image is built. Whoever changes what a builder does changes its recipe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recipe(String);

impl Recipe {
    /// A recipe by its name: 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`, for instance `venv-1`.
    ///
    /// # Errors
    /// [`InvalidInput`] for any other text.
    pub fn new(name: &str) -> Result<Self, InvalidInput> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidInput::new("recipe", "1 to 64 of a-z, 0-9, `.`, `_`, `-`", name))
        }
    }
}

impl AsRef<str> for Recipe {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot be an input of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: expected {expected}, found {found:?}")]
pub struct InvalidInput {
    /// What the text should have been.
    pub what: &'static str,
    /// The form it should have had.
    pub expected: &'static str,
    /// What stood there, cut to 100 characters.
    pub found: String,
}

impl InvalidInput {
    fn new(what: &'static str, expected: &'static str, found: &str) -> Self {
        Self { what, expected, found: found.chars().take(100).collect() }
    }
}
