//! Objects: compare-and-swap, what is refused, what a deletion heeds, the parts of an object.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};

use super::{Place, assert_says, config_map, deployment, object, refusal};

pub(super) async fn what_is_missing_is_not_found(place: &Place) {
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

pub(super) async fn what_exists_is_not_created(place: &Place) {
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

pub(super) async fn writes_are_compare_and_swap(place: &Place) {
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

pub(super) async fn what_changes_nothing_is_not_written(place: &Place) {
    let maps = place.api::<ConfigMap>();
    let first = maps.create(&PostParams::default(), &config_map("same", "1")).await.expect("it is new");
    let again = maps.replace("same", &PostParams::default(), &first).await.expect("it is what was read");
    assert_eq!(first.resource_version(), again.resource_version());
    let patch = Patch::Merge(json!({"data": {"key": "1"}}));
    let again = maps.patch("same", &PatchParams::default(), &patch).await.expect("it exists");
    assert_eq!(first.resource_version(), again.resource_version());
}

pub(super) async fn deletions_heed_their_preconditions(place: &Place) {
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

pub(super) async fn illegal_objects_are_refused(place: &Place) {
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
    assert_says(&large, 422, "Invalid", ("ConfigMap", "large"), "1048576 bytes");
    let large: Secret = object(json!({
        "metadata": {"name": "large"},
        "data": {"key": k8s_openapi::ByteString(vec![0; 1024 * 1024 + 1])},
    }));
    let large = refusal(place.api::<Secret>().create(&PostParams::default(), &large).await);
    assert_says(&large, 422, "Invalid", ("Secret", "large"), "1048576 bytes");

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

pub(super) async fn leases_need_a_revision(place: &Place) {
    let leases = place.api::<Lease>();
    let lease: Lease = object(json!({"metadata": {"name": "one"}, "spec": {"holderIdentity": "a"}}));
    let made = leases.replace("one", &PostParams::default(), &lease).await.expect("a PUT creates leases");
    let blind = refusal(leases.replace("one", &PostParams::default(), &lease).await);
    assert_says(&blind, 422, "Invalid", ("leases", "one"), "must be specified for an update");
    let mut next = made.clone();
    next.spec.get_or_insert_default().holder_identity = Some("b".into());
    leases.replace("one", &PostParams::default(), &next).await.expect("it is what was read");
    let late = refusal(leases.replace("one", &PostParams::default(), &next).await);
    assert_says(&late, 409, "Conflict", ("leases", "one"), "leases.coordination.k8s.io \"one\"");
}

pub(super) async fn a_dry_run_stores_nothing(place: &Place) {
    let maps = place.api::<ConfigMap>();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    maps.create(&dry, &config_map("dry", "1")).await.expect("it could be created");
    assert!(maps.get_opt("dry").await.expect("reading").is_none());
}

pub(super) async fn collections_are_deleted_by_label(place: &Place) {
    let maps = place.api::<ConfigMap>();
    for name in ["collected", "kept"] {
        maps.create(&PostParams::default(), &config_map(name, "1")).await.expect("it is new");
    }
    let params = ListParams::default().labels("app=collected");
    maps.delete_collection(&DeleteParams::default(), &params).await.expect("it may be deleted");
    assert!(maps.get_opt("collected").await.expect("reading").is_none());
    assert!(maps.get_opt("kept").await.expect("reading").is_some());
}

pub(super) async fn status_and_spec_are_written_apart(place: &Place) {
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

pub(super) async fn generations_count_changes_of_the_spec(place: &Place) {
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

pub(super) async fn the_scale_subresource_sets_the_count(place: &Place) {
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

pub(super) async fn pods_take_their_grace_on_nodes_only(place: &Place) {
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
