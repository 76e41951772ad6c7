//! What we read of a manifest; the rest of it is left alone.

use std::collections::BTreeMap;

use portway_hashing::resolve::{RegistryError, RegistryErrorKind};
use portway_hashing::{Digest, ImageRef};
use serde::Deserialize;

use super::ImageAnnotations;

/// A manifest as it lies in a registry.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    /// Where it lies.
    pub(crate) image: ImageRef,
    /// Its bytes, whose digest is the image's.
    pub(crate) bytes: Vec<u8>,
    /// How to name its form to a registry.
    pub(crate) media_type: String,
    pub(crate) content: Content,
    pub(crate) annotations: ImageAnnotations,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Image {
        config: Descriptor,
        layers: Vec<Descriptor>,
    },
    /// Images for several platforms.
    Index(Vec<Descriptor>),
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Descriptor {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[cfg(all(feature = "layer", unix))]
    pub(crate) platform: Option<Platform>,
}

#[cfg(all(feature = "layer", unix))]
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    pub(crate) variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    manifests: Option<Vec<Descriptor>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    pub(crate) fn read(image: ImageRef, bytes: Vec<u8>) -> Result<Self, RegistryError> {
        let invalid = |problem: &str| {
            let message = format!("what lies at {image} is no image manifest that we understand: {problem}");
            RegistryError::new(RegistryErrorKind::Invalid, message)
        };
        let raw: Raw =
            serde_json::from_slice(&bytes).map_err(|error| invalid("its JSON").with_source(error))?;
        if raw.schema_version != 2 {
            return Err(invalid("its schema version is not 2; push the image with a current tool"));
        }
        let content = match (raw.manifests, raw.config) {
            (Some(manifests), _) => Content::Index(manifests),
            (None, Some(config)) => Content::Image { config, layers: raw.layers },
            (None, None) => return Err(invalid("it has neither `config` nor `manifests`")),
        };
        let written = raw.media_type.unwrap_or_else(|| match content {
            Content::Index(_) => OCI_INDEX.to_owned(),
            Content::Image { .. } => OCI_MANIFEST.to_owned(),
        });
        if !ACCEPTED.contains(&written.as_str()) {
            return Err(invalid(&format!("its type is {written:?}")));
        }
        let annotations = raw.annotations.unwrap_or_default().into();
        Ok(Self { image, bytes, media_type: written, content, annotations })
    }
}

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Without these a registry says 404 for a manifest that it would have to convert.
pub(crate) const ACCEPTED: &[&str] = &[OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];
