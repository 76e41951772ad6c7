//! The flight under shuttle's scheduler: the same source as in the library, over primitives that let every interleaving happen.
#![cfg(feature = "resolve")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use flight::Flights;

#[path = "../src/resolve/flight.rs"]
mod flight;

/// What the library takes from tokio and the standard library.
mod rt {
    use std::cell::Cell;
    use std::future::Future;

    pub(crate) use shuttle::future::JoinHandle;
    pub(crate) use shuttle::sync::Mutex;

    std::thread_local! {
        /// Tasks that have not ended. One thread of the system carries all of a schedule.
        pub(crate) static ALIVE: Cell<usize> = const { Cell::new(0) };
    }

    struct Alive;

    impl Drop for Alive {
        fn drop(&mut self) {
            ALIVE.set(ALIVE.get() - 1);
        }
    }

    pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        ALIVE.set(ALIVE.get() + 1);
        let alive = Alive;
        shuttle::future::spawn(async move {
            let _alive = alive;
            future.await
        })
    }
}

const SCHEDULES: usize = 1_000;

/// Lets the scheduler choose another task.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

type Key = u8;
type Value = usize;

/// A look-up before a build, as the resolver has it: without the flight, two callers would both miss and both build.
async fn find_or_build(stored: Arc<AtomicUsize>, builds: Arc<AtomicUsize>) -> Value {
    pause().await;
    if stored.load(Ordering::SeqCst) == 0 {
        pause().await;
        builds.fetch_add(1, Ordering::SeqCst);
        pause().await;
        stored.store(7, Ordering::SeqCst);
    }
    stored.load(Ordering::SeqCst)
}

fn check(body: impl Fn() + Send + Sync + 'static) {
    let settled = move || {
        body();
        // Waits until every task has ended, by itself or by those who left it.
        while rt::ALIVE.get() > 0 {
            shuttle::thread::yield_now();
        }
    };
    shuttle::check_random(settled, SCHEDULES);
}

#[test]
fn r_img_5_every_schedule_builds_once_and_tells_everybody() {
    check(|| {
        let flights = Arc::new(Flights::<Key, Value, ()>::new());
        let (stored, builds) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (flights, stored, builds) =
                    (Arc::clone(&flights), Arc::clone(&stored), Arc::clone(&builds));
                rt::spawn(async move {
                    let (waiter, ()) = flights.join(&1, (), |()| find_or_build(stored, builds));
                    waiter.await
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(shuttle::future::block_on(caller).unwrap(), Ok(7));
        }
        assert_eq!(builds.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn r_img_5_in_every_schedule_a_caller_that_leaves_takes_nothing_from_those_who_stay() {
    check(|| {
        let flights = Arc::new(Flights::<Key, Value, ()>::new());
        let (stored, builds) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let join = {
            let (flights, stored, builds) = (Arc::clone(&flights), Arc::clone(&stored), Arc::clone(&builds));
            move || {
                let (stored, builds) = (Arc::clone(&stored), Arc::clone(&builds));
                flights.join(&1, (), |()| find_or_build(stored, builds)).0
            }
        };
        // The one who stays is aboard before anybody can leave.
        let stays = join();
        let leavers: Vec<_> = (0..3)
            .map(|_| {
                let join = join.clone();
                rt::spawn(async move {
                    let mut waiter = pin!(join());
                    poll_fn(|context| {
                        let _ = waiter.as_mut().poll(context);
                        Poll::Ready(())
                    })
                    .await;
                })
            })
            .collect();
        assert_eq!(shuttle::future::block_on(stays), Ok(7));
        leavers.into_iter().for_each(|leaver| shuttle::future::block_on(leaver).unwrap());
        assert_eq!(builds.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn r_img_5_in_every_schedule_the_last_to_leave_ends_the_work_and_the_next_starts_anew() {
    check(|| {
        let flights = Arc::new(Flights::<Key, Value, ()>::new());
        let leavers: Vec<_> = (0..2)
            .map(|_| {
                let flights = Arc::clone(&flights);
                rt::spawn(async move {
                    let (waiter, ()) = flights.join(&1, (), |()| std::future::pending());
                    pause().await;
                    drop(waiter);
                })
            })
            .collect();
        leavers.into_iter().for_each(|leaver| shuttle::future::block_on(leaver).unwrap());
        let (next, ()) = flights.join(&1, (), |()| async { 9 });
        assert_eq!(shuttle::future::block_on(next), Ok(9));
    });
}

#[test]
fn r_img_5_keys_do_not_wait_for_each_other() {
    check(|| {
        let flights = Arc::new(Flights::<Key, Value, ()>::new());
        let (endless, ()) = flights.join(&1, (), |()| std::future::pending());
        let (other, ()) = flights.join(&2, (), |()| async { 3 });
        assert_eq!(shuttle::future::block_on(other), Ok(3));
        drop(endless);
    });
}
