//! What a service looks like from outside.

use std::sync::Arc;

use portway_backend::{Phase, Status};
use portway_deploy_config::{EndpointSpec, ServiceName, Share, VersionName, VersionSpec};

use crate::{OperationId, OperationState};

/// A service as it stands now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceState {
    /// Its name.
    pub name: ServiceName,
    /// The worst of its versions; while its first deployment runs or after that has failed, what came of it.
    pub phase: Phase,
    /// The endpoint document; `None` before the first deployment has succeeded.
    pub endpoint: Option<EndpointSpec>,
    /// Its versions, oldest first.
    pub versions: Vec<VersionState>,
    /// The newest operation and how far it is.
    pub operation: Option<(OperationId, OperationState)>,
}

/// A version as it stands now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VersionState {
    /// How it is routed.
    pub spec: VersionSpec,
    /// What it gets, the unassigned rest included if it is the default.
    pub effective_share: Share,
    /// Its replicas.
    pub status: Arc<Status>,
}

impl ServiceState {
    /// The path at which the gateway scores it.
    #[must_use]
    pub fn scoring_path(&self) -> String {
        scoring_path(&self.name)
    }

    /// One of its versions.
    #[must_use]
    pub fn version(&self, name: &VersionName) -> Option<&VersionState> {
        self.versions.iter().find(|version| version.spec.name == *name)
    }
}

/// The path at which a gateway scores `service`.
#[must_use]
pub fn scoring_path(service: &ServiceName) -> String {
    format!("/api/v1/service/{service}/score")
}

/// The phase that most wants to be looked at.
pub(crate) fn worst(phases: impl IntoIterator<Item = Phase>) -> Phase {
    let gravity = |phase: &Phase| match phase {
        Phase::Healthy => 0,
        Phase::Transitioning => 1,
        Phase::Unhealthy => 2,
        Phase::Unschedulable => 3,
        Phase::Failed => 4,
    };
    phases.into_iter().max_by_key(gravity).unwrap_or_default()
}
