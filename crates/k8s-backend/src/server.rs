//! What the API server is and offers, asked once when a backend is made.

use kube::Client;
use portway_backend::BackendError;

use crate::error::refused;

/// The API server's version and what it lacks of what this crate can use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// As the server says it, for example `v1.33.2`.
    pub version: String,
    /// Whether PodDisruptionBudgets can be made (`policy/v1`).
    pub has_disruption_budgets: bool,
    /// Whether the deletion cost of a pod is heeded (1.22 and newer).
    pub has_deletion_cost: bool,
    /// Whether the cluster has KEDA's ScaledObjects, which may scale what we scale.
    pub has_scaled_objects: bool,
}

impl Server {
    /// Asks the server.
    pub(crate) async fn ask(client: &Client) -> Result<Self, BackendError> {
        let failed = |error| refused("ask the API server for its version", error);
        let version = client.apiserver_version().await.map_err(failed)?;
        let groups = client.list_api_groups().await.map_err(failed)?;
        let policy = groups.groups.iter().find(|group| group.name == "policy");
        let has_disruption_budgets =
            policy.is_some_and(|group| group.versions.iter().any(|version| version.version == "v1"));
        let has_scaled_objects = groups.groups.iter().any(|group| group.name == "keda.sh");
        let minor = version.minor.trim_end_matches('+').parse().unwrap_or(0);
        let major = version.major.parse().unwrap_or(0);
        let has_deletion_cost = (major, minor) >= (1_u32, 22_u32);
        Ok(Self {
            version: version.git_version,
            has_disruption_budgets,
            has_deletion_cost,
            has_scaled_objects,
        })
    }

    /// A server that lacks nothing, for objects that are made without asking one.
    #[must_use]
    pub fn current() -> Self {
        Self::of_version("v1.33.0")
    }

    /// What a server of this version has, unless somebody has switched it off; without KEDA.
    #[must_use]
    pub fn of_version(version: impl Into<String>) -> Self {
        let mut server = Self {
            version: version.into(),
            has_disruption_budgets: false,
            has_deletion_cost: false,
            has_scaled_objects: false,
        };
        server.has_disruption_budgets = server.is_at_least(21);
        server.has_deletion_cost = server.is_at_least(22);
        server
    }

    /// Whether this is version 1.`minor` or a newer one; a version that cannot be read is taken for an old one.
    pub(crate) fn is_at_least(&self, minor: u32) -> bool {
        let mut numbers = self.version.trim_start_matches('v').split(['.', '+', '-']).map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(found))) => (major, found) >= (1, minor),
            _ => false,
        }
    }

    /// What this server lacks, a line each, with what follows from it.
    #[must_use]
    pub fn lacks(&self) -> Vec<&'static str> {
        let mut lacks = Vec::new();
        if !self.has_disruption_budgets {
            lacks.push("policy/v1 (1.21): no PodDisruptionBudget is made, so a drained node may take all replicas at once");
        }
        if !self.has_deletion_cost {
            lacks.push(
                "pod deletion cost (1.22): drained replicas are deleted by name before the count is lowered",
            );
        }
        lacks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let is = |version: &str| Server::of_version(version).is_at_least(30);
        for new in ["v1.30.0", "v1.33.2-gke.100", "v1.30+", "v1.100.0", "v2.0.0"] {
            assert!(is(new), "{new}");
        }
        for old in ["v1.29.9", "v1.3.0", "v1.20.2", "", "v1", "unknown"] {
            assert!(!is(old), "{old}");
        }
    }
}
