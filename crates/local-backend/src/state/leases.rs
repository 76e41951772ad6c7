//! Leases among the tasks of the one process that owns the folder.
//!
//! Whoever held a lease in an earlier run is gone with it, so only the order of fences has to survive: the epoch makes
//! their upper half.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use portway_backend::{BackendError, Fence, Lease};
use tokio::time::Instant;

use super::lock;

pub(crate) struct LeaseStore(Mutex<State>);

struct State {
    fence: u64,
    held: HashMap<String, Held>,
}

struct Held {
    holder: String,
    fence: Fence,
    until: Instant,
}

impl LeaseStore {
    pub(crate) fn new(epoch: u32) -> Self {
        Self(Mutex::new(State { fence: u64::from(epoch) << 32, held: HashMap::new() }))
    }

    pub(crate) fn acquire(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, BackendError> {
        if name.is_empty() || holder.is_empty() {
            return Err(BackendError::invalid("a lease needs a name and a holder"));
        }
        let (mut state, now) = (lock(&self.0), Instant::now());
        let fence = match state.held.get(name).filter(|held| held.until > now) {
            Some(held) if held.holder != holder => return Ok(None),
            Some(held) => held.fence,
            None => {
                state.fence += 1;
                Fence::new(state.fence)
            }
        };
        state.held.insert(name.into(), Held { holder: holder.into(), fence, until: now + ttl });
        Ok(Some(Lease { name: name.into(), holder: holder.into(), fence }))
    }

    pub(crate) fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), BackendError> {
        let (mut state, now) = (lock(&self.0), Instant::now());
        let held = state.held.get_mut(&lease.name);
        match held.filter(|held| held.until > now && held.fence == lease.fence && held.holder == lease.holder)
        {
            Some(held) => {
                held.until = now + ttl;
                Ok(())
            }
            None => Err(BackendError::conflict(format!(
                "{} no longer holds the lease {:?}: stop acting under it",
                lease.holder, lease.name
            ))),
        }
    }

    pub(crate) fn release(&self, lease: &Lease) {
        let mut state = lock(&self.0);
        if state.held.get(&lease.name).is_some_and(|held| held.fence == lease.fence) {
            state.held.remove(&lease.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_grow_from_run_to_run() {
        let ttl = Duration::from_secs(3600);
        let runs =
            [1, 2, 9].map(|epoch| LeaseStore::new(epoch).acquire("scaler", "a", ttl).unwrap().unwrap().fence);
        assert!(runs.is_sorted() && runs[0] < runs[1], "{runs:?}");
    }
}
