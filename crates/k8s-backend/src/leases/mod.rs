//! Leases as Lease objects, changed only by compare-and-swap on their `resourceVersion`.
//!
//! # The fence
//!
//! It stands in an annotation of the object. Whoever takes the lease writes a fence above both the last one and the
//! `resourceVersion` of what it replaces; a lease that does not exist is first created for nobody. The server's
//! versions never go back, so fences grow even when somebody deletes the object, and no clock has a say. Only a cluster
//! that is restored from a backup may give out a number twice: stop deployers and gateways before restoring one.
//!
//! # When a lease has run out
//!
//! A holder's lease runs for its `ttl` from the moment before it was asked for. Everybody else waits until the object
//! has not changed for as long, by their own clock, since they first saw it like this; so clocks need not agree. One
//! exception lets a restarted program go on at once: a lease whose time of renewal lies its duration and a further
//! [`TOLERATED_SKEW`] in the past is free at first sight. A machine whose clock is ahead by more than that may
//! therefore take a lease that is still held; the fence tells the two apart.
//!
//! Lease objects know whole seconds: others wait for the `ttl` rounded up, at least one second. Holders must have names
//! of their own: two programs with one name hold the lease together.
//!
//! # What is asked of the server
//!
//! `get`, `create`, `update` on `leases` of `coordination.k8s.io`, one by one and by name; nothing is listed or watched.

mod record;
mod sightings;

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::api::PostParams;
use portway_backend::{BackendError, Fence, Lease, Leases};
use tokio::time::Instant;

pub(crate) use self::record::TOLERATED_SKEW;
pub(crate) use self::sightings::Sightings;

use self::record::Record;
use crate::backend::{Inner, K8sBackend};
use crate::clock::wall;
use crate::error::refused;
use crate::kept::{Kept, Standing};

#[async_trait]
impl Leases for K8sBackend {
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, BackendError> {
        if name.is_empty() || holder.is_empty() {
            return Err(BackendError::invalid("a lease needs a name and a holder"));
        }
        let ttl = ttl.min(MAX_TTL);
        for _ in 0..ATTEMPTS {
            match self.inner.try_acquire(name, holder, ttl).await? {
                Attempt::Ours(fence) => {
                    return Ok(Some(Lease { name: name.to_owned(), holder: holder.to_owned(), fence }));
                }
                Attempt::Theirs => return Ok(None),
                Attempt::Overtaken => {}
            }
        }
        Err(contended(name))
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), BackendError> {
        let ttl = ttl.min(MAX_TTL);
        for _ in 0..ATTEMPTS {
            let Some(found) = self.inner.held(lease).await? else {
                return Err(BackendError::conflict(format!(
                    "{} no longer holds the lease {}: stop acting under it",
                    lease.holder, lease.name
                )));
            };
            let record = Record::held(&lease.holder, lease.fence, ttl, &found.record, wall());
            if self.inner.write(&lease.name, found, &record, ttl).await? {
                return Ok(());
            }
        }
        Err(contended(&lease.name))
    }

    async fn release(&self, lease: Lease) -> Result<(), BackendError> {
        for _ in 0..ATTEMPTS {
            let Some(found) = self.inner.held(&lease).await? else { return Ok(()) };
            let record = found.record.released();
            if self.inner.write(&lease.name, found, &record, Duration::ZERO).await? {
                return Ok(());
            }
        }
        Err(contended(&lease.name))
    }
}

/// What came of asking for a lease.
enum Attempt {
    Ours(Fence),
    /// Somebody else holds it.
    Theirs,
    /// It changed between the look and the write.
    Overtaken,
}

/// A lease as it stands on the server.
struct Found {
    object: Object,
    record: Record,
    /// When its holder has lost it, as far as we can tell.
    until: Instant,
}

impl Inner {
    /// Who holds a lease, for messages; `None` if nobody does.
    pub(crate) async fn lease_holder(&self, name: &str) -> Result<Option<String>, BackendError> {
        Ok(self.lease(name).await?.and_then(|found| found.record.holder))
    }

    /// The fence of the present or last holder of a lease, as it stands on the server now.
    pub(crate) async fn lease_fence(&self, name: &str) -> Result<Option<Fence>, BackendError> {
        Ok(self.lease(name).await?.and_then(|found| found.record.fence))
    }

    async fn try_acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Attempt, BackendError> {
        let found = match self.lease(name).await? {
            Some(found) => found,
            None => match self.create(name).await? {
                Some(found) => found,
                None => return Ok(Attempt::Overtaken),
            },
        };
        let runs = Instant::now() < found.until;
        let fence = match (&found.record.holder, found.record.fence) {
            (Some(other), _) if runs && other != holder => return Ok(Attempt::Theirs),
            (Some(_), Some(fence)) if runs => fence,
            _ => found.record.next_fence(found.object.metadata.resource_version.as_deref())?,
        };
        let record = Record::held(holder, fence, ttl, &found.record, wall());
        let written = self.write(name, found, &record, ttl).await?;
        Ok(if written { Attempt::Ours(fence) } else { Attempt::Overtaken })
    }

    /// The lease, if it still is what `lease` says.
    async fn held(&self, lease: &Lease) -> Result<Option<Found>, BackendError> {
        let found = self.lease(&lease.name).await?;
        Ok(found.filter(|found| found.record.is(lease) && Instant::now() < found.until))
    }

    async fn lease(&self, name: &str) -> Result<Option<Found>, BackendError> {
        let kept = self.kept_lease(name);
        let found = self.api::<Object>().get_opt(&kept.object_name()).await;
        let found = found.map_err(|error| refused(&format!("read the lease {name}"), error))?;
        found.map(|object| self.seen(kept, object)).transpose()
    }

    /// Makes the object for nobody; `None` if somebody was faster.
    async fn create(&self, name: &str) -> Result<Option<Found>, BackendError> {
        let kept = self.kept_lease(name);
        let object = Object { metadata: kept.metadata([]), ..Object::default() };
        match self.api().create(&self.post(), &object).await {
            Ok(object) => self.seen(kept, object).map(Some),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(error) => Err(refused(&format!("create the lease {name}"), error)),
        }
    }

    /// Replaces what was found; `false` if it has changed or gone meanwhile.
    async fn write(
        &self,
        name: &str,
        found: Found,
        record: &Record,
        ttl: Duration,
    ) -> Result<bool, BackendError> {
        let object_name = self.kept_lease(name).object_name();
        let object = record.written_to(found.object);
        let asked = Instant::now();
        match self.api::<Object>().replace(&object_name, &self.post(), &object).await {
            Ok(written) => {
                self.leases.wrote(object_name, written.metadata.resource_version, asked + ttl);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
            Err(error) => Err(refused(&format!("write the lease {name}"), error)),
        }
    }

    /// Takes note of a state that the server has shown.
    fn seen(&self, kept: Kept<'_>, object: Object) -> Result<Found, BackendError> {
        let object_name = kept.object_name();
        let place = format!("the lease object {}/{object_name}", self.options.namespace);
        match kept.standing(&object.metadata) {
            Standing::Ours => {}
            Standing::Other(other) => return Err(kept.shortens_like(&place, &other)),
            Standing::Foreign(whose) => return Err(kept.occupied(&place, &whose)),
            Standing::Damaged => {
                return Err(BackendError::invalid(format!(
                    "{place} is damaged: its full name is missing or another one's; delete it"
                )));
            }
        }
        let record = Record::read(&object);
        let now = Instant::now();
        let until = if record.is_long_gone(wall()) { now } else { now + record.ttl };
        let until = self.leases.saw(object_name, object.metadata.resource_version.as_deref(), until);
        Ok(Found { object, record, until })
    }

    fn kept_lease<'a>(&'a self, name: &'a str) -> Kept<'a> {
        Kept { component: "lease", kind: "lease", owner: &self.options.owner, name }
    }

    fn post(&self) -> PostParams {
        PostParams { field_manager: Some(self.options.field_manager()), ..PostParams::default() }
    }
}

fn contended(name: &str) -> BackendError {
    BackendError::unavailable(format!(
        "the lease {name} was changed by others {ATTEMPTS} times in a row; ask again"
    ))
}

/// Times that a change is tried anew after somebody else's. Whoever loses one mostly finds the lease taken.
const ATTEMPTS: usize = 8;
/// What a Lease object can say.
const MAX_TTL: Duration = Duration::from_secs(i32::MAX as u64);
