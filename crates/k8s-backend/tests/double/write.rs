//! Writing an object: what the server sets itself, what it checks, when nothing changes.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::refusal::{Answer, Cause, Refusal};
use super::request::Call;
use super::resources::Kind;
use super::server::State;
use super::store::Key;
use super::validate::validate;

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// Everything, the status of kinds with such a subresource excepted.
    Whole,
    /// Just the status.
    Status,
}

/// How an object is written.
#[derive(Clone, Debug)]
pub struct Write {
    pub manager: String,
    pub part: Part,
    pub dry_run: bool,
}

impl Write {
    pub fn of(call: &Call) -> Self {
        let part =
            if call.place.subresource.as_deref() == Some("status") { Part::Status } else { Part::Whole };
        Self { manager: call.manager.clone(), part, dry_run: call.query.is_dry_run() }
    }
}

/// The revision that an object names; empty if it names none.
pub fn resource_version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default()
}

/// What only the server writes.
const OF_THE_SERVER: [&str; 8] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
];

impl State {
    /// A suffix as generated names have it: five characters, never given before.
    pub(super) fn give_suffix(&mut self) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.given += 1;
        let mut rest = self.given;
        let digits = (0..5).map(|_| {
            let digit = usize::try_from(rest % ALPHABET.len() as u64).unwrap_or_default();
            rest /= ALPHABET.len() as u64;
            char::from(ALPHABET[digit])
        });
        digits.collect::<Vec<_>>().into_iter().rev().collect()
    }

    fn give_uid(&mut self) -> String {
        self.given += 1;
        format!("{:08x}-0000-4000-8000-{:012x}", self.given, self.given)
    }

    /// Makes a namespace, as the server itself does for `default`.
    pub(super) fn create_namespace(&mut self, name: &str) {
        let key = Key::new(Kind::named("namespaces"), "", name);
        let write = Write { manager: "server".to_owned(), part: Part::Whole, dry_run: false };
        let object = json!({"metadata": {"name": name}});
        if let Err(refusal) = self.insert(&key, object, &write) {
            panic!("the namespace {name} cannot be made: {}", refusal.message());
        }
    }

    /// Stores an object that must not exist.
    pub(super) fn insert(&mut self, key: &Key, mut object: Value, write: &Write) -> Answer<Arc<Value>> {
        self.check_namespace(key)?;
        clear_server_fields(&mut object);
        if key.kind.has("status") {
            object["status"] = first_status(key.kind);
        }
        let metadata = &mut object["metadata"];
        if key.kind.namespaced {
            metadata["namespace"] = key.namespace.clone().into();
        }
        metadata["uid"] = self.give_uid().into();
        metadata["creationTimestamp"] = self.clock.now().into();
        if key.kind.counts_generations {
            metadata["generation"] = 1.into();
        }
        validate(key.kind, None, &object)?;
        if self.store.get(key).is_some() {
            return Err(Refusal::already_exists(key.kind, &key.name));
        }
        Ok(if write.dry_run { Arc::new(object) } else { self.store.put(key, object) })
    }

    /// Replaces an object by what a client has made of it.
    pub(super) fn replace(
        &mut self,
        key: &Key,
        old: &Arc<Value>,
        mut new: Value,
        write: &Write,
    ) -> Answer<Arc<Value>> {
        check_precondition(key, old, &new)?;
        clear_server_fields(&mut new);
        for field in OF_THE_SERVER {
            if let Some(value) = old["metadata"].get(field) {
                new["metadata"][field] = value.clone();
            }
        }
        new["metadata"]["name"] = old["metadata"]["name"].clone();
        if key.kind.namespaced {
            new["metadata"]["namespace"] = key.namespace.clone().into();
        }
        if write.part == Part::Status {
            let status = new["status"].take();
            new = Value::clone(old);
            new["status"] = status;
        } else if key.kind.has("status") {
            new["status"] = old["status"].clone();
        }
        if key.kind.counts_generations && has_new_spec(old, &new) {
            new["metadata"]["generation"] = (old["metadata"]["generation"].as_u64().unwrap_or(0) + 1).into();
        }
        validate(key.kind, Some(old), &new)?;
        if !differs(old, &new) {
            return Ok(Arc::clone(old));
        }
        if write.dry_run {
            return Ok(Arc::new(new));
        }
        Ok(self.store.put(key, new))
    }

    fn check_namespace(&self, key: &Key) -> Answer<()> {
        if !key.kind.namespaced {
            return Ok(());
        }
        let namespaces = Kind::named("namespaces");
        let namespace = self.store.get(&Key::new(namespaces, "", &key.namespace));
        let Some(namespace) = namespace else { return Err(Refusal::not_found(namespaces, &key.namespace)) };
        if namespace["metadata"].get("deletionTimestamp").is_some() {
            let why = format!(
                "unable to create new content in namespace {} because it is being terminated",
                key.namespace
            );
            return Err(Refusal::forbidden(key.kind, &key.name, &why));
        }
        Ok(())
    }
}

/// The `resourceVersion` and the `uid` that the new object names must be those that stand.
fn check_precondition(key: &Key, old: &Value, new: &Value) -> Answer<()> {
    let given = resource_version(new);
    if given.is_empty() && !key.kind.unconditional_update {
        let cause = Cause::invalid("metadata.resourceVersion", &"".into(), "must be specified for an update");
        return Err(Refusal::invalid(key.kind, &key.name, &[cause]));
    }
    if !given.is_empty() && given != resource_version(old) {
        return Err(Refusal::modified(key.kind, &key.name));
    }
    let (given, stands) = (&new["metadata"]["uid"], &old["metadata"]["uid"]);
    if given.as_str().is_some_and(|uid| !uid.is_empty()) && given != stands {
        let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {stands}");
        return Err(Refusal::conflict(key.kind, &key.name, &why.replace('"', "")));
    }
    Ok(())
}

fn clear_server_fields(object: &mut Value) {
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(Map::new());
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        OF_THE_SERVER.iter().for_each(|field| drop(metadata.remove(*field)));
    }
}

fn first_status(kind: &Kind) -> Value {
    match kind.plural {
        "namespaces" => json!({"phase": "Active"}),
        "pods" => json!({"phase": "Pending", "qosClass": "BestEffort"}),
        _ => json!({}),
    }
}

/// Whether anything but metadata and status is new.
fn has_new_spec(old: &Value, new: &Value) -> bool {
    let spec = |object: &Value| {
        let mut object = object.clone();
        let map = object.as_object_mut();
        map.into_iter()
            .for_each(|map| map.retain(|field, _| !matches!(&**field, "metadata" | "status" | "apiVersion")));
        object
    };
    spec(old) != spec(new)
}

/// Whether there is anything to write: the version in which an object is written does not count.
fn differs(old: &Value, new: &Value) -> bool {
    let stored = |object: &Value| {
        let mut object = object.clone();
        object
            .as_object_mut()
            .into_iter()
            .for_each(|map| map.retain(|field, _| field != "apiVersion" && field != "kind"));
        object
    };
    stored(old) != stored(new)
}
