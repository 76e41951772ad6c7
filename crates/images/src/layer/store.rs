use futures_util::TryStreamExt as _;
use portway_hashing::resolve::{RegistryError, RegistryErrorKind};
use portway_hashing::{Digest, ImageRef};

use super::{Layered, ProjectLayer, compose};
use crate::OciRegistry;
use crate::oci::PROJECT_ANNOTATION;
use crate::oci::blobs::Flow;
use crate::oci::copy;
use crate::oci::manifest::{Content, Descriptor, Manifest, Platform};
use crate::oci::remote::{Place, Remote};

impl OciRegistry {
    /// Puts a project on top of an environment's image, and stores the result in this repository. Nothing of the environment is
    /// unpacked, and what of it lies here already is not sent again.
    ///
    /// The image starts in [`PROJECT_FOLDER`](crate::PROJECT_FOLDER); apart from that it runs as the environment does. Its annotations are the environment's,
    /// with the environment as its base ([`BASE_NAME_ANNOTATION`](crate::BASE_NAME_ANNOTATION),
    /// [`BASE_DIGEST_ANNOTATION`](crate::BASE_DIGEST_ANNOTATION)) and the project's digest
    /// ([`PROJECT_ANNOTATION`](crate::PROJECT_ANNOTATION)). The same environment and layer give the same image, on every machine, under
    /// the tag `project-v1-` and its own digest; if it lies there already, it is not stored again.
    ///
    /// # Errors
    /// The environment lies in no repository known here, is a list of images for several platforms (the message names them), or holds a
    /// project already; or a registry fails.
    pub async fn with_project(
        &self,
        environment: &ImageRef,
        layer: &ProjectLayer,
    ) -> Result<Layered, RegistryError> {
        let (source, target) = (self.remote_of(environment)?, self.remote());
        let old = self.manifest(environment).await?;
        let (old_config, layers) = parts(&old)?;
        let config =
            compose::config(environment, &small_blob(source, old_config).await?, layers.len(), layer)?;
        let manifest = Manifest::read(environment.clone(), compose::manifest(&old, &config, layer)?)?;
        let digest = Digest::of(&manifest.bytes);
        let (bytes, tag) = (layer.bytes(), format!("project-v1-{}", digest.hex()));
        if let Some(found) = target.manifest_at(&tag).await?
            && found.image.digest() == digest
        {
            return Ok(Layered { image: found.image, bytes, new: false });
        }
        if source.repository != target.repository {
            copy::blobs(source, target, layers.iter()).await?;
        }
        send(target, layer.digest(), bytes, || layer.archive.flow()).await?;
        send(target, Digest::of(&config), config.len() as u64, || whole(config.clone())).await?;
        let image = target.put_manifest(&manifest, Place::Tag(&tag)).await?;
        Ok(Layered { image, bytes, new: true })
    }
}

/// The configuration and the layers of an image that can take a project.
fn parts(manifest: &Manifest) -> Result<(&Descriptor, &[Descriptor]), RegistryError> {
    let refused = |problem: String| {
        let message = format!("no project can be put on {}: {problem}", manifest.image);
        Err(RegistryError::new(RegistryErrorKind::Refused, message))
    };
    if let Some(project) = manifest.annotations.get(PROJECT_ANNOTATION) {
        return refused(format!(
            "it holds the project {project:?} already; name the environment without one"
        ));
    }
    match &manifest.content {
        Content::Image { config, layers } => Ok((config, layers)),
        Content::Index(entries) => {
            let listed: Vec<_> = entries.iter().map(listed).collect();
            refused(format!(
                "it lists images for several platforms; name the one to use: {}",
                listed.join(", ")
            ))
        }
    }
}

fn listed(entry: &Descriptor) -> String {
    match &entry.platform {
        Some(Platform { os, architecture, variant: None }) => {
            format!("{} for {os}/{architecture}", entry.digest)
        }
        Some(Platform { os, architecture, variant: Some(variant) }) => {
            format!("{} for {os}/{architecture}/{variant}", entry.digest)
        }
        None => entry.digest.to_string(),
    }
}

/// A blob that is read as a whole.
async fn small_blob(source: &Remote, blob: &Descriptor) -> Result<Vec<u8>, RegistryError> {
    let what = format!("read the configuration {} of an image in {}", blob.digest, source.repository);
    if blob.size > MAX_CONFIG {
        let message = format!("could not {what}: it has {} bytes, and {MAX_CONFIG} are allowed", blob.size);
        return Err(RegistryError::new(RegistryErrorKind::Invalid, message));
    }
    let read = async {
        let flow = source.open_blob(blob.digest).await?;
        let limited = flow.try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            if all.len() as u64 > MAX_CONFIG { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(all) }
        });
        limited.await.map_err(|error| source.broken(&what, error))
    };
    source.within_silence(&what, read).await
}

async fn send(
    target: &Remote,
    digest: Digest,
    size: u64,
    open: impl Fn() -> Flow + Send + Sync,
) -> Result<(), RegistryError> {
    if target.has_blob(digest).await? {
        return Ok(());
    }
    let blob = Descriptor { digest, size, platform: None };
    target.send_blob(&blob, || async { Ok(open()) }).await
}

fn whole(bytes: Vec<u8>) -> Flow {
    Box::pin(futures_util::stream::iter([Ok(bytes.into())]))
}

/// More than any image's: 8 MiB.
const MAX_CONFIG: u64 = 8 << 20;
