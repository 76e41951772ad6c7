//! One repository of a registry, as the client library speaks to it.

use std::time::Duration;

use oci_client::client::Client;
use oci_client::errors::{OciDistributionError as Cause, Result as ClientResult};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use portway_hashing::resolve::{RegistryError, RegistryErrorKind};
use portway_hashing::{Digest, ImageRef};

use super::access::Credentials;
use super::failure::{failed, is_absence, is_unauthorized, silent};
use super::manifest::{ACCEPTED, Manifest};
use super::{OciSettings, Repository, client, login};

pub(crate) struct Remote {
    pub(crate) repository: Repository,
    pub(super) client: Client,
    plain: reqwest::Client,
    scheme: &'static str,
    pub(super) auth: RegistryAuth,
    pub(super) credentials: Credentials,
    pub(super) silence: Duration,
}

impl Remote {
    pub(crate) fn new(settings: &OciSettings) -> Result<Self, RegistryError> {
        let credentials = settings.access.credentials(&settings.repository)?;
        let (client, plain) = client::clients(settings)?;
        let auth = credentials.for_client();
        let repository = settings.repository.clone();
        let scheme = if settings.is_plain_http() { "http" } else { "https" };
        Ok(Self { repository, client, plain, scheme, auth, credentials, silence: settings.silence })
    }

    pub(crate) fn tagged(&self, tag: &str) -> Reference {
        let (host, path) = (self.repository.host().to_owned(), self.repository.path().to_owned());
        Reference::with_tag(host, path, tag.to_owned())
    }

    pub(crate) fn pinned(&self, digest: Digest) -> Reference {
        let (host, path) = (self.repository.host().to_owned(), self.repository.path().to_owned());
        Reference::with_digest(host, path, digest.to_string())
    }

    /// The manifest under a tag; `None` if the registry says that there is none.
    pub(crate) async fn manifest_at(&self, tag: &str) -> Result<Option<Manifest>, RegistryError> {
        self.manifest(&self.tagged(tag), None).await
    }

    /// The manifest with that digest; `None` if the registry says that there is none.
    pub(crate) async fn manifest_of(&self, digest: Digest) -> Result<Option<Manifest>, RegistryError> {
        self.manifest(&self.pinned(digest), Some(digest)).await
    }

    /// A look-up is a GET: the answer to a HEAD has no body, and a 404 without the registry's own words may be anybody's.
    async fn manifest(
        &self,
        reference: &Reference,
        expected: Option<Digest>,
    ) -> Result<Option<Manifest>, RegistryError> {
        let what = format!("look up {}", reference.whole());
        let question = || self.client.pull_manifest_raw(reference, &self.auth, ACCEPTED);
        let Some((bytes, _)) = self.ask(reference, RegistryOperation::Pull, &what, question).await? else {
            return Ok(None);
        };
        // The client has compared the bytes with what the registry's header says; ours is the digest that counts.
        let digest = Digest::of(&bytes);
        if expected.is_some_and(|expected| expected != digest) {
            let message = format!("could not {what}: what arrived has the digest {digest}");
            return Err(RegistryError::new(RegistryErrorKind::Invalid, message));
        }
        Manifest::read(self.image(digest), bytes.to_vec()).map(Some)
    }

    pub(crate) fn image(&self, digest: Digest) -> ImageRef {
        self.repository.image(digest)
    }

    /// Asks one small question: within the limit as a whole, and once more with a new token if the one at hand was not taken. `None` is
    /// the registry's own “there is no such thing”.
    pub(crate) async fn ask<T, F>(
        &self,
        reference: &Reference,
        operation: RegistryOperation,
        what: &str,
        question: impl Fn() -> F + Send + Sync,
    ) -> Result<Option<T>, RegistryError>
    where
        F: Future<Output = ClientResult<T>> + Send,
    {
        let asked = async {
            self.client.store_auth_if_needed(reference.resolve_registry(), &self.auth).await;
            let answer = match question().await {
                Err(cause) if is_unauthorized(&cause) => {
                    self.renew(reference, operation, what).await?;
                    question().await
                }
                answer => answer,
            };
            match answer {
                Ok(answer) => Ok(Some(answer)),
                Err(cause) if is_absence(&cause) => Ok(None),
                Err(cause) => Err(self.failed(what, cause)),
            }
        };
        self.within_silence(what, asked).await
    }

    /// Lets something small take no longer than the registry may be silent.
    pub(crate) async fn within_silence<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        tokio::time::timeout(self.silence, work).await.unwrap_or_else(|_| Err(silent(what, self.silence)))
    }

    /// Gets a new token. The client keeps silent about one that it could not get for itself: here the reason comes out.
    pub(crate) async fn renew(
        &self,
        reference: &Reference,
        operation: RegistryOperation,
        what: &str,
    ) -> Result<(), RegistryError> {
        match self.client.auth(reference, &self.auth, operation).await {
            Ok(_) => Ok(()),
            Err(cause @ Cause::AuthenticationFailure(_)) => {
                let denial = login::denial(&self.plain, self.scheme, reference, operation, &self.credentials);
                let cause = match denial.await {
                    Ok(Some((code, message))) => Cause::ServerError { code, url: String::new(), message },
                    Ok(None) => cause,
                    Err(error) => Cause::RequestError(error),
                };
                Err(self.failed(what, cause))
            }
            Err(cause) => Err(self.failed(what, cause)),
        }
    }

    /// Stores a manifest under a tag or its own digest, and looks whether it is what lies there.
    pub(crate) async fn put_manifest(
        &self,
        manifest: &Manifest,
        at: Place<'_>,
    ) -> Result<ImageRef, RegistryError> {
        let digest = Digest::of(&manifest.bytes);
        // The client takes a digest for a tag here: without a tag it panics where a registry does not answer with an address.
        let reference = match at {
            Place::Tag(tag) => self.tagged(tag),
            Place::Digest => self.tagged(&digest.to_string()),
        };
        let what = format!("store {}", reference.whole());
        let media_type = manifest.media_type.as_str();
        let question = || async {
            let form =
                media_type.parse().map_err(|_| Cause::UnsupportedMediaTypeError(media_type.to_owned()))?;
            self.client.push_manifest_raw(&reference, manifest.bytes.clone(), form).await
        };
        let stored = self.ask(&reference, RegistryOperation::Push, &what, question).await?;
        let found = match (stored, at) {
            (None, _) => None,
            (Some(_), Place::Tag(tag)) => self.manifest_at(tag).await?,
            (Some(_), Place::Digest) => self.manifest_of(digest).await?,
        };
        match found {
            Some(found) if found.image.digest() == digest => Ok(found.image),
            Some(found) => {
                let message = format!(
                    "could not {what}: {} lies there, not {digest}; somebody else stored another image at the same time",
                    found.image.digest()
                );
                Err(RegistryError::new(RegistryErrorKind::Invalid, message))
            }
            None => {
                let message = format!("could not {what}: the registry says that it is not there");
                Err(RegistryError::new(RegistryErrorKind::Invalid, message))
            }
        }
    }

    pub(crate) fn broken(&self, what: &str, error: std::io::Error) -> RegistryError {
        self.failed(what, Cause::IoError(error))
    }

    pub(crate) fn failed(&self, what: &str, cause: Cause) -> RegistryError {
        failed(what, cause, &self.credentials)
    }
}

/// Where a manifest is stored.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Tag(&'a str),
    /// Under its own digest only.
    Digest,
}
