//! Documents as ConfigMaps, credentials and a deployer's records as Secrets.
//!
//! A document is the text under `document` in an object called `portway-<kind>-<readable>-<digest>`, whose labels
//! `portway.dev/document` and `portway.dev/owner` say the kind and the owner, and whose annotation `portway.dev/name`
//! has the full name. Two names that shorten to the same object are a
//! [`Conflict`](portway_backend::ErrorKind::Conflict) for whoever comes second. So is an object of somebody else's in
//! that place; it is left alone.
//!
//! # Owners
//!
//! The owner is part of the object's name and of what is watched: two installations in one namespace, each with an
//! [`owner`](crate::Options::owner) of its own, do not see each other's documents. A deployer and its gateways must be
//! given the same owner.
//!
//! # Revisions
//!
//! A revision is the object's `resourceVersion`, which the server never uses twice, not even after a deletion. Writing
//! what stands there already changes nothing and keeps the revision.
//!
//! # Damage
//!
//! An object of ours that somebody has made unreadable is reported by `get` with its place and the remedy, mended by a
//! `put` with `Expected::Any`, and passed over by watches: readers keep what they were told last.
//!
//! # Size
//!
//! The server counts the bytes of the text alone, so the largest document of a catalog just fits, quotes and all.
//!
//! # Secrets
//!
//! No error, log or `Debug` of ours shows a document. The buffers of the client library are not cleared when they are freed.
//!
//! # What is asked of the server
//!
//! On `configmaps`, and on `secrets` for [`Credentials`](DocKind::Credentials) and for [`Operation`](DocKind::Operation),
//! because a deployer's records repeat the variables of replicas: `get` to read; `get`, `create` and `patch` to write;
//! `get` and `delete` to delete; `list` and `watch` to watch. A gateway only watches endpoints and verifiers: `list` and
//! `watch` on `configmaps`, nothing on `secrets`. A deployer lists its records; nobody in this workspace watches
//! credentials.

mod feed;
mod sheet;
mod spot;
mod watch;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use portway_backend::{
    BackendError, Catalog, Change, DocKey, DocKind, Document, Expected, Revision, Versioned,
};

use self::spot::Spot;
use crate::backend::K8sBackend;

/// In which kind of object a document lies.
enum Home {
    ConfigMap,
    Secret,
}

impl Home {
    /// Keys are secret, and so may the variables of replicas be that a deployer's record of its operations repeats.
    fn of(kind: DocKind) -> Self {
        match kind {
            DocKind::Credentials | DocKind::Operation => Self::Secret,
            DocKind::Endpoint | DocKind::Verifier | DocKind::Model => Self::ConfigMap,
        }
    }
}

#[async_trait]
impl Catalog for K8sBackend {
    async fn get(&self, key: &DocKey) -> Result<Option<Versioned<Document>>, BackendError> {
        match Home::of(key.kind()) {
            Home::Secret => Spot::<Secret>::of(&self.inner, key).get().await,
            Home::ConfigMap => Spot::<ConfigMap>::of(&self.inner, key).get().await,
        }
    }

    async fn put(
        &self,
        key: &DocKey,
        document: &Document,
        expected: Expected,
    ) -> Result<Revision, BackendError> {
        match Home::of(key.kind()) {
            Home::Secret => Spot::<Secret>::of(&self.inner, key).put(document, expected).await,
            Home::ConfigMap => Spot::<ConfigMap>::of(&self.inner, key).put(document, expected).await,
        }
    }

    async fn delete(&self, key: &DocKey, expected: Expected) -> Result<(), BackendError> {
        match Home::of(key.kind()) {
            Home::Secret => Spot::<Secret>::of(&self.inner, key).delete(expected).await,
            Home::ConfigMap => Spot::<ConfigMap>::of(&self.inner, key).delete(expected).await,
        }
    }

    async fn watch(&self, kind: DocKind) -> Result<BoxStream<'static, Change>, BackendError> {
        let owner = &self.inner.options.owner;
        match Home::of(kind) {
            Home::Secret => watch::begin(self.inner.api::<Secret>(), owner, kind).await,
            Home::ConfigMap => watch::begin(self.inner.api::<ConfigMap>(), owner, kind).await,
        }
    }
}
