//! When a replica that fails is left out, and when it is tried again.

use std::num::NonZeroU32;
use std::time::Duration;

/// When a replica is ejected and for how long.
///
/// Ejection is passive: it follows from how requests end. After its time a replica gets one request as a probe; success brings it
/// back, failure doubles the time. The last replica that is not ejected never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OutlierPolicy {
    /// So many failures in a row eject a replica; one that cannot be reached is ejected at the first.
    pub failures: NonZeroU32,
    /// How long the first ejection lasts.
    pub first: Duration,
    /// How long any ejection lasts at most.
    pub longest: Duration,
}

impl Default for OutlierPolicy {
    /// Five failures in a row; one second, doubling up to one minute.
    fn default() -> Self {
        Self {
            failures: NonZeroU32::MIN.saturating_add(4),
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
        }
    }
}

/// How a request inside a replica ended, as far as it says something about the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The replica answered.
    Success,
    /// The replica failed the request: too slow, or nonsense on the wire.
    Failure,
    /// The replica could not be reached, or broke the connection.
    Unreachable,
    /// Says nothing: the caller went away, or the request was never sent.
    Neutral,
}

/// What is known about the health of one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    failures: u32,
    ejections: u32,
    pub(crate) standing: Standing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    #[default]
    In,
    /// Ejected until then.
    Out(Duration),
    /// Its time is over, the next request is a probe.
    Due,
    /// A probe is inside.
    Probing,
}

impl Health {
    /// Takes in how a request ended; tells until when the replica is ejected if it is from now on.
    pub(crate) fn record(
        &mut self,
        now: Duration,
        policy: &OutlierPolicy,
        outcome: Outcome,
        probe: bool,
        others_are_in: bool,
    ) -> Option<Duration> {
        match (self.standing, outcome) {
            (Standing::In, Outcome::Success) => *self = Self::default(),
            (Standing::In, Outcome::Failure | Outcome::Unreachable) => {
                self.failures = self.failures.saturating_add(1);
                let enough = outcome == Outcome::Unreachable || self.failures >= policy.failures.get();
                if enough && others_are_in {
                    return Some(self.eject(now, policy));
                }
            }
            (Standing::Probing, Outcome::Success) if probe => *self = Self::default(),
            (Standing::Probing, Outcome::Neutral) if probe => self.standing = Standing::Due,
            (Standing::Probing, _) if probe => return Some(self.eject(now, policy)),
            // Requests from before the ejection tell nothing new.
            _ => {}
        }
        None
    }

    fn eject(&mut self, now: Duration, policy: &OutlierPolicy) -> Duration {
        let time = policy.first.saturating_mul(1 << self.ejections.min(16)).min(policy.longest);
        let until = now.saturating_add(time);
        *self =
            Self { failures: 0, ejections: self.ejections.saturating_add(1), standing: Standing::Out(until) };
        until
    }
}
