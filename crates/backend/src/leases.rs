use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::BackendError;

/// A number that grows each time a lease changes hands, so that orders of a deposed holder can be told from those of
/// its successor.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Fence(u64);

impl Fence {
    /// The fence with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A lease that was held when the call that returned it was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// What it is for, for example [`SCALER`](Self::SCALER).
    pub name: String,
    /// Who holds it.
    pub holder: String,
    /// The fence under which the holder acts.
    pub fence: Fence,
}

impl Lease {
    /// The name of the lease whose holder scales: its fences, and no other lease's, are those of
    /// [`Fleet::scale`](crate::Fleet::scale).
    pub const SCALER: &str = "scaler";
}

/// Leases: at most one holder a name at a time, each with a [`Fence`] above all earlier ones.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease `name` for `ttl` if nobody else holds it; `None` if somebody does.
    ///
    /// The present holder gets its own lease again, with the same fence and a new `ttl`.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for an empty name, [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, BackendError>;

    /// Extends a lease by `ttl` from now.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) when it has run out or is somebody else's: stop acting at once.
    /// [`Unavailable`](crate::ErrorKind::Unavailable): it may still be held; stop before its `ttl` is over.
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), BackendError>;

    /// Gives a lease back; one that is no longer held is a success.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable): it then runs out by itself.
    async fn release(&self, lease: Lease) -> Result<(), BackendError>;
}
