//! The backend: one client, one namespace, all seams.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kube::{Api, Client};
use portway_backend::{Backend, BackendError, Fence, Fleet, ReplicaId, Status, Workload, WorkloadId};
use tokio::sync::watch;

use crate::apply::apply;
use crate::connect::aware;
use crate::deployer_lease::DeployerLease;
use crate::drift::Applied;
use crate::hpa_guard::OtherScalers;
use crate::leases::Sightings;
use crate::options::Options;
use crate::remove::remove;
use crate::replicas::Replicas;
use crate::scale::{Marks, scale};
use crate::server::Server;

/// Replicas, documents and leases in one namespace of a Kubernetes cluster.
///
/// Cheap to clone; clones share their watches.
#[derive(Clone)]
pub struct K8sBackend {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) options: Options,
    pub(crate) server: Server,
    pub(crate) other_scalers: OtherScalers,
    pub(crate) applied: Applied,
    pub(crate) deployer: DeployerLease,
    pub(crate) leases: Sightings,
    pub(crate) marks: Marks,
    pub(crate) replicas: Replicas,
}

impl K8sBackend {
    /// A backend that speaks to the cluster of `client`, in the namespace of `options`.
    ///
    /// Asks the server for its version once. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](portway_backend::ErrorKind::Unavailable) when the server cannot be asked.
    pub async fn from_client(client: Client, options: Options) -> Result<Self, BackendError> {
        let client = aware(client);
        let server = Server::ask(&client).await?;
        for lack in server.lacks() {
            tracing::warn!(version = server.version, "the API server lacks {lack}");
        }
        let (other_scalers, applied, deployer, leases, marks, replicas) = Default::default();
        let inner =
            Inner { client, options, server, other_scalers, applied, deployer, leases, marks, replicas };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The API server's version and what it lacks.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.inner.server
    }

    /// How many objects were found changed by somebody else and put back, since this backend was made.
    ///
    /// An apply counts what it puts back. While the workloads of this process are watched, a changed Deployment is also put
    /// back without being asked. Each time is logged with what had changed.
    #[must_use]
    pub fn drift_corrected(&self) -> u64 {
        self.inner.applied.corrected()
    }

    /// Gives back the name of the deployer, so that another process may use it at once; what runs goes on running.
    ///
    /// Without it the name becomes free by itself within 75 s. A later apply or remove takes it again.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](portway_backend::ErrorKind::Unavailable): it then becomes free by itself.
    pub async fn shut_down(&self) -> Result<(), BackendError> {
        self.inner.applied.forget_all();
        self.inner.deployer.release(self).await
    }
}

#[async_trait]
impl Fleet for K8sBackend {
    async fn watch(&self, id: &WorkloadId) -> Result<watch::Receiver<Arc<Status>>, BackendError> {
        self.inner.watch_workload(id).await
    }

    async fn scale(
        &self,
        id: &WorkloadId,
        to: u32,
        drained: &[ReplicaId],
        fence: Fence,
    ) -> Result<(), BackendError> {
        scale(self, id, to, drained, fence).await
    }
}

#[async_trait]
impl Backend for K8sBackend {
    async fn apply(&self, desired: &Workload) -> Result<(), BackendError> {
        apply(self, desired).await
    }

    async fn logs(&self, id: &WorkloadId, lines: usize) -> Result<String, BackendError> {
        self.inner.workload_logs(id, lines).await
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), BackendError> {
        remove(self, id).await
    }
}

impl Inner {
    /// The objects of a kind in our namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.options.namespace)
    }
}

impl fmt::Debug for K8sBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { options, server, .. } = &*self.inner;
        f.debug_struct("K8sBackend")
            .field("namespace", &options.namespace)
            .field("owner", &options.owner)
            .field("server", &server.version)
            .finish_non_exhaustive()
    }
}
