//! How many requests may wait, for how long, and what those hear that may not.

use std::time::Duration;

/// How many requests may wait and for how long: while there are replicas (the queue), and while there is none (the waiting room).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Limits {
    /// While all replicas are busy.
    pub queue: Waiting,
    /// While there is no replica at all.
    pub waiting_room: Waiting,
}

/// How many requests may wait, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Waiting {
    /// The most requests that wait; `None` bounds them by time alone.
    pub most: Option<u32>,
    /// The longest that each waits; zero refuses at once.
    pub wait: Duration,
}

impl Waiting {
    /// Nobody waits: a request that cannot start is refused at once.
    pub const NONE: Self = Self { most: Some(0), wait: Duration::ZERO };

    /// At most so many requests, each for at most so long.
    #[must_use]
    pub const fn at_most(most: u32, wait: Duration) -> Self {
        Self { most: Some(most), wait }
    }

    /// Any number of requests, each for at most so long.
    #[must_use]
    pub const fn for_at_most(wait: Duration) -> Self {
        Self { most: None, wait }
    }

    pub(crate) fn admits(&self, waiting: u32) -> bool {
        !self.wait.is_zero() && self.most.is_none_or(|most| waiting < most)
    }
}

/// A request is not served: why, and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The limit that was met.
    pub cause: Cause,
    /// When a slot is likely to be free.
    pub retry_after: RetryAfter,
}

/// The limit that a refused request met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// All replicas are busy and the queue is full.
    QueueFull,
    /// All replicas stayed busy for the longest time that a request waits.
    QueueWait,
    /// There is no replica and the waiting room is full or closed.
    RoomFull,
    /// No replica came for the longest time that a request waits.
    RoomWait,
}

/// How long a refused caller should wait, computed from what the pool has learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetryAfter(pub Duration);

impl RetryAfter {
    /// Whole seconds for the `Retry-After` header, rounded up, from 1 to 300.
    #[must_use]
    pub fn seconds(self) -> u64 {
        let up = self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0);
        up.clamp(1, 300)
    }
}
