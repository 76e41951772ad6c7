//! What each request does, and how it is undone.

use std::time::Duration;

use portway_auth::Credentials;
use portway_backend::{
    BackendError, DocKind, ErrorKind, Expected, Status, Versioned, Waited, Workload, WorkloadId, wait_for,
};
use portway_deploy_config::{AuthMode, EndpointSpec, ServiceName, VersionName};

use crate::error::with_causes;
use crate::record::Record;
use crate::request::Request;
use crate::route::{self, Unrouted};
use crate::steps::{At as _, failed};
use crate::store::retried;
use crate::{Deployer, Event, Fault, Operation, OperationState, Reaction, Step, project};

/// What an operation leaves for the service's record.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    applied: Option<Workload>,
    removed: Vec<VersionName>,
}

impl Aftermath {
    fn applied(workload: Workload) -> Self {
        Self { applied: Some(workload), removed: Vec::new() }
    }
}

impl Deployer {
    /// Carries out a request; `again` after a restart, when some of it may have been done. Every step may be repeated.
    pub(crate) async fn perform(
        self,
        operation: Operation,
        request: Request,
        keys: Option<Credentials>,
        again: bool,
    ) -> Result<Aftermath, OperationState> {
        let service = operation.id().service();
        match request {
            Request::Create { endpoint, source, keys_chosen } => {
                self.keep_chosen_keys(service, keys, keys_chosen).await?;
                let workload = self.prepare(&operation, service, &endpoint.versions[0], &source).await?;
                self.run(&operation, &workload).await?;
                self.ensure_credentials(&operation, service, endpoint.auth).await?;
                self.route(&operation, |present| first_document(present, &endpoint, again)).await?;
                Ok(Aftermath::applied(workload))
            }
            Request::CreateVersion { version, source, tags } => {
                let workload = self.prepare(&operation, service, &version, &source).await?;
                self.run(&operation, &workload).await?;
                let change =
                    |present: Option<&EndpointSpec>| route::with_version(existing(present)?, &version, tags);
                self.route(&operation, change).await?;
                Ok(Aftermath::applied(workload))
            }
            Request::UpdateVersion { version, source, tags } => {
                let workload = match &source {
                    Some(source) => Some(self.prepare(&operation, service, &version, source).await?),
                    None => None,
                };
                if let Some(workload) = &workload {
                    self.run(&operation, workload).await?;
                }
                let change =
                    |present: Option<&EndpointSpec>| route::with_update(existing(present)?, &version, tags);
                self.route(&operation, change).await?;
                Ok(Aftermath { applied: workload, removed: Vec::new() })
            }
            Request::DeleteVersion { version, successor } => {
                let change = |present: Option<&EndpointSpec>| {
                    route::without_version(existing(present)?, &version, successor.as_ref())
                };
                self.route(&operation, change).await?;
                self.remove(&operation, &version).await.at(Step::Remove)?;
                Ok(Aftermath { applied: None, removed: vec![version] })
            }
            Request::Update { settings } => {
                self.ensure_credentials(&operation, service, settings.auth).await?;
                let change =
                    |present: Option<&EndpointSpec>| route::with_settings(existing(present)?, &settings);
                self.route(&operation, change).await?;
                Ok(Aftermath::default())
            }
            Request::Delete => self.delete_all(&operation).await.at(Step::Remove),
        }
    }

    async fn route(
        &self,
        operation: &Operation,
        change: impl Fn(Option<&EndpointSpec>) -> Result<EndpointSpec, Fault>,
    ) -> Result<(), OperationState> {
        operation.emit(Event::Began(Step::Route));
        let spec = match route::write(&self.store, operation.id().service(), change).await {
            Ok(spec) => spec,
            Err(Unrouted::Fault(fault)) => {
                return Err(failed(Step::Route, Reaction::Look, fault.to_string()));
            }
            Err(Unrouted::Seam(error)) => return Err(error).at(Step::Route),
        };
        let share = |name: &VersionName| (name.clone(), spec.effective_share(name).basis_points());
        let shares = spec.versions.iter().map(|version| share(&version.name)).collect();
        operation.emit(Event::Routed {
            shares,
            default: spec.default.clone(),
            control: spec.control.clone(),
        });
        Ok(())
    }

    /// Ends a workload that gets no traffic any more, and waits until its replicas are gone.
    async fn remove(&self, operation: &Operation, version: &VersionName) -> Result<(), BackendError> {
        operation.emit(Event::Began(Step::Remove));
        let service = operation.id().service();
        let id = WorkloadId::new(service.clone(), version.clone());
        let grace =
            self.record(service).await?.workloads.get(version).map(|workload| workload.termination_grace);
        let mut status = retried(|| self.backend.watch(&id)).await?;
        let was_there = **status.borrow() != Status::absent();
        retried(|| self.backend.remove(&id)).await?;
        let limit = grace.unwrap_or_default() + BEYOND_GRACE;
        match wait_for(&mut status, limit, |status| status.replicas.is_empty()).await {
            Waited::Reached(_) if was_there => operation.emit(Event::Removed(id)),
            Waited::Reached(_) => {}
            Waited::TimedOut(status) | Waited::Gone(status) => {
                let left = status.replicas.len();
                operation
                    .emit(Event::Note(format!("{id}: told to end, and {left} replicas have not ended yet")));
            }
        }
        Ok(())
    }

    async fn delete_all(&self, operation: &Operation) -> Result<Aftermath, BackendError> {
        let service = operation.id().service();
        let routed =
            self.store.endpoint(service).await?.map(|found| found.value.versions).unwrap_or_default();
        let mut versions: Vec<VersionName> = self.record(service).await?.workloads.into_keys().collect();
        versions.extend(routed.into_iter().map(|version| version.name));
        versions.sort();
        versions.dedup();
        self.store.delete(DocKind::Endpoint, service).await?;
        operation.emit(Event::Unrouted);
        for version in &versions {
            self.remove(operation, version).await?;
        }
        self.store.delete(DocKind::Verifier, service).await?;
        self.store.delete(DocKind::Credentials, service).await?;
        Ok(Aftermath { applied: None, removed: versions })
    }

    /// After a failure: whatever the endpoint document does not name goes, whatever it names is as it was.
    pub(crate) async fn undo(&self, operation: &Operation, request: &Request) -> Aftermath {
        let undone = match request {
            Request::Create { endpoint, .. } => self.undo_new(operation, &endpoint.versions[0].name).await,
            Request::CreateVersion { version, .. } => self.undo_new(operation, &version.name).await,
            Request::UpdateVersion { version, source: Some(_), .. } => {
                self.restore(operation, &version.name).await
            }
            // The others create nothing.
            _ => Ok(Aftermath::default()),
        };
        undone.unwrap_or_else(|error| {
            let why = with_causes(&error);
            operation.emit(Event::Note(format!(
                "cleaning up is not finished ({why}); the next start goes on with it"
            )));
            Aftermath::default()
        })
    }

    async fn undo_new(
        &self,
        operation: &Operation,
        version: &VersionName,
    ) -> Result<Aftermath, BackendError> {
        let service = operation.id().service();
        let endpoint = self.store.endpoint(service).await?.map(|found| found.value);
        if endpoint.as_ref().is_some_and(|endpoint| endpoint.version(version).is_some()) {
            return Ok(Aftermath::default());
        }
        self.remove(operation, version).await?;
        if endpoint.is_none() {
            self.store.delete(DocKind::Verifier, service).await?;
            self.store.delete(DocKind::Credentials, service).await?;
        }
        Ok(Aftermath { applied: None, removed: vec![version.clone()] })
    }

    async fn restore(&self, operation: &Operation, version: &VersionName) -> Result<Aftermath, BackendError> {
        let record = self.record(operation.id().service()).await?;
        if let Some(before) = record.workloads.get(version) {
            retried(|| self.backend.apply(before)).await?;
            operation.emit(Event::Restored(before.id.clone()));
        }
        Ok(Aftermath::default())
    }

    /// Notes how an operation ended, and with it what it leaves behind.
    pub(crate) async fn conclude(&self, operation: &Operation, state: &OperationState, aftermath: Aftermath) {
        if let Err(error) = self.try_conclude(operation, state, aftermath).await {
            let why = with_causes(&error);
            operation
                .emit(Event::Note(format!("the end is not recorded ({why}); the next start begins anew")));
        }
    }

    async fn try_conclude(
        &self,
        operation: &Operation,
        state: &OperationState,
        aftermath: Aftermath,
    ) -> Result<(), BackendError> {
        let service = operation.id().service();
        loop {
            let Some(Versioned { value: mut record, revision }) = self.store.record(service).await? else {
                return Err(BackendError::conflict("the record of its operations was deleted"));
            };
            for version in &aftermath.removed {
                record.workloads.remove(version);
            }
            if let Some(workload) = &aftermath.applied {
                record.workloads.insert(workload.id.version.clone(), workload.clone());
            }
            self.sweep_projects(service, &record).await?;
            record.end(state.clone());
            match self.store.put_record(service, &record, Expected::At(revision)).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                written => return written.map(drop),
            }
        }
    }

    /// Deletes the packed projects that no version of the service runs.
    pub(crate) async fn sweep_projects(
        &self,
        service: &ServiceName,
        record: &Record,
    ) -> Result<(), BackendError> {
        let used =
            |workload: &Workload| workload.program.project.as_ref().map(|project| project.artifact.clone());
        let used: Vec<_> = record.workloads.values().filter_map(used).collect();
        let prefix = project::prefix(service);
        for info in retried(|| self.artifacts.list(&prefix)).await? {
            if !used.contains(&info.name) {
                retried(|| self.artifacts.delete(&info.name)).await?;
            }
        }
        Ok(())
    }

    async fn keep_chosen_keys(
        &self,
        service: &ServiceName,
        keys: Option<Credentials>,
        chosen: bool,
    ) -> Result<(), OperationState> {
        if let Some(keys) = keys {
            let kept = self.store.put_credentials(service, &keys, Expected::Any).await;
            return kept.map(drop).at(Step::Credentials);
        }
        if chosen && self.store.credentials(service).await.at(Step::Credentials)?.is_none() {
            let message =
                "the keys that were chosen were not stored before the restart; deploy again with them";
            return Err(failed(Step::Credentials, Reaction::Retry, message));
        }
        Ok(())
    }

    async fn ensure_credentials(
        &self,
        operation: &Operation,
        service: &ServiceName,
        auth: AuthMode,
    ) -> Result<(), OperationState> {
        if auth != AuthMode::Off {
            operation.emit(Event::Began(Step::Credentials));
        }
        match auth {
            AuthMode::Off => {}
            AuthMode::Keys => {
                let new = self.make_keys(service).await.at(Step::Credentials)?;
                operation.emit(Event::Credentials { new });
            }
            AuthMode::Token => {
                let new = self.stand_issuer().await.at(Step::Credentials)?.new;
                operation.emit(Event::Issuer { new });
            }
        }
        Ok(())
    }
}

fn first_document(
    present: Option<&EndpointSpec>,
    wanted: &EndpointSpec,
    again: bool,
) -> Result<EndpointSpec, Fault> {
    match present {
        None => Ok(wanted.clone()),
        // This operation's own, from before the restart; whatever happened to it since is somebody's will.
        Some(present) if again || present == wanted => Ok(present.clone()),
        Some(_) => Err(Fault::new(
            "name",
            "an endpoint of this name was created meanwhile; look at it, or choose another",
        )),
    }
}

fn existing(present: Option<&EndpointSpec>) -> Result<&EndpointSpec, Fault> {
    present.ok_or_else(|| Fault::new("endpoint", "it was deleted meanwhile"))
}

const BEYOND_GRACE: Duration = Duration::from_secs(30);
