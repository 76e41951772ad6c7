use std::io;
use std::path::PathBuf;

use super::TooBig;

/// Why a project folder can't be read, digested or packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// The file system refused.
    #[error("could not read {}", .path.display())]
    Read {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More files or bytes than the limits allow.
    #[error(transparent)]
    TooBig(#[from] TooBig),
    /// A socket, a pipe or a device.
    #[error("{} is {kind}; name it in .amlignore or remove it", .path.display())]
    Special {
        /// Where it lies.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A link that leads out of the project, or might.
    #[error("{} is a link to {target:?}: a link has to be relative, stay inside the project, and name `..` only at its start", .path.display())]
    LinkOut {
        /// Where it lies.
        path: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// A file that changed each time it was read.
    #[error("{} keeps changing while it is read", .path.display())]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// A folder that lies too deep.
    #[error("{} lies deeper than {limit} folders", .path.display())]
    TooDeep {
        /// Which folder.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// An ignore file that can't be used.
    #[error("{} {problem}", .path.display())]
    IgnoreFile {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The stat cache could not be written.
    #[error("could not write the stat cache {}", .path.display())]
    Cache {
        /// The cache file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The pack could not be written.
    #[error("could not write the pack")]
    Write(#[source] io::Error),
}
