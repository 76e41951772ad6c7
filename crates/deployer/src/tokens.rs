//! Tokens: an issuer of the installation's own, and its public keys for everybody else (AUTH-2, AUTH-4).

use portway_auth::{Entropy, Grant, IssuedToken, Issuer, NoEntropy, SigningKey, SigningKeyKind, UnixSeconds};
use portway_backend::{BackendError, ErrorKind, Expected, Versioned};
use portway_deploy_config::{AuthMode, ServiceName};

use crate::clock::wall;
use crate::{DeployError, Deployer, Fault};

impl Deployer {
    /// A token for a service that takes tokens: good for an hour, and to be replaced by the next one from
    /// [`refresh_after`](IssuedToken::refresh_after) on, with some jitter of the client's own. It needs no network beyond
    /// the catalog.
    ///
    /// # Errors
    ///
    /// [`DeployError::NotFound`]; [`DeployError::Refused`] for a service that takes keys, or nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use portway_backend::Environment;
    /// # use portway_backend::memory::{MemoryArtifacts, MemoryBackend, MemoryCatalog};
    /// # use portway_deploy_config::{AuthMode, EndpointSpec, VersionSpec};
    /// # use portway_deployer::{Deployer, GivenImage, Source};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("score.py"), "def init(): pass\ndef run(data): return data\n")?;
    /// # let images = Arc::new(GivenImage(Environment::Interpreter { python: "/usr/bin/python3".into() }));
    /// # let backend = Arc::new(MemoryBackend::unreachable());
    /// # let (catalog, artifacts) = (Arc::new(MemoryCatalog::new()), Arc::new(MemoryArtifacts::new()));
    /// # let deployer = Deployer::new(backend, catalog, artifacts, images);
    /// let iris = "iris".parse()?;
    /// let mut endpoint = EndpointSpec::new("iris".parse()?, VersionSpec::new("first".parse()?));
    /// endpoint.auth = AuthMode::Token;
    /// deployer.deploy(endpoint, Source::new(folder.path(), "score.py")).await?.wait().await?;
    ///
    /// let token = deployer.token(&iris).await?;
    /// assert!(token.refresh_after < token.expires);
    /// let header = format!("{} {}", token.token_type, token.access_token.expose());
    /// # let _ = header;
    /// # Ok(()) }
    /// ```
    pub async fn token(&self, service: &ServiceName) -> Result<IssuedToken, DeployError> {
        self.token_for(service, service.as_ref(), &[]).await
    }

    /// As [`token`](Self::token), in somebody's name and with scopes: where the endpoint's pinning asks for one, the scope
    /// named like a version lets its bearer choose that version.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token); [`DeployError::Refused`] for a subject or scope that is empty or holds white space.
    pub async fn token_for(
        &self,
        service: &ServiceName,
        subject: &str,
        scopes: &[&str],
    ) -> Result<IssuedToken, DeployError> {
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_word(subject) || !scopes.iter().copied().all(is_word) {
            let message = "use visible ASCII without white space for the subject and each scope";
            return Err(DeployError::Refused(vec![Fault::new("token", message)]));
        }
        let auth = self.endpoint(service).await?.auth;
        if auth != AuthMode::Token {
            let message =
                format!("{service} takes no tokens; update it to auth = token, which turns keys off");
            return Err(DeployError::Refused(vec![Fault::new("auth", message)]));
        }
        // No token leaves before the gateways can hear of its key.
        let issuer = self.stand_issuer().await?.issuer;
        let grant = Grant { audience: service.as_ref(), subject, scopes };
        let id = Entropy::from_system().map_err(no_chance)?;
        Ok(issuer.issue(&grant, wall(), &id).map_err(no_chance)?)
    }

    /// Makes a new key for the issuer of tokens. It is published at once and signs only after the time that the result names,
    /// when every gateway has heard of it; tokens of the key before stay good until they expire.
    ///
    /// # Errors
    ///
    /// [`DeployError::Refused`] while the newest key does not sign yet.
    pub async fn rotate_issuer(&self) -> Result<UnixSeconds, DeployError> {
        let deployer = self.clone();
        // In a task, so that a caller that goes away does not leave the public document behind the secret one.
        let rotating = tokio::spawn(async move { deployer.add_key().await });
        rotating.await.unwrap_or_else(|error| {
            Err(BackendError::unavailable("replacing the issuer's key was interrupted")
                .with_source(error)
                .into())
        })
    }

    async fn add_key(&self) -> Result<UnixSeconds, DeployError> {
        loop {
            let Standing { mut issuer, revision, .. } = self.stand_issuer().await?;
            let now = wall();
            let signs_from = |issuer: &Issuer| issuer.schedule().map(|(_, from)| from).max().unwrap_or(now);
            if signs_from(&issuer) > now {
                let message = format!(
                    "its newest key signs from {} (Unix seconds) on; rotate again after that",
                    signs_from(&issuer).0
                );
                return Err(DeployError::Refused(vec![Fault::new("issuer", message)]));
            }
            issuer.adopt(new_key()?, now);
            match self.store.put_issuer(&issuer, Expected::At(revision)).await {
                Ok(_) => {
                    self.publish_issuer().await?;
                    return Ok(signs_from(&issuer));
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes sure that there is an issuer and that its public keys are published.
    pub(crate) async fn stand_issuer(&self) -> Result<Standing, BackendError> {
        let mut new = false;
        loop {
            if let Some(Versioned { value: issuer, revision }) = self.store.issuer().await? {
                self.publish_issuer().await?;
                return Ok(Standing { issuer, revision, new });
            }
            match self.store.put_issuer(&Issuer::new(ISSUER, new_key()?), Expected::Absent).await {
                Ok(_) => new = true,
                // Somebody made one at the same moment: theirs is as good.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Derives the public document from the secret one, and writes it if it is not what stands; true if it was not. Keys
    /// whose secret document is gone are nobody's, and go as well.
    pub(crate) async fn publish_issuer(&self) -> Result<bool, BackendError> {
        let mut written = false;
        // The secret is read again after each write: whoever replaced it meanwhile may have written before us.
        loop {
            let wanted = self.store.issuer().await?.map(|found| found.value.published(wall()).to_json());
            // A damaged document is one more that is not what it should be.
            let present = match self.store.published_issuer().await {
                Ok(present) => present.map(|found| found.value.to_json()),
                Err(error) if error.kind() == ErrorKind::Invalid => Some(String::new()),
                Err(error) => return Err(error),
            };
            match wanted {
                wanted if wanted == present => return Ok(written),
                Some(wanted) => self.store.put_published_issuer(wanted).await?,
                None => self.store.delete_published_issuer().await?,
            }
            written = true;
        }
    }
}

/// The issuer as the catalog keeps it.
pub(crate) struct Standing {
    pub(crate) issuer: Issuer,
    revision: portway_backend::Revision,
    /// Whether it was made just now.
    pub(crate) new: bool,
}

fn new_key() -> Result<SigningKey, BackendError> {
    SigningKey::generate(SigningKeyKind::Ed25519).map_err(no_chance)
}

fn no_chance(error: NoEntropy) -> BackendError {
    BackendError::unavailable("no token can be issued").with_source(error)
}

/// The name in `iss`: no URL, so that no external issuer can bear it.
const ISSUER: &str = "portway";
