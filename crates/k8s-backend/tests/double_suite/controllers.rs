//! What the controllers in miniature make of Deployments.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Error;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::double::{ApiServer, Outcome, Profile, Which};

/// A Deployment of three, which rolls by surge.
fn deployment(name: &str, image: &str) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 3,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    }))
    .unwrap()
}

/// What stands of the Deployment `name`: ready, of all.
fn ready(server: &ApiServer, name: &str) -> (u64, u64) {
    let found = server.object("deployments", "default", name).unwrap();
    let count = |field: &str| found["status"][field].as_u64().unwrap_or_default();
    (count("readyReplicas"), count("replicas"))
}

/// The reason and the status of a Deployment's condition.
fn condition(server: &ApiServer, name: &str, kind: &str) -> (String, String) {
    let found = server.object("deployments", "default", name).unwrap();
    let conditions = found["status"]["conditions"].as_array().unwrap().clone();
    let found = conditions.iter().find(|condition| condition["type"] == kind).unwrap();
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("status"), text("reason"))
}

fn names(server: &ApiServer, plural: &str) -> Vec<String> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    server.objects(plural, "default").iter().map(name).collect()
}

#[tokio::test]
async fn a_deployment_rolls_without_a_gap_and_goes_with_all_that_is_its() {
    let server = ApiServer::with_controllers(Profile::new());
    let deployments: Api<Deployment> = Api::default_namespaced(server.client("default"));
    deployments.create(&PostParams::default(), &deployment("a", "first")).await.unwrap();
    assert_eq!(ready(&server, "a"), (3, 3));
    assert_eq!(condition(&server, "a", "Progressing"), ("True".into(), "NewReplicaSetAvailable".into()));
    let first = names(&server, "pods");

    server.stage(Which::Image("second".into()), Outcome::ImagePullBackOff("no such image".into()));
    let mut next = deployments.get("a").await.unwrap();
    next.spec.as_mut().unwrap().template = deployment("a", "second").spec.unwrap().template;
    deployments.replace("a", &PostParams::default(), &next).await.unwrap();
    assert_eq!(ready(&server, "a"), (3, 4), "one more comes and none goes before it is ready");
    assert_eq!(condition(&server, "a", "Progressing"), ("True".into(), "ReplicaSetUpdated".into()));
    server.pass_deadline("default", "a");
    assert_eq!(condition(&server, "a", "Progressing"), ("False".into(), "ProgressDeadlineExceeded".into()));
    server.stage(Which::All, Outcome::Ready);
    assert_eq!(ready(&server, "a"), (3, 3));
    assert!(names(&server, "pods").iter().all(|pod| !first.contains(pod)), "all are new");

    deployments.delete("a", &DeleteParams::foreground()).await.unwrap();
    for plural in ["deployments", "replicasets", "pods"] {
        assert!(names(&server, plural).is_empty(), "{plural} are left");
    }
}

#[tokio::test]
async fn who_costs_less_goes_first_where_the_server_heeds_it() {
    for (profile, heeds) in [(Profile::new(), true), (Profile::old(), false)] {
        let server = ApiServer::with_controllers(profile);
        let client = server.client("default");
        let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
        deployments.create(&PostParams::default(), &deployment("a", "first")).await.unwrap();
        let oldest = server
            .objects("pods", "default")
            .into_iter()
            .min_by_key(|pod| pod["metadata"]["uid"].to_string());
        let oldest = oldest.unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
        let patch =
            json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}});
        let pods: Api<Pod> = Api::default_namespaced(client);
        pods.patch(&oldest, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        let patch = Patch::Merge(json!({"spec": {"replicas": 2}}));
        deployments.patch_scale("a", &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(ready(&server, "a"), (2, 2));
        assert_eq!(names(&server, "pods").contains(&oldest), !heeds, "otherwise the youngest goes");
    }
}

#[tokio::test]
async fn pods_that_may_not_be_made_are_told_and_made_later() {
    let server = ApiServer::with_controllers(Profile::new());
    let deployments: Api<Deployment> = Api::default_namespaced(server.client("default"));
    server.set_quota("pods", Some(1));
    deployments.create(&PostParams::default(), &deployment("a", "first")).await.unwrap();
    assert_eq!(ready(&server, "a"), (1, 1));
    assert_eq!(condition(&server, "a", "ReplicaFailure"), ("True".into(), "FailedCreate".into()));
    assert_eq!(condition(&server, "a", "Available").0, "False");
    server.set_quota("pods", None);
    assert_eq!(ready(&server, "a"), (3, 3));
    server.deny("deployments", Some("not today"));
    let denied = deployments.create(&PostParams::default(), &deployment("b", "first")).await;
    let Err(Error::Api(status)) = denied else { panic!("{denied:?}") };
    assert_eq!(status.message, "admission webhook \"policy.example.com\" denied the request: not today");
}

#[tokio::test]
async fn pods_that_are_deleted_stay_while_the_test_holds_them() {
    let server = ApiServer::with_controllers(Profile::new());
    let deployments: Api<Deployment> = Api::default_namespaced(server.client("default"));
    deployments.create(&PostParams::default(), &deployment("a", "first")).await.unwrap();
    server.hold_terminating(true);
    let patch = Patch::Merge(json!({"spec": {"replicas": 1}}));
    deployments.patch_scale("a", &PatchParams::default(), &patch).await.unwrap();
    let terminating = server.objects("pods", "default");
    let terminating = terminating.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_string());
    assert_eq!((terminating.count(), server.objects("pods", "default").len()), (2, 3));
    server.hold_terminating(false);
    assert_eq!(server.objects("pods", "default").len(), 1);
}
