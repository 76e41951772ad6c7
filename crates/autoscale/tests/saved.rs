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

#[test]
fn r_scl_6_a_recorded_trace_replays_byte_for_byte() {
    let trace: Vec<Sample> = (0..900).map(|second| busy_second(second * 7_919 % 60)).collect();
    let recorded = serde_json::to_string(&trace).unwrap();
    let replay = |trace: &[Sample]| {
        let mut scaler = Autoscaler::new(Policy::default(), Duration::ZERO, 2);
        let seconds = trace.iter().zip(1..);
        let answers: Vec<_> =
            seconds.map(|(sample, second)| scaler.want(Duration::from_secs(second), sample)).collect();
        serde_json::to_string(&(answers, scaler.save())).unwrap()
    };
    let read: Vec<Sample> = serde_json::from_str(&recorded).unwrap();
    assert_eq!(replay(&read), replay(&trace));
}

#[test]
fn a_policy_is_written_and_read_with_what_is_left_out_at_its_default() {
    let policy: Policy =
        serde_json::from_str(r#"{"target": 3000, "hold": {"secs": 5, "nanos": 0}}"#).unwrap();
    assert_eq!(
        (policy.target.basis_points(), policy.hold, policy.late),
        (3_000, Duration::from_secs(5), 0.01)
    );
    assert_eq!(serde_json::from_str::<Policy>(&serde_json::to_string(&policy).unwrap()).unwrap(), policy);
    assert!(serde_json::from_str::<Policy>(r#"{"target": 0}"#).is_err());
}
