//! Checks deployment configurations for machine-learning services: every fault in one pass, offline, with its remedy.

mod decimal;
mod endpoint;
mod finding;
mod json;
mod name;
mod probe;
mod quantity;
mod read;
mod replicas;
mod resources;
mod suggest;

pub use decimal::Decimal;
pub use endpoint::{
    AuthMode, BucketRun, EndpointSpec, Limits, MAX_SCORING_TIMEOUT, MAX_VERSIONS, Pinning, Profile,
    STICKY_BUCKETS, StickyKey, StickySpec, VersionSpec,
};
pub use finding::{Checked, Code, Finding, Place, Report, Severity};
pub use json::{Json, MAX_DEPTH, MAX_DOCUMENT_BYTES};
pub use name::{
    ComputeName, EntryScript, ImageName, InvalidName, ModelId, ModelName, NameKind, NameRule, Namespace,
    ServiceName, VersionName, WorkspaceName,
};
pub use probe::ProbeSpec;
pub use quantity::{MemoryMib, Millicores, QuantityError, Share};
pub use replicas::{AutoscaleSpec, InvalidAutoscale, Replicas};
pub use resources::Resources;
