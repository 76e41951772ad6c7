//! Replicas as a real API server tells of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, LogParams, PostParams};
use portway_backend::{Backend as _, Fleet as _, Phase, ReplicaState, Status, Waited, Workload, wait_for};
use portway_deploy_config::Millicores;
use portway_k8s_backend::K8sBackend;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::apply::{api, backend, only, workload};
use crate::kubelet::{FAKE_NODE, Fate};
use crate::patience::{PATIENCE, until_gone, until_object};
use crate::quotas::{nothing_fits, some_fit};
use crate::site::{Site, on_a_cluster};

/// A workload that was applied, and its status.
async fn applied(site: &Site, replicas: u32) -> (K8sBackend, Workload, watch::Receiver<Arc<Status>>) {
    let backend = backend(site, site.options()).await;
    let mut workload = workload(site, "iris");
    workload.initial_replicas = replicas;
    let status = backend.watch(&workload.id).await.unwrap();
    backend.apply(&workload).await.unwrap();
    (backend, workload, status)
}

pub(crate) async fn until(
    status: &mut watch::Receiver<Arc<Status>>,
    what: &str,
    shows: impl FnMut(&Status) -> bool,
) -> Arc<Status> {
    match wait_for(status, PATIENCE, shows).await {
        Waited::Reached(status) => status,
        other => panic!("{what}: {other:?}"),
    }
}

pub(crate) fn is_healthy(status: &Status) -> bool {
    status.phase == Phase::Healthy && status.ready() == status.wanted && status.wanted > 0
}

fn pod(site: &Site, name: &str) -> Pod {
    let mut spec = json!({"automountServiceAccountToken": false, "containers": [{"name": "replica", "image": site.image}]});
    if let Some(kubelet) = &site.kubelet {
        spec["nodeSelector"] = json!({FAKE_NODE: kubelet.node()});
        spec["tolerations"] = json!([{"key": FAKE_NODE, "operator": "Exists"}]);
    }
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a pod as it should be")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_on_the_fake_node_really_serves_and_goes_when_told() {
    on_a_cluster(async |site| {
        if site.fake_node("a pod that serves").is_none() {
            return;
        }
        // A new namespace gets its account in a moment; pods without one are refused.
        let is_there = |account: Option<&ServiceAccount>| account.is_some();
        until_object(&api::<ServiceAccount>(site), "default", "the account comes", is_there).await;
        let pods = api::<Pod>(site);
        pods.create(&PostParams::default(), &pod(site, "one")).await.unwrap();
        let is_running = |pod: Option<&Pod>| {
            let status = pod.and_then(|pod| pod.status.as_ref());
            status.is_some_and(|status| status.phase.as_deref() == Some("Running"))
        };
        let running = until_object(&pods, "one", "the pod runs", is_running).await;
        let address = running.unwrap().status.unwrap().pod_ip.unwrap();
        let mut stream = TcpStream::connect((address.as_str(), 8080)).await.unwrap();
        let request = "POST /score HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("x-replica: one") && answer.ends_with("\r\n\r\nhi"), "{answer}");

        let wanted = LogParams { tail_lines: Some(1), ..LogParams::default() };
        assert_eq!(pods.logs("one", &wanted).await.unwrap(), "POST /score\n", "its log is served");

        pods.delete("one", &DeleteParams::default()).await.unwrap();
        until_gone(&pods, "one").await;
        assert!(
            TcpStream::connect((address.as_str(), 8080)).await.is_err(),
            "nobody serves for a pod that is gone"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_2_replicas_are_found_at_their_addresses_and_leave_before_they_end() {
    on_a_cluster(async |site| {
        let (backend, workload, mut status) = applied(site, 3).await;
        let seen = until(&mut status, "three come", is_healthy).await;
        let addresses: BTreeSet<_> = seen.replicas.iter().filter_map(|replica| replica.address()).collect();
        assert_eq!(addresses.len(), 3);
        for address in addresses.iter().filter(|_| site.kubelet.is_some()) {
            TcpStream::connect(address).await.expect("it serves where it is said to");
        }

        if let Some(kubelet) = &site.kubelet {
            kubelet.hold_terminating(true);
        }
        let victim = seen.replicas[0].id.clone();
        api::<Pod>(site).delete(victim.as_str(), &DeleteParams::default()).await.unwrap();
        let is_leaving = |status: &Status| {
            let of = status.replicas.iter().find(|replica| replica.id == victim);
            of.is_none_or(|replica| replica.state == ReplicaState::Terminating)
        };
        until(&mut status, "it leaves", is_leaving).await;
        let seen = until(&mut status, "another one comes", is_healthy).await;
        assert!(is_leaving(&seen), "who was told to go is not ready again: {seen:?}");
        if let Some(kubelet) = &site.kubelet {
            let held = seen.replicas.iter().any(|replica| replica.state == ReplicaState::Terminating);
            assert!(held, "it is still there: {seen:?}");
            kubelet.hold_terminating(false);
        }
        until(&mut status, "it is gone", |status| status.replicas.len() == 3).await;
        let measured = backend.ready_to_routable();
        assert!(measured.replicas >= 4, "{measured:?}");
        eprintln!("ready to routable: {measured:?}");
        backend.remove(&workload.id).await.unwrap();
        until(&mut status, "nothing is left", |status| *status == Status::absent()).await;
    })
    .await;
}

fn is_complete(deployment: Option<&Deployment>) -> bool {
    let status = deployment.and_then(|deployment| deployment.status.as_ref());
    let mut reasons = status.iter().flat_map(|status| status.conditions.iter().flatten());
    reasons.any(|condition| condition.reason.as_deref() == Some("NewReplicaSetAvailable"))
}

#[tokio::test(flavor = "multi_thread")]
async fn r_run_4_what_goes_wrong_is_told_with_its_remedy() {
    on_a_cluster(async |site| {
        let Some(kubelet) = site.fake_node("replicas that go wrong") else { return };
        kubelet.all(Fate::ImagePull("pull access denied".to_owned()));
        let (backend, workload, mut status) = applied(site, 1).await;
        for (fate, phase, words) in [
            (None, Phase::Failed, "pull secrets"),
            (
                Some(Fate::CrashLoop { code: 3, restarts: 1 }),
                Phase::Unhealthy,
                "exit code 3, started again once",
            ),
            (Some(Fate::CrashLoop { code: 3, restarts: 4 }), Phase::Failed, "started again 4 times"),
            (Some(Fate::OutOfMemory { restarts: 1 }), Phase::Unhealthy, "give it more memory"),
            (
                Some(Fate::ConfigError("secret \"x\" not found".to_owned())),
                Phase::Failed,
                "secret \"x\" not found",
            ),
        ] {
            if let Some(fate) = fate {
                kubelet.all(fate);
            }
            let shows = |status: &Status| status.phase == phase && status.message.contains(words);
            until(&mut status, words, shows).await;
        }
        kubelet.all(Fate::Ready);
        let seen = until(&mut status, "it is mended", is_healthy).await;
        assert_eq!(seen.message, "");
        // That it has worked is what the Deployment's controller says, a moment later.
        let deployment = only::<Deployment>(site).await.name_any();
        until_object(&api::<Deployment>(site), &deployment, "it is complete", is_complete).await;
        kubelet.all(Fate::CrashLoop { code: 3, restarts: 9 });
        let is_unhealthy = |status: &Status| status.phase == Phase::Unhealthy;
        until(&mut status, "what was ready once is not given up", is_unhealthy).await;

        let logs = backend.logs(&workload.id, 100).await.unwrap();
        assert!(logs.contains("ending with 3\nlistening on 127."), "the run before comes first: {logs}");
        assert!(logs.contains("BackOff: Back-off restarting failed container"), "{logs}");
        backend.remove(&workload.id).await.unwrap();
        until(&mut status, "nothing is left", |status| *status == Status::absent()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_run_4_no_room_is_said_in_the_schedulers_words() {
    on_a_cluster(async |site| {
        let backend = backend(site, site.options()).await;
        let mut workload = workload(site, "iris");
        // More than any node has.
        workload.resources.cpu = Millicores(1_000_000);
        let mut status = backend.watch(&workload.id).await.unwrap();
        backend.apply(&workload).await.unwrap();
        // The first reason that the scheduler gives need not be this one.
        let is_short = |status: &Status| {
            status.phase == Phase::Unschedulable && status.message.contains("Insufficient cpu")
        };
        until(&mut status, "no room", is_short).await;
        backend.remove(&workload.id).await.unwrap();
        until(&mut status, "nothing is left", |status| *status == Status::absent()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_run_4_a_quota_that_is_used_up_is_told() {
    on_a_cluster(async |site| {
        let probe = pod(site, "probe");
        nothing_fits(site, "two-pods", json!({"pods": "0"}), &probe).await;
        some_fit(site, "two-pods", json!({"pods": "2"}), &probe).await;
        let (backend, workload, mut status) = applied(site, 3).await;
        let is_short = |status: &Status| {
            let says = status.message.contains("exceeded quota: two-pods");
            status.phase == Phase::Unschedulable && status.ready() == 2 && says
        };
        until(&mut status, "the quota is used up", is_short).await;
        backend.remove(&workload.id).await.unwrap();
        until(&mut status, "nothing is left", |status| *status == Status::absent()).await;
    })
    .await;
}
