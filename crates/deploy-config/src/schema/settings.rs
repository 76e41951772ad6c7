//! The settings of deployments, from the table of fields.

use serde_json::{Map, Value, json};

use super::{anything, closed, flag, list, name, name_or_empty, object, optional, text, whole};
use crate::name::NameKind;
use crate::service::{AUTOSCALE_NUMBERS, Field, Group, Kind, ROWS, Spelling, Takes};

/// The arguments of a call: it has no others, unless it is the one that swallows all.
pub(super) fn arguments(takes: Takes) -> Value {
    let versions = takes == Takes::Version;
    let members =
        ROWS.iter().filter(|row| takes.has(row.field)).map(|row| (row.sdk, setting(row.field, versions)));
    let required: &[&str] = if versions { &["version_name"] } else { &[] };
    let mut arguments = scaling(object(members, required), Spelling::Sdk);
    if takes == Takes::Version {
        // A version that is created or updated says which it is.
        arguments["properties"]["version_name"] = name(NameKind::Version);
    }
    if takes == Takes::WebserviceUpdate { arguments } else { closed(arguments) }
}

/// A version that is created takes an inference configuration only with an environment.
pub(super) fn creating(mut arguments: Value) -> Value {
    let whole =
        json!({"required": ["environment"], "properties": {"environment": {"not": {"type": "null"}}}});
    arguments["properties"]["inference_config"] =
        json!({"anyOf": [{"not": {"type": "object"}}, {"maxProperties": 0}, whole]});
    arguments
}

/// `deploymentconfig.json`, where either kind ignores a few settings of the other.
pub(super) fn file() -> Value {
    const ENDPOINT: &str = "^[aA][kK][sS][eE][nN][dD][pP][oO][iI][nN][tT]$";
    const EITHER: &str = "^[aA][kK][sS]([eE][nN][dD][pP][oO][iI][nN][tT])?$";
    let versions = [Field::VersionName, Field::TrafficPercentile];
    let service = [Field::ComputeTargetName];
    let rest = |field: &Field| !versions.contains(field) && !service.contains(field);
    let members = |group: Option<Group>| {
        ROWS.iter().filter(|row| rest(&row.field)).filter_map(move |row| {
            row.file.filter(|(of, _)| *of == group).map(|(_, key)| (key, setting(row.field, false)))
        })
    };
    let groups = Group::ALL.iter().map(|&group| {
        let inner = object(members(Some(group)), &[]);
        (group.key(), if group == Group::AutoScaler { scaling(inner, Spelling::File) } else { inner })
    });
    let compute_type = ("computeType", json!({"type": "string", "pattern": EITHER}));
    let mut file = object(members(None).chain(groups).chain([compute_type]), &["computeType"]);
    let only = |fields: &[Field]| {
        let members =
            fields.iter().filter_map(|field| field.row().file.map(|(_, key)| (key, setting(*field, false))));
        json!({"properties": object(members, &[])["properties"]})
    };
    file["if"] = json!({"properties": {"computeType": {"type": "string", "pattern": ENDPOINT}}, "required": ["computeType"]});
    file["then"] = only(&versions);
    file["else"] = only(&service);
    file
}

fn setting(field: Field, versions: bool) -> Value {
    let mut schema = match (field, field.row().kind) {
        (Field::Namespace, _) => name_or_empty(NameKind::Namespace),
        (Field::VersionName, _) if versions => name(NameKind::Version),
        (Field::VersionName, _) => name_or_empty(NameKind::Version),
        (Field::ComputeTargetName, _) => name_or_empty(NameKind::Compute),
        (Field::Models, _) => list(anything()),
        // The bounds count only while automatic scaling is on.
        (field, _) if AUTOSCALE_NUMBERS.contains(&field) => json!({"type": "number"}),
        (_, Kind::Flag | Kind::Inverted) => flag(),
        (_, Kind::Whole(min, max)) => whole(min, max),
        (Field::CpuCores | Field::CpuCoresLimit, _) => amount(4_294_967.295),
        (_, Kind::Amount) => amount(4_194_303.999),
        (_, Kind::Percent) => json!({"type": "number", "minimum": 0, "maximum": 100}),
        (_, Kind::Text | Kind::Secret) => text(),
        (_, Kind::Map) => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        (_, Kind::Counts) => json!({"type": "object", "additionalProperties": whole(0, u64::from(u32::MAX))}),
        (_, Kind::Any) => anything(),
    };
    schema["description"] = json!(field.meaning());
    schema
}

fn amount(most: f64) -> Value {
    json!({"type": "number", "exclusiveMinimum": 0, "maximum": most})
}

/// Adds the bounds of automatic scaling, for documents that switch it on.
fn scaling(mut object: Value, spelling: Spelling) -> Value {
    let key = |field: Field| field.path(spelling).map(|(_, key)| key).unwrap_or_default();
    if object["properties"].get(key(Field::AutoscaleEnabled)).is_none() {
        return object;
    }
    let bounds: Map<String, Value> = AUTOSCALE_NUMBERS
        .iter()
        .filter_map(|field| match field.row().kind {
            Kind::Whole(min, max) => Some((key(*field).to_owned(), optional(whole(min, max)))),
            _ => None,
        })
        .collect();
    let enabled = key(Field::AutoscaleEnabled);
    object["if"] = json!({"properties": {enabled: {"const": true}}, "required": [enabled]});
    object["then"] = json!({"properties": bounds});
    object
}
