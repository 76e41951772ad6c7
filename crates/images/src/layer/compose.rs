//! The new image's documents: what the old ones say, and the layer. The same input gives the same bytes.

use std::collections::BTreeMap;

use portway_hashing::resolve::{RegistryError, RegistryErrorKind};
use portway_hashing::{Digest, ImageRef};
use serde_json::{Map, Value, json};

use super::{PROJECT_FOLDER, ProjectLayer};
use crate::oci::manifest::{Manifest, OCI_MANIFEST};
use crate::oci::{BASE_DIGEST_ANNOTATION, BASE_NAME_ANNOTATION, PROJECT_ANNOTATION};

/// The environment's configuration with the layer.
pub(super) fn config(environment: &ImageRef, bytes: &[u8], layers: usize, layer: &ProjectLayer) -> Composed {
    let mut config: Value = serde_json::from_slice(bytes)
        .map_err(|error| strange(environment, "its configuration is no JSON").with_source(error))?;
    let diff_ids = config.pointer_mut("/rootfs/diff_ids").and_then(Value::as_array_mut);
    let Some(diff_ids) = diff_ids.filter(|ids| ids.len() == layers) else {
        return Err(strange(environment, "its configuration does not list its layers"));
    };
    // Nothing is compressed, so the layer's digest is also that of its content.
    diff_ids.push(json!(layer.digest()));
    // A history has an entry for each layer or is not there at all: readers reject what is in between.
    let full = |entries: &Vec<Value>| {
        entries.iter().filter(|entry| entry["empty_layer"] != Value::Bool(true)).count() == layers
    };
    match config.get_mut("history").map(Value::as_array_mut) {
        Some(Some(history)) if full(history) => history.push(json!({
            "created": CREATED,
            "created_by": format!("portway: project {} in {PROJECT_FOLDER}", layer.project()),
        })),
        _ => {
            config.as_object_mut().map(|config| config.remove("history"));
        }
    }
    let runs = config.as_object_mut().map(|config| config.entry("config").or_insert(Value::Null));
    match runs {
        Some(Value::Object(runs)) => drop(runs.insert("WorkingDir".to_owned(), PROJECT_FOLDER.into())),
        Some(runs @ Value::Null) => *runs = json!({"WorkingDir": PROJECT_FOLDER}),
        _ => return Err(strange(environment, "its configuration has an unusable `config`")),
    }
    Ok(canonical(config))
}

/// The environment's manifest with the layer: always OCI's form, since docker's knows no annotations. The layers are the same bytes
/// in both.
pub(super) fn manifest(environment: &Manifest, config: &[u8], layer: &ProjectLayer) -> Composed {
    let image = &environment.image;
    let old: Value = serde_json::from_slice(&environment.bytes)
        .map_err(|error| strange(image, "its manifest is no JSON").with_source(error))?;
    let kind = old["config"]["mediaType"].as_str().unwrap_or_default();
    if !CONFIGS.contains(&kind) {
        return Err(strange(
            image,
            &format!("its configuration is of the type {kind:?}, so it is no image to run"),
        ));
    }
    let mut layers = old["layers"].as_array().cloned().unwrap_or_default();
    for old in &mut layers {
        let kind = old["mediaType"].as_str().unwrap_or_default();
        let Some(kind) = oci_layer(kind) else {
            return Err(strange(
                image,
                &format!("it has a layer of the type {kind:?}; convert it to OCI's form"),
            ));
        };
        old["mediaType"] = kind.into();
    }
    layers.push(json!({"mediaType": LAYER, "digest": layer.digest(), "size": layer.bytes()}));
    let mut annotations: BTreeMap<&str, String> =
        environment.annotations.iter().map(|(name, value)| (name, value.to_owned())).collect();
    let name = environment
        .annotations
        .key()
        .map_or_else(|| image.to_string(), |key| format!("{}:{key}", image.repository()));
    annotations.insert(BASE_NAME_ANNOTATION, name);
    annotations.insert(BASE_DIGEST_ANNOTATION, image.digest().to_string());
    annotations.insert(PROJECT_ANNOTATION, layer.project().to_string());
    Ok(canonical(json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": Digest::of(config), "size": config.len()},
        "layers": layers,
        "annotations": annotations,
    })))
}

type Composed = Result<Vec<u8>, RegistryError>;

fn strange(image: &ImageRef, problem: &str) -> RegistryError {
    RegistryError::new(RegistryErrorKind::Invalid, format!("no layer can be put on {image}: {problem}"))
}

fn oci_layer(kind: &str) -> Option<String> {
    let known = match kind {
        "application/vnd.docker.image.rootfs.diff.tar" => LAYER,
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => "application/vnd.oci.image.layer.v1.tar+zstd",
        oci if oci.starts_with("application/vnd.oci.image.layer.v1.") => oci,
        _ => return None,
    };
    Some(known.to_owned())
}

/// Without white space, and sorted whatever the JSON library has been told about the order of keys.
fn canonical(value: Value) -> Vec<u8> {
    sorted(value).to_string().into_bytes()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let ordered: BTreeMap<_, _> =
                object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(ordered.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const CONFIGS: &[&str] = &[OCI_CONFIG, "application/vnd.docker.container.image.v1+json"];
/// Times are left out of everything: the same as that of the files.
const CREATED: &str = "1980-01-01T00:00:00Z";
