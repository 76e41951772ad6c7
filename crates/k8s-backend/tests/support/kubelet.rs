//! A small fake kubelet for API servers without nodes.
//!
//! It registers a node, gives every pod that is bound to it (in the namespaces it was told) an address `127.x.y.z` of
//! its own, really serves HTTP there, and sets the pod's status as a kubelet does. It serves logs to the API server, one
//! line for each request. A test stages failures by a [`Fate`]. The node has a taint and a label, so that it gets only pods that were [placed](Kubelet::place) on it:
//! tests that run at the same time, and real nodes, do not disturb each other.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use portway_k8s_backend::{Options, Toleration};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The label and the taint of a fake node; the value is the node's name.
pub(crate) const FAKE_NODE: &str = "portway.dev/fake-node";
/// An annotation of a pod that decides its [`Fate`] whatever the test said: the fate's name in lower case with hyphens.
pub(crate) const FATE: &str = "portway.dev/fake-fate";
/// How often the node says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// After this long without a heartbeat a fake node was left behind by a test that died.
const LEFT_BEHIND: SignedDuration = SignedDuration::from_secs(120);
/// How long a request that failed waits for its next try.
const RETRY: Duration = Duration::from_millis(200);

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

// === The node ===

/// Removes nodes that tests left behind when they died.
async fn sweep(client: &Client) {
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

async fn forget(client: &Client, node: &str) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let _ = leases.delete(node, &DeleteParams::default()).await;
    let nodes: Api<Node> = Api::all(client.clone());
    let _ = nodes.delete(node, &DeleteParams::default()).await;
}

/// Makes the node, and returns once nothing but our own taint keeps pods away.
async fn register(client: &Client, room: &Room, port: u16) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("portway-fake-{}-{number}", std::process::id());
    let nodes: Api<Node> = Api::all(client.clone());
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {
            FAKE_NODE: name, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        }},
        "spec": {"taints": [taint(&name)]},
    }))
    .expect("a node as it should be");
    nodes.create(&PostParams::default(), &node).await.expect("a fake node can be registered");
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
    let bare = Patch::Merge(json!({"spec": {"taints": [taint(&name)]}}));
    nodes.patch(&name, &PatchParams::default(), &bare).await.expect("the taints of a fake node can be set");
    let mut seen = Box::pin(watcher::watch_object(nodes, &name).default_backoff());
    while let Some(node) = seen.next().await {
        let taints = node.ok().flatten().and_then(|node| node.spec).and_then(|spec| spec.taints);
        if taints.is_some_and(|taints| taints.iter().all(|each| each.key == FAKE_NODE)) {
            break;
        }
    }
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

async fn heartbeats(client: Client, node: String) {
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

async fn patch_status<K>(api: &Api<K>, name: &str, status: &Value) -> kube::Result<K>
where
    K: Clone + serde::de::DeserializeOwned + fmt::Debug,
{
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await
}

// === The pods ===

/// What the kubelet has done for a pod.
#[derive(Default)]
struct Kept {
    pod: Option<Pod>,
    /// The fate that its status shows.
    shown: Option<Fate>,
    server: Option<Server>,
    /// A request failed and is to be tried again, or it is not ready yet.
    pending: bool,
    /// Since when it is here.
    seen: Option<Instant>,
}

struct Runner {
    client: Client,
    node: String,
    plans: watch::Receiver<Plan>,
    kept: HashMap<String, Kept>,
    logs: Logs,
}

impl Runner {
    fn new(client: Client, node: &str, plans: watch::Receiver<Plan>, logs: Logs) -> Self {
        Self { client, node: node.to_owned(), plans, kept: HashMap::new(), logs }
    }

    async fn run(mut self, namespaces: Vec<Api<Pod>>) {
        let here = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node));
        let streams = namespaces.into_iter().map(|api| watcher(api, here.clone()).default_backoff().boxed());
        let mut events = stream::select_all(streams);
        loop {
            let pending = self.kept.values().any(|kept| kept.pending);
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) => self.seen(pod).await,
                    Some(Ok(watcher::Event::Delete(pod))) => { self.kept.remove(&uid(&pod)); }
                    Some(_) => {}
                    None => return,
                },
                changed = self.plans.changed() => match changed {
                    Ok(()) => self.all(false).await,
                    Err(_) => return,
                },
                () = tokio::time::sleep(RETRY), if pending => self.all(true).await,
            }
        }
    }

    async fn seen(&mut self, pod: Pod) {
        let uid = uid(&pod);
        self.kept.entry(uid.clone()).or_default().pod = Some(pod);
        self.settle(&uid).await;
    }

    async fn all(&mut self, only_pending: bool) {
        let affected = self.kept.iter().filter(|(_, kept)| !only_pending || kept.pending);
        let uids: Vec<String> = affected.map(|(uid, _)| uid.clone()).collect();
        for uid in uids {
            self.settle(&uid).await;
        }
    }

    /// Brings a pod to where the plan wants it.
    async fn settle(&mut self, uid: &str) {
        let plan = self.plans.borrow().clone();
        let Some(kept) = self.kept.get_mut(uid) else { return };
        let Some(pod) = kept.pod.clone() else { return };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        if pod.metadata.deletion_timestamp.is_some() {
            if !plan.holds_terminating {
                kept.server = None;
                let exactly = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
                let now = DeleteParams::default().grace_period(0).preconditions(exactly);
                kept.pending = is_worth_another_try(api.delete(&pod.name_any(), &now).await.err());
            }
            return;
        }
        let mut fate = fate(&pod, &plan);
        let is_early =
            fate == Fate::Ready && kept.seen.get_or_insert_with(Instant::now).elapsed() < plan.start;
        if is_early {
            fate = Fate::NeverReady;
            kept.pending = true;
        }
        if kept.shown.as_ref() == Some(&fate) || fate == Fate::Ignored {
            return;
        }
        if fate.runs() && kept.server.is_none() {
            kept.server = Some(Server::start(&pod, self.logs.clone()).await);
        }
        if !fate.runs() {
            kept.server = None;
        }
        self.logs.of_fate(&pod.name_any(), &fate);
        let status = pod_status(&pod, &fate, kept.server.as_ref().map(|server| server.address));
        match patch_status(&api, &pod.name_any(), &status).await {
            Ok(_) => {
                tell(&self.client, &self.node, &pod, &fate).await;
                (kept.shown, kept.pending) = (Some(fate), is_early);
            }
            Err(error) => kept.pending = is_worth_another_try(Some(error)),
        }
    }
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

fn is_worth_another_try(error: Option<kube::Error>) -> bool {
    error.is_some_and(
        |error| !matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409 | 422)),
    )
}

fn fate(pod: &Pod, plan: &Plan) -> Fate {
    let annotated = pod.annotations().get(FATE).and_then(|name| Fate::named(name));
    annotated.or_else(|| plan.named.get(&pod.name_any()).cloned()).unwrap_or_else(|| plan.next.clone())
}

fn pod_status(pod: &Pod, fate: &Fate, address: Option<SocketAddr>) -> Value {
    let now = Timestamp::now();
    let is_ready = *fate == Fate::Ready;
    let condition = |kind: &str, is_true: bool| json!({"type": kind, "status": if is_true { "True" } else { "False" }, "lastTransitionTime": now});
    let mut status = json!({
        "phase": if fate.runs() || !matches!(fate, Fate::ImagePull(_) | Fate::ConfigError(_)) { "Running" } else { "Pending" },
        "startTime": now,
        "hostIP": "127.0.0.1",
        "conditions": [
            condition("Initialized", true), condition("Ready", is_ready), condition("ContainersReady", is_ready),
            condition("PodScheduled", true),
        ],
        "containerStatuses": container_statuses(pod, fate, now),
    });
    if let Some(address) = address {
        status["podIP"] = json!(address.ip());
        status["podIPs"] = json!([{"ip": address.ip()}]);
    }
    if let Fate::Evicted(message) = fate {
        status["phase"] = json!("Failed");
        status["reason"] = json!("Evicted");
        status["message"] = json!(message);
    }
    json!({ "status": status })
}

fn container_statuses(pod: &Pod, fate: &Fate, now: Timestamp) -> Vec<Value> {
    let ended = |code: i32, reason: &str| json!({"exitCode": code, "reason": reason, "startedAt": now, "finishedAt": now});
    let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
    let back_off = || waiting("CrashLoopBackOff", "back-off 10s restarting failed container");
    pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| {
        let image = container.image.clone().unwrap_or_default();
        let (state, last, restarts) = match fate {
            Fate::Ready | Fate::NeverReady | Fate::Ignored => (json!({"running": {"startedAt": now}}), json!({}), 0),
            Fate::ImagePull(cause) => {
                let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {cause}");
                (waiting("ImagePullBackOff", &message), json!({}), 0)
            }
            Fate::CrashLoop { code, restarts } => (back_off(), json!({"terminated": ended(*code, "Error")}), *restarts),
            Fate::OutOfMemory { restarts } => (back_off(), json!({"terminated": ended(137, "OOMKilled")}), *restarts),
            Fate::ConfigError(message) => (waiting("CreateContainerConfigError", message), json!({}), 0),
            Fate::Evicted(_) => (json!({"terminated": ended(137, "Error")}), json!({}), 0),
        };
        json!({
            "name": container.name, "image": image, "imageID": "", "ready": *fate == Fate::Ready, "started": fate.runs(),
            "restartCount": restarts, "state": state, "lastState": last,
        })
    }).collect()
}

/// Writes the event that a kubelet writes about a failure.
async fn tell(client: &Client, node: &str, pod: &Pod, fate: &Fate) {
    let (reason, message) = match fate {
        Fate::ImagePull(cause) => ("Failed", format!("Failed to pull image: {cause}")),
        Fate::CrashLoop { .. } | Fate::OutOfMemory { .. } => {
            ("BackOff", "Back-off restarting failed container".to_owned())
        }
        Fate::ConfigError(message) => ("Failed", format!("Error: {message}")),
        Fate::Evicted(message) => ("Evicted", message.clone()),
        Fate::Ready | Fate::NeverReady | Fate::Ignored => return,
    };
    let now = Timestamp::now();
    let namespace = pod.namespace().unwrap_or_default();
    let event: Event = serde_json::from_value(json!({
        "metadata": {"generateName": format!("{}.", pod.name_any()), "namespace": namespace},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "namespace": namespace, "uid": uid(pod),
        },
        "type": "Warning", "reason": reason, "message": message, "count": 1,
        "firstTimestamp": now, "lastTimestamp": now, "source": {"component": "kubelet", "host": node},
    }))
    .expect("an event as it should be");
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let _ = events.create(&PostParams::default(), &event).await;
}

// === The program of a pod ===

/// The port on which every pod serves.
const PORT: u16 = 8080;

/// Serves HTTP as a pod until it is dropped, which also ends its connections.
struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    async fn start(pod: &Pod, logs: Logs) -> Self {
        let listener = listener().await;
        let address = listener.local_addr().expect("it listens");
        logs.write(&pod.name_any(), &format!("listening on {address}"));
        let accepting = tokio::spawn(accept(listener, pod.name_any(), logs));
        Self { address, accepting }
    }
}

/// Listens at an address of 127.0.0.0/8 that nobody else has.
async fn listener() -> TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes begin far apart from each other; an address that is taken all the same is passed over.
    let start = std::process::id().wrapping_mul(2_654_435_761);
    for _ in 0..10_000 {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let [_, a, b, c] = number.to_be_bytes();
        let address = Ipv4Addr::new(127, 1 + a % 254, b, 1 + c % 254);
        if let Ok(listener) = TcpListener::bind((address, PORT)).await {
            return listener;
        }
    }
    panic!("no address of 127.0.0.0/8 has port {PORT} free");
}

async fn accept(listener: TcpListener, pod: String, logs: Logs) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let (pod, logs) = (pod.clone(), logs.clone());
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                logs.write(&pod, &format!("{} {}", request.method(), request.uri()));
                answer(request, pod.clone())
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// `GET /` is the pod's health; `POST` gives the body back, with the pod's name in `x-replica`.
async fn answer(request: Request<Incoming>, pod: String) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match *request.method() {
        Method::GET => (StatusCode::OK, Bytes::from_static(b"healthy\n")),
        Method::POST => match request.into_body().collect().await {
            Ok(body) => (StatusCode::OK, body.to_bytes()),
            Err(_) => (StatusCode::BAD_REQUEST, Bytes::new()),
        },
        _ => (StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    if let Ok(name) = pod.parse() {
        response.headers_mut().insert("x-replica", name);
    }
    Ok(response)
}

// === Logs ===

/// What each pod wrote, in its present run and in the one before.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<HashMap<String, [Vec<String>; 2]>>>);

impl Logs {
    fn write(&self, pod: &str, line: &str) {
        self.0.lock().expect("nobody panics").entry(pod.to_owned()).or_default()[0].push(line.to_owned());
    }

    /// A pod that crashed has written why.
    fn of_fate(&self, pod: &str, fate: &Fate) {
        if let Fate::CrashLoop { code, .. } = fate {
            let mut all = self.0.lock().expect("nobody panics");
            all.entry(pod.to_owned()).or_default()[1].push(format!("ending with {code}"));
        }
    }

    /// `/containerLogs/NAMESPACE/POD/CONTAINER?tailLines=…&previous=true`
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let pod = request.uri().path().split('/').nth(3).unwrap_or_default();
        let query = request.uri().query().unwrap_or_default();
        let value = |key: &str| {
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key)
        };
        let run = usize::from(value("previous").is_some_and(|(_, value)| value == "true"));
        let lines = value("tailLines").and_then(|(_, count)| count.parse().ok()).unwrap_or(usize::MAX);
        let all = self.0.lock().expect("nobody panics");
        let written = all.get(pod).map(|runs| &runs[run]).filter(|lines| !lines.is_empty());
        let Some(written) = written else {
            let mut response = Response::new(Full::from(format!("no log of pod {pod}\n")));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        };
        let last = &written[written.len().saturating_sub(lines)..];
        Response::new(Full::from(last.iter().map(|line| format!("{line}\n")).collect::<String>()))
    }
}

/// Serves logs as a kubelet does, with a certificate that nobody has signed.
async fn serve_logs(listener: TcpListener, logs: Logs) {
    let own =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key as it should be");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![own.cert.into()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("the key is that of the certificate")));
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let (acceptor, logs) = (acceptor.clone(), logs.clone());
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = hyper::service::service_fn(move |request| {
                let answer = logs.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
