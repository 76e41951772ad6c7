//! Endpoints that are written in the file: the endpoint's document, and beside it keys and addresses.

use std::collections::HashSet;
use std::net::SocketAddr;

use portway_auth::{ApiKey, Credentials};
use portway_deploy_config::{AuthMode, Code, EndpointSpec};
use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use super::fields::Fields;

/// An endpoint that is written in the file.
#[derive(Clone, Debug)]
pub struct StaticEndpoint {
    /// Its document.
    pub spec: EndpointSpec,
    /// Its keys, unless authentication is off.
    pub credentials: Option<Credentials>,
    /// The replicas of each version, in the order of the document.
    pub addresses: Vec<Vec<SocketAddr>>,
}

pub(super) fn read(tables: Vec<Table>, fields: &mut Fields<'_>) -> Vec<StaticEndpoint> {
    let mut names = HashSet::new();
    let mut endpoints = Vec::new();
    for (at, table) in tables.into_iter().enumerate() {
        let mut inner = fields.inner(table, &format!("endpoints[{at}]"));
        if let Some(endpoint) = endpoint(&mut inner) {
            if !names.insert(endpoint.spec.name.clone()) {
                inner.fault("name", format_args!("{} is written twice", endpoint.spec.name));
            }
            endpoints.push(endpoint);
        }
    }
    endpoints
}

fn endpoint(fields: &mut Fields<'_>) -> Option<StaticEndpoint> {
    let keys = fields.strings("keys");
    let credentials = keys.as_deref().and_then(|keys| credentials(keys, fields));
    let versions = fields.tables("versions").unwrap_or_default();
    let (mut documents, mut addresses) = (Vec::new(), Vec::new());
    for (at, table) in versions.into_iter().enumerate() {
        let mut version = fields.inner(table, &format!("versions[{at}]"));
        addresses.push(socket_addresses(&mut version));
        documents.push(json(&Value::Table(version.rest())));
    }
    let spec = document(fields, documents)?;
    match (spec.auth, &keys) {
        (AuthMode::Keys, None) => {
            fields.fault("keys", "missing; write two of at least 32 characters, or auth = \"off\"");
        }
        (AuthMode::Off, Some(_)) => fields.fault("keys", "not asked for where auth = \"off\""),
        (AuthMode::Token, _) => fields.fault("auth", "tokens have no issuer in a file; use keys or off"),
        _ => {}
    }
    Some(StaticEndpoint { spec, credentials, addresses })
}

fn credentials(keys: &[String], fields: &mut Fields<'_>) -> Option<Credentials> {
    let [primary, secondary] = keys else {
        fields.fault("keys", format_args!("found {}, two are needed: primary and secondary", keys.len()));
        return None;
    };
    let mut chosen = |at: usize, text: &str| match ApiKey::chosen(text) {
        Ok(key) => Some(key),
        Err(error) => {
            fields.fault(&format!("keys[{at}]"), error);
            None
        }
    };
    let (primary, secondary) = (chosen(0, primary), chosen(1, secondary));
    match Credentials::new(primary?, secondary?) {
        Ok(credentials) => Some(credentials),
        Err(error) => {
            fields.fault("keys", error);
            None
        }
    }
}

fn socket_addresses(version: &mut Fields<'_>) -> Vec<SocketAddr> {
    let Some(texts) = version.strings("addresses") else { return Vec::new() };
    let mut addresses = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => version
                .fault(&format!("addresses[{at}]"), format_args!("{text:?} is not an address with a port")),
        }
    }
    addresses
}

/// Checks the rest as the endpoint document that it is. Left out, the default version is the first, and the control
/// version is the default.
fn document(fields: &mut Fields<'_>, versions: Vec<Json>) -> Option<EndpointSpec> {
    let Json::Object(mut document) = json(&Value::Table(fields.rest())) else { return None };
    let first = versions.first().and_then(|version| version.get("name")).cloned();
    if let Some(first) = first {
        document.entry("default").or_insert(first);
    }
    if let Some(default) = document.get("default").cloned() {
        document.entry("control").or_insert(default);
    }
    document.insert("versions".into(), Json::Array(versions));
    let (spec, report) = EndpointSpec::check(&Json::Object(document).to_string()).into_parts();
    for finding in &report {
        // An unknown key is advice in a document that others may extend; nobody extends this file.
        if report.errors().any(|error| error == finding) || finding.code == Code::UnknownKey {
            let place = place(&finding.pointer);
            let remedy =
                if finding.remedy.is_empty() { String::new() } else { format!("; {}", finding.remedy) };
            fields.fault(&place, format_args!("{}{remedy}", finding.message));
        }
    }
    spec
}

/// `/versions/1/share` as it is written elsewhere in a TOML message: `versions[1].share`.
fn place(pointer: &str) -> String {
    let mut place = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            place.push_str(&format!("[{part}]"));
        } else {
            if !place.is_empty() {
                place.push('.');
            }
            place.push_str(part);
        }
    }
    place
}

fn json(value: &Value) -> Json {
    match value {
        Value::String(text) => Json::from(text.as_str()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Boolean(value) => Json::from(*value),
        Value::Datetime(time) => Json::from(time.to_string()),
        Value::Array(values) => values.iter().map(json).collect(),
        Value::Table(table) => {
            Json::Object(table.iter().map(|(key, value)| (key.clone(), json(value))).collect::<Map<_, _>>())
        }
    }
}
