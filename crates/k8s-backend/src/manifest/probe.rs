//! When a replica is ready, and when it is dead.

use std::time::Duration;

use k8s_openapi::api::core::v1::{HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portway_deploy_config::ProbeSpec;

/// The name of the container's port.
pub(super) const PORT_NAME: &str = "http";

/// Asked each second; failed after as long as the liveness probe bears, since a replica that works on one long request
/// may not answer meanwhile.
pub(super) fn readiness(probe: &ProbeSpec) -> Probe {
    let bears = probe.period.saturating_mul(probe.failure_threshold.get());
    // A probe that gets no answer takes its time-out.
    let tries = seconds(bears).div_ceil(seconds(probe.timeout).max(1)).max(1);
    Probe { failure_threshold: number(tries), period_seconds: Some(1), ..common(probe) }
}

pub(super) fn liveness(probe: &ProbeSpec) -> Probe {
    Probe {
        failure_threshold: number(probe.failure_threshold.get().into()),
        // 0 is the same as nothing, and the server leaves it out.
        initial_delay_seconds: number(seconds(probe.initial_delay)).filter(|delay| *delay > 0),
        period_seconds: number(seconds(probe.period).max(1)),
        ..common(probe)
    }
}

fn common(probe: &ProbeSpec) -> Probe {
    let get = HTTPGetAction {
        path: Some("/".to_owned()),
        port: IntOrString::String(PORT_NAME.to_owned()),
        ..HTTPGetAction::default()
    };
    let timeout_seconds = number(seconds(probe.timeout).max(1));
    Probe { http_get: Some(get), timeout_seconds, success_threshold: Some(1), ..Probe::default() }
}

/// Whole seconds, rounded up.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

fn number(value: u64) -> Option<i32> {
    Some(i32::try_from(value).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_run_4_the_documented_probe_is_taken_as_it_is() {
        let probe = liveness(&ProbeSpec::default());
        let found = (probe.period_seconds, probe.initial_delay_seconds, probe.timeout_seconds);
        assert_eq!(found, (Some(10), Some(310), Some(2)));
        assert_eq!((probe.success_threshold, probe.failure_threshold), (Some(1), Some(3)));
    }

    #[test]
    fn a_replica_that_does_not_answer_stays_ready_for_as_long_as_it_counts_as_alive() {
        let probe = readiness(&ProbeSpec::default());
        assert_eq!((probe.period_seconds, probe.initial_delay_seconds), (Some(1), None));
        assert_eq!(probe.failure_threshold, Some(15), "15 probes of 2 s are 3 periods of 10 s");
    }

    #[test]
    fn parts_of_a_second_are_rounded_up() {
        let spec = ProbeSpec {
            period: Duration::ZERO,
            timeout: Duration::from_millis(1500),
            initial_delay: Duration::from_millis(1),
            ..ProbeSpec::default()
        };
        let probe = liveness(&spec);
        let found = (probe.period_seconds, probe.timeout_seconds, probe.initial_delay_seconds);
        assert_eq!(found, (Some(1), Some(2), Some(1)));
        assert_eq!(readiness(&spec).failure_threshold, Some(1));
    }
}
