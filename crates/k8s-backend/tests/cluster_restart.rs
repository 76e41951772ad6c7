//! A real API server that crashes and comes back. In a binary of its own: it disturbs whatever runs beside it.
//!
//! `PORTWAY_CLUSTER_RESTART` is the shell command that ends the API server which `KUBECONFIG` names and starts it
//! again; without it, or without a cluster, this skips with one line (the restart of the double is tested anyway), or
//! fails under `PORTWAY_REQUIRE_SERVICES=1`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/kubelet.rs"]
mod kubelet;
#[path = "support/site.rs"]
mod site;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use portway_backend::{
    Backend as _, Environment, Fleet as _, Phase, Program, Status, Waited, Workload, WorkloadId, wait_for,
};
use portway_k8s_backend::K8sBackend;
use tokio::sync::watch;

use site::{Site, on_a_cluster, say_once};

const PATIENCE: Duration = Duration::from_secs(120);

async fn until(status: &mut watch::Receiver<Arc<Status>>, what: &str, shows: impl FnMut(&Status) -> bool) {
    match wait_for(status, PATIENCE, shows).await {
        Waited::Reached(_) => {}
        other => panic!("{what}: {other:?}"),
    }
}

fn workload(site: &Site) -> Workload {
    let id = WorkloadId::new("iris".parse().unwrap(), "first".parse().unwrap());
    let image = Environment::Image { reference: site.image.clone() };
    let mut workload = Workload::new(id, Program::entry_point(), image);
    workload.initial_replicas = 3;
    workload.termination_grace = Duration::from_secs(1);
    workload
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_2_a_crash_of_the_api_server_loses_no_replica() {
    let Ok(restart) = std::env::var("PORTWAY_CLUSTER_RESTART") else {
        assert!(
            std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_none(),
            "PORTWAY_CLUSTER_RESTART is required: `.ci/cluster restart-apiserver` for a server of `.ci/cluster start`"
        );
        say_once(
            "skipped: PORTWAY_CLUSTER_RESTART does not say how to restart the API server; for one of `.ci/cluster start` it \
             is `.ci/cluster restart-apiserver`",
        );
        return;
    };
    on_a_cluster(async |site| {
        let backend = K8sBackend::from_client(site.client.clone(), site.options()).await.unwrap();
        let workload = workload(site);
        let mut status = backend.watch(&workload.id).await.unwrap();
        backend.apply(&workload).await.unwrap();
        let is_healthy = |status: &Status| status.phase == Phase::Healthy && status.ready() == 3;
        until(&mut status, "three come", is_healthy).await;

        let mut seen = status.clone();
        let fewest = tokio::spawn(async move {
            let mut fewest = seen.borrow_and_update().ready();
            while seen.changed().await.is_ok() {
                fewest = fewest.min(seen.borrow_and_update().ready());
            }
            fewest
        });
        let restarted =
            tokio::task::spawn_blocking(move || Command::new("sh").arg("-c").arg(restart).status());
        assert!(restarted.await.unwrap().unwrap().success(), "the command restarts the server");
        let victim = status.borrow().replicas[0].id.clone();
        let pods: Api<Pod> = Api::namespaced(site.client.clone(), &site.namespace);
        pods.delete(victim.as_str(), &DeleteParams::default()).await.unwrap();
        let is_replaced =
            |status: &Status| is_healthy(status) && status.replicas.iter().all(|each| each.id != victim);
        until(&mut status, "what happens after the restart is seen", is_replaced).await;
        // The watches end with the backend, and with them the record.
        drop(backend);
        assert!(fewest.await.unwrap() >= 2, "only the one that was deleted was ever missing");
    })
    .await;
}
