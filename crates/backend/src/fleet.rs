use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{BackendError, Fence, Workload, WorkloadId};

/// The name of one replica; unique among all replicas of its backend, those of earlier runs included.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ReplicaId(Arc<str>);

impl ReplicaId {
    /// The replica called `name`.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a replica may be given requests.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ReplicaState {
    /// It has been created and does not answer yet.
    Starting,
    /// It answers at this address.
    Ready(SocketAddr),
    /// It is going away: it finishes what it has and gets nothing new (RTR-8).
    Terminating,
}

/// One replica as its backend sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replica {
    /// Its name.
    pub id: ReplicaId,
    /// Whether it may be given requests, and where.
    pub state: ReplicaState,
}

impl Replica {
    /// The address of a ready replica.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.state {
            ReplicaState::Ready(address) => Some(address),
            ReplicaState::Starting | ReplicaState::Terminating => None,
        }
    }
}

/// The state of a workload in the documented words (RUN-4).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Phase {
    /// Replicas are being started or stopped. Not final.
    #[default]
    Transitioning,
    /// All wanted replicas are ready.
    Healthy,
    /// Replicas exist and fail; the backend goes on trying. Not final.
    Unhealthy,
    /// There is no room for a replica. Not final.
    Unschedulable,
    /// It cannot work, and the backend has given up until the next apply or scale.
    Failed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a workload looks like now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// The state of the whole.
    pub phase: Phase,
    /// How many replicas are wanted; 0 for a workload that does not exist.
    pub wanted: u32,
    /// Its replicas, ordered by name.
    pub replicas: Vec<Replica>,
    /// Why the phase is what it is, and what to do about it. Empty while all is well.
    pub message: String,
}

impl Status {
    /// The status of a workload that does not exist.
    #[must_use]
    pub fn absent() -> Self {
        Self::default()
    }

    /// How many replicas are ready.
    #[must_use]
    pub fn ready(&self) -> u32 {
        u32::try_from(self.replicas.iter().filter(|replica| replica.address().is_some()).count())
            .unwrap_or(u32::MAX)
    }
}

/// What a gateway may do with replicas: watch them and ask for another number of them.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Follows the status of a workload, beginning with its present one.
    ///
    /// A workload that does not exist has [`Status::absent`]; the receiver follows it once it is created, so nobody
    /// has to wait for creation first. The last status stays readable after the backend has gone.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when the backend cannot be asked.
    async fn watch(&self, id: &WorkloadId) -> Result<watch::Receiver<Arc<Status>>, BackendError>;

    /// Asks for `to` replicas.
    ///
    /// When there are more than that, the `drained` ones go first: their gateway has stopped sending to them and they
    /// are idle. The call returns when the wish is recorded, not when it is fulfilled.
    ///
    /// `fence` is that of the lease [`Lease::SCALER`](crate::Lease::SCALER), under which its holder scales all workloads.
    /// A younger one that has scaled a workload counts also after the workload was removed and applied again.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) when a younger `fence` has scaled this workload or an earlier one of its
    /// name, or, where the backend sees it, has been given out,
    /// [`NotFound`](crate::ErrorKind::NotFound), [`Capacity`](crate::ErrorKind::Capacity) where the backend knows at
    /// once that it cannot hold them, [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn scale(
        &self,
        id: &WorkloadId,
        to: u32,
        drained: &[ReplicaId],
        fence: Fence,
    ) -> Result<(), BackendError>;
}

/// What a deployer may do: everything of a [`Fleet`], and bring workloads into being and out of it.
#[async_trait]
pub trait Backend: Fleet {
    /// Makes the workload what `desired` says, creating or updating it; a repetition changes nothing.
    ///
    /// An update replaces replicas one by one: a new one is ready before an old one is told to go. The number of
    /// replicas stays what it is.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for what this backend can never run,
    /// [`NotFound`](crate::ErrorKind::NotFound) for a project that is not among the artifacts,
    /// [`Conflict`](crate::ErrorKind::Conflict) when somebody else owns a workload of that name,
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn apply(&self, desired: &Workload) -> Result<(), BackendError>;

    /// The last `lines` lines that each replica wrote, the newest last, kept after a replica is gone.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound), [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn logs(&self, id: &WorkloadId, lines: usize) -> Result<String, BackendError>;

    /// Ends the workload and all of its replicas; one that does not exist is a success.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn remove(&self, id: &WorkloadId) -> Result<(), BackendError>;
}
