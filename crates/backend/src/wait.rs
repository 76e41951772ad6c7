use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::Status;

/// How a [`wait_for`] ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum Waited {
    /// The condition held for this status.
    Reached(Arc<Status>),
    /// It did not hold in time; this was the last status.
    TimedOut(Arc<Status>),
    /// The backend is gone; this was the last status.
    Gone(Arc<Status>),
}

/// Waits until `condition` holds for a status that `status` shows, at most for `limit`.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// # use portway_backend::{wait_for, BackendError, Fleet, Waited, WorkloadId};
/// async fn two_are_ready(fleet: &dyn Fleet, id: &WorkloadId) -> Result<bool, BackendError> {
///     let mut status = fleet.watch(id).await?;
///     let waited = wait_for(&mut status, Duration::from_secs(60), |status| status.ready() >= 2).await;
///     Ok(matches!(waited, Waited::Reached(_)))
/// }
/// ```
pub async fn wait_for(
    status: &mut watch::Receiver<Arc<Status>>,
    limit: Duration,
    mut condition: impl FnMut(&Status) -> bool,
) -> Waited {
    let outcome = tokio::time::timeout(limit, status.wait_for(|status| condition(status))).await;
    let outcome = outcome.map(|reached| reached.map(|status| Arc::clone(&status)));
    match outcome {
        Ok(Ok(reached)) => Waited::Reached(reached),
        Ok(Err(_)) => Waited::Gone(Arc::clone(&status.borrow())),
        Err(_) => Waited::TimedOut(Arc::clone(&status.borrow())),
    }
}
