//! The counter that stands beside a schedule.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the tickets of one [`Split`](crate::Split), on any number of threads, and can be closed for a change.
///
/// Counter and schedule live in one snapshot, so that no ticket of one schedule is ever looked up in another. A shell keeps the
/// snapshot behind one pointer (an `ArcSwap`, or an `RwLock<Arc<_>>`):
///
/// ```
/// use portway_router::{Share, Shares, Split, Tickets};
/// use std::sync::{Arc, RwLock};
///
/// struct Snapshot { split: Split<&'static str>, tickets: Tickets }
///
/// // A request takes a ticket; if a change is just going on, from the next snapshot.
/// fn route(live: &RwLock<Arc<Snapshot>>) -> &'static str {
///     loop {
///         let now = live.read().unwrap().clone();
///         if let Some(ticket) = now.tickets.take() {
///             return now.split.at(ticket);
///         }
///         std::thread::yield_now();
///     }
/// }
///
/// // A change closes the counter, which tells exactly how many tickets were used, and publishes what follows.
/// fn change(live: &RwLock<Arc<Snapshot>>, shares: Shares<&'static str>) {
///     let old = live.read().unwrap().clone();
///     let split = old.split.next(old.tickets.close(), shares);
///     *live.write().unwrap() = Arc::new(Snapshot { split, tickets: Tickets::new() });
/// }
///
/// let live = RwLock::new(Arc::new(Snapshot { split: Split::new(Shares::all_to("a")), tickets: Tickets::new() }));
/// assert_eq!(route(&live), "a");
/// change(&live, Shares::new("a", [("b", Share::ALL)])?);
/// assert_eq!(route(&live), "b");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Changes take their turn (one mutex around `change`); requests never wait for anything but the short time in which the
/// next schedule is computed.
#[derive(Debug, Default)]
pub struct Tickets {
    next: AtomicU64,
    used: OnceLock<u64>,
}

impl Tickets {
    /// A counter at ticket 0.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: AtomicU64::new(0), used: OnceLock::new() }
    }

    /// The next ticket; `None` once the counter is closed.
    #[must_use]
    pub fn take(&self) -> Option<u64> {
        // Relaxed: the number is all that is shared; the snapshot itself is published by the pointer that holds it.
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        (ticket < CLOSED).then_some(ticket)
    }

    /// Closes the counter and tells how many tickets were taken; none is taken afterwards.
    #[must_use]
    pub fn close(&self) -> u64 {
        *self.used.get_or_init(|| self.next.fetch_or(CLOSED, Ordering::Relaxed))
    }
}

/// The top bit. Tickets below it last for 292 years at a billion a second.
const CLOSED: u64 = 1 << 63;
