//! The simulator against queueing theory (feature `sim`).
#![cfg(feature = "sim")]

use std::num::NonZeroU32;
use std::time::Duration;

use portway_autoscale::erlang::{erlang_c, wait_exceeds};
use portway_autoscale::sim::{Scenario, Service, Shape, Workload, clairvoyant_seconds, simulate};
use portway_autoscale::{Autoscaler, Bounds, Fixed, Policy};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn endless(shape: Shape) -> Service {
    Service { shape, max_wait: secs(100_000), ..Service::default() }
}

#[test]
fn waiting_agrees_with_erlang_c_within_two_percent() {
    for (servers, load, slots) in [(3_u32, 2.1, 1), (8, 6.0, 1), (16, 12.5, 4)] {
        let service =
            Service { max_concurrent: NonZeroU32::new(slots).unwrap(), ..endless(Shape::Exponential) };
        let replicas = servers / slots;
        let (mut waited, mut late, mut all) = (0.0, 0.0, 0.0);
        for seed in 0..8 {
            let scenario = Scenario { initial: replicas, seed, ..Scenario::new(service) };
            let workload = Workload::constant(secs(180_000 / servers as u64 / 8), load / 0.1);
            let outcome = simulate(&scenario, &workload, &mut Fixed(replicas));
            waited += (outcome.requests - outcome.started_at_once) as f64;
            late += (outcome.requests - outcome.started_in_time) as f64;
            all += outcome.requests as f64;
        }
        let (waits, exceeds) = (erlang_c(servers, load), wait_exceeds(servers, load, 0.1, 0.2));
        assert!((waited / all / waits - 1.0).abs() < 0.02, "{servers}: {} {waits}", waited / all);
        assert!((late / all - exceeds).abs() < 0.02 * waits, "{servers}: {} {exceeds}", late / all);
    }
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let scenario = Scenario { seed: 5, ..Scenario::new(Service::default()) };
    let workload = Workload::bursts(secs(600), secs(60), 20.0, 9);
    let run = |seed| {
        let scenario = Scenario { seed, ..scenario.clone() };
        simulate(&scenario, &workload, &mut Autoscaler::new(Policy::default(), Duration::ZERO, 1))
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn every_request_is_accounted_for() {
    let scenario = Scenario { initial: 2, ..Scenario::new(Service::default()) };
    let outcome = simulate(&scenario, &Workload::constant(secs(300), 50.0), &mut Fixed(2));
    assert_eq!(outcome.seconds.iter().map(|second| second.arrivals).sum::<u64>(), outcome.requests);
    assert!(outcome.refused_share() > 0.5 && outcome.started_in_time + outcome.refused <= outcome.requests);
    assert!((outcome.replica_seconds - 600.0).abs() < 1e-6);
}

#[test]
fn r_scl_5_a_cluster_that_shrinks_bounds_the_fleet() {
    let scenario = Scenario { bounds: Bounds::new(1, 50).capacity(30), ..Scenario::new(Service::default()) };
    let scenario = Scenario { room: vec![(secs(100), 4)], ..scenario };
    let mut scaler = Autoscaler::new(Policy::default(), Duration::ZERO, 1);
    let outcome = simulate(&scenario, &Workload::constant(secs(200), 100.0), &mut scaler);
    assert!(outcome.capacity_bound >= 95);
    assert!(outcome.seconds[105..].iter().all(|second| second.desired == 4));
}

#[test]
fn the_clairvoyant_pays_less_than_anyone_who_answers_all_in_time() {
    let scenario = Scenario { initial: 20, seed: 1, ..Scenario::new(Service::default()) };
    let workload = Workload::constant(secs(600), 50.0);
    let fixed = simulate(&scenario, &workload, &mut Fixed(20));
    let clairvoyant = clairvoyant_seconds(&scenario, &workload);
    assert!(fixed.in_time() > 0.999 && clairvoyant < fixed.replica_seconds);
    assert!(clairvoyant > 600.0 * 50.0 * 0.1);
}
