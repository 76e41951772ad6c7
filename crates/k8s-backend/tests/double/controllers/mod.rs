//! Controllers in miniature: garbage, Deployments, ReplicaSets and a kubelet, for a server that has them switched on.
//!
//! They run after every change until nothing is left to do, step by step, so that watches see every state in order. They
//! never wait: what takes time in a cluster takes until the test says so here.

mod deployments;
mod garbage;
mod kubelet;
mod replica_sets;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use self::kubelet::Kubelet;
pub use self::kubelet::{Outcome, Which};
use super::refusal::Answer;
use super::resources::Kind;
use super::server::State;
use super::store::{Change, Event, Key};
use super::write::{Part, Write};

/// More steps than any test takes; more means that two controllers undo each other's work.
const MAX_STEPS: usize = 5_000_000;

/// What runs, and what it has to look at.
#[derive(Debug, Default)]
pub struct Controllers {
    pub(super) on: bool,
    pub(super) kubelet: Kubelet,
    queue: BTreeSet<Key>,
    /// The last revision that was looked at.
    seen: u64,
    /// Deployments whose progress deadline the test has let pass, by uid and generation.
    overdue: BTreeSet<(String, u64)>,
}

impl State {
    /// Lets the controllers work until nothing is left to do.
    pub(super) fn settle(&mut self) {
        if !self.controllers.on {
            return;
        }
        for _ in 0..MAX_STEPS {
            let fresh: Vec<Event> = self.store.since(self.controllers.seen).cloned().collect();
            self.controllers.seen = self.store.revision();
            fresh.iter().for_each(|event| self.note(event));
            match self.controllers.queue.pop_first() {
                Some(key) => self.reconcile(&key),
                None if fresh.is_empty() => return,
                None => {}
            }
        }
        panic!("the controllers do not come to rest");
    }

    /// Has all objects of a kind looked at again.
    pub(super) fn requeue(&mut self, plural: &str) {
        let all = self.store.list(Kind::named(plural), "").map(|(key, _)| key.clone());
        self.controllers.queue.extend(all);
    }

    /// Lets a Deployment's progress deadline pass.
    pub(super) fn pass_deadline(&mut self, namespace: &str, name: &str) {
        let key = Key::new(Kind::named("deployments"), namespace, name);
        let Some(deployment) = self.store.get(&key) else { return };
        self.controllers.overdue.insert(generation_of(deployment));
        self.controllers.queue.insert(key);
    }

    /// Notes who has to look at what has happened.
    fn note(&mut self, event: &Event) {
        let (object, is_gone) = match &event.change {
            Change::Added(new) | Change::Modified { new, .. } => (new, false),
            Change::Deleted(last) => (last, true),
        };
        if is_gone {
            self.collect_garbage(&event.key, object);
        } else {
            self.controllers.queue.insert(event.key.clone());
        }
        let owners = owners(object).filter_map(|owner| owner_key(&event.key.namespace, owner));
        self.controllers.queue.extend(owners);
        if event.key.kind.plural == "serviceaccounts" && !is_gone {
            self.requeue("replicasets");
        }
    }

    fn reconcile(&mut self, key: &Key) {
        let Some(object) = self.store.get(key).cloned() else { return };
        if object["metadata"].get("deletionTimestamp").is_some() && self.finish_deletion(key, &object) {
            return;
        }
        match key.kind.plural {
            "pods" => self.reconcile_pod(key, &object),
            "replicasets" => self.reconcile_replica_set(key, &object),
            "deployments" => self.reconcile_deployment(key, &object),
            _ => {}
        }
    }

    /// Writes an object as a controller does.
    fn write(&mut self, key: &Key, old: &Arc<Value>, new: Value, part: Part) -> Answer<Arc<Value>> {
        self.replace(key, old, new, &Write::within(part))
    }

    /// Writes a status, which no rule refuses.
    fn write_status(&mut self, key: &Key, old: &Arc<Value>, status: Value) {
        let mut new = Value::clone(old);
        new["status"] = status;
        if let Err(refusal) = self.write(key, old, new, Part::Status) {
            panic!("a controller's status is refused: {}", refusal.message());
        }
    }
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

fn owner_key(namespace: &str, owner: &Value) -> Option<Key> {
    let kind = Kind::of(owner["apiVersion"].as_str()?, owner["kind"].as_str()?)?;
    Some(Key::new(kind, if kind.namespaced { namespace } else { "" }, owner["name"].as_str()?))
}

/// Whether an object is owned by the one with this uid.
fn is_owned_by(object: &Value, uid: &Value) -> bool {
    owners(object).any(|owner| owner["uid"] == *uid)
}

fn generation_of(object: &Value) -> (String, u64) {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    (uid, object["metadata"]["generation"].as_u64().unwrap_or_default())
}

/// A count, zero where none is.
fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Sets a condition; its times change only with what it says.
fn set_condition(status: &mut Value, now: &str, mut condition: Value) {
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let position = conditions.iter().position(|other| other["type"] == condition["type"]);
    let old = position.map(|position| conditions.remove(position)).unwrap_or_default();
    let is_same = |field: &str| old[field] == condition[field];
    if is_same("status") && is_same("reason") && is_same("message") {
        condition = old;
    } else {
        let transition = if is_same("status") { old["lastTransitionTime"].clone() } else { now.into() };
        condition["lastTransitionTime"] = transition;
    }
    conditions.insert(position.unwrap_or(conditions.len()), condition);
    status["conditions"] = conditions.into();
}

/// Takes a condition away.
fn clear_condition(status: &mut Value, kind: &str) {
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.retain(|condition| condition["type"] != kind);
    }
}

/// Whether a condition is `True`.
fn has_condition(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}
