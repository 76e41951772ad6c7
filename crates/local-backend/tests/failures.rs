//! What does not work says why, what to do, and leaves nothing running.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Place, SERVER, address, eventually, get, id, is_alive, settled, until};
use portway_backend::{
    Backend as _, Environment, ErrorKind, Fence, Fleet as _, Phase, Status, Workload, WorkloadId,
};
use portway_local_backend::Options;
use tokio::sync::watch;

/// Restarts without waiting.
fn hasty() -> Options {
    let soon = Duration::from_millis(1);
    Options::new().drain_notice(soon).restart_delays(soon, soon).probe_interval(Duration::from_millis(10))
}

fn first() -> WorkloadId {
    id("iris", "first")
}

/// Applies a script and waits until its workload has failed.
async fn failed(script: &str, change: impl FnOnce(&mut Workload)) -> (Place, Arc<Status>) {
    let place = Place::with(hasty().starts_before_giving_up(2)).await;
    let mut workload = place.workload(first(), &[("score.py", script)]).await;
    change(&mut workload);
    place.backend.apply(&workload).await.unwrap();
    let mut status = place.watch(&first()).await;
    let last = until(&mut status, "it fails", |status| status.phase == Phase::Failed).await;
    (place, last)
}

#[track_caller]
fn assert_says(status: &Status, parts: &[&str]) {
    for part in parts {
        assert!(status.message.contains(part), "{part:?} is not in {:?}", status.message);
    }
}

#[tokio::test]
async fn r_run_4_a_missing_script_is_named_with_what_is_there() {
    let (_place, status) = failed("", |workload| workload.program.script = Some("scorre.py".into())).await;
    assert_says(
        &status,
        &["no entry script \"scorre.py\"", "which holds score.py", "apply the workload again"],
    );
}

#[tokio::test]
async fn r_run_4_a_missing_python_is_named() {
    let python = Environment::Interpreter { python: "/nowhere/bin/python3".into() };
    let (_place, status) = failed("", |workload| workload.environment = python).await;
    assert_says(&status, &["there is no Python at /nowhere/bin/python3", "install it"]);
}

#[tokio::test]
async fn r_run_4_a_script_that_crashes_at_once_is_tried_and_given_up_with_its_last_line() {
    let (place, status) = failed("print('warming up')\nimport sklern", |_| {}).await;
    assert_says(&status, &["exit status 1", "before it answered on $PORT", "No module named 'sklern'"]);
    let log = place.backend.logs(&first(), 50).await.unwrap();
    assert_eq!(log.matches("warming up").count(), 2, "each start has its log: {log}");
    assert!(std::fs::read_dir(place.folder.path().join("run")).unwrap().next().is_none(), "nothing is left");
}

/// Applies a script that is given half a second to answer, again and again: on a busy machine the interpreter alone may
/// need longer.
async fn impatient(script: &str) -> (Place, watch::Receiver<Arc<Status>>) {
    let place = Place::with(hasty().starts_before_giving_up(u32::MAX)).await;
    let mut workload = place.workload(first(), &[("score.py", script)]).await;
    workload.probe.initial_delay = Duration::from_millis(470);
    workload.probe.period = Duration::from_millis(10);
    place.backend.apply(&workload).await.unwrap();
    let status = place.watch(&first()).await;
    (place, status)
}

#[tokio::test]
async fn r_run_4_a_script_that_does_not_listen_is_ended_and_told_how_to() {
    let script = "import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(1000)";
    let (place, mut status) = impatient(script).await;
    let told = until(&mut status, "it is told", |status| status.message.contains("last line: pid")).await;
    assert_says(&told, &["was not ready within 500ms", "nothing listens on $PORT", "let the script listen"]);
    place.backend.remove(&first()).await.unwrap();
    until(&mut status, "it goes", |status| *status == Status::absent()).await;
    let words: Vec<&str> = told.message.split_whitespace().collect();
    assert!(!is_alive(words.last().unwrap().parse().unwrap()), "{}", told.message);
}

#[tokio::test]
async fn r_run_4_garbage_on_the_port_and_in_the_log_is_said_to_be_that() {
    let script = "
import os, socket, sys
sys.stdout.buffer.write(bytes(range(256)) + b'\\n\\x1b[2Jlast words\\xff\\n'); sys.stdout.flush()
listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('127.0.0.1', int(os.environ['PORT']))); listener.listen()
while True:
    stream, _ = listener.accept()
    stream.recv(1000); stream.sendall(bytes(range(256))); stream.close()
";
    let (_place, mut status) = impatient(script).await;
    let told = until(&mut status, "it is told", |status| status.message.contains("is not HTTP")).await;
    assert_says(&told, &["what answers on $PORT is not HTTP", "last words\u{fffd}"]);
    assert!(!told.message.contains('\x1b'));
}

#[tokio::test]
async fn r_run_4_what_had_worked_is_started_again_for_ever() {
    let place = Place::with(hasty().starts_before_giving_up(2)).await;
    place.backend.apply(&place.workload(first(), &[("serve.py", SERVER)]).await).await.unwrap();
    let mut status = place.watch(&first()).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let now =
            until(&mut status, "one is ready", |status| settled(status) && !seen.contains(&status.replicas))
                .await;
        seen.push(now.replicas.clone());
        let (_, pid) = get(address(&now), "/").await.unwrap();
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let broken = until(&mut status, "it is noticed", |status| !settled(status)).await;
        assert!(broken.ready() == 0, "{broken:?}");
    }
    until(&mut status, "one is ready", settled).await;
}

#[tokio::test]
async fn a_replica_whose_guard_was_killed_is_replaced_before_it_can_be_orphaned() {
    let place = Place::with(hasty()).await;
    place.backend.apply(&place.workload(first(), &[("serve.py", SERVER)]).await).await.unwrap();
    let mut status = place.watch(&first()).await;
    let before = until(&mut status, "one comes", settled).await;
    let program: i32 = get(address(&before), "/").await.unwrap().1.parse().unwrap();
    let guard = rustix::process::getpgid(rustix::process::Pid::from_raw(program)).unwrap();
    assert_ne!(guard.as_raw_pid(), program, "the guard leads the group");
    rustix::process::kill_process(guard, rustix::process::Signal::KILL).unwrap();
    let told = until(&mut status, "it is noticed", |status| !status.message.is_empty()).await;
    assert_says(&told, &["lost its guard"]);
    until(&mut status, "another comes", settled).await;
    assert!(!is_alive(program));
}

#[tokio::test]
async fn r_run_4_a_replica_that_hangs_is_replaced() {
    // After /hang it answers nothing any more.
    let hangs = "def do_GET(self):
        if hung: time.sleep(1000)
        if self.path == '/hang': hung.append(1)";
    let script = format!("import time; hung = []\n{}", SERVER.replace("def do_GET(self):", hangs));
    let place = Place::with(hasty().starts_before_giving_up(u32::MAX)).await;
    let mut workload = place.workload(first(), &[("serve.py", &script)]).await;
    workload.probe.period = Duration::from_millis(10);
    workload.probe.initial_delay = Duration::from_secs(1);
    workload.probe.timeout = Duration::from_millis(500);
    place.backend.apply(&workload).await.unwrap();
    let mut status = place.watch(&first()).await;
    let before = until(&mut status, "one comes", settled).await;
    assert_eq!(get(address(&before), "/hang").await.unwrap().0, 200);
    let noticed = until(&mut status, "it is noticed", |status| status.phase == Phase::Unhealthy).await;
    assert_says(&noticed, &["did not answer its liveness probes", "does not answer GET /"]);
    let after =
        until(&mut status, "another comes", |status| settled(status) && status.replicas != before.replicas)
            .await;
    assert!(get(address(&after), "/").await.is_some());
}

#[tokio::test]
async fn a_port_that_somebody_else_took_is_not_the_scripts_fault() {
    // The first three starts find their port taken, as if another program had been faster.
    let script = format!(
        "
import os, pathlib, socket, sys
count = pathlib.Path(os.environ['COUNT']); tries = int(count.read_text() or 0) if count.exists() else 0
count.write_text(str(tries + 1))
if tries < 3: sys.exit('OSError: [Errno 98] Address already in use')
{SERVER}"
    );
    let place = Place::with(hasty().starts_before_giving_up(1)).await;
    let mut workload = place.workload(first(), &[("serve.py", &script)]).await;
    let count = place.folder.path().join("count").display().to_string();
    workload.variables.insert("COUNT".into(), count);
    place.backend.apply(&workload).await.unwrap();
    let mut status = place.watch(&first()).await;
    until(&mut status, "the fourth start works", settled).await;
}

#[tokio::test]
async fn a_failed_workload_gets_another_chance_with_the_next_apply() {
    let (place, _) = failed("import sys; sys.exit('broken')", |_| {}).await;
    let mut status = place.watch(&first()).await;
    let mended = place.workload(first(), &[("score.py", SERVER)]).await;
    place.backend.apply(&mended).await.unwrap();
    until(&mut status, "it works", settled).await;
}

#[tokio::test]
async fn an_update_that_fails_leaves_the_old_replica_serving() {
    let place = Place::with(hasty()).await;
    place.backend.apply(&place.workload(first(), &[("score.py", SERVER)]).await).await.unwrap();
    let mut status = place.watch(&first()).await;
    let before = until(&mut status, "one comes", settled).await;
    let broken = place.workload(first(), &[("score.py", "import sys; sys.exit('broken')")]).await;
    place.backend.apply(&broken).await.unwrap();
    let log = async || place.backend.logs(&first(), 9).await.unwrap().matches("broken\n").count() >= 2;
    eventually("the update is tried", log).await;
    let after = until(&mut status, "that is told", |status| status.phase == Phase::Unhealthy).await;
    assert_says(&after, &["broken"]);
    assert_eq!(after.replicas[0], before.replicas[0]);
    assert_eq!(get(address(&before), "/").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_project_that_cannot_be_had_is_refused_or_named() {
    let place = Place::with(hasty()).await;
    let mut absent = place.workload(first(), &[("score.py", "")]).await;
    absent.program.project.as_mut().unwrap().artifact = "projects/absent.tar".parse().unwrap();
    let error = place.backend.apply(&absent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("projects/absent.tar"), "{error}");

    let mut garbage = place.workload(first(), &[("score.py", "")]).await;
    let name = "projects/garbage.tar".parse().unwrap();
    let bytes = bytes::Bytes::from_static(b"this is no archive");
    let bytes = Box::pin(futures_util::stream::iter([Ok(bytes)]));
    let info = portway_backend::Artifacts::put(&place.backend, &name, bytes, None).await.unwrap();
    garbage.program.project = Some(portway_backend::Project { artifact: name, digest: info.digest });
    place.backend.apply(&garbage).await.unwrap();
    let mut status = place.watch(&first()).await;
    let failed = until(&mut status, "it fails", |status| status.phase == Phase::Failed).await;
    assert_says(&failed, &["projects/garbage.tar cannot be unpacked", "tar archive"]);
}

#[tokio::test]
async fn what_has_no_room_is_unschedulable_until_there_is_some() {
    let place = Place::with(hasty().max_replicas(2)).await;
    let (one, other) = (first(), id("iris", "second"));
    let mut workload = place.workload(one.clone(), &[("serve.py", SERVER)]).await;
    workload.initial_replicas = 2;
    place.backend.apply(&workload).await.unwrap();
    until(&mut place.watch(&one).await, "two come", settled).await;
    workload.id = other.clone();
    place.backend.apply(&workload).await.unwrap();
    let mut status = place.watch(&other).await;
    let full = until(&mut status, "it is told", |status| status.phase == Phase::Unschedulable).await;
    assert_says(&full, &["no room for 2 of 2 replicas", "max_replicas"]);
    let error = place.backend.scale(&other, 3, &[], Fence::new(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Capacity);
    place.backend.remove(&one).await.unwrap();
    until(&mut status, "room is found", settled).await;
}
