//! Finds an image by its key, or builds it exactly once (feature `resolve`).
//!
//! [`Resolver`] asks the workspace's [`Registry`], then a global one, and only if both answer “not there” lets the [`ImageBuilder`]
//! build. In one process every caller of a key shares one flight; across processes the [`Lock`] does the same. A registry that is down, slow or
//! refuses never starts a build.

mod file_lock;
mod flight;
mod history;
mod log;
mod memory;
mod resolver;
mod seams;
mod settings;

pub use file_lock::FileLock;
pub use log::BuildLog;
pub use memory::{MemoryLock, MemoryRegistry};
pub use resolver::{Origin, ResolveError, Resolved, Resolver};
pub use seams::{
    BuildError, BuildErrorKind, Held, ImageBuilder, Lock, LockError, LockErrorKind, Registry, RegistryError,
    RegistryErrorKind,
};
pub use settings::{GlobalUse, Settings};

/// What the flight runs on; the test `flight.rs` puts shuttle's in this place.
mod rt {
    pub(super) use std::sync::Mutex;
    pub(super) use tokio::spawn;
    pub(super) use tokio::task::JoinHandle;
}
