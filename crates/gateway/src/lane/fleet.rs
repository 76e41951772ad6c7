//! The other side of a lane: replicas that come, go, cannot be reached, and are drained.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use portway_backend::{ReplicaId, Status};
use portway_router::{Limits, Slot};

use super::{Lane, Member, Parked, Seat, Standing, State};
use crate::upstream::Upstream;

impl Lane {
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
            state.queue_wait = limits.queue.wait;
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

    /// Takes a replica out of the pool; whether it was in.
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
            Some(member) if member.seat == *seat && member.standing == Standing::Suspended => {
                member.standing = standing;
                false
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

    /// Chooses `count` replicas to go and gives them nothing new: those that cannot be reached, then those that hold
    /// least, of which those that were chosen before. A choice is revised as long as nobody was named.
    pub(crate) fn drain(self: &Arc<Self>, count: usize) {
        let mut candidates = self.candidates();
        candidates.sort_by_key(|(seat, busy, standing)| {
            let reachable = *standing != Standing::Suspended;
            (reachable, *busy, *standing == Standing::In, std::cmp::Reverse(seat.0.number))
        });
        for (at, (seat, _, standing)) in candidates.into_iter().enumerate() {
            match (at < count, standing) {
                (true, Standing::In | Standing::Suspended) => {
                    self.leave(&seat, Standing::Leaving);
                }
                (false, Standing::Leaving) => {
                    self.rejoin(&seat, Standing::Leaving);
                }
                _ => {}
            }
        }
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
        let candidates = self.candidates().into_iter();
        let drained = candidates.filter(|(_, busy, standing)| *standing == Standing::Leaving && *busy == 0);
        drained.map(|(seat, ..)| seat.0.replica.clone()).collect()
    }

    /// The replicas that nobody was told to remove, and what they hold.
    fn candidates(&self) -> Vec<(Seat, u32, Standing)> {
        let state = self.state();
        let busy: HashMap<u64, u32> =
            state.pool.replicas().map(|load| (load.replica.0.number, load.busy)).collect();
        let members = state.members.values().filter(|member| member.standing != Standing::Named);
        let seat = |member: &Member| {
            let busy = busy.get(&member.seat.0.number).copied();
            (member.seat.clone(), busy.unwrap_or(0), member.standing)
        };
        members.map(seat).collect()
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn prune(&self) {
        let seats: Vec<Seat> = self.state().members.values().map(|member| member.seat.clone()).collect();
        for seat in seats {
            seat.0.prune();
        }
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
