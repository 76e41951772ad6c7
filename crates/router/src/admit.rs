//! What a pool hands out and tells.

use std::time::Duration;

use crate::limits::Refusal;
use crate::parked::Waiter;

/// What became of an offered request.
#[derive(Debug)]
#[must_use]
pub enum Admit<R, Q> {
    /// It goes to a replica now.
    Assigned(Slot<R>, Q),
    /// It waits; [`Pool::poll_assigned`](crate::Pool::poll_assigned) or
    /// [`Pool::handle_timeout`](crate::Pool::handle_timeout) brings it back.
    Queued(Waiter),
    /// It is refused.
    Refused(Q, Refusal),
}

/// The right to have one request inside one replica.
///
/// It goes back by value to [`Pool::finish`](crate::Pool::finish) of the pool that it came from, hence never twice.
#[derive(Debug)]
#[must_use = "a slot that is not given back stays busy for ever"]
pub struct Slot<R> {
    pub(crate) replica: R,
    pub(crate) member: u32,
    pub(crate) since: Duration,
    pub(crate) probe: bool,
}

impl<R> Slot<R> {
    /// The replica that the request goes to.
    pub const fn replica(&self) -> &R {
        &self.replica
    }

    /// When the slot was granted.
    #[must_use]
    pub const fn since(&self) -> Duration {
        self.since
    }
}

/// How much there is to do at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests inside replicas, those that drain included.
    pub busy: u32,
    /// Replicas that serve, ejected ones included.
    pub replicas: u32,
    /// Of these, how many hold at least one request.
    pub occupied: u32,
    /// Requests that wait.
    pub queued: u32,
    /// Replicas that finish what they have.
    pub draining: u32,
    /// Replicas that are left out for failing; they count among `replicas`.
    pub ejected: u32,
    /// What all replicas that serve can hold at once.
    pub slots: u64,
}

/// One replica of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaLoad<'a, R> {
    /// Which one.
    pub replica: &'a R,
    /// Requests inside.
    pub busy: u32,
    /// The most requests it holds.
    pub cap: u32,
    /// Is it finishing what it has?
    pub draining: bool,
    /// Is it left out for failing?
    pub ejected: bool,
}
