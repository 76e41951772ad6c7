use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use portway_backend::{
    Artifact, ArtifactInfo, ArtifactName, Artifacts, Backend, BackendError, ByteStream, Catalog, Change,
    Digest, DocKey, DocKind, Document, Expected, Fence, Fleet, Lease, Leases, ReplicaId, Revision, Status,
    Versioned, Workload, WorkloadId,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::host::Host;
use crate::options::Options;
use crate::process::{command, logs};
use crate::state::artifacts::ArtifactStore;
use crate::state::catalog::CatalogStore;
use crate::state::folder::Folder;
use crate::state::leases::LeaseStore;
use crate::state::records::{Record, Records};
use crate::state::{blocking, file, lock};
use crate::workload::order::{Order, What, order};
use crate::workload::supervisor::Supervisor;

/// Everything a deployer and a gateway need of one machine: replicas are child processes, all else is one folder.
///
/// It is one handle to all seams; clones are further handles to the same. When the last one is dropped, or the process
/// ends in whatever way, every replica ends with it at once. [`shut_down`](Self::shut_down) ends them in peace.
#[derive(Clone)]
pub struct LocalBackend {
    inner: Arc<Inner>,
}

struct Inner {
    host: Arc<Host>,
    catalog: CatalogStore,
    leases: LeaseStore,
    workloads: Mutex<Workloads>,
}

/// The workloads by their names, those that are only watched included.
#[derive(Default)]
struct Workloads {
    known: HashMap<WorkloadId, Handle>,
    /// What is wrong with records, by their file names.
    damaged: BTreeMap<String, String>,
}

/// The way to a supervisor, which ends when this is dropped.
struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    status: watch::Receiver<Arc<Status>>,
}

impl LocalBackend {
    /// Opens the state folder at `path`, creating it if it does not exist, with the default [`Options`].
    ///
    /// What an earlier run left behind is cleared away: processes, temporary folders (their `./outputs` are saved
    /// first), half-written files. Then every workload that was applied is started again with the number of replicas
    /// that was last wanted. Needs a tokio runtime with its I/O and time drivers.
    ///
    /// # Errors
    ///
    /// [`Conflict`](portway_backend::ErrorKind::Conflict) when another process has the folder, with its number;
    /// [`Invalid`](portway_backend::ErrorKind::Invalid) when the folder holds something else, is damaged, or was
    /// written by a newer version; [`Unavailable`](portway_backend::ErrorKind::Unavailable) when it cannot be written
    /// to. A folder that is refused is not changed.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, BackendError> {
        Options::new().open(path).await
    }

    pub(crate) async fn open_with(path: &Path, options: Options) -> Result<Self, BackendError> {
        let path = path.to_owned();
        let (host, catalog, found) = blocking(move || {
            let folder = Folder::open(&path)?;
            let (records, found) = Records::open(&folder.workloads())?;
            let projects =
                found.whole.iter().filter_map(|record| record.workload.as_ref()?.program.project.as_ref());
            let artifacts =
                ArtifactStore::open(&folder.artifacts(), projects.map(|project| project.digest.clone()))?;
            let catalog = CatalogStore::open(&folder.catalog(), folder.epoch())?;
            Ok((Arc::new(Host::new(folder, artifacts, records, options)), catalog, found))
        })
        .await?;
        host.clear_leftovers().await?;
        tracing::info!(folder = %host.folder.root().display(), workloads = found.whole.len(), "opened");
        let leases = LeaseStore::new(host.folder.epoch());
        let workloads = Workloads { known: HashMap::new(), damaged: found.damaged };
        let inner = Inner { host, catalog, leases, workloads: Mutex::new(workloads) };
        for record in found.whole {
            inner.supervise(&mut lock(&inner.workloads), record);
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Ends all replicas and returns when nothing of them is left but logs and outputs.
    ///
    /// They are told to stop at once, so whoever sends requests to them drains first. What was applied stays recorded
    /// and is started again by the next [`open`](Self::open). Afterwards only documents, leases and artifacts can be
    /// used; the folder is free as soon as the last handle is dropped.
    pub async fn shut_down(&self) {
        let answers: Vec<_> = {
            let workloads = lock(&self.inner.workloads);
            workloads.known.values().map(|handle| handle.order(What::ShutDown)).collect()
        };
        for answer in answers {
            // A supervisor that is gone has no replicas.
            let _ = answer.await;
        }
    }

    /// Passes an order to the supervisor of `id` and waits for its answer.
    async fn ask(&self, id: &WorkloadId, what: What) -> Result<(), BackendError> {
        let answer = self.inner.with(id, |handle| handle.order(what));
        let gone = |error| BackendError::unavailable("the backend is shutting down").with_source(error);
        answer.await.map_err(gone)?
    }
}

impl Inner {
    /// The handle of `id`, with a new supervisor if it has none.
    fn with<T>(&self, id: &WorkloadId, use_it: impl FnOnce(&Handle) -> T) -> T {
        let mut workloads = lock(&self.workloads);
        if !workloads.known.contains_key(id) {
            self.supervise(&mut workloads, Record::absent(id.clone()));
        }
        use_it(&workloads.known[id])
    }

    fn supervise(&self, workloads: &mut Workloads, record: Record) {
        let damage = workloads.damaged.remove(&Records::file_name(&record.id));
        let (sender, status) = watch::channel(Arc::new(Status::absent()));
        let (orders, received) = mpsc::unbounded_channel();
        let id = record.id.clone();
        Supervisor::start(Arc::clone(&self.host), record, damage, sender, received);
        workloads.known.insert(id, Handle { orders, status });
    }
}

impl Handle {
    fn order(&self, what: What) -> oneshot::Receiver<Result<(), BackendError>> {
        let (order, answer) = order(what);
        // A supervisor that is gone drops the order, which the one who waits for the answer hears.
        let _ = self.orders.send(order);
        answer
    }
}

impl fmt::Debug for LocalBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBackend").field("folder", &self.inner.host.folder.root()).finish_non_exhaustive()
    }
}

// === replicas ===

#[async_trait]
impl Fleet for LocalBackend {
    async fn watch(&self, id: &WorkloadId) -> Result<watch::Receiver<Arc<Status>>, BackendError> {
        Ok(self.inner.with(id, |handle| handle.status.clone()))
    }

    async fn scale(
        &self,
        id: &WorkloadId,
        to: u32,
        drained: &[ReplicaId],
        fence: Fence,
    ) -> Result<(), BackendError> {
        self.ask(id, What::Scale { to, drained: drained.to_vec(), fence }).await
    }
}

#[async_trait]
impl Backend for LocalBackend {
    async fn apply(&self, desired: &Workload) -> Result<(), BackendError> {
        command::check(desired)?;
        self.ask(&desired.id, What::Apply(Box::new(desired.clone()))).await
    }

    async fn logs(&self, id: &WorkloadId, lines: usize) -> Result<String, BackendError> {
        let is_known = self.inner.with(id, |handle| **handle.status.borrow() != Status::absent());
        if !is_known {
            return Err(BackendError::not_found(format!("there is no workload {id}; apply it first")));
        }
        let folder = self.inner.host.logs_of(id);
        blocking(move || logs::read_all(&folder, lines).map_err(|error| file::failed("read", &folder, error)))
            .await
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), BackendError> {
        self.ask(id, What::Remove).await
    }
}

// === the folder ===

#[async_trait]
impl Catalog for LocalBackend {
    async fn get(&self, key: &DocKey) -> Result<Option<Versioned<Document>>, BackendError> {
        self.inner.catalog.get(key)
    }

    async fn put(
        &self,
        key: &DocKey,
        document: &Document,
        expected: Expected,
    ) -> Result<Revision, BackendError> {
        self.inner.catalog.put(key, document, expected).await
    }

    async fn delete(&self, key: &DocKey, expected: Expected) -> Result<(), BackendError> {
        self.inner.catalog.delete(key, expected).await
    }

    async fn watch(&self, kind: DocKind) -> Result<BoxStream<'static, Change>, BackendError> {
        Ok(self.inner.catalog.watch(kind))
    }
}

#[async_trait]
impl Leases for LocalBackend {
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, BackendError> {
        self.inner.leases.acquire(name, holder, ttl)
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), BackendError> {
        self.inner.leases.renew(lease, ttl)
    }

    async fn release(&self, lease: Lease) -> Result<(), BackendError> {
        self.inner.leases.release(&lease);
        Ok(())
    }
}

#[async_trait]
impl Artifacts for LocalBackend {
    async fn put(
        &self,
        name: &ArtifactName,
        bytes: ByteStream,
        expected: Option<&Digest>,
    ) -> Result<ArtifactInfo, BackendError> {
        self.inner.host.artifacts.put(name, bytes, expected).await
    }

    async fn get(&self, name: &ArtifactName) -> Result<Option<Artifact>, BackendError> {
        self.inner.host.artifacts.get(name).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ArtifactInfo>, BackendError> {
        Ok(self.inner.host.artifacts.list(prefix))
    }

    async fn delete(&self, name: &ArtifactName) -> Result<(), BackendError> {
        self.inner.host.artifacts.delete(name).await
    }
}
