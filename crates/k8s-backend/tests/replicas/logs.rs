//! Logs, and what the cluster noted.

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::PostParams;
use portway_backend::{Backend as _, ErrorKind};
use serde_json::json;

use crate::double::{Fault, On, Verb};
use crate::scene::{Scene, id, object_name};

async fn note(scene: &Scene, object: &str, message: &str, second: u32) {
    let events: Api<Event> = Api::default_namespaced(scene.server.bystander("default"));
    let event = json!({
        "metadata": {"generateName": "e-", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": object, "namespace": "default"},
        "reason": "Noted", "message": message, "type": "Normal",
        "lastTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
    });
    let event = serde_json::from_value(event).unwrap();
    events.create(&PostParams::default(), &event).await.unwrap();
}

#[tokio::test]
async fn r_run_4_logs_of_all_replicas_and_what_was_noted_come_together() {
    let scene = Scene::new().await;
    scene.healthy("iris", 2).await;
    scene.healthy("other", 1).await;
    let name = object_name("iris");
    note(&scene, &format!("{name}-6d4-x"), "second", 2).await;
    note(&scene, &name, "first", 1).await;
    note(&scene, &object_name("other"), "of somebody else", 3).await;
    let logs = scene.backend.logs(&id("iris"), 1).await.unwrap();
    let expected = format!(
        "==> iris-0 <==\niris-0 serves\n==> iris-1 <==\niris-1 serves\n==> events <==\n\
         2026-01-01T00:00:01Z Pod {name}: Noted: first\n2026-01-01T00:00:02Z Pod {name}-6d4-x: Noted: second\n"
    );
    assert_eq!(logs, expected);
}

#[tokio::test]
async fn r_run_4_a_log_that_cannot_be_read_does_not_hide_the_others() {
    let scene = Scene::new().await;
    scene.healthy("iris", 2).await;
    scene.server.fail(On::next(Verb::Get, "pods/log").named("iris-0"), Fault::internal());
    scene.server.fail(On::next(Verb::List, "events"), Fault::internal());
    let logs = scene.backend.logs(&id("iris"), 9).await.unwrap();
    assert!(logs.contains("==> iris-0 <==\n(cannot read this log: "), "{logs}");
    assert!(logs.contains("==> iris-1 <==\niris-1 starts\niris-1 serves\n"), "{logs}");
    assert!(logs.contains("(cannot read the events: "), "{logs}");
}

#[tokio::test]
async fn r_run_4_the_log_of_the_run_that_crashed_comes_first() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    let container = json!({"name": "replica", "image": "", "imageID": "", "ready": true, "restartCount": 2});
    scene.pod_status("iris-0", json!({"containerStatuses": [container]})).await;
    let logs = scene.backend.logs(&id("iris"), 3).await.unwrap();
    assert_eq!(logs, "==> iris-0 <==\niris-0 serves\niris-0 starts\niris-0 serves\n");
    assert_eq!(scene.server.counts().of(Verb::Get, "pods/log"), 2);
}

#[tokio::test]
async fn logs_of_a_workload_without_replicas_are_empty_and_of_none_are_refused() {
    let scene = Scene::new().await;
    scene.deploy("iris", 0).await;
    assert_eq!(scene.backend.logs(&id("iris"), 3).await.unwrap(), "");
    let refused = scene.backend.logs(&id("nobody"), 3).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}
