//! Whether a rolling update can finish.

use std::fmt;

use super::pack::{Dimensions, count, give, lacks, take};
use super::{Amounts, Capacity, Demand, Nearest};
use crate::finding::{At, Code, Finding, Report};

mod search;

/// A rolling update: so many new replicas, while old ones of the same deployment still run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutPlan {
    /// The new replicas.
    pub new: Demand,
    /// What an old replica takes, its overhead included.
    pub old: Amounts,
    /// Where the old ones run; the nodes' `used` includes them.
    pub running: Vec<Running>,
    /// How many replicas there may be above the number asked for.
    pub surge: u32,
    /// How many may be missing from it.
    pub unavailable: u32,
}

/// Old replicas on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Name of the node.
    pub node: String,
    /// How many.
    pub count: u32,
}

/// Why an update never finishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// New replicas that run when it stands still.
    pub started: u32,
    /// New replicas asked for.
    pub replicas: u32,
    /// The node that comes nearest to having room for one more, and what it lacks; `None` if no node comes into
    /// question, or none is needed.
    pub nearest: Option<Nearest>,
    /// Whether neither a surplus nor a gap is allowed, so that nothing can ever begin.
    pub neither: bool,
    /// Whether no other order of steps gets further; beyond small cases the order is a good one, not every one.
    pub proven: bool,
}

impl Capacity {
    /// Plays the update: new replicas start wherever they fit, old ones go as soon as they may, those first whose
    /// room lets a new one start. Where that stands still and the case is small, every other order is tried as well.
    ///
    /// # Errors
    ///
    /// Where it stands still before all new replicas run.
    pub fn roll(&self, plan: &RolloutPlan) -> Result<(), Stuck> {
        let wanted = plan.new.replicas;
        if wanted == 0 {
            return Ok(());
        }
        let mut state = State::new(self, plan);
        loop {
            state.start();
            if state.new >= u64::from(wanted) {
                return Ok(());
            }
            if !state.stop() {
                return match search::finishes(&State::new(self, plan)) {
                    Some(true) => Ok(()),
                    found => Err(state.stuck(found == Some(false))),
                };
            }
        }
    }
}

struct State<'a> {
    capacity: &'a Capacity,
    plan: &'a RolloutPlan,
    dimensions: Dimensions,
    request: Vec<u64>,
    old_request: Vec<u64>,
    free: Vec<Vec<u64>>,
    /// Old replicas on each node.
    old: Vec<u64>,
    allowed: Vec<usize>,
    new: u64,
}

impl<'a> State<'a> {
    fn new(capacity: &'a Capacity, plan: &'a RolloutPlan) -> Self {
        let node_amounts = capacity.nodes.iter().flat_map(|node| [&node.allocatable, &node.used]);
        let others = [&plan.new.request, &plan.new.overhead, &plan.old, &capacity.per_node];
        let dimensions = Dimensions::of(node_amounts.chain(others));
        let free = capacity.nodes.iter().map(|node| dimensions.free(node, &capacity.per_node)).collect();
        let running = |name: &str| -> u64 {
            plan.running
                .iter()
                .filter(|running| running.node == name)
                .map(|running| u64::from(running.count))
                .sum()
        };
        Self {
            request: dimensions.request(&plan.new),
            old_request: dimensions.vector(&plan.old, 1),
            free,
            old: capacity.nodes.iter().map(|node| running(&node.name)).collect(),
            allowed: (0..capacity.nodes.len())
                .filter(|&node| plan.new.may_use(&capacity.nodes[node]))
                .collect(),
            new: 0,
            dimensions,
            capacity,
            plan,
        }
    }

    fn total(&self) -> u64 {
        self.new + self.old.iter().sum::<u64>()
    }

    /// Starts new replicas as far as the surplus and the nodes allow.
    fn start(&mut self) {
        let most = u64::from(self.plan.new.replicas) + u64::from(self.plan.surge);
        for &node in &self.allowed {
            let may = most.saturating_sub(self.total()).min(u64::from(self.plan.new.replicas) - self.new);
            let here = count(&self.free[node], &self.request).min(may);
            take(&mut self.free[node], &self.request, here);
            self.new += here;
        }
    }

    /// Stops old replicas so that a new one can start; `false` if no allowed number of them makes room.
    fn stop(&mut self) -> bool {
        let fewest = u64::from(self.plan.new.replicas).saturating_sub(u64::from(self.plan.unavailable));
        let may = self.total().saturating_sub(fewest);
        // A new replica must also come within the surplus: too many old ones have to go before anything starts.
        let most = u64::from(self.plan.new.replicas) + u64::from(self.plan.surge);
        let excess = (self.total() + 1).saturating_sub(most);
        let helpful =
            self.allowed.iter().filter_map(|&node| self.needed(node).map(|needed| (needed, node))).min();
        let Some((needed, node)) = helpful else { return false };
        let go = needed.max(excess);
        if go == 0 || go > may {
            return false;
        }
        self.remove(node, needed);
        for other in 0..self.old.len() {
            let surplus = (self.total() + 1).saturating_sub(most);
            self.remove(other, surplus.min(self.old[other]));
        }
        true
    }

    /// How many old replicas must leave a node until one new fits, if they are enough.
    fn needed(&self, node: usize) -> Option<u64> {
        let mut free = self.free[node].clone();
        (0..=self.old[node]).find(|&gone| {
            if gone > 0 {
                give(&mut free, &self.old_request, 1);
            }
            count(&free, &self.request) > 0
        })
    }

    fn remove(&mut self, node: usize, count: u64) {
        give(&mut self.free[node], &self.old_request, count);
        self.old[node] -= count;
    }

    fn stuck(&self, proven: bool) -> Stuck {
        let short = |node: &usize| lacks(&self.dimensions, &self.free[*node], &self.request).len();
        let nearest =
            self.allowed.iter().copied().filter(|node| short(node) > 0).min_by_key(|node| short(node));
        Stuck {
            started: u32::try_from(self.new).unwrap_or(u32::MAX),
            replicas: self.plan.new.replicas,
            nearest: nearest.map(|node| Nearest {
                node: self.capacity.nodes[node].name.clone(),
                lacks: lacks(&self.dimensions, &self.free[node], &self.request),
            }),
            neither: self.plan.surge == 0 && self.plan.unavailable == 0,
            proven,
        }
    }
}

impl Stuck {
    /// The verdict as a finding.
    pub fn report(&self) -> Report {
        let remedy = if self.neither {
            "allow a surplus, or one replica to be missing"
        } else {
            "allow one more replica to be missing, or free what the node lacks"
        };
        Report::from(
            Finding::new(Code::RolloutStuck, &At::root(), self.to_string())
                .found(format!("{} of {} new replicas", self.started, self.replicas))
                .allowed("an update that can finish")
                .remedy(remedy),
        )
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the update stops at {} of {} new replicas: ", self.started, self.replicas)?;
        match &self.nearest {
            _ if self.neither => f.write_str("neither a surplus nor a missing replica is allowed"),
            Some(nearest) => write!(f, "{nearest} for one more"),
            None => f.write_str("no node comes into question"),
        }
    }
}

impl std::error::Error for Stuck {}
