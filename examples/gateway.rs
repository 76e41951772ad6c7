//! A gateway that is set up by a file: endpoints and replicas written in it, a state folder whose workloads this process
//! runs, or a namespace of a Kubernetes cluster. SIGHUP reads the file again; SIGTERM and Ctrl-C drain.
//!
//! `cargo run --example gateway -- --config examples/gateway.toml`; for a cluster add `--features kubernetes`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use portway_gateway::config::{GatewayConfig, KubernetesSource, Source, StaticSource};
use portway_gateway::{Gateway, GatewayBuilder, listen, serve, serve_admin};
use portway_local_backend::LocalBackend;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn main() -> anyhow::Result<()> {
    let path = config_path()?;
    let config = read(&path)?;
    let access = if config.access_log { LevelFilter::INFO } else { LevelFilter::OFF };
    let filter =
        Targets::new().with_default(LevelFilter::INFO).with_target("portway_gateway::access", access);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines).with(filter).init();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        runtime.worker_threads(workers);
    }
    runtime.enable_all().build()?.block_on(run(&path, config))
}

async fn run(path: &Path, config: GatewayConfig) -> anyhow::Result<()> {
    let listener = listen(config.listen).await.with_context(|| format!("listen = {}", config.listen))?;
    // The file may leave the choice of a port to the system.
    let address = listener.local_addr()?;
    let stop = watch::Sender::new(false);
    let stopped = || {
        let mut stop = stop.subscribe();
        async move { drop(stop.wait_for(|stop| *stop).await) }
    };
    let (mut written, mut state) = (None, None);
    let builder = match &config.source {
        Source::Static(endpoints) => {
            let source = written.insert(StaticSource::new());
            source.replace(endpoints).await?;
            Gateway::builder(source.catalog(), source.fleet())
        }
        Source::State(folder) => {
            let backend = Arc::new(LocalBackend::open(folder).await?);
            state = Some(backend.clone());
            Gateway::builder(backend.clone(), backend.clone()).leases(backend)
        }
        Source::Kubernetes(cluster) => on_cluster(cluster).await?,
    };
    let gateway = builder.options(config.options.clone()).build();
    let control = gateway.start();
    if let Some(admin) = config.admin {
        let listener = listen(admin).await.with_context(|| format!("admin = {admin}"))?;
        tokio::spawn(serve_admin(listener, gateway.clone(), std::future::pending()));
    }
    let (mut hangup, mut end) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
    tokio::select! {
        () = gateway.ready() => {}
        _ = end.recv() => return Ok(()),
        _ = tokio::signal::ctrl_c() => return Ok(()),
    }
    let serving = tokio::spawn(serve(listener, gateway.clone(), stopped()));
    tracing::info!(listen = %address, admin = ?config.admin, "serving");

    loop {
        tokio::select! {
            _ = hangup.recv() => match reread(path, written.as_ref()).await {
                Ok(()) => tracing::info!("read the file again"),
                Err(error) => tracing::error!("the file is refused and what runs is kept: {error:#}"),
            },
            _ = end.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    tracing::info!("draining");
    stop.send_replace(true);
    serving.await??;
    control.stop().await;
    if let Some(backend) = state {
        backend.shut_down().await;
    }
    Ok(())
}

#[cfg(feature = "kubernetes")]
async fn on_cluster(source: &KubernetesSource) -> anyhow::Result<GatewayBuilder> {
    use portway_k8s_backend::{K8sBackend, Options};
    let mut options = Options::new();
    options.namespace.clone_from(&source.namespace);
    options.owner.clone_from(&source.owner);
    options.context.clone_from(&source.context);
    let backend = Arc::new(K8sBackend::connect(options).await?);
    Ok(Gateway::builder(backend.clone(), backend.clone()).leases(backend))
}

#[cfg(not(feature = "kubernetes"))]
async fn on_cluster(_: &KubernetesSource) -> anyhow::Result<GatewayBuilder> {
    bail!(
        "the file names a Kubernetes cluster, and this program was built without it; build it with --features kubernetes"
    )
}

/// Endpoints change while they are served; everything else in the file waits for a restart.
async fn reread(path: &Path, written: Option<&StaticSource>) -> anyhow::Result<()> {
    match (read(path)?.source, written) {
        (Source::Static(endpoints), Some(source)) => Ok(source.replace(&endpoints).await?),
        (Source::State(_) | Source::Kubernetes(_), None) => Ok(()),
        _ => bail!("another kind of source needs a restart"),
    }
}

fn read(path: &Path) -> anyhow::Result<GatewayConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    GatewayConfig::from_toml(&text).with_context(|| path.display().to_string())
}

fn config_path() -> anyhow::Result<PathBuf> {
    let mut arguments = lexopt::Parser::from_env();
    match arguments.next()? {
        Some(lexopt::Arg::Long("config")) => Ok(arguments.value()?.into()),
        _ => bail!("usage: gateway --config FILE.toml"),
    }
}
