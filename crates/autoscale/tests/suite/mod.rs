//! The benchmark of policies: every kind of workload × every service × seeds, ours and the peers' on the same requests.

#![allow(dead_code, reason = "each of its users takes the part it needs")]

pub(crate) mod peers;
pub(crate) mod shapes;

use std::time::Duration;

use peers::{Documented, Hpa, Knative, Metric, Ray};
use portway_autoscale::sim::{Scenario, Service, Workload, clairvoyant_seconds, simulate};
use portway_autoscale::{Autoscaler, Bounds, Policy, Preset, Scaler, Target};

/// One service under one workload, and what a clairvoyant would pay for it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) kind: &'static str,
    pub(crate) service: &'static str,
    pub(crate) scenario: Scenario,
    pub(crate) workload: Workload,
    pub(crate) clairvoyant: f64,
}

/// All cases of some kinds of workload.
pub(crate) fn cases(kinds: &[&'static str], seeds: std::ops::Range<u64>, length: Duration) -> Vec<Case> {
    let mut cases = Vec::new();
    for &kind in kinds {
        for (index, (name, service, erlangs)) in shapes::services().into_iter().enumerate() {
            for seed in seeds.clone() {
                let seed = seed * 1_000 + index as u64;
                let workload = shapes::workload(kind, erlangs, &service, length, seed);
                let begin = workload.rates().first().copied().unwrap_or(0.0) * service.mean.as_secs_f64();
                let initial = (begin / 0.7 / f64::from(service.max_concurrent.get())).ceil().max(1.0) as u32;
                let scenario =
                    Scenario { bounds: Bounds::new(1, 200), initial, seed, ..Scenario::new(service) };
                let clairvoyant = clairvoyant_seconds(&scenario, &workload);
                cases.push(Case { kind, service: name, scenario, workload, clairvoyant });
            }
        }
    }
    cases
}

/// A policy of ours for a service: a preset at a target, told what the service promises. What `slo` aims at is the share of late
/// requests, so a sweep of targets sweeps that: 1 % at 70, less below, more above.
pub(crate) fn policy_for(preset: Preset, target: u16, service: &Service) -> Policy {
    let late = match target {
        ..=50 => 0.0001,
        51..=60 => 0.001,
        61..=70 => 0.01,
        71..=80 => 0.1,
        81..=85 => 0.3,
        86..=90 => 0.5,
        91.. => 0.9,
    };
    Policy {
        target: Target::percent(target).expect("a percentage"),
        late: if preset == Preset::Slo { late } else { 0.01 },
        max_concurrent: service.max_concurrent,
        max_wait: service.max_wait,
        wait_slo: service.wait_slo,
        ..Policy::preset(preset)
    }
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Contender {
    Ours(Preset),
    Busy,
    BusyAndQueued,
    Knative,
    KnativeDelayed,
    HpaUtilisation,
    HpaConcurrency,
    Ray,
    RayTuned,
}

impl Contender {
    pub(crate) const PEERS: [Self; 8] = [
        Self::Busy,
        Self::BusyAndQueued,
        Self::Knative,
        Self::KnativeDelayed,
        Self::HpaUtilisation,
        Self::HpaConcurrency,
        Self::Ray,
        Self::RayTuned,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours(preset) => preset.as_str(),
            Self::Busy => "documented rule, busy only",
            Self::BusyAndQueued => "documented rule with queue",
            Self::Knative => "Knative, its defaults",
            Self::KnativeDelayed => "Knative, 60 s delay",
            Self::HpaUtilisation => "HPA on utilisation",
            Self::HpaConcurrency => "HPA on concurrency",
            Self::Ray => "Ray Serve, its delays",
            Self::RayTuned => "Ray Serve, 1 s and 60 s",
        }
    }

    pub(crate) fn scaler(self, target: u16, scenario: &Scenario) -> Box<dyn Scaler> {
        let (share, concurrent) =
            (f64::from(target) / 100.0, f64::from(scenario.service.max_concurrent.get()));
        let initial = scenario.initial;
        match self {
            Self::Ours(preset) => {
                let policy = policy_for(preset, target, &scenario.service);
                Box::new(Autoscaler::new(policy, Duration::ZERO, initial))
            }
            Self::Busy => Box::new(Documented::new(share, concurrent, false)),
            Self::BusyAndQueued => Box::new(Documented::new(share, concurrent, true)),
            Self::Knative => Box::new(Knative::new(share, concurrent, 0, initial)),
            Self::KnativeDelayed => Box::new(Knative::new(share, concurrent, 60, initial)),
            Self::HpaUtilisation => Box::new(Hpa::new(share, concurrent, Metric::Utilisation)),
            Self::HpaConcurrency => Box::new(Hpa::new(share, concurrent, Metric::Concurrency)),
            Self::Ray => Box::new(Ray::new(share, concurrent, 30, 30, 600)),
            Self::RayTuned => Box::new(Ray::new(share, concurrent, 5, 1, 60)),
        }
    }
}

/// What one case came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Row {
    /// Requests started in time, in percent.
    pub(crate) in_time: f64,
    /// Requests refused, in percent.
    pub(crate) refused: f64,
    /// Paid replica-seconds over the clairvoyant's.
    pub(crate) cost: f64,
    pub(crate) actions_per_hour: f64,
    /// Raises within a minute of a cut, per hour.
    pub(crate) raises_after_cuts: f64,
}

/// Plays all cases with the scalers that `make` gives.
pub(crate) fn play(cases: &[Case], make: impl Fn(&Scenario) -> Box<dyn Scaler>) -> Vec<Row> {
    let row = |case: &Case| {
        let outcome = simulate(&case.scenario, &case.workload, &mut *make(&case.scenario));
        Row {
            in_time: outcome.in_time() * 100.0,
            refused: outcome.refused_share() * 100.0,
            cost: outcome.replica_seconds / case.clairvoyant,
            actions_per_hour: outcome.actions_per_hour(),
            raises_after_cuts: outcome.raises_after_cuts_per_hour(),
        }
    };
    cases.iter().map(row).collect()
}

/// The mean over cases, each case counting the same.
pub(crate) fn mean(rows: &[Row]) -> Row {
    let of = |field: fn(&Row) -> f64| rows.iter().map(field).sum::<f64>() / rows.len() as f64;
    Row {
        in_time: of(|row| row.in_time),
        refused: of(|row| row.refused),
        cost: of(|row| row.cost),
        actions_per_hour: of(|row| row.actions_per_hour),
        raises_after_cuts: of(|row| row.raises_after_cuts),
    }
}

/// Requests started in time over the worst tenth of the cases, in percent.
pub(crate) fn worst_tenth(rows: &[Row]) -> f64 {
    let mut in_time: Vec<f64> = rows.iter().map(|row| row.in_time).collect();
    in_time.sort_by(f64::total_cmp);
    let tenth = (rows.len() / 10).max(1);
    in_time[..tenth].iter().sum::<f64>() / tenth as f64
}
