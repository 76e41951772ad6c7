//! The rights that a gateway and a deployer need: only the verbs in use, from one table.
//!
//! # Who may do what
//!
//! A **gateway** reads documents and replicas, and where it scales them, holds a lease and changes numbers. It has no right
//! on Secrets: credentials lie there, and what it checks keys against are digests in ConfigMaps. To keep a deposed
//! gateway from scaling it writes a fence on Deployments, for which RBAC knows only the right to patch all of them; a
//! gateway that does not scale has not even that.
//!
//! A **deployer** makes, changes and deletes the objects of workloads and documents, credentials included.
//!
//! Both rights end at the namespace. Only to see whether a GPU is spare must a deployer look at the nodes and pods of the
//! whole cluster; without [`Features::accelerators`] it cannot and is careful: replicas with GPUs are replaced in place.
//!
//! What anybody who has logged in may do is not granted again: ask for the server's version and groups, and ask what one
//! may do.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portway_backend::BackendError;
use serde_json::{Value, json};

use crate::manifest;
use crate::names;
use crate::options::Options;

/// Who acts on the cluster.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// Serves requests and scales replicas.
    Gateway,
    /// Makes and removes workloads and documents.
    Deployer,
}

/// What is in use, beyond what always is.
///
/// # Examples
///
/// ```
/// use portway_k8s_backend::rbac::Features;
///
/// let mut features = Features::new();
/// features.keda = true;
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Features {
    /// Gateways scale replicas. Default yes.
    pub scaling: bool,
    /// KEDA is installed on the cluster, so that its ScaledObjects are looked for. Default no.
    pub keda: bool,
    /// Workloads want GPUs or other accelerators, so that the deployer looks for spare ones. Default no.
    pub accelerators: bool,
    /// The server heeds the deletion cost of pods (1.22 and newer); otherwise drained replicas are deleted by name.
    /// Default yes.
    pub deletion_cost: bool,
}

impl Features {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self { scaling: true, keda: false, accelerators: false, deletion_cost: true }
    }

    fn has(self, need: Need) -> bool {
        match need {
            Need::Always => true,
            Need::Scaling => self.scaling,
            Need::Keda => self.keda,
            Need::ScalingAndKeda => self.scaling && self.keda,
            Need::Accelerators => self.accelerators,
            Need::Cost => self.scaling && self.deletion_cost,
            Need::NoCost => self.scaling && !self.deletion_cost,
        }
    }
}

impl Default for Features {
    fn default() -> Self {
        Self::new()
    }
}

impl Role {
    /// The name of its ServiceAccount, role and bindings.
    #[must_use]
    pub fn name(self, options: &Options) -> String {
        format!("{}-{}", options.owner, self.as_str())
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Deployer => "deployer",
        }
    }

    /// Its ServiceAccount, Role and RoleBinding as one `List`, with a ClusterRole and its binding where
    /// [`Features::accelerators`] needs them.
    ///
    /// # Errors
    ///
    /// [`Invalid`](portway_backend::ErrorKind::Invalid) with everything that is wrong with the options, at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use portway_k8s_backend::Options;
    /// use portway_k8s_backend::rbac::{Features, Role};
    ///
    /// let list = Role::Gateway.to_json(&Options::new(), Features::new())?;
    /// assert!(!list.contains("secrets"));
    /// # Ok::<(), portway_backend::BackendError>(())
    /// ```
    pub fn to_json(self, options: &Options, features: Features) -> Result<String, BackendError> {
        let faults = manifest::faults(options);
        if faults.is_empty() {
            return Ok(manifest::list(self.objects(options, features)));
        }
        Err(BackendError::invalid(format!("nobody can be given rights like this: {}", faults.join("; "))))
    }

    pub(crate) fn objects(self, options: &Options, features: Features) -> Vec<Value> {
        let metadata = self.metadata(options);
        let subject = Subject {
            kind: "ServiceAccount".to_owned(),
            name: self.name(options),
            namespace: Some(options.namespace.clone()),
            api_group: None,
        };
        let subjects = Some(vec![subject]);
        let account = ServiceAccount { metadata: metadata.clone(), ..ServiceAccount::default() };
        let rules = Some(self.rules(features));
        let role = k8s_openapi::api::rbac::v1::Role { metadata: metadata.clone(), rules };
        let role_ref = self.reference("Role", self.name(options));
        let binding = RoleBinding { metadata, role_ref, subjects: subjects.clone() };
        let mut objects = vec![json!(account), json!(role), json!(binding)];
        let rules = self.cluster_rules(features);
        if !rules.is_empty() {
            // Not bound to a namespace, so its name says whose it is.
            let name = format!("{}-{}", options.namespace, self.name(options));
            let mut metadata = self.metadata(options);
            metadata.namespace = None;
            metadata.name = Some(name.clone());
            let role_ref = self.reference("ClusterRole", name);
            let role =
                ClusterRole { metadata: metadata.clone(), rules: Some(rules), ..ClusterRole::default() };
            objects.extend([json!(role), json!(ClusterRoleBinding { metadata, role_ref, subjects })]);
        }
        objects
    }

    /// What it may do in its namespace.
    pub(crate) fn rules(self, features: Features) -> Vec<PolicyRule> {
        rules(self, features, false)
    }

    /// What it may do in the whole cluster.
    pub(crate) fn cluster_rules(self, features: Features) -> Vec<PolicyRule> {
        rules(self, features, true)
    }

    /// The metadata of everything that it has.
    pub(crate) fn metadata(self, options: &Options) -> ObjectMeta {
        let name = self.name(options);
        let labels = [
            (names::MANAGED_BY, names::MANAGER),
            (names::COMPONENT, self.as_str()),
            (names::INSTANCE, &name),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        ObjectMeta {
            namespace: Some(options.namespace.clone()),
            labels: Some(BTreeMap::from(labels)),
            annotations: Some(BTreeMap::from([(names::OWNER.to_owned(), options.owner.clone())])),
            name: Some(name),
            ..ObjectMeta::default()
        }
    }

    fn reference(self, kind: &str, name: String) -> RoleRef {
        RoleRef { api_group: "rbac.authorization.k8s.io".to_owned(), kind: kind.to_owned(), name }
    }
}

/// One rule for each kind of object, with all that is done to it.
fn rules(role: Role, features: Features, cluster: bool) -> Vec<PolicyRule> {
    let mut verbs: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let grants = GRANTS.iter().filter(|grant| {
        grant.who == role && features.has(grant.need) && (grant.need == Need::Accelerators) == cluster
    });
    for grant in grants {
        verbs.entry((grant.group, grant.resource)).or_default().extend(grant.verbs);
    }
    let rule = |((group, resource), mut verbs): ((&str, &str), Vec<&str>)| {
        verbs.sort_unstable();
        verbs.dedup();
        PolicyRule {
            api_groups: Some(vec![group.to_owned()]),
            resources: Some(vec![resource.to_owned()]),
            verbs: verbs.into_iter().map(str::to_owned).collect(),
            ..PolicyRule::default()
        }
    };
    verbs.into_iter().map(rule).collect()
}

/// What a grant depends on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Need {
    Always,
    Scaling,
    Keda,
    ScalingAndKeda,
    /// In the whole cluster.
    Accelerators,
    Cost,
    NoCost,
}

/// A right, and the line of this crate that needs it.
#[derive(Clone, Copy, Debug)]
struct Grant {
    who: Role,
    need: Need,
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
}

const fn grant(
    who: Role,
    need: Need,
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
) -> Grant {
    Grant { who, need, group, resource, verbs }
}

/// The one source of all rights; each block says what it is for.
///
/// A server-side apply that makes an object needs `create` beside `patch`.
const GRANTS: &[Grant] = {
    use Need::{Accelerators, Always, Cost, Keda, NoCost, Scaling, ScalingAndKeda};
    use Role::{Deployer, Gateway};
    &[
        // Endpoint documents and verifiers are followed.
        grant(Gateway, Always, "", "configmaps", &["list", "watch"]),
        // Replicas are followed.
        grant(Gateway, Always, "apps", "deployments", &["list", "watch"]),
        grant(Gateway, Always, "", "pods", &["list", "watch"]),
        // One gateway scales: the holder of the lease, who looks at it again before each change.
        grant(Gateway, Scaling, "coordination.k8s.io", "leases", &["create", "get", "update"]),
        // The fence is read and written, then the number.
        grant(Gateway, Scaling, "apps", "deployments", &["get", "patch"]),
        grant(Gateway, Scaling, "apps", "deployments/scale", &["update"]),
        // Drained replicas go first: marked, or deleted where marks are not heeded.
        grant(Gateway, Scaling, "", "pods", &["get"]),
        grant(Gateway, Cost, "", "pods", &["patch"]),
        grant(Gateway, NoCost, "", "pods", &["delete"]),
        // Never beside another autoscaler.
        grant(Gateway, Scaling, "autoscaling", "horizontalpodautoscalers", &["list", "watch"]),
        grant(Gateway, ScalingAndKeda, "keda.sh", "scaledobjects", &["list", "watch"]),
        // The objects of workloads.
        grant(Deployer, Always, "apps", "deployments", &["create", "delete", "get", "patch"]),
        grant(Deployer, Always, "", "secrets", &["create", "delete", "get", "patch"]),
        grant(Deployer, Always, "", "serviceaccounts", &["create", "delete", "get", "patch"]),
        grant(Deployer, Always, "", "services", &["create", "delete", "get", "patch"]),
        grant(Deployer, Always, "policy", "poddisruptionbudgets", &["create", "delete", "get", "patch"]),
        // How many replicas a new workload starts with.
        grant(Deployer, Always, "apps", "deployments/scale", &["update"]),
        // Progress, and the end of what was removed.
        grant(Deployer, Always, "apps", "deployments", &["list", "watch"]),
        grant(Deployer, Always, "", "pods", &["list", "watch"]),
        grant(Deployer, Always, "", "pods/log", &["get"]),
        // What the cluster says of them stands below their logs.
        grant(Deployer, Always, "", "events", &["list"]),
        // Documents. Credentials lie in Secrets, and so do records of operations, which are listed.
        grant(Deployer, Always, "", "configmaps", &["create", "delete", "get", "list", "patch", "watch"]),
        grant(Deployer, Always, "", "secrets", &["create", "delete", "get", "list", "patch", "watch"]),
        // One deployer for each name.
        grant(Deployer, Always, "coordination.k8s.io", "leases", &["create", "get", "update"]),
        // Never beside another autoscaler.
        grant(Deployer, Always, "autoscaling", "horizontalpodautoscalers", &["list", "watch"]),
        grant(Deployer, Keda, "keda.sh", "scaledobjects", &["list", "watch"]),
        // Whether an update finds a spare accelerator.
        grant(Deployer, Accelerators, "", "nodes", &["list"]),
        grant(Deployer, Accelerators, "", "pods", &["list"]),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Features = Features { scaling: true, keda: true, accelerators: true, deletion_cost: false };

    fn verbs(role: Role, features: Features, resource: &str) -> Vec<String> {
        let rules = role.rules(features).into_iter().chain(role.cluster_rules(features));
        let of = |rule: &PolicyRule| rule.resources.as_ref().is_some_and(|found| found == &[resource]);
        rules.filter(of).flat_map(|rule| rule.verbs).collect()
    }

    #[test]
    fn r_k8s_6_a_gateway_has_no_right_on_secrets() {
        for features in [Features::new(), ALL] {
            assert_eq!(verbs(Role::Gateway, features, "secrets"), [""; 0]);
        }
    }

    #[test]
    fn r_k8s_6_nothing_is_granted_by_wildcard_and_nothing_that_grants_more() {
        for role in [Role::Gateway, Role::Deployer] {
            for rule in role.rules(ALL).into_iter().chain(role.cluster_rules(ALL)) {
                let text = serde_json::to_string(&rule).unwrap();
                for refused in
                    ["*", "bind", "escalate", "impersonate", "deletecollection", "rbac", "pods/exec"]
                {
                    assert!(!text.contains(refused), "{text}");
                }
            }
        }
    }

    #[test]
    fn r_k8s_6_a_feature_that_is_off_grants_nothing() {
        let mut quiet = Features::new();
        quiet.scaling = false;
        let rules = Role::Gateway.rules(quiet);
        let verbs: Vec<_> = rules.iter().flat_map(|rule| &rule.verbs).collect();
        assert!(verbs.iter().all(|verb| *verb == "list" || *verb == "watch"), "{rules:?}");
        assert_eq!(Role::Deployer.cluster_rules(Features::new()), []);
        assert!(self::verbs(Role::Deployer, Features::new(), "scaledobjects").is_empty());
        assert!(!self::verbs(Role::Gateway, Features::new(), "pods").contains(&"delete".to_owned()));
        assert!(self::verbs(Role::Gateway, ALL, "pods").contains(&"delete".to_owned()));
    }

    #[test]
    fn each_kind_of_object_has_one_rule() {
        for role in [Role::Gateway, Role::Deployer] {
            let rules = role.rules(ALL);
            let kinds: std::collections::BTreeSet<_> =
                rules.iter().map(|rule| (&rule.api_groups, &rule.resources)).collect();
            assert_eq!(kinds.len(), rules.len());
        }
    }
}
