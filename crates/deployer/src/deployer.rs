//! The deployer and the calls it answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portway_auth::Credentials;
use portway_backend::{Artifacts, Backend, BackendError, Catalog, DocKind, Phase, WorkloadId};
use portway_deploy_config::{AuthMode, Capacity, EndpointSpec, ServiceName, VersionName, VersionSpec};
use tokio::task::spawn_blocking;

use crate::live::Live;
use crate::record::Record;
use crate::request::Request;
use crate::state::worst;
use crate::store::Store;
use crate::{
    DeployError, Fault, ImageSource, Operation, OperationId, ProjectImages, ServiceState, Source, Tags,
    VersionChange, VersionState, route,
};

/// Carries out deployments, each in a task of its own. Clones share everything.
///
/// What it knows lies in the catalog; two deployers over one catalog in two processes are not meant (yet): one process owns
/// the state. Calls that change something must be made on a tokio runtime, and their operations live as long as it does.
#[derive(Clone)]
pub struct Deployer {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) store: Store,
    pub(crate) artifacts: Arc<dyn Artifacts>,
    pub(crate) images: Arc<dyn ImageSource>,
    pub(crate) project_images: Option<Arc<dyn ProjectImages>>,
    pub(crate) ready_within: Duration,
    pub(crate) capacity: Option<Arc<Capacity>>,
    pub(crate) live: Arc<Live>,
}

impl Deployer {
    /// A deployer over these seams. Call [`resume`](Self::resume) once before anything else.
    pub fn new(
        backend: Arc<dyn Backend>,
        catalog: Arc<dyn Catalog>,
        artifacts: Arc<dyn Artifacts>,
        images: Arc<dyn ImageSource>,
    ) -> Self {
        let (store, live) = (Store::new(catalog), Arc::default());
        let ready_within = DEFAULT_READY_WITHIN;
        let (project_images, capacity) = (None, None);
        Self { backend, store, artifacts, images, project_images, ready_within, capacity, live }
    }

    /// Sets how long replicas may take to become ready before an operation counts as timed out; 20 minutes by default, as
    /// in the original.
    #[must_use]
    pub fn ready_within(self, limit: Duration) -> Self {
        Self { ready_within: limit, ..self }
    }

    /// Puts each project into an image, on top of the one that was found or built for it, instead of among the artifacts: for
    /// backends whose replicas run images and read no artifacts, as on Kubernetes. The [`ImageSource`] must give images then.
    ///
    /// Such images stay where they were put: a registry may keep them for others, and may not delete. How long it keeps what
    /// nobody runs is its own setting.
    #[must_use]
    pub fn project_images(self, images: Arc<dyn ProjectImages>) -> Self {
        Self { project_images: Some(images), ..self }
    }

    /// Makes the nodes known, so that a version that finds no room is refused before its image is built. What they run besides
    /// this deployer's own versions belongs into [`Node::used`](portway_deploy_config::Node::used).
    ///
    /// Without it, the backend says so when it is asked. That is the sound way on a cluster that others use as well, whose
    /// scheduler alone knows what is free: a replica that it finds no room for shows in the events at once, with its words,
    /// and if it stays so, the operation ends with [`Reaction::MakeRoom`](crate::Reaction::MakeRoom).
    #[must_use]
    pub fn nodes(self, capacity: Capacity) -> Self {
        Self { capacity: Some(Arc::new(capacity)), ..self }
    }

    /// Deploys a new service: an endpoint with its first version. With key authentication it gets two fresh keys.
    ///
    /// # Errors
    ///
    /// [`DeployError::Exists`], [`DeployError::Busy`], [`DeployError::Refused`] with all that is wrong.
    pub async fn deploy(&self, endpoint: EndpointSpec, source: Source) -> Result<Operation, DeployError> {
        self.create(endpoint, source, None).await
    }

    /// As [`deploy`](Self::deploy), with keys of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`deploy`](Self::deploy).
    pub async fn deploy_with_keys(
        &self,
        endpoint: EndpointSpec,
        source: Source,
        keys: Credentials,
    ) -> Result<Operation, DeployError> {
        self.create(endpoint, source, Some(keys)).await
    }

    async fn create(
        &self,
        endpoint: EndpointSpec,
        source: Source,
        keys: Option<Credentials>,
    ) -> Result<Operation, DeployError> {
        let service = endpoint.name.clone();
        if self.store.endpoint(&service).await?.is_some() {
            return Err(DeployError::Exists(service));
        }
        let mut faults = endpoint.validate().err().map_or_else(Vec::new, |report| Fault::all_of(&report));
        if endpoint.versions.len() > 1 {
            faults.push(Fault::new(
                "versions",
                "a deployment brings one version; create the others one by one",
            ));
        }
        if keys.is_some() && endpoint.auth == AuthMode::Token {
            faults.push(Fault::new(
                "auth",
                "an endpoint takes keys or tokens; leave the keys out, or auth = token",
            ));
        }
        faults.extend(check(&source).await);
        refuse(faults)?;
        let endpoint = route::first(&endpoint).map_err(|fault| DeployError::Refused(vec![fault]))?;
        let request = Request::Create { endpoint, source, keys_chosen: keys.is_some() };
        self.start(service, request, keys).await
    }

    /// Adds a version to a service. It gets its share and its tags when its replicas are ready, and not before.
    ///
    /// # Errors
    ///
    /// [`DeployError::NotFound`], [`DeployError::Busy`], [`DeployError::Refused`] with all that is wrong.
    pub async fn create_version(
        &self,
        service: &ServiceName,
        version: VersionSpec,
        tags: Tags,
        source: Source,
    ) -> Result<Operation, DeployError> {
        let present = self.endpoint(service).await?;
        let mut faults = Vec::new();
        if present.version(&version.name).is_some() {
            let message =
                format!("{}: a version of this name exists; update it, or choose another name", version.name);
            faults.push(Fault::new("version", message));
        } else {
            faults.extend(checked(route::with_version(&present, &version, tags)));
        }
        faults.extend(check(&source).await);
        refuse(faults)?;
        self.start(service.clone(), Request::CreateVersion { version, source, tags }, None).await
    }

    /// Changes a version. New source is rolled out first: its replicas are ready before an old one goes, and if they do not
    /// become ready, the old source comes back.
    ///
    /// # Errors
    ///
    /// [`DeployError::NotFound`], [`DeployError::Busy`], [`DeployError::Refused`] with all that is wrong.
    pub async fn update_version(
        &self,
        service: &ServiceName,
        version: &VersionName,
        change: VersionChange,
    ) -> Result<Operation, DeployError> {
        let present = self.endpoint(service).await?;
        let Some(known) = present.version(version) else {
            return Err(DeployError::NotFound(format!("version {version} of {service}")));
        };
        let mut version = known.clone();
        change.apply_to(&mut version);
        let mut faults = checked(route::with_update(&present, &version, change.tags));
        if change.is_empty() {
            faults.push(Fault::new(
                "change",
                "nothing is to change; name a share, a tag, replicas or a source",
            ));
        }
        if let Some(source) = &change.source {
            faults.extend(check(source).await);
        }
        refuse(faults)?;
        let request = Request::UpdateVersion { version, source: change.source, tags: change.tags };
        self.start(service.clone(), request, None).await
    }

    /// Deletes a version: traffic leaves it, then its replicas end. If it is the default or the control, `successor` takes its tags.
    ///
    /// # Errors
    ///
    /// [`DeployError::NotFound`], [`DeployError::Busy`]; [`DeployError::Refused`] for the last version, and for a default or control
    /// without a successor.
    pub async fn delete_version(
        &self,
        service: &ServiceName,
        version: &VersionName,
        successor: Option<&VersionName>,
    ) -> Result<Operation, DeployError> {
        let present = self.endpoint(service).await?;
        let half_gone =
            || async { Ok::<_, BackendError>(self.record(service).await?.workloads.contains_key(version)) };
        if present.version(version).is_none() && !half_gone().await? {
            return Err(DeployError::NotFound(format!("version {version} of {service}")));
        }
        refuse(checked(route::without_version(&present, version, successor)))?;
        let request = Request::DeleteVersion { version: version.clone(), successor: successor.cloned() };
        self.start(service.clone(), request, None).await
    }

    /// Gives an endpoint other settings (authentication, profile, limits, stickiness); its name, versions and tags stay.
    ///
    /// # Errors
    ///
    /// [`DeployError::NotFound`], [`DeployError::Busy`], [`DeployError::Refused`] with all that is wrong.
    pub async fn update(
        &self,
        service: &ServiceName,
        change: impl FnOnce(&mut EndpointSpec),
    ) -> Result<Operation, DeployError> {
        let present = self.endpoint(service).await?;
        let mut settings = present.clone();
        change(&mut settings);
        refuse(checked(route::with_settings(&present, &settings)))?;
        self.start(service.clone(), Request::Update { settings }, None).await
    }

    /// Deletes a service: its endpoint document first, so that traffic leaves, then replicas, packed projects and keys.
    ///
    /// # Errors
    ///
    /// [`DeployError::NotFound`], [`DeployError::Busy`].
    pub async fn delete(&self, service: &ServiceName) -> Result<Operation, DeployError> {
        let exists = self.store.endpoint(service).await?.is_some()
            || !self.record(service).await?.workloads.is_empty();
        if !exists {
            return Err(not_found(service));
        }
        self.start(service.clone(), Request::Delete, None).await
    }

    /// The names of all services that are routed.
    ///
    /// # Errors
    ///
    /// [`DeployError::Seam`].
    pub async fn services(&self) -> Result<Vec<ServiceName>, DeployError> {
        Ok(self.store.names(DocKind::Endpoint).await?)
    }

    /// What a service looks like now, from the moment on that its first deployment has begun.
    ///
    /// # Errors
    ///
    /// [`DeployError::NotFound`].
    pub async fn state(&self, service: &ServiceName) -> Result<ServiceState, DeployError> {
        let record = self.store.record(service).await?.map(|found| found.value);
        let endpoint = self.store.endpoint(service).await?.map(|found| found.value);
        if endpoint.is_none() && record.as_ref().is_none_or(Record::is_deleted) {
            return Err(not_found(service));
        }
        let mut versions = Vec::new();
        for spec in endpoint.iter().flat_map(|endpoint| &endpoint.versions) {
            let id = WorkloadId::new(service.clone(), spec.name.clone());
            let status = self.backend.watch(&id).await?.borrow().clone();
            let effective_share =
                endpoint.as_ref().map_or(spec.share, |endpoint| endpoint.effective_share(&spec.name));
            versions.push(VersionState { spec: spec.clone(), effective_share, status });
        }
        let operation = record.and_then(|record| record.newest(service));
        let failed = operation.as_ref().is_some_and(|(_, state)| state.failure().is_some());
        let phase = match (endpoint.is_none(), failed) {
            (true, true) => Phase::Failed,
            (true, false) => Phase::Transitioning,
            _ => worst(versions.iter().map(|version| version.status.phase)),
        };
        Ok(ServiceState { name: service.clone(), phase, endpoint, versions, operation })
    }

    /// The last `lines` lines of each replica of one version, or of all of them.
    ///
    /// # Errors
    ///
    /// [`DeployError::NotFound`].
    pub async fn logs(
        &self,
        service: &ServiceName,
        version: Option<&VersionName>,
        lines: usize,
    ) -> Result<String, DeployError> {
        let endpoint = self.endpoint(service).await?;
        let wanted: Vec<_> =
            endpoint.versions.iter().filter(|known| version.is_none_or(|name| known.name == *name)).collect();
        if let (Some(version), true) = (version, wanted.is_empty()) {
            return Err(DeployError::NotFound(format!("version {version} of {service}")));
        }
        let mut all = String::new();
        for spec in &wanted {
            let logs = self.backend.logs(&WorkloadId::new(service.clone(), spec.name.clone()), lines).await?;
            if wanted.len() > 1 {
                all.push_str(&format!("== {} ==\n", spec.name));
            }
            all.push_str(&logs);
            if !logs.is_empty() && !logs.ends_with('\n') {
                all.push('\n');
            }
        }
        Ok(all)
    }

    /// An operation by its name: one under way, or one of the last twenty of its service.
    ///
    /// # Errors
    ///
    /// [`DeployError::NotFound`].
    pub async fn operation(&self, id: &OperationId) -> Result<Operation, DeployError> {
        if let Some(live) = self.live.find(id) {
            return Ok(live);
        }
        let record = self.record(id.service()).await?;
        let state =
            record.state(id.number()).ok_or_else(|| DeployError::NotFound(format!("operation {id}")))?;
        let operation = Operation::start(id.clone());
        if state.is_final() {
            operation.end(state);
        }
        Ok(operation)
    }

    pub(crate) async fn endpoint(&self, service: &ServiceName) -> Result<EndpointSpec, DeployError> {
        let found = self.store.endpoint(service).await?;
        found.map(|found| found.value).ok_or_else(|| not_found(service))
    }

    pub(crate) async fn record(&self, service: &ServiceName) -> Result<Record, BackendError> {
        Ok(self.store.record(service).await?.map(|found| found.value).unwrap_or_default())
    }
}

impl fmt::Debug for Deployer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployer").field("ready_within", &self.ready_within).finish_non_exhaustive()
    }
}

fn not_found(service: &ServiceName) -> DeployError {
    DeployError::NotFound(format!("service {service}"))
}

fn refuse(faults: Vec<Fault>) -> Result<(), DeployError> {
    if faults.is_empty() { Ok(()) } else { Err(DeployError::Refused(faults)) }
}

/// All that is wrong with a document that a change led to.
fn checked(next: Result<EndpointSpec, Fault>) -> Vec<Fault> {
    match next {
        Ok(next) => next.validate().err().map_or_else(Vec::new, |report| Fault::all_of(&report)),
        Err(fault) => vec![fault],
    }
}

async fn check(source: &Source) -> Vec<Fault> {
    let source = source.clone();
    let checked = spawn_blocking(move || source.check()).await;
    checked.map_or_else(
        |_| vec![Fault::new("folder", "reading it was interrupted; try again")],
        |checked| checked.err().unwrap_or_default(),
    )
}

const DEFAULT_READY_WITHIN: Duration = Duration::from_secs(20 * 60);
