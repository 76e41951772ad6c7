//! Lists and watches.

use std::fmt::Debug;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Error, ResourceExt as _};
use serde_json::json;
use tokio::time::timeout;

use super::{PATIENCE, Place, config_map};

type Events<K> = futures_util::stream::BoxStream<'static, Result<WatchEvent<K>, Error>>;

async fn next<K: Debug>(events: &mut Events<K>) -> WatchEvent<K> {
    let event = timeout(PATIENCE, events.next()).await.expect("an event must come in time");
    event.expect("a watch goes on").expect("a watch goes on")
}

/// What an event says of a ConfigMap: `added a=1`.
fn told(event: &WatchEvent<ConfigMap>) -> String {
    let say = |what: &str, map: &ConfigMap| {
        let value = map.data.as_ref().and_then(|data| data.get("key")).map_or("", String::as_str);
        format!("{what} {}={value}", map.name_any())
    };
    match event {
        WatchEvent::Added(map) => say("added", map),
        WatchEvent::Modified(map) => say("modified", map),
        WatchEvent::Deleted(map) => say("deleted", map),
        WatchEvent::Bookmark(_) => "bookmark".to_owned(),
        WatchEvent::Error(status) => format!("error {} {}", status.code, status.reason),
    }
}

async fn next_told(events: &mut Events<ConfigMap>) -> String {
    loop {
        let told = told(&next(events).await);
        // Real servers send them when they like.
        if told != "bookmark" {
            return told;
        }
    }
}

async fn watch(maps: &Api<ConfigMap>, labels: &str, from: &str) -> Events<ConfigMap> {
    let params = WatchParams::default().labels(labels);
    maps.watch(&params, from).await.expect("it can be watched").boxed()
}

pub(super) async fn lists_select_and_go_on(place: &Place) {
    let maps = place.api::<ConfigMap>();
    for name in ["list-a", "list-b", "list-c"] {
        maps.create(&PostParams::default(), &config_map(name, "1")).await.expect("it is new");
    }
    let names = async |params: ListParams| -> Vec<String> {
        let list = maps.list(&params).await.expect("it can be listed");
        list.items.iter().map(kube::ResourceExt::name_any).collect()
    };
    assert_eq!(names(ListParams::default().labels("app in (list-a, list-c)")).await, ["list-a", "list-c"]);
    assert_eq!(names(ListParams::default().labels("app=list-b")).await, ["list-b"]);
    assert_eq!(
        names(ListParams::default().labels("app notin (list-a),app,app!=list-c,app in (list-b,list-c)"))
            .await,
        ["list-b"]
    );
    assert_eq!(names(ListParams::default().fields("metadata.name=list-c")).await, ["list-c"]);

    let params = ListParams::default().labels("app in (list-a,list-b,list-c)").limit(2);
    let page = maps.list(&params).await.expect("it can be listed");
    let token = page.metadata.continue_.clone().expect("there is more");
    assert_eq!(page.items.len(), 2);
    let rest = maps.list(&params.clone().continue_token(&token)).await.expect("it goes on");
    assert_eq!((rest.items.len(), rest.metadata.continue_.unwrap_or_default()), (1, String::new()));
    assert_eq!(rest.metadata.resource_version, page.metadata.resource_version, "a list is of one moment");
}

pub(super) async fn watches_resume(place: &Place) {
    let maps = place.api::<ConfigMap>();
    let first = maps.create(&PostParams::default(), &config_map("resume", "1")).await.expect("it is new");
    let from = first.resource_version().expect("it is stored");
    for value in ["2", "3"] {
        let patch = Patch::Merge(json!({"data": {"key": value}}));
        maps.patch("resume", &PatchParams::default(), &patch).await.expect("it exists");
    }
    maps.delete("resume", &DeleteParams::default()).await.expect("it exists");
    let mut events = watch(&maps, "app=resume", &from).await;
    for expected in ["modified resume=2", "modified resume=3", "deleted resume=3"] {
        assert_eq!(next_told(&mut events).await, expected);
    }
    let last = maps.create(&PostParams::default(), &config_map("resume", "4")).await.expect("it is gone");
    assert_eq!(next_told(&mut events).await, "added resume=4");
    let mut events = watch(&maps, "app=resume", "0").await;
    assert_eq!(next_told(&mut events).await, "added resume=4", "a watch from 0 begins with what stands");
    let future = last.resource_version().and_then(|at| at.parse::<u64>().ok()).expect("a number") + 1_000_000;
    let too_new = maps.watch(&WatchParams::default().timeout(1), &future.to_string()).await;
    if let Err(Error::Api(status)) = too_new.map(drop) {
        assert_eq!((status.code, &*status.reason), (504, "Timeout"), "{status:?}");
    }
}

pub(super) async fn watches_tell_who_comes_and_goes(place: &Place) {
    let maps = place.api::<ConfigMap>();
    let made = maps.create(&PostParams::default(), &config_map("moves", "1")).await.expect("it is new");
    let from = made.resource_version().expect("it is stored");
    let mut events = watch(&maps, "app=here", &from).await;
    for (label, value) in [("here", "2"), ("here", "3"), ("there", "4"), ("there", "5"), ("here", "6")] {
        let patch = json!({"metadata": {"labels": {"app": label}}, "data": {"key": value}});
        maps.patch("moves", &PatchParams::default(), &Patch::Merge(patch)).await.expect("it exists");
    }
    for expected in ["added moves=2", "modified moves=3", "deleted moves=3", "added moves=6"] {
        assert_eq!(next_told(&mut events).await, expected);
    }
}
