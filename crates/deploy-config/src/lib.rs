//! Checks deployment configurations for machine-learning services: every fault in one pass, offline, with its remedy.

mod call;
mod capacity;
mod cluster;
mod connectivity;
mod decimal;
mod diff;
mod document;
mod endpoint;
mod finding;
mod inference;
mod json;
mod name;
mod probe;
mod quantity;
mod read;
#[cfg(feature = "render")]
mod render;
mod replicas;
mod resources;
mod service;
mod suggest;

pub use call::Call;
pub use capacity::{
    Amounts, Capacity, Demand, Fit, Nearest, Node, Placed, Resource, RolloutPlan, Running, Shortfall, Stuck,
    Taint, Toleration,
};
pub use cluster::{
    AttachSpec, ClusterFacts, ClusterPurpose, ClusterRef, InvalidResourceId, LoadBalancer, LoadBalancerSku,
    MIN_FAST_PROD_NODES, MIN_FAST_PROD_VCPUS, NetworkSpec, ProvisionSpec, ResourceId, TlsSpec, VmSize,
    VmSizes, check_cluster_size,
};
pub use connectivity::{ClusterNetwork, Connectivity, Origin, Phase, Requirement, Step};
pub use decimal::Decimal;
pub use diff::{ChangeClass, Compare, Diff, Difference, diff};
pub use document::{ComputeType, DeploymentConfig};
pub use endpoint::{
    AuthMode, BucketRun, EndpointSpec, Limits, MAX_SCORING_TIMEOUT, MAX_VERSIONS, Pinning, Profile,
    STICKY_BUCKETS, StickyKey, StickySpec, VersionSpec,
};
pub use finding::{Checked, Code, Finding, Place, Report, Severity};
pub use inference::{CondaSpec, EnvironmentSpec, InferenceConfig, RegistrySpec};
pub use json::{Json, MAX_DEPTH, MAX_DOCUMENT_BYTES};
pub use name::{
    ComputeName, EntryScript, ImageName, InvalidName, ModelId, ModelName, NameKind, NameRule, Namespace,
    ServiceName, VersionName, WorkspaceName,
};
pub use probe::ProbeSpec;
pub use quantity::{MemoryMib, Millicores, QuantityError, Share};
pub use replicas::{AutoscaleSpec, InvalidAutoscale, Replicas};
pub use resources::Resources;
pub use service::{ChosenKeys, Field, Secret, ServiceSpec, ServiceUpdate, Spelling};
