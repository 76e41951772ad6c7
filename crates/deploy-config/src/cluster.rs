//! Clusters: created anew or attached.

use std::fmt;
use std::str::FromStr;

use crate::finding::{At, Checked, Code, Finding, Report};
use crate::json::Json;

mod facts;
mod read;
mod resource_id;
mod size;
mod tls;
mod vm_size;
mod write;

pub use facts::{ClusterFacts, LoadBalancerSku};
#[cfg(feature = "schema")]
pub(crate) use read::BALANCERS;
pub(crate) use read::PURPOSES;
pub use resource_id::{InvalidResourceId, ResourceId};
pub use size::{MIN_FAST_PROD_NODES, MIN_FAST_PROD_VCPUS, check_cluster_size};
pub use vm_size::{VmSize, VmSizes};

/// What a cluster is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClusterPurpose {
    /// Production: at least 12 vCPUs on at least 3 nodes.
    #[default]
    FastProd,
    /// Development and tests: any size; slower, without fault tolerance, its router never scales itself.
    DevTest,
}

impl ClusterPurpose {
    /// Whether the router scales itself on such a cluster.
    #[must_use]
    pub fn scales_router(self) -> bool {
        self == Self::FastProd
    }
}

impl fmt::Display for ClusterPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FastProd => "FastProd",
            Self::DevTest => "DevTest",
        })
    }
}

impl FromStr for ClusterPurpose {
    type Err = Report;

    fn from_str(text: &str) -> Result<Self, Report> {
        crate::read::choice(text, &At::root(), &PURPOSES).map_err(Report::from)
    }
}

/// A cluster to create.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::{Json, ProvisionSpec, VmSizes};
///
/// let sizes = VmSizes::default();
/// let check = |text| Ok::<_, portway_deploy_config::Report>(ProvisionSpec::check(&Json::parse(text)?, &sizes));
/// assert!(check("{}")?.value().is_some()); // 3 × Standard_D3_v2, 12 vCPUs
/// let two_nodes = check(r#"{"agent_count": 2}"#)?;
/// let codes: Vec<_> = two_nodes.report().iter().map(|finding| finding.code.as_str()).collect();
/// assert_eq!(codes, ["cluster/too-few-cores", "cluster/too-few-nodes"]);
/// # Ok::<(), portway_deploy_config::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisionSpec {
    /// Nodes; 3 by default.
    pub agent_count: u32,
    /// The size of every node; `Standard_D3_v2` by default.
    pub vm_size: String,
    /// What the cluster is for.
    pub purpose: ClusterPurpose,
    /// The region; the workspace's by default.
    pub location: Option<String>,
    /// A virtual network that exists.
    pub network: Option<NetworkSpec>,
    /// Encryption to callers.
    pub tls: TlsSpec,
    /// How callers reach the router.
    pub load_balancer: LoadBalancer,
}

/// A cluster that exists, to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachSpec {
    /// Which cluster.
    pub cluster: ClusterRef,
    /// What the cluster is for.
    pub purpose: ClusterPurpose,
    /// Encryption to callers.
    pub tls: TlsSpec,
    /// How callers reach the router.
    pub load_balancer: LoadBalancer,
}

/// A cluster by name; it may lie in another group and region than the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClusterRef {
    /// By its whole resource id.
    Id(ResourceId),
    /// By group and name, in the workspace's subscription.
    Named {
        /// Resource group.
        group: String,
        /// Cluster.
        name: String,
    },
}

/// A virtual network; all six settings or none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NetworkSpec {
    /// Resource group of the network.
    pub group: String,
    /// Network.
    pub name: String,
    /// Subnet of the nodes.
    pub subnet: String,
    /// Addresses of services, as `10.0.0.0/16`.
    pub service_cidr: String,
    /// Address of the name server, inside `service_cidr`.
    pub dns_service_ip: String,
    /// Addresses of the container bridge, as `172.17.0.1/16`.
    pub docker_bridge_cidr: String,
}

/// Encryption to callers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsSpec {
    /// None.
    #[default]
    Off,
    /// With a certificate of one's own.
    Certificate {
        /// Host name that the certificate is for.
        cname: String,
        /// File with the certificate.
        cert_file: String,
        /// File with the key.
        key_file: String,
    },
    /// With a certificate of the platform for `<label><generated>.<region>.<suffix>`.
    LeafLabel {
        /// First part of the host name.
        label: String,
        /// Whether a label that is in use is taken over.
        overwrite: bool,
    },
}

/// How callers reach the router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum LoadBalancer {
    /// By a public address.
    #[default]
    PublicIp,
    /// From inside the virtual network only.
    Internal {
        /// The subnet of the load balancer's address.
        subnet: String,
    },
}

impl LoadBalancer {
    /// The subnet of an internal load balancer, where nothing is given.
    pub const DEFAULT_SUBNET: &'static str = "aks-subnet";
}

impl ProvisionSpec {
    /// Nodes, where nothing is given.
    pub const DEFAULT_AGENT_COUNT: u32 = 3;
    /// Their size, where nothing is given.
    pub const DEFAULT_VM_SIZE: &'static str = "Standard_D3_v2";

    /// Checks the arguments of `AksCompute.provisioning_configuration`; an object `enable_ssl` holds that call's.
    pub fn check(json: &Json, sizes: &VmSizes) -> Checked<Self> {
        let mut report = Report::default();
        let value = read::provision(json, sizes, &mut report);
        Checked::new(value, report)
    }
}

impl AttachSpec {
    /// Checks the arguments of `AksCompute.attach_configuration`; an object `enable_ssl` holds that call's.
    /// What the cluster itself must be is for [`check_cluster_size`] and [`ClusterFacts::advise`] to say.
    pub fn check(json: &Json) -> Checked<Self> {
        let mut report = Report::default();
        let value = read::attach(json, &mut report);
        Checked::new(value, report)
    }
}

impl crate::service::ServiceSpec {
    /// Whether nodes of that size have the accelerators that a replica asks for: those come with the size chosen at
    /// the cluster's creation, and no other pool of nodes is a target.
    pub fn check_accelerators(&self, size: &VmSize) -> Report {
        let mut report = Report::default();
        let gpu = ("gpu", self.resources.gpu, size.gpus);
        let own = |name: &String| size.accelerators.get(name).copied().unwrap_or(0);
        let others =
            self.resources.accelerators.iter().map(|(name, wanted)| (name.as_str(), *wanted, own(name)));
        for (name, wanted, there) in std::iter::once(gpu).chain(others) {
            if wanted > there {
                let message = format!("a replica asks for {wanted} of {name:?}, a {} has {there}", size.name);
                report.push(
                    Finding::new(Code::AcceleratorAbsent, &At::root(), message)
                        .found(wanted.to_string())
                        .allowed(format!("at most {there}"))
                        .remedy("choose another size when the cluster is created, or ask for less"),
                );
            }
        }
        report
    }
}
