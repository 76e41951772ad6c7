//! Whether a version finds room, before anything is applied (RUN-1; nodes are never scaled).

use portway_backend::{BackendError, DocKind, Workload, WorkloadId};
use portway_deploy_config::{Amounts, Demand, Fit, Resources};

use crate::steps::{At as _, failed};
use crate::{Deployer, Event, Operation, OperationState, Reaction, Step};

impl Deployer {
    /// Fails if the first replicas of a version would not fit beside what was deployed before. Without knowledge of the nodes it
    /// is the backend that says so, when it is asked.
    pub(crate) async fn fits(
        &self,
        operation: &Operation,
        id: &WorkloadId,
        replicas: u32,
        resources: &Resources,
    ) -> Result<(), OperationState> {
        let Some(capacity) = &self.capacity else { return Ok(()) };
        operation.emit(Event::Began(Step::Fit));
        let mut demands = self.demands_beside(id).await.at(Step::Fit)?;
        demands.push(demand(id, replicas, resources));
        match capacity.fit(&demands) {
            Fit::Fits(_) => {
                operation.emit(Event::Fits { replicas });
                Ok(())
            }
            Fit::Short(short) => {
                let message = format!("{short}; ask for less, delete another version, or add nodes");
                Err(failed(Step::Fit, Reaction::MakeRoom, message))
            }
        }
    }

    /// What the other versions were deployed with.
    async fn demands_beside(&self, id: &WorkloadId) -> Result<Vec<Demand>, BackendError> {
        let mut demands = Vec::new();
        for service in self.store.names(DocKind::Operation).await? {
            let workloads = self.record(&service).await?.workloads.into_values();
            let others = workloads.filter(|workload: &Workload| workload.id != *id);
            demands.extend(others.map(|other| demand(&other.id, other.initial_replicas, &other.resources)));
        }
        Ok(demands)
    }
}

fn demand(id: &WorkloadId, replicas: u32, resources: &Resources) -> Demand {
    Demand { name: id.to_string(), request: Amounts::from(resources), replicas, ..Demand::default() }
}
