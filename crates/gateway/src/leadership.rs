//! Who scales: the holder of one lease.

use std::sync::Arc;
use std::time::Duration;

use portway_backend::{Fence, Lease, Leases};

/// Whether this gateway is the one that scales.
pub(crate) struct Leadership {
    leases: Option<Arc<dyn Leases>>,
    holder: String,
    held: Option<(Lease, Duration)>,
    asked: Option<Duration>,
}

impl Leadership {
    pub(crate) fn new(leases: Option<Arc<dyn Leases>>, holder: String) -> Self {
        Self { leases, holder, held: None, asked: None }
    }

    /// The fence to act under; `None` where somebody else acts, or nobody is known to.
    pub(crate) async fn fence(&mut self, now: Duration) -> Option<Fence> {
        let leases = self.leases.as_ref()?;
        if self.asked.is_none_or(|asked| now.saturating_sub(asked) >= LEASE_REFRESH) {
            self.asked = Some(now);
            let asked = leases.acquire(Lease::SCALER, &self.holder, LEASE_TTL);
            match tokio::time::timeout(LEASE_REFRESH, asked).await {
                Ok(Ok(Some(lease))) => self.held = Some((lease, now.saturating_add(LEASE_TTL))),
                Ok(Ok(None)) => self.held = None,
                Ok(Err(error)) => tracing::warn!(%error, "cannot ask for the lease to scale"),
                Err(_) => tracing::warn!("no answer about the lease to scale"),
            }
        }
        // A lease that could not be renewed counts until shortly before it ends.
        let (lease, until) = self.held.as_ref()?;
        (now.saturating_add(LEASE_REFRESH) < *until).then_some(lease.fence)
    }

    pub(crate) async fn release(&mut self) {
        if let (Some(leases), Some((lease, _))) = (&self.leases, self.held.take())
            && let Err(error) = leases.release(lease).await
        {
            tracing::warn!(%error, "the lease to scale runs out by itself");
        }
    }
}

const LEASE_TTL: Duration = Duration::from_secs(15);
const LEASE_REFRESH: Duration = Duration::from_secs(3);
