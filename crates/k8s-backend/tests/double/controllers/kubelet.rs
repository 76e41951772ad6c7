//! A scheduler and a kubelet in one: pods get a node and an address and become ready, unless the test stages otherwise.

use std::sync::Arc;

use serde_json::{Value, json};

use super::set_condition;
use crate::double::server::State;
use crate::double::store::Key;
use crate::double::write::Part;

/// The one node.
pub const NODE: &str = "node-1";

/// What becomes of a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It runs and is ready.
    Ready,
    /// It runs and is not ready.
    Running,
    /// Nobody has looked at it: no node, no condition.
    Pending,
    /// No node takes it; the scheduler's message.
    Unschedulable(String),
    /// Its image cannot be pulled; the kubelet's message.
    ImagePullBackOff(String),
    /// Its program ends at once, again and again, with this exit code.
    CrashLoopBackOff(i32),
}

/// Which pods.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Which {
    All,
    Named(String),
    /// Those with this label.
    Labelled(String, String),
    /// Those whose first container has an image with this in its name.
    Image(String),
}

impl Which {
    fn is(&self, pod: &Value) -> bool {
        match self {
            Self::All => true,
            Self::Named(name) => pod["metadata"]["name"] == **name,
            Self::Labelled(label, value) => pod["metadata"]["labels"][label] == **value,
            Self::Image(part) => {
                pod["spec"]["containers"][0]["image"].as_str().is_some_and(|image| image.contains(&**part))
            }
        }
    }
}

/// What is staged.
#[derive(Debug, Default)]
pub struct Kubelet {
    /// The last that is about a pod counts.
    stages: Vec<(Which, Outcome)>,
    /// Whether pods that are deleted stay until the test lets them go.
    pub holds_terminating: bool,
    addresses: u32,
}

impl Kubelet {
    pub fn stage(&mut self, which: Which, outcome: Outcome) {
        self.stages.push((which, outcome));
    }

    fn outcome(&self, pod: &Value) -> Outcome {
        let staged = self.stages.iter().rev().find(|(which, _)| which.is(pod));
        staged.map_or(Outcome::Ready, |(_, outcome)| outcome.clone())
    }
}

impl State {
    /// One step in a pod's life; the next follows from the event of this one.
    pub(super) fn reconcile_pod(&mut self, key: &Key, pod: &Arc<Value>) {
        if pod["metadata"].get("deletionTimestamp").is_some() {
            return self.terminate(key, pod);
        }
        let outcome = self.controllers.kubelet.outcome(pod);
        let is_placed = pod["spec"]["nodeName"].is_string();
        match outcome {
            _ if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) => {}
            Outcome::Pending => {}
            _ if !is_placed && pod["spec"]["schedulerName"] != "default-scheduler" => {}
            Outcome::Unschedulable(_) if is_placed => {}
            Outcome::Unschedulable(message) => {
                let mut status = pod["status"].clone();
                let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
                set_condition(&mut status, &self.clock.now(), condition);
                self.write_status(key, pod, status);
            }
            _ if !is_placed => self.place(key, pod),
            outcome => {
                let status = self.pod_status(pod, &outcome);
                self.write_status(key, pod, status);
            }
        }
    }

    fn place(&mut self, key: &Key, pod: &Arc<Value>) {
        let mut placed = Value::clone(pod);
        placed["spec"]["nodeName"] = NODE.into();
        set_condition(
            &mut placed["status"],
            &self.clock.now(),
            json!({"type": "PodScheduled", "status": "True"}),
        );
        // Both in one write, as the binding subresource does it.
        self.store.put(key, placed);
    }

    fn pod_status(&mut self, pod: &Value, outcome: &Outcome) -> Value {
        let (mut status, now) = (pod["status"].clone(), self.clock.now());
        let runs = matches!(outcome, Outcome::Ready | Outcome::Running | Outcome::CrashLoopBackOff(_));
        status["phase"] = if runs { "Running" } else { "Pending" }.into();
        status["hostIP"] = "10.0.0.1".into();
        if status["startTime"].is_null() {
            status["startTime"] = now.clone().into();
        }
        if runs && status["podIP"].is_null() {
            self.controllers.kubelet.addresses += 1;
            let [_, high, middle, low] = self.controllers.kubelet.addresses.to_be_bytes();
            let address = format!("10.{}.{middle}.{low}", 128 + (high & 0x7f));
            status["podIP"] = address.clone().into();
            status["podIPs"] = json!([{"ip": address}]);
        }
        let ready = *outcome == Outcome::Ready;
        let says = if ready { "True" } else { "False" };
        set_condition(&mut status, &now, json!({"type": "Initialized", "status": "True"}));
        for kind in ["ContainersReady", "Ready"] {
            let mut condition = json!({"type": kind, "status": says});
            if !ready {
                let name = pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default();
                condition["reason"] = "ContainersNotReady".into();
                condition["message"] = format!("containers with unready status: [{name}]").into();
            }
            set_condition(&mut status, &now, condition);
        }
        let started =
            pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"].as_str().unwrap_or(&now);
        status["containerStatuses"] = json!([container_status(pod, outcome, started)]);
        status
    }

    fn terminate(&mut self, key: &Key, pod: &Arc<Value>) {
        if self.controllers.kubelet.holds_terminating {
            return;
        }
        let mut status = pod["status"].clone();
        for kind in ["ContainersReady", "Ready"] {
            set_condition(&mut status, &self.clock.now(), json!({"type": kind, "status": "False"}));
        }
        self.write_status(key, pod, status);
        self.store.remove(key);
    }
}

fn container_status(pod: &Value, outcome: &Outcome, started: &str) -> Value {
    let container = &pod["spec"]["containers"][0];
    let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default();
    let mut status = json!({
        "name": container["name"], "image": container["image"], "imageID": "", "lastState": {},
        "ready": *outcome == Outcome::Ready, "restartCount": restarts, "state": {"running": {"startedAt": started}},
    });
    match outcome {
        Outcome::ImagePullBackOff(message) => {
            status["state"] = json!({"waiting": {"reason": "ImagePullBackOff", "message": message}});
        }
        Outcome::CrashLoopBackOff(code) => {
            let name = container["name"].as_str().unwrap_or_default();
            let message = format!("back-off 5m0s restarting failed container={name}");
            status["state"] = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
            status["lastState"] = json!({"terminated": {"exitCode": code, "reason": "Error"}});
            status["restartCount"] = 5.into();
        }
        _ => {}
    }
    status
}
