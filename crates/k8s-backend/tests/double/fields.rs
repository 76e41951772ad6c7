//! Who owns which fields: sets of paths, and how `metadata.managedFields` spells them (`FieldsV1`).

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value, json};

use super::schema::{Shape, is_atomic_map, key_value, list_shape};

/// A step of a path.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Step {
    Field(String),
    /// The item of a list with these keys, as JSON.
    Item(Vec<(String, String)>),
    /// The item of a set, as JSON.
    Value(String),
}

/// A path to a value that one manager may own; a path to an item says that the item is there.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Path(pub Vec<Step>);

/// A set of owned fields.
pub type Fields = BTreeSet<Path>;

impl Path {
    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    fn field(&self, name: &str) -> Self {
        self.then(Step::Field(name.to_owned()))
    }
}

/// As messages spell it: `.spec.template.spec.containers[name="main"].image`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Field(name) => write!(f, ".{name}"),
            Step::Value(value) => write!(f, "[={value}]"),
            Step::Item(keys) => {
                let keys: Vec<_> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
        })
    }
}

/// The fields that an object has, without those that belong to nobody.
pub fn fields_of(object: &Value) -> Fields {
    let mut fields = Fields::new();
    collect(object, "", &Path::default(), &mut fields);
    fields.retain(|path| !is_nobodys(path));
    fields
}

fn is_nobodys(path: &Path) -> bool {
    let names: Vec<_> =
        path.0.iter().take(2).map(|step| if let Step::Field(name) = step { name } else { "" }).collect();
    match &names[..] {
        ["apiVersion" | "kind", ..] => true,
        ["metadata"] => true,
        ["metadata", of, ..] => !matches!(*of, "labels" | "annotations" | "ownerReferences" | "finalizers"),
        _ => false,
    }
}

fn collect(value: &Value, name: &str, path: &Path, fields: &mut Fields) {
    match value {
        Value::Object(map) if !map.is_empty() && !is_atomic_map(name) => {
            map.iter().for_each(|(name, value)| collect(value, name, &path.field(name), fields));
        }
        Value::Array(items) => collect_items(items, name, path, fields),
        _ => drop(fields.insert(path.clone())),
    }
}

fn collect_items(items: &[Value], name: &str, path: &Path, fields: &mut Fields) {
    match list_shape(name, items) {
        Shape::Keyed(keys) if !items.is_empty() => {
            for item in items {
                let path = path.then(item_step(item, keys));
                fields.insert(path.clone());
                let parts = item.as_object().into_iter().flatten();
                parts.for_each(|(name, value)| collect(value, name, &path.field(name), fields));
            }
        }
        Shape::Set if !items.is_empty() => {
            fields.extend(items.iter().map(|item| path.then(Step::Value(item.to_string()))));
        }
        _ => drop(fields.insert(path.clone())),
    }
}

fn item_step(item: &Value, keys: &[&str]) -> Step {
    Step::Item(keys.iter().map(|key| ((*key).to_owned(), key_value(item, key).to_string())).collect())
}

/// What stands at a path.
pub fn value_at<'a>(object: &'a Value, path: &Path) -> Option<&'a Value> {
    path.0.iter().try_fold(object, |value, step| match step {
        Step::Field(name) => value.get(name),
        _ => value.as_array()?.iter().find(|item| is_at(item, step)),
    })
}

fn is_at(item: &Value, step: &Step) -> bool {
    match step {
        Step::Field(_) => false,
        Step::Value(value) => is_spelt(item, value),
        Step::Item(keys) => keys.iter().all(|(key, value)| is_spelt(&key_value(item, key), value)),
    }
}

/// Whether a value is this JSON.
fn is_spelt(value: &Value, json: &str) -> bool {
    serde_json::from_str(json).is_ok_and(|other: Value| other == *value)
}

/// Removes what stands at a path, and the maps and lists that are empty without it.
pub fn remove_at(value: &mut Value, steps: &[Step]) {
    let [step, rest @ ..] = steps else { return };
    match (value, step) {
        (Value::Object(map), Step::Field(name)) => {
            let Some(inner) = map.get_mut(name) else { return };
            remove_at(inner, rest);
            if rest.is_empty() || is_empty(inner) {
                map.remove(name);
            }
        }
        (Value::Array(items), step) => {
            let Some(position) = items.iter().position(|item| is_at(item, step)) else { return };
            remove_at(&mut items[position], rest);
            if rest.is_empty() {
                items.remove(position);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// What differs between two states of an object.
#[derive(Debug, Default)]
pub struct Difference {
    /// Fields that are new or have another value.
    pub changed: Fields,
    /// Fields that are there no longer.
    pub removed: Fields,
}

impl Difference {
    pub fn between(old: &Value, new: &Value) -> Self {
        let (before, after) = (fields_of(old), fields_of(new));
        let is_whole = |path: &Path| matches!(path.0.last(), Some(Step::Field(_)));
        let is_changed = |path: &&Path| {
            !before.contains(path) || (is_whole(path) && value_at(old, path) != value_at(new, path))
        };
        let changed = after.iter().filter(is_changed).cloned().collect();
        Self { changed, removed: before.difference(&after).cloned().collect() }
    }
}

/// A manager of fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manager {
    pub name: String,
    /// `Apply` or `Update`.
    pub operation: &'static str,
    pub api_version: String,
    pub time: String,
    /// Empty for writes of the object itself.
    pub subresource: String,
    pub fields: Fields,
}

impl Manager {
    /// Whether both are entries of the same manager.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, self.operation, &self.subresource) == (&other.name, other.operation, &other.subresource)
    }

    /// As messages name it.
    pub fn described(&self) -> String {
        let subresource = match &*self.subresource {
            "" => String::new(),
            subresource => format!(" with subresource {subresource:?}"),
        };
        match self.operation {
            "Apply" => format!("{:?}{subresource}", self.name),
            _ => format!("{:?}{subresource} using {}", self.name, self.api_version),
        }
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.name, "operation": self.operation, "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": to_fields_v1(&self.fields),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = self.subresource.clone().into();
        }
        entry
    }

    fn from_json(entry: &Value) -> Self {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let operation = if entry["operation"] == "Apply" { "Apply" } else { "Update" };
        let mut fields = Fields::new();
        from_fields_v1(&entry["fieldsV1"], &Path::default(), &mut fields);
        let (name, api_version, time) = (text("manager"), text("apiVersion"), text("time"));
        Self { name, operation, api_version, time, subresource: text("subresource"), fields }
    }
}

/// The managers of an object's fields.
pub fn managers_of(object: &Value) -> Vec<Manager> {
    let entries = object["metadata"]["managedFields"].as_array();
    entries.into_iter().flatten().map(Manager::from_json).collect()
}

/// Writes down who manages what.
pub fn set_managers(object: &mut Value, managers: &[Manager]) {
    let entries = managers.iter().filter(|manager| !manager.fields.is_empty()).map(Manager::to_json);
    object["metadata"]["managedFields"] = entries.collect();
}

/// Gives what a write has changed to its manager and takes it from all others.
pub fn track_update(old: &Value, new: &mut Value, mut writer: Manager) {
    let difference = Difference::between(old, new);
    let mut managers = managers_of(old);
    let mine = managers.iter().position(|manager| manager.is_same(&writer));
    let mine = mine.map(|position| managers.remove(position));
    for manager in &mut managers {
        manager
            .fields
            .retain(|path| !difference.changed.contains(path) && !difference.removed.contains(path));
    }
    let before = mine.as_ref().map(|mine| mine.fields.clone()).unwrap_or_default();
    writer.fields = before.difference(&difference.removed).chain(&difference.changed).cloned().collect();
    if let Some(mine) = mine.filter(|mine| mine.fields == writer.fields) {
        writer = mine;
    }
    managers.push(writer);
    set_managers(new, &managers);
}

fn to_fields_v1(fields: &Fields) -> Value {
    let mut root = json!({});
    for path in fields {
        let mut node = &mut root;
        for step in &path.0 {
            let name = match step {
                Step::Field(name) => format!("f:{name}"),
                Step::Value(value) => format!("v:{value}"),
                Step::Item(keys) => {
                    let parts: Vec<_> = keys.iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
                    format!("k:{{{}}}", parts.join(","))
                }
            };
            if node[&name].is_null() {
                node[&name] = json!({});
            }
            node = &mut node[&name];
        }
        // An item says that it is there itself; other paths say it by having nothing below them.
        if matches!(path.0.last(), Some(Step::Item(_))) {
            node["."] = json!({});
        }
    }
    root
}

fn from_fields_v1(node: &Value, path: &Path, fields: &mut Fields) {
    let Some(map) = node.as_object() else { return };
    if map.is_empty() && !path.0.is_empty() {
        fields.insert(path.clone());
    }
    for (name, below) in map {
        let step = match name.split_once(':') {
            Some(("f", name)) => Step::Field(name.to_owned()),
            Some(("v", value)) => Step::Value(value.to_owned()),
            Some(("k", keys)) => Step::Item(keys_from(keys)),
            _ => {
                fields.insert(path.clone());
                continue;
            }
        };
        from_fields_v1(below, &path.then(step), fields);
    }
}

fn keys_from(text: &str) -> Vec<(String, String)> {
    let keys: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    keys.into_iter().map(|(key, value)| (key, value.to_string())).collect()
}
