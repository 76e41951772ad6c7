//! As many pods as a ReplicaSet wants, and which of them go first.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{clear_condition, count, has_condition, is_owned_by, set_condition};
use crate::double::delete::Options;
use crate::double::refusal::Refusal;
use crate::double::resources::Kind;
use crate::double::server::State;
use crate::double::store::Key;
use crate::double::write::{Part, Write};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

impl State {
    pub(super) fn reconcile_replica_set(&mut self, key: &Key, set: &Arc<Value>) {
        let is_terminating = set["metadata"].get("deletionTimestamp").is_some();
        let mut failure = None;
        if !is_terminating {
            let wanted = usize::try_from(count(&set["spec"]["replicas"])).unwrap_or_default();
            let have = self.active_pods(key, set);
            if have.len() < wanted {
                failure = (have.len()..wanted).find_map(|_| self.create_pod(key, set).err());
            } else {
                for (pod, object) in self.first_to_go(have).into_iter().rev().skip(wanted) {
                    self.begin_deletion(&pod, &object, &Options::default());
                }
            }
        }
        let status = self.replica_set_status(key, set, failure.as_ref());
        self.write_status(key, set, status);
    }

    /// The pods of a set that are not about to go.
    pub(super) fn active_pods(&self, key: &Key, set: &Value) -> Vec<(Key, Arc<Value>)> {
        let uid = &set["metadata"]["uid"];
        let is_active = |pod: &Value| {
            let is_over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            is_owned_by(pod, uid) && pod["metadata"].get("deletionTimestamp").is_none() && !is_over
        };
        // Their names begin with that of the set, so the rest of many needs no look.
        let named = self.store.beginning(Kind::named("pods"), &key.namespace, &key.name);
        named.filter(|(_, pod)| is_active(pod)).map(|(key, pod)| (key.clone(), Arc::clone(pod))).collect()
    }

    fn create_pod(&mut self, key: &Key, set: &Value) -> Result<(), Refusal> {
        let (template, given) = (&set["spec"]["template"], self.given);
        let name = format!("{}-{}", key.name, self.give_suffix());
        let mut metadata = json!({"name": name, "generateName": format!("{}-", key.name)});
        for field in ["labels", "annotations"] {
            if let Some(value) = template["metadata"].get(field) {
                metadata[field] = value.clone();
            }
        }
        metadata["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": key.name, "uid": set["metadata"]["uid"],
            "controller": true, "blockOwnerDeletion": true,
        }]);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]});
        let pod_key = Key::new(Kind::named("pods"), &key.namespace, &name);
        let made = self.insert(&pod_key, pod, &Write::within(Part::Whole)).map(drop);
        if made.is_err() {
            // The same name again next time: a message that changed with every try would call for the next one.
            self.given = given;
        }
        made
    }

    /// Orders pods: the first go first, as the ReplicaSet controller has it.
    fn first_to_go(&self, mut pods: Vec<(Key, Arc<Value>)>) -> Vec<(Key, Arc<Value>)> {
        let heeds_cost = self.profile.has_deletion_cost();
        pods.sort_by_key(|(_, pod)| {
            let phase = match pod["status"]["phase"].as_str() {
                Some("Pending") => 0,
                Some("Running") => 2,
                _ => 1,
            };
            let cost = pod["metadata"]["annotations"][DELETION_COST]
                .as_str()
                .and_then(|cost| cost.parse::<i32>().ok());
            let cost = if heeds_cost { cost.unwrap_or_default() } else { 0 };
            let is_placed = pod["spec"]["nodeName"].is_string();
            let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default();
            let born = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            (is_placed, phase, has_condition(pod, "Ready"), cost, Reverse(restarts), Reverse(born))
        });
        pods
    }

    fn replica_set_status(&self, key: &Key, set: &Value, failure: Option<&Refusal>) -> Value {
        let pods = self.active_pods(key, set);
        let ready = pods.iter().filter(|(_, pod)| has_condition(pod, "Ready")).count();
        let mut status = set["status"].clone();
        for (field, number) in [
            ("replicas", pods.len()),
            ("fullyLabeledReplicas", pods.len()),
            ("readyReplicas", ready),
            ("availableReplicas", ready),
        ] {
            status[field] = number.into();
        }
        status["observedGeneration"] = set["metadata"]["generation"].clone();
        match failure {
            Some(refusal) => {
                let condition = json!({
                    "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": refusal.message(),
                });
                set_condition(&mut status, &self.clock.now(), condition);
            }
            None => clear_condition(&mut status, "ReplicaFailure"),
        }
        status
    }
}
