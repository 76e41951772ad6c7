//! A replica is killed with a request inside and another behind it: deployer, gateway and local backend together.

#[allow(dead_code, reason = "the quickstart uses the rest")]
#[path = "../quickstart/client.rs"]
mod client;
#[allow(dead_code, reason = "the quickstart uses the rest")]
#[path = "../quickstart/iris.rs"]
mod iris;

use std::num::NonZeroU32;
use std::process::Command;
use std::sync::Arc;

use client::{Answer, Client, Target};
use portway_auth::KeySlot;
use portway_backend::Environment;
use portway_deploy_config::{EndpointSpec, Replicas, ServiceName, VersionSpec};
use portway_deployer::{Deployer, GivenImage, Source, scoring_path};
use portway_gateway::{Gateway, serve};
use portway_local_backend::LocalBackend;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The first request that says `hold` is held until its replica dies; all others are answered with the process.
const SCRIPT: &str = r#"
import os
import pathlib
import threading

def init():
    pass

def run(data):
    held = pathlib.Path(os.environ["HELD"])
    if "hold" in data and not held.exists():
        held.touch()
        threading.Event().wait()
    return {"process": os.getpid()}
"#;

struct World {
    backend: Arc<LocalBackend>,
    gateway: Gateway,
    target: Target,
    _folder: TempDir,
}

impl World {
    async fn open(idempotent: bool) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let project = folder.path().join("project");
        std::fs::create_dir(&project)?;
        std::fs::write(project.join("score.py"), SCRIPT)?;
        let backend = Arc::new(LocalBackend::open(folder.path().join("state")).await?);
        let python = Command::new("sh").args(["-c", "command -v python3"]).output()?.stdout;
        let python = String::from_utf8(python)?.trim_end().into();
        let images = Arc::new(GivenImage(Environment::Interpreter { python }));
        let deployer = Deployer::new(backend.clone(), backend.clone(), backend.clone(), images);

        let gateway = Gateway::builder(backend.clone(), backend.clone()).build();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let control = gateway.start();
        tokio::spawn({
            let gateway = gateway.clone();
            async move {
                let _control = control;
                serve(listener, gateway, std::future::pending()).await
            }
        });

        let service: ServiceName = "held".parse()?;
        let mut version = VersionSpec::new("only".parse()?);
        version.replicas = Replicas::Fixed(NonZeroU32::MIN);
        let mut endpoint = EndpointSpec::new(service.clone(), version);
        endpoint.idempotent = idempotent;
        let mut source = Source::new(project, "score.py");
        source.variables.insert("HELD".into(), folder.path().join("held").display().to_string());
        deployer.deploy(endpoint, source).await?.wait().await?;
        let key = deployer.keys(&service).await?.key(KeySlot::Primary).expose().to_owned();
        let target = Target { address, path: scoring_path(&service), key };
        Ok(Self { backend, gateway, target, _folder: folder })
    }

    async fn score(&self, body: &'static str) -> anyhow::Result<Answer> {
        Client::new(self.target.clone()).score(body.into(), None).await
    }

    /// Waits until the gateway has `inside` requests in replicas and `queued` behind them.
    async fn until(&self, inside: u32, queued: u32) {
        loop {
            let snapshot = self.gateway.snapshot();
            if snapshot
                .version("held", "only")
                .is_some_and(|seen| (seen.in_flight, seen.queued) == (inside, queued))
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

/// Kills the replica once one request is inside and one waits; the answers to the two.
async fn killed_under(world: World) -> anyhow::Result<[u16; 2]> {
    // The document reaches the gateway by itself, in its own time.
    let process = loop {
        let answer = world.score("{}").await?;
        if let Some(process) = answer.process() {
            break process;
        }
    };
    let world = Arc::new(world);
    let ask = |body| {
        let world = world.clone();
        tokio::spawn(async move { world.score(body).await })
    };
    let inside = ask("\"hold\"");
    world.until(1, 0).await;
    let behind = ask("{}");
    world.until(1, 1).await;
    let killed = Command::new("sh").args(["-c", &format!("kill -9 {process}")]).status()?;
    assert!(killed.success());
    let statuses = [inside.await??.status, behind.await??.status];
    world.backend.shut_down().await;
    Ok(statuses)
}

#[tokio::test(flavor = "multi_thread")]
async fn r_rtr_9_without_the_idempotent_flag_exactly_the_request_inside_gets_one_502() -> anyhow::Result<()> {
    assert_eq!(killed_under(World::open(false).await?).await?, [502, 200]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r_rtr_9_with_the_idempotent_flag_nobody_sees_an_error() -> anyhow::Result<()> {
    assert_eq!(killed_under(World::open(true).await?).await?, [200, 200]);
    Ok(())
}
