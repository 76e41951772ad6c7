//! Whether replicas find room on the nodes, before anything is applied.

use std::collections::BTreeMap;
use std::fmt;

use crate::finding::{At, Code, Finding, Report};
use crate::quantity::{MemoryMib, Millicores};
use crate::resources::Resources;

mod pack;
mod rollout;

pub use rollout::{RolloutPlan, Running, Stuck};

/// Amounts of what a node has and a replica asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Amounts {
    /// Processor time.
    pub cpu: Millicores,
    /// Memory.
    pub memory: MemoryMib,
    /// Graphics processors.
    pub gpu: u32,
    /// Other accelerators by the name of their extended resource.
    pub accelerators: BTreeMap<String, u32>,
}

impl Amounts {
    /// Processor time and memory, no accelerators.
    #[must_use]
    pub fn new(cpu: Millicores, memory: MemoryMib) -> Self {
        Self { cpu, memory, ..Self::default() }
    }

    /// The same with graphics processors.
    #[must_use]
    pub fn with_gpu(self, gpu: u32) -> Self {
        Self { gpu, ..self }
    }

    /// What the original was seen to add to a replica: 0.1 cores and 0.6 GB on top of what was asked for.
    #[must_use]
    pub fn replica_overhead() -> Self {
        Self::new(Millicores(100), MemoryMib(615))
    }
}

impl From<&Resources> for Amounts {
    fn from(resources: &Resources) -> Self {
        Self {
            cpu: resources.cpu,
            memory: resources.memory,
            gpu: resources.gpu,
            accelerators: resources.accelerators.clone(),
        }
    }
}

/// A node as the scheduler sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What it has for pods.
    pub allocatable: Amounts,
    /// How many pods it takes.
    pub max_pods: u32,
    /// What runs there, daemons included.
    pub used: Amounts,
    /// How many pods run there, daemons included.
    pub used_pods: u32,
    /// Labels, for selectors.
    pub labels: BTreeMap<String, String>,
    /// Taints, which keep pods away that do not tolerate them.
    pub taints: Vec<Taint>,
}

/// A taint that keeps pods away.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value; often empty.
    pub value: String,
}

/// What lets a pod onto a node with a taint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toleration {
    /// The taint's key; `None` tolerates all.
    pub key: Option<String>,
    /// The taint's value; `None` tolerates any.
    pub value: Option<String>,
}

/// Replicas that want room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// What they are replicas of.
    pub name: String,
    /// What one asks for.
    pub request: Amounts,
    /// What comes on top of that.
    pub overhead: Amounts,
    /// How many.
    pub replicas: u32,
    /// Labels that their node must have.
    pub selector: BTreeMap<String, String>,
    /// Taints that do not keep them away.
    pub tolerations: Vec<Toleration>,
}

/// The nodes of a cluster and what runs on every one of them.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::{Amounts, Capacity, Demand, Fit, MemoryMib, Millicores, Node};
///
/// let node = |name: &str| Node {
///     name: name.to_owned(),
///     allocatable: Amounts::new(Millicores(3860), MemoryMib(12_000)),
///     max_pods: 110,
///     ..Node::default()
/// };
/// let capacity = Capacity::new(vec![node("a"), node("b")]);
/// let request = Amounts::new(Millicores(2000), MemoryMib(1024));
/// let demand = Demand { name: "service".to_owned(), request, replicas: 3, ..Demand::default() };
/// let Fit::Short(short) = capacity.fit(&[demand]) else { panic!("three do not fit") };
/// assert_eq!((short.unplaced, short.largest, short.proven), (1, 2, true));
/// assert_eq!(short.to_string(), "1 of 3 replicas of service find no room: node a lacks 140m of CPU; 2 would fit");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What daemons that are still to come will take of every node.
    pub per_node: Amounts,
}

/// Whether everything finds room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does, for example like this.
    Fits(Vec<Placed>),
    /// It does not.
    Short(Shortfall),
}

/// Replicas of one demand on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Placed {
    /// Index of the demand.
    pub demand: usize,
    /// Index of the node.
    pub node: usize,
    /// How many.
    pub count: u32,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// Name of the demand that finds no room.
    pub demand: String,
    /// How many replicas it asked for.
    pub replicas: u32,
    /// How many of them find no room.
    pub unplaced: u32,
    /// How many would.
    pub largest: u32,
    /// The node that comes nearest, and what it lacks for one more; `None` if selector and taints leave no node.
    pub nearest: Option<Nearest>,
    /// Whether no other arrangement exists; beyond small cases several demands are arranged well, not perfectly.
    pub proven: bool,
}

/// The node that comes nearest to having room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Its name.
    pub node: String,
    /// What it lacks, and how much of it.
    pub lacks: Vec<(Resource, u64)>,
}

/// A kind of room.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Processor time, in thousandths of a core.
    Cpu,
    /// Memory, in MiB.
    Memory,
    /// Graphics processors.
    Gpu,
    /// Places for pods.
    Pods,
    /// Another accelerator.
    Accelerator(String),
}

impl Capacity {
    /// Nodes without further daemons to come.
    #[must_use]
    pub fn new(nodes: Vec<Node>) -> Self {
        Self { nodes, per_node: Amounts::default() }
    }

    /// Whether all demands find room together. One demand alone is answered exactly, several are by first fit, the
    /// largest first, and by a search of all arrangements where that fails and the search is small.
    #[must_use]
    pub fn fit(&self, demands: &[Demand]) -> Fit {
        pack::fit(self, demands)
    }

    /// The most replicas of one demand that find room.
    #[must_use]
    pub fn largest(&self, demand: &Demand) -> u32 {
        pack::largest(self, demand)
    }
}

impl Fit {
    /// The verdict as findings: none, or one that says what is missing.
    pub fn report(&self) -> Report {
        match self {
            Self::Fits(_) => Report::default(),
            Self::Short(short) => Report::from(short.finding()),
        }
    }
}

impl Shortfall {
    fn finding(&self) -> Finding {
        let code = if self.nearest.is_some() { Code::DoesNotFit } else { Code::NoNode };
        Finding::new(code, &At::root(), self.to_string())
            .found(format!("{} replicas", self.replicas))
            .allowed(format!("at most {}", self.largest))
            .remedy("ask for fewer or smaller replicas, or add a node; nodes are never added by this system")
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} replicas of {} find no room: ", self.unplaced, self.replicas, self.demand)?;
        match &self.nearest {
            None => f.write_str("no node has the labels asked for without a taint that keeps them away")?,
            Some(nearest) => write!(f, "{nearest}")?,
        }
        write!(f, "; {} would fit", self.largest)
    }
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} lacks ", self.node)?;
        for (index, (resource, amount)) in self.lacks.iter().enumerate() {
            let separator = if index > 0 { " and " } else { "" };
            match resource {
                Resource::Cpu => write!(f, "{separator}{amount}m of CPU")?,
                Resource::Memory => write!(f, "{separator}{amount} MiB of memory")?,
                Resource::Gpu => write!(f, "{separator}{amount} GPU")?,
                Resource::Pods => write!(f, "{separator}{amount} place for a pod")?,
                Resource::Accelerator(name) => write!(f, "{separator}{amount} {name}")?,
            }
        }
        Ok(())
    }
}

impl Demand {
    pub(super) fn may_use(&self, node: &Node) -> bool {
        let labelled = self.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
        labelled
            && node
                .taints
                .iter()
                .all(|taint| self.tolerations.iter().any(|toleration| toleration.covers(taint)))
    }
}

impl Toleration {
    fn covers(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}
