//! A small fake kubelet for API servers without nodes.
//!
//! It registers a node, gives every pod that is bound to it (in the namespaces it was told) an address `127.x.y.z` of
//! its own, really serves HTTP there, and sets the pod's status as a kubelet does. It serves logs to the API server, one
//! line for each request. A test stages failures by a [`Fate`]. The node has a taint and a label, so that it gets only pods that were [placed](Kubelet::place) on it:
//! tests that run at the same time, and real nodes, do not disturb each other.
#![allow(dead_code, reason = "each test binary uses a part of it")]

#[path = "kubelet/logs.rs"]
mod logs;
#[path = "kubelet/node.rs"]
mod node;
#[path = "kubelet/pods.rs"]
mod pods;
#[path = "kubelet/program.rs"]
mod program;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt as _};
use portway_k8s_backend::{Options, Toleration};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use logs::{Logs, serve_logs};
use node::{forget, heartbeats, register, sweep};
use pods::Runner;

/// The label and the taint of a fake node; the value is the node's name.
pub(crate) const FAKE_NODE: &str = "portway.dev/fake-node";
/// An annotation of a pod that decides its [`Fate`] whatever the test said: the fate's name in lower case with hyphens.
pub(crate) const FATE: &str = "portway.dev/fake-fate";

/// What happens to a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It runs, serves, and is ready.
    Ready,
    /// It runs and serves, and is not ready.
    NeverReady,
    /// Nothing happens to it: no status is set at all.
    Ignored,
    /// Its image cannot be pulled, with the registry's words.
    ImagePull(String),
    /// Its program ended with this code, was started again this often, and waits for the next time.
    CrashLoop { code: i32, restarts: i32 },
    /// Its program was killed for its memory this often, and waits for the next start.
    OutOfMemory { restarts: i32 },
    /// Its configuration names something that does not exist.
    ConfigError(String),
    /// The node threw it out.
    Evicted(String),
}

impl Fate {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ready" => Self::Ready,
            "never-ready" => Self::NeverReady,
            "ignored" => Self::Ignored,
            "image-pull" => Self::ImagePull("manifest unknown".to_owned()),
            "crash-loop" => Self::CrashLoop { code: 1, restarts: 1 },
            "out-of-memory" => Self::OutOfMemory { restarts: 1 },
            "config-error" => Self::ConfigError("secret \"missing\" not found".to_owned()),
            "evicted" => Self::Evicted("The node was low on resource: memory.".to_owned()),
            _ => return None,
        })
    }

    fn runs(&self) -> bool {
        matches!(self, Self::Ready | Self::NeverReady)
    }
}

/// What a fake node has to give.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) cpu: &'static str,
    pub(crate) memory: &'static str,
    pub(crate) pods: u32,
    /// `nvidia.com/gpu`; none when 0.
    pub(crate) gpus: u32,
}

impl Default for Room {
    fn default() -> Self {
        Self { cpu: "64", memory: "256Gi", pods: 500, gpus: 0 }
    }
}

/// What a test asked of the kubelet.
#[derive(Clone, Debug)]
struct Plan {
    /// The fate of pods that are not named.
    next: Fate,
    /// The fates of named pods.
    named: HashMap<String, Fate>,
    /// Pods that are being deleted stay, ready as they were.
    holds_terminating: bool,
    /// How long a pod runs before it is ready.
    start: Duration,
}

/// The kubelet of one fake node. Call [`stop`](Self::stop) at the end; a node whose test died is swept by the next one.
pub(crate) struct Kubelet {
    client: Client,
    node: String,
    namespaces: Vec<String>,
    plan: watch::Sender<Plan>,
    tasks: JoinSet<()>,
}

impl fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubelet")
            .field("node", &self.node)
            .field("plan", &self.plan.borrow())
            .finish_non_exhaustive()
    }
}

impl Kubelet {
    /// Registers a node with `room` and begins to run the pods of `namespaces` that are bound to it.
    pub(crate) async fn start(client: &Client, namespaces: &[&str], room: &Room) -> Self {
        sweep(client).await;
        let (logs, listener) =
            (Logs::default(), TcpListener::bind("127.0.0.1:0").await.expect("a port is free"));
        let port = listener.local_addr().expect("it listens").port();
        let node = register(client, room, port).await;
        let namespaces: Vec<String> = namespaces.iter().map(|&each| each.to_owned()).collect();
        let plan = Plan {
            next: Fate::Ready,
            named: HashMap::new(),
            holds_terminating: false,
            start: Duration::ZERO,
        };
        let (plan, plans) = watch::channel(plan);
        let mut tasks = JoinSet::new();
        let pods = namespaces.iter().map(|name| Api::namespaced(client.clone(), name)).collect();
        tasks.spawn(Runner::new(client.clone(), &node, plans, logs.clone()).run(pods));
        tasks.spawn(serve_logs(listener, logs));
        tasks.spawn(heartbeats(client.clone(), node.clone()));
        Self { client: client.clone(), node, namespaces, plan, tasks }
    }

    /// The node's name.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// Lets replicas run on this node, and only here.
    pub(crate) fn place(&self, options: &mut Options) {
        options.node_selector.insert(FAKE_NODE.to_owned(), self.node.clone());
        options.tolerations.push(Toleration::of(FAKE_NODE));
    }

    /// Decides what happens to every pod that is not named, those that run already included.
    pub(crate) fn all(&self, fate: Fate) {
        self.plan.send_modify(|plan| plan.next = fate);
    }

    /// Decides what happens to one pod from now on.
    pub(crate) fn one(&self, pod: &str, fate: Fate) {
        self.plan.send_modify(|plan| {
            plan.named.insert(pod.to_owned(), fate);
        });
    }

    /// Lets pods run this long before they are ready, as programs do: for what depends on who is ready first.
    pub(crate) fn start_takes(&self, start: Duration) {
        self.plan.send_modify(|plan| plan.start = start);
    }

    /// Whether pods that are being deleted stay, ready as they were, until this is called with `false`.
    pub(crate) fn hold_terminating(&self, holds: bool) {
        self.plan.send_modify(|plan| plan.holds_terminating = holds);
    }

    /// Ends all pods of the node and the node itself.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
        for namespace in &self.namespaces {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
            let here = ListParams::default().fields(&format!("spec.nodeName={}", self.node));
            for pod in pods.list(&here).await.map(|list| list.items).unwrap_or_default() {
                let _ = pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await;
            }
        }
        forget(&self.client, &self.node).await;
    }
}
