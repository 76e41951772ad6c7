//! A gateway and a deployer, each with rights of its own, as one backend.

use std::sync::Arc;

use async_trait::async_trait;
use portway_backend::{Backend, BackendError, Fence, Fleet, ReplicaId, Status, Workload, WorkloadId};
use portway_k8s_backend::K8sBackend;
use tokio::sync::watch;

/// Each call goes to the one who makes it.
pub(crate) struct Both {
    pub(crate) gateway: K8sBackend,
    pub(crate) deployer: K8sBackend,
}

#[async_trait]
impl Fleet for Both {
    async fn watch(&self, id: &WorkloadId) -> Result<watch::Receiver<Arc<Status>>, BackendError> {
        Fleet::watch(&self.gateway, id).await
    }

    async fn scale(
        &self,
        id: &WorkloadId,
        to: u32,
        drained: &[ReplicaId],
        fence: Fence,
    ) -> Result<(), BackendError> {
        self.gateway.scale(id, to, drained, fence).await
    }
}

#[async_trait]
impl Backend for Both {
    async fn apply(&self, desired: &Workload) -> Result<(), BackendError> {
        self.deployer.apply(desired).await
    }

    async fn logs(&self, id: &WorkloadId, lines: usize) -> Result<String, BackendError> {
        self.deployer.logs(id, lines).await
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), BackendError> {
        self.deployer.remove(id).await
    }
}
