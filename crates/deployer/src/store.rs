//! The deployer's documents in the catalog, typed.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use portway_auth::{Credentials, Issuer, PublishedIssuer, Verifier};
use portway_backend::{
    BackendError, Catalog, Change, DocKey, DocKind, Document, ErrorKind, Expected, Revision, Versioned,
};
use portway_deploy_config::{EndpointSpec, ServiceName};

use crate::record::Record;

/// Typed access to a [`Catalog`]. A catalog that is not available is asked again a few times before anybody hears of it.
#[derive(Clone)]
pub(crate) struct Store(Arc<dyn Catalog>);

impl Store {
    pub(crate) fn new(catalog: Arc<dyn Catalog>) -> Self {
        Self(catalog)
    }

    pub(crate) async fn endpoint(
        &self,
        name: &ServiceName,
    ) -> Result<Option<Versioned<EndpointSpec>>, BackendError> {
        let read = |text: &str| {
            EndpointSpec::from_json(text).map_err(|report| damaged("endpoint", name).with_source(report))
        };
        self.get(DocKind::Endpoint, name, read).await
    }

    pub(crate) async fn put_endpoint(
        &self,
        spec: &EndpointSpec,
        expected: Expected,
    ) -> Result<Revision, BackendError> {
        self.put(DocKind::Endpoint, &spec.name, spec.to_json(), expected).await
    }

    pub(crate) async fn credentials(
        &self,
        name: &ServiceName,
    ) -> Result<Option<Versioned<Credentials>>, BackendError> {
        let read = |text: &str| {
            Credentials::from_document(text).map_err(|error| damaged("credentials", name).with_source(error))
        };
        self.get(DocKind::Credentials, name, read).await
    }

    pub(crate) async fn put_credentials(
        &self,
        name: &ServiceName,
        credentials: &Credentials,
        expected: Expected,
    ) -> Result<Revision, BackendError> {
        self.put(DocKind::Credentials, name, credentials.to_document().expose().to_owned(), expected).await
    }

    pub(crate) async fn verifier(
        &self,
        name: &ServiceName,
    ) -> Result<Option<Versioned<Verifier>>, BackendError> {
        let read = |text: &str| {
            Verifier::from_json(text).map_err(|error| damaged("verifier", name).with_source(error))
        };
        self.get(DocKind::Verifier, name, read).await
    }

    pub(crate) async fn put_verifier(
        &self,
        name: &ServiceName,
        verifier: &Verifier,
    ) -> Result<Revision, BackendError> {
        self.put(DocKind::Verifier, name, verifier.to_json(), Expected::Any).await
    }

    /// The issuer of tokens with its secret keys, under a name that no service can have.
    pub(crate) async fn issuer(&self) -> Result<Option<Versioned<Issuer>>, BackendError> {
        let read = |text: &str| {
            Issuer::from_document(text).map_err(|error| damaged("credentials", ISSUER).with_source(error))
        };
        self.get(DocKind::Credentials, ISSUER, read).await
    }

    pub(crate) async fn put_issuer(
        &self,
        issuer: &Issuer,
        expected: Expected,
    ) -> Result<Revision, BackendError> {
        self.put(DocKind::Credentials, ISSUER, issuer.to_document().expose().to_owned(), expected).await
    }

    /// What the gateways know of the issuer.
    pub(crate) async fn published_issuer(&self) -> Result<Option<Versioned<PublishedIssuer>>, BackendError> {
        let read = |text: &str| {
            PublishedIssuer::from_json(text).map_err(|error| damaged("verifier", ISSUER).with_source(error))
        };
        self.get(DocKind::Verifier, ISSUER, read).await
    }

    pub(crate) async fn put_published_issuer(&self, text: String) -> Result<(), BackendError> {
        self.put(DocKind::Verifier, ISSUER, text, Expected::Any).await.map(drop)
    }

    pub(crate) async fn delete_published_issuer(&self) -> Result<(), BackendError> {
        let key = DocKey::new(DocKind::Verifier, ISSUER)?;
        retried(|| self.0.delete(&key, Expected::Any)).await
    }

    pub(crate) async fn record(&self, name: &ServiceName) -> Result<Option<Versioned<Record>>, BackendError> {
        let read = |text: &str| {
            serde_json::from_str(text).map_err(|error| damaged("operation", name).with_source(error))
        };
        self.get(DocKind::Operation, name, read).await
    }

    pub(crate) async fn put_record(
        &self,
        name: &ServiceName,
        record: &Record,
        expected: Expected,
    ) -> Result<Revision, BackendError> {
        let document = Document::of(record)?;
        let key = DocKey::new(DocKind::Operation, name.as_ref())?;
        retried(|| self.0.put(&key, &document, expected.clone())).await
    }

    pub(crate) async fn delete(&self, kind: DocKind, name: &ServiceName) -> Result<(), BackendError> {
        let key = DocKey::new(kind, name.as_ref())?;
        retried(|| self.0.delete(&key, Expected::Any)).await
    }

    /// The names of all documents of a kind. Names that no service can have are not ours.
    pub(crate) async fn names(&self, kind: DocKind) -> Result<Vec<ServiceName>, BackendError> {
        let mut changes = retried(|| self.0.watch(kind)).await?;
        let mut names = Vec::new();
        while let Some(change) = changes.next().await {
            match change {
                Change::Put(key, _) => names.extend(key.name().parse::<ServiceName>()),
                Change::Deleted(_) => {}
                Change::Synced => return Ok(names),
            }
        }
        Err(BackendError::unavailable("the catalog ended its list half-way; ask again"))
    }

    async fn get<T>(
        &self,
        kind: DocKind,
        name: &(impl AsRef<str> + ?Sized),
        read: impl Fn(&str) -> Result<T, BackendError>,
    ) -> Result<Option<Versioned<T>>, BackendError> {
        let key = DocKey::new(kind, name.as_ref())?;
        let found = retried(|| self.0.get(&key)).await?;
        found
            .map(|Versioned { value, revision }| Ok(Versioned { value: read(value.as_json())?, revision }))
            .transpose()
    }

    async fn put(
        &self,
        kind: DocKind,
        name: &(impl AsRef<str> + ?Sized),
        text: String,
        expected: Expected,
    ) -> Result<Revision, BackendError> {
        let (key, document) = (DocKey::new(kind, name.as_ref())?, Document::from_json(text)?);
        retried(|| self.0.put(&key, &document, expected.clone())).await
    }
}

fn damaged(what: &str, name: &(impl fmt::Display + ?Sized)) -> BackendError {
    BackendError::invalid(format!(
        "the {what} document of {name} is damaged; restore it from a backup, or delete the documents of this name"
    ))
}

/// Asks again while the other side is not available, with pauses that double.
pub(crate) async fn retried<T, F>(mut call: impl FnMut() -> F) -> Result<T, BackendError>
where
    F: Future<Output = Result<T, BackendError>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match call().await {
            Err(error) if error.kind() == ErrorKind::Unavailable => tokio::time::sleep(pause).await,
            outcome => return outcome,
        }
        pause *= 2;
    }
    call().await
}

const ISSUER: &str = PublishedIssuer::DOCUMENT;
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
