//! What is counted of one version: for the scaler, the status and the metrics.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Counters of one version, from its beginning.
#[derive(Debug)]
pub(crate) struct Stats {
    arrivals: AtomicU64,
    completions: AtomicU64,
    rejected: AtomicU64,
    service_micros: AtomicU64,
    /// In units of 1024 µs² (about 0.001 ms²), which last for a while.
    service_squares: AtomicU64,
    latency: Box<[AtomicU32; BUCKETS]>,
}

/// All counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) arrivals: u64,
    pub(crate) completions: u64,
    pub(crate) rejected: u64,
    pub(crate) service_micros: u64,
    pub(crate) service_squares: u64,
}

impl Stats {
    pub(crate) fn new() -> Self {
        let latency = Box::new([const { AtomicU32::new(0) }; BUCKETS]);
        let zero = || AtomicU64::new(0);
        Self {
            arrivals: zero(),
            completions: zero(),
            rejected: zero(),
            service_micros: zero(),
            service_squares: zero(),
            latency,
        }
    }

    pub(crate) fn arrived(&self) {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// A replica has finished a request that was inside it for so long.
    pub(crate) fn served(&self, inside: Duration) {
        let micros = u64::try_from(inside.as_micros()).unwrap_or(u64::MAX);
        let square = u64::try_from((u128::from(micros) * u128::from(micros)) >> 10).unwrap_or(u64::MAX);
        self.completions.fetch_add(1, Ordering::Relaxed);
        self.service_micros.fetch_add(micros, Ordering::Relaxed);
        self.service_squares.fetch_add(square, Ordering::Relaxed);
    }

    /// A client got its answer after so long, waiting included.
    pub(crate) fn answered(&self, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.latency[bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            arrivals: read(&self.arrivals),
            completions: read(&self.completions),
            rejected: read(&self.rejected),
            service_micros: read(&self.service_micros),
            service_squares: read(&self.service_squares),
        }
    }

    /// The latencies since the last call, as counts by bucket.
    pub(crate) fn take_latencies(&self) -> Latencies {
        Latencies(self.latency.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect())
    }
}

/// What the control side saw of the last seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    pub(crate) rps: f64,
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
    /// Replicas last asked for.
    pub(crate) wanted: u32,
    /// What keeps the version from having as many as it needs.
    pub(crate) trouble: String,
}

/// A histogram of latencies whose buckets are 1/8 of an octave wide or less: a quantile is right to 12 %.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.resize(BUCKETS, 0);
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum = sum.saturating_add(*count);
        }
    }

    /// The latency that `permille` of the requests stayed below; `None` without requests.
    pub(crate) fn quantile(&self, permille: u64) -> Option<Duration> {
        let all: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let rank = (all * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        let at = self.0.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        Some(Duration::from_micros(upper_bound(at)))
    }
}

/// Eight buckets an octave above 8 µs, up to 2^36 µs (19 hours).
fn bucket(micros: u64) -> usize {
    let micros = micros.clamp(8, (1 << 36) - 1);
    let octave = micros.ilog2();
    let eighth = (micros >> (octave - 3)) & 7;
    (octave as usize - 3) * 8 + eighth as usize
}

fn upper_bound(bucket: usize) -> u64 {
    let (octave, eighth) = (bucket as u64 / 8 + 3, bucket as u64 % 8);
    (8 + eighth + 1) << (octave - 3)
}

const BUCKETS: usize = 33 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_lies_in_its_bucket() {
        for micros in (8..10_000).chain([1 << 20, (1 << 36) - 1]) {
            let at = bucket(micros);
            assert!(micros < upper_bound(at), "{micros}");
            assert!(at == 0 || micros >= upper_bound(at - 1), "{micros}");
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_right_to_an_eighth_of_an_octave() {
        let stats = Stats::new();
        for millis in 1..=100 {
            stats.answered(Duration::from_millis(millis));
        }
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(500), None);
        latencies.add(&stats.take_latencies());
        let near = |permille, millis: f64| {
            let found = latencies.quantile(permille).unwrap().as_secs_f64() * 1e3;
            assert!(found >= millis && found < millis * 1.13, "{found} for {millis}");
        };
        near(500, 50.0);
        near(990, 99.0);
        assert!(stats.take_latencies().quantile(500).is_none());
    }
}
