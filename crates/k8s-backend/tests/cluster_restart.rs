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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, PostParams};
use kube::config::AuthInfo;
use kube::{Api, Client, Config};
use portway_backend::{
    Backend as _, Catalog as _, DocKey, DocKind, Environment, Fleet, Phase, Program, Status, Waited,
    Workload, WorkloadId, wait_for,
};
use portway_k8s_backend::K8sBackend;
use serde_json::json;
use tokio::sync::{Mutex, watch};

use site::{Site, on_a_cluster, say_once, without_pods};

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

/// The command, or `None` where there is none and nobody asks for one.
fn restart() -> Option<String> {
    let restart = std::env::var("PORTWAY_CLUSTER_RESTART").ok();
    if restart.is_none() {
        assert!(
            std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_none(),
            "PORTWAY_CLUSTER_RESTART is required: `.ci/cluster restart-apiserver` for a server of `.ci/cluster start`"
        );
        say_once(
            "skipped: PORTWAY_CLUSTER_RESTART does not say how to restart the API server; for one of `.ci/cluster start` it \
             is `.ci/cluster restart-apiserver`",
        );
    }
    restart
}

async fn run(restart: String) {
    let restarted = tokio::task::spawn_blocking(move || Command::new("sh").arg("-c").arg(restart).status());
    assert!(restarted.await.unwrap().unwrap().success(), "the command restarts the server");
}

/// There is one server, and each test has it to itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Somebody who may read ConfigMaps of the namespace, and nothing else.
async fn reader(site: &Site) -> K8sBackend {
    let post = PostParams::default();
    let accounts: Api<ServiceAccount> = Api::namespaced(site.client.clone(), &site.namespace);
    let metadata = json!({"name": "reader"});
    let account = serde_json::from_value(json!({"metadata": metadata})).unwrap();
    accounts.create(&post, &account).await.unwrap();
    let rule = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]});
    let role: Role = serde_json::from_value(json!({"metadata": metadata, "rules": [rule]})).unwrap();
    Api::namespaced(site.client.clone(), &site.namespace).create(&post, &role).await.unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": site.namespace}],
    }))
    .unwrap();
    Api::namespaced(site.client.clone(), &site.namespace).create(&post, &binding).await.unwrap();
    let token = accounts.create_token_request("reader", &post, &TokenRequest::default()).await.unwrap();
    let mut config = Config::infer().await.unwrap();
    let token = Some(token.status.unwrap().token.into());
    config.auth_info = AuthInfo { token, ..AuthInfo::default() };
    let client = Client::try_from(config).unwrap();
    K8sBackend::from_client(client, site.options()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_6_a_server_that_comes_back_denies_nobody_a_right_that_it_does_not_know_of_yet() {
    let Some(restart) = restart() else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    without_pods(async |site| {
        let reader = reader(site).await;
        let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
        // Its role is known to the server a moment after it was made.
        let may_read = async { while reader.get(&key).await.is_err() {} };
        tokio::time::timeout(PATIENCE, may_read).await.expect("it may read");
        let is_back = Arc::new(AtomicBool::new(false));
        let (asked, until) = (reader.clone(), Arc::clone(&is_back));
        let refusals = tokio::spawn(async move {
            let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
            let mut refusals = Vec::new();
            while !until.load(Ordering::Relaxed) {
                refusals.extend(asked.get(&key).await.err().filter(|error| !error.is_retryable()));
            }
            refusals
        });
        run(restart).await;
        let may_read = async { while reader.get(&key).await.is_err() {} };
        tokio::time::timeout(PATIENCE, may_read).await.expect("it may read again");
        is_back.store(true, Ordering::Relaxed);
        let refusals = refusals.await.unwrap();
        assert!(refusals.is_empty(), "all that fails meanwhile passes by itself, but: {refusals:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_2_a_crash_of_the_api_server_loses_no_replica() {
    let Some(restart) = restart() else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    on_a_cluster(async |site| {
        let backend = K8sBackend::from_client(site.client.clone(), site.options()).await.unwrap();
        let workload = workload(site);
        let mut status = Fleet::watch(&backend, &workload.id).await.unwrap();
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
        run(restart).await;
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
