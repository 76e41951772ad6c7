//! What must be reachable, in the order in which it is needed.

use std::fmt;

use crate::cluster::TlsSpec;
use crate::endpoint::AuthMode;

/// A cluster and its surroundings, as far as their addresses depend on them.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::{Connectivity, Phase};
///
/// let list = Connectivity::new("prod", "westeurope", "models123", "storage123").requirements();
/// assert_eq!(list[0].to_string(), "cluster creation: node resolves prod.hcp.westeurope.azmk8s.io (the API server)");
/// assert!(list.windows(2).all(|pair| pair[0].phase <= pair[1].phase));
/// assert!(list.iter().any(|each| each.phase == Phase::ModelDeployed));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connectivity {
    /// The cluster's DNS prefix.
    pub cluster: String,
    /// The region.
    pub region: String,
    /// The workspace's registry, without its domain.
    pub registry: String,
    /// The workspace's storage account, which holds the router's dynamic configuration.
    pub storage: String,
    /// The storage account of the models, if it is another one.
    pub model_storage: Option<String>,
    /// How callers prove who they are: tokens need the identity provider.
    pub auth: AuthMode,
    /// How the cluster's network came about.
    pub network: ClusterNetwork,
    /// Encryption to callers, which decides on the scoring name and port.
    pub tls: TlsSpec,
    /// Hosts and ports that the model calls itself.
    pub model_calls: Vec<(String, u16)>,
}

/// How a cluster's network came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClusterNetwork {
    /// By the cluster's creation, which makes it right.
    #[default]
    Kubenet,
    /// In a virtual network that existed: its rules are its owner's care.
    Existing,
    /// The same with name servers of its own: every name is its owner's care, too.
    ExistingWithOwnDns,
}

/// When something is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The cluster is created or attached and the router is deployed.
    ClusterCreation,
    /// The router starts.
    RouterStart,
    /// The router works.
    RouterAtWork,
    /// A model is deployed.
    ModelDeployed,
    /// A model is found by the router and by its callers.
    ModelRouted,
    /// The model works.
    ModelAtWork,
}

/// Who reaches out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A node.
    Node,
    /// A pod of the router.
    RouterPod,
    /// A pod of a model.
    ModelPod,
    /// A caller.
    Caller,
}

/// One thing that must work.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The name has an address.
    Resolve {
        /// The name.
        host: String,
    },
    /// The address answers.
    Connect {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
    /// Pods of the cluster answer one another.
    ConnectPods {
        /// Which pods.
        pods: &'static str,
        /// The port.
        port: u16,
    },
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// When it is needed.
    pub phase: Phase,
    /// Who needs it.
    pub origin: Origin,
    /// What must work.
    pub step: Step,
    /// What for.
    pub purpose: &'static str,
    /// Whether the cluster's creation takes care of it; otherwise the owner of the network does.
    pub automatic: bool,
}

impl Connectivity {
    /// A public cluster with keys and without encryption, in a network of its own.
    #[must_use]
    pub fn new(cluster: &str, region: &str, registry: &str, storage: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            region: region.to_owned(),
            registry: registry.to_owned(),
            storage: storage.to_owned(),
            model_storage: None,
            auth: AuthMode::default(),
            network: ClusterNetwork::default(),
            tls: TlsSpec::default(),
            model_calls: Vec::new(),
        }
    }

    /// The list, in the order of need; a name comes before what is behind it.
    #[must_use]
    pub fn requirements(&self) -> Vec<Requirement> {
        let mut list = List { network: self.network, requirements: Vec::new() };
        self.cluster_and_router(&mut list);
        self.router_at_work(&mut list);
        self.model(&mut list);
        list.requirements
    }

    fn api_server(&self) -> String {
        format!("{}.hcp.{}.azmk8s.io", self.cluster, self.region)
    }

    fn cluster_and_router(&self, list: &mut List) {
        let api = self.api_server();
        list.resolve(Phase::ClusterCreation, Origin::Node, &api, "the API server");
        list.connect(Phase::ClusterCreation, Origin::Node, &api, HTTPS, "the API server");
        list.host(Phase::ClusterCreation, Origin::Node, ROUTER_REGISTRY, "images of the router");
        list.resolve(Phase::RouterStart, Origin::RouterPod, &api, "the API server");
        list.connect(Phase::RouterStart, Origin::RouterPod, &api, HTTPS, "the other pods of the router");
        list.pods(Phase::RouterStart, "router", ROUTER_PORT, "the other pods of the router");
    }

    fn router_at_work(&self, list: &mut List) {
        let (phase, origin) = (Phase::RouterAtWork, Origin::RouterPod);
        for kind in ["blob", "table"] {
            let host = format!("{}.{kind}.core.windows.net", self.storage);
            list.host(phase, origin, &host, "dynamic configuration of the router");
        }
        if self.auth == AuthMode::Token {
            list.host(phase, origin, IDENTITY, "tokens of callers");
        }
        list.connect(phase, origin, &self.api_server(), HTTPS, "the models that are deployed");
        list.pods(phase, "model", MODEL_PORT, "the models");
    }

    fn model(&self, list: &mut List) {
        let registry = format!("{}.azurecr.io", self.registry);
        list.host(Phase::ModelDeployed, Origin::Node, &registry, "images of the model");
        let storage = self.model_storage.as_ref().unwrap_or(&self.storage);
        let models = format!("{storage}.blob.core.windows.net");
        list.host(Phase::ModelDeployed, Origin::Node, &models, "the model's files");
        list.pods(Phase::ModelRouted, "model", MODEL_PORT, "the model, found through the API server");
        if let Some((host, port)) = self.scoring_name() {
            list.resolve(Phase::ModelRouted, Origin::Caller, &host, "scoring");
            list.connect(Phase::ModelRouted, Origin::Caller, &host, port, "scoring");
        }
        for (host, port) in &self.model_calls {
            list.resolve(Phase::ModelAtWork, Origin::ModelPod, host, "the model's own calls");
            list.connect(Phase::ModelAtWork, Origin::ModelPod, host, *port, "the model's own calls");
        }
    }

    /// The name under which callers find the router; without encryption it has none, only an address.
    ///
    /// The platform appends six characters of its own to a label, which nobody knows in advance.
    #[must_use]
    pub fn scoring_name(&self) -> Option<(String, u16)> {
        match &self.tls {
            TlsSpec::Off => None,
            TlsSpec::Certificate { cname, .. } => Some((cname.clone(), HTTPS)),
            TlsSpec::LeafLabel { label, .. } => {
                Some((format!("{label}<generated>.{}.cloudapp.azure.com", self.region), HTTPS))
            }
        }
    }
}

/// The list under construction.
struct List {
    network: ClusterNetwork,
    requirements: Vec<Requirement>,
}

impl List {
    /// A name, and what is behind it.
    fn host(&mut self, phase: Phase, origin: Origin, host: &str, purpose: &'static str) {
        self.resolve(phase, origin, host, purpose);
        self.connect(phase, origin, host, HTTPS, purpose);
    }

    fn resolve(&mut self, phase: Phase, origin: Origin, host: &str, purpose: &'static str) {
        let automatic = self.network != ClusterNetwork::ExistingWithOwnDns && inside(origin);
        self.push(phase, origin, Step::Resolve { host: host.to_owned() }, purpose, automatic);
    }

    fn connect(&mut self, phase: Phase, origin: Origin, host: &str, port: u16, purpose: &'static str) {
        let automatic = self.network == ClusterNetwork::Kubenet && inside(origin);
        self.push(phase, origin, Step::Connect { host: host.to_owned(), port }, purpose, automatic);
    }

    fn pods(&mut self, phase: Phase, pods: &'static str, port: u16, purpose: &'static str) {
        let automatic = self.network == ClusterNetwork::Kubenet;
        self.push(phase, Origin::RouterPod, Step::ConnectPods { pods, port }, purpose, automatic);
    }

    fn push(&mut self, phase: Phase, origin: Origin, step: Step, purpose: &'static str, automatic: bool) {
        self.requirements.push(Requirement { phase, origin, step, purpose, automatic });
    }
}

/// What callers and the model itself reach is nobody's but its owner's care.
fn inside(origin: Origin) -> bool {
    matches!(origin, Origin::Node | Origin::RouterPod)
}

const HTTPS: u16 = 443;
const ROUTER_PORT: u16 = 9001;
const MODEL_PORT: u16 = 5001;
const ROUTER_REGISTRY: &str = "mcr.microsoft.com";
const IDENTITY: &str = "api.azureml.ms";

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::ClusterCreation => "cluster creation",
            Phase::RouterStart => "router start",
            Phase::RouterAtWork => "router at work",
            Phase::ModelDeployed => "model deployed",
            Phase::ModelRouted => "model routed",
            Phase::ModelAtWork => "model at work",
        };
        let origin = match self.origin {
            Origin::Node => "node",
            Origin::RouterPod => "router pod",
            Origin::ModelPod => "model pod",
            Origin::Caller => "caller",
        };
        match &self.step {
            Step::Resolve { host } => write!(f, "{phase}: {origin} resolves {host}")?,
            Step::Connect { host, port } => write!(f, "{phase}: {origin} reaches {host}:{port}")?,
            Step::ConnectPods { pods, port } => {
                write!(f, "{phase}: {origin} reaches {pods} pods on port {port}")?
            }
        }
        write!(f, " ({})", self.purpose)
    }
}
