//! What holds for any traffic: bounds, sizes, calm, eagerness, care, replay.

use std::num::NonZeroU32;
use std::time::Duration;

use portway_autoscale::erlang::servers_for;
use portway_autoscale::{
    Autoscaler, Bounds, FleetState, Policy, Preset, Sample, Scaler, Target, Traffic, decide,
};
use proptest::prelude::*;

/// A service whose orders are carried out at once, under traffic without noise.
struct Loop {
    scaler: Autoscaler,
    bounds: Bounds,
    replicas: u32,
    now: u64,
    owed: f64,
}

impl Loop {
    fn new(policy: Policy, replicas: u32) -> Self {
        let scaler = Autoscaler::new(policy, Duration::ZERO, replicas);
        Self { scaler, bounds: Bounds::new(1, 10_000), replicas, now: 0, owed: 0.0 }
    }

    fn second(&mut self, rate: f64, service: f64) -> u32 {
        self.now += 1;
        self.owed += rate;
        let arrivals = self.owed as u64;
        self.owed -= arrivals as f64;
        self.sample(arrivals, service, rate * service)
    }

    fn sample(&mut self, arrivals: u64, service: f64, in_flight: f64) -> u32 {
        let service_seconds = arrivals as f64 * service;
        let traffic =
            Traffic { arrivals, completions: arrivals, service_seconds, in_flight, ..Traffic::default() };
        let sample = Sample { traffic, fleet: FleetState::settled(self.replicas) };
        let want = self.scaler.want(Duration::from_secs(self.now), &sample);
        self.replicas = decide(self.replicas, want, self.bounds).target(self.replicas);
        self.replicas
    }

    fn seconds(&mut self, count: u64, rate: f64, service: f64) -> u32 {
        (0..count).for_each(|_| {
            self.second(rate, service);
        });
        self.replicas
    }
}

fn settled(policy: Policy, rate: f64, service: f64) -> u32 {
    Loop::new(policy, 1).seconds(250, rate, service)
}

/// The most that a steady load may be answered with: the greater of formula and floor.
fn most(policy: &Policy, load: f64, service: f64) -> u32 {
    let concurrent = policy.max_concurrent.get();
    let floor = servers_for(load, service, policy.wait_slo.as_secs_f64(), policy.late).div_ceil(concurrent);
    floor.max((load / policy.target.fraction() / f64::from(concurrent)).ceil() as u32)
}

fn preset() -> impl Strategy<Value = Preset> {
    prop::sample::select(Preset::ALL.to_vec())
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let number = prop_oneof![
        Just(0.0),
        0.0..100.0_f64,
        Just(f64::NAN),
        Just(-1.0),
        Just(f64::INFINITY),
        Just(f64::MAX)
    ];
    let count = prop_oneof![0..1_000_u64, Just(u64::MAX), any::<u64>()];
    (prop::array::uniform4(count), prop::array::uniform5(number)).prop_map(|(counts, numbers)| Traffic {
        arrivals: counts[0],
        completions: counts[1],
        rejected: counts[2],
        waiting: counts[3],
        service_seconds: numbers[0],
        service_seconds_squared: numbers[1],
        busy: numbers[2],
        in_flight: numbers[3],
        queued: numbers[4],
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn r_scl_1_answers_stay_within_bounds_whatever_comes(
        preset in preset(),
        samples in prop::collection::vec((traffic(), 0..20_000_u64, 0..50_u32, prop::option::of(0..40_u32)), 1..80),
        (min, max) in (0..20_u32, 0..60_u32),
    ) {
        let mut scaler = Autoscaler::new(Policy::preset(preset), Duration::ZERO, 1);
        let mut current = 1;
        for (traffic, millis, ready, capacity) in samples {
            let fleet = FleetState { ready, desired: current, starting: ready / 2, ..FleetState::default() };
            let want = scaler.want(Duration::from_millis(millis), &Sample { traffic, fleet });
            let decision = decide(current, want, Bounds { min, max, capacity });
            current = decision.target(current);
            let starved = capacity.is_some_and(|capacity| capacity < min);
            prop_assert!(current >= min);
            prop_assert!(current <= max.max(min) && (starved || current <= capacity.unwrap_or(u32::MAX)));
            prop_assert_eq!(starved, decision.limit() == portway_autoscale::Limit::Starved);
        }
    }

    #[test]
    fn r_scl_2_steady_load_gets_the_documented_size(rate in 0.2..200.0_f64, service in 0.05..2.0_f64, concurrent in 1..8_u32) {
        for preset in [Preset::Documented, Preset::Default, Preset::Adaptive] {
            let policy = Policy { max_concurrent: NonZeroU32::new(concurrent).unwrap(), ..Policy::preset(preset) };
            let slot = 0.7 * f64::from(concurrent);
            // From below it is exact up to one deviation of a Poisson base window, which is what makes it deaf to noise.
            let (load, deviation) = (rate * service, (rate * 30.0 + 1.0).sqrt() / 30.0 * service);
            let least = (0.97 * (load - deviation) / slot).ceil() as u32;
            let greatest = most(&policy, load + deviation, service) + 1;
            for (found, least) in [(1, least), (least * 3 + 9, (0.97 * load / slot).ceil() as u32)] {
                let replicas = Loop::new(policy.clone(), found).seconds(150, rate, service);
                prop_assert!((least..=greatest).contains(&replicas), "{preset}: {replicas} not in {least}..={greatest}");
            }
        }
    }

    #[test]
    fn more_load_never_settles_with_fewer_replicas(preset in preset(), rate in 0.5..100.0_f64, more in 1.0..3.0_f64, service in 0.05..2.0_f64) {
        let policy = Policy::preset(preset);
        // Between loads closer than the hysteresis (one Poisson deviation and 3 %) the way there decides.
        let slots = |rate: f64| rate * service / policy.target.fraction();
        let band = slots((rate * more * 30.0 + 1.0).sqrt() / 30.0) + 0.03 * slots(rate * more);
        let apart = slots(rate * more) - slots(rate) > band + 1.0;
        let close = if apart { 0 } else { band.ceil() as u32 + 1 };
        prop_assert!(settled(policy.clone(), rate, service) <= settled(policy, rate * more, service) + close);
    }

    #[test]
    fn slots_are_monotone_in_load_and_service_and_antitone_in_patience(
        load in 0.01..500.0_f64, more in 1.0..2.0_f64, service in 0.01..10.0_f64, wait in 0.0..5.0_f64, late in 0.0001..0.3_f64,
    ) {
        let servers = servers_for(load, service, wait, late);
        prop_assert!(servers_for(load * more, service, wait, late) >= servers);
        prop_assert!(servers_for(load, service * more, wait, late) >= servers);
        prop_assert!(servers_for(load, service, wait * more, late) <= servers);
        prop_assert!(servers_for(load, service, wait, late * more) <= servers);
    }

    #[test]
    fn a_higher_target_or_more_room_in_a_replica_never_needs_more(rate in 1.0..100.0_f64, service in 0.05..2.0_f64, target in 10..50_u16) {
        let at = |percent, concurrent| {
            let max_concurrent = NonZeroU32::new(concurrent).unwrap();
            settled(Policy { target: Target::percent(percent).unwrap(), max_concurrent, ..Policy::default() }, rate, service)
        };
        prop_assert!(at(target * 2, 1) <= at(target, 1));
        prop_assert!(at(target, 3) <= at(target, 2));
    }

    #[test]
    fn steady_load_is_left_alone_from_above_and_from_below(preset in preset(), rate in 0.5..200.0_f64, service in 0.05..2.0_f64) {
        for replicas in [1, 2_000] {
            let mut service_loop = Loop::new(Policy::preset(preset), replicas);
            let settled = service_loop.seconds(250, rate, service);
            for _ in 0..200 {
                prop_assert_eq!(service_loop.second(rate, service), settled);
            }
        }
    }

    #[test]
    fn r_scl_1_a_step_is_answered_at_the_next_second_and_in_full_within_three(rate in 2.0..30.0_f64, service in 0.05..1.0_f64) {
        let mut service_loop = Loop::new(Policy::preset(Preset::Documented), 1);
        let before = service_loop.seconds(200, rate, service);
        let full = (rate * 13.0 * service / 0.7).ceil() as u32;
        let first = service_loop.second(rate * 13.0, service);
        let third = service_loop.seconds(2, rate * 13.0, service);
        prop_assert!(first > before || full <= before + 1, "{before} {first} {full}");
        prop_assert!(f64::from(third) >= 0.9 * f64::from(full) - 1.0, "{third} of {full}");
    }

    #[test]
    fn r_scl_1_a_drop_is_followed_after_about_a_minute(rate in 5.0..100.0_f64, share in prop_oneof![Just(0.0), 0.1..0.4_f64], service in 0.1..1.0_f64) {
        for preset in Preset::ALL {
            let mut service_loop = Loop::new(Policy::preset(preset), 1);
            let before = service_loop.seconds(200, rate, service);
            // Whole requests make the steady load waver, by one replica at most.
            let held = service_loop.seconds(55, rate * share, service);
            prop_assert!(held + 1 >= before, "{preset}: {held} of {before}");
            let (mut cut, mut last) = (None, held);
            for second in 55..150 {
                let replicas = service_loop.second(rate * share, service);
                if cut.is_none() && replicas < held {
                    cut = Some(second);
                }
                prop_assert!(replicas <= last);
                last = replicas;
            }
            let after = most(service_loop.scaler.policy(), rate * share * service, service);
            prop_assert!(
                cut.is_some_and(|second| second <= 90) || after + 2 >= held,
                "{preset} {cut:?} {held} {after}"
            );
            prop_assert!(service_loop.seconds(100, rate * share, service).abs_diff(last) <= 1);
        }
    }

    #[test]
    fn r_scl_6_a_trace_replays_answer_by_answer(preset in preset(), trace in prop::collection::vec((0..60_u64, 0..20_u64, 1..3_000_u64), 1..200)) {
        let replay = || {
            let mut scaler = Autoscaler::new(Policy::preset(preset), Duration::ZERO, 3);
            let mut now = 0;
            let mut answer = |&(arrivals, waiting, millis): &(u64, u64, u64)| {
                now += millis;
                let traffic = Traffic { arrivals, waiting, completions: arrivals, service_seconds: arrivals as f64 / 3.0, ..Traffic::default() };
                scaler.want(Duration::from_millis(now), &Sample { traffic, fleet: FleetState::settled(3) })
            };
            let answers: Vec<_> = trace.iter().map(&mut answer).collect();
            (answers, format!("{scaler:?}"))
        };
        prop_assert_eq!(replay(), replay());
    }

    #[test]
    fn the_same_moment_twice_changes_nothing(rate in 1.0..50.0_f64) {
        let mut service_loop = Loop::new(Policy::default(), 1);
        service_loop.seconds(100, rate, 0.3);
        let mut twice = service_loop.scaler.clone();
        let sample = Sample { fleet: FleetState::settled(service_loop.replicas), ..Sample::default() };
        prop_assert_eq!(twice.want(Duration::from_secs(100), &sample), None);
        prop_assert_eq!(twice.faults(), 1);
        service_loop.now += 1;
        let now = Duration::from_secs(101);
        prop_assert_eq!(twice.want(now, &sample), service_loop.scaler.want(now, &sample));
    }

    #[test]
    fn half_seconds_see_the_same_traffic(arrivals in prop::collection::vec(0..40_u64, 60..120)) {
        let (mut whole, mut halves) = (Autoscaler::new(Policy::default(), Duration::ZERO, 2), Autoscaler::new(Policy::default(), Duration::ZERO, 2));
        let sample = |arrivals: u64| {
            let traffic = Traffic { arrivals, completions: arrivals, service_seconds: arrivals as f64 * 0.25, ..Traffic::default() };
            Sample { traffic, fleet: FleetState::settled(2) }
        };
        for (second, &count) in arrivals.iter().enumerate() {
            let end = Duration::from_secs(second as u64 + 1);
            let one = whole.want(end, &sample(count * 2));
            let _ = halves.want(end - Duration::from_millis(500), &sample(count));
            let two = halves.want(end, &sample(count));
            prop_assert!(one.unwrap().abs_diff(two.unwrap()) <= 1);
        }
    }

    #[test]
    fn slots_in_larger_replicas_come_to_the_same(rate in 1.0..100.0_f64, service in 0.1..1.0_f64) {
        let four = Policy { max_concurrent: NonZeroU32::new(4).unwrap(), ..Policy::preset(Preset::Slo) };
        let (singles, fours) = (settled(Policy::preset(Preset::Slo), rate, service), settled(four, rate, service));
        prop_assert!(fours.abs_diff(singles.div_ceil(4)) <= 1, "{singles} {fours}");
    }

    #[test]
    fn r_scl_6_a_fresh_scaler_holds_what_it_finds_for_a_full_window(preset in preset(), replicas in 2..500_u32, rate in 0.0..1.0_f64) {
        let mut service_loop = Loop::new(Policy::preset(preset), replicas);
        for _ in 1..60 {
            prop_assert!(service_loop.second(rate, 0.1) >= replicas);
        }
    }
}

#[test]
fn no_traffic_falls_to_the_minimum_and_a_waiting_request_wakes_a_sleeping_service() {
    let mut asleep = Loop { bounds: Bounds::new(0, 10), ..Loop::new(Policy::default(), 4) };
    asleep.seconds(20, 5.0, 0.2);
    assert_eq!(asleep.seconds(200, 0.0, 0.2), 0);
    let fleet = FleetState { starting: 1, ..FleetState::default() };
    for second in 1..400 {
        // One request, waiting for a replica that takes its time.
        let traffic =
            Traffic { arrivals: u64::from(second == 1), waiting: 1, queued: 1.0, ..Traffic::default() };
        let fleet = if second == 1 { FleetState::default() } else { FleetState { desired: 1, ..fleet } };
        let want = asleep.scaler.want(Duration::from_secs(asleep.now + second), &Sample { traffic, fleet });
        assert!(want >= Some(1), "{second}: {want:?}");
    }
}

#[test]
fn replicas_that_are_slow_to_start_are_not_ordered_twice() {
    let mut scaler = Autoscaler::new(Policy::default(), Duration::ZERO, 1);
    let mut desired = 1;
    for second in 1..=60 {
        let traffic = Traffic {
            arrivals: 50,
            completions: 50,
            service_seconds: 5.0,
            in_flight: 1.0,
            ..Traffic::default()
        };
        let fleet = FleetState {
            ready: 1,
            starting: desired - 1,
            desired,
            startup: Some(Duration::from_secs(300)),
            ..FleetState::default()
        };
        let want = scaler.want(Duration::from_secs(second), &Sample { traffic, fleet });
        desired = decide(desired, want, Bounds::new(1, 100)).target(desired);
        assert!(desired <= 10, "{second}: {desired}");
    }
}

#[test]
fn impossible_samples_are_counted_and_change_nothing() {
    let mut scaler = Autoscaler::new(Policy::default(), Duration::ZERO, 2);
    let sample =
        |busy| Sample { traffic: Traffic { busy, ..Traffic::default() }, fleet: FleetState::settled(2) };
    let before = scaler.save();
    assert_eq!(scaler.want(Duration::from_secs(1), &sample(f64::NAN)), None);
    assert_eq!(scaler.want(Duration::from_secs(1), &sample(-1.0)), None);
    assert_eq!(scaler.want(Duration::ZERO, &sample(0.0)), None);
    assert_eq!(scaler.faults(), 3);
    assert_ne!(scaler.save(), before);
    assert_eq!(scaler.want(Duration::from_secs(1), &sample(0.0)), Some(2));
}
