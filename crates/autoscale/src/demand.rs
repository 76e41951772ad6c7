//! The closed sizing formula, in exact arithmetic.

use std::num::NonZeroU32;
use std::time::Duration;

/// A share of a replica that is to be in use: more than nothing, at most all, in basis points.
///
/// ```
/// use portway_autoscale::Target;
/// let target = Target::percent(70)?;
/// assert_eq!(target.basis_points(), 7_000);
/// assert!(Target::percent(0).is_err());
/// # Ok::<(), portway_autoscale::InvalidTarget>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "u16", into = "u16"))]
pub struct Target(u16);

impl Target {
    /// 70 %: the documented default.
    pub const DEFAULT: Self = Self(7_000);

    /// A target in whole percent, 1 to 100.
    ///
    /// # Errors
    /// [`InvalidTarget`] outside that range.
    pub fn percent(percent: u16) -> Result<Self, InvalidTarget> {
        Self::try_from(percent.saturating_mul(100))
    }

    /// The target in basis points, 1 to 10 000.
    #[must_use]
    pub fn basis_points(self) -> u16 {
        self.0
    }

    /// The target as a fraction, above 0.0 and at most 1.0.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl Default for Target {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<u16> for Target {
    type Error = InvalidTarget;

    fn try_from(basis_points: u16) -> Result<Self, InvalidTarget> {
        if (1..=10_000).contains(&basis_points) {
            Ok(Self(basis_points))
        } else {
            Err(InvalidTarget { basis_points })
        }
    }
}

impl From<Target> for u16 {
    fn from(target: Target) -> Self {
        target.0
    }
}

/// A utilisation target outside 0.01 % to 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a utilisation target of {basis_points} basis points is outside 1 to 10000")]
pub struct InvalidTarget {
    basis_points: u16,
}

/// A steady demand: how many requests, how long each takes, and how full a replica may be.
///
/// ```
/// use portway_autoscale::{Demand, replicas_for};
/// use std::time::Duration;
/// let demand = Demand::new(20, Duration::from_secs(10));
/// assert_eq!(replicas_for(&demand), 286);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Requests per second, in thousandths.
    pub millirequests_per_second: u64,
    /// Mean time of a request inside a replica, in microseconds.
    pub service_micros: u64,
    /// How full a replica may be; 70 % by default.
    pub target: Target,
    /// Requests inside one replica at a time; 1 by default.
    pub max_concurrent: NonZeroU32,
}

impl Demand {
    /// A demand at the default target with one request per replica. Values past a `u64` of their unit saturate.
    #[must_use]
    pub fn new(requests_per_second: u64, service: Duration) -> Self {
        Self {
            millirequests_per_second: requests_per_second.saturating_mul(1_000),
            service_micros: u64::try_from(service.as_micros()).unwrap_or(u64::MAX),
            target: Target::DEFAULT,
            max_concurrent: NonZeroU32::MIN,
        }
    }

    /// The same demand at another target.
    #[must_use]
    pub fn target(self, target: Target) -> Self {
        Self { target, ..self }
    }

    /// The same demand with more requests inside one replica.
    #[must_use]
    pub fn max_concurrent(self, max_concurrent: NonZeroU32) -> Self {
        Self { max_concurrent, ..self }
    }
}

/// The documented number of replicas: `ceil(rps × seconds / target / max_concurrent)`, at most `u32::MAX`.
///
/// Exact for all inputs: the units cancel to `millirequests × micros / (100 000 × basis points × concurrent)`, whose two sides
/// both fit a `u128`.
#[must_use]
pub fn replicas_for(demand: &Demand) -> u32 {
    let work = u128::from(demand.millirequests_per_second) * u128::from(demand.service_micros);
    let slot = 100_000 * u128::from(demand.target.basis_points()) * u128::from(demand.max_concurrent.get());
    u32::try_from(work.div_ceil(slot)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_scl_2_twenty_requests_a_second_of_ten_seconds_need_286_replicas() {
        let demand = Demand::new(20, Duration::from_secs(10));
        assert_eq!(replicas_for(&demand), 286);
        assert_eq!(replicas_for(&demand.max_concurrent(NonZeroU32::new(2).unwrap())), 143);
        assert_eq!(replicas_for(&demand.target(Target::percent(100).unwrap())), 200);
    }

    #[test]
    fn r_scl_2_extreme_inputs_saturate() {
        let most = Demand {
            millirequests_per_second: u64::MAX,
            service_micros: u64::MAX,
            ..Demand::new(0, Duration::ZERO)
        };
        assert_eq!(replicas_for(&most), u32::MAX);
        assert_eq!(replicas_for(&most.max_concurrent(NonZeroU32::MAX)), u32::MAX);
        assert_eq!(replicas_for(&Demand::new(0, Duration::MAX)), 0);
        assert_eq!(replicas_for(&Demand::new(u64::MAX, Duration::from_micros(1))), u32::MAX);
    }

    #[test]
    fn a_target_is_more_than_nothing_and_at_most_all() {
        assert!(Target::percent(101).is_err() && Target::percent(u16::MAX).is_err());
        assert_eq!(
            Target::percent(0).unwrap_err().to_string(),
            "a utilisation target of 0 basis points is outside 1 to 10000"
        );
    }
}
