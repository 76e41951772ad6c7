//! A real model, served in two versions behind a gateway that splits, authenticates and scales, on this machine alone.
//!
//! `cargo run --release --example quickstart` shows it live until Ctrl-C; with `-- --once` it runs a script of checks and
//! exits 0 only if all of them held. It needs Python 3.7 or newer, no root and no network.

#[path = "quickstart/client.rs"]
mod client;
#[path = "quickstart/house.rs"]
mod house;
#[path = "quickstart/iris.rs"]
mod iris;
#[path = "quickstart/once.rs"]
mod once;
#[path = "quickstart/options.rs"]
mod options;
#[path = "quickstart/table.rs"]
mod table;

use std::process::ExitCode;
use std::time::Duration;

use portway_auth::KeySlot;
use portway_deploy_config::{AutoscaleSpec, EndpointSpec, Replicas, ServiceName, Share, VersionSpec};
use portway_deployer::{Event, Operation, Source, Tags, scoring_path};
use tokio::signal::unix::{SignalKind, signal};

use client::{Load, Target};
use house::House;
use options::{HELP, Options};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let house = House::open(options).await?;
    let service: ServiceName = "iris".parse()?;
    // What a run that was killed had deployed has been started again; this run begins anew.
    house::remove(&house.deployer, &service).await?;

    let outcome = tokio::select! {
        outcome = demonstrate(options, &house, &service) => outcome,
        signal = stop_signal() => signal,
    };
    println!("\ndraining, then removing everything …");
    let closed = house.close(&service).await;
    outcome.and(closed)
}

async fn demonstrate(options: &Options, house: &House, service: &ServiceName) -> anyhow::Result<()> {
    println!("gateway on http://{}, metrics and health on http://{}", house.address, house.admin);

    println!("\ndeploying version softmax: softmax regression, a script with init() and run()");
    let mut endpoint = EndpointSpec::new(service.clone(), version("softmax", 20)?);
    // Scoring is a pure function: what a dying replica has not answered may be asked of another one.
    endpoint.idempotent = true;
    watch(&house.deployer.deploy(endpoint, source(options, "softmax", "score.py")).await?).await?;

    println!("\ndeploying version bayes: naive Bayes, a program that listens on $PORT");
    let bayes = source(options, "bayes", "serve.py");
    watch(&house.deployer.create_version(service, version("bayes", 10)?, Tags::default(), bayes).await?)
        .await?;

    let key = house.deployer.keys(service).await?.key(KeySlot::Primary).expose().to_owned();
    let target = Target { address: house.address, path: scoring_path(service), key };
    if options.once {
        return once::check(house, &target, options).await;
    }
    print_usage(&target);
    let load = Load::start(&target, options.clients, Duration::from_millis(100));
    table::show(&house.gateway, service.as_ref()).await?;
    load.stop().await;
    Ok(())
}

/// A version that is scaled between one and four replicas.
fn version(name: &str, percent: u8) -> anyhow::Result<VersionSpec> {
    let mut version = VersionSpec::new(name.parse()?);
    version.share = Share::percent(percent).unwrap_or_default();
    version.replicas = Replicas::Auto(AutoscaleSpec::new(1, 4)?);
    Ok(version)
}

fn source(options: &Options, project: &str, script: &str) -> Source {
    let mut source = Source::new(iris::project(project), script);
    source.variables.insert("WORK_MS".into(), options.work.as_millis().to_string());
    source
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

fn print_usage(target: &Target) {
    println!("\nscoring URI  {}", target.uri());
    println!("primary key  {}", target.key);
    println!("\ntry it from another terminal:\n");
    println!("  curl -H 'Authorization: Bearer {}' \\", target.key);
    println!("    -d '{{\"data\": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}}' {}", target.uri());
    println!("\nCtrl-C drains and removes everything.\n");
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
