//! N independent faults, seeded into a document without any, give exactly those N findings.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use portway_deploy_config::{DeploymentConfig, EndpointSpec, Json, ServiceSpec, Spelling};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A fault: what is written where, and the finding that it gives.
struct Fault {
    write: (&'static str, Value),
    finding: (&'static str, &'static str),
}

fn fault(at: &'static str, value: Value, code: &'static str) -> Fault {
    Fault { write: (at, value), finding: (code, at) }
}

fn elsewhere(at: &'static str, value: Value, code: &'static str, pointer: &'static str) -> Fault {
    Fault { write: (at, value), finding: (code, pointer) }
}

fn file() -> Value {
    json!({
        "computeType": "aks",
        "autoScaler": {"autoscaleEnabled": true, "minReplicas": 1, "maxReplicas": 4, "refreshPeriodInSeconds": 1, "targetUtilization": 70},
        "dataCollection": {"storageEnabled": true},
        "authEnabled": true,
        "containerResourceRequirements": {"cpu": 0.5, "cpuLimit": 1, "memoryInGB": 1.0, "memoryInGBLimit": 2},
        "gpuCores": 0,
        "appInsightsEnabled": false,
        "scoringTimeoutMs": 1000,
        "maxConcurrentRequestsPerContainer": 2,
        "maxQueueWaitMs": 500,
        "namespace": "models",
        "keys": {"primaryKey": "one", "secondaryKey": "two"},
        "livenessProbeRequirements": {"periodSeconds": 1, "initialDelaySeconds": 2, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3},
        "computeTargetName": "cluster"
    })
}

fn file_faults() -> Vec<Fault> {
    vec![
        elsewhere("/computeType", Value::Null, "config/missing", ""),
        fault("/autoScaler/minReplicas", json!(0), "config/not-positive"),
        fault("/autoScaler/maxReplicas", json!("4"), "config/wrong-type"),
        fault("/autoScaler/refreshPeriodInSeconds", json!(1.5), "config/not-an-integer"),
        fault("/autoScaler/targetUtilization", json!(101), "config/too-large"),
        fault("/dataCollection", json!(true), "config/wrong-type"),
        fault("/containerResourceRequirements/cpu", json!(-1), "config/not-positive"),
        fault(
            "/containerResourceRequirements/memoryInGBLimit",
            json!(0.99),
            "config/memory-limit-below-request",
        ),
        fault("/containerResourceRequirements/gpu", json!(1), "config/ignored"),
        fault("/gpuCores", json!(-1), "config/negative"),
        fault("/appInsightsEnabled", json!("no"), "config/wrong-type"),
        fault("/scoringTimeoutMs", json!(300_001), "config/too-large"),
        fault("/maxConcurrentRequestsPerContainer", json!(0), "config/not-positive"),
        fault("/maxQueueWaitMs", json!([500]), "config/wrong-type"),
        fault("/numReplicas", json!(3), "config/replicas-and-autoscale"),
        fault("/tokenAuthEnabled", json!(true), "config/auth-conflict"),
        fault("/namespace", json!("Models"), "config/name-invalid"),
        fault("/keys/primaryKey", json!(1), "config/wrong-type"),
        fault("/livenessProbeRequirements/periodSeconds", json!(0), "config/not-positive"),
        fault("/livenessProbeRequirements/initialDelaySeconds", json!(0), "config/not-positive"),
        fault("/livenessProbeRequirements/timeoutSeconds", json!(5_000_000_000_u64), "config/too-large"),
        fault("/livenessProbeRequirements/successThreshold", json!(2), "config/probe-success-threshold"),
        fault("/livenessProbeRequirements/failureThreshold", json!(-3), "config/not-positive"),
        fault("/computeTargetName", json!("no"), "config/name-invalid"),
        fault("/versionName", json!("one"), "config/ignored"),
        fault("/apInsightsEnabled", json!(true), "config/unknown-key"),
    ]
}

fn endpoint() -> Value {
    json!({
        "name": "mynewendpoint", "auth": "keys", "profile": "recommended", "pinning": "any", "idempotent": true,
        "sticky": {"key": {"header": "x-user"}},
        "limits": {"queue": 1, "queue_wait_ms": 1, "idle_ms": 5},
        "default": "one", "control": "two",
        "versions": [
            {"name": "one", "share": 10, "replicas": {"fixed": 2}},
            {"name": "two", "share": 20, "replicas": {"auto": {"min": 0, "max": 2}}, "max_concurrent": 4}
        ]
    })
}

fn endpoint_faults() -> Vec<Fault> {
    vec![
        elsewhere("/name", Value::Null, "config/missing", ""),
        fault("/auth", json!("key"), "config/unknown-value"),
        fault("/profile", json!(1), "config/wrong-type"),
        fault("/pinning", json!("all"), "config/unknown-value"),
        fault("/idempotent", json!("yes"), "config/wrong-type"),
        fault("/sticky/key/header", json!("x user"), "config/header-name"),
        fault("/limits/queue", json!(-1), "config/negative"),
        fault("/limits/idle_ms", json!(0), "config/not-positive"),
        fault("/default", json!("three"), "config/unknown-version"),
        fault("/control", json!("4"), "config/name-invalid"),
        fault("/versions/0/share", json!(1.005), "config/share-precision"),
        fault("/versions/0/replicas/fixed", json!(0), "config/not-positive"),
        fault("/versions/1/share", json!(-1), "config/share-out-of-range"),
        elsewhere(
            "/versions/1/replicas/auto/max",
            json!(-2),
            "config/not-positive",
            "/versions/1/replicas/auto/max",
        ),
        fault("/versions/1/max_concurrent", json!(2.5), "config/not-an-integer"),
        fault("/versions/1/scoring_timeout", json!(1), "config/unknown-key"),
    ]
}

/// The SDK's spelling of the same settings; a misspelt argument is refused there.
fn arguments() -> (Value, Vec<Fault>) {
    let value = json!({
        "autoscale_enabled": true, "autoscale_min_replicas": 1, "cpu_cores": 1, "cpu_cores_limit": 2, "memory_gb": 1,
        "auth_enabled": true, "tags": {"a": "b"}, "blobfuse_enabled": false
    });
    let faults = vec![
        fault("/autoscale_min_replicas", json!(-1), "config/not-positive"),
        fault("/cpu_cores_limit", json!(0.5), "config/cpu-limit-below-request"),
        fault("/memory_gb", json!(0), "config/not-positive"),
        fault("/tags", json!(["a"]), "config/wrong-type"),
        fault("/token_auth_enabled", json!(true), "config/auth-conflict"),
        fault("/num_replicas", json!(2.5), "config/not-an-integer"),
        fault("/cpu_core", json!(1), "config/unknown-argument"),
        fault("/traffic_percentile", json!(1), "config/unknown-argument"),
        fault("/secondary_key", json!("alone"), "config/ignored"),
    ];
    (value, faults)
}

fn write(document: &mut Value, (at, value): &(&'static str, Value)) {
    let (parent, key) = at.rsplit_once('/').unwrap();
    let members = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    members.insert(key.to_owned(), value.clone());
}

fn seed(mut document: Value, faults: Vec<Fault>, chosen: &[bool]) -> (String, Vec<(String, String)>) {
    let mut expected = Vec::new();
    for (fault, _) in faults.iter().zip(chosen).filter(|(_, chosen)| **chosen) {
        write(&mut document, &fault.write);
        expected.push((fault.finding.0.to_owned(), fault.finding.1.to_owned()));
    }
    expected.sort();
    (document.to_string(), expected)
}

fn sorted(report: &portway_deploy_config::Report) -> Vec<(String, String)> {
    let mut found: Vec<_> =
        report.iter().map(|finding| (finding.code.to_string(), finding.pointer.clone())).collect();
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn r_cfg_11_n_faults_in_a_file_give_n_findings(chosen in proptest::collection::vec(any::<bool>(), 26)) {
        let (text, expected) = seed(file(), file_faults(), &chosen);
        let checked = DeploymentConfig::from_json(&text);
        prop_assert_eq!(sorted(checked.report()), expected);
        prop_assert!(checked.report().iter().all(|finding| finding.place.is_some()));
    }

    #[test]
    fn r_cfg_11_n_faults_in_an_endpoint_give_n_findings(chosen in proptest::collection::vec(any::<bool>(), 16)) {
        let (text, expected) = seed(endpoint(), endpoint_faults(), &chosen);
        prop_assert_eq!(sorted(EndpointSpec::check(&text).report()), expected);
    }

    #[test]
    fn r_cfg_11_n_faults_in_arguments_give_n_findings(chosen in proptest::collection::vec(any::<bool>(), 9)) {
        let (document, faults) = arguments();
        let (text, expected) = seed(document, faults, &chosen);
        let checked = ServiceSpec::check(&Json::parse(&text).unwrap(), Spelling::Sdk);
        // A primary key is not among the arguments, so a secondary one alone is advised on; all else is refused.
        prop_assert_eq!(sorted(checked.report()), expected);
    }
}

#[test]
fn r_cfg_11_every_single_fault_is_found() {
    for index in 0..file_faults().len() {
        let chosen: Vec<_> = (0..file_faults().len()).map(|each| each == index).collect();
        let (text, expected) = seed(file(), file_faults(), &chosen);
        assert_eq!(sorted(DeploymentConfig::from_json(&text).report()), expected, "{text}");
    }
    assert!(DeploymentConfig::from_json(&file().to_string()).report().is_empty());
    assert!(EndpointSpec::check(&endpoint().to_string()).report().is_empty());
}
