//! Admission: which replica gets a request, who waits, and who is refused.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::estimate::Average;
use crate::levels::{Levels, Place};
use crate::limits::{Cause, Limits, Refusal, RetryAfter, Waiting};
use crate::outlier::{Health, Outcome, OutlierPolicy, Standing};
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
#[derive(Debug)]
pub struct Pool<R, Q> {
    limits: Limits,
    outliers: OutlierPolicy,
    members: Vec<Member<R>>,
    vacant: Vec<u32>,
    known: HashMap<R, u32>,
    levels: Levels,
    parked: Parked<Q>,
    probes: BinaryHeap<Reverse<(Duration, u32)>>,
    drained: VecDeque<R>,
    load: Load,
    now: Duration,
    /// When replicas last came or went altogether: waiting starts anew under the other limit.
    turned: Duration,
    service_time: Average,
    cold_start: Average,
}

/// What became of an offered request.
#[derive(Debug)]
#[must_use]
pub enum Admit<R, Q> {
    /// It goes to a replica now.
    Assigned(Slot<R>, Q),
    /// It waits; [`Pool::poll_assigned`] or [`Pool::handle_timeout`] brings it back.
    Queued(Waiter),
    /// It is refused.
    Refused(Q, Refusal),
}

/// The right to have one request inside one replica. It goes back by value to [`Pool::finish`] of the pool it came from, so never twice.
#[derive(Debug)]
#[must_use = "a slot that is not given back stays busy for ever"]
pub struct Slot<R> {
    replica: R,
    member: u32,
    since: Duration,
    probe: bool,
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
    /// Requests that wait.
    pub queued: u32,
    /// Replicas that finish what they have.
    pub draining: u32,
    /// Replicas that are left out for failing; they count among `replicas`.
    pub ejected: u32,
    /// What all replicas that serve can hold at once.
    pub slots: u64,
}

#[derive(Debug)]
struct Member<R> {
    /// `None` while the place is vacant.
    replica: Option<R>,
    cap: u32,
    busy: u32,
    draining: bool,
    health: Health,
    place: Option<Place>,
}

impl<R> Member<R> {
    fn has_room(&self) -> bool {
        let open = matches!(self.health.standing, Standing::In | Standing::Due);
        open && !self.draining && self.busy < self.cap
    }
}

impl<R: Clone + Eq + Hash, Q> Pool<R, Q> {
    /// A pool without replicas.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_outliers(limits, OutlierPolicy::default())
    }

    /// A pool without replicas, and with its own rule for ejection.
    #[must_use]
    pub fn with_outliers(limits: Limits, outliers: OutlierPolicy) -> Self {
        Self {
            limits,
            outliers,
            members: Vec::new(),
            vacant: Vec::new(),
            known: HashMap::new(),
            levels: Levels::default(),
            parked: Parked::default(),
            probes: BinaryHeap::new(),
            drained: VecDeque::new(),
            load: Load::default(),
            now: Duration::ZERO,
            turned: Duration::ZERO,
            service_time: Average::default(),
            cold_start: Average::default(),
        }
    }

    /// Changes the limits; they hold for those who wait as well.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Adds a replica that holds up to `cap` requests; for one that is known, changes the cap and takes back its removal.
    ///
    /// A lower cap ends nothing: the replica gets no request until it holds fewer than that.
    pub fn add(&mut self, now: Duration, replica: R, cap: NonZeroU32) {
        self.advance(now);
        let cap = cap.get();
        let at = match self.known.get(&replica) {
            Some(at) => *at,
            None => self.admit_member(replica),
        };
        let member = &mut self.members[at as usize];
        if member.draining {
            member.draining = false;
            self.load.draining -= 1;
            self.load.replicas += 1;
            if self.load.replicas == 1 {
                self.turn_open();
            }
        } else {
            self.load.slots -= u64::from(member.cap);
        }
        self.members[at as usize].cap = cap;
        self.load.slots += u64::from(cap);
        self.settle(at);
    }

    /// Takes a replica out of the choice; it finishes what it has and is then named by [`poll_drained`](Self::poll_drained).
    pub fn remove(&mut self, now: Duration, replica: &R) {
        self.advance(now);
        let Some(at) = self.known.get(replica).copied() else { return };
        let member = &mut self.members[at as usize];
        if member.draining {
            return;
        }
        member.draining = true;
        self.load.ejected -= u32::from(member.health.standing != Standing::In);
        member.health = Health::default();
        self.load.slots -= u64::from(member.cap);
        self.load.replicas -= 1;
        self.load.draining += 1;
        if self.load.replicas == 0 {
            self.turned = self.now;
        }
        self.settle(at);
        self.release_if_drained(at);
        self.keep_one_in();
    }

    /// Offers a request: it is assigned, parked at the end of the queue, or refused. Nobody overtakes those who wait.
    pub fn offer(&mut self, now: Duration, bits: u64, request: Q) -> Admit<R, Q> {
        self.advance(now);
        if self.parked.len() == 0
            && let Some(at) = self.levels.pick(bits, None)
        {
            return Admit::Assigned(self.grant(at), request);
        }
        if !self.waiting().admits(self.parked.len()) {
            let cause = if self.is_empty() { Cause::RoomFull } else { Cause::QueueFull };
            return Admit::Refused(request, self.refusal(cause));
        }
        self.load.queued += 1;
        Admit::Queued(self.parked.push_back(Entry { request, since: self.now, bits, avoid: None }))
    }

    /// Offers a request again that a replica has failed. It was admitted once, so it goes to the front and is not refused; another
    /// replica is preferred to the one in `avoid`.
    ///
    /// It waits no longer than the request that it goes before.
    pub fn offer_again(&mut self, now: Duration, bits: u64, request: Q, avoid: &R) -> Admit<R, Q> {
        self.advance(now);
        let avoid = self.known.get(avoid).copied();
        if let Some(at) = self.levels.pick(bits, avoid) {
            return Admit::Assigned(self.grant(at), request);
        }
        let since = self.parked.head().map_or(self.now, |head| head.since);
        self.load.queued += 1;
        Admit::Queued(self.parked.push_front(Entry { request, since, bits, avoid }))
    }

    /// Takes a request out of the queue; `None` if it has been assigned or timed out already.
    pub fn cancel(&mut self, waiter: Waiter) -> Option<Q> {
        let entry = self.parked.cancel(&waiter)?;
        self.load.queued -= 1;
        Some(entry.request)
    }

    /// Gives a slot back and tells how its request ended.
    pub fn finish(&mut self, now: Duration, slot: Slot<R>, outcome: Outcome) {
        self.advance(now);
        if outcome == Outcome::Success {
            self.service_time.learn(self.now.saturating_sub(slot.since));
        }
        let at = slot.member;
        let may_eject = self.load.replicas - self.load.ejected > 1;
        let member = &mut self.members[at as usize];
        member.busy -= 1;
        self.load.busy -= 1;
        if !member.draining {
            let was_in = member.health.standing == Standing::In;
            member.health.record(self.now, &self.outliers, outcome, slot.probe, may_eject);
            let is_in = member.health.standing == Standing::In;
            self.load.ejected = self.load.ejected + u32::from(was_in) - u32::from(is_in);
            if let Standing::Out(until) = member.health.standing
                && (was_in || slot.probe)
            {
                self.probes.push(Reverse((until, at)));
            }
        }
        self.settle(at);
        self.release_if_drained(at);
    }

    /// A parked request that has a slot now. Call it after every other call, until `None`.
    pub fn poll_assigned(&mut self) -> Option<(Q, Slot<R>)> {
        let head = self.parked.head()?;
        let at = self.levels.pick(head.bits, head.avoid)?;
        let entry = self.parked.pop_front()?;
        self.load.queued -= 1;
        Some((entry.request, self.grant(at)))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` while nobody waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let deadline = self.deadline(self.parked.head()?.since);
        Some(self.probes.peek().map_or(deadline, |Reverse((due, _))| deadline.min(*due)))
    }

    /// A request that has waited too long. Call it until `None`, and then [`poll_assigned`](Self::poll_assigned).
    pub fn handle_timeout(&mut self, now: Duration) -> Option<(Q, Refusal)> {
        self.advance(now);
        let deadline = self.deadline(self.parked.head()?.since);
        if self.now < deadline || !self.levels.is_empty() {
            return None;
        }
        let entry = self.parked.pop_front()?;
        self.load.queued -= 1;
        let cause = if self.is_empty() { Cause::RoomWait } else { Cause::QueueWait };
        Some((entry.request, self.refusal(cause)))
    }

    /// A removed replica whose last request has ended; until `None`.
    pub fn poll_drained(&mut self) -> Option<R> {
        self.drained.pop_front()
    }

    /// Requests and replicas at this moment.
    #[must_use]
    pub const fn load(&self) -> Load {
        self.load
    }

    /// Replicas with what they hold, in no order; those that drain have `true`. For scale-down and status, not for the request path.
    pub fn replicas(&self) -> impl Iterator<Item = ReplicaLoad<'_, R>> {
        self.known.iter().map(|(replica, at)| {
            let member = &self.members[*at as usize];
            ReplicaLoad {
                replica,
                busy: member.busy,
                cap: member.cap,
                draining: member.draining,
                ejected: member.health.standing != Standing::In,
            }
        })
    }

    // === private ===

    fn is_empty(&self) -> bool {
        self.load.replicas == 0
    }

    fn waiting(&self) -> Waiting {
        if self.is_empty() { self.limits.waiting_room } else { self.limits.queue }
    }

    /// Grows with `since`, so the head of the queue is always the first to time out.
    fn deadline(&self, since: Duration) -> Duration {
        let longest = self.limits.queue.wait.saturating_add(self.limits.waiting_room.wait);
        let in_turn = since.max(self.turned).saturating_add(self.waiting().wait);
        in_turn.min(since.saturating_add(longest))
    }

    fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        while let Some(Reverse((due, at))) = self.probes.peek().copied() {
            if due > self.now {
                break;
            }
            self.probes.pop();
            let member = &mut self.members[at as usize];
            if member.health.standing == Standing::Out(due) {
                member.health.standing = Standing::Due;
                self.settle(at);
            }
        }
    }

    fn grant(&mut self, at: u32) -> Slot<R> {
        let member = &mut self.members[at as usize];
        let probe = member.health.standing == Standing::Due;
        if probe {
            member.health.standing = Standing::Probing;
        }
        member.busy += 1;
        self.load.busy += 1;
        let replica = member.replica.clone().expect("a member with room is not vacant");
        let slot = Slot { replica, member: at, since: self.now, probe };
        self.settle(at);
        slot
    }

    /// Puts a member where its load belongs.
    fn settle(&mut self, at: u32) {
        let member = &mut self.members[at as usize];
        let level = member.has_room().then_some(member.busy);
        if member.place.map(|place| place.level) == level {
            return;
        }
        if let Some(place) = member.place.take()
            && let Some(moved) = self.levels.remove(place)
        {
            self.members[moved as usize].place = Some(place);
        }
        self.members[at as usize].place = level.map(|level| self.levels.insert(level, at));
    }

    /// Makes a member that drains, to be added at once.
    fn admit_member(&mut self, replica: R) -> u32 {
        let name = Some(replica.clone());
        let member =
            Member { replica: name, cap: 0, busy: 0, draining: true, health: Health::default(), place: None };
        let at = match self.vacant.pop() {
            Some(at) => {
                self.members[at as usize] = member;
                at
            }
            None => {
                self.members.push(member);
                (self.members.len() - 1) as u32
            }
        };
        self.known.insert(replica, at);
        self.load.draining += 1;
        at
    }

    fn release_if_drained(&mut self, at: u32) {
        let member = &mut self.members[at as usize];
        if member.draining
            && member.busy == 0
            && let Some(replica) = member.replica.take()
        {
            self.known.remove(&replica);
            self.drained.push_back(replica);
            self.vacant.push(at);
            self.load.draining -= 1;
        }
    }

    /// The first replica is here: learns how long that took, if somebody waited for it.
    fn turn_open(&mut self) {
        if let Some(head) = self.parked.head() {
            self.cold_start.learn(self.now.saturating_sub(head.since.max(self.turned)));
        }
        self.turned = self.now;
    }

    /// Removal may have taken the last replica that was in: the others come back.
    fn keep_one_in(&mut self) {
        if self.is_empty() || self.load.ejected < self.load.replicas {
            return;
        }
        for at in 0..self.members.len() as u32 {
            let member = &mut self.members[at as usize];
            if !member.draining && member.health.standing != Standing::In {
                member.health = Health::default();
                self.load.ejected -= 1;
                self.settle(at);
            }
        }
    }

    fn refusal(&self, cause: Cause) -> Refusal {
        let wait = match cause {
            Cause::QueueFull | Cause::QueueWait => {
                let ahead = u32::try_from(u64::from(self.parked.len() + 1).div_ceil(self.load.slots.max(1)));
                let turn = self.service_time.get().unwrap_or(self.limits.queue.wait);
                turn.saturating_mul(ahead.unwrap_or(u32::MAX))
            }
            Cause::RoomFull | Cause::RoomWait => {
                let whole = self.cold_start.get().unwrap_or(self.limits.waiting_room.wait);
                whole.saturating_sub(self.now.saturating_sub(self.turned))
            }
        };
        Refusal { cause, retry_after: RetryAfter(wait) }
    }
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
