//! Images of project folders: the environment is found at the registry or built, and the project is one more layer on it.

use std::error::Error;
use std::io::{BufReader, BufWriter, Seek as _};

use async_trait::async_trait;
use portway_backend::{Environment, ProjectLayer, SCORING_SERVER};
use portway_deployer::{ImageError, PackedProject, ProjectImage, ProjectImages, Reaction, ResolvedImages};
use portway_hashing::ImageRef;
use portway_hashing::resolve::{FileLock, Resolver};
use portway_images::{
    self as images, Access, BuildahBuilder, LayerError, OciRegistry, OciSettings, PROJECT_FOLDER, Repository,
};
use tokio::task::spawn_blocking;

use crate::options::Projects;

/// The repository that holds both.
pub(crate) fn registry(repository: &Repository, projects: &Projects) -> anyhow::Result<OciRegistry> {
    let mut settings = OciSettings::new(repository.clone());
    if let Some(file) = &projects.auth {
        settings = settings.access(Access::file(file));
    }
    if projects.plain_http {
        settings = settings.plain_http();
    }
    Ok(OciRegistry::new(settings)?)
}

/// Environments by their key: found in the repository, else built with buildah and pushed there.
pub(crate) fn environments(registry: &OciRegistry, projects: &Projects) -> anyhow::Result<ResolvedImages> {
    let builder = BuildahBuilder::new(registry.clone(), &projects.builds);
    let lock = FileLock::open(projects.builds.join("locks"))?;
    let resolver = Resolver::new(registry.clone(), builder, lock);
    let base = projects.base.parse()?;
    Ok(ResolvedImages::new(resolver, BuildahBuilder::recipe(), base, |found| {
        Ok(Environment::Image { reference: found.image.to_string() })
    }))
}

/// Puts each project and the scoring server on top of its environment, in the same repository.
pub(crate) struct Layers(pub(crate) OciRegistry);

#[async_trait]
impl ProjectImages for Layers {
    async fn with_project(&self, image: &str, project: &PackedProject) -> Result<ProjectImage, ImageError> {
        let unpinned = |error| {
            let message = format!("{image} is not pinned, and a layer is put on bytes that are known");
            ImageError::new(Reaction::Change, message).with_source(error)
        };
        let environment: ImageRef = image.parse().map_err(unpinned)?;
        let project = project.clone();
        let layer = spawn_blocking(move || layer(&project)).await.map_err(unwritten)??;
        let layered = self.0.with_project(&environment, &layer).await?;
        Ok(ProjectImage {
            reference: layered.image.to_string(),
            layer: ProjectLayer { folder: PROJECT_FOLDER.to_owned(), server: SERVER.to_owned() },
            bytes: layered.bytes,
            new: layered.new,
        })
    }
}

/// A pack has up to 300 MB, so it lies in a file without a name meanwhile.
fn layer(project: &PackedProject) -> Result<images::ProjectLayer, ImageError> {
    let mut pack = tempfile::tempfile().map_err(unwritten)?;
    project.write_to(BufWriter::new(&pack))?;
    pack.rewind().map_err(unwritten)?;
    let layer = images::ProjectLayer::builder(project.digest()).file(SERVER, SCORING_SERVER);
    layer.build(BufReader::new(&pack)).map_err(|error| {
        let reaction = if matches!(error, LayerError::Write(_)) { Reaction::Retry } else { Reaction::Change };
        ImageError::new(reaction, "the project can't be a layer").with_source(error)
    })
}

fn unwritten(error: impl Error + Send + Sync + 'static) -> ImageError {
    let message = "the project could not be packed into the folder for temporary files";
    ImageError::new(Reaction::Retry, message).with_source(error)
}

/// Beside the project.
const SERVER: &str = "/srv/portway/scoring_server.py";
