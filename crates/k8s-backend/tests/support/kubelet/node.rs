//! The node itself: registered, alive, taken away.

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{FAKE_NODE, Room};

/// Removes nodes that tests left behind when they died.
pub(super) async fn sweep(client: &Client) {
    let nodes: Api<Node> = Api::all(client.clone());
    let fakes = nodes.list(&ListParams::default().labels(FAKE_NODE)).await.map(|list| list.items);
    for node in fakes.unwrap_or_default() {
        let beats = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let last =
            beats.filter_map(|condition| condition.last_heartbeat_time.as_ref()).map(|time| time.0).max();
        let last = last.or_else(|| node.metadata.creation_timestamp.as_ref().map(|time| time.0));
        if last.is_some_and(|last| Timestamp::now().duration_since(last) > LEFT_BEHIND) {
            forget(client, &node.name_any()).await;
        }
    }
}

pub(super) async fn forget(client: &Client, node: &str) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let _ = leases.delete(node, &DeleteParams::default()).await;
    let nodes: Api<Node> = Api::all(client.clone());
    let _ = nodes.delete(node, &DeleteParams::default()).await;
}

/// Makes the node, and returns once nothing but our own taint keeps pods away.
pub(super) async fn register(client: &Client, room: &Room, port: u16) -> String {
    let nodes: Api<Node> = Api::all(client.clone());
    let node: Node = serde_json::from_value(json!({
        "metadata": {"generateName": "portway-fake-", "labels": {
            FAKE_NODE: "", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        }},
        "spec": {"taints": [taint("")]},
    }))
    .expect("a node as it should be");
    let made = nodes.create(&PostParams::default(), &node).await.expect("a fake node can be registered");
    let name = made.name_any();
    let mut capacity = json!({"cpu": room.cpu, "memory": room.memory, "pods": room.pods.to_string(), "ephemeral-storage": "100Gi"});
    if room.gpus > 0 {
        capacity["nvidia.com/gpu"] = json!(room.gpus.to_string());
    }
    let mut status = node_status();
    status["status"]["capacity"] = capacity.clone();
    status["status"]["allocatable"] = capacity;
    status["status"]["daemonEndpoints"] = json!({"kubeletEndpoint": {"Port": port}});
    patch_status(&nodes, &name, &status).await.expect("the status of a fake node can be set");
    renew(client, &name).await;
    // An admission plugin taints new nodes as not ready; the node controller, if there is one, takes that back.
    let named = json!({FAKE_NODE: name, "kubernetes.io/hostname": name});
    let bare = Patch::Merge(json!({"metadata": {"labels": named}, "spec": {"taints": [taint(&name)]}}));
    nodes.patch(&name, &PatchParams::default(), &bare).await.expect("the taints of a fake node can be set");
    let mut seen = Box::pin(watcher::watch_object(nodes, &name).default_backoff());
    let bare = async {
        while let Some(node) = seen.next().await {
            let taints = node.ok().flatten().and_then(|node| node.spec).and_then(|spec| spec.taints);
            if taints.is_some_and(|taints| taints.iter().all(|each| each.key == FAKE_NODE)) {
                break;
            }
        }
    };
    timeout(Duration::from_secs(60), bare).await.expect("only our own taint stays on a fake node");
    name
}

fn taint(node: &str) -> Value {
    json!({"key": FAKE_NODE, "value": node, "effect": "NoSchedule"})
}

fn node_status() -> Value {
    let now = Timestamp::now();
    let fine = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": "", "lastHeartbeatTime": now, "lastTransitionTime": now});
    json!({"status": {
        "conditions": [
            fine("Ready", "True", "KubeletReady"),
            fine("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            fine("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            fine("PIDPressure", "False", "KubeletHasSufficientPID"),
        ],
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": "v1.20.2-fake", "bootID": "", "machineID": "",
            "systemUUID": "", "kernelVersion": "", "osImage": "", "containerRuntimeVersion": "", "kubeProxyVersion": "",
        },
    }})
}

pub(super) async fn heartbeats(client: Client, node: String) {
    let nodes: Api<Node> = Api::all(client.clone());
    let mut beat = tokio::time::interval(HEARTBEAT);
    loop {
        beat.tick().await;
        renew(&client, &node).await;
        let _ = patch_status(&nodes, &node, &node_status()).await;
    }
}

/// Renews the lease by which newer node controllers judge.
async fn renew(client: &Client, node: &str) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let spec = LeaseSpec {
        holder_identity: Some(node.to_owned()),
        lease_duration_seconds: Some(40),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..LeaseSpec::default()
    };
    let patch = Patch::Merge(json!({ "spec": spec }));
    if leases.patch(node, &PatchParams::default(), &patch).await.is_err() {
        let metadata = ObjectMeta { name: Some(node.to_owned()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec) };
        let _ = leases.create(&PostParams::default(), &lease).await;
    }
}

pub(super) async fn patch_status<K>(api: &Api<K>, name: &str, status: &Value) -> kube::Result<K>
where
    K: Clone + serde::de::DeserializeOwned + fmt::Debug,
{
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await
}

/// How often the node says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// After this long without a heartbeat a fake node was left behind by a test that died.
const LEFT_BEHIND: SignedDuration = SignedDuration::from_secs(120);
