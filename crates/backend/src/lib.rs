//! The seams between those who want replicas and whatever runs them.
//!
//! A gateway needs a [`Fleet`] (which replicas are there, and please more of them), a [`Catalog`] (how endpoints route)
//! and [`Leases`] (who may scale). A deployer needs a [`Backend`], the same [`Catalog`], and [`Artifacts`] for larger
//! bytes. Nobody gets more than that, and neither knows the other.
//!
//! The crate holds the traits, the data that passes through them, implementations in memory ([`memory`]) for tests and
//! programs that need nothing more, and, with the feature `conformance`, the suites that every implementation must
//! pass. It performs no I/O.
//!
//! # Examples
//!
//! ```
//! use portway_backend::memory::MemoryCatalog;
//! use portway_backend::{Catalog, DocKey, DocKind, Document, Expected};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), portway_backend::BackendError> {
//! let catalog = MemoryCatalog::new();
//! let key = DocKey::new(DocKind::Endpoint, "iris")?;
//! let first = catalog.put(&key, &Document::from_json("{}")?, Expected::Absent).await?;
//! assert!(catalog.put(&key, &Document::from_json("[]")?, Expected::Absent).await.is_err());
//! catalog.put(&key, &Document::from_json("[]")?, Expected::At(first)).await?;
//! # Ok(()) }
//! ```

mod artifacts;
mod catalog;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod fleet;
mod leases;
pub mod memory;
mod wait;
mod workload;

pub use artifacts::{
    Artifact, ArtifactInfo, ArtifactName, Artifacts, ByteStream, Digest, Hasher, MAX_ARTIFACT_NAME,
};
pub use catalog::{
    Catalog, Change, DocKey, DocKind, Document, Expected, MAX_DOC_BYTES, MAX_DOC_NAME, Revision, Versioned,
};
pub use error::{BackendError, ErrorKind};
pub use fleet::{Backend, Fleet, Phase, Replica, ReplicaId, ReplicaState, Status};
pub use leases::{Fence, Lease, Leases};
pub use wait::{Waited, wait_for};
pub use workload::{
    EntryStyle, Environment, Program, Project, ProjectLayer, SCORING_SERVER, Workload, WorkloadId,
};
