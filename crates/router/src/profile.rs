//! What the two profiles say, as data.

use std::time::Duration;

use crate::limits::{Cause, Limits, Waiting};

/// A set of choices for everything that an endpoint document leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// As the original documents itself; what v1 clients expect.
    Documented,
    /// What serves callers better.
    #[default]
    Recommended,
}

/// How a refusal is told to an HTTP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Is there a `Retry-After` header?
    pub retry_after: bool,
}

/// What the scoring time-out limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeoutSpan {
    /// The whole exchange.
    Exchange,
    /// The time to the first byte of the answer; an idle limit holds from there on.
    FirstByte,
}

impl Profile {
    /// How many requests may wait, and for how long.
    #[must_use]
    pub const fn limits(self) -> Limits {
        match self {
            Self::Documented => Limits {
                queue: Waiting::for_at_most(Duration::from_millis(500)),
                waiting_room: Waiting::NONE,
            },
            Self::Recommended => Limits {
                queue: Waiting::at_most(100, Duration::from_secs(10)),
                waiting_room: Waiting::at_most(1_000, Duration::from_secs(60)),
            },
        }
    }

    /// What a refused request hears.
    #[must_use]
    pub const fn answer(self, cause: Cause) -> Answer {
        match (self, cause) {
            // The original's client repeats a 503 and gives up at a 429.
            (Self::Documented, _) => Answer { status: 503, retry_after: false },
            (Self::Recommended, Cause::QueueFull) => Answer { status: 429, retry_after: true },
            (Self::Recommended, Cause::QueueWait | Cause::RoomFull | Cause::RoomWait) => {
                Answer { status: 503, retry_after: true }
            }
        }
    }

    /// What an unknown service hears; in the recommended profile the same as a wrong key, so that names cannot be guessed.
    #[must_use]
    pub const fn unknown_service(self) -> u16 {
        match self {
            Self::Documented => 404,
            Self::Recommended => 401,
        }
    }

    /// What the scoring time-out limits. Where it strikes, the client hears 504.
    #[must_use]
    pub const fn timeout_span(self) -> TimeoutSpan {
        match self {
            Self::Documented => TimeoutSpan::Exchange,
            Self::Recommended => TimeoutSpan::FirstByte,
        }
    }

    /// The longest scoring time-out that a document can ask for.
    #[must_use]
    pub const fn longest_scoring_timeout(self) -> Option<Duration> {
        match self {
            Self::Documented => Some(Duration::from_secs(300)),
            Self::Recommended => None,
        }
    }

    /// May a request pick its version by header if the document does not say?
    #[must_use]
    pub const fn pins_by_header(self) -> bool {
        matches!(self, Self::Recommended)
    }
}

/// The scoring time-out where a document does not set one.
pub const SCORING_TIMEOUT: Duration = Duration::from_secs(60);
