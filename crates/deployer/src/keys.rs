//! Keys: credentials for the deployer, the verifier derived from them for everybody else (AUTH-1).

use portway_auth::{ApiKey, Credentials, Entropy, KeySlot, UnixSeconds};
use portway_backend::{BackendError, DocKind, ErrorKind, Expected};
use portway_deploy_config::{AuthMode, ServiceName};

use crate::{DeployError, Deployer, Fault};

impl Deployer {
    /// The two keys of a service.
    ///
    /// # Errors
    ///
    /// [`DeployError::NotFound`] for a service that does not exist or never had keys; [`DeployError::Refused`] for one that takes
    /// tokens.
    pub async fn keys(&self, service: &ServiceName) -> Result<Credentials, DeployError> {
        self.takes_keys(service).await?;
        let found = self.store.credentials(service).await?;
        found.map(|found| found.value).ok_or_else(|| DeployError::NotFound(format!("key of {service}")))
    }

    /// Replaces one key, by a fresh one or by one of the caller's choice, while the other stays valid. The old key is refused as
    /// soon as the gateways have heard of it.
    ///
    /// # Errors
    ///
    /// [`DeployError::NotFound`]; [`DeployError::Refused`] for a chosen key that the other slot holds, and for a service that takes
    /// tokens.
    pub async fn regenerate_key(
        &self,
        service: &ServiceName,
        slot: KeySlot,
        chosen: Option<ApiKey>,
    ) -> Result<Credentials, DeployError> {
        self.takes_keys(service).await?;
        let (deployer, service) = (self.clone(), service.clone());
        // In a task, so that a caller that goes away does not leave the verifier behind its credentials.
        let replacing = tokio::spawn(async move { deployer.replace_key(&service, slot, chosen).await });
        replacing.await.unwrap_or_else(|error| {
            Err(BackendError::unavailable("replacing the key was interrupted").with_source(error).into())
        })
    }

    /// One endpoint never takes both. The keys of one that takes tokens now are kept for the way back, and of no use until then.
    async fn takes_keys(&self, service: &ServiceName) -> Result<(), DeployError> {
        let endpoint = self.store.endpoint(service).await?;
        if endpoint.is_some_and(|found| found.value.auth == AuthMode::Token) {
            let message =
                format!("{service} takes tokens and no keys; ask for a token, or update it to auth = keys");
            return Err(DeployError::Refused(vec![Fault::new("auth", message)]));
        }
        Ok(())
    }

    async fn replace_key(
        &self,
        service: &ServiceName,
        slot: KeySlot,
        chosen: Option<ApiKey>,
    ) -> Result<Credentials, DeployError> {
        let key = match chosen {
            Some(key) => key,
            None => ApiKey::generate(&entropy()?),
        };
        loop {
            let Some(found) = self.store.credentials(service).await? else {
                return Err(DeployError::NotFound(format!("key of {service}")));
            };
            let mut credentials = found.value;
            // Without a grace, the time of the replacement does not matter.
            credentials
                .replace(slot, key.clone(), UnixSeconds(0), std::time::Duration::ZERO)
                .map_err(|error| DeployError::Refused(vec![Fault::new("key", error.to_string())]))?;
            match self.store.put_credentials(service, &credentials, Expected::At(found.revision)).await {
                Ok(_) => {
                    self.publish_verifier(service).await?;
                    return Ok(credentials);
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes sure that a service has credentials and a verifier that belongs to them; true if the keys are new.
    pub(crate) async fn make_keys(&self, service: &ServiceName) -> Result<bool, BackendError> {
        let mut new = false;
        if self.store.credentials(service).await?.is_none() {
            let unequal =
                |error| BackendError::unavailable("no two different keys could be made").with_source(error);
            let credentials = Credentials::generate(&entropy()?, &entropy()?).map_err(unequal)?;
            match self.store.put_credentials(service, &credentials, Expected::Absent).await {
                Ok(_) => new = true,
                // Somebody made them at the same moment: theirs are as good.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        self.publish_verifier(service).await?;
        Ok(new)
    }

    /// Derives the verifier from what the credentials are now, and writes it if it is not what stands; true if it was not.
    ///
    /// The credentials are read again after the write: whoever replaced them meanwhile may have written before us.
    pub(crate) async fn publish_verifier(&self, service: &ServiceName) -> Result<bool, BackendError> {
        let mut written = false;
        loop {
            let Some(credentials) = self.store.credentials(service).await? else {
                return Ok(written);
            };
            let wanted = credentials.value.verifier();
            // A damaged verifier is one more that is not what it should be.
            let present = match self.store.verifier(service).await {
                Ok(present) => present.map(|found| found.value),
                Err(error) if error.kind() == ErrorKind::Invalid => None,
                Err(error) => return Err(error),
            };
            if present.as_ref() == Some(&wanted) {
                return Ok(written);
            }
            self.store.put_verifier(service, &wanted).await?;
            written = true;
        }
    }

    /// Repairs the verifier of every service with credentials; the names of those that needed it.
    pub(crate) async fn repair_verifiers(&self) -> Result<Vec<ServiceName>, BackendError> {
        let mut repaired = Vec::new();
        for service in self.store.names(DocKind::Credentials).await? {
            if self.publish_verifier(&service).await? {
                repaired.push(service);
            }
        }
        Ok(repaired)
    }
}

fn entropy() -> Result<Entropy, BackendError> {
    Entropy::from_system().map_err(|error| BackendError::unavailable("no key can be made").with_source(error))
}
