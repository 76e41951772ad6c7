//! Admission to one version: the pool of its replicas behind one short mutex, and the guards that give slots back.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use portway_backend::{ReplicaId, Status, WorkloadId};
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
        let pool = Pool::with_outliers(limits, commons.outliers);
        let replays = RetryBudget::default();
        let state = State { pool, cap, replays, members: HashMap::new(), armed: None, retired: false };
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
        offer: impl Fn(&mut Pool<Seat, Parked>, Duration, u64, Parked) -> Admit<Seat, Parked>,
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
                    drop(state.pool.cancel(waiter));
                    let (sender, receiver) = oneshot::channel();
                    let Admit::Queued(waiter) = offer(&mut state.pool, now, bits, Parked(Some(sender)))
                    else {
                        unreachable!("nothing has changed since the same offer was queued");
                    };
                    self.rearm(&mut state);
                    (waiter, receiver)
                }
            }
        };
        Waiting { lane: Arc::clone(self), waiter: Some(waiter), receiver }.outcome().await
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

    fn finish(self: &Arc<Self>, slot: Slot<Seat>, outcome: Outcome) {
        let now = self.now();
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

    // === the fleet ===

    /// Brings the pool in line with what the fleet says and with the document.
    pub(crate) fn follow(self: &Arc<Self>, status: &Status) {
        let now = self.now();
        let next = {
            let mut state = self.state();
            let state = &mut *state;
            let ready: HashMap<&ReplicaId, SocketAddr> =
                status.replicas.iter().filter_map(|r| Some((&r.id, r.address()?))).collect();
            let gone: Vec<ReplicaId> = state
                .members
                .iter()
                .filter(|(id, member)| ready.get(id) != Some(&member.seat.0.address))
                .map(|(id, _)| id.clone())
                .collect();
            for id in gone {
                if let Some(member) = state.members.remove(&id) {
                    state.pool.remove(now, &member.seat);
                }
            }
            let surplus = ready.len() > status.wanted as usize;
            for (id, address) in ready {
                if let Some(member) = state.members.get_mut(id) {
                    // The backend kept it: more were asked for meanwhile.
                    if member.standing == Standing::Named && !surplus {
                        member.standing = Standing::In;
                        state.pool.add(now, member.seat.clone(), state.cap);
                    }
                } else {
                    let seat = self.seat(id.clone(), address);
                    state.pool.add(now, seat.clone(), state.cap);
                    state.members.insert(id.clone(), Member { seat, standing: Standing::In });
                }
            }
            self.rearm_if_waiting(state);
            state.pool.poll_assigned()
        };
        self.settle(next);
    }

    fn seat(&self, replica: ReplicaId, address: SocketAddr) -> Seat {
        let number = self.commons.numbers.fetch_add(1, Ordering::Relaxed);
        Seat(Arc::new(Upstream::new(number, replica, address, self.commons.dialer.clone())))
    }

    /// New limits from the document.
    pub(crate) fn configure(self: &Arc<Self>, cap: NonZeroU32, limits: Limits) {
        let now = self.now();
        let next = {
            let mut state = self.state();
            let state = &mut *state;
            state.pool.set_limits(limits);
            if state.cap != cap {
                state.cap = cap;
                for member in state.members.values().filter(|member| member.standing == Standing::In) {
                    state.pool.add(now, member.seat.clone(), cap);
                }
            }
            self.rearm_if_waiting(state);
            state.pool.poll_assigned()
        };
        self.settle(next);
    }

    fn rearm_if_waiting(&self, state: &mut State) {
        if state.pool.load().queued > 0 {
            state.armed = None;
            self.rearm(state);
        }
    }

    fn settle(self: &Arc<Self>, next: Option<(Parked, Slot<Seat>)>) {
        self.dispatch(next);
        loop {
            let drained = self.state().pool.poll_drained();
            match drained {
                Some(Seat(upstream)) => upstream.retire(),
                None => break,
            }
        }
    }

    /// Takes a replica that cannot be reached out of the pool and tries it until it can be, or until the fleet drops it.
    pub(crate) fn suspend(self: &Arc<Self>, seat: &Seat) {
        if self.leave(seat, Standing::Suspended) {
            tokio::spawn(bring_back(Arc::downgrade(self), seat.clone()));
        }
    }

    fn leave(&self, seat: &Seat, standing: Standing) -> bool {
        let now = self.now();
        let mut state = self.state();
        let state = &mut *state;
        match state.members.get_mut(&seat.0.replica) {
            Some(member) if member.seat == *seat && member.standing == Standing::In => {
                member.standing = standing;
                state.pool.remove(now, seat);
                self.rearm_if_waiting(state);
                true
            }
            _ => false,
        }
    }

    /// Puts a replica back that left for `reason`; false if it is no longer there to be put back.
    fn rejoin(self: &Arc<Self>, seat: &Seat, reason: Standing) -> bool {
        let now = self.now();
        let next = {
            let mut state = self.state();
            let state = &mut *state;
            match state.members.get_mut(&seat.0.replica) {
                Some(member) if member.seat == *seat && member.standing == reason => {
                    member.standing = Standing::In;
                    state.pool.add(now, seat.clone(), state.cap);
                }
                _ => return false,
            }
            state.pool.poll_assigned()
        };
        self.settle(next);
        true
    }

    fn is_suspended(&self, seat: &Seat) -> bool {
        let state = self.state();
        let member = state.members.get(&seat.0.replica);
        member.is_some_and(|member| member.seat == *seat && member.standing == Standing::Suspended)
    }

    /// Chooses `count` replicas to go, those without requests first, and gives them nothing new. Ones chosen earlier
    /// count; surplus ones of those come back.
    pub(crate) fn drain(self: &Arc<Self>, count: usize) {
        let mut leaving = self.leaving();
        while leaving.len() > count {
            if let Some((seat, _)) = leaving.pop() {
                self.rejoin(&seat, Standing::Leaving);
            }
        }
        let missing = count - leaving.len();
        if missing == 0 {
            return;
        }
        let missing = missing - self.drop_suspended(missing);
        let mut candidates: Vec<(u32, Seat)> = {
            let state = self.state();
            let serving = state.pool.replicas().filter(|replica| !replica.draining);
            serving.map(|replica| (replica.busy, replica.replica.clone())).collect()
        };
        candidates.sort_by_key(|(busy, seat)| (*busy, std::cmp::Reverse(seat.0.number)));
        for (_, seat) in candidates.into_iter().take(missing) {
            self.leave(&seat, Standing::Leaving);
        }
    }

    /// Chooses up to `count` replicas that cannot be reached anyway.
    fn drop_suspended(&self, count: usize) -> usize {
        let mut state = self.state();
        let suspended = state.members.values_mut().filter(|member| member.standing == Standing::Suspended);
        suspended.take(count).map(|member| member.standing = Standing::Leaving).count()
    }

    /// Notes that the backend was told to remove these.
    pub(crate) fn named(&self, replicas: &[ReplicaId]) {
        let mut state = self.state();
        for replica in replicas {
            if let Some(member) = state.members.get_mut(replica).filter(|m| m.standing == Standing::Leaving) {
                member.standing = Standing::Named;
            }
        }
    }

    /// The replicas that were chosen to go and have nothing left to do.
    pub(crate) fn drained(&self) -> Vec<ReplicaId> {
        let drained = self.leaving().into_iter().filter(|(_, busy)| *busy == 0);
        drained.map(|(seat, _)| seat.0.replica.clone()).collect()
    }

    /// The replicas on their way out and what they hold, the emptiest first.
    fn leaving(&self) -> Vec<(Seat, u32)> {
        let state = self.state();
        let busy: HashMap<u64, u32> =
            state.pool.replicas().map(|replica| (replica.replica.0.number, replica.busy)).collect();
        let leaving = state.members.values().filter(|member| member.standing == Standing::Leaving);
        let mut leaving: Vec<(Seat, u32)> = leaving
            .map(|member| (member.seat.clone(), busy.get(&member.seat.0.number).copied().unwrap_or(0)))
            .collect();
        leaving.sort_by_key(|(seat, busy)| (*busy, seat.0.number));
        leaving
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn prune(&self) {
        let seats: Vec<Seat> = self.state().members.values().map(|member| member.seat.clone()).collect();
        for seat in seats {
            seat.0.prune();
        }
    }

    pub(crate) fn load(&self) -> Load {
        self.state().pool.load()
    }

    /// How many replicas hold at least one request.
    pub(crate) fn busy_replicas(&self) -> u32 {
        let busy = self.state().pool.replicas().filter(|replica| replica.busy > 0).count();
        u32::try_from(busy).unwrap_or(u32::MAX)
    }

    /// Ends the lane: those who wait choose another version, those inside a replica finish.
    pub(crate) fn retire(self: &Arc<Self>) {
        self.state().retired = true;
        loop {
            let expelled = self.state().pool.handle_timeout(Duration::MAX);
            if let Some((parked, _)) = expelled {
                drop(parked);
                continue;
            }
            let next = self.state().pool.poll_assigned();
            if next.is_none() {
                break;
            }
            self.dispatch(next);
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

async fn bring_back(lane: Weak<Lane>, seat: Seat) {
    let mut pause = FIRST_RETRY;
    loop {
        match lane.upgrade() {
            Some(lane) if lane.is_suspended(&seat) => {}
            _ => return,
        }
        if seat.0.probe().await {
            if let Some(lane) = lane.upgrade() {
                lane.rejoin(&seat, Standing::Suspended);
            }
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_RETRY);
    }
}

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

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
}

impl Permit {
    fn new(lane: &Arc<Lane>, slot: Slot<Seat>) -> Self {
        Self { lane: Arc::clone(lane), slot: Some(slot), outcome: Outcome::Neutral }
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
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            if self.outcome == Outcome::Success {
                self.lane.stats.served(self.lane.now().saturating_sub(slot.since()));
            }
            self.lane.finish(slot, self.outcome);
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
