//! From one template to the next: ReplicaSets by template hash, surge and availability, and what the Deployment says.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::{clear_condition, count, generation_of, is_owned_by, set_condition};
use crate::double::resources::Kind;
use crate::double::server::State;
use crate::double::store::Key;
use crate::double::write::{Part, Write};

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// A ReplicaSet of a Deployment.
type Set = (Key, Arc<Value>);

impl State {
    pub(super) fn reconcile_deployment(&mut self, key: &Key, deployment: &Arc<Value>) {
        let is_terminating = deployment["metadata"].get("deletionTimestamp").is_some();
        if !is_terminating && deployment["spec"]["paused"] != true {
            let new = self.new_set(key, deployment);
            self.roll(key, deployment, &new);
        }
        let Some(deployment) = self.store.get(key).cloned() else { return };
        let status = self.deployment_status(key, &deployment);
        self.write_status(key, &deployment, status);
    }

    fn sets(&self, key: &Key, deployment: &Value) -> Vec<Set> {
        let uid = &deployment["metadata"]["uid"];
        let sets = self.store.beginning(Kind::named("replicasets"), &key.namespace, &key.name);
        let own = sets.filter(|(_, set)| is_owned_by(set, uid));
        own.map(|(key, set)| (key.clone(), Arc::clone(set))).collect()
    }

    fn is_current(deployment: &Value, set: &Value) -> bool {
        set["metadata"]["labels"][HASH] == template_hash(deployment)
    }

    /// The ReplicaSet with the current template; made if there is none.
    fn new_set(&mut self, key: &Key, deployment: &Value) -> Key {
        let sets = self.sets(key, deployment);
        if let Some((set, _)) = sets.iter().find(|(_, set)| Self::is_current(deployment, set)) {
            return set.clone();
        }
        let hash = template_hash(deployment);
        let mut template = deployment["spec"]["template"].clone();
        template["metadata"]["labels"][HASH] = hash.clone().into();
        let mut selector = deployment["spec"]["selector"].clone();
        selector["matchLabels"][HASH] = hash.clone().into();
        let revision_of =
            |set: &Value| set["metadata"]["annotations"][REVISION].as_str()?.parse::<u64>().ok();
        let revision = sets.iter().filter_map(|(_, set)| revision_of(set)).max().unwrap_or_default() + 1;
        let name = format!("{}-{hash}", key.name);
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": name, "labels": template["metadata"]["labels"], "annotations": {REVISION: revision.to_string()},
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": key.name, "uid": deployment["metadata"]["uid"],
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        });
        let set_key = Key::new(Kind::named("replicasets"), &key.namespace, &name);
        // Refused only by a test that denies ReplicaSets; then the Deployment stays without pods.
        let _ = self.insert(&set_key, set, &Write::within(Part::Whole));
        set_key
    }

    /// One step of the roll-out: more of the new as surge lets, fewer of the old as availability lets.
    fn roll(&mut self, key: &Key, deployment: &Value, new: &Key) {
        let wanted = count(&deployment["spec"]["replicas"]);
        let sets = self.sets(key, deployment);
        let (current, old): (Vec<Set>, Vec<Set>) = sets.into_iter().partition(|(set, _)| set == new);
        let Some((_, current)) = current.first() else { return };
        let replicas = |set: &Value| count(&set["spec"]["replicas"]);
        let old_total: u64 = old.iter().map(|(_, set)| replicas(set)).sum();
        let (surge, unavailable) = limits(deployment, wanted);
        let have = replicas(current);
        if deployment["spec"]["strategy"]["type"] == "Recreate" {
            old.iter().for_each(|set| self.resize(set, 0));
            let is_clear = old.iter().all(|(key, set)| self.active_pods(key, set).is_empty());
            if is_clear {
                self.resize(&(new.clone(), Arc::clone(current)), wanted);
            }
            return;
        }
        let room = (wanted + surge).saturating_sub(have + old_total);
        let target = if have > wanted { wanted } else { have + room.min(wanted - have) };
        self.resize(&(new.clone(), Arc::clone(current)), target);
        let missing = target.saturating_sub(count(&current["status"]["availableReplicas"]));
        let spare = (target + old_total).saturating_sub(wanted.saturating_sub(unavailable) + missing);
        self.shrink(old, spare);
    }

    /// Takes so many from the old sets: first what is not available, then the rest, the oldest set first.
    fn shrink(&mut self, mut old: Vec<Set>, mut spare: u64) {
        old.sort_by_key(|(_, set)| set["metadata"]["uid"].as_str().map(str::to_owned));
        let available = |set: &Value| count(&set["status"]["availableReplicas"]);
        for healthy_too in [false, true] {
            for (key, set) in &mut old {
                let have = count(&set["spec"]["replicas"]);
                let may_go = if healthy_too { have } else { have.saturating_sub(available(set)) };
                let goes = may_go.min(spare);
                spare -= goes;
                if goes > 0 {
                    self.resize(&(key.clone(), Arc::clone(set)), have - goes);
                    *set = self.store.get(key).cloned().unwrap_or_else(|| Arc::clone(set));
                }
            }
        }
    }

    fn resize(&mut self, (key, set): &Set, replicas: u64) {
        let mut resized = Value::clone(set);
        resized["spec"]["replicas"] = replicas.into();
        if let Err(refusal) = self.write(key, set, resized, Part::Whole) {
            panic!("a controller's count is refused: {}", refusal.message());
        }
    }

    fn deployment_status(&self, key: &Key, deployment: &Value) -> Value {
        let sets = self.sets(key, deployment);
        let sum = |field: &str| sets.iter().map(|(_, set)| count(&set["status"][field])).sum::<u64>();
        let wanted = count(&deployment["spec"]["replicas"]);
        let current = sets.iter().find(|(_, set)| Self::is_current(deployment, set));
        let updated = current.map_or(0, |(_, set)| count(&set["status"]["replicas"]));
        let (total, ready, available) = (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
        let mut status = json!({
            "observedGeneration": deployment["metadata"]["generation"],
            "conditions": deployment["status"]["conditions"].as_array().cloned().unwrap_or_default(),
        });
        // Like the real one, it does not show zeros.
        for (field, number) in [
            ("replicas", total),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("unavailableReplicas", total.max(wanted).saturating_sub(available)),
        ] {
            if number > 0 {
                status[field] = number.into();
            }
        }
        let is_complete = updated == wanted && total == wanted && available == wanted;
        let set = current.map_or("", |(key, _)| &*key.name);
        let failure = sets.iter().find_map(|(_, set)| condition(set, "ReplicaFailure"));
        self.set_conditions(deployment, &mut status, available, set, is_complete);
        match failure {
            Some(failure) => set_condition(&mut status, &self.clock.now(), failure.clone()),
            None => clear_condition(&mut status, "ReplicaFailure"),
        }
        status
    }

    fn set_conditions(
        &self,
        deployment: &Value,
        status: &mut Value,
        available: u64,
        set: &str,
        is_complete: bool,
    ) {
        let wanted = count(&deployment["spec"]["replicas"]);
        let (_, unavailable) = limits(deployment, wanted);
        let (is_available, reason, message) = if available >= wanted.saturating_sub(unavailable) {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        let now = self.clock.now();
        let available =
            json!({"type": "Available", "status": is_available, "reason": reason, "message": message});
        set_condition(status, &now, available);
        let is_overdue = self.controllers.overdue.contains(&generation_of(deployment));
        let (progresses, reason, message) = match (is_complete, is_overdue) {
            (true, _) => {
                ("True", "NewReplicaSetAvailable", format!("ReplicaSet {set:?} has successfully progressed."))
            }
            (false, true) => (
                "False",
                "ProgressDeadlineExceeded",
                format!("ReplicaSet {set:?} has timed out progressing."),
            ),
            (false, false) => ("True", "ReplicaSetUpdated", format!("ReplicaSet {set:?} is progressing.")),
        };
        let progress =
            json!({"type": "Progressing", "status": progresses, "reason": reason, "message": message});
        set_condition(status, &now, progress);
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// How many more and how many fewer than wanted there may be while rolling.
fn limits(deployment: &Value, wanted: u64) -> (u64, u64) {
    let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
    let resolve =
        |value: &Value, rounds_up: bool| match value.as_str().and_then(|text| text.strip_suffix('%')) {
            Some(percent) => {
                let hundredths = percent.parse::<u64>().unwrap_or_default() * wanted;
                if rounds_up { hundredths.div_ceil(100) } else { hundredths / 100 }
            }
            None => count(value),
        };
    let (surge, unavailable) =
        (resolve(&rolling["maxSurge"], true), resolve(&rolling["maxUnavailable"], false));
    // Both zero would never move; the real controller takes one away then.
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// Ten characters that stand for a template.
fn template_hash(deployment: &Value) -> String {
    let bytes = digest(&SHA256, deployment["spec"]["template"].to_string().as_bytes());
    bytes.as_ref()[..5].iter().map(|byte| format!("{byte:02x}")).collect()
}
