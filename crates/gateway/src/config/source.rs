//! Endpoints from a file as the catalog and the fleet that a gateway watches.

use std::collections::HashSet;
use std::sync::Arc;

use portway_backend::memory::{MemoryBackend, MemoryCatalog};
use portway_backend::{
    BackendError, Catalog, DocKey, DocKind, Document, Expected, Fleet, Phase, Replica, ReplicaId,
    ReplicaState, Status, WorkloadId,
};
use tokio::sync::Mutex;

use super::StaticEndpoint;

/// Endpoints and replicas that are written in a file: their documents in a catalog, their addresses in a fleet that
/// nobody scales.
#[derive(Debug)]
pub struct StaticSource {
    catalog: Arc<MemoryCatalog>,
    fleet: Arc<MemoryBackend>,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    documents: HashSet<DocKey>,
    workloads: HashSet<WorkloadId>,
}

impl Default for StaticSource {
    fn default() -> Self {
        Self::new()
    }
}

impl StaticSource {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let fleet = Arc::new(MemoryBackend::unreachable());
        Self { catalog: Arc::default(), fleet, shown: Mutex::default() }
    }

    /// The documents, for [`Gateway::builder`](crate::Gateway::builder).
    #[must_use]
    pub fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::clone(&self.catalog) as Arc<dyn Catalog>
    }

    /// The replicas, for [`Gateway::builder`](crate::Gateway::builder).
    #[must_use]
    pub fn fleet(&self) -> Arc<dyn Fleet> {
        Arc::clone(&self.fleet) as Arc<dyn Fleet>
    }

    /// Puts these endpoints in the place of what was there. Replicas that are no longer named finish what they have.
    ///
    /// # Errors
    ///
    /// [`Invalid`](portway_backend::ErrorKind::Invalid) for a document that is too large.
    pub async fn replace(&self, endpoints: &[StaticEndpoint]) -> Result<(), BackendError> {
        let mut shown = self.shown.lock().await;
        let mut now = Shown::default();
        // Replicas and keys first, so that no request meets an endpoint without them.
        for endpoint in endpoints {
            for (version, addresses) in endpoint.spec.versions.iter().zip(&endpoint.addresses) {
                let id = WorkloadId::new(endpoint.spec.name.clone(), version.name.clone());
                let mut status = Status::absent();
                let replica = |address| Replica {
                    id: ReplicaId::new(format!("{id}@{address}")),
                    state: ReplicaState::Ready(address),
                };
                status.replicas = addresses.iter().copied().map(replica).collect();
                status.wanted = status.ready();
                status.phase = Phase::Healthy;
                self.fleet.set_status(&id, status);
                now.workloads.insert(id);
            }
            if let Some(credentials) = &endpoint.credentials {
                let verifier = Document::from_json(credentials.verifier().to_json())?;
                self.put(DocKind::Verifier, endpoint, &verifier, &mut now).await?;
            }
            let document = Document::from_json(endpoint.spec.to_json())?;
            self.put(DocKind::Endpoint, endpoint, &document, &mut now).await?;
        }
        for gone in shown.documents.difference(&now.documents) {
            self.catalog.delete(gone, Expected::Any).await?;
        }
        for gone in shown.workloads.difference(&now.workloads) {
            self.fleet.set_status(gone, Status::absent());
        }
        *shown = now;
        Ok(())
    }

    async fn put(
        &self,
        kind: DocKind,
        endpoint: &StaticEndpoint,
        document: &Document,
        now: &mut Shown,
    ) -> Result<(), BackendError> {
        let key = DocKey::new(kind, endpoint.spec.name.as_ref())?;
        // A document that stays is not written again: shares start no new count for nothing.
        if self.catalog.get(&key).await?.is_none_or(|found| found.value != *document) {
            self.catalog.put(&key, document, Expected::Any).await?;
        }
        now.documents.insert(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GatewayConfig, Source};

    fn endpoints(text: &str) -> Vec<StaticEndpoint> {
        match GatewayConfig::from_toml(text).unwrap().source {
            Source::Static(endpoints) => endpoints,
            _ => panic!("endpoints are in the file"),
        }
    }

    #[tokio::test]
    async fn a_file_that_is_read_again_replaces_what_was_there() {
        let source = StaticSource::new();
        let text = "[[endpoints]]\nname = \"iris\"\nauth = \"off\"\n[[endpoints.versions]]\nname = \"blue\"\n\
                    addresses = [\"127.0.0.1:1\", \"127.0.0.1:2\"]";
        source.replace(&endpoints(text)).await.unwrap();
        let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
        let first = source.catalog.get(&key).await.unwrap().unwrap();
        let id = WorkloadId::new("iris".parse().unwrap(), "blue".parse().unwrap());
        let statuses = source.fleet.watch(&id).await.unwrap();
        assert_eq!(statuses.borrow().ready(), 2);

        source.replace(&endpoints(&text.replace(", \"127.0.0.1:2\"", ""))).await.unwrap();
        assert_eq!(statuses.borrow().ready(), 1);
        assert_eq!(source.catalog.get(&key).await.unwrap().unwrap().revision, first.revision);

        source.replace(&endpoints("endpoints = []")).await.unwrap();
        assert!(source.catalog.get(&key).await.unwrap().is_none());
        assert_eq!(statuses.borrow().ready(), 0);
    }
}
