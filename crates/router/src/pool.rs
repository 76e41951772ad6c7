//! Admission: which replica gets a request, who waits, and who is refused.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::admit::{Admit, Load, ReplicaLoad, Slot};
use crate::estimate::Average;
use crate::limits::{Cause, Limits, Refusal, RetryAfter, Waiting};
use crate::members::Members;
use crate::outlier::{Outcome, OutlierPolicy};
use crate::parked::{Entry, Parked, Waiter};

/// The replicas of one version, the requests inside them, and the requests that wait.
///
/// A request goes to one of the least busy replicas that have a free slot, or waits in one first-in-first-out queue, or is refused.
/// No replica ever holds more requests than its cap. Each operation takes constant time in the number of replicas and requests.
///
/// `R` names a replica (cheap to clone, say an `Arc`), `Q` is a parked request (say, the sending half of a oneshot channel).
/// `now` is the time since an origin of the caller's choice and never goes back; `bits` is any random number and spreads ties.
///
/// The pool does nothing by itself. After any call, take what it has decided with [`poll_assigned`](Self::poll_assigned) until `None`,
/// and call [`handle_timeout`](Self::handle_timeout) until `None` when [`poll_timeout`](Self::poll_timeout) is reached:
///
/// ```
/// use portway_router::{Admit, Limits, Outcome, Pool, Waiting};
/// use std::{num::NonZeroU32, time::Duration};
///
/// let at = Duration::from_secs;
/// let mut pool = Pool::new(Limits { queue: Waiting::at_most(100, at(10)), waiting_room: Waiting::NONE });
/// pool.add(at(0), "replica-1", NonZeroU32::MIN);
///
/// let Admit::Assigned(slot, "first") = pool.offer(at(1), 7, "first") else { panic!("the replica is idle") };
/// let Admit::Queued(_) = pool.offer(at(2), 7, "second") else { panic!("now it is busy") };
/// assert_eq!(pool.poll_timeout(), Some(at(12)));
///
/// pool.finish(at(3), slot, Outcome::Success);
/// let (request, slot) = pool.poll_assigned().expect("a freed slot goes to the oldest waiter");
/// assert_eq!((request, slot.replica()), ("second", &"replica-1"));
/// # pool.finish(at(4), slot, Outcome::Success);
/// ```
///
/// A shell keeps a pool under one short lock, and passes on what it decided after letting go of it. A slot that cannot be
/// passed on, because the caller has gone meanwhile, goes back with [`Outcome::Neutral`].
#[derive(Debug)]
pub struct Pool<R, Q> {
    limits: Limits,
    members: Members<R>,
    parked: Parked<Q>,
    now: Duration,
    /// When the first replica came or the last one went: waiting starts anew, under the other limit.
    turned: Duration,
    service_time: Average,
    cold_start: Average,
}

impl<R: Clone + Eq + Hash, Q> Pool<R, Q> {
    /// A pool without replicas.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_outliers(limits, OutlierPolicy::default())
    }

    /// A pool without replicas, with its own rule for leaving out those that fail.
    #[must_use]
    pub fn with_outliers(limits: Limits, policy: OutlierPolicy) -> Self {
        Self {
            limits,
            members: Members::new(policy),
            parked: Parked::default(),
            now: Duration::ZERO,
            turned: Duration::ZERO,
            service_time: Average::default(),
            cold_start: Average::default(),
        }
    }

    /// Changes the limits, for those who wait as well. A queue that is too long by now drains by itself.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Adds a replica that holds up to `cap` requests; for one that is known, changes the cap and takes back its removal.
    ///
    /// A lower cap ends nothing: the replica gets no request until it holds fewer than that.
    pub fn add(&mut self, now: Duration, replica: R, cap: NonZeroU32) {
        self.advance(now);
        let was_empty = self.is_empty();
        self.members.add(replica, cap.get());
        if was_empty {
            if let Some(head) = self.parked.head() {
                self.cold_start.learn(self.now.saturating_sub(head.since.max(self.turned)));
            }
            self.turned = self.now;
        }
    }

    /// Takes a replica out of the choice; it finishes what it has and is then named by [`poll_drained`](Self::poll_drained).
    pub fn remove(&mut self, now: Duration, replica: &R) {
        self.advance(now);
        let was_empty = self.is_empty();
        self.members.remove(replica);
        if !was_empty && self.is_empty() {
            self.turned = self.now;
        }
    }

    /// Offers a request: it is assigned, parked at the end of the queue, or refused. Nobody overtakes those who wait.
    pub fn offer(&mut self, now: Duration, bits: u64, request: Q) -> Admit<R, Q> {
        self.advance(now);
        if self.parked.len() == 0
            && let Some(at) = self.members.pick(bits, None)
        {
            return Admit::Assigned(self.members.grant(self.now, at), request);
        }
        if !self.waiting().admits(self.parked.len()) {
            let cause = if self.is_empty() { Cause::RoomFull } else { Cause::QueueFull };
            return Admit::Refused(request, self.refusal(cause));
        }
        Admit::Queued(self.parked.push_back(Entry { request, since: self.now, bits, avoid: None }))
    }

    /// Offers a request again that a replica has failed. It was admitted once, so it goes to the front and is not refused for
    /// want of room; another replica is preferred to `avoid`.
    ///
    /// It waits no longer than the request that it goes before.
    pub fn offer_again(&mut self, now: Duration, bits: u64, request: Q, avoid: &R) -> Admit<R, Q> {
        self.advance(now);
        let avoid = self.members.number(avoid);
        if let Some(at) = self.members.pick(bits, avoid) {
            return Admit::Assigned(self.members.grant(self.now, at), request);
        }
        if self.waiting().wait.is_zero() {
            let cause = if self.is_empty() { Cause::RoomFull } else { Cause::QueueFull };
            return Admit::Refused(request, self.refusal(cause));
        }
        let since = self.parked.head().map_or(self.now, |head| head.since);
        Admit::Queued(self.parked.push_front(Entry { request, since, bits, avoid }))
    }

    /// Takes a request out of the queue; `None` if it has been assigned or timed out already.
    pub fn cancel(&mut self, waiter: Waiter) -> Option<Q> {
        Some(self.parked.cancel(&waiter)?.request)
    }

    /// A request that waits, to be changed: say, to give a channel to those alone that must wait. `None` once it is out of the queue.
    pub fn parked_mut(&mut self, waiter: &Waiter) -> Option<&mut Q> {
        self.parked.get_mut(waiter)
    }

    /// Takes the request that has waited longest out of the queue, whatever its time: until `None`, when a pool is to end.
    pub fn expel(&mut self) -> Option<Q> {
        Some(self.parked.pop_front()?.request)
    }

    /// Gives a slot back and tells how its request ended.
    ///
    /// # Panics
    /// Possibly, if the slot is another pool's.
    pub fn finish(&mut self, now: Duration, slot: Slot<R>, outcome: Outcome) {
        self.advance(now);
        if outcome == Outcome::Success {
            self.service_time.learn(self.now.saturating_sub(slot.since));
        }
        self.members.finish(self.now, &slot, outcome);
    }

    /// A parked request that has a slot now. Call it after every other call, until `None`.
    pub fn poll_assigned(&mut self) -> Option<(Q, Slot<R>)> {
        let head = self.parked.head()?;
        let at = self.members.pick(head.bits, head.avoid)?;
        let entry = self.parked.pop_front()?;
        Some((entry.request, self.members.grant(self.now, at)))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` while nobody waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let deadline = self.deadline(self.parked.head()?.since);
        Some(self.members.next_probe().map_or(deadline, |due| deadline.min(due)))
    }

    /// A request that has waited too long; until `None`, and then, as after every call, [`poll_assigned`](Self::poll_assigned):
    /// a slot may have come free for a probe.
    pub fn handle_timeout(&mut self, now: Duration) -> Option<(Q, Refusal)> {
        self.advance(now);
        let deadline = self.deadline(self.parked.head()?.since);
        if self.now < deadline {
            return None;
        }
        let entry = self.parked.pop_front()?;
        let cause = if self.is_empty() { Cause::RoomWait } else { Cause::QueueWait };
        Some((entry.request, self.refusal(cause)))
    }

    /// A removed replica whose last request has ended; until `None`.
    pub fn poll_drained(&mut self) -> Option<R> {
        self.members.pop_drained()
    }

    /// Requests and replicas at this moment.
    #[must_use]
    pub fn load(&self) -> Load {
        Load { queued: self.parked.len(), ..self.members.load() }
    }

    /// Every replica with what it holds, in no order. For scale-down and status; the request path does not need it.
    pub fn replicas(&self) -> impl Iterator<Item = ReplicaLoad<'_, R>> {
        self.members.iter()
    }

    fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.members.advance(self.now);
    }

    fn is_empty(&self) -> bool {
        self.members.load().replicas == 0
    }

    fn waiting(&self) -> Waiting {
        if self.is_empty() { self.limits.waiting_room } else { self.limits.queue }
    }

    /// Never falls as `since` grows, so the head of the queue is the first to time out.
    fn deadline(&self, since: Duration) -> Duration {
        let in_turn = since.max(self.turned).saturating_add(self.waiting().wait);
        // However often replicas come and go.
        let longest = self.limits.queue.wait.saturating_add(self.limits.waiting_room.wait);
        in_turn.min(since.saturating_add(longest))
    }

    fn refusal(&self, cause: Cause) -> Refusal {
        let wait = match cause {
            Cause::QueueFull | Cause::QueueWait => {
                let turns = u64::from(self.parked.len() + 1).div_ceil(self.members.load().slots.max(1));
                let turn = self.service_time.get().unwrap_or(self.limits.queue.wait);
                turn.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX))
            }
            Cause::RoomFull | Cause::RoomWait => {
                let start = self.cold_start.get().unwrap_or(self.limits.waiting_room.wait);
                start.saturating_sub(self.now.saturating_sub(self.turned))
            }
        };
        Refusal { cause, retry_after: RetryAfter(wait) }
    }
}
