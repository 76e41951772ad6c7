//! Writing an object: what the server sets itself, what it checks, when nothing changes.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::defaults::fill_in;
use super::fields::{Fields, Manager, track_update};
use super::refusal::{Answer, Refusal};
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

/// Whether somebody is to be noted as owner of the fields that are written.
#[derive(Clone, Debug)]
pub enum Tracking {
    /// This manager owns what it changes.
    Owner(Manager),
    /// The object says already who owns what.
    Done,
    /// Nobody: what the controllers in miniature write is fought over by nobody, and they write much.
    Nobody,
}

/// How an object is written.
#[derive(Clone, Debug)]
pub struct Write {
    pub part: Part,
    pub tracking: Tracking,
    pub dry_run: bool,
}

impl Write {
    /// By the server itself or by its controllers.
    pub fn within(part: Part) -> Self {
        Self { part, tracking: Tracking::Nobody, dry_run: false }
    }
}

/// The revision that an object names; empty if it names none.
pub fn resource_version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default()
}

/// What only the server writes.
const OF_THE_SERVER: [&str; 7] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
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
        let object = json!({"metadata": {"name": name}});
        if let Err(refusal) = self.insert(&key, object, &Write::within(Part::Whole)) {
            panic!("the namespace {name} cannot be made: {}", refusal.message());
        }
    }

    /// How a request writes.
    pub(super) fn write_of(&self, call: &Call) -> Write {
        let part =
            if call.place.subresource.as_deref() == Some("status") { Part::Status } else { Part::Whole };
        let owner = Manager {
            name: call.manager.clone(),
            operation: "Update",
            api_version: call.place.kind.api_version(&call.place.version),
            time: self.clock.now(),
            subresource: self.tracked_subresource(call),
            fields: Fields::new(),
        };
        Write { part, tracking: Tracking::Owner(owner), dry_run: call.query.is_dry_run() }
    }

    /// The subresource under which a manager is noted: servers before 1.22 note none.
    pub(super) fn tracked_subresource(&self, call: &Call) -> String {
        if self.profile.minor < 22 {
            String::new()
        } else {
            call.place.subresource.clone().unwrap_or_default()
        }
    }

    /// Stores an object that must not exist.
    pub(super) fn insert(&mut self, key: &Key, mut object: Value, write: &Write) -> Answer<Arc<Value>> {
        self.check_namespace(key)?;
        clear_server_fields(&mut object);
        if key.kind.has("status") {
            object.as_object_mut().into_iter().for_each(|object| drop(object.remove("status")));
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
        fill_in(key.kind, &mut object);
        self.give_address(key, &mut object);
        validate(key.kind, None, &object)?;
        if self.store.get(key).is_some() {
            return Err(Refusal::already_exists(key.kind, &key.name));
        }
        self.admit(key, &object)?;
        if let Tracking::Owner(owner) = &write.tracking {
            track_update(&json!({"metadata": {}}), &mut object, owner.clone());
        }
        if key.kind.has("status") {
            object["status"] = first_status(key.kind, &object["spec"]);
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
        OF_THE_SERVER.iter().for_each(|field| keep(old, &mut new, field));
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
        if !matches!(write.tracking, Tracking::Done) {
            keep(old, &mut new, "managedFields");
        }
        fill_in(key.kind, &mut new);
        validate(key.kind, Some(old), &new)?;
        if let Tracking::Owner(owner) = &write.tracking {
            track_update(old, &mut new, owner.clone());
        }
        if !differs(old, &new) {
            return Ok(Arc::clone(old));
        }
        if write.dry_run {
            return Ok(Arc::new(new));
        }
        let is_finished = new["metadata"].get("deletionTimestamp").is_some() && !has_finalizers(&new);
        if is_finished && has_finalizers(old) {
            return Ok(self.store.remove(key).unwrap_or_else(|| Arc::new(new)));
        }
        Ok(self.store.put(key, new))
    }

    /// Gives a Service its address.
    fn give_address(&mut self, key: &Key, object: &mut Value) {
        if key.kind.plural == "services" && object["spec"]["clusterIP"].is_null() {
            self.given += 1;
            let address = format!("10.96.{}.{}", self.given / 250, self.given % 250 + 1);
            object["spec"]["clusterIP"] = address.clone().into();
            object["spec"]["clusterIPs"] = json!([address]);
        }
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

/// Takes a field of the metadata over.
fn keep(old: &Value, new: &mut Value, field: &str) {
    match old["metadata"].get(field) {
        Some(value) => new["metadata"][field] = value.clone(),
        None => drop(new["metadata"].as_object_mut().and_then(|metadata| metadata.remove(field))),
    }
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
}

/// The `resourceVersion` and the `uid` that the new object names must be those that stand.
fn check_precondition(key: &Key, old: &Value, new: &Value) -> Answer<()> {
    let given = resource_version(new);
    if given.is_empty() && !key.kind.unconditional_update {
        return Err(Refusal::without_revision(key.kind, &key.name));
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

fn first_status(kind: &Kind, spec: &Value) -> Value {
    match kind.plural {
        // As the quota controller has it a moment later.
        "resourcequotas" => json!({"hard": spec["hard"]}),
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
