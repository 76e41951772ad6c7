//! The backend: one client, one namespace, all seams.

use std::fmt;
use std::sync::Arc;

use kube::{Api, Client};
use portway_backend::BackendError;

use crate::drift::Applied;
use crate::hpa_guard::OtherScalers;
use crate::leases::Sightings;
use crate::options::Options;
use crate::replicas::Replicas;
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
    pub(crate) leases: Sightings,
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
        let server = Server::ask(&client).await?;
        for lack in server.lacks() {
            tracing::warn!(version = server.version, "the API server lacks {lack}");
        }
        let (other_scalers, applied, leases, replicas) = Default::default();
        Ok(Self {
            inner: Arc::new(Inner { client, options, server, other_scalers, applied, leases, replicas }),
        })
    }

    /// The API server's version and what it lacks.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.inner.server
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
