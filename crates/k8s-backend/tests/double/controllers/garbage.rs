//! What goes with what it belongs to: dependents with their owners, everything with its namespace.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{is_owned_by, owners};
use crate::double::delete::Options;
use crate::double::server::State;
use crate::double::store::Key;
use crate::double::write::Part;

impl State {
    /// Deletes what belonged to an object that is gone.
    pub(super) fn collect_garbage(&mut self, gone: &Key, last: &Value) {
        if matches!(gone.kind.plural, "pods" | "configmaps" | "secrets" | "leases" | "events") {
            return; // They own nothing, and there may be many of them.
        }
        let uid = &last["metadata"]["uid"];
        for key in self.dependents(gone, uid) {
            let Some(object) = self.store.get(&key).cloned() else { continue };
            let others: Vec<_> = owners(&object).filter(|owner| owner["uid"] != *uid).cloned().collect();
            if others.is_empty() {
                self.begin_deletion(&key, &object, &Options::default());
            } else {
                let mut orphan = Value::clone(&object);
                orphan["metadata"]["ownerReferences"] = others.into();
                // Refused only if the object breaks rules already; then it stays as it is.
                let _ = self.write(&key, &object, orphan, Part::Whole);
            }
        }
    }

    fn dependents(&self, owner: &Key, uid: &Value) -> Vec<Key> {
        let here = |key: &Key| key.namespace == owner.namespace;
        let all = self.store.iter().filter(|(key, object)| here(key) && is_owned_by(object, uid));
        all.map(|(key, _)| key.clone()).collect()
    }

    /// Goes on with an object that is being deleted; says whether nobody else has to look at it.
    pub(super) fn finish_deletion(&mut self, key: &Key, object: &Arc<Value>) -> bool {
        if key.kind.plural == "namespaces" {
            self.empty_namespace(key);
            return true;
        }
        let has = |finalizer: &str| {
            object["metadata"]["finalizers"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one == finalizer))
        };
        if has("orphan") {
            self.orphan_dependents(key, object);
            self.remove_finalizer(key, "orphan");
            return true;
        }
        if !has("foregroundDeletion") {
            return false;
        }
        let uid = &object["metadata"]["uid"];
        let mut waits = false;
        for dependent in self.dependents(key, uid) {
            let Some(found) = self.store.get(&dependent).cloned() else { continue };
            let blocks =
                owners(&found).any(|owner| owner["uid"] == *uid && owner["blockOwnerDeletion"] == true);
            if found["metadata"].get("deletionTimestamp").is_none() {
                let options = if blocks { Options::foreground() } else { Options::default() };
                self.begin_deletion(&dependent, &found, &options);
            }
            waits |= blocks && self.store.get(&dependent).is_some();
        }
        if !waits {
            self.remove_finalizer(key, "foregroundDeletion");
        }
        true
    }

    fn orphan_dependents(&mut self, key: &Key, owner: &Value) {
        let uid = &owner["metadata"]["uid"];
        for dependent in self.dependents(key, uid) {
            let Some(object) = self.store.get(&dependent).cloned() else { continue };
            let mut orphan = Value::clone(&object);
            orphan["metadata"]["ownerReferences"] =
                owners(&object).filter(|owner| owner["uid"] != *uid).cloned().collect();
            // As above: an object that breaks rules stays as it is.
            let _ = self.write(&dependent, &object, orphan, Part::Whole);
        }
    }

    fn remove_finalizer(&mut self, key: &Key, finalizer: &str) {
        let Some(object) = self.store.get(key).cloned() else { return };
        let mut without = Value::clone(&object);
        if let Some(finalizers) = without["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|other| other != finalizer);
        }
        if without["metadata"]["finalizers"] == json!([]) {
            // The deletion timestamp stands: the last finalizer was what kept it.
            self.store.remove(key);
        } else {
            let _ = self.write(key, &object, without, Part::Whole);
        }
    }

    fn empty_namespace(&mut self, key: &Key) {
        for inside in self.store.in_namespace(&key.name) {
            self.store.remove(&inside);
        }
        self.store.remove(key);
    }
}
