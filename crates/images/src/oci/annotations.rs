use std::collections::BTreeMap;

use portway_hashing::{Digest, ImageKey};

/// The annotation of an image's manifest that names the key which it was built for.
pub const KEY_ANNOTATION: &str = "dev.portway.image.key";
/// The annotation that names what an image was built on: the standard's own.
pub const BASE_NAME_ANNOTATION: &str = "org.opencontainers.image.base.name";
/// The annotation that pins what an image was built on, by digest: the standard's own.
pub const BASE_DIGEST_ANNOTATION: &str = "org.opencontainers.image.base.digest";
/// The annotation that bears the digest of the project which an image holds.
pub const PROJECT_ANNOTATION: &str = "dev.portway.project.digest";

/// What an image says of itself in its manifest, for a registry that finds it and for a scanner (rule K8S-1).
///
/// ```
/// use portway_hashing::{Digest, ImageKey};
/// use portway_images::{ImageAnnotations, KEY_ANNOTATION};
///
/// let key: ImageKey = format!("v1-{}", "0".repeat(64)).parse()?;
/// let annotations = ImageAnnotations::new(&key).base("registry.test/debian:12", Digest::of(b"its manifest"));
/// assert_eq!(annotations.key(), Some(key));
/// assert_eq!(annotations.get(KEY_ANNOTATION), Some(key.to_string().as_str()));
/// # Ok::<(), portway_hashing::InvalidKey>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageAnnotations(BTreeMap<String, String>);

impl ImageAnnotations {
    /// Annotations that name the key.
    #[must_use]
    pub fn new(key: &ImageKey) -> Self {
        Self::default().with(KEY_ANNOTATION, key.to_string())
    }

    /// Names what the image was built on.
    #[must_use]
    pub fn base(self, name: impl Into<String>, digest: Digest) -> Self {
        self.with(BASE_NAME_ANNOTATION, name).with(BASE_DIGEST_ANNOTATION, digest.to_string())
    }

    /// Sets any annotation.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The key; `None` also if what stands there is none.
    #[must_use]
    pub fn key(&self) -> Option<ImageKey> {
        self.get(KEY_ANNOTATION)?.parse().ok()
    }

    /// What the image was built on, as it was written.
    #[must_use]
    pub fn base_name(&self) -> Option<&str> {
        self.get(BASE_NAME_ANNOTATION)
    }

    /// The digest of what the image was built on; `None` also if what stands there is none.
    #[must_use]
    pub fn base_digest(&self) -> Option<Digest> {
        self.get(BASE_DIGEST_ANNOTATION)?.parse().ok()
    }

    /// The digest of the project in the image; `None` if it holds none.
    #[must_use]
    pub fn project(&self) -> Option<Digest> {
        self.get(PROJECT_ANNOTATION)?.parse().ok()
    }

    /// The value of an annotation.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl From<BTreeMap<String, String>> for ImageAnnotations {
    fn from(annotations: BTreeMap<String, String>) -> Self {
        Self(annotations)
    }
}
