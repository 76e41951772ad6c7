//! What survives: one folder with documents, artifacts, records of workloads and logs.

pub(crate) mod artifacts;
pub(crate) mod catalog;
pub(crate) mod file;
pub(crate) mod folder;
pub(crate) mod leases;
pub(crate) mod records;

use std::sync::{Mutex, MutexGuard, PoisonError};

use portway_backend::BackendError;

/// Locks a mutex; a panic under it leaves its data whole, since every change under it is made in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs file operations where they may block; they are finished even if nobody waits for them any more.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
) -> Result<T, BackendError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BackendError::unavailable("the program is shutting down").with_source(error)),
    }
}
