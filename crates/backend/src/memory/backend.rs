use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Faults, lock};
use crate::{
    Backend, BackendError, Fence, Fleet, Phase, Replica, ReplicaId, ReplicaState, Status, Workload,
    WorkloadId,
};

/// A backend without processes: what it calls a replica is an address.
///
/// With [`new`](Self::new) a replica that is wanted is ready at once, at the next address that the given function
/// returns. A test that wants to decide when replicas come and go sets them with
/// [`set_status`](Self::set_status).
pub struct MemoryBackend {
    state: Mutex<HashMap<WorkloadId, Entry>>,
    addresses: Addresses,
    faults: Faults,
}

type Addresses = Box<dyn Fn(&WorkloadId, u64) -> SocketAddr + Send + Sync>;

struct Entry {
    status: watch::Sender<Arc<Status>>,
    desired: Option<Workload>,
    fence: Option<Fence>,
    created: u64,
    log: Vec<String>,
}

impl Default for Entry {
    fn default() -> Self {
        let status = watch::Sender::new(Arc::new(Status::absent()));
        Self { status, desired: None, fence: None, created: 0, log: Vec::new() }
    }
}

impl MemoryBackend {
    /// A backend whose replicas are ready at once; `addresses` gives each its address from the workload and the
    /// number of its replicas so far.
    pub fn new(addresses: impl Fn(&WorkloadId, u64) -> SocketAddr + Send + Sync + 'static) -> Self {
        Self { state: Mutex::default(), addresses: Box::new(addresses), faults: Faults::default() }
    }

    /// A backend whose replicas have addresses at which nobody listens.
    #[must_use]
    pub fn unreachable() -> Self {
        Self::new(|_, number| {
            let port = u16::try_from(number % 60_000).unwrap_or(0);
            SocketAddr::from(([127, 0, 0, 1], 1 + port))
        })
    }

    /// Failures for the calls to come.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Shows `status` to those who watch `id`, whether or not such a workload was applied.
    pub fn set_status(&self, id: &WorkloadId, status: Status) {
        let mut state = lock(&self.state);
        state.entry(id.clone()).or_default().status.send_replace(Arc::new(status));
    }

    /// What was last applied for `id`.
    #[must_use]
    pub fn applied(&self, id: &WorkloadId) -> Option<Workload> {
        lock(&self.state).get(id).and_then(|entry| entry.desired.clone())
    }

    fn add(&self, id: &WorkloadId, entry: &mut Entry, status: &mut Status, count: u32) {
        for _ in 0..count {
            let address = (self.addresses)(id, entry.created);
            let name = format!("{}-{}-{}", id.endpoint, id.version, entry.created);
            entry.created += 1;
            entry.log.push(format!("{name} is ready at {address}"));
            status.replicas.push(Replica { id: ReplicaId::new(name), state: ReplicaState::Ready(address) });
        }
        status.replicas.sort_by(|a, b| a.id.cmp(&b.id));
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        let ready = state.iter().map(|(id, entry)| (id.to_string(), entry.status.borrow().ready()));
        f.debug_map().entries(ready).finish()
    }
}

/// Keeps `to` replicas; those named in `drained` go first.
fn keep(status: &mut Status, to: usize, drained: &[ReplicaId]) {
    let mut surplus = status.replicas.len().saturating_sub(to);
    for only_drained in [true, false] {
        status.replicas.retain(|replica| {
            let goes = surplus > 0 && (!only_drained || drained.contains(&replica.id));
            surplus -= usize::from(goes);
            !goes
        });
    }
}

#[async_trait]
impl Fleet for MemoryBackend {
    async fn watch(&self, id: &WorkloadId) -> Result<watch::Receiver<Arc<Status>>, BackendError> {
        self.faults.check()?;
        Ok(lock(&self.state).entry(id.clone()).or_default().status.subscribe())
    }

    async fn scale(
        &self,
        id: &WorkloadId,
        to: u32,
        drained: &[ReplicaId],
        fence: Fence,
    ) -> Result<(), BackendError> {
        self.faults.check()?;
        let mut state = lock(&self.state);
        let Some(entry) = state.get_mut(id).filter(|entry| entry.desired.is_some()) else {
            return Err(BackendError::not_found(format!("there is no workload {id}")));
        };
        if let Some(newer) = entry.fence.filter(|newest| *newest > fence) {
            return Err(BackendError::conflict(format!(
                "{id} is scaled under fence {newer}, {fence} is out of date"
            )));
        }
        entry.fence = Some(fence);
        let mut status = Status::clone(&entry.status.borrow());
        let present = u32::try_from(status.replicas.len()).unwrap_or(u32::MAX);
        self.add(id, entry, &mut status, to.saturating_sub(present));
        keep(&mut status, usize::try_from(to).unwrap_or(usize::MAX), drained);
        status.wanted = to;
        entry.status.send_replace(Arc::new(status));
        Ok(())
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn apply(&self, desired: &Workload) -> Result<(), BackendError> {
        self.faults.check()?;
        let mut state = lock(&self.state);
        let entry = state.entry(desired.id.clone()).or_default();
        if entry.desired.as_ref() == Some(desired) {
            return Ok(());
        }
        let mut status = Status::clone(&entry.status.borrow());
        // An update replaces every replica and keeps their number.
        let count = if entry.desired.is_some() { status.wanted } else { desired.initial_replicas };
        status.replicas.clear();
        self.add(&desired.id, entry, &mut status, count);
        status.wanted = count;
        status.phase = Phase::Healthy;
        entry.desired = Some(desired.clone());
        entry.status.send_replace(Arc::new(status));
        Ok(())
    }

    async fn logs(&self, id: &WorkloadId, lines: usize) -> Result<String, BackendError> {
        self.faults.check()?;
        match lock(&self.state).get(id) {
            Some(entry) if entry.desired.is_some() => {
                let from = entry.log.len().saturating_sub(lines);
                Ok(entry.log[from..].join("\n"))
            }
            _ => Err(BackendError::not_found(format!("there is no workload {id}"))),
        }
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), BackendError> {
        self.faults.check()?;
        if let Some(entry) = lock(&self.state).get_mut(id) {
            // The fence stays: a deposed scaler must not scale a namesake that is created later.
            entry.desired = None;
            entry.status.send_replace(Arc::new(Status::absent()));
        }
        Ok(())
    }
}
