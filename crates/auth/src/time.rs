//! Wall time, as claims and calendars write it.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of wall time in whole seconds since 1970-01-01 UTC.
///
/// Claims (`exp`, `nbf`, `iat`) and grace periods are wall time; the ages of caches and throttles are [`Duration`]s
/// since an origin of the caller's choice, so that a step of the wall clock cannot revive or expire them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// The time from `earlier` to `self`; zero if `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for UnixSeconds {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }
}

impl Sub<Duration> for UnixSeconds {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_secs()))
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
