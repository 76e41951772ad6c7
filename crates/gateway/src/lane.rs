//! Admission to one version: the pool of its replicas behind one short mutex, and the guards that give slots back.

mod fleet;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use portway_backend::{ReplicaId, WorkloadId};
use portway_router::{Admit, Limits, Load, Outcome, OutlierPolicy, Pool, Refusal, RetryBudget, Slot, Waiter};
use tokio::sync::{Notify, oneshot};

use crate::chance::Chance;
use crate::clock::Clock;
use crate::stats::{Stats, Window};
use crate::upstream::{Dialer, Upstream};

/// A replica as the pool knows it: two are the same if they have the same number.
#[derive(Clone, Debug)]
pub(crate) struct Seat(pub(crate) Arc<Upstream>);

impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        self.0.number == other.0.number
    }
}

impl Eq for Seat {}

impl Hash for Seat {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.number.hash(state);
    }
}

/// What all lanes of a gateway share.
pub(crate) struct Commons {
    pub(crate) clock: Clock,
    pub(crate) chance: Chance,
    pub(crate) dialer: Dialer,
    pub(crate) outliers: OutlierPolicy,
    /// Numbers for upstreams.
    pub(crate) numbers: AtomicU64,
    /// Somebody waits where there is no replica: the scaler must not sleep.
    pub(crate) hungry: Notify,
}

/// One version of one endpoint: its replicas, and the requests inside them and before them.
pub(crate) struct Lane {
    pub(crate) id: WorkloadId,
    /// The version's name as a header.
    pub(crate) name: HeaderValue,
    pub(crate) stats: Stats,
    /// What the control side saw of the last seconds.
    pub(crate) window: ArcSwap<Window>,
    pub(crate) commons: Arc<Commons>,
    state: Mutex<State>,
    /// The first deadline has moved.
    deadlines: Arc<Notify>,
}

struct State {
    pool: Pool<Seat, Parked>,
    cap: NonZeroU32,
    /// How long a request may wait for a busy replica.
    queue_wait: Duration,
    replays: RetryBudget,
    /// The replicas that the fleet calls ready.
    members: HashMap<ReplicaId, Member>,
    /// The deadline that the timer is set to.
    armed: Option<Duration>,
    retired: bool,
}

struct Member {
    seat: Seat,
    standing: Standing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// In the pool.
    In,
    /// Out of the pool until it can be reached again.
    Suspended,
    /// Out of the pool, to be removed by the scaler once it is idle.
    Leaving,
    /// The backend was told to remove it.
    Named,
}

/// The other end of a request that waits. `None` stands in while it is not known whether it must wait at all: a request
/// that is assigned at once costs no allocation.
struct Parked(Option<oneshot::Sender<Handed>>);

/// What a waiting request is handed. A sender that is dropped tells that the version has gone.
enum Handed {
    Permit(Permit),
    Refused(Refusal),
}

/// Why a request was not admitted.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    Refused(Refusal),
    /// The version has gone: choose another.
    Gone,
}

impl Lane {
    /// An empty lane. Its timer runs as long as the lane lives.
    pub(crate) fn start(id: WorkloadId, cap: NonZeroU32, limits: Limits, commons: Arc<Commons>) -> Arc<Self> {
        let name = HeaderValue::try_from(id.version.as_ref()).expect("a version's name is legal in a header");
        let (pool, queue_wait) = (Pool::with_outliers(limits, commons.outliers), limits.queue.wait);
        let replays = RetryBudget::default();
        let state =
            State { pool, cap, queue_wait, replays, members: HashMap::new(), armed: None, retired: false };
        let state = Mutex::new(state);
        let deadlines = Arc::new(Notify::new());
        let lane = Arc::new(Self {
            id,
            name,
            stats: Stats::new(),
            window: ArcSwap::default(),
            commons,
            state,
            deadlines: Arc::clone(&deadlines),
        });
        tokio::spawn(keep_deadlines(Arc::downgrade(&lane), deadlines));
        lane
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.commons.clock.now()
    }

    // === requests ===

    /// Waits for a slot in a replica.
    pub(crate) async fn admit(self: &Arc<Self>) -> Result<Permit, NotAdmitted> {
        self.enter(|pool, now, bits, parked| pool.offer(now, bits, parked)).await
    }

    /// Waits for a slot in another replica than the one that failed.
    pub(crate) async fn admit_again(self: &Arc<Self>, failed: &Seat) -> Result<Permit, NotAdmitted> {
        self.enter(|pool, now, bits, parked| pool.offer_again(now, bits, parked, failed)).await
    }

    async fn enter(
        self: &Arc<Self>,
        offer: impl FnOnce(&mut Pool<Seat, Parked>, Duration, u64, Parked) -> Admit<Seat, Parked>,
    ) -> Result<Permit, NotAdmitted> {
        let (now, bits) = (self.now(), self.commons.chance.bits());
        let (waiter, receiver) = {
            let mut state = self.state();
            if state.retired {
                return Err(NotAdmitted::Gone);
            }
            match offer(&mut state.pool, now, bits, Parked(None)) {
                Admit::Assigned(slot, _) => {
                    drop(state);
                    return Ok(Permit::new(self, slot));
                }
                Admit::Refused(_, refusal) => return Err(NotAdmitted::Refused(refusal)),
                Admit::Queued(waiter) => {
                    let (sender, receiver) = oneshot::channel();
                    let parked = state.pool.parked_mut(&waiter);
                    *parked.expect("it was parked a moment ago, under the same lock") = Parked(Some(sender));
                    self.rearm(&mut state);
                    (waiter, receiver)
                }
            }
        };
        Waiting { lane: Arc::clone(self), waiter: Some(waiter), receiver }.outcome().await
    }

    /// How long a request may wait for a busy replica before it is refused.
    pub(crate) fn queue_wait(&self) -> Duration {
        self.state().queue_wait
    }

    /// Whether one more request may be repeated.
    pub(crate) fn withdraw_replay(&self) -> bool {
        self.state().replays.withdraw()
    }

    /// Sets the timer to the pool's first deadline, and wakes the scaler if nobody is there to serve.
    fn rearm(&self, state: &mut State) {
        if state.pool.load().replicas == 0 {
            self.commons.hungry.notify_one();
        }
        let due = state.pool.poll_timeout();
        if due.is_some_and(|due| state.armed.is_none_or(|armed| due < armed)) {
            state.armed = due;
            self.deadlines.notify_one();
        }
    }

    /// Hands free slots to those who wait longest. A permit that nobody takes comes back through its drop, which must
    /// find the lock free: so one at a time, and never under the lock.
    fn dispatch(self: &Arc<Self>, mut next: Option<(Parked, Slot<Seat>)>) {
        while let Some((parked, slot)) = next {
            let permit = Permit::new(self, slot);
            if let Parked(Some(sender)) = parked {
                drop(sender.send(Handed::Permit(permit)));
            }
            next = self.state().pool.poll_assigned();
        }
    }

    fn finish(self: &Arc<Self>, now: Duration, slot: Slot<Seat>, outcome: Outcome) {
        let (next, drained) = {
            let mut state = self.state();
            state.replays.deposit();
            state.pool.finish(now, slot, outcome);
            (state.pool.poll_assigned(), state.pool.poll_drained())
        };
        if let Some(Seat(upstream)) = drained {
            upstream.retire();
        }
        self.dispatch(next);
    }

    fn time_out(self: &Arc<Self>) {
        let now = self.now();
        loop {
            let expired = self.state().pool.handle_timeout(now);
            match expired {
                Some((Parked(Some(sender)), refusal)) => drop(sender.send(Handed::Refused(refusal))),
                Some((Parked(None), _)) => {}
                None => break,
            }
        }
        let next = self.state().pool.poll_assigned();
        self.dispatch(next);
    }

    pub(crate) fn load(&self) -> Load {
        self.state().pool.load()
    }

    /// Ends the lane: those who wait choose another version, those inside a replica finish.
    pub(crate) fn retire(&self) {
        self.state().retired = true;
        loop {
            let expelled = self.state().pool.expel();
            match expelled {
                Some(parked) => drop(parked),
                None => return,
            }
        }
    }
}

/// The timer finds out and ends.
impl Drop for Lane {
    fn drop(&mut self) {
        self.deadlines.notify_one();
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Wakes those who have waited too long. Ends with the lane, which it does not keep alive.
async fn keep_deadlines(weak: Weak<Lane>, moved: Arc<Notify>) {
    loop {
        let Some(lane) = weak.upgrade() else { return };
        let due = {
            let mut state = lane.state();
            state.armed = state.pool.poll_timeout();
            state.armed.map(|due| lane.commons.clock.at(due))
        };
        drop(lane);
        tokio::select! {
            () = sleep_until(due) => {
                if let Some(lane) = weak.upgrade() {
                    lane.time_out();
                }
            }
            () = moved.notified() => {}
        }
    }
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// A request in the queue. Dropped early, it leaves the queue, or gives back what it was just handed.
struct Waiting {
    lane: Arc<Lane>,
    waiter: Option<Waiter>,
    receiver: oneshot::Receiver<Handed>,
}

impl Waiting {
    async fn outcome(mut self) -> Result<Permit, NotAdmitted> {
        let handed = (&mut self.receiver).await;
        self.waiter = None;
        match handed {
            Ok(Handed::Permit(permit)) => Ok(permit),
            Ok(Handed::Refused(refusal)) => Err(NotAdmitted::Refused(refusal)),
            Err(_) => Err(NotAdmitted::Gone),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            let parked = self.lane.state().pool.cancel(waiter);
            drop(parked);
        }
    }
}

/// The right to have one request inside one replica; gives the slot back when it is dropped.
pub(crate) struct Permit {
    lane: Arc<Lane>,
    slot: Option<Slot<Seat>>,
    outcome: Outcome,
    /// When its request ended, if that is known before it is dropped.
    ended: Option<Duration>,
}

impl Permit {
    fn new(lane: &Arc<Lane>, slot: Slot<Seat>) -> Self {
        Self { lane: Arc::clone(lane), slot: Some(slot), outcome: Outcome::Neutral, ended: None }
    }

    pub(crate) fn seat(&self) -> &Seat {
        self.slot.as_ref().expect("only drop takes the slot").replica()
    }

    /// When the slot was granted.
    pub(crate) fn since(&self) -> Duration {
        self.slot.as_ref().expect("only drop takes the slot").since()
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// What the end of the request tells about the replica; nothing unless said.
    pub(crate) fn set_outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// The request is over, and all went well.
    pub(crate) fn succeed(mut self, now: Duration) {
        (self.outcome, self.ended) = (Outcome::Success, Some(now));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let now = self.ended.unwrap_or_else(|| self.lane.now());
            if self.outcome == Outcome::Success {
                self.lane.stats.served(now.saturating_sub(slot.since()));
            }
            self.lane.finish(now, slot, self.outcome);
        }
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit")
            .field("slot", &self.slot)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
