//! The API server double: what it is good for, and that it does not lie.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod double;
#[path = "double/truth.rs"]
mod truth;

use std::io;

use double::{ApiServer, Expiry, Fault, On, Outcome, Profile, StreamingLists, Verb, Which};
use futures_util::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Client, Config, Error, ResourceExt as _};
use serde_json::json;

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn maps(client: Client) -> Api<ConfigMap> {
    Api::namespaced(client, "default")
}

#[tokio::test]
async fn the_double_does_as_api_servers_do() {
    for profile in [Profile::old(), Profile::new()] {
        let server = ApiServer::new(profile);
        let place = truth::Place::new(server.bystander("default"), "default").await;
        truth::all(&place).await;
    }
}

#[tokio::test]
async fn a_real_server_does_as_expected() {
    if std::env::var_os("KUBECONFIG").is_none() {
        assert!(std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_none(), "KUBECONFIG must name a cluster");
        println!("skipped: KUBECONFIG names no cluster");
        return;
    }
    let client = Client::try_from(Config::infer().await.unwrap()).unwrap();
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    let name = format!("portway-truth-{}", std::process::id());
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let place = truth::Place::new(client, &name).await;
    let outcome = tokio::spawn(async move { truth::all(&place).await }).await;
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    outcome.unwrap();
}

#[tokio::test]
async fn a_server_that_is_down_keeps_what_it_has() {
    let server = ApiServer::new(Profile::new());
    let maps = maps(server.client("default"));
    maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let mut events = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    events.next().await.unwrap().unwrap();
    server.go_down();
    assert!(events.next().await.unwrap().is_err(), "the connection breaks");
    let refused = maps.get("a").await.unwrap_err();
    let Error::Service(cause) = &refused else { panic!("{refused:?}") };
    let cause = cause.downcast_ref::<io::Error>().unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
    server.go_up();
    assert_eq!(maps.get("a").await.unwrap().name_any(), "a");
}

#[tokio::test]
async fn requests_are_counted_by_verb_and_resource() {
    let server = ApiServer::new(Profile::new());
    let maps = maps(server.client("default"));
    for name in ["a", "b", "c"] {
        maps.create(&PostParams::default(), &config_map(name)).await.unwrap();
    }
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    let token = first.metadata.continue_.unwrap();
    maps.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    maps.get("a").await.unwrap();
    drop(maps.watch(&WatchParams::default(), "0").await.unwrap());
    assert_eq!(
        server.counts().to_string(),
        "get configmaps: 1, list configmaps: 1, watch configmaps: 1, create configmaps: 3"
    );
    assert_eq!(server.counts().pages("configmaps"), 1);
    Api::<ConfigMap>::default_namespaced(server.bystander("default")).get("a").await.unwrap();
    assert_eq!(server.counts().of(Verb::Get, "configmaps"), 1, "bystanders are not counted");
}

#[tokio::test]
async fn watches_end_break_and_expire() {
    let server = ApiServer::new(Profile::new());
    let maps = maps(server.client("default"));
    let made = maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let from = made.resource_version().unwrap();
    let watch =
        async |from: &str| maps.watch(&WatchParams::default(), from).await.map(|events| events.boxed());

    let mut events = watch(&from).await.unwrap();
    server.until_watched("configmaps", 1).await;
    server.end_watches();
    assert!(events.next().await.is_none());

    let mut events = watch(&from).await.unwrap();
    server.drop_watches();
    assert!(events.next().await.unwrap().is_err());

    server.expire_next_watch("configmaps", Expiry::Answer);
    let Err(Error::Api(status)) = watch(&from).await else { panic!("410 is expected") };
    assert_eq!((status.code, &*status.reason), (410, "Expired"));
    server.expire_next_watch("configmaps", Expiry::Event);
    let expired = watch(&from).await.unwrap().next().await;
    assert!(matches!(expired, Some(Ok(WatchEvent::Error(status))) if status.code == 410));
    let mut events = watch(&from).await.unwrap();
    server.expire_watches("configmaps");
    let expired = events.next().await;
    assert!(matches!(expired, Some(Ok(WatchEvent::Error(status))) if status.code == 410));

    server.compact();
    let expired = watch(&from).await.unwrap().next().await;
    assert!(matches!(expired, Some(Ok(WatchEvent::Error(status))) if status.code == 410));
    let now = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = watch(&now).await.unwrap();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Deleted(map))) if map.name_any() == "a"));
}

#[tokio::test]
async fn faults_befall_the_requests_they_are_for() {
    let server = ApiServer::new(Profile::new());
    let maps = maps(server.client("default"));
    server.fail(On::next(Verb::Create, "configmaps").after(1), Fault::unavailable());
    maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let Err(Error::Api(status)) = maps.create(&PostParams::default(), &config_map("b")).await else {
        panic!()
    };
    assert_eq!((status.code, &*status.reason), (503, "ServiceUnavailable"));
    maps.create(&PostParams::default(), &config_map("b")).await.unwrap();

    server.fail(On::next(Verb::Create, "configmaps").named(""), Fault::AnswerLost);
    assert!(maps.create(&PostParams::default(), &config_map("c")).await.is_err());
    assert!(server.object("configmaps", "default", "c").is_some(), "it was done all the same");

    let gate = server.hold(On::next(Verb::List, "configmaps"));
    let params = ListParams::default();
    let (listed, ()) = tokio::join!(maps.list(&params), async {
        gate.arrived(1).await;
        server.bystander("default");
        gate.open();
    });
    assert_eq!(listed.unwrap().items.len(), 3);
    server.expire_credentials(true);
    let Err(Error::Api(status)) = maps.get("a").await else { panic!() };
    assert_eq!((status.code, &*status.reason), (401, "Unauthorized"));
}

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
    let name = |object: &serde_json::Value| object["metadata"]["name"].as_str().unwrap().to_owned();
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
        let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::default_namespaced(client);
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
    server.deny("configmaps", Some("not today"));
    let denied = maps(server.client("default")).create(&PostParams::default(), &config_map("a")).await;
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

#[tokio::test]
async fn roles_grant_what_they_name_and_nothing_else() {
    let server = ApiServer::new(Profile::new());
    let maps = maps(server.client("default"));
    maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    server.grant_only(vec![json!({
        "kind": "Role", "metadata": {"namespace": "default"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["a"]}],
    })]);
    maps.get("a").await.unwrap();
    let Err(Error::Api(status)) = maps.list(&ListParams::default()).await else { panic!() };
    assert_eq!(
        (status.code, &*status.message),
        (
            403,
            "configmaps is forbidden: User \"system:serviceaccount:default:portway\" cannot list resource \
             \"configmaps\" in API group \"\" in the namespace \"default\""
        )
    );
    let Err(Error::Api(status)) = maps.get("b").await else { panic!() };
    assert!(status.message.starts_with("configmaps \"b\" is forbidden: "), "{status:?}");
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark_where_lists_stream() {
    let server = ApiServer::new(Profile::new());
    let maps = maps(server.client("default"));
    maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    server.hold_bookmarks();
    let mut events = maps.watch(&WatchParams::streaming_lists(), "0").await.unwrap().boxed();
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Added(_)))));
    assert!(futures_util::FutureExt::now_or_never(events.next()).is_none(), "the bookmark is held");
    server.release_bookmarks();
    let Some(Ok(WatchEvent::Bookmark(bookmark))) = events.next().await else { panic!() };
    assert_eq!(bookmark.metadata.annotations["k8s.io/initial-events-end"], "true");
    server.duplicate_events(true);
    maps.create(&PostParams::default(), &config_map("b")).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(events.next().await, Some(Ok(WatchEvent::Added(map))) if map.name_any() == "b"));
    }
    let refusing = ApiServer::new(Profile { streaming_lists: StreamingLists::Refused, ..Profile::new() });
    let maps = Api::<ConfigMap>::default_namespaced(refusing.client("default"));
    let Err(Error::Api(status)) = maps.watch(&WatchParams::streaming_lists(), "0").await.map(drop) else {
        panic!()
    };
    assert_eq!(status.code, 422);
}
