//! Two versions of a model on a Kubernetes cluster, behind the gateway of the quickstart: only the seams are other ones.
//!
//! `cargo run --release --example on_kubernetes --features kubernetes -- --registry HOST/REPOSITORY` makes images of the
//! quickstart's project folders (or of yours), shows them live until Ctrl-C and takes everything away again; with
//! `--stable IMAGE --canary IMAGE` it runs images that you name: such an image listens on `$PORT`, answers `GET /` when it is
//! ready, and `POST /score`. `--once` runs a script of checks instead. The gateway is in this process, or with `--inside IMAGE`
//! in the cluster. `--help` names the rest; `k8s_doctor` says what stands in the way.

#[allow(dead_code, reason = "the quickstart uses the rest")]
#[path = "quickstart/client.rs"]
mod client;
#[path = "on_kubernetes/here.rs"]
mod here;
#[path = "on_kubernetes/house.rs"]
mod house;
#[path = "on_kubernetes/inside.rs"]
mod inside;
#[allow(dead_code, reason = "the quickstart uses the rest")]
#[path = "quickstart/iris.rs"]
mod iris;
#[path = "on_kubernetes/once.rs"]
mod once;
#[path = "on_kubernetes/options.rs"]
mod options;
#[path = "on_kubernetes/projects.rs"]
mod projects;
#[path = "quickstart/table.rs"]
mod table;

use std::process::ExitCode;
use std::time::Duration;

use portway_auth::KeySlot;
use portway_deploy_config::{EndpointSpec, Replicas, Share, VersionSpec};
use portway_deployer::{Event, Operation, Tags, scoring_path};
use tokio::signal::unix::{SignalKind, signal};

use client::{Load, Target};
use house::{Front, House};
use options::{HELP, Options, Wish};

#[tokio::main]
async fn main() -> ExitCode {
    let wish = match Wish::parse() {
        Ok(wish) => wish,
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let outcome = match wish {
        Wish::Help => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Wish::Remove(options) => house::remove_only(&options).await,
        Wish::Run(options) => run(&options).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let house = House::open(options).await?;
    let outcome = tokio::select! {
        outcome = demonstrate(options, &house) => outcome,
        signal = stop_signal() => signal,
    };
    println!("\ndraining, then removing everything …");
    let closed = house.close(options).await;
    outcome.and(closed)
}

async fn demonstrate(options: &Options, house: &House) -> anyhow::Result<()> {
    println!("\ndeploying version stable: {}", options.stable);
    // 90 % by being the default, which takes what no share assigns.
    let mut endpoint = EndpointSpec::new(options.service.clone(), version("stable", 0, options)?);
    endpoint.idempotent = true;
    watch(&house.deployer.deploy(endpoint, options.source(&options.stable)).await?).await?;

    println!("\ndeploying version canary: {}", options.canary);
    let canary = version("canary", 10, options)?;
    let source = options.source(&options.canary);
    watch(&house.deployer.create_version(&options.service, canary, Tags::default(), source).await?).await?;

    let key = house.deployer.keys(&options.service).await?.key(KeySlot::Primary).expose().to_owned();
    let target = Target { address: house.address(), path: scoring_path(&options.service), key };
    if options.once {
        return once::check(house, &target, options).await;
    }
    println!("\nscoring URI  {}\nprimary key  {}", target.uri(), target.key);
    println!("\nCtrl-C drains and removes everything.\n");
    let load = Load::start(&target, options.clients, Duration::from_millis(100));
    match &house.front {
        Front::Here(here) => table::show(&here.gateway, options.service.as_ref()).await?,
        Front::Inside(inside) => inside.show(&load).await,
    }
    load.stop().await;
    Ok(())
}

fn version(name: &str, percent: u8, options: &Options) -> anyhow::Result<VersionSpec> {
    let mut version = VersionSpec::new(name.parse()?);
    version.share = Share::percent(percent).unwrap_or_default();
    version.replicas = Replicas::Fixed(options.replicas);
    Ok(version)
}

/// Prints what an operation does, to its end.
async fn watch(operation: &Operation) -> anyhow::Result<()> {
    let mut events = operation.events();
    while let Some(event) = events.next().await {
        match event {
            Event::Began(_) | Event::Ended(_) => {}
            event => println!("  {event}"),
        }
    }
    operation.wait().await.map_err(|failure| {
        let logs = if failure.logs.is_empty() { "" } else { "\nlast lines of its replicas:\n" };
        anyhow::anyhow!("{failure}{logs}{}", failure.logs)
    })
}

/// Returns at Ctrl-C or SIGTERM.
async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
