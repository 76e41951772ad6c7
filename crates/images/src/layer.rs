mod archive;
mod compose;
mod spool;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use portway_hashing::{Digest, ImageRef};

use spool::{Spool, Spooled};

/// Where a project lies in an image that holds one: the program starts there.
pub const PROJECT_FOLDER: &str = "/srv/portway/project";
/// What belongs to us in an image: the project, and files beside it.
const FOLDER: &str = "/srv/portway";

/// A packed project as a layer of an image: one more tar archive, without anything of the image below it.
///
/// The project lies in [`PROJECT_FOLDER`]; everything belongs to root and can be read by any user, since replicas do not run as root. No
/// time and no name of a machine is in it: the same project and files give the same bytes. It is kept in a file without a name in the
/// folder for temporary files, as large as the project.
///
/// ```
/// use portway_hashing::fs::Project;
/// use portway_images::ProjectLayer;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("score.py"), "print(1)")?;
/// let mut pack = Vec::new();
/// let packed = Project::new(folder.path()).pack(&mut pack)?;
///
/// let layer = ProjectLayer::builder(packed.digest)
///     .file("/srv/portway/serve.py", "print('ready')")
///     .build(pack.as_slice())?;
/// assert_eq!(layer.project(), packed.digest);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ProjectLayer {
    archive: Spooled,
    project: Digest,
}

/// Makes a [`ProjectLayer`].
#[derive(Debug, Clone)]
pub struct ProjectLayerBuilder {
    project: Digest,
    files: BTreeMap<String, (Vec<u8>, bool)>,
}

/// Why files can't be a layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The pack is damaged, cut short, or no tar archive.
    #[error("the packed project can't be read")]
    Pack(#[source] io::Error),
    /// A file that has no place in a layer.
    #[error("{entry:?} {problem}")]
    Entry {
        /// Its path in the image, made printable.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The folder for temporary files is full, or can't be written.
    #[error("the layer can't be written into the folder for temporary files")]
    Write(#[source] io::Error),
}

/// An image with a project in it, as [`OciRegistry::with_project`](crate::OciRegistry::with_project) stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layered {
    /// The image.
    pub image: ImageRef,
    /// The size of its last layer in bytes.
    pub bytes: u64,
    /// Whether it was stored now; `false` if it lay there already.
    pub new: bool,
}

impl ProjectLayer {
    /// A layer for the project with that digest, as [`Summary::digest`](portway_hashing::fs::Summary::digest) has it.
    #[must_use]
    pub const fn builder(project: Digest) -> ProjectLayerBuilder {
        ProjectLayerBuilder { project, files: BTreeMap::new() }
    }

    /// The digest of the project.
    #[must_use]
    pub const fn project(&self) -> Digest {
        self.project
    }

    /// The digest of the layer.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.archive.digest
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.archive.length
    }
}

impl fmt::Debug for ProjectLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectLayer")
            .field("project", &self.project)
            .field("digest", &self.digest())
            .field("bytes", &self.bytes())
            .finish()
    }
}

impl ProjectLayerBuilder {
    /// Adds a file below `/srv/portway`, by its absolute path in the image.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), (content.into(), false));
        self
    }

    /// Adds a program below `/srv/portway`, by its absolute path in the image.
    #[must_use]
    pub fn program(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), (content.into(), true));
        self
    }

    /// Reads the project out of its pack, as [`Project::pack`](portway_hashing::fs::Project::pack) writes it, and makes the layer. It
    /// reads and writes files, so it is no call for an async task.
    ///
    /// # Errors
    /// [`LayerError`]: the pack can't be read, a file has no place in a layer, or there is no room for it.
    pub fn build(self, pack: impl Read) -> Result<ProjectLayer, LayerError> {
        let spool = Spool::new().map_err(LayerError::Write)?;
        let archive = archive::write(spool, &self.files, pack)?.finish();
        Ok(ProjectLayer { archive, project: self.project })
    }
}
