//! How stored objects are shown: in the version asked for, whole or just their metadata.

use serde_json::{Value, json};

use super::resources::Kind;

/// `apps/v1`.
pub fn api_version(kind: &Kind, version: &str) -> String {
    kind.api_version(version)
}

/// An object as a request in this version sees it.
pub fn render(object: &Value, kind: &Kind, version: &str, metadata_only: bool) -> Value {
    if metadata_only {
        let metadata = &object["metadata"];
        return json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
    }
    let mut object = object.clone();
    object["apiVersion"] = api_version(kind, version).into();
    object["kind"] = kind.kind.into();
    object
}

/// A page of a list; objects in it do not say their kind.
pub fn render_list(
    objects: impl Iterator<Item = Value>,
    kind: &Kind,
    version: &str,
    metadata_only: bool,
    metadata: &Value,
) -> Value {
    let items: Vec<Value> =
        objects.map(|object| if metadata_only { object } else { without_type(object) }).collect();
    let (api_version, list) = if metadata_only {
        ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned())
    } else {
        (api_version(kind, version), format!("{}List", kind.kind))
    };
    json!({"kind": list, "apiVersion": api_version, "metadata": metadata, "items": items})
}

fn without_type(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("kind");
        object.remove("apiVersion");
    }
    object
}
