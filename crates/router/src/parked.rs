//! Requests that wait, in the order in which they came.

use std::time::Duration;

/// A first-in-first-out queue whose entries can leave from the middle; all in constant time, without allocation once warm.
#[derive(Debug)]
pub(crate) struct Parked<Q> {
    cells: Vec<Cell<Q>>,
    free: u32,
    head: u32,
    tail: u32,
    len: u32,
}

/// A request that is parked. Give it to [`Pool::cancel`](crate::Pool::cancel) when its caller has gone.
#[derive(Debug, PartialEq, Eq, Hash)]
#[must_use = "without it the request cannot be cancelled"]
pub struct Waiter {
    at: u32,
    generation: u32,
}

#[derive(Debug)]
pub(crate) struct Entry<Q> {
    pub(crate) request: Q,
    pub(crate) since: Duration,
    pub(crate) bits: u64,
    /// The member that failed this request before.
    pub(crate) avoid: Option<u32>,
}

#[derive(Debug)]
struct Cell<Q> {
    entry: Option<Entry<Q>>,
    generation: u32,
    before: u32,
    after: u32,
}

impl<Q> Default for Parked<Q> {
    fn default() -> Self {
        Self { cells: Vec::new(), free: NONE, head: NONE, tail: NONE, len: 0 }
    }
}

impl<Q> Parked<Q> {
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn head(&self) -> Option<&Entry<Q>> {
        self.cells.get(self.head as usize)?.entry.as_ref()
    }

    pub(crate) fn push_back(&mut self, entry: Entry<Q>) -> Waiter {
        let (at, waiter) = self.fill(entry);
        self.cells[at as usize].before = self.tail;
        match self.cells.get_mut(self.tail as usize) {
            Some(last) => last.after = at,
            None => self.head = at,
        }
        self.tail = at;
        waiter
    }

    pub(crate) fn push_front(&mut self, entry: Entry<Q>) -> Waiter {
        let (at, waiter) = self.fill(entry);
        self.cells[at as usize].after = self.head;
        match self.cells.get_mut(self.head as usize) {
            Some(first) => first.before = at,
            None => self.tail = at,
        }
        self.head = at;
        waiter
    }

    pub(crate) fn pop_front(&mut self) -> Option<Entry<Q>> {
        self.take(self.head)
    }

    pub(crate) fn cancel(&mut self, waiter: &Waiter) -> Option<Entry<Q>> {
        self.get_mut(waiter)?;
        self.take(waiter.at)
    }

    pub(crate) fn get_mut(&mut self, waiter: &Waiter) -> Option<&mut Q> {
        let cell = self.cells.get_mut(waiter.at as usize)?;
        let entry = cell.entry.as_mut().filter(|_| cell.generation == waiter.generation)?;
        Some(&mut entry.request)
    }

    fn fill(&mut self, entry: Entry<Q>) -> (u32, Waiter) {
        let at = self.free;
        self.len += 1;
        if let Some(cell) = self.cells.get_mut(at as usize) {
            self.free = cell.after;
            (cell.before, cell.after, cell.entry) = (NONE, NONE, Some(entry));
            return (at, Waiter { at, generation: cell.generation });
        }
        let at = self.cells.len() as u32;
        self.cells.push(Cell { entry: Some(entry), generation: 0, before: NONE, after: NONE });
        (at, Waiter { at, generation: 0 })
    }

    fn take(&mut self, at: u32) -> Option<Entry<Q>> {
        let cell = self.cells.get_mut(at as usize)?;
        let entry = cell.entry.take()?;
        let (before, after) = (cell.before, cell.after);
        cell.generation = cell.generation.wrapping_add(1);
        cell.after = self.free;
        self.free = at;
        self.len -= 1;
        match self.cells.get_mut(before as usize) {
            Some(cell) => cell.after = after,
            None => self.head = after,
        }
        match self.cells.get_mut(after as usize) {
            Some(cell) => cell.before = before,
            None => self.tail = before,
        }
        Some(entry)
    }
}

const NONE: u32 = u32::MAX;
