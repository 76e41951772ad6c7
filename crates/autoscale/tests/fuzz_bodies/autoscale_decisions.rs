//! Any stream of samples: never a panic, answers within bounds, the same answers twice, also over a restart.

use std::time::Duration;

use portway_autoscale::{Autoscaler, Bounds, FleetState, Policy, Preset, Sample, Scaler, Traffic, decide};

/// Takes the bytes as a policy and a stream of samples, in whatever numbers they happen to be.
pub(crate) fn check(data: &[u8]) {
    let mut numbers = data.chunks(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    });
    let Some(first) = numbers.next() else { return };
    let preset = Preset::ALL[first as usize % 4];
    let policy = Policy {
        late: f64::from_bits(numbers.next().unwrap_or(0)),
        margin: f64::from_bits(numbers.next().unwrap_or(0)),
        hold: Duration::from_millis(first >> 40),
        ..Policy::preset(preset)
    };
    let bounds = Bounds { min: (first >> 8) as u8 as u32, max: (first >> 16) as u8 as u32, capacity: None };
    let mut scaler = Autoscaler::new(policy.clone(), Duration::ZERO, 1);
    let mut replay = scaler.clone();
    let (mut now, mut desired) = (Duration::ZERO, 1);
    let numbers: Vec<u64> = numbers.collect();
    for piece in numbers.chunks(6) {
        let at = |index: usize| piece.get(index).copied().unwrap_or(0);
        // Mostly forward by up to a minute; now and then anywhere.
        now = if at(0) % 16 == 0 {
            Duration::from_secs(at(0))
        } else {
            now.saturating_add(Duration::from_millis(at(0) % 60_000))
        };
        let traffic = Traffic {
            arrivals: at(1),
            completions: at(2),
            rejected: at(1) ^ at(2),
            service_seconds: f64::from_bits(at(3)),
            service_seconds_squared: 0.0,
            busy: (at(4) % 100) as f64,
            in_flight: f64::from_bits(at(4)),
            queued: 0.0,
            waiting: at(5),
        };
        let startup = Some(Duration::from_millis(at(5)));
        let fleet =
            FleetState { ready: at(2) as u32, starting: at(1) as u32 % 9, draining: 0, desired, startup };
        let sample = Sample { traffic, fleet };
        let want = scaler.want(now, &sample);
        assert_eq!(want, replay.want(now, &sample));
        desired = decide(desired, want, bounds).target(desired);
        assert!(desired >= bounds.min && desired <= bounds.max.max(bounds.min));
    }
    let resumed = Autoscaler::resume(policy, now, desired, &scaler.save());
    assert!(resumed.faults() <= scaler.faults());
}
