//! Checks deployment configurations for machine-learning services: every fault in one pass, offline, with its remedy.
//!
//! Text or a value tree goes in; a typed spec without a fault comes out, or a [`Report`] of everything that is wrong with it.
//! The documents:
//!
//! | document | type |
//! | --- | --- |
//! | `deploymentconfig.json` | [`DeploymentConfig`] |
//! | `inferenceconfig.json` | [`InferenceConfig`] |
//! | the SDK's deploy and update arguments | [`ServiceSpec`], [`ServiceUpdate`] |
//! | the SDK's arguments to create and attach clusters | [`ProvisionSpec`], [`AttachSpec`] |
//! | Portway's own document of an endpoint | [`EndpointSpec`] |
//!
//! [`Call`] is the entrance for callers who hold a call by its name. Beside the documents stand [`diff`] (what a change
//! costs), [`Capacity`] (whether replicas find room), [`Connectivity`] (what must be reachable) and [`VmSizes`].
//!
//! # Examples
//!
//! ```
//! use portway_deploy_config::DeploymentConfig;
//!
//! let checked = DeploymentConfig::from_json(r#"{"computeType": "aks", "numReplicas": 3, "gpuCore": 1}"#);
//! for finding in checked.report() {
//!     println!("{finding}"); // advice[config/unknown-key]: nothing reads "gpuCore" at /gpuCore (1:41); did you mean "gpuCores"?
//! }
//! let config = checked.into_result()?;
//! assert_eq!(config.spec().replicas.most(), 3);
//! # Ok::<(), portway_deploy_config::Report>(())
//! ```
//!
//! # Features
//!
//! - `render`: [`Report`]s print like a compiler's diagnostics.
//! - `schema`: JSON Schemas of every document.
//!
//! The crate is pure: it reads no file, asks no clock, starts nothing, and uses nothing that `wasm32-unknown-unknown` lacks.

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
#[cfg(feature = "schema")]
mod schema;
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
    STICKY_BUCKETS, StickyKey, StickySpec, Unknown, VersionSpec,
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
#[cfg(feature = "schema")]
pub use schema::schema;
pub use service::{ChosenKeys, Field, Secret, ServiceSpec, ServiceUpdate, Spelling};

/// The example of the README, compiled with the crate's other examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
