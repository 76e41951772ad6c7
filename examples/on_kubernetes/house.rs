//! What it runs on: a backend and a deployer, put together as in the quickstart, and a gateway here or in the cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::bail;
use portway_backend::memory::MemoryArtifacts;
use portway_backend::{Catalog as _, DocKey, DocKind, Environment, Expected};
use portway_deployer::{DeployError, Deployer, GivenImage};
use portway_k8s_backend::K8sBackend;

use crate::here::Here;
use crate::inside::{self, Inside};
use crate::options::Options;
use crate::projects::{self, Layers};

pub(crate) struct House {
    pub(crate) deployer: Deployer,
    pub(crate) backend: Arc<K8sBackend>,
    pub(crate) front: Front,
}

/// Where the gateway is.
#[allow(clippy::large_enum_variant, reason = "there is one")]
pub(crate) enum Front {
    Here(Here),
    Inside(Inside),
}

impl House {
    pub(crate) async fn open(options: &Options) -> anyhow::Result<Self> {
        let backend = Arc::new(K8sBackend::connect(options.cluster.clone()).await?);
        let deployer = deployer(&backend, options)?;
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
        let front = match &options.inside {
            Some(image) => Front::Inside(Inside::open(&backend, image, options).await?),
            None => Front::Here(Here::open(&backend, options.port).await?),
        };
        Ok(Self { deployer, backend, front })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match &self.front {
            Front::Here(here) => here.address,
            Front::Inside(inside) => inside.address,
        }
    }

    /// Drains the gateway and takes everything away.
    pub(crate) async fn close(mut self, options: &Options) -> anyhow::Result<()> {
        if let Front::Here(here) = &mut self.front {
            here.drain().await;
        }
        let removed = remove(&self.deployer, &self.backend, options).await;
        match self.front {
            Front::Here(here) => here.close().await,
            Front::Inside(inside) => inside.close().await?,
        }
        // The next run need not wait until the name of this deployer has run out.
        let let_go = self.backend.shut_down().await;
        removed?;
        Ok(let_go?)
    }
}

/// Packed projects become layers of images, so that nothing lies among the artifacts. Without a registry each version names
/// its image, so that none is looked up.
fn deployer(backend: &Arc<K8sBackend>, options: &Options) -> anyhow::Result<Deployer> {
    let artifacts = Arc::new(MemoryArtifacts::new());
    let over = |images| Deployer::new(backend.clone(), backend.clone(), artifacts, images);
    let deployer = match &options.repository {
        Some(repository) => {
            let registry = projects::registry(repository, &options.projects)?;
            let images = projects::environments(&registry, &options.projects)?;
            over(Arc::new(images)).project_images(Arc::new(Layers(registry)))
        }
        None => over(Arc::new(GivenImage(Environment::Image { reference: options.stable.clone() }))),
    };
    Ok(deployer.ready_within(options.ready_within))
}

pub(crate) async fn remove_only(options: &Options) -> anyhow::Result<()> {
    let backend = Arc::new(K8sBackend::connect(options.cluster.clone()).await?);
    let deployer = deployer(&backend, options)?;
    for operation in deployer.resume().await?.operations {
        let _ = operation.wait().await;
    }
    remove(&deployer, &backend, options).await?;
    inside::remove_left(&backend, options).await
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
    backend.delete(&record, Expected::Any).await?;
    // The next run need not wait for the name of this deployer.
    Ok(backend.shut_down().await?)
}
