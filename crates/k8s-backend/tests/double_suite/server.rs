//! What a test can do to the server and learn of it.

use std::io;

use futures_util::{FutureExt as _, StreamExt as _};
use http::Request;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Client, Error, ResourceExt as _};
use serde_json::{Value, json};

use crate::double::{ApiServer, Expiry, Fault, On, Profile, StreamingLists, Verb};

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn maps(client: Client) -> Api<ConfigMap> {
    Api::namespaced(client, "default")
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
    assert!(events.next().now_or_never().is_none(), "the bookmark is held");
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

#[tokio::test]
async fn a_json_patch_is_carried_out_or_refused_as_a_whole() {
    let server = ApiServer::new(Profile::new());
    let client = server.client("default");
    maps(client.clone()).create(&PostParams::default(), &config_map("a")).await.unwrap();
    let patch = async |operations: Value| {
        let request = Request::patch("/api/v1/namespaces/default/configmaps/a")
            .header("content-type", "application/json-patch+json")
            .body(operations.to_string().into_bytes())
            .unwrap();
        client.request::<ConfigMap>(request).await
    };
    let add = json!({"op": "add", "path": "/data", "value": {"b/c": "1"}});
    let replace = json!({"op": "replace", "path": "/data/b~1c", "value": "2"});
    let patched = patch(json!([add, replace])).await.unwrap();
    assert_eq!(patched.data.unwrap()["b/c"], "2");
    let (test, remove) =
        (json!({"op": "test", "path": "/data/b~1c", "value": "3"}), json!({"op": "remove", "path": "/data"}));
    let Err(Error::Api(status)) = patch(json!([remove, test])).await else { panic!() };
    assert_eq!(status.code, 422);
    assert_eq!(server.object("configmaps", "default", "a").unwrap()["data"]["b/c"], "2");
}

#[tokio::test]
async fn what_is_not_served_is_not_found() {
    let server = ApiServer::new(Profile::old());
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(server.client("default"));
    let Err(Error::Api(status)) = budgets.get("a").await else { panic!() };
    assert_eq!((status.code, &*status.message), (404, "404 page not found"));
    let groups = server.client("default").list_api_groups().await.unwrap().groups;
    let versions = |name: &str| -> Vec<String> {
        let group = groups.iter().find(|group| group.name == name).unwrap();
        group.versions.iter().map(|version| version.version.clone()).collect()
    };
    assert_eq!(
        (versions("policy"), versions("autoscaling")),
        (vec!["v1beta1".into()], vec!["v1".into(), "v2beta2".into()])
    );
    assert!(!groups.iter().any(|group| group.name == "keda.sh"));
}
