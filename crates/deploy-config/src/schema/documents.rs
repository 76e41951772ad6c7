//! The documents that have no table: endpoint, inference, clusters.

use serde_json::{Value, json};

use super::{anything, choice, closed, flag, list, name, object, text, whole};
use crate::cluster::{BALANCERS, PURPOSES};
use crate::endpoint::{AUTH, MAX_VERSIONS, PINNING, PROFILES, STICKY_BUCKETS};
use crate::name::NameKind;

const MOST: u64 = u32::MAX as u64;

pub(super) fn endpoint() -> Value {
    let version_name = || name(NameKind::Version);
    let mut versions = list(version());
    versions["minItems"] = json!(1);
    versions["maxItems"] = json!(MAX_VERSIONS);
    object(
        [
            ("name", name(NameKind::Service)),
            ("auth", choice(&AUTH)),
            ("profile", choice(&PROFILES)),
            ("pinning", choice(&PINNING)),
            ("idempotent", flag()),
            ("sticky", sticky()),
            ("limits", limits()),
            ("default", version_name()),
            ("control", version_name()),
            ("versions", versions),
        ],
        &["name", "default", "control", "versions"],
    )
}

fn version() -> Value {
    let auto = object(
        [
            ("min", whole(0, MOST)),
            ("max", whole(1, MOST)),
            ("target_percent", whole(1, 100)),
            ("refresh_ms", whole(1, MOST)),
        ],
        &[],
    );
    let mut replicas = object([("fixed", whole(1, MOST)), ("auto", auto)], &[]);
    replicas["oneOf"] = json!([given("fixed"), given("auto")]);
    object(
        [
            ("name", name(NameKind::Version)),
            ("share", json!({"type": "number", "minimum": 0, "maximum": 100})),
            ("replicas", replicas),
            ("max_concurrent", whole(1, MOST)),
            ("scoring_timeout_ms", whole(1, MOST)),
            ("max_queue_wait_ms", whole(1, MOST)),
            ("collect_model_data", flag()),
            ("app_insights", flag()),
        ],
        &["name"],
    )
}

/// A member that is there and not `null`.
fn given(key: &str) -> Value {
    json!({"required": [key], "properties": {key: {"not": {"type": "null"}}}})
}

fn sticky() -> Value {
    let mut key = object([("header", text()), ("cookie", text())], &[]);
    key["oneOf"] = json!([given("header"), given("cookie")]);
    let run = object(
        [("version", name(NameKind::Version)), ("count", whole(1, u64::from(STICKY_BUCKETS)))],
        &["version", "count"],
    );
    object([("key", key), ("buckets", list(run))], &["key"])
}

fn limits() -> Value {
    object(
        [
            ("queue", whole(0, MOST)),
            ("queue_wait_ms", whole(0, MOST)),
            ("waiting_room", whole(0, MOST)),
            ("waiting_room_wait_ms", whole(0, MOST)),
            ("first_byte_ms", whole(1, MOST)),
            ("idle_ms", whole(1, MOST)),
            ("total_ms", whole(1, MOST)),
            ("max_body_bytes", whole(1, u64::MAX)),
        ],
        &[],
    )
}

pub(super) fn inference() -> Value {
    object(
        [
            ("entryScript", name(NameKind::EntryScript)),
            ("sourceDirectory", text()),
            ("description", text()),
            ("environment", json!({"anyOf": [{"type": "string"}, environment()]})),
            ("runtime", json!({"enum": ["python", "spark-py"]})),
            ("condaFile", text()),
            ("extraDockerfileSteps", text()),
            ("enableGpu", flag()),
            ("cudaVersion", json!({"enum": ["9.0", "9.1", "10.0"]})),
            ("baseImage", text()),
            ("baseImageRegistry", registry()),
        ],
        &["entryScript"],
    )
}

fn registry() -> Value {
    object([("address", text()), ("username", text()), ("password", text())], &[])
}

fn environment() -> Value {
    let context = object([("locationType", text()), ("location", text()), ("dockerfilePath", text())], &[]);
    let docker = object(
        [
            ("baseImage", text()),
            ("baseDockerfile", text()),
            ("buildContext", context),
            ("baseImageRegistry", registry()),
        ],
        &[],
    );
    let pip = object([("pip", list(text()))], &[]);
    let conda = object(
        [
            ("name", text()),
            ("channels", list(text())),
            ("dependencies", list(json!({"anyOf": [{"type": "string"}, pip]}))),
        ],
        &[],
    );
    let python = object(
        [
            ("userManagedDependencies", flag()),
            ("interpreterPath", text()),
            ("condaDependenciesFile", text()),
            ("baseCondaEnvironment", anything()),
            ("condaDependencies", conda),
        ],
        &[],
    );
    object(
        [
            ("name", text()),
            ("version", json!({"type": ["string", "number"]})),
            ("environmentVariables", json!({"type": "object", "additionalProperties": {"type": "string"}})),
            ("docker", docker),
            ("python", python),
        ],
        &[],
    )
}

const TRIO: [&str; 3] = ["ssl_cname", "ssl_cert_pem_file", "ssl_key_pem_file"];

fn ssl() -> Value {
    let own = [("leaf_domain_label", text()), ("overwrite_existing_domain", flag())];
    closed(object(TRIO.map(|key| (key, text())).into_iter().chain(own), &[]))
}

/// Members that clusters have, however they come about.
fn cluster() -> [(&'static str, Value); 4] {
    [
        ("cluster_purpose", or_empty(choice(&PURPOSES))),
        ("load_balancer_type", or_empty(choice(&BALANCERS))),
        ("load_balancer_subnet", text()),
        ("enable_ssl", ssl()),
    ]
}

fn or_empty(choice: Value) -> Value {
    json!({"anyOf": [{"const": ""}, choice]})
}

pub(super) fn provision() -> Value {
    const TEXTS: [&str; 8] = [
        "vm_size",
        "location",
        "vnet_resourcegroup_name",
        "vnet_name",
        "subnet_name",
        "service_cidr",
        "dns_service_ip",
        "docker_bridge_cidr",
    ];
    let texts = TEXTS.into_iter().chain(TRIO).map(|key| (key, text()));
    closed(object(texts.chain(cluster()).chain([("agent_count", whole(0, MOST))]), &[]))
}

pub(super) fn attach() -> Value {
    let texts = ["resource_group", "cluster_name", "resource_id"].map(|key| (key, text()));
    closed(object(texts.into_iter().chain(cluster()), &[]))
}
