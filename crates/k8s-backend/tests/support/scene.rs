//! Deployments and pods that a test makes by hand, in the place of the cluster's controllers and kubelets.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use portway_backend::{Fleet as _, Status, WorkloadId};
use portway_k8s_backend::{K8sBackend, Options};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::double::{ApiServer, Profile};

/// A server with one backend under test.
pub(crate) struct Scene {
    pub(crate) server: ApiServer,
    pub(crate) backend: K8sBackend,
    pub(crate) deployments: Api<Deployment>,
    pub(crate) pods: Api<Pod>,
    addresses: AtomicU32,
}

/// `endpoint/version`.
pub(crate) fn id(endpoint: &str) -> WorkloadId {
    WorkloadId::new(endpoint.parse().expect("a legal name"), "first".parse().expect("a legal name"))
}

/// What the objects of a workload are called: a readable part, and eight digits of a digest.
pub(crate) fn object_name(endpoint: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{endpoint}\0first").as_bytes());
    let digits: String = digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{endpoint}-first-{digits}")
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let server = ApiServer::new(Profile::new());
        let backend =
            K8sBackend::from_client(server.client("default"), Options::new()).await.expect("it answers");
        let stranger: Client = server.bystander("default");
        let (deployments, pods) =
            (Api::default_namespaced(stranger.clone()), Api::default_namespaced(stranger));
        server.reset_counts();
        Self { server, backend, deployments, pods, addresses: AtomicU32::new(1) }
    }

    pub(crate) async fn watch(&self, endpoint: &str) -> watch::Receiver<Arc<Status>> {
        self.backend.watch(&id(endpoint)).await.expect("it can be watched")
    }

    fn metadata(endpoint: &str, name: &str) -> Value {
        json!({
            "name": name,
            "labels": {
                "app.kubernetes.io/managed-by": "portway",
                "app.kubernetes.io/component": "replica",
                "portway.dev/workload": object_name(endpoint),
                "portway.dev/endpoint": endpoint,
                "portway.dev/version": "first",
                "portway.dev/owner": "portway",
            },
            "annotations": {
                "portway.dev/owner": "portway",
                "portway.dev/config-digest": format!("sha256:{}", "0".repeat(64)),
            },
        })
    }

    /// A Deployment whose controller has done its work.
    pub(crate) async fn deploy(&self, endpoint: &str, replicas: u32) {
        let name = object_name(endpoint);
        let deployment = json!({
            "metadata": Self::metadata(endpoint, &name),
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"portway.dev/workload": name}},
                "template": {
                    "metadata": {"labels": {"portway.dev/workload": name}},
                    "spec": {"containers": [{"name": "replica", "image": "reg/iris:1"}]},
                },
            },
        });
        let deployment = serde_json::from_value(deployment).expect("a Deployment as it should be");
        self.deployments.create(&PostParams::default(), &deployment).await.expect("it can be made");
        self.settle(endpoint, replicas).await;
    }

    /// Another number of replicas, seen by the controller.
    pub(crate) async fn scale(&self, endpoint: &str, replicas: u32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.deployments
            .patch(&object_name(endpoint), &PatchParams::default(), &patch)
            .await
            .expect("it can be scaled");
        self.settle(endpoint, replicas).await;
    }

    async fn settle(&self, endpoint: &str, replicas: u32) {
        let found = self.deployments.get(&object_name(endpoint)).await.expect("it is there");
        let status = json!({"observedGeneration": found.metadata.generation, "updatedReplicas": replicas});
        self.deployment_status(endpoint, status).await;
    }

    pub(crate) async fn deployment_status(&self, endpoint: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.deployments
            .patch_status(&object_name(endpoint), &PatchParams::default(), &patch)
            .await
            .expect("it has a status");
    }

    /// A pod that is being started.
    pub(crate) async fn pod(&self, endpoint: &str, name: &str) {
        let pod = json!({
            "metadata": Self::metadata(endpoint, name),
            "spec": {
                "nodeName": "n1", "terminationGracePeriodSeconds": 30,
                "containers": [{"name": "replica", "image": "reg/iris:1"}],
            },
        });
        let pod = serde_json::from_value(pod).expect("a pod as it should be");
        self.pods.create(&PostParams::default(), &pod).await.expect("it can be made");
    }

    pub(crate) async fn pod_status(&self, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.pods.patch_status(name, &PatchParams::default(), &patch).await.expect("it has a status");
    }

    pub(crate) async fn ready(&self, name: &str) {
        let number = self.addresses.fetch_add(1, Ordering::Relaxed);
        let [_, _, high, low] = number.to_be_bytes();
        let address = format!("10.0.{high}.{low}");
        let since = k8s_openapi::jiff::Timestamp::now();
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": since});
        self.pod_status(name, json!({"phase": "Running", "podIP": address, "conditions": [ready]})).await;
    }

    /// A pod that is ready.
    pub(crate) async fn ready_pod(&self, endpoint: &str, name: &str) {
        self.pod(endpoint, name).await;
        self.ready(name).await;
    }

    /// A Deployment with that many ready pods, called `endpoint-0` and so on.
    pub(crate) async fn healthy(&self, endpoint: &str, replicas: u32) {
        self.deploy(endpoint, replicas).await;
        for number in 0..replicas {
            self.ready_pod(endpoint, &format!("{endpoint}-{number}")).await;
        }
    }

    /// Tells a pod to go.
    pub(crate) async fn terminate(&self, name: &str) {
        self.pods.delete(name, &DeleteParams::default()).await.expect("it can be deleted");
    }

    /// A pod that is gone at once.
    pub(crate) async fn kill(&self, name: &str) {
        self.pods.delete(name, &DeleteParams::default().grace_period(0)).await.expect("it can be deleted");
    }
}
