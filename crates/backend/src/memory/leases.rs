use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Faults, lock};
use crate::{BackendError, Fence, Lease, Leases};

/// Leases in memory, on tokio's clock, so that a paused runtime decides when they run out.
#[derive(Debug, Default)]
pub struct MemoryLeases {
    held: Mutex<HashMap<String, Held>>,
    first_fence: u64,
    faults: Faults,
}

#[derive(Debug)]
struct Held {
    holder: String,
    fence: u64,
    until: Instant,
}

impl MemoryLeases {
    /// No lease is held; fences count from 1.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No lease is held; every fence is above `last`, the highest one that an earlier run gave out.
    #[must_use]
    pub fn after(last: Fence) -> Self {
        Self { first_fence: last.number(), ..Self::default() }
    }

    /// Failures for the calls to come.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

#[async_trait]
impl Leases for MemoryLeases {
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, BackendError> {
        self.faults.check()?;
        if name.is_empty() || holder.is_empty() {
            return Err(BackendError::invalid("a lease needs a name and a holder"));
        }
        let now = Instant::now();
        let mut all = lock(&self.held);
        let held = all.entry(name.to_owned()).or_insert_with(|| Held {
            holder: String::new(),
            fence: self.first_fence,
            until: now,
        });
        if now < held.until && held.holder != holder {
            return Ok(None);
        }
        if now >= held.until || held.holder != holder {
            holder.clone_into(&mut held.holder);
            held.fence += 1;
        }
        held.until = now + ttl;
        Ok(Some(Lease { name: name.to_owned(), holder: holder.to_owned(), fence: Fence::new(held.fence) }))
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), BackendError> {
        self.faults.check()?;
        let now = Instant::now();
        match lock(&self.held).get_mut(&lease.name) {
            Some(held) if now < held.until && held.is(lease) => {
                held.until = now + ttl;
                Ok(())
            }
            _ => Err(BackendError::conflict(format!(
                "the lease {} is no longer held by {}",
                lease.name, lease.holder
            ))),
        }
    }

    async fn release(&self, lease: Lease) -> Result<(), BackendError> {
        self.faults.check()?;
        if let Some(held) = lock(&self.held).get_mut(&lease.name)
            && held.is(&lease)
        {
            held.until = Instant::now();
        }
        Ok(())
    }
}

impl Held {
    fn is(&self, lease: &Lease) -> bool {
        self.holder == lease.holder && self.fence == lease.fence.number()
    }
}
