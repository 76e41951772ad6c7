//! The kinds of objects that the double knows, and which server serves which of them.

/// What kind of API server the double is: its version, and what follows from it.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The minor version: 20 for 1.20.
    pub minor: u32,
    /// As `/version` says it.
    pub git_version: &'static str,
    /// What a watch with `sendInitialEvents=true` gets.
    pub streaming_lists: StreamingLists,
    /// Whether KEDA's custom resources are installed.
    pub keda: bool,
}

/// How a server takes a watch that asks for the initial list as events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamingLists {
    /// Servers before 1.27 do not know the parameter and never send the closing bookmark.
    Ignored,
    /// The feature gate is off: 422.
    Refused,
    /// Initial events, then a bookmark with `k8s.io/initial-events-end`.
    Supported,
}

impl Profile {
    /// A server of 1.20: no `policy/v1`, no `autoscaling/v2`, no pod deletion cost, no streaming lists.
    pub fn old() -> Self {
        let streaming_lists = StreamingLists::Ignored;
        Self { minor: 20, git_version: "v1.20.2", streaming_lists, keda: false }
    }

    /// A server of 1.34.
    pub fn new() -> Self {
        let streaming_lists = StreamingLists::Supported;
        Self { minor: 34, git_version: "v1.34.1", streaming_lists, keda: false }
    }

    /// The same server with KEDA installed.
    pub fn with_keda(self) -> Self {
        Self { keda: true, ..self }
    }

    /// Whether the ReplicaSet controller heeds `controller.kubernetes.io/pod-deletion-cost`.
    pub fn has_deletion_cost(&self) -> bool {
        self.minor >= 22
    }

    /// The versions of a kind that this server serves, the preferred one first.
    pub fn versions(&self, kind: &Kind) -> Vec<&'static str> {
        if kind.group == "keda.sh" && !self.keda {
            return Vec::new();
        }
        let served = |version: &&Version| version.since <= self.minor && self.minor <= version.until;
        kind.versions.iter().filter(served).map(|version| version.name).collect()
    }

    /// The kind with this plural in a group and version, if it is served.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| {
            kind.group == group && kind.plural == plural && self.versions(kind).contains(&version)
        })
    }
}

/// A version of a kind and the servers (by minor version) that serve it.
#[derive(Debug)]
pub struct Version {
    pub name: &'static str,
    since: u32,
    until: u32,
}

/// A kind of object.
#[derive(Debug)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The versions, the preferred one first. All show the same stored object.
    pub versions: &'static [Version],
    /// As it stands in paths: `deployments`.
    pub plural: &'static str,
    /// As it stands in objects: `Deployment`.
    pub kind: &'static str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// `status`, `scale`, `log`, ….
    pub subresources: &'static [&'static str],
    /// Whether `metadata.generation` counts changes of everything but metadata and status.
    pub counts_generations: bool,
    /// Whether a PUT without `resourceVersion` is taken.
    pub unconditional_update: bool,
    /// Whether a PUT creates what does not exist.
    pub create_on_update: bool,
}

impl Kind {
    /// `deployments.apps`; `pods` in the core group.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `apps/v1`; `v1` in the core group.
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// Whether it has this subresource.
    pub fn has(&self, subresource: &str) -> bool {
        self.subresources.contains(&subresource)
    }

    /// The kind with this plural; panics if the double does not know it, which is a mistake in a test.
    pub fn named(plural: &str) -> &'static Self {
        let found = KINDS.iter().find(|kind| kind.plural == plural);
        found.unwrap_or_else(|| panic!("the double knows no {plural}; add it to KINDS"))
    }

    /// The kind of an object as its `apiVersion` and `kind` name it.
    pub fn of(api_version: &str, kind: &str) -> Option<&'static Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        KINDS.iter().find(|known| known.group == group && known.kind == kind)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        (self.group, self.plural) == (other.group, other.plural)
    }
}

impl Eq for Kind {}

const FOREVER: u32 = u32::MAX;
const V1: &[Version] = &[Version { name: "v1", since: 0, until: FOREVER }];
const POLICY: &[Version] =
    &[Version { name: "v1", since: 21, until: FOREVER }, Version { name: "v1beta1", since: 0, until: 24 }];
const AUTOSCALING: &[Version] = &[
    Version { name: "v2", since: 23, until: FOREVER },
    Version { name: "v1", since: 0, until: FOREVER },
    Version { name: "v2beta2", since: 0, until: 25 },
];
const DISCOVERY: &[Version] =
    &[Version { name: "v1", since: 21, until: FOREVER }, Version { name: "v1beta1", since: 0, until: 24 }];
const KEDA: &[Version] = &[Version { name: "v1alpha1", since: 0, until: FOREVER }];

/// A plain namespaced kind; the table says what differs.
const PLAIN: Kind = Kind {
    group: "",
    versions: V1,
    plural: "",
    kind: "",
    namespaced: true,
    subresources: &[],
    counts_generations: false,
    unconditional_update: true,
    create_on_update: false,
};

const fn core(plural: &'static str, kind: &'static str, subresources: &'static [&'static str]) -> Kind {
    Kind { plural, kind, subresources, ..PLAIN }
}

const fn spec(
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    subresources: &'static [&'static str],
) -> Kind {
    Kind { group, plural, kind, subresources, counts_generations: true, ..PLAIN }
}

/// All kinds.
pub static KINDS: &[Kind] = &[
    Kind { namespaced: false, ..core("namespaces", "Namespace", &["status"]) },
    Kind { namespaced: false, ..core("nodes", "Node", &["status"]) },
    core("configmaps", "ConfigMap", &[]),
    core("events", "Event", &[]),
    core("pods", "Pod", &["status", "log"]),
    core("resourcequotas", "ResourceQuota", &["status"]),
    core("secrets", "Secret", &[]),
    core("serviceaccounts", "ServiceAccount", &[]),
    core("services", "Service", &["status"]),
    spec("apps", "deployments", "Deployment", &["status", "scale"]),
    spec("apps", "replicasets", "ReplicaSet", &["status", "scale"]),
    Kind {
        versions: AUTOSCALING,
        counts_generations: false,
        ..spec("autoscaling", "horizontalpodautoscalers", "HorizontalPodAutoscaler", &["status"])
    },
    Kind {
        group: "coordination.k8s.io",
        unconditional_update: false,
        create_on_update: true,
        ..core("leases", "Lease", &[])
    },
    Kind { group: "discovery.k8s.io", versions: DISCOVERY, ..core("endpointslices", "EndpointSlice", &[]) },
    Kind {
        versions: KEDA,
        unconditional_update: false,
        ..spec("keda.sh", "scaledobjects", "ScaledObject", &["status"])
    },
    spec("networking.k8s.io", "networkpolicies", "NetworkPolicy", &[]),
    Kind {
        versions: POLICY,
        unconditional_update: false,
        ..spec("policy", "poddisruptionbudgets", "PodDisruptionBudget", &["status"])
    },
    Kind { group: "rbac.authorization.k8s.io", ..core("roles", "Role", &[]) },
    Kind { group: "rbac.authorization.k8s.io", ..core("rolebindings", "RoleBinding", &[]) },
];
