//! Brings an image from one repository into another.

use portway_hashing::ImageRef;
use portway_hashing::resolve::{RegistryError, RegistryErrorKind};

use super::manifest::{Content, Descriptor, Manifest};
use super::remote::{Place, Remote};

/// Copies what `manifest` needs, then the manifest, then the tag, so that whoever finds the tag finds all of it. What is there already
/// is left as it is.
pub(crate) async fn image(
    source: &Remote,
    target: &Remote,
    manifest: &Manifest,
    tag: &str,
) -> Result<ImageRef, RegistryError> {
    if source.repository != target.repository {
        content(source, target, manifest).await?;
    }
    target.put_manifest(manifest, Place::Tag(tag)).await
}

async fn content(source: &Remote, target: &Remote, manifest: &Manifest) -> Result<(), RegistryError> {
    match &manifest.content {
        Content::Image { config, layers } => blobs(source, target, layers.iter().chain([config])).await,
        Content::Index(entries) => {
            for entry in entries {
                let found = source.manifest_of(entry.digest).await?;
                let inner = found.ok_or_else(|| incomplete(&manifest.image, entry))?;
                let Content::Image { config, layers } = &inner.content else {
                    return Err(incomplete(&manifest.image, entry));
                };
                blobs(source, target, layers.iter().chain([config])).await?;
                target.put_manifest(&inner, Place::Digest).await?;
            }
            Ok(())
        }
    }
}

/// Copies those blobs that are not there yet.
pub(crate) async fn blobs<'a>(
    source: &Remote,
    target: &Remote,
    wanted: impl Iterator<Item = &'a Descriptor>,
) -> Result<(), RegistryError> {
    for blob in wanted {
        if !target.has_blob(blob.digest).await? && !target.mount(source, blob.digest).await? {
            target.send_blob(blob, || source.open_blob(blob.digest)).await?;
        }
    }
    Ok(())
}

fn incomplete(index: &ImageRef, entry: &Descriptor) -> RegistryError {
    let message =
        format!("{index} lists {}, which is not there or is a list itself; push it anew", entry.digest);
    RegistryError::new(RegistryErrorKind::Refused, message)
}
