//! What a backend on Kubernetes can be told.

use std::collections::BTreeMap;

/// How a [`K8sBackend`](crate::K8sBackend) marks what it makes and where replicas may run.
///
/// # Examples
///
/// ```
/// use portway_k8s_backend::Options;
///
/// let mut options = Options::new();
/// options.namespace = "models".into();
/// options.pull_secrets.push("registry".into());
/// options.node_selector.insert("pool".into(), "inference".into());
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// The namespace of everything; default: `default`. It is never created.
    pub namespace: String,
    /// Which context of the kubeconfig; default: its current one. Only [`connect`](crate::K8sBackend::connect) looks at it.
    pub context: Option<String>,
    /// Who deploys: objects of another owner are never touched. Default `portway`.
    pub owner: String,
    /// Names of Secrets with the credentials of image registries. Default none.
    pub pull_secrets: Vec<String>,
    /// Labels that a node must have to run replicas. Default none.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that replicas may run beside. Default none.
    pub tolerations: Vec<Toleration>,
    /// Whether replicas see their image's files read-only, with `/tmp` and `./outputs` writable. Default no.
    pub read_only_root: bool,
}

/// A taint that is no hindrance.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Toleration {
    /// The taint's key.
    pub key: String,
    /// The taint's value; `None` for any.
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`; `None` for all three.
    pub effect: Option<String>,
}

impl Toleration {
    /// Tolerates every taint with this key.
    pub fn of(key: impl Into<String>) -> Self {
        Self { key: key.into(), value: None, effect: None }
    }
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            namespace: "default".to_owned(),
            context: None,
            owner: "portway".to_owned(),
            pull_secrets: Vec::new(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            read_only_root: false,
        }
    }

    /// The name under which the server keeps which fields are ours.
    pub(crate) fn field_manager(&self) -> String {
        format!("portway-{}", self.owner)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
