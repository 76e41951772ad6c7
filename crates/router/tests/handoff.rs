//! The hand-off between tasks as a shell does it, under a scheduler that tries many interleavings: a slot that comes free goes to a
//! parked request while that request may be giving up.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use portway_router::{Admit, Limits, Outcome, Pool, Slot, Waiter, Waiting};
use shuttle::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

type Granted = Result<Slot<u32>, TimedOut>;
type Parked = Sender<Granted>;

#[derive(Debug)]
struct TimedOut;

/// A shell in small: the pool under one short lock, a clock that tests move.
struct Shell {
    pool: Mutex<Pool<u32, Parked>>,
    now: AtomicU64,
    inside: [AtomicU32; 2],
}

impl Shell {
    fn new(replicas: u32) -> Arc<Self> {
        let limits = Limits {
            queue: Waiting::at_most(100, Duration::from_secs(10)),
            waiting_room: Waiting::at_most(100, Duration::from_secs(10)),
        };
        let mut pool = Pool::new(limits);
        (0..replicas).for_each(|replica| pool.add(Duration::ZERO, replica, NonZeroU32::MIN));
        Arc::new(Self {
            pool: Mutex::new(pool),
            now: AtomicU64::new(0),
            inside: [const { AtomicU32::new(0) }; 2],
        })
    }

    fn now(&self) -> Duration {
        Duration::from_secs(self.now.load(Ordering::SeqCst))
    }

    /// Changes the pool and passes on what it decided, outside of the lock.
    fn with<T>(&self, change: impl FnOnce(&mut Pool<u32, Parked>, Duration) -> T) -> T {
        let mut decided: Vec<(Parked, Granted)> = Vec::new();
        let result = {
            let mut pool = self.pool.lock().unwrap();
            let now = self.now();
            let result = change(&mut pool, now);
            decided.extend(
                std::iter::from_fn(|| pool.handle_timeout(now)).map(|(parked, _)| (parked, Err(TimedOut))),
            );
            decided
                .extend(std::iter::from_fn(|| pool.poll_assigned()).map(|(parked, slot)| (parked, Ok(slot))));
            result
        };
        for (parked, granted) in decided {
            // Whoever has left without a word leaves the slot behind.
            if let Err(returned) = parked.send(granted)
                && let Ok(slot) = returned.0
            {
                self.finish(slot, Outcome::Neutral);
            }
        }
        result
    }

    fn finish(&self, slot: Slot<u32>, outcome: Outcome) {
        self.with(|pool, now| pool.finish(now, slot, outcome));
    }

    fn work(&self, slot: Slot<u32>) {
        let inside = &self.inside[*slot.replica() as usize];
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "never over the cap");
        thread::yield_now();
        inside.fetch_sub(1, Ordering::SeqCst);
        self.finish(slot, Outcome::Success);
    }

    fn offer(&self) -> Result<Slot<u32>, (Waiter, Receiver<Granted>)> {
        let (parked, granted) = channel();
        match self.with(|pool, now| pool.offer(now, 0, parked)) {
            Admit::Assigned(slot, _) => Ok(slot),
            Admit::Queued(waiter) => Err((waiter, granted)),
            Admit::Refused(_, refusal) => panic!("{refusal:?}"),
        }
    }

    /// A request that stays until it is served or told that it timed out.
    fn patient(&self) {
        match self.offer() {
            Ok(slot) => self.work(slot),
            Err((_, granted)) => {
                if let Ok(slot) = granted.recv().expect("nobody is forgotten") {
                    self.work(slot);
                }
            }
        }
    }

    /// A request whose caller goes away while it waits.
    fn impatient(&self) {
        match self.offer() {
            Ok(slot) => self.work(slot),
            Err((waiter, granted)) => {
                thread::yield_now();
                // Too late to cancel: an answer is there or on its way.
                if self.with(|pool, _| pool.cancel(waiter)).is_none()
                    && let Ok(slot) = granted.recv().expect("decided, hence sent")
                {
                    self.finish(slot, Outcome::Neutral);
                }
            }
        }
    }

    /// A request whose task is dropped before it could say so: it is still parked, and what is sent to it comes back.
    fn vanishing(&self) {
        match self.offer() {
            Ok(slot) => self.work(slot),
            Err((_, granted)) => drop(granted),
        }
    }

    fn assert_idle(&self) {
        let load = self.pool.lock().unwrap().load();
        assert_eq!((load.busy, load.queued), (0, 0), "every slot came back once, nobody waits");
    }
}

fn run(tasks: Vec<Box<dyn FnOnce() + Send>>) {
    let tasks: Vec<_> = tasks.into_iter().map(thread::spawn).collect();
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

fn task(shell: &Arc<Shell>, body: impl FnOnce(&Shell) + Send + 'static) -> Box<dyn FnOnce() + Send> {
    let shell = Arc::clone(shell);
    Box::new(move || body(&shell))
}

/// Tries many random interleavings, and many that switch tasks at few but nasty places.
fn explore(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(scenario.clone(), 300);
    shuttle::check_pct(scenario, 300, 3);
}

#[test]
fn r_rtr_6_a_freed_slot_reaches_one_waiter_whoever_gives_up() {
    explore(|| {
        let shell = Shell::new(1);
        run(vec![
            task(&shell, Shell::patient),
            task(&shell, Shell::impatient),
            task(&shell, Shell::patient),
            task(&shell, Shell::vanishing),
        ]);
        shell.assert_idle();
    });
}

#[test]
fn r_rtr_6_a_timeout_and_a_freed_slot_do_not_both_win() {
    explore(|| {
        let shell = Shell::new(1);
        let timer = |shell: &Shell| {
            shell.now.store(10, Ordering::SeqCst);
            shell.with(|_, _| ());
        };
        run(vec![task(&shell, Shell::patient), task(&shell, Shell::patient), task(&shell, timer)]);
        shell.assert_idle();
    });
}

#[test]
fn r_rtr_7_the_first_replica_wakes_those_that_wait_and_the_last_drains() {
    explore(|| {
        let shell = Shell::new(0);
        let scale = |shell: &Shell| {
            shell.with(|pool, now| pool.add(now, 0, NonZeroU32::MIN));
            shell.with(|pool, now| pool.add(now, 1, NonZeroU32::MIN));
            shell.with(|pool, now| pool.remove(now, &0));
        };
        run(vec![
            task(&shell, Shell::patient),
            task(&shell, Shell::impatient),
            task(&shell, Shell::patient),
            task(&shell, scale),
        ]);
        shell.assert_idle();
        assert_eq!(shell.pool.lock().unwrap().poll_drained(), Some(0));
    });
}
