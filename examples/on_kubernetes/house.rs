//! What it runs on: a backend, a deployer and a gateway, put together as in the quickstart. The backend is another one.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use portway_backend::memory::MemoryArtifacts;
use portway_backend::{Catalog as _, DocKey, DocKind, Environment, Expected};
use portway_deployer::{DeployError, Deployer, GivenImage};
use portway_gateway::{Control, Gateway, serve, serve_admin};
use portway_k8s_backend::K8sBackend;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::options::Options;

pub(crate) struct House {
    pub(crate) deployer: Deployer,
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) backend: Arc<K8sBackend>,
    control: Control,
    servers: JoinSet<std::io::Result<()>>,
    stop: watch::Sender<bool>,
}

impl House {
    pub(crate) async fn open(options: &Options) -> anyhow::Result<Self> {
        let listener = bind(options.port).await?;
        let admin_listener = bind(0).await?;
        let (address, admin) = (listener.local_addr()?, admin_listener.local_addr()?);

        let backend = Arc::new(K8sBackend::connect(options.cluster.clone()).await?);
        let deployer = deployer(&backend, options);
        deployer.resume().await?;
        match deployer.state(&options.service).await {
            Err(DeployError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => bail!(
                "there is a service {} in the namespace {}; name another by --service, or take it away by --remove",
                options.service,
                options.cluster.namespace
            ),
        }

        let gateway =
            Gateway::builder(backend.clone(), backend.clone()).leases(backend.clone()).build();
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
        Ok(Self { deployer, gateway, address, admin, backend, control, servers, stop })
    }

    /// Drains the gateway and takes everything away.
    pub(crate) async fn close(mut self, options: &Options) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        while self.servers.join_next().await.is_some() {}
        // The gateway's control side still runs: it lets go of the replicas that are going away.
        let removed = remove(&self.deployer, &self.backend, options).await;
        self.control.stop().await;
        removed
    }
}

/// Nothing is packed, so that packed projects need no place; and each version names its image, so that none is looked up.
fn deployer(backend: &Arc<K8sBackend>, options: &Options) -> Deployer {
    let images = GivenImage(Environment::Image { reference: options.stable.clone() });
    let artifacts = Arc::new(MemoryArtifacts::new());
    let deployer = Deployer::new(backend.clone(), backend.clone(), artifacts, Arc::new(images));
    deployer.ready_within(options.ready_within)
}

pub(crate) async fn remove_only(options: &Options) -> anyhow::Result<()> {
    let backend = Arc::new(K8sBackend::connect(options.cluster.clone()).await?);
    let deployer = deployer(&backend, options);
    for operation in deployer.resume().await?.operations {
        let _ = operation.wait().await;
    }
    remove(&deployer, &backend, options).await
}

/// Deletes the service, whatever is left of it, and then what is remembered of its operations.
async fn remove(deployer: &Deployer, backend: &K8sBackend, options: &Options) -> anyhow::Result<()> {
    let mut deleted = deployer.delete(&options.service).await;
    if let Err(DeployError::Busy { operation }) = &deleted {
        // What was interrupted is ended first.
        let _ = deployer.operation(operation).await?.wait().await;
        deleted = deployer.delete(&options.service).await;
    }
    match deleted {
        Ok(operation) => operation.wait().await?,
        Err(DeployError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let record = DocKey::new(DocKind::Operation, options.service.as_ref())?;
    Ok(backend.delete(&record, Expected::Any).await?)
}

async fn bind(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another port with --port, or leave it out for a free one")
    })
}
