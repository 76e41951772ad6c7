//! The deployer: from a project folder to replicas that a gateway routes to.
//!
//! A [`Deployer`] carries out the documented sequence (RUN-1): pack the project, find or build its image, bring the packed
//! project to where replicas find it, hand the workload to a [`Backend`](portway_backend::Backend), wait until it is ready, write
//! the keys, and only then write the endpoint document, from which moment gateways send traffic. A version that fails on the
//! way never gets a request, what it had created is removed, and the versions that ran before are not touched.
//!
//! The packed project lies among the artifacts, from which a backend unpacks it for each replica; or, for backends whose
//! replicas are containers, it becomes one more layer of its image ([`Deployer::project_images`]).
//!
//! A version may also run an image that the caller names ([`Source::given`]): nothing is packed, looked up or built then, and
//! the events say so.
//!
//! Each call returns an [`Operation`] that runs on in a task of its own: its [`Events`] can be watched, dropping it cancels
//! nothing, a service has one at a time, and after a restart [`Deployer::resume`] ends what was under way.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use portway_backend::memory::{MemoryArtifacts, MemoryBackend, MemoryCatalog};
//! use portway_backend::Environment;
//! use portway_deploy_config::{EndpointSpec, VersionSpec};
//! use portway_deployer::{Deployer, GivenImage, Source};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("score.py"), "def init(): pass\ndef run(data): return data\n")?;
//! let python = Environment::Interpreter { python: "/usr/bin/python3".into() };
//! let (catalog, artifacts) = (Arc::new(MemoryCatalog::new()), Arc::new(MemoryArtifacts::new()));
//! let deployer = Deployer::new(Arc::new(MemoryBackend::unreachable()), catalog, artifacts, Arc::new(GivenImage(python)));
//!
//! let endpoint = EndpointSpec::new("iris".parse()?, VersionSpec::new("first".parse()?));
//! let operation = deployer.deploy(endpoint, Source::new(folder.path(), "score.py")).await?;
//! let mut events = operation.events();
//! while let Some(event) = events.next().await {
//!     println!("{event}");
//! }
//! operation.wait().await?;
//! assert_eq!(deployer.state(&"iris".parse()?).await?.versions.len(), 1);
//! # Ok(()) }
//! ```

mod carry;
mod clock;
mod deployer;
mod entry;
mod error;
mod event;
mod fit;
mod image;
mod keys;
mod layer;
mod live;
mod operation;
mod perform;
mod project;
mod record;
mod request;
mod resume;
mod route;
mod source;
mod state;
mod steps;
mod store;
mod tokens;

pub use deployer::Deployer;
pub use entry::entry_style;
pub use error::{DeployError, Fault};
pub use event::{Event, Events, Step};
pub use image::{GivenImage, Image, ImageError, ImageOrigin, ImageRequest, ImageSource, ResolvedImages};
pub use layer::{PackedProject, ProjectImage, ProjectImages};
pub use operation::{Failure, InvalidOperationId, Operation, OperationId, OperationState, Reaction};
pub use request::{Tags, VersionChange};
pub use resume::Resumed;
pub use source::{Code, Source};
pub use state::{ServiceState, VersionState, scoring_path};
