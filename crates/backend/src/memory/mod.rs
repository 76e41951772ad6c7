//! The seams in memory: for tests, and for programs whose replicas and documents live elsewhere or nowhere.
//!
//! They pass the same conformance suites as the real implementations, and [`Faults`] makes them fail on cue.

mod artifacts;
mod backend;
mod catalog;
mod faults;
mod leases;

pub use artifacts::MemoryArtifacts;
pub use backend::MemoryBackend;
pub use catalog::MemoryCatalog;
pub use faults::Faults;
pub use leases::MemoryLeases;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks whatever a panicking test may have left behind: each critical section leaves its data whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
