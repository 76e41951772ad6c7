//! JSON Schemas of every document, made from the tables that the readers use.
//!
//! A schema describes what a document is made of: members, types, bounds, names. What members must be to each other is
//! for the checks alone; so whatever a schema refuses is refused by the check, and whatever the check refuses for its
//! make is refused by the schema.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::name::NameKind;
use crate::service::Takes;

mod documents;
mod settings;

/// The schema of a call's arguments, or of the file that it takes.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::{Call, schema};
///
/// let schema = schema(Call::DeploymentConfig);
/// let cpu = schema.as_value().pointer("/properties/containerResourceRequirements/anyOf/1/properties/cpu");
/// assert!(cpu.is_some());
/// ```
#[must_use]
pub fn schema(call: Call) -> Schema {
    let mut value = match call {
        Call::DeployService => settings::arguments(Takes::Webservice),
        Call::UpdateService => settings::arguments(Takes::WebserviceUpdate),
        Call::DeployEndpoint => settings::arguments(Takes::Endpoint),
        Call::UpdateEndpoint => settings::arguments(Takes::EndpointUpdate),
        Call::CreateVersion => settings::creating(settings::arguments(Takes::Version)),
        Call::UpdateVersion => settings::arguments(Takes::Version),
        Call::DeploymentConfig => settings::file(),
        Call::InferenceConfig => documents::inference(),
        Call::EndpointDocument => documents::endpoint(),
        Call::Provision => documents::provision(),
        Call::Attach => documents::attach(),
        Call::Name(kind) => object([("value", name(kind))], &["value"]),
    };
    if let Value::Object(members) = &mut value {
        members.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    }
    from_value(value)
}

fn from_value(value: Value) -> Schema {
    match value {
        Value::Object(members) => Schema::from(members),
        _ => Schema::from(true),
    }
}

macro_rules! json_schemas {
    ($($Type:ident $call:ident;)*) => {$(
        impl JsonSchema for crate::$Type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($Type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = schema(Call::$call);
                schema.remove("$schema");
                schema
            }
        }
    )*};
}

json_schemas! {
    DeploymentConfig DeploymentConfig;
    InferenceConfig InferenceConfig;
    EndpointSpec EndpointDocument;
    ProvisionSpec Provision;
    AttachSpec Attach;
    ServiceSpec DeployService;
}

// === parts ===

/// An object of optional members, `null` counting as absent, but for those that are required.
fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>, required: &[&str]) -> Value {
    let members = members.into_iter();
    let properties: Map<_, _> = members
        .map(|(key, schema)| {
            let schema = if required.contains(&key) { schema } else { optional(schema) };
            (key.to_owned(), schema)
        })
        .collect();
    let mut object = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// An object that has no other members.
fn closed(mut object: Value) -> Value {
    object["additionalProperties"] = json!(false);
    object
}

fn optional(schema: Value) -> Value {
    json!({"anyOf": [{"type": "null"}, schema]})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn anything() -> Value {
    json!({})
}

fn whole(min: u64, max: u64) -> Value {
    json!({"type": "integer", "minimum": min, "maximum": max})
}

fn choice<T>(words: &[(&str, T)]) -> Value {
    json!({"enum": words.iter().map(|(word, _)| word).collect::<Vec<_>>()})
}

fn list(element: Value) -> Value {
    json!({"type": "array", "items": element})
}

fn name(kind: NameKind) -> Value {
    match kind {
        // The names of the platform's own targets are in small letters.
        NameKind::Compute => json!({
            "type": "string", "pattern": pattern(kind), "not": {"enum": crate::name::RESERVED_COMPUTES}
        }),
        _ => json!({"type": "string", "pattern": pattern(kind)}),
    }
}

/// A name or an empty text, which counts as none.
fn name_or_empty(kind: NameKind) -> Value {
    json!({"anyOf": [{"const": ""}, name(kind)]})
}

/// The rule of a name as a regular expression.
fn pattern(kind: NameKind) -> String {
    match kind {
        NameKind::Service | NameKind::Version => "^[a-z][-a-z0-9]{1,30}[a-z0-9]$".to_owned(),
        NameKind::Model => "^[A-Za-z0-9][-A-Za-z0-9._]{0,254}$".to_owned(),
        NameKind::ModelId => "^[A-Za-z0-9][-A-Za-z0-9._]{0,254}:[1-9][0-9]{0,9}$".to_owned(),
        NameKind::Image => "^[a-z0-9][-.a-z0-9]{1,30}[a-z0-9]$".to_owned(),
        NameKind::Namespace => "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$".to_owned(),
        NameKind::Workspace => "^[A-Za-z0-9][-_A-Za-z0-9]{2,32}$".to_owned(),
        NameKind::Compute => "^[A-Za-z][-A-Za-z0-9]{1,22}[A-Za-z0-9]$".to_owned(),
        NameKind::EntryScript => {
            let keywords = crate::name::PYTHON_KEYWORDS.join("|");
            format!(r"(^|/)(?!({keywords})\.py$)[_\p{{XID_Start}}]\p{{XID_Continue}}*\.py$")
        }
    }
}
