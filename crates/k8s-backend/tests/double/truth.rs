//! What API servers do, as far as anything here relies on it: checked on the double and on a real server alike, so that
//! the double cannot teach what is not so.
//!
//! Every expectation makes its own objects in the namespace given, which is empty before.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use kube::core::Status;
use kube::{Client, Error, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

/// How long anything may take that comes by a watch.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where expectations are checked.
#[derive(Clone)]
pub struct Place {
    pub client: Client,
    pub namespace: String,
    /// The server's minor version: 20 for 1.20.
    pub minor: u32,
}

impl Place {
    pub async fn new(client: Client, namespace: &str) -> Self {
        let version = client.apiserver_version().await.expect("it says its version").git_version;
        let minor = version.split('.').nth(1).and_then(|minor| minor.parse().ok());
        let minor = minor.unwrap_or_else(|| panic!("no version: {version}"));
        Self { client, namespace: namespace.to_owned(), minor }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// An object out of JSON.
fn object<K: DeserializeOwned>(json: Value) -> K {
    serde_json::from_value(json).expect("the tests write legal objects")
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    object(json!({"metadata": {"name": name, "labels": {"app": name}}, "data": {"key": value}}))
}

fn deployment(name: &str) -> Deployment {
    object(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "none"}]},
            },
        },
    }))
}

/// The refusal in `result`.
#[track_caller]
fn refusal<T: Debug>(result: Result<T, Error>) -> Status {
    match result {
        Err(Error::Api(status)) => *status,
        other => panic!("it must be refused, but: {other:?}"),
    }
}

/// Asserts the code, the reason, what is concerned, and words of the message.
#[track_caller]
fn assert_says(status: &Status, code: u16, reason: &str, concerned: (&str, &str), words: &str) {
    let details = status.details.as_ref();
    let about = details.map_or(("", ""), |details| (&*details.kind, &*details.name));
    let found = (status.code, &*status.reason, about);
    assert_eq!(found, (code, reason, concerned), "{status:?}");
    assert!(status.message.contains(words), "{words:?} is not in {:?}", status.message);
}

/// Runs each expectation and gathers those that do not hold.
macro_rules! check {
    ($place:expr; $($expectation:ident),* $(,)?) => {
        vec![$((stringify!($expectation), tokio::spawn({
            let place = $place.clone();
            async move { $expectation(&place).await }
        }))),*]
    };
}

/// Checks all expectations; panics with the names of those that do not hold.
pub async fn all(place: &Place) {
    let checks = check![place;
        what_is_missing_is_not_found,
        what_exists_is_not_created,
        writes_are_compare_and_swap,
        what_changes_nothing_is_not_written,
        deletions_heed_their_preconditions,
        illegal_objects_are_refused,
        leases_need_a_revision,
        lists_select_and_go_on,
        watches_resume,
        watches_tell_who_comes_and_goes,
        a_dry_run_stores_nothing,
        collections_are_deleted_by_label,
        status_and_spec_are_written_apart,
        generations_count_changes_of_the_spec,
        the_scale_subresource_sets_the_count,
        applied_fields_are_owned,
        what_others_own_is_a_conflict,
        what_is_no_longer_applied_is_removed,
        what_is_not_applied_is_left_alone,
        pods_take_their_grace_on_nodes_only,
    ];
    let mut broken = Vec::new();
    for (expectation, check) in checks {
        if check.await.is_err() {
            broken.push(expectation);
        }
    }
    assert!(broken.is_empty(), "what does not hold: {broken:?}");
}

async fn what_is_missing_is_not_found(place: &Place) {
    let maps = place.api::<ConfigMap>();
    let missing = refusal(maps.get("missing").await);
    assert_says(&missing, 404, "NotFound", ("configmaps", "missing"), "configmaps \"missing\" not found");
    let missing = refusal(place.api::<Deployment>().delete("missing", &DeleteParams::default()).await);
    assert_says(
        &missing,
        404,
        "NotFound",
        ("deployments", "missing"),
        "deployments.apps \"missing\" not found",
    );
    assert_eq!(missing.details.map(|details| details.group).as_deref(), Some("apps"));
    let missing = refusal(maps.replace("missing", &PostParams::default(), &config_map("missing", "1")).await);
    assert_says(&missing, 404, "NotFound", ("configmaps", "missing"), "not found");
    let patch = Patch::Merge(json!({"data": {"key": "1"}}));
    let missing = refusal(maps.patch("missing", &PatchParams::default(), &patch).await);
    assert_says(&missing, 404, "NotFound", ("configmaps", "missing"), "not found");
    let elsewhere: Api<ConfigMap> = Api::namespaced(place.client.clone(), "no-such-namespace");
    let missing = refusal(elsewhere.create(&PostParams::default(), &config_map("a", "1")).await);
    assert_says(
        &missing,
        404,
        "NotFound",
        ("namespaces", "no-such-namespace"),
        "namespaces \"no-such-namespace\" not found",
    );
}

async fn what_exists_is_not_created(place: &Place) {
    let maps = place.api::<ConfigMap>();
    let made = maps.create(&PostParams::default(), &config_map("exists", "1")).await.expect("it is new");
    assert!(made.uid().is_some() && made.creation_timestamp().is_some(), "{made:?}");
    let exists = refusal(maps.create(&PostParams::default(), &config_map("exists", "2")).await);
    assert_says(
        &exists,
        409,
        "AlreadyExists",
        ("configmaps", "exists"),
        "configmaps \"exists\" already exists",
    );
    let with_revision = refusal(
        maps.create(
            &PostParams::default(),
            &ConfigMap {
                metadata: kube::core::ObjectMeta { name: Some("other".into()), ..made.metadata.clone() },
                ..made
            },
        )
        .await,
    );
    let words = "resourceVersion should not be set on objects to be created";
    assert_says(&with_revision, with_revision.code, &with_revision.reason.clone(), ("", ""), words);
}

async fn writes_are_compare_and_swap(place: &Place) {
    let maps = place.api::<ConfigMap>();
    let first = maps.create(&PostParams::default(), &config_map("swap", "1")).await.expect("it is new");
    let mut second = first.clone();
    second.data = Some([("key".to_owned(), "2".to_owned())].into());
    let second = maps.replace("swap", &PostParams::default(), &second).await.expect("it is what was read");
    assert_ne!(first.resource_version(), second.resource_version());

    let words = "Operation cannot be fulfilled on configmaps \"swap\": the object has been modified; please apply \
                 your changes to the latest version and try again";
    let late = refusal(maps.replace("swap", &PostParams::default(), &first).await);
    assert_says(&late, 409, "Conflict", ("configmaps", "swap"), words);
    let patch = json!({"metadata": {"resourceVersion": first.resource_version()}, "data": {"key": "3"}});
    let late = refusal(maps.patch("swap", &PatchParams::default(), &Patch::Merge(patch)).await);
    assert_says(&late, 409, "Conflict", ("configmaps", "swap"), words);

    let unconditional = maps.replace("swap", &PostParams::default(), &config_map("swap", "4")).await;
    assert_eq!(unconditional.expect("no revision, no check").data.unwrap_or_default()["key"], "4");
}

async fn what_changes_nothing_is_not_written(place: &Place) {
    let maps = place.api::<ConfigMap>();
    let first = maps.create(&PostParams::default(), &config_map("same", "1")).await.expect("it is new");
    let again = maps.replace("same", &PostParams::default(), &first).await.expect("it is what was read");
    assert_eq!(first.resource_version(), again.resource_version());
    let patch = Patch::Merge(json!({"data": {"key": "1"}}));
    let again = maps.patch("same", &PatchParams::default(), &patch).await.expect("it exists");
    assert_eq!(first.resource_version(), again.resource_version());
}

async fn deletions_heed_their_preconditions(place: &Place) {
    let maps = place.api::<ConfigMap>();
    let first = maps.create(&PostParams::default(), &config_map("gone", "1")).await.expect("it is new");
    let mut changed = first.clone();
    changed.data = None;
    let second = maps.replace("gone", &PostParams::default(), &changed).await.expect("it is what was read");

    let at = |preconditions: Preconditions| DeleteParams::default().preconditions(preconditions);
    let late = Preconditions { resource_version: first.resource_version(), uid: None };
    let late = refusal(maps.delete("gone", &at(late)).await);
    assert_says(&late, 409, "Conflict", ("ConfigMap", "gone"), "the ResourceVersion in the precondition");
    let other =
        Preconditions { resource_version: None, uid: Some("00000000-0000-0000-0000-000000000000".into()) };
    let other = refusal(maps.delete("gone", &at(other)).await);
    assert_says(&other, 409, "Conflict", ("ConfigMap", "gone"), "the UID in the precondition");

    let right = Preconditions { resource_version: second.resource_version(), uid: second.uid() };
    let done = maps.delete("gone", &at(right)).await.expect("it is what was read");
    let status = done.right().expect("small things go at once");
    assert_eq!(status.details.map(|details| details.uid), second.uid());
    assert!(maps.get_opt("gone").await.expect("reading").is_none());
}

async fn illegal_objects_are_refused(place: &Place) {
    let maps = place.api::<ConfigMap>();
    let named = refusal(maps.create(&PostParams::default(), &config_map("Bad_Name", "1")).await);
    assert_says(
        &named,
        422,
        "Invalid",
        ("ConfigMap", "Bad_Name"),
        "metadata.name: Invalid value: \"Bad_Name\"",
    );
    let causes = named.details.map(|details| details.causes).expect("it says why");
    assert_eq!((&*causes[0].reason, &*causes[0].field), ("FieldValueInvalid", "metadata.name"));

    let large = "x".repeat(1024 * 1024 + 1);
    let large = refusal(maps.create(&PostParams::default(), &config_map("large", &large)).await);
    assert_says(&large, 422, "Invalid", ("ConfigMap", "large"), "must have at most 1048576 bytes");
    let large: Secret = object(json!({
        "metadata": {"name": "large"},
        "data": {"key": k8s_openapi::ByteString(vec![0; 1024 * 1024 + 1])},
    }));
    let large = refusal(place.api::<Secret>().create(&PostParams::default(), &large).await);
    assert_says(&large, 422, "Invalid", ("Secret", "large"), "must have at most 1048576 bytes");

    let deployments = place.api::<Deployment>();
    let made =
        deployments.create(&PostParams::default(), &deployment("selector")).await.expect("it is legal");
    let mut other = deployment("other");
    other.metadata.name = made.metadata.name.clone();
    let changed = refusal(deployments.replace("selector", &PostParams::default(), &other).await);
    assert_says(&changed, 422, "Invalid", ("Deployment", "selector"), "field is immutable");
    let mut apart = deployment("apart");
    apart.spec.iter_mut().for_each(|spec| spec.template.metadata = None);
    let apart = refusal(deployments.create(&PostParams::default(), &apart).await);
    assert_says(
        &apart,
        422,
        "Invalid",
        ("Deployment", "apart"),
        "`selector` does not match template `labels`",
    );
}

async fn leases_need_a_revision(place: &Place) {
    let leases = place.api::<Lease>();
    let lease: Lease = object(json!({"metadata": {"name": "one"}, "spec": {"holderIdentity": "a"}}));
    let made = leases.replace("one", &PostParams::default(), &lease).await.expect("a PUT creates leases");
    let blind = refusal(leases.replace("one", &PostParams::default(), &lease).await);
    assert_says(&blind, 422, "Invalid", ("leases", "one"), "metadata.resourceVersion: Invalid value: 0x0");
    let mut next = made.clone();
    next.spec.get_or_insert_default().holder_identity = Some("b".into());
    leases.replace("one", &PostParams::default(), &next).await.expect("it is what was read");
    let late = refusal(leases.replace("one", &PostParams::default(), &next).await);
    assert_says(&late, 409, "Conflict", ("leases", "one"), "leases.coordination.k8s.io \"one\"");
}

async fn lists_select_and_go_on(place: &Place) {
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

async fn watches_resume(place: &Place) {
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

async fn watches_tell_who_comes_and_goes(place: &Place) {
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

async fn a_dry_run_stores_nothing(place: &Place) {
    let maps = place.api::<ConfigMap>();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    maps.create(&dry, &config_map("dry", "1")).await.expect("it could be created");
    assert!(maps.get_opt("dry").await.expect("reading").is_none());
}

async fn collections_are_deleted_by_label(place: &Place) {
    let maps = place.api::<ConfigMap>();
    for name in ["collected", "kept"] {
        maps.create(&PostParams::default(), &config_map(name, "1")).await.expect("it is new");
    }
    let params = ListParams::default().labels("app=collected");
    maps.delete_collection(&DeleteParams::default(), &params).await.expect("it may be deleted");
    assert!(maps.get_opt("collected").await.expect("reading").is_none());
    assert!(maps.get_opt("kept").await.expect("reading").is_some());
}

async fn status_and_spec_are_written_apart(place: &Place) {
    let deployments = place.api::<Deployment>();
    let mut stopped = deployment("apart-status");
    stopped.spec.iter_mut().for_each(|spec| spec.paused = Some(true));
    deployments.create(&PostParams::default(), &stopped).await.expect("it is legal");
    let condition = json!({"type": "Odd", "status": "True"});
    let patch = json!({"status": {"conditions": [condition]}, "spec": {"replicas": 7}});
    let patched =
        deployments.patch_status("apart-status", &PatchParams::default(), &Patch::Merge(&patch)).await;
    let patched = patched.expect("a status can be patched");
    assert_eq!(patched.spec.and_then(|spec| spec.replicas), Some(0), "the spec is not written by it");
    assert!(patched.status.and_then(|status| status.conditions).is_some_and(|all| all[0].type_ == "Odd"));
    let patch = json!({"status": {"conditions": []}, "metadata": {"labels": {"a": "b"}}});
    let patched = deployments.patch("apart-status", &PatchParams::default(), &Patch::Merge(&patch)).await;
    let status = patched.expect("it can be patched").status.unwrap_or_default();
    assert!(!status.conditions.unwrap_or_default().is_empty(), "the status is not written by it");
}

async fn generations_count_changes_of_the_spec(place: &Place) {
    let deployments = place.api::<Deployment>();
    let made = deployments.create(&PostParams::default(), &deployment("counted")).await.expect("it is legal");
    assert_eq!(made.metadata.generation, Some(1));
    let patch = async |patch: Value| {
        let patched = deployments.patch("counted", &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.expect("it can be patched").metadata.generation
    };
    assert_eq!(patch(json!({"metadata": {"labels": {"a": "b"}}})).await, Some(1));
    assert_eq!(patch(json!({"spec": {"minReadySeconds": 1}})).await, Some(2));
}

async fn the_scale_subresource_sets_the_count(place: &Place) {
    let deployments = place.api::<Deployment>();
    let mut stopped = deployment("scaled");
    stopped.spec.iter_mut().for_each(|spec| spec.paused = Some(true));
    let made = deployments.create(&PostParams::default(), &stopped).await.expect("it is legal");
    // The controller writes the status meanwhile; a label makes sure that the first revision is an old one.
    let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    deployments.patch("scaled", &PatchParams::default(), &patch).await.expect("it exists");
    let scale = deployments.get_scale("scaled").await.expect("it can be scaled");
    assert_eq!(scale.spec.and_then(|spec| spec.replicas).unwrap_or_default(), 0);
    let to = |replicas: i32, revision: Option<String>| -> Scale {
        object(json!({
            "metadata": {"name": "scaled", "namespace": place.namespace, "resourceVersion": revision},
            "spec": {"replicas": replicas},
        }))
    };
    let late =
        deployments.replace_scale("scaled", &PostParams::default(), &to(1, made.resource_version())).await;
    let late = refusal(late);
    assert_says(&late, 409, "Conflict", ("deployments", "scaled"), "the object has been modified");
    for (replicas, revision) in [(2, None), (3, None)] {
        let scaled =
            deployments.replace_scale("scaled", &PostParams::default(), &to(replicas, revision)).await;
        let scaled = scaled.expect("nobody else scales it");
        assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(replicas));
    }
    let patch = Patch::Merge(json!({"spec": {"replicas": 4}}));
    deployments.patch_scale("scaled", &PatchParams::default(), &patch).await.expect("nobody else scales it");
    let found = deployments.get("scaled").await.expect("it exists");
    assert_eq!(found.spec.and_then(|spec| spec.replicas), Some(4));
    let missing = refusal(deployments.get_scale("missing").await);
    let words = "deployments/scale.apps \"missing\" not found";
    assert_says(&missing, 404, "NotFound", ("deployments/scale", "missing"), words);
}

/// A Deployment as it is applied.
fn applied(name: &str, image: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
        "spec": {
            "paused": true,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "main", "image": image, "env": [{"name": "A", "value": "1"}],
                    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                }]},
            },
        },
    })
}

impl Place {
    async fn apply(&self, manager: &str, config: &Value) -> Result<Deployment, Error> {
        let name = config["metadata"]["name"].as_str().unwrap_or_default();
        self.api::<Deployment>().patch(name, &PatchParams::apply(manager), &Patch::Apply(config)).await
    }

    async fn patch_as(&self, manager: &str, name: &str, patch: Value) -> Deployment {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let patched = self.api::<Deployment>().patch(name, &params, &Patch::Merge(patch)).await;
        patched.expect("patches that do not apply ask nobody")
    }
}

fn image_of(deployment: &Deployment) -> Option<&str> {
    deployment.spec.as_ref()?.template.spec.as_ref()?.containers.first()?.image.as_deref()
}

async fn applied_fields_are_owned(place: &Place) {
    let made = place.apply("one", &applied("owned", "first", json!({"a": "1"}))).await.expect("it is new");
    let entries = serde_json::to_value(&made.metadata.managed_fields).expect("it is JSON");
    let mine = entries.as_array().and_then(|entries| entries.iter().find(|entry| entry["manager"] == "one"));
    let mine = mine.expect("the applier is noted").clone();
    assert_eq!((&mine["operation"], &mine["apiVersion"]), (&json!("Apply"), &json!("apps/v1")));
    let container =
        &mine["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"main\"}"];
    assert_eq!(container["f:image"], json!({}), "{mine}");
    assert_eq!(container["."], json!({}), "{mine}");
    let port = "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}";
    assert_eq!(container["f:ports"][port]["f:containerPort"], json!({}), "{mine}");
    assert_eq!(mine["fieldsV1"]["f:metadata"]["f:labels"]["f:a"], json!({}), "{mine}");

    let again = place.apply("one", &applied("owned", "first", json!({"a": "1"}))).await.expect("it is mine");
    assert_eq!(again.metadata.generation, made.metadata.generation, "the same again changes nothing");
    let next = place.apply("one", &applied("owned", "second", json!({"a": "1"}))).await.expect("it is mine");
    assert_eq!(image_of(&next), Some("second"));
}

async fn what_others_own_is_a_conflict(place: &Place) {
    place.apply("one", &applied("fought", "first", json!({"a": "1"}))).await.expect("it is new");
    let strategic =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "other"}]}}}});
    let params = PatchParams { field_manager: Some("two".to_owned()), ..PatchParams::default() };
    let deployments = place.api::<Deployment>();
    let patched = deployments
        .patch("fought", &params, &Patch::Strategic(strategic))
        .await
        .expect("no apply, no conflict");
    assert_eq!(image_of(&patched), Some("other"));
    assert_eq!(patched.spec.map_or(0, |spec| spec.template.spec.map_or(0, |spec| spec.containers.len())), 1);

    let conflict = refusal(place.apply("one", &applied("fought", "first", json!({"a": "1"}))).await);
    let field = ".spec.template.spec.containers[name=\"main\"].image";
    assert_eq!((conflict.code, &*conflict.reason), (409, "Conflict"), "{conflict:?}");
    assert!(
        conflict.message.starts_with("Apply failed with 1 conflict: conflict with \"two\" using apps/v1"),
        "{conflict:?}"
    );
    assert!(conflict.message.ends_with(field), "{conflict:?}");
    let causes = conflict.details.map(|details| details.causes).expect("it says with whom");
    assert_eq!((&*causes[0].reason, &*causes[0].field), ("FieldManagerConflict", field));
    assert!(causes[0].message.starts_with("conflict with \"two\" using apps/v1"), "{causes:?}");

    let params = PatchParams::apply("one").force();
    let config = applied("fought", "first", json!({"a": "1"}));
    let forced =
        deployments.patch("fought", &params, &Patch::Apply(&config)).await.expect("force asks nobody");
    assert_eq!(image_of(&forced), Some("first"));
    place.apply("one", &applied("fought", "third", json!({"a": "1"}))).await.expect("it is mine again");

    let labels = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "fought", "labels": {"a": "2"}}});
    let conflict = refusal(place.apply("three", &labels).await);
    let cause = conflict.details.map(|details| details.causes).and_then(|causes| causes.into_iter().next());
    let cause = cause.expect("it says with whom");
    assert_eq!((&*cause.field, &*cause.message), (".metadata.labels.a", "conflict with \"one\""));
}

async fn what_is_no_longer_applied_is_removed(place: &Place) {
    let labels = |deployment: &Deployment| {
        deployment.metadata.labels.clone().unwrap_or_default().into_keys().collect::<Vec<_>>()
    };
    place
        .apply("one", &applied("shrinks", "first", json!({"a": "1", "b": "1", "c": "1"})))
        .await
        .expect("it is new");
    let shared = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shrinks", "labels": {"b": "1"}}});
    place.apply("two", &shared).await.expect("the same value is no conflict");
    place.patch_as("three", "shrinks", json!({"metadata": {"labels": {"d": "1"}}})).await;
    let mut config = applied("shrinks", "first", json!({"a": "1"}));
    config["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "B", "value": "2"}]);
    let next = place.apply("one", &config).await.expect("it is mine");
    assert_eq!(labels(&next), ["a", "b", "d"], "c was mine alone");
    let spec = next.spec.and_then(|spec| spec.template.spec).expect("it has a template");
    let names: Vec<_> = spec.containers[0].env.iter().flatten().map(|variable| &*variable.name).collect();
    assert_eq!(names, ["B"]);
}

async fn what_is_not_applied_is_left_alone(place: &Place) {
    place.apply("one", &applied("left", "first", json!({"a": "1"}))).await.expect("it is new");
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    place
        .api::<Deployment>()
        .patch_scale("left", &PatchParams::default(), &patch)
        .await
        .expect("nobody else scales it");
    place.patch_as("two", "left", json!({"metadata": {"annotations": {"note": "x"}}})).await;
    let again = place.apply("one", &applied("left", "second", json!({"a": "1"}))).await.expect("it is mine");
    assert_eq!(again.spec.and_then(|spec| spec.replicas), Some(3), "the count is whose who scales");
    assert_eq!(again.metadata.annotations.unwrap_or_default().get("note").map(String::as_str), Some("x"));
    let mut counted = applied("left", "second", json!({"a": "1"}));
    counted["spec"]["replicas"] = 1.into();
    let taken = place.apply("one", &counted).await;
    if place.minor < 22 {
        taken.expect("servers before 1.22 do not note who scales");
    } else {
        let conflict = refusal(taken);
        assert!(conflict.message.contains(".spec.replicas"), "{conflict:?}");
    }
}

async fn pods_take_their_grace_on_nodes_only(place: &Place) {
    let account: ServiceAccount =
        object(json!({"metadata": {"name": "runner"}, "automountServiceAccountToken": false}));
    place.api::<ServiceAccount>().create(&PostParams::default(), &account).await.expect("it is new");
    let pods = place.api::<Pod>();
    let pod = |name: &str, node: Option<&str>| -> Pod {
        object(json!({
            "metadata": {"name": name},
            "spec": {
                "serviceAccountName": "runner", "automountServiceAccountToken": false, "nodeName": node,
                "schedulerName": "nobody", "containers": [{"name": "main", "image": "none"}],
            },
        }))
    };
    pods.create(&PostParams::default(), &pod("unplaced", None)).await.expect("it is legal");
    pods.delete("unplaced", &DeleteParams::default()).await.expect("it exists");
    assert!(
        pods.get_opt("unplaced").await.expect("reading").is_none(),
        "nothing runs, nothing is waited for"
    );

    pods.create(&PostParams::default(), &pod("placed", Some("no-such-node"))).await.expect("it is legal");
    pods.delete("placed", &DeleteParams::default().grace_period(600)).await.expect("it exists");
    let terminating = pods.get("placed").await.expect("a node is to say that it has ended");
    assert!(terminating.metadata.deletion_timestamp.is_some());
    assert_eq!(terminating.metadata.deletion_grace_period_seconds, Some(600));
    pods.delete("placed", &DeleteParams::default().grace_period(0)).await.expect("it exists");
    assert!(pods.get_opt("placed").await.expect("reading").is_none());
}
