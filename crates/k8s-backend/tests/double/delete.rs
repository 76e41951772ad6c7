//! Deleting: preconditions, grace, finalizers.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde_json::{Value, json};

use super::refusal::{Answer, Refusal};
use super::render::{render, render_list};
use super::request::{Call, Place};
use super::selector::Selector;
use super::serve::{json_reply, key, shown};
use super::server::State;
use super::store::Key;
use super::watch::Reply;
use super::write::resource_version;

/// What a client says about a deletion; by default in the background, at the object's own grace.
#[derive(Debug, Default)]
pub struct Options {
    grace: Option<u64>,
    propagation: String,
    uid: Option<String>,
    resource_version: Option<String>,
    dry_run: bool,
}

/// What becomes of an object that is deleted.
pub enum Deletion {
    /// It is gone; its last state.
    Gone(Arc<Value>),
    /// It is marked and goes later.
    Terminating(Arc<Value>),
}

impl Options {
    fn of(call: &Call) -> Answer<Self> {
        let body = if call.body.is_empty() { json!({}) } else { call.json()? };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let said = |field: &str| text(&body[field]).unwrap_or_else(|| call.query.text(field).to_owned());
        let grace = call.query.number("gracePeriodSeconds").map(|grace| grace as u64);
        Ok(Self {
            grace: body["gracePeriodSeconds"].as_u64().or(grace),
            propagation: said("propagationPolicy"),
            uid: text(&body["preconditions"]["uid"]),
            resource_version: text(&body["preconditions"]["resourceVersion"]),
            dry_run: call.query.is_dry_run() || body["dryRun"] == json!(["All"]),
        })
    }

    /// Dependents that say so go before their owner.
    pub fn foreground() -> Self {
        Self { propagation: "Foreground".to_owned(), ..Self::default() }
    }

    fn check(&self, key: &Key, object: &Value) -> Answer<()> {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        if let Some(given) = self.uid.as_deref().filter(|given| *given != uid) {
            let why = format!(
                "the UID in the precondition ({given}) does not match the UID in record ({uid}). The object might \
                 have been deleted and then recreated"
            );
            return Err(Refusal::precondition(key.kind, &key.name, &why));
        }
        let stands = resource_version(object);
        if let Some(given) = self.resource_version.as_deref().filter(|given| *given != stands) {
            let why = format!(
                "the ResourceVersion in the precondition ({given}) does not match the ResourceVersion in record \
                 ({stands}). The object might have been modified"
            );
            return Err(Refusal::precondition(key.kind, &key.name, &why));
        }
        Ok(())
    }
}

impl State {
    pub(super) fn delete(&mut self, call: &Call) -> Answer<Response<Reply>> {
        let object = self.current(&call.place)?;
        let (key, options) = (key(&call.place), Options::of(call)?);
        options.check(&key, &object)?;
        if options.dry_run {
            return Ok(json_reply(200, &shown(&object, call)));
        }
        Ok(json_reply(
            200,
            &match self.begin_deletion(&key, &object, &options) {
                Deletion::Gone(last) if key.kind.plural == "pods" => shown(&last, call),
                Deletion::Gone(last) => success(&key, &last),
                Deletion::Terminating(object) => shown(&object, call),
            },
        ))
    }

    pub(super) fn delete_collection(&mut self, call: &Call) -> Answer<Response<Reply>> {
        let Place { kind, version, namespace, .. } = &call.place;
        let selector = Selector::parse(call.query.text("labelSelector"), call.query.text("fieldSelector"))?;
        let options = Options::of(call)?;
        let matching = self.store.list(kind, namespace).filter(|(_, object)| selector.matches(object));
        let found: Vec<_> = matching.map(|(key, object)| (key.clone(), Arc::clone(object))).collect();
        let mut deleted = Vec::new();
        for (key, object) in found {
            if !options.dry_run {
                self.begin_deletion(&key, &object, &options);
            }
            deleted.push(render(&object, kind, version, call.metadata_only));
        }
        let metadata = json!({"resourceVersion": self.store.revision().to_string()});
        Ok(json_reply(200, &render_list(deleted.into_iter(), kind, version, call.metadata_only, &metadata)))
    }

    /// Removes an object, or marks it if it needs time: a pod on a node its grace, others their finalizers.
    pub(super) fn begin_deletion(&mut self, key: &Key, object: &Arc<Value>, options: &Options) -> Deletion {
        let mut marked = Value::clone(object);
        let grace = grace(key, object, options);
        let metadata = &mut marked["metadata"];
        let finalizer = match &*options.propagation {
            "Foreground" => Some("foregroundDeletion"),
            "Orphan" => Some("orphan"),
            // A namespace goes when nothing is left in it.
            _ if key.kind.plural == "namespaces" => Some("kubernetes"),
            _ => None,
        };
        if let Some(finalizer) = finalizer {
            add_finalizer(metadata, finalizer);
        }
        let waits = metadata["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
        if grace == 0 && !waits {
            let last = self.store.remove(key).unwrap_or_else(|| Arc::clone(object));
            return Deletion::Gone(last);
        }
        let is_shorter = metadata["deletionGracePeriodSeconds"].as_u64().is_none_or(|before| grace < before);
        if metadata.get("deletionTimestamp").is_none() || is_shorter {
            metadata["deletionTimestamp"] = self.clock.after(Duration::from_secs(grace)).into();
            metadata["deletionGracePeriodSeconds"] = grace.into();
            bump_generation(key, metadata);
        }
        if marked == **object {
            return Deletion::Terminating(Arc::clone(object));
        }
        Deletion::Terminating(self.store.put(key, marked))
    }
}

/// Seconds that an object may take: only pods that run on a node take any.
fn grace(key: &Key, object: &Value, options: &Options) -> u64 {
    let is_placed = object["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let is_over = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if key.kind.plural != "pods" || !is_placed || is_over {
        return 0;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"].as_u64();
    options.grace.or(own).unwrap_or(30)
}

fn bump_generation(key: &Key, metadata: &mut Value) {
    if key.kind.counts_generations {
        metadata["generation"] = (metadata["generation"].as_u64().unwrap_or_default() + 1).into();
    }
}

fn add_finalizer(metadata: &mut Value, finalizer: &str) {
    let mut finalizers = metadata["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|other| other == finalizer) {
        finalizers.push(finalizer.into());
    }
    metadata["finalizers"] = finalizers.into();
}

fn success(key: &Key, last: &Value) -> Value {
    let mut details = json!({"name": key.name, "kind": key.kind.plural, "uid": last["metadata"]["uid"]});
    if !key.kind.group.is_empty() {
        details["group"] = key.kind.group.into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
