//! What a backend on Kubernetes can be told.

use std::collections::BTreeMap;
use std::time::Duration;

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
    /// Who deploys: objects of another owner are never touched. A deployer and its gateways must be given the same. A
    /// DNS label of 1 to 50 that begins with a letter: gateways are called `<owner>-gateway`. Default `portway`.
    pub owner: String,
    /// Names of Secrets with the credentials of image registries. Default none.
    pub pull_secrets: Vec<String>,
    /// Labels that a node must have to run replicas. Default none.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that replicas may run beside. Default none.
    pub tolerations: Vec<Toleration>,
    /// Whether replicas see their image's files read-only, `/tmp` and the [`writable`](Self::writable) folders excepted.
    /// Default no.
    pub read_only_root: bool,
    /// Absolute paths of folders, empty at first, that stay writable beside a read-only root, for example the `outputs`
    /// of the folder in which the image's program works. Default none.
    pub writable: Vec<String>,
    /// The user id that replicas run as, not 0; default: that of the image, which must be a number and not 0.
    pub run_as_user: Option<u32>,
    /// How long gateways and Services may take to see that a replica is going away; only then is it told to stop.
    /// Default 5 s; parts of a second are rounded up.
    pub drain_notice: Duration,
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
            writable: Vec::new(),
            run_as_user: None,
            drain_notice: Duration::from_secs(5),
        }
    }

    /// The name under which the server keeps which fields are ours.
    pub(crate) fn field_manager(&self) -> String {
        format!("portway-{}", self.owner)
    }

    /// The name under which it keeps what scaling has set, which no apply may take back.
    pub(crate) fn scale_manager(&self) -> String {
        format!("portway-{}-scale", self.owner)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
