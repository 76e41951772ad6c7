//! What the server fills in where an object says nothing.

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::resources::Kind;

/// Fills in an object that is to be stored.
pub fn fill_in(kind: &Kind, object: &mut Value) {
    match kind.plural {
        "deployments" => {
            let spec = &mut object["spec"];
            set(spec, "replicas", &json!(1));
            set(spec, "revisionHistoryLimit", &json!(10));
            set(spec, "progressDeadlineSeconds", &json!(600));
            set(spec, "strategy", &json!({}));
            set(&mut spec["strategy"], "type", &json!("RollingUpdate"));
            if spec["strategy"]["type"] == "RollingUpdate" {
                set(&mut spec["strategy"], "rollingUpdate", &json!({}));
                set(&mut spec["strategy"]["rollingUpdate"], "maxSurge", &json!("25%"));
                set(&mut spec["strategy"]["rollingUpdate"], "maxUnavailable", &json!("25%"));
            }
            fill_in_pod(&mut spec["template"]["spec"]);
        }
        "pods" => fill_in_pod(&mut object["spec"]),
        "services" => {
            let spec = &mut object["spec"];
            set(spec, "type", &json!("ClusterIP"));
            set(spec, "sessionAffinity", &json!("None"));
            for port in spec["ports"].as_array_mut().into_iter().flatten() {
                set(port, "protocol", &json!("TCP"));
                let target = port["port"].clone();
                set(port, "targetPort", &target);
            }
        }
        "secrets" => fill_in_secret(object),
        _ => {}
    }
}

fn set(map: &mut Value, field: &str, value: &Value) {
    if (map.is_object() || map.is_null()) && map[field].is_null() {
        map[field] = value.clone();
    }
}

fn fill_in_pod(spec: &mut Value) {
    set(spec, "restartPolicy", &json!("Always"));
    set(spec, "terminationGracePeriodSeconds", &json!(30));
    set(spec, "dnsPolicy", &json!("ClusterFirst"));
    set(spec, "schedulerName", &json!("default-scheduler"));
    set(spec, "securityContext", &json!({}));
    for container in spec["containers"].as_array_mut().into_iter().flatten() {
        set(container, "resources", &json!({}));
        set(container, "terminationMessagePath", &json!("/dev/termination-log"));
        set(container, "terminationMessagePolicy", &json!("File"));
        set(container, "imagePullPolicy", &json!("IfNotPresent"));
        for port in container["ports"].as_array_mut().into_iter().flatten() {
            set(port, "protocol", &json!("TCP"));
        }
    }
}

/// `stringData` is written to `data` and never shown.
fn fill_in_secret(object: &mut Value) {
    set(object, "type", &json!("Opaque"));
    let Some(texts) = object.as_object_mut().and_then(|object| object.remove("stringData")) else { return };
    for (name, text) in texts.as_object().into_iter().flatten() {
        let bytes = ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
        object["data"][name] = json!(bytes);
    }
}
