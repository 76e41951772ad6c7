//! The liveness probe of a replica.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a replica counts as alive. Every number is at least 1; times are whole seconds.
///
/// The defaults are the documented ones: every 10 s, first after 310 s, 2 s to answer, one success, three failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// Time between two probes.
    pub period: Duration,
    /// Time from the start of the container to the first probe.
    pub initial_delay: Duration,
    /// Time a probe may take; documents say 2 s, one client fills in 1 s, and the documents win.
    pub timeout: Duration,
    /// Successes in a row after which a failed replica counts as alive again.
    pub success_threshold: NonZeroU32,
    /// Failures in a row after which a replica counts as dead.
    pub failure_threshold: NonZeroU32,
}

impl Default for ProbeSpec {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(10),
            initial_delay: Duration::from_secs(310),
            timeout: Duration::from_secs(2),
            success_threshold: NonZeroU32::MIN,
            failure_threshold: NonZeroU32::MIN.saturating_add(2),
        }
    }
}
