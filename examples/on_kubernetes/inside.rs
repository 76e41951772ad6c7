//! The gateway in the cluster: what `k8s_manifests` prints, applied, and taken away again.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::KubeConfigOptions;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::conditions::is_deployment_completed;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config};
use portway_k8s_backend::K8sBackend;
use portway_k8s_backend::manifest::Gateway;
use portway_k8s_backend::rbac::Role;
use serde_json::Value;

use crate::client::Load;
use crate::options::Options;
use crate::stop_signal;

pub(crate) struct Inside {
    pub(crate) address: SocketAddr,
    made: Made,
}

/// What was applied, in the order in which it was.
struct Made {
    client: Client,
    namespace: String,
    objects: Vec<DynamicObject>,
}

impl Inside {
    pub(crate) async fn open(backend: &K8sBackend, image: &str, options: &Options) -> anyhow::Result<Self> {
        let made = Made::of(backend, image, options).await?;
        println!("applying a gateway: {image}");
        let name = Role::Gateway.name(&options.cluster);
        let stood = tokio::select! {
            stood = made.stand(&name, options.ready_within) => stood,
            signal = stop_signal() => signal.and_then(|()| bail!("interrupted")),
        };
        let address = match stood {
            Ok(address) => address,
            Err(error) => {
                if let Err(left) = made.remove().await {
                    eprintln!("not everything of the gateway could be removed: {left:#}");
                }
                return Err(error);
            }
        };
        println!("gateway on http://{address}, a pod of the cluster");
        Ok(Self { address, made })
    }

    /// What the clients see, until the future is dropped.
    pub(crate) async fn show(&self, load: &Load) {
        let mut every = tokio::time::interval(Duration::from_secs(5));
        loop {
            every.tick().await;
            let tally = load.tally();
            println!("{} answered, {} failed: {:?}", tally.answered, tally.failures, tally.by_version);
        }
    }

    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.made.remove().await
    }
}

/// Takes away the gateway that an earlier run left behind, if there is one.
pub(crate) async fn remove_left(backend: &K8sBackend, options: &Options) -> anyhow::Result<()> {
    // Their names depend on the owner alone.
    Made::of(backend, "left:behind", options).await?.remove().await
}

impl Made {
    async fn of(backend: &K8sBackend, image: &str, options: &Options) -> anyhow::Result<Self> {
        let (cluster, server) = (&options.cluster, backend.server());
        let mut gateway = Gateway::new(image);
        gateway.node_selector.clone_from(&cluster.node_selector);
        gateway.tolerations.clone_from(&cluster.tolerations);
        gateway.features.keda = server.has_scaled_objects;
        gateway.features.deletion_cost = server.has_deletion_cost;
        let mut list: Value = serde_json::from_str(&gateway.to_json(cluster, server)?)?;
        let objects = serde_json::from_value(list["items"].take())?;
        Ok(Self { client: client(options).await?, namespace: cluster.namespace.clone(), objects })
    }

    /// Applies everything and waits for the gateway's pods; the address of one of them.
    async fn stand(&self, name: &str, limit: Duration) -> anyhow::Result<SocketAddr> {
        let ours = PatchParams::apply("portway-on-kubernetes");
        for object in &self.objects {
            let object_name = object.metadata.name.as_deref().context("an object without a name")?;
            self.api(object)?.patch(object_name, &ours, &Patch::Apply(object)).await?;
        }
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), &self.namespace);
        let ready = await_condition(deployments, name, is_deployment_completed());
        tokio::time::timeout(limit, ready)
            .await
            .context("the gateway's pods are not ready; see kubectl get pods")??;
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.namespace);
        let gateways = ListParams::default().labels(&format!("app.kubernetes.io/instance={name}"));
        let found = pods.list(&gateways).await?;
        let address = found.items.iter().find_map(|pod| pod.status.as_ref()?.pod_ip.clone());
        Ok(SocketAddr::new(address.context("the gateway's pods have no address")?.parse()?, PORT))
    }

    /// Deletes everything, and returns when the gateway's pods are gone: the Deployment goes after them.
    async fn remove(&self) -> anyhow::Result<()> {
        for object in self.objects.iter().rev() {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            match self.api(object)?.delete(name, &DeleteParams::foreground()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                done => drop(done?),
            }
        }
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), &self.namespace);
        for object in self.objects.iter().filter(|object| is_deployment(object)) {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            let gone =
                await_condition(deployments.clone(), name, |found: Option<&Deployment>| found.is_none());
            tokio::time::timeout(GOING, gone).await.context("the gateway's pods are not gone yet")??;
        }
        Ok(())
    }

    fn api(&self, object: &DynamicObject) -> anyhow::Result<Api<DynamicObject>> {
        let types = object.types.as_ref().context("an object without a kind")?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
        Ok(Api::namespaced_with(self.client.clone(), &self.namespace, &resource))
    }
}

/// A client of our own, for what is no workload: the gateway's objects, and a pod that is killed.
pub(crate) async fn client(options: &Options) -> anyhow::Result<Client> {
    let context = options.cluster.context.clone();
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if context.is_none() && !is_set("KUBECONFIG") && is_set("KUBERNETES_SERVICE_HOST") {
        // As the backend does: the cluster of the pod before a file that lies in it.
        return Ok(Client::try_from(Config::incluster()?)?);
    }
    let choice = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    Ok(Client::try_from(Config::from_kubeconfig(&choice).await?)?)
}

fn is_deployment(object: &DynamicObject) -> bool {
    object.types.as_ref().is_some_and(|types| types.kind == "Deployment")
}

const PORT: u16 = 8080;
/// More than a gateway's pod may take to end.
const GOING: Duration = Duration::from_secs(120);
