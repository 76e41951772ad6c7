//! Nobody sees an error while replicas go (RTR-8).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{Place, SERVER, address, eventually, get, id, settled, until};
use portway_backend::{Backend as _, EntryStyle, Fence, Fleet as _, ReplicaState, Status, WorkloadId};
use portway_local_backend::Options;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Holds a request until a file exists.
const HOLD: &str = "
import os, time
def hold():
    print('holding', flush=True)
    while not os.path.exists(os.environ['RELEASE']): time.sleep(0.01)
    print('released', flush=True)
";

fn first() -> WorkloadId {
    id("iris", "first")
}

fn is_going(status: &Status) -> bool {
    status.replicas.iter().any(|replica| replica.state == ReplicaState::Terminating)
}

/// A replica of `script` whose request to `path` is held, and the answer that it will get.
async fn holding(
    place: &Place,
    script: &str,
    style: EntryStyle,
    path: &'static str,
    release: &Path,
) -> tokio::task::JoinHandle<Option<(u16, String)>> {
    let mut workload = place.workload(first(), &[("score.py", &format!("{HOLD}{script}"))]).await;
    workload.program.style = style;
    workload.variables.insert("RELEASE".into(), release.display().to_string());
    place.backend.apply(&workload).await.unwrap();
    let ready = until(&mut place.watch(&first()).await, "it comes", settled).await;
    let answer = tokio::spawn(async move { get(address(&ready), path).await });
    eventually("the request is under way", async || log(place).await.contains("holding\n")).await;
    answer
}

async fn log(place: &Place) -> String {
    place.backend.logs(&first(), 50).await.unwrap()
}

#[track_caller]
fn assert_in_order(log: &str, parts: &[&str]) {
    let places: Vec<_> = parts.iter().map(|part| log.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{parts:?} in {log}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn r_rtr_8_a_program_that_knows_nothing_of_draining_finishes_its_request() {
    let place = Place::new().await;
    let release = place.folder.path().join("release");
    let script =
        SERVER.replace("def do_GET(self):", "def do_GET(self):\n        if self.path == '/hold': hold()");
    let answer = holding(&place, &script, EntryStyle::Listens, "/hold", &release).await;
    let mut status = place.watch(&first()).await;
    place.backend.scale(&first(), 0, &[], Fence::new(1)).await.unwrap();
    until(&mut status, "it is shown to be going", is_going).await;
    std::fs::write(&release, "").unwrap();
    assert_eq!(answer.await.unwrap().expect("the request is answered").0, 200);
    until(&mut status, "it goes", settled).await;
    assert_in_order(&log(&place).await, &["going away", "released", "told to stop", "ended"]);
}

#[tokio::test]
async fn r_rtr_8_a_script_behind_the_shim_finishes_its_request_after_it_was_told_to_stop() {
    let place = Place::new().await;
    let release = place.folder.path().join("release");
    let script = "def init(): pass\ndef run(data): hold(); return 'done'";
    let answer = holding(&place, script, EntryStyle::InitRun, "/score", &release).await;
    let mut status = place.watch(&first()).await;
    // A connection that waits for its next request holds nobody up.
    let mut idle = TcpStream::connect(address(&status.borrow())).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 12]).await.unwrap();
    place.backend.scale(&first(), 0, &[], Fence::new(1)).await.unwrap();
    eventually("it is told", async || log(&place).await.contains("told to stop")).await;
    std::fs::write(&release, "").unwrap();
    assert_eq!(answer.await.unwrap(), Some((200, "\"done\"".into())));
    until(&mut status, "it goes", settled).await;
    assert!(!log(&place).await.contains("is killed"));
}

#[tokio::test]
async fn a_replica_that_was_drained_is_told_at_once_even_if_it_was_going_already() {
    let place = Place::with(Options::new().drain_notice(Duration::from_secs(3600))).await;
    let mut workload = place.workload(first(), &[("serve.py", SERVER)]).await;
    workload.initial_replicas = 2;
    place.backend.apply(&workload).await.unwrap();
    let mut status = place.watch(&first()).await;
    let two = until(&mut status, "two come", settled).await;
    // Idle connections stay open.
    let mut idle = Vec::new();
    for address in two.replicas.iter().filter_map(portway_backend::Replica::address) {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let [one, other] = [0, 1].map(|index| two.replicas[index].id.clone());
    place.backend.scale(&first(), 1, std::slice::from_ref(&one), Fence::new(1)).await.unwrap();
    until(&mut status, "the drained one goes", settled).await;
    place.backend.scale(&first(), 0, &[], Fence::new(1)).await.unwrap();
    until(&mut status, "the other is going", is_going).await;
    place.backend.scale(&first(), 0, &[other], Fence::new(1)).await.unwrap();
    until(&mut status, "the other goes", settled).await;
}

#[tokio::test]
async fn r_rtr_8_a_rolling_update_under_traffic_fails_no_request() {
    let place = Place::with(Options::new().drain_notice(Duration::from_secs(1))).await;
    let mut workload = place.workload(first(), &[("serve.py", SERVER)]).await;
    workload.initial_replicas = 2;
    place.backend.apply(&workload).await.unwrap();
    let mut status = place.watch(&first()).await;
    let old = until(&mut status, "two come", settled).await;

    let (answered, seen) = (Arc::new(AtomicU32::new(0)), status.clone());
    let count = Arc::clone(&answered);
    let traffic = tokio::spawn(async move {
        loop {
            let ready: Vec<_> =
                seen.borrow().replicas.iter().filter_map(portway_backend::Replica::address).collect();
            let turn = count.fetch_add(1, Ordering::Relaxed) as usize;
            let address = ready[turn % ready.len()];
            assert_eq!(get(address, "/score").await.expect("it is answered").0, 200);
        }
    });
    workload.variables.insert("CHANGED".into(), "yes".into());
    place.backend.apply(&workload).await.unwrap();
    let replaced = |status: &Status| {
        settled(status)
            && status.replicas.iter().all(|replica| old.replicas.iter().all(|old| old.id != replica.id))
    };
    let never_fewer = |status: &Status| {
        assert!(status.ready() >= 2, "{status:?}");
        replaced(status)
    };
    until(&mut status, "both are replaced", never_fewer).await;
    assert!(!traffic.is_finished(), "{:?}", traffic.await);
    traffic.abort();
    assert!(answered.load(Ordering::Relaxed) > 2);
}
