//! The presets against the peers' rules on simulated traffic (feature `sim`): a part of what `RESULTS.md` shows, small enough for every run.
#![cfg(feature = "sim")]

mod suite;

use std::num::NonZeroU32;
use std::time::Duration;

use portway_autoscale::sim::{Scenario, Service, Workload, simulate};
use portway_autoscale::{Autoscaler, Bounds, Policy, Preset};
use suite::{Case, Contender, Row, cases, mean, play, shapes};

/// All twelve kinds for half an hour each, every kind with two of the five services.
fn some_cases() -> Vec<Case> {
    let kinds = [&shapes::TUNED[..], &shapes::HELD_BACK].concat();
    let all = cases(&kinds, 201..202, Duration::from_secs(1_800));
    let place = |case: &Case| kinds.iter().position(|kind| *kind == case.kind).expect("a kind of the list");
    let names = shapes::services().map(|(name, _, _)| name);
    let chosen = |case: &Case| (0..2).any(|next| names[(place(case) * 2 + next + 2) % 5] == case.service);
    all.into_iter().filter(|case| case.service != "short" && chosen(case)).collect()
}

fn figures(cases: &[Case], contender: Contender) -> Row {
    mean(&play(cases, |scenario| contender.scaler(70, scenario)))
}

#[test]
fn r_scl_3_the_presets_answer_more_in_time_than_knative_for_no_more_cost() {
    let cases = some_cases();
    let knative = figures(&cases, Contender::Knative);
    for (preset, points, cost, raises) in [
        (Preset::Default, 2.9, 1.0, 0.26),
        (Preset::Adaptive, 5.4, 1.09, 0.10),
        (Preset::Slo, 5.4, 1.02, 0.10),
    ] {
        let ours = figures(&cases, Contender::Ours(preset));
        assert!(ours.in_time >= knative.in_time + points, "{preset}: {ours:?}, Knative: {knative:?}");
        assert!(ours.cost <= knative.cost * cost, "{preset}: {ours:?}, Knative: {knative:?}");
        assert!(
            ours.raises_after_cuts <= knative.raises_after_cuts * raises,
            "{preset}: {ours:?}, Knative: {knative:?}"
        );
    }
}

#[test]
fn r_scl_3_does_not_saturate_where_the_documented_rule_does() {
    let scenario =
        Scenario { bounds: Bounds::new(1, 200), initial: 3, seed: 3, ..Scenario::new(Service::default()) };
    let workload = Workload::step(Duration::from_secs(600), Duration::from_secs(200), 20.0, 400.0);
    let run = |contender: Contender| {
        simulate(&scenario, &workload, &mut *contender.scaler(70, &scenario)).in_time()
    };
    let (ours, theirs) = (run(Contender::Ours(Preset::Default)), run(Contender::Busy));
    assert!(ours > 0.95 && ours > theirs + 0.02, "{ours} {theirs}");
}

#[test]
fn poisson_traffic_is_left_alone() {
    let (mut actions, mut regrets) = (0.0, 0.0);
    for seed in 0..4 {
        let scenario = Scenario { initial: 10, seed, ..Scenario::new(Service::default()) };
        let workload = Workload::constant(Duration::from_secs(3_600), 70.0);
        let mut scaler = Autoscaler::new(Policy::default(), Duration::ZERO, 10);
        let outcome = simulate(&scenario, &workload, &mut scaler);
        actions += outcome.actions_per_hour() / 4.0;
        regrets += outcome.raises_after_cuts_per_hour() / 4.0;
    }
    assert!(actions <= 15.0 && regrets <= 1.0, "{actions} actions, {regrets} raises after cuts an hour");
}

#[test]
fn r_scl_3_small_services_do_not_queue() {
    let in_time = |preset| {
        let policy = Policy { max_concurrent: NonZeroU32::MIN, ..Policy::preset(preset) };
        let service = Service { mean: Duration::from_secs(1), ..Service::default() };
        let scenario = Scenario { initial: 4, seed: 11, ..Scenario::new(service) };
        let workload = Workload::constant(Duration::from_secs(3_600), 1.5);
        simulate(&scenario, &workload, &mut Autoscaler::new(policy, Duration::ZERO, 4)).in_time()
    };
    assert!(in_time(Preset::Default) > in_time(Preset::Documented) + 0.01);
    assert!(in_time(Preset::Default) > 0.97);
}
