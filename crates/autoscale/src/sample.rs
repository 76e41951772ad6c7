//! What a scaler is told: the traffic since the last sample and the fleet as it stands.

use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::time::Duration;

/// What happened to one service's requests since the previous sample, as sums and counts.
///
/// The traffic seen by several gateways adds up (`a + b`, or [`Sum`] over an iterator); the fleet, which they all see whole, does
/// not. Counters saturate. A gateway that has no means over the interval may put the momentary values into the mean fields.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Traffic {
    /// Requests that arrived, the refused ones included.
    pub arrivals: u64,
    /// Requests that a replica finished.
    pub completions: u64,
    /// Requests that were refused or waited too long.
    pub rejected: u64,
    /// Sum over the completions of the time spent inside a replica, in seconds.
    pub service_seconds: f64,
    /// Sum over the completions of that time squared, in seconds squared.
    pub service_seconds_squared: f64,
    /// Mean number of replicas with at least one request.
    pub busy: f64,
    /// Mean number of requests inside replicas.
    pub in_flight: f64,
    /// Mean number of requests waiting for a replica.
    pub queued: f64,
    /// Requests waiting at this moment.
    pub waiting: u64,
}

impl Traffic {
    /// Mean time inside a replica over the completions, in seconds; `None` without completions or with an impossible sum.
    #[must_use]
    pub fn mean_service(&self) -> Option<f64> {
        let mean = self.service_seconds / self.completions as f64;
        (self.completions > 0 && mean.is_finite() && mean >= 0.0).then_some(mean)
    }

    /// Whether every number can be one: finite and not negative.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let numbers =
            [self.service_seconds, self.service_seconds_squared, self.busy, self.in_flight, self.queued];
        numbers.iter().all(|number| number.is_finite() && *number >= 0.0)
    }
}

impl Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            arrivals: self.arrivals.saturating_add(other.arrivals),
            completions: self.completions.saturating_add(other.completions),
            rejected: self.rejected.saturating_add(other.rejected),
            service_seconds: self.service_seconds + other.service_seconds,
            service_seconds_squared: self.service_seconds_squared + other.service_seconds_squared,
            busy: self.busy + other.busy,
            in_flight: self.in_flight + other.in_flight,
            queued: self.queued + other.queued,
            waiting: self.waiting.saturating_add(other.waiting),
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Traffic {
    fn sum<I: Iterator<Item = Self>>(traffic: I) -> Self {
        traffic.fold(Self::default(), Add::add)
    }
}

/// The replicas of one service at this moment. Every gateway sees the whole fleet, so it does not add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct FleetState {
    /// Replicas that take requests.
    pub ready: u32,
    /// Replicas ordered and not yet ready.
    pub starting: u32,
    /// Replicas that finish their last requests and take no new ones.
    pub draining: u32,
    /// Replicas last ordered (ready and starting); what a decision is compared with.
    pub desired: u32,
    /// How long a replica takes to become ready, as measured; `None` leaves it to the policy.
    pub startup: Option<Duration>,
}

impl FleetState {
    /// A settled fleet: `replicas` ready, as many ordered, none on the way.
    #[must_use]
    pub fn settled(replicas: u32) -> Self {
        Self { ready: replicas, desired: replicas, ..Self::default() }
    }
}

/// One observation of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sample {
    /// Requests since the previous sample, summed over the gateways.
    pub traffic: Traffic,
    /// Replicas now.
    pub fleet: FleetState,
}

impl Sample {
    /// The utilisation in both documented wordings; `None` without a ready replica or with an impossible number.
    #[must_use]
    pub fn utilisation(&self) -> Option<Utilisation> {
        (self.fleet.ready > 0 && self.traffic.is_plausible()).then(|| {
            let ready = f64::from(self.fleet.ready);
            let busy = self.traffic.busy / ready;
            Utilisation { busy, busy_and_queued: busy + self.traffic.queued / ready }
        })
    }
}

/// How much of a fleet is in use, 1.0 for all of it.
///
/// The two wordings differ where it matters: the first cannot pass 1.0 however many requests wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Utilisation {
    /// First wording: busy replicas over replicas.
    pub busy: f64,
    /// Later wording: busy replicas and queued requests over replicas.
    pub busy_and_queued: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_of_several_gateways_adds_up_and_saturates() {
        let one = Traffic { arrivals: 3, busy: 1.5, waiting: 2, ..Traffic::default() };
        let two = Traffic { arrivals: u64::MAX, busy: 0.5, waiting: 1, ..Traffic::default() };
        let sum: Traffic = [one, two].into_iter().sum();
        assert_eq!((sum.arrivals, sum.busy, sum.waiting), (u64::MAX, 2.0, 3));
    }

    #[test]
    fn r_scl_1_utilisation_comes_in_both_wordings() {
        let traffic = Traffic { busy: 10.0, queued: 5.0, ..Traffic::default() };
        let used = Sample { traffic, fleet: FleetState::settled(10) }.utilisation().unwrap();
        assert_eq!((used.busy, used.busy_and_queued), (1.0, 1.5));
        assert_eq!(Sample { traffic, fleet: FleetState::settled(0) }.utilisation(), None);
    }

    #[test]
    fn a_mean_needs_completions() {
        assert_eq!(Traffic::default().mean_service(), None);
        let odd = Traffic { completions: 1, service_seconds: f64::NAN, ..Traffic::default() };
        assert_eq!(odd.mean_service(), None);
        assert!(!odd.is_plausible());
    }
}
