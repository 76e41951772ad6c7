//! Going on after a restart.

use std::collections::BTreeSet;

use portway_backend::{BackendError, DocKind, Expected, Versioned, WorkloadId};
use portway_deploy_config::ServiceName;

use crate::record::Record;
use crate::store::retried;
use crate::{Deployer, Operation};

/// What a start found and did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Resumed {
    /// Operations that were under way when the last process ended; they run again from their first step, and steps that
    /// were done are found done.
    pub operations: Vec<Operation>,
    /// Services whose verifier did not belong to their credentials and was written anew.
    pub verifiers: Vec<ServiceName>,
    /// Whether the public keys of the issuer of tokens did not belong to its secret ones and were written anew.
    pub issuer: bool,
    /// Why the issuer of tokens could not be looked after. It issues none until that is mended; the services go on.
    pub issuer_fault: Option<BackendError>,
    /// Services that could not be looked after, and why. They are as they were.
    pub faults: Vec<(ServiceName, BackendError)>,
}

impl Deployer {
    /// Picks up what an earlier process left: operations under way go on, workloads are applied again, what no endpoint
    /// document names is removed, and verifiers are made to fit their credentials, the issuer's public keys its secret ones.
    ///
    /// Call it once, before anything else. Calling it again is harmless.
    ///
    /// # Errors
    ///
    /// [`ErrorKind`](portway_backend::ErrorKind) of the catalog when it cannot be listed; the fault of a single service is in
    /// [`Resumed::faults`] and stops nothing else.
    pub async fn resume(&self) -> Result<Resumed, BackendError> {
        let mut resumed = Resumed::default();
        let known = self.store.names(DocKind::Operation).await?;
        let services: BTreeSet<ServiceName> = known.into_iter().collect();
        for service in services {
            match self.resume_service(&service).await {
                Ok(operation) => resumed.operations.extend(operation),
                Err(error) => resumed.faults.push((service, error)),
            }
        }
        resumed.verifiers = self.repair_verifiers().await?;
        match self.publish_issuer().await {
            Ok(repaired) => resumed.issuer = repaired,
            Err(error) => resumed.issuer_fault = Some(error),
        }
        Ok(resumed)
    }

    async fn resume_service(&self, service: &ServiceName) -> Result<Option<Operation>, BackendError> {
        let _door = self.live.door.lock().await;
        let Some(Versioned { value: record, revision }) = self.store.record(service).await? else {
            return Ok(None);
        };
        let Some((id, request)) = record.running(service) else {
            self.settle(service, record, Expected::At(revision)).await?;
            return Ok(None);
        };
        if self.live.is_running(&id) {
            return Ok(None);
        }
        let operation = Operation::start(id);
        self.live.add(&operation);
        tokio::spawn(self.clone().carry_out(operation.clone(), request.clone(), None, true));
        Ok(Some(operation))
    }

    /// Makes the backend run what the endpoint document names, and nothing else of this service.
    async fn settle(
        &self,
        service: &ServiceName,
        mut record: Record,
        expected: Expected,
    ) -> Result<(), BackendError> {
        let endpoint = self.store.endpoint(service).await?.map(|found| found.value);
        let routed = |name: &_| endpoint.as_ref().is_some_and(|endpoint| endpoint.version(name).is_some());
        let before = record.workloads.len();
        for name in record.workloads.keys().filter(|name| !routed(name)) {
            let id = WorkloadId::new(service.clone(), name.clone());
            retried(|| self.backend.remove(&id)).await?;
        }
        record.workloads.retain(|name, _| routed(name));
        for workload in record.workloads.values() {
            retried(|| self.backend.apply(workload)).await?;
        }
        if endpoint.is_none() {
            self.store.delete(DocKind::Verifier, service).await?;
            self.store.delete(DocKind::Credentials, service).await?;
        }
        self.sweep_projects(service, &record).await?;
        if record.workloads.len() != before {
            self.store.put_record(service, &record, expected).await?;
        }
        Ok(())
    }
}
