//! The pool against a naive model, over any sequence of everything that can happen.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "included by a test and by a fuzz target")]

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use portway_router::{Admit, Limits, Load, Outcome, OutlierPolicy, Pool, Slot, Waiter, Waiting};

/// Checks the sequence that the bytes stand for, three bytes a step.
pub fn check(data: &[u8]) {
    let waiting = |byte: u8| Waiting {
        most: (byte & 1 == 0).then_some(u32::from(byte >> 1 & 7)),
        wait: Duration::from_millis(u64::from(byte >> 4) * 20),
    };
    let limits = |bytes: &[u8]| Limits { queue: waiting(bytes[0]), waiting_room: waiting(bytes[1]) };
    let step = |bytes: &[u8]| {
        let (a, b) = (bytes[1], bytes[2]);
        // The high bits choose among replicas, the low ones among requests.
        let (bits, pick) = (u64::from(a) << 56, usize::from(b));
        match bytes[0] % 16 {
            0 | 1 => Step::Add { name: a % 6, cap: 1 + b % 3 },
            2 => Step::Remove { name: a % 6 },
            3..=7 => Step::Offer { bits },
            8 => Step::OfferAgain { bits, pick },
            9 => Step::Cancel { pick },
            10 => Step::Finish {
                pick,
                outcome: [Outcome::Failure, Outcome::Unreachable, Outcome::Neutral][usize::from(a % 3)],
            },
            11 | 12 => Step::Finish { pick, outcome: Outcome::Success },
            13 | 14 => Step::Pass { ms: 1 + u64::from(a) / 2 },
            _ => Step::SetLimits(limits(&bytes[1..])),
        }
    };
    if let Some((first, rest)) = data.split_at_checked(2) {
        run(limits(first), rest.chunks_exact(3).map(step));
    }
}

/// Drives pool and model through the steps and compares them after each.
pub fn run(limits: Limits, steps: impl IntoIterator<Item = Step>) {
    let policy = OutlierPolicy {
        failures: NonZeroU32::new(2).unwrap(),
        first: Duration::from_millis(50),
        longest: Duration::from_millis(300),
    };
    let model = Model {
        policy,
        limits,
        now: Duration::ZERO,
        turned: Duration::ZERO,
        replicas: Vec::new(),
        queue: VecDeque::new(),
    };
    let pool = Pool::with_outliers(limits, policy);
    let mut run = Run { pool, model, slots: Vec::new(), waiters: Vec::new(), next: 0 };
    steps.into_iter().for_each(|step| run.step(step));
}

/// Something that happens to a pool. `pick` chooses among the slots or waiters at hand.
#[derive(Clone, Debug)]
pub enum Step {
    Add { name: u8, cap: u8 },
    Remove { name: u8 },
    Offer { bits: u64 },
    OfferAgain { bits: u64, pick: usize },
    Cancel { pick: usize },
    Finish { pick: usize, outcome: Outcome },
    Pass { ms: u64 },
    SetLimits(Limits),
}

/// What is known of a replica: everything in the open, nothing sorted.
#[derive(Clone, Debug)]
struct Replica {
    name: u8,
    cap: u32,
    busy: u32,
    draining: bool,
    failures: u32,
    ejections: u32,
    /// Ejected until then.
    out: Option<Duration>,
    probing: bool,
}

#[derive(Debug)]
struct Model {
    policy: OutlierPolicy,
    limits: Limits,
    now: Duration,
    turned: Duration,
    replicas: Vec<Replica>,
    /// Number, since when, and the replica to be avoided.
    queue: VecDeque<(u32, Duration)>,
}

impl Model {
    fn serving(&self) -> usize {
        self.replicas.iter().filter(|replica| !replica.draining).count()
    }

    fn has_room(&self, replica: &Replica) -> bool {
        let open = !replica.probing && replica.out.is_none_or(|until| until <= self.now);
        open && !replica.draining && replica.busy < replica.cap
    }

    /// The least busy of those with room.
    fn choice(&self) -> Vec<u8> {
        let with_room = || self.replicas.iter().filter(|replica| self.has_room(replica));
        let least = with_room().map(|replica| replica.busy).min();
        with_room().filter(|replica| Some(replica.busy) == least).map(|replica| replica.name).collect()
    }

    fn waiting(&self) -> Waiting {
        if self.serving() == 0 { self.limits.waiting_room } else { self.limits.queue }
    }

    fn deadline(&self, since: Duration) -> Duration {
        let turn = since.max(self.turned) + self.waiting().wait;
        turn.min(since + self.limits.queue.wait + self.limits.waiting_room.wait)
    }

    fn replica(&mut self, name: u8) -> Option<&mut Replica> {
        self.replicas.iter_mut().find(|replica| replica.name == name)
    }

    fn add(&mut self, name: u8, cap: u32) {
        if self.serving() == 0 {
            self.turned = self.now;
        }
        match self.replica(name) {
            Some(known) => (known.cap, known.draining) = (cap, false),
            None => self.replicas.push(Replica {
                name,
                cap,
                busy: 0,
                draining: false,
                failures: 0,
                ejections: 0,
                out: None,
                probing: false,
            }),
        }
    }

    /// Names it if it is gone already.
    fn remove(&mut self, name: u8) -> Option<u8> {
        let before = self.serving();
        let replica = self.replica(name)?;
        if replica.draining {
            return None;
        }
        *replica = Replica {
            draining: true,
            failures: 0,
            ejections: 0,
            out: None,
            probing: false,
            ..replica.clone()
        };
        if before == 1 {
            self.turned = self.now;
        }
        let serving = || self.replicas.iter().filter(|replica| !replica.draining);
        if serving().all(|replica| replica.out.is_some()) {
            for replica in self.replicas.iter_mut().filter(|replica| !replica.draining) {
                (replica.failures, replica.ejections, replica.out, replica.probing) = (0, 0, None, false);
            }
        }
        self.leave(name)
    }

    fn leave(&mut self, name: u8) -> Option<u8> {
        let at = self
            .replicas
            .iter()
            .position(|replica| replica.name == name && replica.draining && replica.busy == 0)?;
        Some(self.replicas.remove(at).name)
    }

    fn start(&mut self, name: u8) -> bool {
        let now = self.now;
        let replica = self.replica(name).expect("assigned to a replica that exists");
        replica.busy += 1;
        replica.probing = replica.out.is_some_and(|until| until <= now);
        replica.probing
    }

    fn finish(&mut self, name: u8, probe: bool, outcome: Outcome) -> Option<u8> {
        let others = self.replicas.iter().filter(|other| !other.draining && other.out.is_none()).count() > 1;
        let (now, policy) = (self.now, self.policy);
        let replica = self.replica(name).expect("busy replicas stay");
        replica.busy -= 1;
        let failed = matches!(outcome, Outcome::Failure | Outcome::Unreachable);
        let mut eject = false;
        if replica.draining {
        } else if replica.probing && probe {
            replica.probing = false;
            eject = failed;
            if outcome == Outcome::Success {
                (replica.failures, replica.ejections, replica.out) = (0, 0, None);
            }
        } else if replica.out.is_none() && failed {
            replica.failures += 1;
            eject = others && (outcome == Outcome::Unreachable || replica.failures >= policy.failures.get());
        } else if replica.out.is_none() && outcome == Outcome::Success {
            (replica.failures, replica.ejections) = (0, 0);
        }
        if eject {
            replica.out = Some(now + (policy.first * 2_u32.pow(replica.ejections)).min(policy.longest));
            replica.ejections += 1;
            replica.failures = 0;
        }
        self.leave(name)
    }

    fn load(&self) -> Load {
        let serving = || self.replicas.iter().filter(|replica| !replica.draining);
        Load {
            busy: self.replicas.iter().map(|replica| replica.busy).sum(),
            replicas: self.serving() as u32,
            occupied: serving().filter(|replica| replica.busy > 0).count() as u32,
            queued: self.queue.len() as u32,
            draining: (self.replicas.len() - self.serving()) as u32,
            ejected: serving().filter(|replica| replica.out.is_some()).count() as u32,
            slots: serving().map(|replica| u64::from(replica.cap)).sum(),
        }
    }
}

struct Run {
    pool: Pool<u8, u32>,
    model: Model,
    slots: Vec<(Slot<u8>, bool)>,
    waiters: Vec<(u32, Waiter)>,
    next: u32,
}

impl Run {
    fn start(&mut self, slot: Slot<u8>) {
        let probe = self.model.start(*slot.replica());
        self.slots.push((slot, probe));
    }

    fn drained(&mut self, expected: Option<u8>) {
        assert_eq!(self.pool.poll_drained(), expected);
    }

    fn step(&mut self, step: Step) {
        let now = self.model.now;
        match step {
            Step::Add { name, cap } => {
                self.pool.add(now, name, NonZeroU32::new(u32::from(cap)).unwrap());
                self.model.add(name, u32::from(cap));
            }
            Step::Remove { name } => {
                self.pool.remove(now, &name);
                let gone = self.model.remove(name);
                self.drained(gone);
            }
            Step::Offer { bits } => self.offer(bits),
            Step::OfferAgain { bits, pick } => self.offer_again(bits, pick),
            Step::Cancel { pick } if !self.waiters.is_empty() => {
                let (number, waiter) = self.waiters.swap_remove(pick % self.waiters.len());
                let parked = self.model.queue.iter().position(|(queued, _)| *queued == number);
                let expected = parked.and_then(|at| self.model.queue.remove(at)).map(|(number, _)| number);
                assert_eq!(self.pool.cancel(waiter), expected);
            }
            Step::Finish { pick, outcome } if !self.slots.is_empty() => {
                let (slot, probe) = self.slots.swap_remove(pick % self.slots.len());
                let name = *slot.replica();
                self.pool.finish(now, slot, outcome);
                let gone = self.model.finish(name, probe, outcome);
                self.drained(gone);
            }
            Step::Pass { ms } => self.model.now += Duration::from_millis(ms),
            Step::SetLimits(limits) => {
                self.pool.set_limits(limits);
                self.model.limits = limits;
            }
            Step::Cancel { .. } | Step::Finish { .. } => {}
        }
        self.pump();
    }

    fn offer(&mut self, bits: u64) {
        let (number, waiting) = (self.next, self.model.waiting());
        self.next += 1;
        let admits =
            !waiting.wait.is_zero() && waiting.most.is_none_or(|most| (self.model.queue.len() as u32) < most);
        match self.pool.offer(self.model.now, bits, number) {
            Admit::Assigned(slot, same) => {
                assert!(same == number && self.model.queue.is_empty());
                assert!(self.model.choice().contains(slot.replica()), "{slot:?} of {:?}", self.model);
                self.start(slot);
            }
            Admit::Queued(waiter) => {
                assert!(admits && (self.model.choice().is_empty() || !self.model.queue.is_empty()));
                self.model.queue.push_back((number, self.model.now));
                self.waiters.push((number, waiter));
            }
            Admit::Refused(same, refusal) => {
                assert!(same == number && !admits, "{refusal:?}");
                assert!((1..=300).contains(&refusal.retry_after.seconds()));
            }
        }
    }

    fn offer_again(&mut self, bits: u64, pick: usize) {
        if self.slots.is_empty() {
            return;
        }
        let (slot, probe) = self.slots.swap_remove(pick % self.slots.len());
        let failed = *slot.replica();
        self.pool.finish(self.model.now, slot, Outcome::Failure);
        let gone = self.model.finish(failed, probe, Outcome::Failure);
        self.drained(gone);
        let number = self.next;
        self.next += 1;
        match self.pool.offer_again(self.model.now, bits, number, &failed) {
            Admit::Assigned(slot, _) => {
                let room = |replica: &&Replica| self.model.has_room(replica);
                let others = self.model.replicas.iter().filter(room).any(|replica| replica.name != failed);
                assert_eq!(*slot.replica() != failed, others);
                self.start(slot);
            }
            Admit::Queued(waiter) => {
                assert!(self.model.choice().is_empty());
                let since = self.model.queue.front().map_or(self.model.now, |(_, since)| *since);
                self.model.queue.push_front((number, since));
                self.waiters.push((number, waiter));
            }
            Admit::Refused(..) => assert!(self.model.waiting().wait.is_zero()),
        }
    }

    /// What a shell does after every step, and what must hold then.
    fn pump(&mut self) {
        self.poll_assigned();
        while let Some((number, _)) = self.pool.handle_timeout(self.model.now) {
            let (head, since) = self.model.queue.pop_front().expect("only parked requests time out");
            assert_eq!(number, head);
            assert!(self.model.deadline(since) <= self.model.now);
        }
        self.poll_assigned();
        let model = &self.model;
        assert!(model.queue.is_empty() || model.choice().is_empty(), "nothing waits while a slot is free");
        assert!(
            model.queue.iter().all(|(_, since)| model.deadline(*since) > model.now),
            "nothing outstays its time"
        );
        assert_eq!(self.pool.load(), model.load());
        assert!(model.serving() == 0 || model.load().ejected < model.load().replicas, "one is always in");
        assert_eq!(model.load().busy as usize, self.slots.len());
        let next = model.queue.front().map(|(_, since)| model.deadline(*since));
        assert!(self.pool.poll_timeout() <= next && self.pool.poll_timeout().is_some() == next.is_some());
        for seen in self.pool.replicas() {
            let known =
                model.replicas.iter().find(|known| known.name == *seen.replica).expect("known to both");
            let ejected = known.out.is_some();
            assert_eq!(
                (seen.busy, seen.cap, seen.draining, seen.ejected),
                (known.busy, known.cap, known.draining, ejected)
            );
        }
    }

    fn poll_assigned(&mut self) {
        while let Some((number, slot)) = self.pool.poll_assigned() {
            assert_eq!(
                Some(number),
                self.model.queue.pop_front().map(|(number, _)| number),
                "first in, first out"
            );
            // A request that was offered again may get another than one of the least busy.
            let known = self.model.replicas.iter().find(|replica| replica.name == *slot.replica());
            assert!(known.is_some_and(|replica| self.model.has_room(replica)), "over the cap: {slot:?}");
            self.start(slot);
        }
    }
}
