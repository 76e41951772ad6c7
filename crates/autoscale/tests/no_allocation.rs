//! A decision allocates nothing once a scaler has been made.

use std::time::Duration;

use portway_autoscale::{
    Autoscaler, Bounds, FleetState, Max, Policy, Preset, Sample, Scaler, Scheduled, Traffic, decide,
};

#[test]
fn a_decision_allocates_nothing_after_warm_up() {
    for preset in Preset::ALL {
        let autoscaler = Autoscaler::new(Policy::preset(preset), Duration::ZERO, 3);
        let mut scaler = Max(autoscaler, Scheduled::daily([]));
        let mut current = 3;
        let mut second = |number: u64| {
            let arrivals = number * 7_919 % 40 + if number % 200 < 50 { 80 } else { 0 };
            let traffic = Traffic {
                arrivals,
                completions: arrivals,
                service_seconds: arrivals as f64 * 0.2,
                ..Traffic::default()
            };
            let want = scaler
                .want(Duration::from_secs(number), &Sample { traffic, fleet: FleetState::settled(current) });
            current = decide(current, want, Bounds::new(1, 100)).target(current);
        };
        (1..10).for_each(&mut second);
        let counted = allocation_counter::measure(|| (10..4_000).for_each(&mut second));
        assert_eq!(counted.count_total, 0, "{preset}");
    }
}
