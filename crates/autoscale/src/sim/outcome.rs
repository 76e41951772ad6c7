//! What came of a simulation.

use std::time::Duration;

/// One simulated second, as it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    /// Requests that arrived in it.
    pub arrivals: u64,
    /// Requests refused in it.
    pub refused: u64,
    /// Requests waiting at its end.
    pub waiting: u64,
    /// Replicas that took requests at its end.
    pub ready: u32,
    /// Replicas ordered and not yet ready at its end.
    pub starting: u32,
    /// Replicas in force after the decision at its end.
    pub desired: u32,
}

/// The outcome of a simulation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Requests that arrived.
    pub requests: u64,
    /// Requests that started within the promised wait.
    pub started_in_time: u64,
    /// Requests that started at once.
    pub started_at_once: u64,
    /// Requests refused after the longest wait.
    pub refused: u64,
    /// Replicas × time that somebody paid for: starting, ready and draining.
    pub replica_seconds: f64,
    /// Decisions that ordered more.
    pub raises: u64,
    /// Decisions that ordered fewer.
    pub cuts: u64,
    /// Raises within a minute of a cut.
    pub raises_after_cuts: u64,
    /// Decisions that the cluster's size limited.
    pub capacity_bound: u64,
    /// How long it lasted.
    pub length: Duration,
    /// Second by second.
    pub seconds: Vec<Second>,
}

impl Outcome {
    /// The share of requests that started in time; 1 without requests.
    #[must_use]
    pub fn in_time(&self) -> f64 {
        share(self.started_in_time, self.requests, 1.0)
    }

    /// The share of requests that were refused.
    #[must_use]
    pub fn refused_share(&self) -> f64 {
        share(self.refused, self.requests, 0.0)
    }

    /// Raises and cuts per hour.
    #[must_use]
    pub fn actions_per_hour(&self) -> f64 {
        self.per_hour(self.raises + self.cuts)
    }

    /// Raises within a minute of a cut, per hour.
    #[must_use]
    pub fn raises_after_cuts_per_hour(&self) -> f64 {
        self.per_hour(self.raises_after_cuts)
    }

    fn per_hour(&self, count: u64) -> f64 {
        count as f64 * 3_600.0 / self.length.as_secs_f64().max(1.0)
    }
}

fn share(part: u64, whole: u64, empty: f64) -> f64 {
    if whole == 0 { empty } else { part as f64 / whole as f64 }
}
