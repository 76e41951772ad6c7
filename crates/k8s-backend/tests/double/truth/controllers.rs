//! Deployments, ReplicaSets, garbage and quotas.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ResourceQuota};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_deleted;
use kube::{Resource, ResourceExt as _};
use serde_json::json;
use tokio::time::timeout;

use super::{PATIENCE, Place, deployment, object};

/// A Deployment whose pods no scheduler looks at.
fn unscheduled(name: &str, replicas: i32) -> Deployment {
    let mut made = deployment(name);
    let spec = made.spec.get_or_insert_default();
    spec.replicas = Some(replicas);
    spec.strategy =
        Some(object(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})));
    spec.template.spec.get_or_insert_default().scheduler_name = Some("nobody".to_owned());
    made
}

/// Waits until a Deployment's status, which is of its newest spec, holds this.
async fn until(place: &Place, name: &str, holds: impl Fn(&DeploymentStatus) -> bool + Copy) -> Deployment {
    let condition = |found: Option<&Deployment>| {
        found.is_some_and(|found| {
            let status = found.status.clone().unwrap_or_default();
            status.observed_generation == found.metadata.generation && holds(&status)
        })
    };
    let found = timeout(PATIENCE, await_condition(place.api::<Deployment>(), name, condition)).await;
    let found = found.unwrap_or_else(|_| panic!("{name} does not come so far"));
    found.expect("it can be watched").expect("it exists")
}

/// Status, reason and message of a condition.
fn condition(status: &DeploymentStatus, kind: &str) -> Option<(String, String, String)> {
    let found = status.conditions.iter().flatten().find(|condition| condition.type_ == kind)?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Some((found.status.clone(), text(&found.reason), text(&found.message)))
}

async fn of<K>(place: &Place, name: &str) -> Vec<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let labels = ListParams::default().labels(&format!("app={name}"));
    place.api::<K>().list(&labels).await.expect("they can be listed").items
}

pub(super) async fn a_deployment_has_sets_and_sets_have_pods(place: &Place) {
    let deployments = place.api::<Deployment>();
    let made =
        deployments.create(&PostParams::default(), &unscheduled("stack", 2)).await.expect("it is legal");
    let status = until(place, "stack", |status| status.replicas == Some(2)).await.status.unwrap_or_default();
    assert_eq!(
        (status.ready_replicas, status.unavailable_replicas, status.updated_replicas),
        (None, Some(2), Some(2))
    );
    let (available, reason, _) = condition(&status, "Available").expect("it says whether it is");
    assert_eq!((&*available, &*reason), ("False", "MinimumReplicasUnavailable"));
    let (progresses, reason, message) = condition(&status, "Progressing").expect("it says whether it does");
    assert_eq!((&*progresses, &*reason), ("True", "ReplicaSetUpdated"));

    let [set] = &of::<ReplicaSet>(place, "stack").await[..] else { panic!("one ReplicaSet is expected") };
    assert_eq!(message, format!("ReplicaSet {:?} is progressing.", set.name_any()));
    let hash = &set.labels()["pod-template-hash"];
    assert_eq!(set.name_any(), format!("stack-{hash}"));
    assert_eq!(set.owner_references()[0].uid, made.uid().unwrap_or_default());
    let pods = of::<Pod>(place, "stack").await;
    assert_eq!(pods.len(), 2);
    for pod in pods {
        let owner = &pod.owner_references()[0];
        let flags = (owner.controller, owner.block_owner_deletion);
        assert_eq!(
            (&*owner.kind, &*owner.uid, flags),
            ("ReplicaSet", &*set.uid().unwrap_or_default(), (Some(true), Some(true)))
        );
        assert_eq!(&pod.labels()["pod-template-hash"], hash);
        assert!(pod.name_any().starts_with(&format!("{}-", set.name_any())), "{}", pod.name_any());
        assert_eq!(pod.status.and_then(|status| status.phase).as_deref(), Some("Pending"));
    }
}

pub(super) async fn a_roll_out_begins_with_one_more(place: &Place) {
    let deployments = place.api::<Deployment>();
    deployments.create(&PostParams::default(), &unscheduled("rolls", 2)).await.expect("it is legal");
    until(place, "rolls", |status| status.replicas == Some(2)).await;
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"next": "1"}}}}});
    deployments.patch("rolls", &PatchParams::default(), &Patch::Merge(patch)).await.expect("it exists");
    until(place, "rolls", |status| status.replicas == Some(3) && status.updated_replicas == Some(1)).await;
    assert_eq!(of::<ReplicaSet>(place, "rolls").await.len(), 2);
    let patch = Patch::Merge(json!({"spec": {"replicas": 0}}));
    deployments.patch_scale("rolls", &PatchParams::default(), &patch).await.expect("nobody else scales it");
    let status = until(place, "rolls", |status| status.replicas.is_none()).await.status.unwrap_or_default();
    assert_eq!(condition(&status, "Available").map(|(available, ..)| available).as_deref(), Some("True"));
}

pub(super) async fn what_is_deleted_takes_along_what_it_owns(place: &Place) {
    let deployments = place.api::<Deployment>();
    let made =
        deployments.create(&PostParams::default(), &unscheduled("goes", 1)).await.expect("it is legal");
    until(place, "goes", |status| status.replicas == Some(1)).await;
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "goes", "uid": made.uid()});
    let owned: ConfigMap = object(json!({"metadata": {"name": "goes-along", "ownerReferences": [owner]}}));
    let owned = place.api::<ConfigMap>().create(&PostParams::default(), &owned).await.expect("it is new");

    let marked = deployments.delete("goes", &DeleteParams::foreground()).await.expect("it exists");
    if let Some(marked) = marked.left() {
        assert!(marked.metadata.deletion_timestamp.is_some());
        assert_eq!(marked.finalizers(), ["foregroundDeletion"]);
    }
    let (made, owned) = (made.uid().unwrap_or_default(), owned.uid().unwrap_or_default());
    let gone = await_condition(deployments, "goes", is_deleted(&made));
    timeout(PATIENCE, gone).await.expect("it goes").expect("it can be watched");
    assert!(of::<Pod>(place, "goes").await.is_empty(), "pods go before what blocks on them");
    let maps = place.api::<ConfigMap>();
    let gone = await_condition(maps, "goes-along", is_deleted(&owned));
    timeout(PATIENCE, gone).await.expect("it goes along").expect("it can be watched");
}

pub(super) async fn pods_that_are_refused_are_told_by_their_deployment(place: &Place) {
    let mut made = unscheduled("refused", 1);
    let spec = made.spec.get_or_insert_default().template.spec.get_or_insert_default();
    spec.service_account_name = Some("nobodys".to_owned());
    place.api::<Deployment>().create(&PostParams::default(), &made).await.expect("it is legal");
    let status = until(place, "refused", |status| condition(status, "ReplicaFailure").is_some()).await.status;
    let (fails, reason, message) =
        status.and_then(|status| condition(&status, "ReplicaFailure")).expect("it is waited for");
    assert_eq!((&*fails, &*reason), ("True", "FailedCreate"));
    assert!(message.starts_with("pods \"refused-"), "{message}");
    let words = format!(
        "error looking up service account {}/nobodys: serviceaccount \"nobodys\" not found",
        place.namespace
    );
    assert!(message.ends_with(&words), "{message}");
}

pub(super) async fn a_quota_is_told_by_the_deployment(place: &Place) {
    let namespaces: Api<Namespace> = Api::all(place.client.clone());
    let elsewhere = Place { namespace: format!("{}-tight", place.namespace), ..place.clone() };
    let namespace: Namespace = object(json!({"metadata": {"name": elsewhere.namespace}}));
    namespaces.create(&PostParams::default(), &namespace).await.expect("it is new");
    let quotas = elsewhere.api::<ResourceQuota>();
    let quota: ResourceQuota =
        object(json!({"metadata": {"name": "tight"}, "spec": {"hard": {"pods": "1"}}}));
    quotas.create(&PostParams::default(), &quota).await.expect("it is new");
    let is_counted = |quota: Option<&ResourceQuota>| {
        quota
            .and_then(|quota| quota.status.as_ref()?.hard.as_ref())
            .is_some_and(|hard| hard.contains_key("pods"))
    };
    timeout(PATIENCE, await_condition(quotas, "tight", is_counted))
        .await
        .expect("it is counted")
        .expect("watching");

    let params = PostParams::default();
    elsewhere.api::<Deployment>().create(&params, &unscheduled("tight", 2)).await.expect("it is legal");
    let words = "exceeded quota: tight, requested: pods=1, used: pods=1, limited: pods=1";
    let is_told = |status: &DeploymentStatus| {
        let failure = condition(status, "ReplicaFailure");
        status.replicas == Some(1) && failure.is_some_and(|(_, _, message)| message.ends_with(words))
    };
    until(&elsewhere, "tight", is_told).await;
    namespaces.delete(&elsewhere.namespace, &DeleteParams::default()).await.expect("it exists");
}
