//! What only a real node can show: probes that act, hooks, signals, what a container may do, pulls, crashes, logs.
//!
//! `PORTWAY_CLUSTER_IMAGE` has to name the stand-in of the examples, in a registry that the node reaches; `.ci/image push`
//! puts it there.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{AsyncBufReadExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, LogParams};
use portway_backend::{
    Backend as _, Environment, Fleet as _, Phase, Replica, ReplicaState, Status, Workload,
};
use portway_deploy_config::MemoryMib;
use portway_k8s_backend::{K8sBackend, Options};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::apply::{api, backend, workload};
use crate::patience::{in_time, until_object};
use crate::replicas::{is_healthy, until};
use crate::site::{Site, on_a_cluster};

/// One replica of `workload`, ready.
async fn running(
    site: &Site,
    options: Options,
    workload: &Workload,
) -> (K8sBackend, watch::Receiver<Arc<Status>>, Replica) {
    let backend = backend(site, options).await;
    let mut status = backend.watch(&workload.id).await.unwrap();
    backend.apply(workload).await.unwrap();
    let seen = until(&mut status, "it is ready", is_healthy).await;
    let replica = seen.replicas.iter().find(|replica| replica.address().is_some()).unwrap().clone();
    (backend, status, replica)
}

/// The whole answer to a request that is written at once.
async fn asked(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head(request, 0).as_bytes()).await.unwrap();
    rest_of(stream).await
}

fn head(request: &str, length: usize) -> String {
    format!("{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")
}

async fn rest_of(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    in_time("an answer comes", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// What the stand-in says of itself.
async fn portrait(address: SocketAddr) -> Value {
    let answer = asked(address, "GET /self").await;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("the image is no stand-in: {answer}"))
}

/// The logs once they hold all of `words`: a node tells its events when it comes to it.
async fn until_told(backend: &K8sBackend, workload: &Workload, lines: usize, words: &[&str]) -> String {
    let asking = async {
        loop {
            let logs = backend.logs(&workload.id, lines).await.unwrap();
            match words.iter().find(|words| !logs.contains(**words)) {
                None => return logs,
                Some(missing) => eprintln!("{missing:?} is not yet in {logs}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    in_time("all of it is in the logs", asking).await
}

fn restarts(pod: Option<&Pod>) -> i32 {
    let status = pod.and_then(|pod| pod.status.as_ref());
    let containers = status.into_iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.map(|container| container.restart_count).max().unwrap_or_default()
}

/// Reads a log as it is written, until a line begins like this.
async fn until_line(
    lines: &mut (impl futures_util::Stream<Item = std::io::Result<String>> + Unpin),
    begin: &str,
) {
    let found = async {
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await {
            let line = line.unwrap();
            if line.starts_with(begin) {
                return;
            }
            seen.push(line);
        }
        panic!("the log ended without {begin:?}: {seen:?}");
    };
    in_time(begin, found).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_run_4_a_replica_that_answers_no_more_is_started_again() {
    on_a_cluster(async |site| {
        if !site.real_node("a liveness probe") {
            return;
        }
        let mut options = site.options();
        options.drain_notice = Duration::ZERO;
        let mut workload = workload(site, "iris");
        workload.probe.initial_delay = Duration::ZERO;
        workload.probe.period = Duration::from_secs(1);
        workload.probe.failure_threshold = NonZeroU32::new(2).unwrap();
        let (backend, mut status, replica) = running(site, options, &workload).await;
        let address = replica.address().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head("POST /hang", 0).as_bytes()).await.unwrap();

        let again = |pod: Option<&Pod>| restarts(pod) > 0;
        until_object(&api::<Pod>(site), replica.id.as_str(), "it is started again", again).await;
        let is_back =
            |status: &Status| is_healthy(status) && status.replicas.iter().any(|each| each.id == replica.id);
        until(&mut status, "it is ready again", is_back).await;
        assert!(asked(address, "GET /").await.ends_with("well\n"), "the same pod serves again");
        let words = ["POST /hang\n", "Unhealthy: Liveness probe failed"];
        until_told(&backend, &workload, 100, &words).await;
        backend.remove(&workload.id).await.unwrap();
    })
    .await;
}

/// The request is finished only once the log has told that the signal came: no timing decides.
#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_2_a_request_in_flight_is_finished_when_its_pod_is_deleted() {
    on_a_cluster(async |site| {
        if !site.real_node("a pod that is told to go") {
            return;
        }
        let mut options = site.options();
        options.drain_notice = Duration::from_secs(15);
        let mut workload = workload(site, "iris");
        workload.termination_grace = Duration::from_secs(100);
        let (backend, mut status, replica) = running(site, options, &workload).await;
        let (address, pods) = (replica.address().unwrap(), api::<Pod>(site));
        let follow = LogParams { follow: true, ..LogParams::default() };
        let mut lines = pods.log_stream(replica.id.as_str(), &follow).await.unwrap().lines();

        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head("POST /score", 5).as_bytes()).await.unwrap();
        stream.write_all(b"he").await.unwrap();
        until_line(&mut lines, "POST /score").await;
        pods.delete(replica.id.as_str(), &DeleteParams::default()).await.unwrap();
        let is_leaving = |status: &Status| {
            let of = status.replicas.iter().find(|each| each.id == replica.id);
            of.is_some_and(|each| each.state == ReplicaState::Terminating)
        };
        until(&mut status, "it leaves", is_leaving).await;
        let late = portrait(address).await;
        assert_eq!(late["user"], "65532", "who was not told yet is served until the notice is over");

        until_line(&mut lines, "GET /self").await;
        until_line(&mut lines, "told to go").await;
        stream.write_all(b"llo").await.unwrap();
        let answer = rest_of(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nhello"), "{answer}");
        until_line(&mut lines, "all is answered").await;
        backend.remove(&workload.id).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_a_replica_has_no_rights_that_it_does_not_need() {
    on_a_cluster(async |site| {
        if !site.real_node("what a container may do") {
            return;
        }
        for read_only in [false, true] {
            let mut options = site.options();
            options.read_only_root = read_only;
            options.drain_notice = Duration::ZERO;
            options.owner = format!("root-{read_only}");
            let workload = workload(site, &format!("root-{read_only}"));
            let (backend, _, replica) = running(site, options, &workload).await;
            let found = portrait(replica.address().unwrap()).await;
            for (what, wanted) in [
                ("user", Value::from("65532")),
                ("capabilities", "0000000000000000".into()),
                ("no_new_privileges", "1".into()),
                ("seccomp", "2".into()),
                ("service_account_token", false.into()),
                ("writes_tmp", true.into()),
                // The image gives this folder to its user.
                ("writes_home", (!read_only).into()),
            ] {
                assert_eq!(found[what], wanted, "{what} in {found}");
            }
            backend.remove(&workload.id).await.unwrap();
            backend.shut_down().await.unwrap();
        }
    })
    .await;
}

/// The reference's registry, for example `127.0.0.1:5000`, and its repository.
fn repository(site: &Site) -> (&str, &str) {
    let named = site.image.split('@').next().unwrap();
    let (registry, repository) = named.split_once('/').expect("the image is in a registry");
    (registry, repository.split(':').next().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn r_run_4_an_image_that_cannot_be_pulled_or_may_not_run_is_a_finding() {
    on_a_cluster(async |site| {
        if !site.real_node("what a registry answers") {
            return;
        }
        let (registry, repository) = repository(site);
        let nothing = "0".repeat(64);
        let backend = backend(site, site.options()).await;
        for (endpoint, reference, phase, words) in [
            (
                "no-digest",
                format!("{registry}/{repository}@sha256:{nothing}"),
                Phase::Failed,
                "push the image",
            ),
            ("no-name", format!("{registry}/portway-none:1"), Phase::Failed, "push the image"),
            ("no-registry", "127.0.0.1:1/none:1".to_owned(), Phase::Unhealthy, "reach the registry"),
            ("as-root", format!("{registry}/{repository}:as-root"), Phase::Failed, "runAsNonRoot"),
        ] {
            let mut workload = workload(site, endpoint);
            workload.environment = Environment::Image { reference };
            let mut status = backend.watch(&workload.id).await.unwrap();
            backend.apply(&workload).await.unwrap();
            let shows = |status: &Status| status.phase == phase && status.message.contains(words);
            until(&mut status, words, shows).await;
            backend.remove(&workload.id).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_run_4_a_program_that_ends_is_told_with_its_last_line() {
    on_a_cluster(async |site| {
        if !site.real_node("a program that ends") {
            return;
        }
        let backend = backend(site, site.options()).await;
        let mut workload = workload(site, "iris");
        workload.variables.insert("STAND_IN_EXIT".into(), "3".into());
        let mut status = backend.watch(&workload.id).await.unwrap();
        backend.apply(&workload).await.unwrap();
        let words = "ended with exit code 3: there is no model: STAND_IN_EXIT is 3, started again once";
        let shows = |status: &Status| status.phase == Phase::Unhealthy && status.message.contains(words);
        until(&mut status, words, shows).await;
        let words = ["loading the model\nthere is no model", "BackOff: Back-off restarting failed container"];
        until_told(&backend, &workload, 100, &words).await;

        // What is mended works, and says so.
        workload.variables.clear();
        backend.apply(&workload).await.unwrap();
        let seen = until(&mut status, "it is mended", is_healthy).await;
        assert_eq!(seen.message, "");
        backend.remove(&workload.id).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_run_4_a_program_that_outgrows_its_memory_is_told_with_the_limit() {
    on_a_cluster(async |site| {
        if !site.real_node("a memory limit") {
            return;
        }
        let backend = backend(site, site.options()).await;
        let mut workload = workload(site, "iris");
        workload.resources.memory = MemoryMib(64);
        workload.resources.memory_limit = Some(MemoryMib(64));
        workload.variables.insert("STAND_IN_EATS_MIB".into(), "256".into());
        let mut status = backend.watch(&workload.id).await.unwrap();
        backend.apply(&workload).await.unwrap();
        let shows = |status: &Status| {
            status.message.contains("memory limit of 64Mi") && status.message.contains("give it more memory")
        };
        until(&mut status, "it is killed for its memory", shows).await;
        backend.remove(&workload.id).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_run_4_logs_are_those_of_the_program() {
    on_a_cluster(async |site| {
        if !site.real_node("a pod's log") {
            return;
        }
        let workload = workload(site, "iris");
        let (backend, _, replica) = running(site, site.options(), &workload).await;
        asked(replica.address().unwrap(), "POST /score").await;
        let words = ["serving on port 8080\nPOST /score\n", "Started: Started container replica"];
        let logs = until_told(&backend, &workload, 2, &words).await;
        assert!(logs.starts_with(&format!("==> {} <==\n", replica.id)), "{logs}");
        let pods: Api<Pod> = api(site);
        let one = LogParams { tail_lines: Some(1), ..LogParams::default() };
        assert_eq!(pods.logs(replica.id.as_str(), &one).await.unwrap(), "POST /score\n");
        backend.remove(&workload.id).await.unwrap();
    })
    .await;
}
