//! One task for a key; whoever asks while it runs waits for the same outcome.
//!
//! The task belongs to the flight: a waiter that leaves kills nothing, the last one ends it. A task that dies is told to every waiter.
//! This file uses nothing but `super::rt`, so that a test can run it under shuttle's scheduler.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::rt;

/// The flights under way. `X` is what a flight's callers share while it runs, their log for instance.
pub(super) struct Flights<K, V, X> {
    table: Arc<rt::Mutex<Table<K, V, X>>>,
}

struct Table<K, V, X> {
    next: u64,
    flights: HashMap<K, Flight<V, X>>,
}

struct Flight<V, X> {
    number: u64,
    waiters: usize,
    shared: X,
    outcome: Arc<rt::Mutex<Outcome<V>>>,
    task: rt::JoinHandle<()>,
}

enum Outcome<V> {
    Pending(Vec<(u64, Waker)>),
    Landed(V),
    Died,
}

/// The task ended without an outcome: it panicked, or its runtime shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Died;

impl<K, V, X> Flights<K, V, X>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + 'static,
    X: Clone + Send + 'static,
{
    pub(super) fn new() -> Self {
        Self { table: Arc::new(rt::Mutex::new(Table { next: 0, flights: HashMap::new() })) }
    }

    /// Joins the flight of `key`, or starts one with `work`; tells what its callers share.
    pub(super) fn join<F>(&self, key: &K, shared: X, work: impl FnOnce(X) -> F) -> (Waiter<K, V, X>, X)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.next += 1;
        let number = table.next;
        if let Some(flight) = table.flights.get_mut(key) {
            flight.waiters += 1;
            let waiter = self.waiter(key, flight.number, number, &flight.outcome);
            return (waiter, flight.shared.clone());
        }
        let outcome = Arc::new(rt::Mutex::new(Outcome::Pending(Vec::new())));
        let landing = Landing {
            table: Arc::clone(&self.table),
            key: key.clone(),
            number,
            outcome: Arc::clone(&outcome),
        };
        let work = work(shared.clone());
        let task = rt::spawn(async move {
            let value = work.await;
            landing.land(Outcome::Landed(value));
        });
        let waiter = self.waiter(key, number, number, &outcome);
        table
            .flights
            .insert(key.clone(), Flight { number, waiters: 1, shared: shared.clone(), outcome, task });
        (waiter, shared)
    }

    fn waiter(
        &self,
        key: &K,
        flight: u64,
        number: u64,
        outcome: &Arc<rt::Mutex<Outcome<V>>>,
    ) -> Waiter<K, V, X> {
        Waiter {
            table: Arc::clone(&self.table),
            key: key.clone(),
            flight,
            number,
            outcome: Arc::clone(outcome),
        }
    }
}

impl<K: Hash + Eq, V, X> Table<K, V, X> {
    fn remove(&mut self, key: &K, number: u64) -> Option<Flight<V, X>> {
        let same = self.flights.get(key).is_some_and(|flight| flight.number == number);
        if same { self.flights.remove(key) } else { None }
    }
}

/// Held by the task; if it is dropped before it landed, the task died.
struct Landing<K: Hash + Eq, V, X> {
    table: Arc<rt::Mutex<Table<K, V, X>>>,
    key: K,
    number: u64,
    outcome: Arc<rt::Mutex<Outcome<V>>>,
}

impl<K: Hash + Eq, V, X> Landing<K, V, X> {
    /// Leaves the table first: whoever asks from now on starts anew. Nothing is dropped or woken under a lock.
    fn land(&self, with: Outcome<V>) {
        let gone = self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key, self.number);
        drop(gone);
        let before = {
            let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            match *outcome {
                Outcome::Pending(_) => std::mem::replace(&mut *outcome, with),
                Outcome::Landed(_) | Outcome::Died => return,
            }
        };
        if let Outcome::Pending(wakers) = before {
            wakers.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }
}

impl<K: Hash + Eq, V, X> Drop for Landing<K, V, X> {
    fn drop(&mut self) {
        self.land(Outcome::Died);
    }
}

/// Waits for the outcome of a flight; dropping it leaves.
#[must_use = "a waiter that is dropped leaves the flight"]
pub(super) struct Waiter<K: Hash + Eq, V, X> {
    table: Arc<rt::Mutex<Table<K, V, X>>>,
    key: K,
    flight: u64,
    number: u64,
    outcome: Arc<rt::Mutex<Outcome<V>>>,
}

impl<K: Hash + Eq, V: Clone, X> Future for Waiter<K, V, X> {
    type Output = Result<V, Died>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *outcome {
            Outcome::Landed(value) => Poll::Ready(Ok(value.clone())),
            Outcome::Died => Poll::Ready(Err(Died)),
            Outcome::Pending(wakers) => {
                match wakers.iter_mut().find(|(number, _)| *number == self.number) {
                    Some((_, waker)) => waker.clone_from(context.waker()),
                    None => wakers.push((self.number, context.waker().clone())),
                }
                Poll::Pending
            }
        }
    }
}

impl<K: Hash + Eq, V, X> Drop for Waiter<K, V, X> {
    fn drop(&mut self) {
        let abandoned = {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            match table.flights.get_mut(&self.key) {
                Some(flight) if flight.number == self.flight => {
                    flight.waiters -= 1;
                    if flight.waiters == 0 { table.remove(&self.key, self.flight) } else { None }
                }
                _ => None,
            }
        };
        if let Some(flight) = abandoned {
            flight.task.abort();
        }
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if let Outcome::Pending(wakers) = &mut *outcome {
            wakers.retain(|(number, _)| *number != self.number);
        }
    }
}
