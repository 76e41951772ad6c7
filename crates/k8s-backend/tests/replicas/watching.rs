//! What a watch shows while nothing goes wrong.

use std::sync::Arc;

use futures_util::FutureExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use portway_backend::{Fleet as _, Phase, ReplicaState, Status};
use portway_k8s_backend::ReadyToRoutable;
use serde_json::json;

use crate::double::Verb;
use crate::scene::{Scene, id, object_name};
use crate::{ready, until};

#[tokio::test]
async fn r_k8s_2_replicas_are_seen_from_their_start_to_their_end() {
    let scene = Scene::new().await;
    let mut status = scene.watch("iris").await;
    assert_eq!(**status.borrow(), Status::absent());

    scene.deploy("iris", 1).await;
    scene.pod("iris", "iris-a").await;
    let seen = until(&mut status, |status| !status.replicas.is_empty() && status.wanted == 1).await;
    assert_eq!((seen.phase, seen.replicas[0].state), (Phase::Transitioning, ReplicaState::Starting));

    scene.ready("iris-a").await;
    let seen = until(&mut status, |status| status.phase == Phase::Healthy).await;
    assert_eq!(seen.replicas[0].address(), Some(([10, 0, 0, 1], 8080).into()));

    scene.scale("iris", 0).await;
    scene.terminate("iris-a").await;
    let seen = until(&mut status, |status| status.ready() == 0).await;
    assert_eq!(seen.replicas[0].state, ReplicaState::Terminating, "its Ready condition still says True");

    scene.kill("iris-a").await;
    until(&mut status, |status| status.replicas.is_empty() && status.phase == Phase::Healthy).await;
    scene.deployments.delete(&object_name("iris"), &DeleteParams::default()).await.unwrap();
    until(&mut status, |status| *status == Status::absent()).await;
}

#[tokio::test]
async fn r_k8s_2_one_list_and_one_watch_of_each_kind_serve_all_workloads() {
    let scene = Scene::new().await;
    let endpoints: Vec<String> = (0..40).map(|number| format!("endpoint-{number}")).collect();
    for endpoint in &endpoints {
        scene.healthy(endpoint, 2).await;
    }
    let mut all = Vec::new();
    let clone = scene.backend.clone();
    for endpoint in &endpoints {
        all.push(scene.watch(endpoint).await);
        all.push(clone.watch(&id(endpoint)).await.unwrap());
    }
    assert!(all.iter().all(|status| status.borrow().phase == Phase::Healthy));
    scene.server.until_watched("pods", 1).await;
    scene.server.until_watched("deployments", 1).await;
    let counts = scene.server.counts();
    for (verb, kind) in [
        (Verb::List, "pods"),
        (Verb::Watch, "pods"),
        (Verb::List, "deployments"),
        (Verb::Watch, "deployments"),
    ] {
        assert_eq!(counts.of(verb, kind), 1, "{counts}");
    }
    assert_eq!(counts.total(), 4, "{counts}");
}

#[tokio::test]
async fn r_k8s_2_nobody_is_told_what_does_not_concern_them() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    scene.healthy("other", 1).await;
    let (mut iris, mut other) = (scene.watch("iris").await, scene.watch("other").await);
    let note = Patch::Merge(json!({"metadata": {"annotations": {"note": "1"}}}));
    scene.pods.patch("iris-0", &PatchParams::default(), &note).await.unwrap();
    scene.terminate("other-0").await;
    until(&mut other, |status| status.ready() == 0).await;
    assert!(
        iris.changed().now_or_never().is_none(),
        "neither a note nor another workload changes its status"
    );
}

#[tokio::test]
async fn r_k8s_2_watches_end_with_the_last_handle_and_the_last_status_stays() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    let mut status = scene.watch("iris").await;
    scene.server.until_watched("pods", 1).await;
    scene.server.until_watched("deployments", 1).await;
    drop(scene.backend);
    assert!(status.changed().await.is_err(), "nobody tells any more");
    assert_eq!(scene.server.open_watches("pods") + scene.server.open_watches("deployments"), 0);
    assert_eq!(ready(&status.borrow()), ["iris-0"]);
}

#[tokio::test]
async fn r_k8s_2_a_pod_that_changes_its_workload_is_lost_to_the_first() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    let (mut iris, mut other) = (scene.watch("iris").await, scene.watch("other").await);
    let labels = json!({"portway.dev/workload": object_name("other"), "portway.dev/endpoint": "other"});
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    scene.pods.patch("iris-0", &PatchParams::default(), &patch).await.unwrap();
    until(&mut iris, |status| status.replicas.is_empty()).await;
    until(&mut other, |status| ready(status) == ["iris-0"]).await;
    let patch = Patch::Merge(json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}));
    scene.pods.patch("iris-0", &PatchParams::default(), &patch).await.unwrap();
    until(&mut other, |status| status.replicas.is_empty()).await;
}

#[tokio::test]
async fn r_k8s_2_the_time_from_ready_to_routable_is_told() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    let mut status = scene.watch("iris").await;
    assert_eq!(
        scene.backend.ready_to_routable(),
        ReadyToRoutable::default(),
        "it was ready before anybody looked"
    );
    scene.scale("iris", 2).await;
    scene.ready_pod("iris", "iris-1").await;
    until(&mut status, |status| status.ready() == 2).await;
    let measured = scene.backend.ready_to_routable();
    assert_eq!((measured.replicas, measured.last), (1, measured.longest));
}

#[tokio::test]
async fn r_k8s_2_watchers_that_went_are_forgotten_and_may_come_again() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    drop(scene.watch("iris").await);
    drop(scene.watch("other").await);
    scene.terminate("iris-0").await;
    let mut status = scene.watch("iris").await;
    until(&mut status, |status| status.ready() == 0).await;
    let shared = scene.watch("iris").await;
    assert!(Arc::ptr_eq(&shared.borrow(), &status.borrow()));
}
