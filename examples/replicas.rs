//! A script kept alive as two replicas on this machine: one is killed, another comes, and nothing is left at the end.
//!
//! `cargo run --example replicas`

use std::process::Command;

use anyhow::Context as _;
use portway_backend::{Backend, EntryStyle, Environment, Fence, Fleet, Phase, Program, Workload, WorkloadId};
use portway_local_backend::LocalBackend;

const SCRIPT: &str = "
def init(): print('loading the model')
def run(data): return {'length': len(data)}
";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("portway-replicas-{}", std::process::id()));
    let backend = LocalBackend::open(folder.join("state")).await?;
    let script = folder.join("score.py");
    std::fs::write(&script, SCRIPT)?;

    let found = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let python = String::from_utf8(found.context("this example needs python3")?.stdout)?.trim().into();
    let id = WorkloadId::new("lengths".parse()?, "first".parse()?);
    let mut program = Program::script(script.display().to_string());
    program.style = EntryStyle::InitRun;
    backend.apply(&Workload::new(id.clone(), program, Environment::Interpreter { python })).await?;
    backend.scale(&id, 2, &[], Fence::new(1)).await?;

    let mut status = Fleet::watch(&backend, &id).await?;
    let ready = status.wait_for(|status| status.phase == Phase::Healthy).await?.clone();
    for replica in &ready.replicas {
        println!("{} answers at {}", replica.id, replica.address().context("it is ready")?);
    }
    let log = backend.logs(&id, 9).await?;
    let process = log.lines().find_map(|line| line.strip_prefix("portway: started as process "));
    let process = process.and_then(|rest| rest.split(' ').next()).context("the log begins with the start")?;
    println!("killing process {process}");
    Command::new("sh").args(["-c", &format!("kill -KILL {process}")]).status()?;
    println!("{}", status.wait_for(|status| status.replicas != ready.replicas).await?.message);
    let again = status.wait_for(|status| status.phase == Phase::Healthy).await?.clone();
    println!("in its place came {}", again.replicas[1].id);

    print!("{}", backend.logs(&id, 3).await?);
    backend.shut_down().await;
    drop(backend);
    Ok(std::fs::remove_dir_all(folder)?)
}
