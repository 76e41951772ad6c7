//! The suites of replicas and fences on servers of both ages, and what only the newer one has. Those of documents and leases
//! are in `catalog.rs`.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ListParams, PostParams};
use portway_backend::conformance::{self, Subject};
use portway_backend::{
    Backend as _, Environment, ErrorKind, Fence, Fleet as _, Program, Status, Waited, Workload, WorkloadId,
    wait_for,
};
use portway_k8s_backend::{K8sBackend, Options};
use serde_json::json;
use tokio::sync::watch;

use crate::double::{ApiServer, Profile, Verb};

/// The double answers at once; what takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn workload(id: WorkloadId) -> Workload {
    let image = Environment::Image { reference: "example.invalid/model:1".into() };
    Workload::new(id, Program::entry_point(), image)
}

pub(super) fn iris() -> WorkloadId {
    WorkloadId::new("iris".parse().unwrap(), "first".parse().unwrap())
}

pub(super) async fn backend(server: &ApiServer) -> K8sBackend {
    K8sBackend::from_client(server.client("default"), Options::new()).await.unwrap()
}

async fn until(status: &mut watch::Receiver<Arc<Status>>, holds: impl FnMut(&Status) -> bool) -> Arc<Status> {
    match wait_for(status, PATIENCE, holds).await {
        Waited::Reached(status) => status,
        other => panic!("it does not come: {other:?}"),
    }
}

#[tokio::test]
async fn r_run_4_replicas_conform_on_new_servers_and_on_old_ones() {
    for profile in [Profile::new(), Profile::old()] {
        let server = ApiServer::with_controllers(profile);
        let backend = backend(&server).await;
        let subject = Subject { backend: &backend, workload: &workload, patience: PATIENCE };
        conformance::backend(&subject).await;
        conformance::fences(&subject, &backend).await;
        let plurals = ["deployments", "replicasets", "pods", "services", "secrets", "serviceaccounts"];
        for plural in plurals.into_iter().chain(["poddisruptionbudgets"]) {
            let left = server.objects(plural, "default");
            let ours =
                left.iter().filter(|object| object["metadata"]["labels"]["portway.dev/workload"].is_string());
            assert_eq!(ours.count(), 0, "{plural} are left: {left:?}");
        }
    }
}

#[tokio::test]
async fn r_k8s_1_a_budget_comes_and_goes_with_its_workload_where_servers_have_them() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    assert_eq!(backend.server().lacks(), [""; 0]);
    let mut status = backend.watch(&iris()).await.unwrap();
    backend.apply(&workload(iris())).await.unwrap();
    until(&mut status, |status| status.ready() == 1).await;

    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(server.bystander("default"));
    let found = budgets.list(&ListParams::default()).await.unwrap().items;
    let [budget] = &found[..] else { panic!("one budget is expected: {found:?}") };
    let selector = budget.spec.as_ref().unwrap().selector.as_ref().unwrap().match_labels.clone().unwrap();
    let pods = server.objects("pods", "default");
    let labels = &pods[0]["metadata"]["labels"];
    assert!(
        selector.iter().all(|(label, value)| labels[label] == **value),
        "{selector:?} selects not {labels}"
    );
    let owner = &budget.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((&*owner.kind, owner.block_owner_deletion.unwrap_or_default()), ("Deployment", false));

    backend.remove(&iris()).await.unwrap();
    until(&mut status, |status| *status == Status::absent()).await;
    assert!(budgets.list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn r_k8s_1_old_servers_get_no_budget_and_say_what_they_lack() {
    let server = ApiServer::with_controllers(Profile::old());
    let backend = backend(&server).await;
    let lacks = backend.server().lacks();
    assert!(lacks.iter().any(|lack| lack.starts_with("policy/v1")), "{lacks:?}");
    assert!(lacks.iter().any(|lack| lack.starts_with("pod deletion cost")), "{lacks:?}");
    backend.apply(&workload(iris())).await.unwrap();
    assert!(server.objects("poddisruptionbudgets", "default").is_empty());
}

#[tokio::test]
async fn r_k8s_3_drained_replicas_go_by_their_cost_and_nobody_deletes_them() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    let mut status = backend.watch(&iris()).await.unwrap();
    let mut three = workload(iris());
    three.initial_replicas = 3;
    backend.apply(&three).await.unwrap();
    let before = until(&mut status, |status| status.ready() == 3).await;
    server.reset_counts();
    let drained = before.replicas[0].id.clone();
    backend.scale(&iris(), 2, std::slice::from_ref(&drained), Fence::new(1)).await.unwrap();
    let after = until(&mut status, |status| status.replicas.len() == 2).await;
    assert!(after.replicas.iter().all(|replica| replica.id != drained), "{after:?}");
    let counts = server.counts();
    assert_eq!(counts.of(Verb::Delete, "pods"), 0, "{counts}");
    assert_eq!(counts.of(Verb::Patch, "pods"), 1, "{counts}");
}

#[tokio::test]
async fn r_scl_5_an_autoscaler_of_v2_is_refused_with_its_name() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    backend.apply(&workload(iris())).await.unwrap();
    let name = server.objects("deployments", "default")[0]["metadata"]["name"].clone();
    let hpa: HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": {"name": "somebodys"},
        "spec": {
            "maxReplicas": 5,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "metrics": [{
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
            }],
        },
    }))
    .unwrap();
    let hpas: Api<HorizontalPodAutoscaler> = Api::default_namespaced(server.bystander("default"));
    hpas.create(&PostParams::default(), &hpa).await.unwrap();
    // The watch tells it a moment later; until then one that nobody knows of hinders nobody.
    let mut fence = 1;
    let refused = loop {
        match backend.scale(&iris(), 2, &[], Fence::new(fence)).await {
            Err(refused) => break refused,
            Ok(()) => fence += 1,
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("somebodys"), "{refused}");
    let refused = backend.apply(&workload(iris())).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("HorizontalPodAutoscaler somebodys"), "{refused}");
}
