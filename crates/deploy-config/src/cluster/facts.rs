//! What is known of a cluster that stands, and what to say about it before it is attached.

use crate::finding::{At, Code, Finding, Report};

/// The kind of a cluster's load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoadBalancerSku {
    /// What a cluster that is created here gets.
    Basic,
    /// What only a cluster that is attached can have.
    Standard,
}

/// What somebody found out about a cluster; `None` and `false` where nobody did.
///
/// A private API server needs no word: such clusters can be attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Its load balancer.
    pub load_balancer: Option<LoadBalancerSku>,
    /// Whether only some addresses may reach its API server.
    pub authorized_ranges: bool,
    /// Whether the control plane's addresses in both paired regions are among them.
    pub authorized_control_plane: bool,
    /// Whether its nodes reach the outside, by a public address or a firewall with a route of the user's.
    pub egress: Option<bool>,
    /// Its Kubernetes, as major and minor version.
    pub kubernetes: Option<(u32, u32)>,
    /// Whether another cluster of the region bears its name.
    pub name_taken: bool,
}

impl ClusterFacts {
    /// Advice before the cluster is attached; none of it refuses.
    pub fn advise(&self) -> Report {
        let mut report = Report::default();
        if self.authorized_ranges && self.load_balancer == Some(LoadBalancerSku::Basic) {
            report.push(advice(
                Code::LoadBalancer,
                "ranges of addresses can be authorised only with a standard load balancer",
                "a basic load balancer",
                "create a cluster with a standard load balancer beside this project, and attach it",
            ));
        }
        if self.authorized_ranges && !self.authorized_control_plane {
            report.push(advice(
                Code::AuthorizedRanges,
                "only some addresses reach the API server, and the control plane's are not among them",
                "authorised ranges without the control plane's",
                "add the control plane's ranges of both paired regions",
            ));
        }
        if self.egress == Some(false) {
            report.push(advice(
                Code::Egress,
                "nodes must reach the outside to pull images and models",
                "neither a public address nor a firewall with a route",
                "give the cluster its default public address, or a firewall and a route to it",
            ));
        }
        if let Some(version) = self.kubernetes.filter(|version| *version > LAST_DOCUMENTED_KUBERNETES) {
            report.push(advice(
                Code::OldKubernetesLimit,
                "an old text allows Kubernetes 1.17 or lower; nothing here does",
                &format!("{}.{}", version.0, version.1),
                "nothing to do",
            ));
        }
        if self.name_taken {
            report.push(advice(
                Code::NameTaken,
                "another cluster of the region bears this name",
                "a name that is taken",
                "choose another name where the two could be confused",
            ));
        }
        report
    }
}

/// The limit that the oldest documents name.
const LAST_DOCUMENTED_KUBERNETES: (u32, u32) = (1, 17);

fn advice(code: Code, message: &str, found: &str, remedy: &str) -> Finding {
    Finding::new(code, &At::root(), message).found(found).allowed("accepted as it is").remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_cfg_5_what_is_known_of_a_cluster_is_advised_on_and_never_refused() {
        assert!(
            ClusterFacts { kubernetes: Some((1, 17)), egress: Some(true), ..ClusterFacts::default() }
                .advise()
                .is_empty()
        );
        let facts = ClusterFacts {
            load_balancer: Some(LoadBalancerSku::Basic),
            authorized_ranges: true,
            authorized_control_plane: false,
            egress: Some(false),
            kubernetes: Some((1, 29)),
            name_taken: true,
        };
        let report = facts.advise();
        assert_eq!((report.len(), report.has_errors()), (5, false));
    }
}
