//! The server's clock: wall time at its start, then tokio's clock, so that paused time stands still here as well.

use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

#[derive(Debug)]
pub struct Clock {
    began: Timestamp,
    since: Instant,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "leases compare the server's times with the machine's clock"
    )]
    pub fn new() -> Self {
        let began = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { began, since: Instant::now() }
    }

    /// Now, to the second, as objects tell it.
    pub fn now(&self) -> String {
        self.after(Duration::ZERO)
    }

    /// A time to come, as objects tell it.
    pub fn after(&self, wait: Duration) -> String {
        let passed = SignedDuration::try_from(self.since.elapsed() + wait).unwrap_or(SignedDuration::ZERO);
        let then = self.began.checked_add(passed).unwrap_or(self.began);
        Timestamp::from_second(then.as_second()).unwrap_or(then).to_string()
    }
}
