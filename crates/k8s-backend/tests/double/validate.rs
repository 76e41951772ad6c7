//! The rules that objects must keep, as far as anything here could break them.

use serde_json::Value;

use super::refusal::{Answer, Cause, Refusal};
use super::resources::Kind;

/// The most that the data of a ConfigMap or a Secret may come to.
const MAX_DATA: usize = 1024 * 1024;
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
     '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
     validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
     '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
     used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 253;

/// Checks an object that is to be stored; `old` is what stood there.
pub fn validate(kind: &Kind, old: Option<&Value>, object: &Value) -> Answer<()> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut causes = Vec::new();
    check_name(kind, name, &mut causes);
    check_labels(object, &mut causes);
    check_size(kind, object, &mut causes);
    check_deployment(kind, old, object, &mut causes);
    if causes.is_empty() { Ok(()) } else { Err(Refusal::invalid(kind, name, &causes)) }
}

fn check_name(kind: &Kind, name: &str, causes: &mut Vec<Cause>) {
    let field = "metadata.name";
    let mut invalid = |why: &str| causes.push(Cause::invalid(field, &name.into(), why));
    if name.is_empty() {
        causes.push(Cause::required(field, "name or generateName is required"));
    } else if kind.plural == "services" {
        if !is_label(name, true) {
            invalid(LABEL_1035);
        }
        if name.len() > MAX_LABEL {
            invalid("must be no more than 63 characters");
        }
    } else {
        if !name.split('.').all(|part| is_label(part, false)) {
            invalid(SUBDOMAIN);
        }
        if name.len() > MAX_NAME {
            invalid("must be no more than 253 characters");
        }
    }
}

fn is_label(text: &str, begins_with_letter: bool) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = |c: char| c.is_ascii_lowercase() || (!begins_with_letter && c.is_ascii_digit());
    text.starts_with(begins) && !text.ends_with('-') && text.chars().all(legal)
}

fn check_labels(object: &Value, causes: &mut Vec<Cause>) {
    let Some(labels) = object["metadata"]["labels"].as_object() else { return };
    for value in labels.values() {
        let text = value.as_str().unwrap_or_default();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let ends = |c: char| c.is_ascii_alphanumeric();
        let is_legal = text.chars().all(legal) && text.starts_with(ends) && text.ends_with(ends);
        if !(is_legal || text.is_empty()) {
            causes.push(Cause::invalid("metadata.labels", value, LABEL_VALUE));
        }
        if text.len() > MAX_LABEL {
            causes.push(Cause::invalid("metadata.labels", value, "must be no more than 63 characters"));
        }
    }
}

fn check_size(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    if !matches!(kind.plural, "configmaps" | "secrets") {
        return;
    }
    let bytes = |field: &str, share: fn(usize) -> usize| -> usize {
        let values = object[field].as_object().into_iter().flat_map(|map| map.values());
        values.filter_map(Value::as_str).map(|text| share(text.len())).sum()
    };
    let decoded = |base64: usize| base64 / 4 * 3;
    let whole = |text: usize| text;
    let size = match kind.plural {
        "secrets" => bytes("data", decoded),
        _ => bytes("data", whole) + bytes("binaryData", decoded),
    };
    if size > MAX_DATA {
        let field = if kind.plural == "secrets" { "data" } else { "" };
        let why = format!("Too long: must have at most {MAX_DATA} bytes");
        causes.push(Cause::new("FieldValueTooLong", if field.is_empty() { "[]" } else { field }, why));
    }
}

fn check_deployment(kind: &Kind, old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    if kind.plural != "deployments" {
        return;
    }
    let spec = &object["spec"];
    let selector = spec["selector"]["matchLabels"].as_object();
    let labels = &spec["template"]["metadata"]["labels"];
    if selector.is_none_or(serde_json::Map::is_empty) {
        causes.push(Cause::required("spec.selector", ""));
    }
    if selector.is_some_and(|selector| selector.iter().any(|(label, value)| labels.get(label) != Some(value)))
    {
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", labels, why));
    }
    if spec["template"]["spec"]["containers"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required("spec.template.spec.containers", ""));
    }
    if let Some(old) = old
        && old["spec"]["selector"] != spec["selector"]
    {
        causes.push(Cause::invalid("spec.selector", &spec["selector"], "field is immutable"));
    }
}
