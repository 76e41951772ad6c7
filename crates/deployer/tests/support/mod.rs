//! A deployer over memory, and a project on disk.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use portway_backend::memory::{MemoryArtifacts, MemoryBackend, MemoryCatalog};
use portway_backend::{
    Artifacts, Backend, BackendError, Catalog, DocKey, DocKind, Environment, Fence, Fleet, Phase, ReplicaId,
    Status, Workload, WorkloadId,
};
use portway_deploy_config::{EndpointSpec, ServiceName, Share, VersionName, VersionSpec};
use portway_deployer::{
    Deployer, Event, GivenImage, ImageSource, Operation, ProjectImages, Source, VersionChange,
};
use tempfile::TempDir;
use tokio::sync::watch;

pub(crate) struct World {
    pub(crate) backend: Arc<Staged>,
    pub(crate) catalog: Arc<MemoryCatalog>,
    pub(crate) artifacts: Arc<MemoryArtifacts>,
    pub(crate) deployer: Deployer,
    pub(crate) folder: TempDir,
}

pub(crate) const INIT_RUN: &str = "def init(): pass\ndef run(data): return data\n";

impl World {
    pub(crate) fn new() -> Self {
        let python = Environment::Interpreter { python: "/usr/bin/python3".into() };
        Self::with_images(Arc::new(GivenImage(python)))
    }

    pub(crate) fn with_images(images: Arc<dyn ImageSource>) -> Self {
        let backend = Arc::new(Staged::new());
        let catalog = Arc::new(MemoryCatalog::new());
        let artifacts = Arc::new(MemoryArtifacts::new());
        let deployer = Deployer::new(backend.clone(), catalog.clone(), artifacts.clone(), images);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("score.py"), INIT_RUN).unwrap();
        Self { backend, catalog, artifacts, deployer, folder }
    }

    /// As on a cluster: everything runs in images, and projects are put into them.
    pub(crate) fn with_project_images(images: Arc<dyn ProjectImages>) -> Self {
        let mut world = Self::with_images(Arc::new(GivenImage(base())));
        world.deployer = world.deployer.project_images(images);
        world
    }

    /// A second process over the same stores: it knows only what they know.
    pub(crate) fn restarted(&self) -> Deployer {
        let python = Environment::Interpreter { python: "/usr/bin/python3".into() };
        let images = Arc::new(GivenImage(python));
        Deployer::new(self.backend.clone(), self.catalog.clone(), self.artifacts.clone(), images)
    }

    pub(crate) fn source(&self) -> Source {
        Source::new(self.folder.path(), "score.py")
    }

    /// Another project, so that another artifact.
    pub(crate) fn other_source(&self) -> Source {
        let folder = self.folder.path().join("other");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("serve.py"), "print('listens')\n").unwrap();
        Source::new(folder, "serve.py")
    }

    pub(crate) async fn deployed(&self) {
        let operation = self.deployer.deploy(endpoint("iris", "first"), self.source()).await.unwrap();
        operation.wait().await.unwrap();
    }

    /// An update of the first version's source, which has begun.
    pub(crate) async fn updating(&self, source: Source) -> Operation {
        let mut change = VersionChange::default();
        change.source = Some(source);
        self.deployer.update_version(&iris(), &version("first"), change).await.unwrap()
    }

    pub(crate) async fn document(&self, kind: DocKind, name: &str) -> Option<String> {
        let found = self.catalog.get(&DocKey::new(kind, name).unwrap()).await.unwrap();
        found.map(|found| found.value.as_json().to_owned())
    }

    pub(crate) async fn endpoint(&self) -> Option<EndpointSpec> {
        self.document(DocKind::Endpoint, "iris").await.map(|text| EndpointSpec::from_json(&text).unwrap())
    }

    pub(crate) async fn stored(&self) -> usize {
        self.artifacts.list("").await.unwrap().len()
    }
}

pub(crate) const BASE: &str = "registry.example/environment:1";

pub(crate) fn base() -> Environment {
    Environment::Image { reference: BASE.into() }
}

/// A memory backend whose next workloads look as a test wants them to, from the moment they are applied.
pub(crate) struct Staged {
    memory: MemoryBackend,
    next: Mutex<Option<Status>>,
    applied: Mutex<Vec<WorkloadId>>,
}

impl Staged {
    fn new() -> Self {
        Self { memory: MemoryBackend::unreachable(), next: Mutex::default(), applied: Mutex::default() }
    }

    /// The next workload that is applied looks like this until a test shows something else.
    pub(crate) fn stage(&self, phase: Phase, message: &str) {
        let mut status = Status::default();
        (status.wanted, status.phase, status.message) = (1, phase, message.to_owned());
        *self.next.lock().unwrap() = Some(status);
    }

    /// All is well with a workload that was staged.
    pub(crate) fn heal(&self, id: &WorkloadId) {
        let mut status = Status::default();
        status.phase = Phase::Healthy;
        self.memory.set_status(id, status);
    }

    /// What is there now.
    pub(crate) fn applied(&self, id: &WorkloadId) -> Option<Workload> {
        self.memory.applied(id)
    }

    /// All that was ever applied, in order.
    pub(crate) fn history(&self) -> Vec<WorkloadId> {
        self.applied.lock().unwrap().clone()
    }

    pub(crate) fn faults(&self) -> portway_backend::memory::Faults {
        self.memory.faults()
    }
}

#[async_trait]
impl Fleet for Staged {
    async fn watch(&self, id: &WorkloadId) -> Result<watch::Receiver<Arc<Status>>, BackendError> {
        self.memory.watch(id).await
    }

    async fn scale(
        &self,
        id: &WorkloadId,
        to: u32,
        drained: &[ReplicaId],
        fence: Fence,
    ) -> Result<(), BackendError> {
        self.memory.scale(id, to, drained, fence).await
    }
}

#[async_trait]
impl Backend for Staged {
    async fn apply(&self, desired: &Workload) -> Result<(), BackendError> {
        self.memory.apply(desired).await?;
        self.applied.lock().unwrap().push(desired.id.clone());
        if let Some(status) = self.next.lock().unwrap().take() {
            self.memory.set_status(&desired.id, status);
        }
        Ok(())
    }

    async fn logs(&self, id: &WorkloadId, lines: usize) -> Result<String, BackendError> {
        self.memory.logs(id, lines).await
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), BackendError> {
        self.memory.remove(id).await
    }
}

/// The same, for calls whose future outlives the statement.
pub(crate) fn iris_ref() -> &'static ServiceName {
    static IRIS: std::sync::LazyLock<ServiceName> = std::sync::LazyLock::new(iris);
    &IRIS
}

pub(crate) fn iris() -> ServiceName {
    "iris".parse().unwrap()
}

pub(crate) fn version(name: &str) -> VersionName {
    name.parse().unwrap()
}

pub(crate) fn id(name: &str) -> WorkloadId {
    WorkloadId::new(iris(), version(name))
}

pub(crate) fn spec(name: &str, percent: u8) -> VersionSpec {
    let mut spec = VersionSpec::new(version(name));
    spec.share = Share::percent(percent).unwrap();
    spec
}

pub(crate) fn endpoint(name: &str, first: &str) -> EndpointSpec {
    EndpointSpec::new(name.parse().unwrap(), spec(first, 20))
}

/// Waits until an operation has told `wanted`.
pub(crate) async fn told(operation: &Operation, wanted: impl Fn(&Event) -> bool) {
    let mut reader = operation.events();
    while let Some(event) = reader.next().await {
        if wanted(&event) {
            return;
        }
    }
    panic!("the operation ended without it: {}", operation.state());
}

pub(crate) async fn events(operation: &Operation) -> Vec<Event> {
    let (mut reader, mut all) = (operation.events(), Vec::new());
    while let Some(event) = reader.next().await {
        all.push(event);
    }
    all
}

/// Effective shares in basis points, as the document means them.
pub(crate) fn shares(spec: &EndpointSpec) -> Vec<(String, u16)> {
    let share = |name: &VersionName| (name.to_string(), spec.effective_share(name).basis_points());
    spec.versions.iter().map(|version| share(&version.name)).collect()
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}
