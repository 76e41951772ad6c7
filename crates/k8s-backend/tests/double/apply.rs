//! Server-side apply: fields are merged, owned, fought for and given up.

use http::Response;
use serde_json::{Map, Value, json};

use super::fields::{Difference, Manager, fields_of, managers_of, remove_at, set_managers};
use super::refusal::{Answer, Cause, Refusal};
use super::request::Call;
use super::schema::{Shape, is_atomic_map, list_shape, same_item};
use super::serve::{check_type, json_reply, key, shown};
use super::server::State;
use super::watch::Reply;
use super::write::{Part, Tracking, Write, resource_version};

impl State {
    pub(super) fn apply(&mut self, call: &Call) -> Answer<Response<Reply>> {
        let config = self.config(call)?;
        let key = key(&call.place);
        let write = Write { tracking: Tracking::Done, ..self.write_of(call) };
        let Some(live) = self.store.get(&key).cloned() else {
            if write.part == Part::Status {
                return Err(Refusal::not_found(key.kind, &key.name));
            }
            let (object, managers) = self.merged(call, &json!({"metadata": {}}), &config)?;
            let stored = self.insert(&key, managed(object, &managers), &write)?;
            return Ok(json_reply(201, &shown(&stored, call)));
        };
        let (object, managers) = self.merged(call, &live, &config)?;
        let stored = self.replace(&key, &live, managed(object, &managers), &write)?;
        Ok(json_reply(200, &shown(&stored, call)))
    }

    /// What is applied, if it is fit to be.
    fn config(&self, call: &Call) -> Answer<Value> {
        let mut config = call.json()?;
        if call.query.text("fieldManager").is_empty() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            let message =
                format!("PatchOptions.meta.k8s.io \"\" is invalid: {}: {}", cause.field, cause.message);
            return Err(Refusal::new(
                422,
                "Invalid",
                message,
                json!({"kind": "PatchOptions", "group": "meta.k8s.io"}),
            ));
        }
        if !matches!(&config["metadata"]["managedFields"], Value::Null) {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        if !config["kind"].is_string() || !config["apiVersion"].is_string() {
            return Err(Refusal::bad_request("Object 'Kind' is missing in the patch"));
        }
        if config["metadata"]["name"].is_null() {
            config["metadata"]["name"] = call.place.name.clone().into();
        }
        check_type(call, &config)?;
        let is_status = call.place.subresource.as_deref() == Some("status");
        if call.place.kind.has("status") {
            let applies = |field: &str| {
                matches!(field, "apiVersion" | "kind" | "metadata") || (field == "status") == is_status
            };
            config.as_object_mut().into_iter().for_each(|config| config.retain(|field, _| applies(field)));
        }
        Ok(config)
    }

    /// The object with what is applied, and who owns what then.
    fn merged(&self, call: &Call, live: &Value, config: &Value) -> Answer<(Value, Vec<Manager>)> {
        let given = resource_version(config);
        if !given.is_empty() && given != resource_version(live) {
            return Err(Refusal::modified(call.place.kind, &call.place.name));
        }
        let mut applier = Manager {
            name: call.manager.clone(),
            operation: "Apply",
            api_version: call.place.kind.api_version(&call.place.version),
            time: self.clock.now(),
            subresource: self.tracked_subresource(call),
            fields: fields_of(config),
        };
        let mut managers = managers_of(live);
        let mine = managers.iter().position(|manager| manager.is_same(&applier));
        let mine = mine.map(|position| managers.remove(position));
        let mut merged = live.clone();
        merge(&mut merged, config, "");
        if let Some(mine) = &mine {
            for path in mine.fields.difference(&applier.fields) {
                if !managers.iter().any(|manager| manager.fields.contains(path)) {
                    remove_at(&mut merged, &path.0);
                }
            }
        }
        let difference = Difference::between(live, &merged);
        if !call.query.flag("force") {
            conflicts(&managers, &difference)?;
        }
        for manager in &mut managers {
            manager
                .fields
                .retain(|path| !difference.changed.contains(path) && !difference.removed.contains(path));
        }
        if let Some(mine) = mine.filter(|mine| mine.fields == applier.fields) {
            applier = mine;
        }
        managers.push(applier);
        Ok((merged, managers))
    }
}

fn managed(mut object: Value, managers: &[Manager]) -> Value {
    set_managers(&mut object, managers);
    object
}

/// Refuses to change what others own.
fn conflicts(managers: &[Manager], difference: &Difference) -> Answer<()> {
    let owned = |manager: &Manager| -> Vec<String> {
        manager.fields.intersection(&difference.changed).map(ToString::to_string).collect()
    };
    let fought: Vec<(String, Vec<String>)> = managers
        .iter()
        .map(|manager| (manager.described(), owned(manager)))
        .filter(|(_, paths)| !paths.is_empty())
        .collect();
    let pairs = || fought.iter().flat_map(|(manager, paths)| paths.iter().map(move |path| (manager, path)));
    let causes: Vec<_> = pairs()
        .map(|(manager, path)| {
            Cause::new("FieldManagerConflict", path.as_str(), format!("conflict with {manager}"))
        })
        .collect();
    let message = match &*pairs().collect::<Vec<_>>() {
        [] => return Ok(()),
        [(manager, path)] => format!("Apply failed with 1 conflict: conflict with {manager}: {path}"),
        many => {
            let listed = fought.iter().map(|(manager, paths)| {
                let paths: Vec<_> = paths.iter().map(|path| format!("- {path}")).collect();
                format!("conflicts with {manager}:\n{}", paths.join("\n"))
            });
            format!("Apply failed with {} conflicts: {}", many.len(), listed.collect::<Vec<_>>().join("\n"))
        }
    };
    Err(Refusal::fields_owned(&causes, message))
}

/// Merges what is applied into what stands; nothing is removed.
fn merge(live: &mut Value, config: &Value, name: &str) {
    match config {
        Value::Object(config) if !is_atomic_map(name) => {
            if !live.is_object() {
                *live = Value::Object(Map::new());
            }
            for (name, value) in config {
                if live[name].is_null() {
                    live[name] = empty_like(value, name);
                }
                merge(&mut live[name], value, name);
            }
        }
        Value::Array(items) => match list_shape(name, items) {
            Shape::Keyed(keys) if live.is_array() => merge_items(live, items, keys),
            Shape::Set if live.is_array() => {
                let old = live.as_array_mut().expect("it is matched above");
                items.iter().for_each(|item| {
                    if !old.contains(item) {
                        old.push(item.clone())
                    }
                });
            }
            _ => *live = config.clone(),
        },
        _ => *live = config.clone(),
    }
}

fn empty_like(value: &Value, name: &str) -> Value {
    if value.is_object() && !is_atomic_map(name) { json!({}) } else { Value::Null }
}

/// Items that are applied take the order in which they are applied; others stay behind them.
fn merge_items(live: &mut Value, items: &[Value], keys: &[&str]) {
    let Some(old) = live.as_array_mut() else { return };
    let mut merged: Vec<Value> = Vec::with_capacity(items.len());
    for item in items {
        let position = old.iter().position(|other| same_item(other, item, keys));
        let mut result = position.map_or_else(|| json!({}), |position| old.remove(position));
        merge(&mut result, item, "");
        merged.push(result);
    }
    merged.append(old);
    *old = merged;
}
