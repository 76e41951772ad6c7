//! The other way for a project to reach its replicas: as one more layer of the image that it runs in.

use std::io::Write;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use portway_backend::ProjectLayer;
use portway_hashing::Digest;
use portway_hashing::fs::{self, Summary};

use crate::{ImageError, Reaction};

/// Puts projects on top of images, for backends whose replicas run images (RUN-1).
///
/// A [`Deployer`](crate::Deployer) that has one ([`Deployer::project_images`](crate::Deployer::project_images)) stores no packed
/// project among the artifacts.
///
/// # Examples
///
/// ```
/// use async_trait::async_trait;
/// use portway_backend::{Digest, ProjectLayer, SCORING_SERVER};
/// use portway_deployer::{ImageError, PackedProject, ProjectImage, ProjectImages};
///
/// /// Pushes nothing: it shows what there is to push.
/// struct Shown;
///
/// #[async_trait]
/// impl ProjectImages for Shown {
///     async fn with_project(&self, image: &str, project: &PackedProject) -> Result<ProjectImage, ImageError> {
///         let mut pack = Vec::new();
///         project.write_to(&mut pack)?;
///         let layer = ProjectLayer { folder: "/srv/project".into(), server: "/srv/server.py".into() };
///         println!("on {image}: a pack in {} and {SCORING_SERVER:.40} in {}", layer.folder, layer.server);
///         let reference = format!("registry.example/projects@{}", Digest::of(&pack));
///         Ok(ProjectImage { reference, layer, bytes: pack.len() as u64, new: true })
///     }
/// }
/// ```
#[async_trait]
pub trait ProjectImages: Send + Sync {
    /// The image that is `image` with `project` on top, where the replicas find it; also that of an earlier call, if it is
    /// the same project on the same image. A call that failed or was cut short can be repeated.
    ///
    /// Wherever scripts with `init()` and `run()` are to be served, the layer holds the
    /// [`SCORING_SERVER`](portway_backend::SCORING_SERVER) as well.
    ///
    /// # Errors
    ///
    /// [`ImageError`], whose reaction tells a registry that is down from one that refuses.
    async fn with_project(&self, image: &str, project: &PackedProject) -> Result<ProjectImage, ImageError>;
}

/// An image with a project on top, at a registry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProjectImage {
    /// `repository@sha256:…`.
    pub reference: String,
    /// Where the project lies inside.
    pub layer: ProjectLayer,
    /// How large the layer is, as the registry keeps it.
    pub bytes: u64,
    /// False if it stood there already.
    pub new: bool,
}

/// A project folder that was read once: what it holds is known.
#[derive(Clone, Debug)]
pub struct PackedProject {
    folder: PathBuf,
    summary: Summary,
    has_models: bool,
}

impl PackedProject {
    /// Reads a folder, and proves that its entry script is part of the project.
    pub(crate) fn read(folder: &Path, script: &str) -> Result<Self, ImageError> {
        let project = fs::Project::new(folder);
        let entries = project.entries()?;
        if !entries.iter().any(|entry| entry.path() == Path::new(script)) {
            let message = format!(
                "the entry script {script:?} is ignored by the project's .amlignore or .gitignore, so no replica would have it; \
                 take it out of the ignore file"
            );
            return Err(ImageError::new(Reaction::Change, message));
        }
        let has_models = entries.iter().any(|entry| entry.path().starts_with(MODELS));
        Ok(Self { folder: folder.to_owned(), summary: project.digest()?, has_models })
    }

    /// The project folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it holds, and the digest of that.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The digest of names, contents, executable bits and link targets.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.summary.digest
    }

    /// Writes the project as a tar archive whose paths begin at its root; the same project gives the same bytes everywhere.
    /// It reads the disk, so it is no call for an async task.
    ///
    /// # Errors
    ///
    /// [`ImageError`] if the folder has changed since it was read: what was written is not the project then. Or `out` fails.
    pub fn write_to(&self, out: impl Write) -> Result<(), ImageError> {
        let packed = fs::Project::new(&self.folder).pack(out)?;
        if packed.digest == self.summary.digest {
            return Ok(());
        }
        let message = "the project folder changed while it was packed; try again when nobody writes into it";
        Err(ImageError::new(Reaction::Retry, message))
    }

    /// Where its models lie, if it lies in `root`: in `azureml-models` if there is such a folder, otherwise beside the rest.
    pub(crate) fn models(&self, root: &str) -> String {
        if self.has_models { format!("{}/{MODELS}", root.trim_end_matches('/')) } else { root.to_owned() }
    }
}

impl From<fs::ProjectError> for ImageError {
    fn from(error: fs::ProjectError) -> Self {
        let reaction = match &error {
            fs::ProjectError::Changed { .. } | fs::ProjectError::Write(_) => Reaction::Retry,
            _ => Reaction::Change,
        };
        Self::new(reaction, "the project folder can't be packed").with_source(error)
    }
}

const MODELS: &str = "azureml-models";
