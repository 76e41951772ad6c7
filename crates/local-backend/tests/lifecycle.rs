//! The documented sequence on one machine: unpack, run, save, clear away (RUN-1).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::time::Duration;

use common::{
    Place, SERVER, address, eventually, get, id, is_alive, numbers_after, only_entry, settled, until,
};
use portway_backend::{Artifacts, Backend as _, Fence, Fleet as _, ReplicaState, Status, WorkloadId};
use portway_local_backend::LocalBackend;

fn first() -> WorkloadId {
    id("iris", "first")
}

fn absent(status: &Status) -> bool {
    *status == Status::absent()
}

#[tokio::test]
async fn r_run_1_a_script_runs_in_its_project_and_leaves_its_log_and_outputs() {
    let script = "
import json, os, sys
report = {'arguments': sys.argv[1:], 'model': open('models/weights.txt').read(), 'temporary': os.environ['TMPDIR'],
          'greeting': os.environ['GREETING'], 'endpoint': os.environ['PORTWAY_ENDPOINT'], 'folder': os.getcwd(),
          'models': os.environ['AZUREML_MODEL_DIR']}
print('report', json.dumps(report, sort_keys=True), file=sys.stderr)
os.makedirs('outputs/deep'); open('outputs/deep/result.txt', 'w').write('saved')
";
    let place = Place::new().await;
    let files = [("serve.py", &*format!("{script}{SERVER}")), ("models/weights.txt", "0.5")];
    let mut workload = place.workload(first(), &files).await;
    workload.program.arguments = vec!["--work-ms".into(), "a b".into()];
    workload.variables.insert("GREETING".into(), "hello".into());
    place.backend.apply(&workload).await.unwrap();
    let mut status = place.watch(&first()).await;
    let ready = until(&mut status, "it comes", settled).await;

    let folder = only_entry(&place.folder.path().canonicalize().unwrap().join("run"));
    let project = folder.join("project").display().to_string();
    let log = place.backend.logs(&first(), 20).await.unwrap();
    let report = log.lines().find_map(|line| line.strip_prefix("report ")).expect("the script reports");
    let temporary = folder.join("tmp").display().to_string();
    assert_eq!(
        report,
        format!(
            r#"{{"arguments": ["--work-ms", "a b"], "endpoint": "iris", "folder": "{project}", "greeting": "hello", "model": "0.5", "models": "{project}", "temporary": "{temporary}"}}"#
        )
    );

    place.backend.scale(&first(), 0, &[], Fence::new(1)).await.unwrap();
    until(&mut status, "it goes", settled).await;
    assert!(!folder.exists(), "the temporary folder is removed");
    let log = place.backend.logs(&first(), 20).await.unwrap();
    assert!(log.contains("report ") && log.contains("portway: ended"), "the log is kept: {log}");
    let saved = place.backend.list("outputs/iris/first").await.unwrap();
    let name = format!("outputs/iris/first/{}/deep/result.txt", ready.replicas[0].id);
    assert_eq!(saved.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), [name]);
}

#[tokio::test]
async fn what_a_program_started_ends_with_it() {
    let script = "
import os, subprocess
child = subprocess.Popen(['sleep', '1000'])
escaped = subprocess.Popen(['sleep', '1000'], start_new_session=True)
print('family', child.pid, escaped.pid, flush=True)
";
    let place = Place::new().await;
    let workload = place.workload(first(), &[("serve.py", &format!("{script}{SERVER}"))]).await;
    place.backend.apply(&workload).await.unwrap();
    let mut status = place.watch(&first()).await;
    until(&mut status, "it comes", settled).await;
    let family = numbers_after(&place.backend.logs(&first(), 20).await.unwrap(), "family ");
    assert!(family.len() == 2 && family.iter().all(|pid| is_alive(*pid)));
    place.backend.remove(&first()).await.unwrap();
    until(&mut status, "it goes", absent).await;
    // Other systems do not show the environment of a process that left its group.
    let reached = if cfg!(target_os = "linux") { &family[..] } else { &family[..1] };
    eventually("all of them go", async || !reached.iter().any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn a_program_that_ignores_its_orders_is_killed_after_its_grace() {
    let script = format!("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SERVER}");
    let place = Place::new().await;
    let mut workload = place.workload(first(), &[("serve.py", &script)]).await;
    workload.termination_grace = Duration::from_millis(50);
    place.backend.apply(&workload).await.unwrap();
    let mut status = place.watch(&first()).await;
    until(&mut status, "it comes", settled).await;
    place.backend.scale(&first(), 0, &[], Fence::new(1)).await.unwrap();
    until(&mut status, "it goes", settled).await;
    let log = place.backend.logs(&first(), 20).await.unwrap();
    assert!(log.contains("did not stop in time and is killed"), "{log}");
}

#[tokio::test]
async fn a_replica_that_is_not_ready_yet_can_be_told_to_go() {
    let place = Place::new().await;
    let script = "import time; print('waiting', flush=True); time.sleep(1000)";
    place.backend.apply(&place.workload(first(), &[("serve.py", script)]).await).await.unwrap();
    let mut status = place.watch(&first()).await;
    let starts = async || place.backend.logs(&first(), 20).await.unwrap().contains("waiting\n");
    eventually("it starts", starts).await;
    assert_eq!(status.borrow().replicas[0].state, ReplicaState::Starting);
    place.backend.remove(&first()).await.unwrap();
    until(&mut status, "it goes", absent).await;
}

#[tokio::test]
async fn shutting_down_leaves_nothing_and_the_next_run_takes_up_what_was_wanted() {
    let place = Place::new().await;
    place.backend.apply(&place.workload(first(), &[("serve.py", SERVER)]).await).await.unwrap();
    place.backend.scale(&first(), 2, &[], Fence::new(1)).await.unwrap();
    let mut status = place.watch(&first()).await;
    let before = until(&mut status, "two come", settled).await;
    let mut pids = Vec::new();
    for address in before.replicas.iter().filter_map(portway_backend::Replica::address) {
        pids.push(get(address, "/").await.unwrap().1.parse().unwrap());
    }
    // A name may go while its workload stays.
    Artifacts::delete(&place.backend, &"projects/iris/first.tar".parse().unwrap()).await.unwrap();
    place.backend.shut_down().await;
    assert!(pids.len() == 2 && !pids.iter().any(|pid| is_alive(*pid)));
    let left: Vec<_> = std::fs::read_dir(place.folder.path().join("run")).unwrap().collect();
    assert!(left.is_empty(), "{left:?} {}", place.backend.logs(&first(), 20).await.unwrap());
    let error = place.backend.scale(&first(), 3, &[], Fence::new(1)).await.unwrap_err();
    assert!(error.to_string().contains("shutting down"), "{error}");
    let Place { folder, backend } = place;
    drop((backend, status));

    // The folder is free at once.
    let backend = LocalBackend::open(folder.path()).await.unwrap();
    let mut status = backend.watch(&first()).await.unwrap();
    let after = until(&mut status, "two come again", settled).await;
    assert_eq!(after.wanted, 2);
    assert!(after.replicas.iter().all(|replica| before.replicas.iter().all(|old| old.id != replica.id)));
    backend.shut_down().await;
}

#[tokio::test]
async fn the_number_to_begin_with_changes_nothing_later() {
    let place = Place::new().await;
    let mut workload = place.workload(first(), &[("serve.py", SERVER)]).await;
    place.backend.apply(&workload).await.unwrap();
    let mut status = place.watch(&first()).await;
    let before = until(&mut status, "one comes", settled).await;
    workload.initial_replicas = 5;
    place.backend.apply(&workload).await.unwrap();
    assert_eq!((&status.borrow().replicas, status.borrow().wanted), (&before.replicas, 1));
    assert_eq!(get(address(&before), "/").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_damaged_record_is_told_and_written_anew_by_an_apply() {
    let place = Place::new().await;
    let workload = place.workload(first(), &[("serve.py", SERVER)]).await;
    place.backend.apply(&workload).await.unwrap();
    place.backend.shut_down().await;
    let Place { folder, backend } = place;
    drop(backend);
    std::fs::write(folder.path().join("workloads/iris.first"), "garbage").unwrap();

    let backend = LocalBackend::open(folder.path()).await.unwrap();
    let mut status = backend.watch(&first()).await.unwrap();
    let told = until(&mut status, "it is told", |status| !status.message.is_empty()).await;
    assert!(told.message.contains("workloads/iris.first is damaged"), "{}", told.message);
    backend.apply(&workload).await.unwrap();
    until(&mut status, "it comes", settled).await;
    backend.shut_down().await;
}
