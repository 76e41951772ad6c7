//! Capacity against brute force: what fits, what does not, and updates that can never finish.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, HashSet};

use portway_deploy_config::{
    Amounts, Capacity, Demand, Fit, MemoryMib, Millicores, Node, Resource, RolloutPlan, Running, Taint,
    Toleration,
};
use proptest::prelude::*;

fn amounts(cpu: u32, memory: u32, gpu: u32) -> Amounts {
    Amounts::new(Millicores(cpu), MemoryMib(memory)).with_gpu(gpu)
}

fn node(name: usize, allocatable: Amounts, max_pods: u32) -> Node {
    Node { name: format!("node-{name}"), allocatable, max_pods, ..Node::default() }
}

fn demand(name: &str, request: Amounts, replicas: u32) -> Demand {
    Demand { name: name.to_owned(), request, replicas, ..Demand::default() }
}

#[test]
fn r_cfg_13_says_which_node_lacks_what_and_how_many_would_fit() {
    let mut capacity =
        Capacity::new(vec![node(0, amounts(4000, 8192, 0), 110), node(1, amounts(4000, 4096, 0), 110)]);
    capacity.nodes[0].used = amounts(500, 1024, 0);
    capacity.per_node = amounts(100, 100, 0);
    let wanted = Demand { overhead: Amounts::replica_overhead(), ..demand("svc", amounts(1000, 2048, 0), 5) };
    let Fit::Short(short) = capacity.fit(std::slice::from_ref(&wanted)) else { panic!("five do not fit") };
    assert_eq!((short.largest, short.unplaced, short.proven), (3, 2, true));
    assert_eq!(capacity.largest(&wanted), 3);
    let nearest = short.nearest.clone().unwrap();
    assert_eq!(
        (nearest.node.as_str(), nearest.lacks),
        ("node-0", vec![(Resource::Memory, 2663 * 3 - (8192 - 1124))])
    );
    let report = Fit::Short(short).report();
    assert_eq!(report.iter().next().unwrap().code.as_str(), "capacity/does-not-fit");
}

#[test]
fn r_cfg_13_selectors_and_taints_are_obeyed() {
    let mut gpu_node = node(0, amounts(4000, 8192, 2), 110);
    gpu_node.labels.insert("pool".into(), "gpu".into());
    gpu_node.taints.push(Taint { key: "sku".into(), value: "gpu".into() });
    let capacity = Capacity::new(vec![gpu_node, node(1, amounts(4000, 8192, 0), 110)]);
    let mut wanted = demand("svc", amounts(100, 100, 1), 2);
    wanted.selector.insert("pool".into(), "gpu".into());
    let Fit::Short(short) = capacity.fit(std::slice::from_ref(&wanted)) else {
        panic!("the taint keeps it away")
    };
    assert_eq!((short.nearest.as_ref(), short.largest), (None, 0));
    assert_eq!(Fit::Short(short).report().iter().next().unwrap().code.as_str(), "capacity/no-node");
    wanted.tolerations.push(Toleration { key: Some("sku".into()), value: None });
    assert!(matches!(capacity.fit(&[wanted]), Fit::Fits(_)));
}

#[test]
fn r_cfg_13_named_accelerators_count() {
    let fpga = |count| Amounts {
        accelerators: BTreeMap::from([("xilinx.com/fpga".into(), count)]),
        ..amounts(1000, 1000, 0)
    };
    let capacity = Capacity::new(vec![node(0, fpga(1), 10)]);
    let small = Amounts { accelerators: fpga(1).accelerators, ..amounts(10, 10, 0) };
    let Fit::Short(short) = capacity.fit(&[demand("svc", small, 2)]) else { panic!("one card for two") };
    assert_eq!(short.nearest.unwrap().lacks, [(Resource::Accelerator("xilinx.com/fpga".into()), 1)]);
}

#[test]
fn r_cfg_13_an_update_without_a_spare_gpu_can_never_finish() {
    let mut capacity = Capacity::new(vec![node(0, amounts(8000, 8192, 1), 110)]);
    capacity.nodes[0].used = amounts(1000, 1024, 1);
    capacity.nodes[0].used_pods = 1;
    let plan = RolloutPlan {
        new: demand("svc", amounts(1000, 1024, 1), 1),
        old: amounts(1000, 1024, 1),
        running: vec![Running { node: "node-0".into(), count: 1 }],
        surge: 1,
        unavailable: 0,
    };
    let stuck = capacity.roll(&plan).unwrap_err();
    assert_eq!(stuck.nearest.as_ref().unwrap().lacks, [(Resource::Gpu, 1)]);
    assert_eq!(
        stuck.to_string(),
        "the update stops at 0 of 1 new replicas: node node-0 lacks 1 GPU for one more"
    );
    assert_eq!(stuck.report().iter().next().unwrap().code.as_str(), "capacity/rollout-stuck");
    assert_eq!(capacity.roll(&RolloutPlan { surge: 0, unavailable: 1, ..plan.clone() }), Ok(()));
    let neither = capacity.roll(&RolloutPlan { surge: 0, unavailable: 0, ..plan }).unwrap_err();
    assert!(neither.neither);
}

/// Whether any arrangement exists: every pod is tried on every node.
fn brute_force(free: &mut [[u64; 4]], pods: &[[u64; 4]]) -> bool {
    let Some((pod, rest)) = pods.split_first() else { return true };
    for index in 0..free.len() {
        if free[index].iter().zip(pod).all(|(free, wanted)| free >= wanted) {
            (0..4).for_each(|d| free[index][d] -= pod[d]);
            let found = brute_force(free, rest);
            (0..4).for_each(|d| free[index][d] += pod[d]);
            if found {
                return true;
            }
        }
    }
    false
}

fn plain(amounts: &Amounts, pods: u32) -> [u64; 4] {
    [amounts.cpu.0.into(), amounts.memory.0.into(), amounts.gpu.into(), pods.into()]
}

prop_compose! {
    fn small_amounts()(cpu in 1u32..8, memory in 1u32..8, gpu in 0u32..3) -> Amounts {
        amounts(cpu, memory, gpu)
    }
}

prop_compose! {
    fn cluster()(nodes in proptest::collection::vec((small_amounts(), 1u32..4), 1..4)) -> Capacity {
        Capacity::new(nodes.into_iter().enumerate().map(|(name, (room, pods))| node(name, room, pods)).collect())
    }
}

prop_compose! {
    fn demands()(all in proptest::collection::vec(((1u32..5, 1u32..5, 0u32..2), 1u32..4), 1..4)) -> Vec<Demand> {
        let each = |(index, ((cpu, memory, gpu), replicas)): (usize, _)| demand(&format!("d{index}"), amounts(cpu, memory, gpu), replicas);
        all.into_iter().enumerate().map(each).collect()
    }
}

/// Every state an update can reach: old and new replicas by node.
fn can_finish(capacity: &Capacity, plan: &RolloutPlan) -> bool {
    let (count, wanted) = (capacity.nodes.len(), plan.new.replicas);
    let old: Vec<u32> = capacity
        .nodes
        .iter()
        .map(|node| plan.running.iter().filter(|r| r.node == node.name).map(|r| r.count).sum())
        .collect();
    let (one_old, one_new) = (plain(&plan.old, 1), plain(&plan.new.request, 1));
    let start = (old.clone(), vec![0; count]);
    let (mut seen, mut stack) = (HashSet::from([start.clone()]), vec![start]);
    while let Some((olds, news)) = stack.pop() {
        if news.iter().sum::<u32>() == wanted {
            return true;
        }
        let total: u32 = olds.iter().chain(&news).sum();
        for index in 0..count {
            let mut next = (olds.clone(), news.clone());
            let room = plain(&capacity.nodes[index].allocatable, capacity.nodes[index].max_pods);
            let fits = (0..4).all(|d| {
                u64::from(olds[index]) * one_old[d] + u64::from(news[index] + 1) * one_new[d] <= room[d]
            });
            if fits && total < wanted + plan.surge {
                next.1[index] += 1;
                if seen.insert(next.clone()) {
                    stack.push(next.clone());
                }
                next.1[index] -= 1;
            }
            if olds[index] > 0 && total > wanted.saturating_sub(plan.unavailable) {
                next.0[index] -= 1;
                if seen.insert(next.clone()) {
                    stack.push(next);
                }
            }
        }
    }
    wanted == 0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_brute_force(capacity in cluster(), demands in demands()) {
        let mut free: Vec<_> = capacity.nodes.iter().map(|node| plain(&node.allocatable, node.max_pods)).collect();
        let pods: Vec<_> =
            demands.iter().flat_map(|each| std::iter::repeat_n(plain(&each.request, 1), each.replicas as usize)).collect();
        match capacity.fit(&demands) {
            Fit::Fits(placed) => {
                for each in &placed {
                    let request = plain(&demands[each.demand].request, 1);
                    for d in 0..4 {
                        let left = free[each.node][d].checked_sub(request[d] * u64::from(each.count));
                        prop_assert!(left.is_some(), "node {} is overfull", each.node);
                        free[each.node][d] = left.unwrap();
                    }
                }
                for (index, each) in demands.iter().enumerate() {
                    let all: u32 = placed.iter().filter(|placed| placed.demand == index).map(|placed| placed.count).sum();
                    prop_assert_eq!(all, each.replicas);
                }
            }
            Fit::Short(short) => {
                prop_assert!(short.proven, "a case as small as this is decided");
                prop_assert!(!brute_force(&mut free, &pods));
                prop_assert!(short.largest < short.replicas && short.nearest.is_some());
                prop_assert!(!short.nearest.unwrap().lacks.is_empty());
            }
        }
    }

    #[test]
    fn one_demand_is_answered_exactly(capacity in cluster(), request in small_amounts()) {
        let most = capacity.largest(&demand("svc", request.clone(), 1));
        for (replicas, fits) in [(most, true), (most + 1, false)] {
            let fit = capacity.fit(&[demand("svc", request.clone(), replicas)]);
            prop_assert_eq!(matches!(fit, Fit::Fits(_)), fits);
        }
    }

    #[test]
    fn an_update_finishes_if_any_order_of_steps_does(
        rooms in proptest::collection::vec((small_amounts(), 1u32..6), 1..4),
        olds in proptest::collection::vec(0u32..3, 3),
        old in (1u32..3, 1u32..3, 0u32..2),
        new in (1u32..4, 1u32..4, 0u32..2),
        replicas in 0u32..4,
        (surge, unavailable) in (0u32..3, 0u32..3),
    ) {
        let old = amounts(old.0, old.1, old.2);
        let mut capacity = Capacity::default();
        let mut running = Vec::new();
        for (index, (room, pods)) in rooms.into_iter().enumerate() {
            let mut each = node(index, room, pods);
            // As many old replicas as the node really holds.
            let room = plain(&each.allocatable, each.max_pods);
            let fits = (0..4).filter_map(|d| room[d].checked_div(plain(&old, 1)[d])).min().unwrap_or(0);
            let count = olds[index].min(u32::try_from(fits).unwrap());
            each.used = amounts(old.cpu.0 * count, old.memory.0 * count, old.gpu * count);
            each.used_pods = count;
            running.push(Running { node: each.name.clone(), count });
            capacity.nodes.push(each);
        }
        let plan = RolloutPlan { new: demand("svc", amounts(new.0, new.1, new.2), replicas), old, running, surge, unavailable };
        prop_assert_eq!(capacity.roll(&plan).is_ok(), can_finish(&capacity, &plan), "{:?}", plan);
    }
}
