//! The one place where the gateway asks what time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portway_auth::UnixSeconds;
use tokio::time::Instant;

/// Time since the gateway was built, on tokio's clock: a test that pauses that clock advances this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now(self) -> Duration {
        self.origin.elapsed()
    }

    /// The moment `time` after the origin; one too far away to be told is in a year.
    pub(crate) fn at(self, time: Duration) -> Instant {
        self.origin.checked_add(time).unwrap_or_else(|| Instant::now() + Duration::from_secs(31_536_000))
    }

    /// Wall time, for what tokens claim.
    pub(crate) fn wall(self) -> UnixSeconds {
        #[expect(clippy::disallowed_methods, reason = "a shell's clock")]
        let now = SystemTime::now();
        UnixSeconds(now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}
