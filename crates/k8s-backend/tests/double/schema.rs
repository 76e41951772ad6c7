//! Which lists and maps are merged item by item, and which are one value.
//!
//! The real server knows this from its schema, kind by kind. Here the name of the field decides, which holds for all
//! kinds that the double serves.

use serde_json::Value;

/// How the items of a list belong together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// Items are told apart by these fields.
    Keyed(&'static [&'static str]),
    /// Each value is an item of its own.
    Set,
    /// The list is one value.
    Atomic,
}

/// The shape of the list in a field.
pub fn list_shape(field: &str, items: &[Value]) -> Shape {
    match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "secrets" => Shape::Keyed(&["name"]),
        "volumeMounts" => Shape::Keyed(&["mountPath"]),
        "volumeDevices" => Shape::Keyed(&["devicePath"]),
        "ports" if items.iter().any(|item| item.get("containerPort").is_some()) => {
            Shape::Keyed(&["containerPort", "protocol"])
        }
        "ports" if items.iter().any(|item| item.get("port").is_some()) => Shape::Keyed(&["port", "protocol"]),
        "conditions" => Shape::Keyed(&["type"]),
        "ownerReferences" => Shape::Keyed(&["uid"]),
        "topologySpreadConstraints" => Shape::Keyed(&["topologyKey", "whenUnsatisfiable"]),
        "finalizers" => Shape::Set,
        _ => Shape::Atomic,
    }
}

/// Whether the map in a field is one value.
pub fn is_atomic_map(field: &str) -> bool {
    matches!(
        field,
        "selector"
            | "labelSelector"
            | "nodeSelector"
            | "secretKeyRef"
            | "configMapKeyRef"
            | "fieldRef"
            | "resourceFieldRef"
            | "secretRef"
            | "configMapRef"
    )
}

/// What an item has in a key; ports are TCP where they do not say.
pub fn key_value(item: &Value, key: &str) -> Value {
    match item.get(key) {
        None | Some(Value::Null) if key == "protocol" => "TCP".into(),
        Some(value) => value.clone(),
        None => Value::Null,
    }
}

/// Whether two items of a list are the same one.
pub fn same_item(one: &Value, other: &Value, keys: &[&str]) -> bool {
    keys.iter().all(|key| key_value(one, key) == key_value(other, key))
}
