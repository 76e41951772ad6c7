//! Registries and builders for the resolver of `portway-hashing`, each a feature.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `buildah` | `BuildahBuilder` (Linux): container images from a base, docker steps and a conda document, pushed to an `OciRegistry`; implies `oci` |
//! | `dir` | `DirRegistry`: a folder as registry, from image key to a record of the environment that stands on this machine |
//! | `oci` | `OciRegistry`: a repository of any OCI registry, each image under its key as tag |
//! | `layer` | `ProjectLayer` (Unix): a packed project as one more layer of an image at a registry |
//! | `venv` | `VenvBuilder` (Unix): a Python venv from the pip section of a conda document, or the system's interpreter if there is nothing to install |
//!
//! Without a feature the crate is empty.

#[cfg(all(feature = "buildah", target_os = "linux"))]
mod buildah;
#[cfg(feature = "dir")]
mod dir;
#[cfg(feature = "dir")]
mod environment;
#[cfg(all(feature = "layer", unix))]
mod layer;
#[cfg(feature = "oci")]
mod oci;
#[cfg(any(all(feature = "buildah", target_os = "linux"), all(feature = "venv", unix)))]
mod packages;
#[cfg(any(all(feature = "buildah", target_os = "linux"), all(feature = "venv", unix)))]
mod run;
#[cfg(all(feature = "venv", unix))]
mod venv;

#[cfg(all(feature = "buildah", target_os = "linux"))]
pub use buildah::{BuildahBuilder, Isolation};
#[cfg(feature = "dir")]
pub use dir::DirRegistry;
#[cfg(feature = "dir")]
pub use environment::{Environment, Interpreter};
#[cfg(all(feature = "layer", unix))]
pub use layer::{LayerError, Layered, PROJECT_FOLDER, ProjectLayer, ProjectLayerBuilder};
#[cfg(feature = "oci")]
pub use oci::{
    Access, BASE_DIGEST_ANNOTATION, BASE_NAME_ANNOTATION, ImageAnnotations, InvalidRepository,
    KEY_ANNOTATION, OciRegistry, OciSettings, PROJECT_ANNOTATION, Repository,
};
#[cfg(all(feature = "venv", unix))]
pub use venv::VenvBuilder;

#[cfg(all(doctest, feature = "buildah", feature = "layer", feature = "venv", target_os = "linux"))]
#[doc = include_str!("../README.md")]
mod readme {}
