mod access;
mod annotations;
pub(crate) mod blobs;
mod client;
pub(crate) mod copy;
mod failure;
mod login;
pub(crate) mod manifest;
pub(crate) mod remote;
mod repository;
mod settings;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use portway_hashing::resolve::{Registry, RegistryError, RegistryErrorKind};
use portway_hashing::{ImageKey, ImageRef};

pub use access::Access;
pub use annotations::{
    BASE_DIGEST_ANNOTATION, BASE_NAME_ANNOTATION, ImageAnnotations, KEY_ANNOTATION, PROJECT_ANNOTATION,
};
pub use repository::{InvalidRepository, Repository};
pub use settings::OciSettings;

use manifest::Manifest;
use remote::Remote;

/// A repository of an OCI registry, spoken to over HTTP: each image lies under its key's text as tag.
///
/// “Not there” is only what the registry itself says in its own words (404 with `MANIFEST_UNKNOWN`, `NAME_UNKNOWN` or Harbor's
/// `NOT_FOUND`); everything else is an error, and none of them starts a build (rule IMG-2). A tag is no proof: what lies under it must name the same key in its
/// annotation [`KEY_ANNOTATION`], and the digest is computed here from the bytes that came (rule IMG-4).
///
/// Clones share connections and tokens. The proxy variables of the environment (`HTTPS_PROXY`, `NO_PROXY`) are heeded. TLS is rustls on
/// ring: if the process has no default crypto provider yet, it gets that one.
///
/// ```no_run
/// use portway_hashing::resolve::Registry;
/// use portway_images::{Access, OciRegistry, OciSettings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = OciSettings::new("registry.test/environments".parse()?)
///     .access(Access::file("/etc/portway/auth.json"));
/// let registry = OciRegistry::new(settings)?;
/// let key = format!("v1-{}", "0".repeat(64)).parse()?;
/// if let Some(image) = registry.find(&key).await? {
///     println!("{image} was built on {:?}", registry.annotations(&image).await?.base_digest());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OciRegistry {
    inner: Arc<Inner>,
    sources: Vec<Arc<Inner>>,
}

struct Inner {
    settings: OciSettings,
    remote: Remote,
}

impl OciRegistry {
    /// The registry of these settings. Nothing is sent yet; files that the settings name are read.
    ///
    /// # Errors
    /// A file can't be read or makes no sense; or this machine has no certificates of authorities to trust.
    pub fn new(settings: OciSettings) -> Result<Self, RegistryError> {
        let remote = Remote::new(&settings)?;
        Ok(Self { inner: Arc::new(Inner { settings, remote }), sources: Vec::new() })
    }

    /// Lets this registry adopt images that lie in `other`, with the access of `other`.
    #[must_use]
    pub fn adopting_from(mut self, other: &Self) -> Self {
        self.sources.push(Arc::clone(&other.inner));
        self
    }

    /// What it was made of.
    #[must_use]
    pub fn settings(&self) -> &OciSettings {
        &self.inner.settings
    }

    /// The tag under which the image of `key` lies: the key's text.
    #[must_use]
    pub fn tag(key: &ImageKey) -> String {
        key.to_string()
    }

    /// What the image says of itself.
    ///
    /// # Errors
    /// The image is not there, or can't be read; or it lies in a repository that this registry neither is nor adopts from.
    pub async fn annotations(&self, image: &ImageRef) -> Result<ImageAnnotations, RegistryError> {
        Ok(self.manifest(image).await?.annotations)
    }

    /// Writes who asks into the new file `path`, readable by its owner only, in docker's form, so that another program (`buildah`,
    /// `skopeo`) can ask as the same. `false`, and no file, if nobody in particular asks.
    ///
    /// # Errors
    /// The file exists already, or can't be written.
    pub fn write_auth_file(&self, path: &Path) -> io::Result<bool> {
        let Remote { credentials, repository, .. } = self.remote();
        let Some(text) = credentials.as_file(repository.host()) else { return Ok(false) };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?.write_all(text.as_bytes())?;
        Ok(true)
    }

    /// The manifest of an image that lies here or in a registry to adopt from.
    pub(crate) async fn manifest(&self, image: &ImageRef) -> Result<Manifest, RegistryError> {
        let found = self.remote_of(image)?.manifest_of(image.digest()).await?;
        found.ok_or_else(|| {
            let message = format!("{image} is not there; it was deleted, or never pushed");
            RegistryError::new(RegistryErrorKind::Refused, message)
        })
    }

    /// Who to ask for what lies here.
    pub(crate) fn remote(&self) -> &Remote {
        &self.inner.remote
    }

    /// Who to ask for an image.
    pub(crate) fn remote_of(&self, image: &ImageRef) -> Result<&Remote, RegistryError> {
        let mut known = [&self.inner].into_iter().chain(&self.sources).map(|inner| &inner.remote);
        known.find(|remote| remote.repository.to_string() == image.repository()).ok_or_else(|| {
            let message = format!(
                "{image} lies in no repository that {} adopts from; name that one with `adopting_from`",
                self.inner.remote.repository
            );
            RegistryError::new(RegistryErrorKind::Refused, message)
        })
    }
}

#[async_trait]
impl Registry for OciRegistry {
    async fn find(&self, key: &ImageKey) -> Result<Option<ImageRef>, RegistryError> {
        let remote = self.remote();
        match remote.manifest_at(&Self::tag(key)).await? {
            None => Ok(None),
            Some(manifest) => {
                check_key(&manifest, key, &format!("the tag {key} of {}", remote.repository))?;
                Ok(Some(manifest.image))
            }
        }
    }

    async fn adopt(&self, key: &ImageKey, from: &ImageRef) -> Result<ImageRef, RegistryError> {
        let manifest = self.manifest(from).await?;
        check_key(&manifest, key, &from.to_string())?;
        let source = self.remote_of(from)?;
        copy::image(source, self.remote(), &manifest, &Self::tag(key)).await
    }
}

/// A tag can be moved, and a name can be mistaken: the image itself has to say which key it was built for.
fn check_key(manifest: &Manifest, key: &ImageKey, place: &str) -> Result<(), RegistryError> {
    let found = match manifest.annotations.get(KEY_ANNOTATION) {
        Some(found) if found == key.to_string() => return Ok(()),
        Some(found) => format!("names the key {:?}", found.chars().take(100).collect::<String>()),
        None => "names no key".to_owned(),
    };
    let message = format!(
        "{place} holds the image {}, whose annotation {KEY_ANNOTATION} {found}, not {key}; \
         delete that tag to have the image built anew, or push the right image under it",
        manifest.image.digest()
    );
    Err(RegistryError::new(RegistryErrorKind::Invalid, message))
}

impl fmt::Debug for OciRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources: Vec<_> = self.sources.iter().map(|inner| &inner.settings).collect();
        f.debug_struct("OciRegistry")
            .field("settings", &self.inner.settings)
            .field("sources", &sources)
            .finish()
    }
}
