//! What is said about a workload that does not become what it should, as soon as the cluster knows.

use portway_backend::{Phase, Status};
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::until;

/// What is shown of a workload with one starting pod in this state.
async fn with_pod(status: Value) -> Status {
    let scene = Scene::new().await;
    scene.deploy("iris", 1).await;
    scene.pod("iris", "iris-0").await;
    let mut seen = scene.watch("iris").await;
    scene.pod_status("iris-0", status).await;
    Status::clone(&*until(&mut seen, |status| !status.message.is_empty()).await)
}

fn container(state: &Value, last: &Value, restarts: u32) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{
        "name": "replica", "image": "reg/iris:1", "imageID": "", "ready": false, "restartCount": restarts,
        "state": state, "lastState": last,
    }]})
}

#[tokio::test]
async fn r_run_4_an_image_that_cannot_be_pulled_fails_the_workload_at_once() {
    let why = "Back-off pulling image \"reg/iris:1\": ErrImagePull: pull access denied";
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": why}});
    let seen = with_pod(container(&waiting, &json!({}), 0)).await;
    assert_eq!(seen.phase, Phase::Failed);
    for part in ["replica iris-0", "reg/iris:1", "pull access denied", "pull secrets"] {
        assert!(seen.message.contains(part), "{}", seen.message);
    }
}

#[tokio::test]
async fn r_run_4_a_crash_is_told_before_it_is_final() {
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let ended =
        json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "ImportError: no torch\n"}});
    let first = with_pod(container(&waiting, &ended, 1)).await;
    assert_eq!(first.phase, Phase::Unhealthy);
    assert!(first.message.contains("ended with exit code 1: ImportError: no torch"), "{}", first.message);
    assert_eq!(with_pod(container(&waiting, &ended, 4)).await.phase, Phase::Failed);
}

#[tokio::test]
async fn r_run_4_no_room_is_told_in_the_schedulers_words_and_passes() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    let mut status = scene.watch("iris").await;
    scene.scale("iris", 2).await;
    scene.pod("iris", "iris-1").await;
    let why = "0/1 nodes are available: 1 Insufficient cpu.";
    let pending =
        json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why});
    scene.pod_status("iris-1", json!({"phase": "Pending", "conditions": [pending]})).await;
    let seen = until(&mut status, |status| status.phase == Phase::Unschedulable).await;
    assert!(
        seen.message.contains("no room for 1 of 2 replicas") && seen.message.contains(why),
        "{}",
        seen.message
    );
    assert_eq!(seen.ready(), 1);
    scene.ready("iris-1").await;
    until(&mut status, |status| status.phase == Phase::Healthy && status.message.is_empty()).await;
}

#[tokio::test]
async fn r_run_4_quotas_and_admission_rules_are_told() {
    for (message, phase, remedy) in [
        (
            "pods \"x\" is forbidden: exceeded quota: q, requested: pods=1",
            Phase::Unschedulable,
            "raise the quota",
        ),
        ("admission webhook \"w\" denied the request: no", Phase::Failed, "admission webhook \"w\""),
    ] {
        let scene = Scene::new().await;
        scene.deploy("iris", 1).await;
        let mut status = scene.watch("iris").await;
        let refused =
            json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message});
        scene.deployment_status("iris", json!({"conditions": [refused]})).await;
        let seen = until(&mut status, |status| status.phase == phase).await;
        assert!(seen.message.contains(remedy), "{}", seen.message);
    }
}

#[tokio::test]
async fn r_run_4_a_deadline_that_passed_fails_what_never_was_ready() {
    let scene = Scene::new().await;
    scene.deploy("iris", 1).await;
    scene.pod("iris", "iris-0").await;
    let mut status = scene.watch("iris").await;
    let stuck = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"});
    scene.deployment_status("iris", json!({"conditions": [stuck]})).await;
    let seen = until(&mut status, |status| status.phase == Phase::Failed).await;
    assert!(seen.message.contains("GET / on port 8080"), "{}", seen.message);
}
