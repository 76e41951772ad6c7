//! State outlives a process (feature `serde`).
#![cfg(feature = "serde")]

use std::time::Duration;

use portway_autoscale::{Autoscaler, FleetState, Policy, Sample, Saved, Scaler, Traffic};

fn busy_second(arrivals: u64) -> Sample {
    let traffic = Traffic {
        arrivals,
        completions: arrivals,
        service_seconds: arrivals as f64 * 0.3,
        ..Traffic::default()
    };
    Sample { traffic, fleet: FleetState::settled(9) }
}

#[test]
fn r_scl_6_a_saved_state_goes_on_as_if_nothing_had_happened() {
    let mut scaler = Autoscaler::new(Policy::default(), Duration::ZERO, 9);
    for second in 1..200 {
        let _ = scaler.want(Duration::from_secs(second), &busy_second(second % 40));
    }
    let text = serde_json::to_string(&scaler.save()).unwrap();
    let saved: Saved = serde_json::from_str(&text).unwrap();
    let mut resumed = Autoscaler::resume(Policy::default(), Duration::from_secs(199), 9, &saved);
    for second in 200..600 {
        let (now, sample) = (Duration::from_secs(second), busy_second(second % 40));
        assert_eq!(resumed.want(now, &sample), scaler.want(now, &sample), "{second}");
    }
}

#[test]
fn r_scl_6_a_restart_never_shrinks_for_a_full_hold() {
    let saved = Autoscaler::new(Policy::default(), Duration::ZERO, 1).save();
    let text = serde_json::to_string(&saved).unwrap().replacen("\"version\":1", "\"version\":9", 1);
    let foreign: Saved = serde_json::from_str(&text).unwrap();
    for saved in [saved, foreign] {
        let mut scaler = Autoscaler::resume(Policy::default(), Duration::from_secs(1_000), 9, &saved);
        for second in 1_001..1_060 {
            assert_eq!(scaler.want(Duration::from_secs(second), &busy_second(0)), Some(9), "{second}");
        }
        assert!(scaler.want(Duration::from_secs(1_061), &busy_second(0)) < Some(9));
    }
}
