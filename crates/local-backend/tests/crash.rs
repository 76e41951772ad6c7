//! Whatever kills the program that has the backend, no replica outlives it, and the next one goes on.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Place, SERVER, eventually, id, is_alive, numbers_after, settled, store, until};
use portway_backend::{
    Backend as _, Catalog, DocKey, DocKind, Document, Environment, Expected, Fence, Fleet, Program, Workload,
};
use portway_local_backend::{LocalBackend, Options};

const FOLDER: &str = "PORTWAY_CRASH_TEST_FOLDER";
/// Prints its own number, that of a child, and that of a grandchild that leaves the process group.
const FAMILY: &str = "
import os, subprocess
child = subprocess.Popen(['sleep', '1000'])
escaped = subprocess.Popen(['sleep', '1000'], start_new_session=True)
os.makedirs('outputs', exist_ok=True)
open('outputs/result.txt', 'w').write('precious')
print('group', os.getpid(), child.pid, flush=True)
print('escaped', escaped.pid, flush=True)
";

/// Not a test of its own: the program that is killed.
#[tokio::test]
#[ignore = "is run by another test"]
async fn a_program_that_will_be_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let backend = LocalBackend::open(folder).await.unwrap();
    let id = id("iris", "first");
    let script = format!("{FAMILY}{SERVER}");
    let mut program = Program::script("serve.py");
    program.project = Some(store(&backend, &id, &[("serve.py", &script)]).await);
    let workload = Workload::new(id.clone(), program, Environment::Interpreter { python: common::python() });
    backend.apply(&workload).await.unwrap();
    backend.scale(&id, 2, &[], Fence::new(7)).await.unwrap();
    let mut status = Fleet::watch(&backend, &id).await.unwrap();
    until(&mut status, "two replicas come", settled).await;
    println!("\n{}", backend.logs(&id, 20).await.unwrap());
    println!("standing");
    std::future::pending::<()>().await;
}

/// Not a test of its own: writes documents for ever, saying which are written.
#[tokio::test]
#[ignore = "is run by another test"]
async fn a_program_that_will_be_killed_while_it_writes() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let backend = LocalBackend::open(folder).await.unwrap();
    let key = DocKey::new(DocKind::Operation, "progress").unwrap();
    println!();
    for number in 0_u64.. {
        let document = Document::of(&vec![number; 1000]).unwrap();
        Catalog::put(&backend, &key, &document, Expected::Any).await.unwrap();
        match number {
            0..50 => println!("written {number}"),
            50 => println!("standing"),
            // Nobody listens any more; the blow falls in the middle of this.
            _ => {}
        }
    }
}

/// Starts one of the programs above; the process and what it printed before it said that it stands.
fn start_program(name: &str, folder: &Path) -> (std::process::Child, String) {
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(program.stdout.take().unwrap()).lines().map_while(Result::ok);
    let log: Vec<String> = lines.take_while(|line| line != "standing").collect();
    (program, log.join("\n"))
}

#[tokio::test]
async fn r_run_1_nothing_survives_kill_9_and_the_next_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let start = move || start_program("a_program_that_will_be_killed", &path);
    let (mut program, log) = tokio::task::spawn_blocking(start).await.unwrap();
    let (group, escaped) = (numbers_after(&log, "group "), numbers_after(&log, "escaped "));
    assert_eq!((group.len(), escaped.len()), (4, 2), "{log}");
    assert!(group.iter().chain(&escaped).all(|pid| is_alive(*pid)));

    program.kill().unwrap();
    program.wait().unwrap();
    eventually("the guards end their groups", async || !group.iter().any(|pid| is_alive(*pid))).await;

    let backend = Options::new().open(folder.path()).await.unwrap();
    eventually("what left its group is found", async || !escaped.iter().any(|pid| is_alive(*pid))).await;
    let saved = portway_backend::Artifacts::list(&backend, "outputs/iris/first").await.unwrap();
    assert_eq!(saved.len(), 2, "outputs of both replicas are saved");
    let id = id("iris", "first");
    let mut status = Fleet::watch(&backend, &id).await.unwrap();
    let again = until(&mut status, "two replicas come again", settled).await;
    assert_eq!(again.wanted, 2);
    let stale = backend.scale(&id, 1, &[], Fence::new(6)).await;
    assert_eq!(stale.unwrap_err().kind(), portway_backend::ErrorKind::Conflict, "the fence is remembered");
    let log = backend.logs(&id, 20).await.unwrap();
    assert_eq!(log.matches("==> ").count(), 4, "the logs of the killed replicas are kept: {log}");
    backend.shut_down().await;
}

#[tokio::test]
async fn a_dropped_backend_takes_its_replicas_with_it() {
    let place = Place::new().await;
    let id = id("iris", "first");
    let script = format!("import os; print('group', os.getpid(), flush=True)\n{SERVER}");
    place.backend.apply(&place.workload(id.clone(), &[("serve.py", &script)]).await).await.unwrap();
    let mut status = place.watch(&id).await;
    until(&mut status, "one comes", settled).await;
    let group = numbers_after(&place.backend.logs(&id, 20).await.unwrap(), "group ");
    let Place { folder, backend } = place;
    drop(backend);
    eventually("its replica goes", async || !is_alive(group[0])).await;
    assert_eq!(status.borrow().wanted, 1, "the last status stays readable");
    eventually("the folder is free again", async || LocalBackend::open(folder.path()).await.is_ok()).await;
}

#[tokio::test]
async fn a_document_that_was_written_survives_kill_9_and_none_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let key = DocKey::new(DocKind::Operation, "progress").unwrap();
    for _ in 0..3 {
        let path = folder.path().to_owned();
        let start = move || start_program("a_program_that_will_be_killed_while_it_writes", &path);
        let (mut program, log) = tokio::task::spawn_blocking(start).await.unwrap();
        program.kill().unwrap();
        program.wait().unwrap();
        assert_eq!(log.matches("written ").count(), 50, "{log}");

        let backend = LocalBackend::open(folder.path()).await.unwrap();
        let found: Vec<u64> = Catalog::get(&backend, &key).await.unwrap().unwrap().value.parse().unwrap();
        assert!(found.len() == 1000 && found[0] >= 50 && found.iter().all(|number| *number == found[0]));
        drop(backend);
        assert_eq!(std::fs::read_dir(folder.path().join("catalog/operation")).unwrap().count(), 1);
    }
}
