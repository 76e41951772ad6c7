//! The pods: each is brought to where the test wants it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::logs::Logs;
use super::node::patch_status;
use super::program::Server;
use super::{FATE, Fate, Plan};

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

pub(super) struct Runner {
    client: Client,
    node: String,
    plans: watch::Receiver<Plan>,
    kept: HashMap<String, Kept>,
    logs: Logs,
}

impl Runner {
    pub(super) fn new(client: Client, node: &str, plans: watch::Receiver<Plan>, logs: Logs) -> Self {
        Self { client, node: node.to_owned(), plans, kept: HashMap::new(), logs }
    }

    pub(super) async fn run(mut self, namespaces: Vec<Api<Pod>>) {
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

/// How long a request that failed waits for its next try.
const RETRY: Duration = Duration::from_millis(200);
