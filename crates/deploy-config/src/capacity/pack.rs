//! Packing in plain numbers.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::{Amounts, Capacity, Demand, Fit, Nearest, Node, Placed, Resource, Shortfall};

/// Amounts as numbers: CPU, memory, graphics processors, pods, then the accelerators that occur.
type Vector = Vec<u64>;

const FIXED: usize = 4;

/// The names of the accelerators that occur, in order.
pub(super) struct Dimensions(Vec<String>);

impl Dimensions {
    pub(super) fn of<'a>(amounts: impl Iterator<Item = &'a Amounts>) -> Self {
        let names: BTreeSet<&String> = amounts.flat_map(|amounts| amounts.accelerators.keys()).collect();
        Self(names.into_iter().cloned().collect())
    }

    pub(super) fn vector(&self, amounts: &Amounts, pods: u32) -> Vector {
        let mut vector = vec![amounts.cpu.0.into(), amounts.memory.0.into(), amounts.gpu.into(), pods.into()];
        vector.extend(
            self.0.iter().map(|name| u64::from(amounts.accelerators.get(name).copied().unwrap_or(0))),
        );
        vector
    }

    fn resource(&self, index: usize) -> Resource {
        match index {
            0 => Resource::Cpu,
            1 => Resource::Memory,
            2 => Resource::Gpu,
            3 => Resource::Pods,
            other => Resource::Accelerator(self.0[other - FIXED].clone()),
        }
    }

    /// What one replica takes, its overhead and its place included.
    pub(super) fn request(&self, demand: &Demand) -> Vector {
        add(&self.vector(&demand.request, 1), &self.vector(&demand.overhead, 0))
    }

    /// What is free on a node.
    pub(super) fn free(&self, node: &Node, per_node: &Amounts) -> Vector {
        let taken = add(&self.vector(&node.used, node.used_pods), &self.vector(per_node, 0));
        self.vector(&node.allocatable, node.max_pods)
            .iter()
            .zip(taken)
            .map(|(all, taken)| all.saturating_sub(taken))
            .collect()
    }
}

fn add(one: &[u64], other: &[u64]) -> Vector {
    one.iter().zip(other).map(|(one, other)| one.saturating_add(*other)).collect()
}

/// How many of `request` go into `free`; the place that each takes keeps the number finite.
pub(super) fn count(free: &[u64], request: &[u64]) -> u64 {
    free.iter()
        .zip(request)
        .filter(|(_, wanted)| **wanted > 0)
        .map(|(free, wanted)| free / wanted)
        .min()
        .unwrap_or(0)
}

fn fits(free: &[u64], request: &[u64]) -> bool {
    free.iter().zip(request).all(|(free, wanted)| free >= wanted)
}

pub(super) fn take(free: &mut [u64], request: &[u64], count: u64) {
    for (free, wanted) in free.iter_mut().zip(request) {
        *free -= wanted * count;
    }
}

pub(super) fn give(free: &mut [u64], request: &[u64], count: u64) {
    for (free, wanted) in free.iter_mut().zip(request) {
        *free += wanted * count;
    }
}

/// What a node lacks for one more.
pub(super) fn lacks(dimensions: &Dimensions, free: &[u64], request: &[u64]) -> Vec<(Resource, u64)> {
    let short = free.iter().zip(request).enumerate().filter(|(_, (free, wanted))| wanted > free);
    short.map(|(index, (free, wanted))| (dimensions.resource(index), wanted - free)).collect()
}

/// The problem, laid out.
struct Problem<'a> {
    capacity: &'a Capacity,
    demands: &'a [Demand],
    dimensions: Dimensions,
    requests: Vec<Vector>,
    free: Vec<Vector>,
    /// For each demand the nodes that it may use; demands of the same selector and tolerations share theirs.
    allowed: Vec<Rc<[usize]>>,
}

impl<'a> Problem<'a> {
    fn new(capacity: &'a Capacity, demands: &'a [Demand]) -> Self {
        let node_amounts = capacity.nodes.iter().flat_map(|node| [&node.allocatable, &node.used]);
        let demand_amounts = demands.iter().flat_map(|demand| [&demand.request, &demand.overhead]);
        let dimensions = Dimensions::of(node_amounts.chain(demand_amounts).chain([&capacity.per_node]));
        let requests = demands.iter().map(|demand| dimensions.request(demand)).collect();
        let free = capacity.nodes.iter().map(|node| dimensions.free(node, &capacity.per_node)).collect();
        let mut allowed: Vec<Rc<[usize]>> = Vec::with_capacity(demands.len());
        for demand in demands {
            let same =
                |other: &Demand| other.selector == demand.selector && other.tolerations == demand.tolerations;
            // Neighbours are mostly of one kind.
            let nodes = match allowed.last().filter(|_| same(&demands[allowed.len() - 1])) {
                Some(nodes) => Rc::clone(nodes),
                None => {
                    (0..capacity.nodes.len()).filter(|&node| demand.may_use(&capacity.nodes[node])).collect()
                }
            };
            allowed.push(nodes);
        }
        Self { capacity, demands, dimensions, requests, free, allowed }
    }

    /// First fit, the largest demand first, in the share of the cluster that one replica takes at its scarcest.
    fn first_fit(&self, free: &mut [Vector]) -> (Vec<Placed>, Vec<u64>) {
        let total: Vector = (0..self.free.first().map_or(0, Vec::len))
            .map(|index| free.iter().map(|free| free[index]).sum::<u64>().max(1))
            .collect();
        // Parts per million of the whole, so that whole numbers compare.
        let size = |demand: &usize| {
            let parts = |(wanted, all): (&u64, &u64)| u128::from(*wanted) * 1_000_000_000 / u128::from(*all);
            self.requests[*demand].iter().zip(&total).map(parts).max()
        };
        let mut order: Vec<_> = (0..self.demands.len()).collect();
        order.sort_by_cached_key(|demand| std::cmp::Reverse(size(demand)));
        let (mut placed, mut unplaced) = (Vec::new(), vec![0; self.demands.len()]);
        for demand in order {
            let (mine, rest) = self.place(demand, u64::from(self.demands[demand].replicas), free);
            placed.extend(mine);
            unplaced[demand] = rest;
        }
        (placed, unplaced)
    }

    fn place(&self, demand: usize, mut rest: u64, free: &mut [Vector]) -> (Vec<Placed>, u64) {
        let mut placed = Vec::new();
        let request = &self.requests[demand];
        for &node in &*self.allowed[demand] {
            if rest == 0 {
                break;
            }
            // Most nodes are too full for one more: that is seen without dividing.
            if !fits(&free[node], request) {
                continue;
            }
            let room = count(&free[node], request).min(rest);
            if room > 0 {
                take(&mut free[node], request, room);
                rest -= room;
                placed.push(Placed { demand, node, count: u32::try_from(room).unwrap_or(u32::MAX) });
            }
        }
        (placed, rest)
    }

    /// Whether the demands ask for more than there is in all, whatever the arrangement.
    fn asks_too_much(&self) -> bool {
        (0..self.free.first().map_or(0, Vec::len)).any(|index| {
            let wanted: u128 = (self.demands.iter().zip(&self.requests))
                .map(|(demand, request)| u128::from(demand.replicas) * u128::from(request[index]))
                .sum();
            wanted > self.free.iter().map(|free| u128::from(free[index])).sum()
        })
    }

    fn shortfall(&self, demand: usize, unplaced: u64, free: &[Vector], proven: bool) -> Shortfall {
        let asked = &self.demands[demand];
        let unplaced = u32::try_from(unplaced).unwrap_or(u32::MAX);
        let request = &self.requests[demand];
        // The fewest kinds of room missing, then the smallest part of the request that is.
        let nearness = |node: &usize| {
            let missing = free[*node].iter().zip(request).filter(|(free, wanted)| wanted > free);
            let part =
                |(free, wanted): (&u64, &u64)| u128::from(wanted - free) * 1_000_000 / u128::from(*wanted);
            (missing.clone().count(), missing.map(part).sum::<u128>())
        };
        let nearest = self.allowed[demand].iter().copied().min_by_key(nearness).map(|node| Nearest {
            node: self.capacity.nodes[node].name.clone(),
            lacks: lacks(&self.dimensions, &free[node], request),
        });
        Shortfall {
            demand: asked.name.clone(),
            replicas: asked.replicas,
            unplaced,
            largest: asked.replicas - unplaced,
            nearest,
            proven,
        }
    }
}

pub(super) fn fit(capacity: &Capacity, demands: &[Demand]) -> Fit {
    let problem = Problem::new(capacity, demands);
    let mut free = problem.free.clone();
    let (placed, unplaced) = problem.first_fit(&mut free);
    let Some(first) = unplaced.iter().position(|unplaced| *unplaced > 0) else {
        return Fit::Fits(placed);
    };
    let alone = |demand: usize| {
        let mut free = problem.free.clone();
        problem.place(demand, u64::from(demands[demand].replicas), &mut free).1 > 0
    };
    let proven = demands.len() == 1
        || problem.asks_too_much()
        || (unplaced.iter().enumerate()).any(|(each, rest)| *rest > 0 && alone(each));
    if proven {
        return Fit::Short(problem.shortfall(first, unplaced[first], &free, true));
    }
    let mut search = Search { problem: &problem, steps: SEARCH_STEPS, placed: Vec::new() };
    let mut all = problem.free.clone();
    match search.demand(0, &mut all) {
        Some(true) => Fit::Fits(search.placed),
        found => Fit::Short(problem.shortfall(first, unplaced[first], &free, found == Some(false))),
    }
}

pub(super) fn largest(capacity: &Capacity, demand: &Demand) -> u32 {
    let problem = Problem::new(capacity, std::slice::from_ref(demand));
    let room: u64 =
        problem.allowed[0].iter().map(|&node| count(&problem.free[node], &problem.requests[0])).sum();
    u32::try_from(room).unwrap_or(u32::MAX)
}

/// Steps after which a search of all arrangements gives up; a hundredth of a second's worth.
const SEARCH_STEPS: u32 = 200_000;

/// All arrangements, one demand after the other, the fullest first.
struct Search<'a, 'p> {
    problem: &'a Problem<'p>,
    steps: u32,
    placed: Vec<Placed>,
}

impl Search<'_, '_> {
    /// `None` when the steps are used up.
    fn demand(&mut self, demand: usize, free: &mut [Vector]) -> Option<bool> {
        match self.problem.demands.get(demand) {
            None => Some(true),
            Some(asked) => self.node(demand, 0, u64::from(asked.replicas), free),
        }
    }

    fn node(&mut self, demand: usize, index: usize, rest: u64, free: &mut [Vector]) -> Option<bool> {
        self.steps = self.steps.checked_sub(1)?;
        if rest == 0 {
            return self.demand(demand + 1, free);
        }
        let problem = self.problem;
        let Some(&node) = problem.allowed[demand].get(index) else { return Some(false) };
        let request = &problem.requests[demand];
        let room: u64 =
            problem.allowed[demand][index..].iter().map(|&node| count(&free[node], request)).sum();
        if room < rest {
            return Some(false);
        }
        let most = count(&free[node], request).min(rest);
        for here in (0..=most).rev() {
            take(&mut free[node], request, here);
            let length = self.placed.len();
            if here > 0 {
                self.placed.push(Placed { demand, node, count: u32::try_from(here).unwrap_or(u32::MAX) });
            }
            let found = self.node(demand, index + 1, rest - here, free);
            give(&mut free[node], request, here);
            match found {
                Some(false) => self.placed.truncate(length),
                other => return other,
            }
        }
        Some(false)
    }
}
