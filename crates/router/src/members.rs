//! The replicas of a pool: caps, load, health, and who is next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use crate::admit::{Load, ReplicaLoad, Slot};
use crate::levels::{Levels, Place};
use crate::outlier::{Health, Outcome, OutlierPolicy, Standing};

/// Replicas under small numbers that stay the same while requests are inside.
#[derive(Debug)]
pub(crate) struct Members<R> {
    policy: OutlierPolicy,
    members: Vec<Member<R>>,
    vacant: Vec<u32>,
    known: HashMap<R, u32>,
    levels: Levels,
    /// When ejected members are to be probed. An entry counts only if its member is still out until exactly then.
    probes: BinaryHeap<Reverse<(Duration, u32)>>,
    drained: VecDeque<R>,
    /// All but `queued`, which belongs to the pool.
    load: Load,
}

#[derive(Debug)]
struct Member<R> {
    /// `None` while the number is vacant.
    replica: Option<R>,
    cap: u32,
    busy: u32,
    draining: bool,
    /// `None` while nothing is known against it. Boxed, so that the members of a large pool stay in the processor's cache.
    health: Option<Box<Health>>,
    place: Option<Place>,
}

impl<R> Member<R> {
    fn standing(&self) -> Standing {
        self.health.as_ref().map_or(Standing::In, |health| health.standing)
    }

    fn is_out(&self) -> bool {
        self.standing() != Standing::In
    }

    fn has_room(&self) -> bool {
        self.busy < self.cap && !self.draining && matches!(self.standing(), Standing::In | Standing::Due)
    }

    fn stand(&mut self, standing: Standing) {
        if let Some(health) = &mut self.health {
            health.standing = standing;
        }
    }
}

impl<R: Clone + Eq + Hash> Members<R> {
    pub(crate) fn new(policy: OutlierPolicy) -> Self {
        Self {
            policy,
            members: Vec::new(),
            vacant: Vec::new(),
            known: HashMap::new(),
            levels: Levels::default(),
            probes: BinaryHeap::new(),
            drained: VecDeque::new(),
            load: Load::default(),
        }
    }

    pub(crate) const fn load(&self) -> Load {
        self.load
    }

    pub(crate) fn number(&self, replica: &R) -> Option<u32> {
        self.known.get(replica).copied()
    }

    /// One of the least busy that have room; `avoid` only if no other has.
    pub(crate) fn pick(&self, bits: u64, avoid: Option<u32>) -> Option<u32> {
        self.levels.pick(bits, avoid)
    }

    pub(crate) fn next_probe(&self) -> Option<Duration> {
        self.probes.peek().map(|Reverse((due, _))| *due)
    }

    pub(crate) fn pop_drained(&mut self) -> Option<R> {
        self.drained.pop_front()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = ReplicaLoad<'_, R>> {
        self.members.iter().filter_map(|member| {
            let replica = member.replica.as_ref()?;
            let (busy, cap, draining) = (member.busy, member.cap, member.draining);
            Some(ReplicaLoad { replica, busy, cap, draining, ejected: member.is_out() })
        })
    }

    pub(crate) fn add(&mut self, replica: R, cap: u32) {
        let at = self.number(&replica).unwrap_or_else(|| self.enter(replica));
        let member = &mut self.members[at as usize];
        if member.draining {
            member.draining = false;
            self.load.draining -= 1;
            self.load.replicas += 1;
            self.load.occupied += u32::from(member.busy > 0);
        } else {
            self.load.slots -= u64::from(member.cap);
        }
        member.cap = cap;
        self.load.slots += u64::from(cap);
        self.settle(at);
    }

    pub(crate) fn remove(&mut self, replica: &R) {
        let Some(at) = self.number(replica) else { return };
        let member = &mut self.members[at as usize];
        if member.draining {
            return;
        }
        member.draining = true;
        self.load.ejected -= u32::from(member.is_out());
        member.health = None;
        self.load.slots -= u64::from(member.cap);
        self.load.replicas -= 1;
        self.load.occupied -= u32::from(member.busy > 0);
        self.load.draining += 1;
        self.settle(at);
        self.leave_if_drained(at);
        self.keep_one_in();
    }

    /// Lets those in for a probe whose time is over.
    pub(crate) fn advance(&mut self, now: Duration) {
        while let Some(Reverse((due, at))) = self.probes.peek().copied()
            && due <= now
        {
            self.probes.pop();
            let member = &mut self.members[at as usize];
            if member.standing() == Standing::Out(due) {
                member.stand(Standing::Due);
                self.settle(at);
            }
        }
    }

    /// Takes a slot of a member that [`pick`](Self::pick) named.
    pub(crate) fn grant(&mut self, now: Duration, at: u32) -> Slot<R> {
        let member = &mut self.members[at as usize];
        let probe = member.standing() == Standing::Due;
        if probe {
            member.stand(Standing::Probing);
        }
        self.load.occupied += u32::from(member.busy == 0);
        member.busy += 1;
        self.load.busy += 1;
        let replica = member.replica.clone().expect("only members in use have room");
        self.settle(at);
        Slot { replica, member: at, since: now, probe }
    }

    pub(crate) fn finish(&mut self, now: Duration, slot: &Slot<R>, outcome: Outcome) {
        let at = slot.member;
        let member = &mut self.members[at as usize];
        member.busy -= 1;
        self.load.busy -= 1;
        self.load.occupied -= u32::from(member.busy == 0 && !member.draining);
        let spotless = member.health.is_none() && matches!(outcome, Outcome::Success | Outcome::Neutral);
        if !spotless && !member.draining {
            self.record(now, slot, outcome);
        }
        self.settle(at);
        self.leave_if_drained(at);
    }

    /// Keeps in mind how a request ended, and ejects or takes back its member.
    fn record(&mut self, now: Duration, slot: &Slot<R>, outcome: Outcome) {
        let others_are_in = self.load.replicas - self.load.ejected > 1;
        let member = &mut self.members[slot.member as usize];
        self.load.ejected -= u32::from(member.is_out());
        let health = member.health.get_or_insert_default();
        if let Some(until) = health.record(now, &self.policy, outcome, slot.probe, others_are_in) {
            self.probes.push(Reverse((until, slot.member)));
        }
        if **health == Health::default() {
            member.health = None;
        }
        self.load.ejected += u32::from(member.is_out());
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

    /// A new member, as one that drains; to be added at once.
    fn enter(&mut self, replica: R) -> u32 {
        let name = Some(replica.clone());
        let member = Member { replica: name, cap: 0, busy: 0, draining: true, health: None, place: None };
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

    fn leave_if_drained(&mut self, at: u32) {
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

    /// Removal may have taken the last one that was in: the others come back, for lack of better ones.
    fn keep_one_in(&mut self) {
        if self.load.replicas == 0 || self.load.ejected < self.load.replicas {
            return;
        }
        for at in 0..self.members.len() as u32 {
            let member = &mut self.members[at as usize];
            if !member.draining && member.is_out() {
                member.health = None;
                self.settle(at);
            }
        }
        self.load.ejected = 0;
    }
}
