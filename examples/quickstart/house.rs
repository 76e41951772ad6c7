//! What the quickstart runs on: a backend, a deployer and a gateway on one machine. Changing the backend is one line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use portway_backend::Environment;
use portway_deploy_config::ServiceName;
use portway_deployer::{DeployError, Deployer, ImageError, Reaction, ResolvedImages};
use portway_gateway::{Control, Gateway, serve, serve_admin};
use portway_hashing::resolve::{MemoryLock, Resolver};
use portway_images::{DirRegistry, VenvBuilder};
use portway_local_backend::LocalBackend;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::options::Options;

pub(crate) struct House {
    pub(crate) deployer: Deployer,
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    backend: Arc<LocalBackend>,
    control: Control,
    servers: JoinSet<std::io::Result<()>>,
    stop: watch::Sender<bool>,
    folder: PathBuf,
    is_temporary: bool,
}

impl House {
    pub(crate) async fn open(options: &Options) -> anyhow::Result<Self> {
        // Ports first: whoever asked for one that is taken hears so before anything else has happened.
        let listener = bind(options.port).await?;
        let admin_listener = bind(0).await?;
        let (address, admin) = (listener.local_addr()?, admin_listener.local_addr()?);

        let folder = options.state.clone().unwrap_or_else(|| PathBuf::from("state"));
        let backend = Arc::new(LocalBackend::open(folder.join("backend")).await?);
        let deployer = deployer(&backend, &folder, &options.python)?;
        deployer.resume().await?;

        let gateway = gateway(&backend);
        let control = gateway.start();
        gateway.ready().await;
        let stop = watch::Sender::new(false);
        let stopped = || {
            let mut stop = stop.subscribe();
            async move { drop(stop.wait_for(|stop| *stop).await) }
        };
        let mut servers = JoinSet::new();
        servers.spawn(serve(listener, gateway.clone(), stopped()));
        servers.spawn(serve_admin(admin_listener, gateway.clone(), stopped()));
        let is_temporary = options.state.is_none();
        Ok(Self { deployer, gateway, address, admin, backend, control, servers, stop, folder, is_temporary })
    }

    /// Drains the gateway, removes the service, ends the replicas, and deletes the state if nobody asked to keep it.
    pub(crate) async fn close(mut self, service: &ServiceName) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        while self.servers.join_next().await.is_some() {}
        // The gateway's control side still runs: it lets go of the replicas that are going away.
        remove(&self.deployer, service).await?;
        self.control.stop().await;
        self.backend.shut_down().await;
        drop((self.deployer, self.gateway, self.backend));
        if self.is_temporary {
            tokio::fs::remove_dir_all(&self.folder).await.context("cannot remove the state folder")?;
        }
        Ok(())
    }
}

/// A deployer over one machine: replicas are processes, an image is a Python environment, found by its key or built once.
fn deployer(backend: &Arc<LocalBackend>, folder: &Path, python: &str) -> anyhow::Result<Deployer> {
    let registry = DirRegistry::open(folder.join("images"))?;
    let builder = VenvBuilder::new(registry.clone(), folder.join("venvs")).python(python);
    let resolver = Resolver::new(registry.clone(), builder, MemoryLock::default());
    let images = ResolvedImages::new(resolver, VenvBuilder::recipe(), "python".parse()?, move |found| {
        let gone = || ImageError::new(Reaction::Retry, "the environment was removed; deploy again");
        let environment = registry.environment(&found.image)?.ok_or_else(gone)?;
        Ok(Environment::Interpreter { python: environment.python })
    });
    let deployer = Deployer::new(backend.clone(), backend.clone(), backend.clone(), Arc::new(images));
    Ok(deployer.ready_within(Duration::from_secs(60)))
}

/// A gateway over the same machine. It shares nothing with the deployer but the catalog.
fn gateway(backend: &Arc<LocalBackend>) -> Gateway {
    let mut policy = portway_autoscale::Policy::default();
    // A minute, as documented, is a long time to watch; the window that the rate is taken over shrinks with it.
    (policy.hold, policy.longest_hold) = (SHORTENED_HOLD, SHORTENED_HOLD);
    policy.base_window = SHORTENED_HOLD;
    Gateway::builder(backend.clone(), backend.clone()).leases(backend.clone()).policy(policy).build()
}

/// Deletes a service, whatever is left of it.
pub(crate) async fn remove(deployer: &Deployer, service: &ServiceName) -> anyhow::Result<()> {
    match deployer.delete(service).await {
        Ok(operation) => Ok(operation.wait().await?),
        Err(DeployError::NotFound(_)) => Ok(()),
        // An operation that was interrupted cleans up after itself, or is resumed by the next run.
        Err(DeployError::Busy { operation }) => {
            let _ = deployer.operation(&operation).await?.wait().await;
            match deployer.delete(service).await {
                Ok(operation) => Ok(operation.wait().await?),
                Err(DeployError::NotFound(_)) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

async fn bind(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another port with --port, or leave it out for a free one")
    })
}

pub(crate) const SHORTENED_HOLD: Duration = Duration::from_secs(5);
