//! Apply and remove on a real API server.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret, Service, ServiceAccount};
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt as _};
use portway_backend::conformance::Subject;
use portway_backend::{
    Backend as _, BackendError, Environment, ErrorKind, Fence, Fleet as _, Program, Status, Waited, Workload,
    WorkloadId, conformance, wait_for,
};
use portway_k8s_backend::{K8sBackend, Options};
use serde_json::{Value, json};

use crate::kubelet::Room;
use crate::patience::{self, PATIENCE, until_object};
use crate::quotas::{all_fit, nothing_fits};
use crate::site::{Site, on_a_cluster, with_room};

pub(crate) async fn backend(site: &Site, options: Options) -> K8sBackend {
    K8sBackend::from_client(site.client.clone(), options).await.unwrap()
}

pub(crate) fn workload(site: &Site, endpoint: &str) -> Workload {
    let id = WorkloadId::new(endpoint.parse().unwrap(), "first".parse().unwrap());
    let image = Environment::Image { reference: site.image.clone() };
    let mut workload = Workload::new(id, Program::entry_point(), image);
    workload.termination_grace = Duration::from_secs(1);
    workload
}

/// The names of our objects end in a digest, so that tests find them by their label.
pub(crate) async fn only<K>(site: &Site) -> K
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let mut found = ours::<K>(site).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

async fn ours<K>(site: &Site) -> Vec<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let labels = ListParams::default().labels("app.kubernetes.io/component=replica");
    api::<K>(site).list(&labels).await.unwrap().items
}

pub(crate) fn api<K>(site: &Site) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(site.client.clone(), &site.namespace)
}

pub(crate) async fn until(backend: &K8sBackend, id: &WorkloadId, condition: impl FnMut(&Status) -> bool) {
    let mut status = backend.watch(id).await.unwrap();
    match wait_for(&mut status, PATIENCE, condition).await {
        Waited::Reached(_) => {}
        other => panic!("not reached: {other:?}"),
    }
}

/// The status forgets a workload with its last replica; its Deployment may take a moment longer.
async fn until_gone(site: &Site, backend: &K8sBackend, id: &WorkloadId, deployment: &str) {
    until(backend, id, |status| *status == Status::absent()).await;
    patience::until_gone(&api::<Deployment>(site), deployment).await;
}

async fn edit(site: &Site, manager: &str, patch: Value) {
    let name = only::<Deployment>(site).await.name_any();
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    api::<Deployment>(site).patch(&name, &params, &Patch::Strategic(&patch)).await.unwrap();
}

fn image(name: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "replica", "image": name}]}}}})
}

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

fn image_of(deployment: &Deployment) -> String {
    deployment.spec.clone().unwrap().template.spec.unwrap().containers[0].image.clone().unwrap()
}

fn says(error: &BackendError, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_the_backend_keeps_its_promises() {
    on_a_cluster(async |site| {
        if let Some(kubelet) = &site.kubelet {
            // Without deletion cost the drained ones are replaced for a moment, by replicas that must not be ready at once.
            kubelet.start_takes(Duration::from_secs(3));
        }
        let backend = backend(site, site.options()).await;
        let image = site.image.clone();
        let make = move |id: WorkloadId| {
            let mut workload =
                Workload::new(id, Program::entry_point(), Environment::Image { reference: image.clone() });
            workload.termination_grace = Duration::from_secs(1);
            workload
        };
        let subject = Subject { backend: &backend, workload: &make, patience: PATIENCE };
        conformance::backend(&subject).await;
        conformance::fences(&subject, &backend).await;
        backend.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_an_apply_sets_the_number_of_replicas_once_and_an_equal_one_changes_nothing() {
    on_a_cluster(async |site| {
        let backend = backend(site, site.options()).await;
        let mut workload = workload(site, "iris");
        workload.initial_replicas = 2;
        workload.variables.insert("A".into(), "1".into());
        backend.apply(&workload).await.unwrap();
        until(&backend, &workload.id, |status| status.ready() == 2).await;
        let first = only::<Deployment>(site).await;
        assert_eq!(replicas(&first), Some(2));

        workload.initial_replicas = 9;
        backend.apply(&workload).await.unwrap();
        let second = only::<Deployment>(site).await;
        assert_eq!(second.metadata.generation, first.metadata.generation);
        assert_eq!(replicas(&second), Some(2));

        backend.scale(&workload.id, 3, &[], Fence::new(1)).await.unwrap();
        workload.variables.insert("A".into(), "2".into());
        backend.apply(&workload).await.unwrap();
        backend.apply(&workload).await.unwrap();
        assert_eq!(
            replicas(&only(site).await),
            Some(3),
            "neither a change nor a repetition touches what scaling has set"
        );
        assert_eq!(backend.drift_corrected(), 0);
        backend.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_what_another_manager_declares_is_a_conflict_that_names_it() {
    on_a_cluster(async |site| {
        let backend = backend(site, site.options()).await;
        let workload = workload(site, "iris");
        backend.apply(&workload).await.unwrap();
        let name = only::<Deployment>(site).await.name_any();
        let mut foreign = image("example.invalid/theirs:1");
        (foreign["apiVersion"], foreign["kind"]) = (json!("apps/v1"), json!("Deployment"));
        let force = PatchParams::apply("argocd").force();
        api::<Deployment>(site).patch(&name, &force, &Patch::Apply(&foreign)).await.unwrap();

        let error = backend.apply(&workload).await.unwrap_err();
        says(&error, ErrorKind::Conflict, &["\"argocd\" owns", "image", "take these fields out"]);
        assert_eq!(image_of(&only(site).await), "example.invalid/theirs:1", "nothing is taken by force");
        assert_eq!(backend.drift_corrected(), 0);
        backend.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_what_somebody_has_changed_is_put_back_and_counted() {
    on_a_cluster(async |site| {
        let backend = backend(site, site.options()).await;
        let workload = workload(site, "iris");
        backend.apply(&workload).await.unwrap();

        edit(site, "kubectl-edit", image("example.invalid/edited:1")).await;
        backend.apply(&workload).await.unwrap();
        assert_eq!(image_of(&only(site).await), site.image);
        assert_eq!(backend.drift_corrected(), 1);

        edit(site, "kubectl-rollout", json!({"spec": {"paused": true}})).await;
        backend.apply(&workload).await.unwrap();
        assert_ne!(only::<Deployment>(site).await.spec.unwrap().paused, Some(true));
        assert_eq!(backend.drift_corrected(), 2);
        backend.apply(&workload).await.unwrap();
        let generation = only::<Deployment>(site).await.metadata.generation;

        // What is taken away belongs to nobody and is no conflict, and counts all the same.
        let service = only::<Service>(site).await.name_any();
        api::<Service>(site).delete(&service, &Default::default()).await.unwrap();
        let account = only::<ServiceAccount>(site).await.name_any();
        let owner = json!({"metadata": {"labels": {"portway.dev/endpoint": null}}});
        let patch = Patch::Merge(&owner);
        api::<ServiceAccount>(site).patch(&account, &PatchParams::default(), &patch).await.unwrap();
        backend.apply(&workload).await.unwrap();
        only::<Service>(site).await;
        assert!(only::<ServiceAccount>(site).await.labels().contains_key("portway.dev/endpoint"));
        assert_eq!(backend.drift_corrected(), 4);
        assert_eq!(only::<Deployment>(site).await.metadata.generation, generation);
        backend.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_a_deployment_that_somebody_changes_is_put_back_without_being_asked() {
    on_a_cluster(async |site| {
        let backend = backend(site, site.options()).await;
        let workload = workload(site, "iris");
        let _status = backend.watch(&workload.id).await.unwrap();
        backend.apply(&workload).await.unwrap();
        edit(site, "kubectl-edit", image("example.invalid/edited:1")).await;
        let name = only::<Deployment>(site).await.name_any();
        let ours = |found: Option<&Deployment>| found.is_some_and(|found| image_of(found) == site.image);
        until_object(&api::<Deployment>(site), &name, "it is put back", ours).await;
        backend.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_all_is_owned_and_nothing_is_left_after_remove() {
    on_a_cluster(async |site| {
        let backend = backend(site, site.options()).await;
        let workload = workload(site, "iris");
        backend.apply(&workload).await.unwrap();
        let Deployment { metadata, .. } = only(site).await;
        let (name, uid) = (metadata.name.unwrap(), metadata.uid.unwrap());
        let owners = [
            only::<Secret>(site).await.metadata,
            only::<ServiceAccount>(site).await.metadata,
            only::<Service>(site).await.metadata,
        ];
        for metadata in owners {
            assert_eq!(metadata.owner_references.unwrap()[0].uid, uid);
        }
        until(&backend, &workload.id, |status| status.ready() == 1).await;
        backend.remove(&workload.id).await.unwrap();
        // An apply that comes at once waits for the old one to go, and is not taken away with it; a node that is slower
        // than it waits for is told by an error after which to try again.
        let applied = async {
            while let Err(error) = backend.apply(&workload).await {
                assert!(error.is_retryable(), "{error}");
            }
        };
        patience::in_time("it is applied again", applied).await;
        assert_ne!(only::<Deployment>(site).await.metadata.uid, Some(uid));
        until(&backend, &workload.id, |status| status.ready() == 1).await;

        backend.remove(&workload.id).await.unwrap();
        until_gone(site, &backend, &workload.id, &name).await;
        assert_eq!(ours::<Deployment>(site).await.len(), 0);
        assert_eq!(ours::<Pod>(site).await.len(), 0);
        assert_eq!(ours::<Secret>(site).await.len(), 0);
        assert_eq!(ours::<ServiceAccount>(site).await.len(), 0);
        assert_eq!(ours::<Service>(site).await.len(), 0);
        backend.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_what_others_own_is_left_alone() {
    on_a_cluster(async |site| {
        let mut options = site.options();
        options.owner = "blue".into();
        let blue = backend(site, options).await;
        let workload = workload(site, "iris");
        blue.apply(&workload).await.unwrap();
        let before = only::<Deployment>(site).await;

        let green = backend(site, site.options()).await;
        until(&blue, &workload.id, |status| status.ready() == 1).await;
        until(&green, &workload.id, |status| *status == Status::absent()).await;
        let mut changed = workload.clone();
        changed.variables.insert("A".into(), "1".into());
        says(
            &green.apply(&changed).await.unwrap_err(),
            ErrorKind::Conflict,
            &["belongs to the deployer \"blue\""],
        );
        says(
            &green.remove(&workload.id).await.unwrap_err(),
            ErrorKind::Conflict,
            &["belongs to the deployer \"blue\""],
        );
        let scaled = green.scale(&workload.id, 3, &[], Fence::new(1)).await;
        says(&scaled.unwrap_err(), ErrorKind::Conflict, &["belongs to the deployer \"blue\""]);
        assert_eq!(only::<Deployment>(site).await.metadata.generation, before.metadata.generation);

        blue.remove(&workload.id).await.unwrap();
        until_gone(site, &blue, &workload.id, &before.name_any()).await;
        let metadata = ObjectMeta { name: Some(before.name_any()), ..ObjectMeta::default() };
        let foreign = Secret { metadata, ..Secret::default() };
        api::<Secret>(site).create(&PostParams::default(), &foreign).await.unwrap();
        let error = blue.apply(&workload).await.unwrap_err();
        says(&error, ErrorKind::Conflict, &["a Secret", "not made by Portway"]);
        assert_eq!(ours::<Deployment>(site).await.len(), 0, "nothing is made beside it");
        blue.remove(&workload.id).await.unwrap();
        api::<Secret>(site).get(&before.name_any()).await.unwrap();
        blue.shut_down().await.unwrap();
        green.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_an_apply_that_stops_half_way_says_so_and_the_next_one_finishes_it() {
    on_a_cluster(async |site| {
        let probe = json!({"metadata": {"name": "probe"}, "spec": {"ports": [{"port": 80}]}});
        let probe: Service = serde_json::from_value(probe).unwrap();
        nothing_fits(site, "none", json!({"services": "0"}), &probe).await;

        let backend = backend(site, site.options()).await;
        let mut workload = workload(site, "iris");
        workload.initial_replicas = 2;
        let error = backend.apply(&workload).await.unwrap_err();
        says(
            &error,
            ErrorKind::Capacity,
            &["the Service", "paused, so nothing runs", "the quota none", "apply again"],
        );
        assert_eq!(ours::<Pod>(site).await.len(), 0);

        all_fit(site, "none", &probe).await;
        backend.apply(&workload).await.unwrap();
        until(&backend, &workload.id, |status| status.ready() == 2).await;
        assert_eq!(backend.drift_corrected(), 0);
        backend.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_an_unknown_namespace_is_said_so() {
    on_a_cluster(async |site| {
        let mut options = site.options();
        options.namespace = "portway-nowhere".into();
        let backend = backend(site, options).await;
        let error = backend.apply(&workload(site, "iris")).await.unwrap_err();
        says(&error, ErrorKind::Invalid, &["the namespace portway-nowhere does not exist"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_a_second_deployer_of_the_same_name_is_told() {
    on_a_cluster(async |site| {
        let first = backend(site, site.options()).await;
        let second = backend(site, site.options()).await;
        let workload = workload(site, "iris");
        first.apply(&workload).await.unwrap();
        let error = second.apply(&workload).await.unwrap_err();
        says(&error, ErrorKind::Conflict, &["another deployer is called \"portway\"", "end it"]);
        says(&second.remove(&workload.id).await.unwrap_err(), ErrorKind::Conflict, &["another deployer"]);
        second.scale(&workload.id, 2, &[], Fence::new(1)).await.expect("a gateway needs no such name");
        first.shut_down().await.unwrap();
        second.remove(&workload.id).await.unwrap();
        second.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_3_no_replica_comes_beside_the_others_when_no_gpu_is_spare() {
    for (gpus, surge) in [(1, 0), (2, 1)] {
        with_room(&Room { gpus, ..Room::default() }, async |site| {
            if site.fake_node(&format!("an update with {gpus} GPUs")).is_none() {
                return;
            }
            let backend = backend(site, site.options()).await;
            let mut workload = workload(site, "iris");
            workload.resources.gpu = 1;
            backend.apply(&workload).await.unwrap();
            until(&backend, &workload.id, |status| status.ready() == 1).await;
            workload.variables.insert("A".into(), "1".into());
            backend.apply(&workload).await.unwrap();
            let strategy = only::<Deployment>(site).await.spec.unwrap().strategy.unwrap();
            let found = serde_json::to_value(strategy.rolling_update.unwrap().max_surge).unwrap();
            assert_eq!(found, json!(surge), "{gpus} GPUs, one of them in use");
            backend.shut_down().await.unwrap();
        })
        .await;
    }
}
