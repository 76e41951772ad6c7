//! The deployer's lease: two deployers of one name would undo each other's work, so the second is told.
//!
//! It is taken by the first apply or remove and renewed until [`K8sBackend::shut_down`] or the end of the process, after
//! which it runs out by itself. A deployer that starts again after a crash finds its own name taken; so the first order of a
//! process waits for as long as a lease lasts without renewal before it says that another one lives. Gateways never need it.
//!
//! Whether it is held is judged by the local clock, from the moment before it was last asked for: a deployer that cannot
//! renew it stops being one before another can follow. It then forgets what it has applied, so that it puts nothing back.

use std::sync::{Arc, Mutex as Quick, OnceLock, PoisonError, Weak};
use std::time::Duration;

use portway_backend::{BackendError, ErrorKind, Lease, Leases as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::backend::{Inner, K8sBackend};
use crate::leases::TOLERATED_SKEW;
use crate::names::hex;

/// Whether this process is the deployer of its name.
#[derive(Default)]
pub(crate) struct DeployerLease {
    /// Who we are, always the same: an acquisition whose answer was lost is ours.
    holder: OnceLock<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// Whether we have waited for the end of another one.
    has_waited: bool,
}

struct Held {
    lease: Lease,
    term: Arc<Term>,
    /// Ends with this.
    _renewal: JoinSet<()>,
}

/// Until when a lease is held.
struct Term(Quick<Option<Instant>>);

impl Term {
    fn set(&self, end: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }

    fn is_over(&self) -> bool {
        let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        end.is_none_or(|end| end <= Instant::now())
    }
}

impl DeployerLease {
    /// Makes sure that this process is the deployer.
    pub(crate) async fn hold(&self, backend: &K8sBackend) -> Result<(), BackendError> {
        let mut state = self.state.lock().await;
        if state.is_held() {
            return Ok(());
        }
        if state.held.take().is_some() {
            backend.inner.applied.forget_all();
        }
        let owner = &backend.inner.options.owner;
        let name = format!("deployer.{owner}");
        let mut end = Instant::now() + TTL;
        let mut lease = backend.acquire(&name, self.holder()?, TTL).await?;
        if lease.is_none() && !state.has_waited {
            let holder = holder(backend, &name).await;
            tracing::warn!(
                "a deployer is called {owner:?} already: {holder}; waiting {TTL:?} to see whether it lives"
            );
            tokio::time::sleep(TTL).await;
            state.has_waited = true;
            end = Instant::now() + TTL;
            lease = backend.acquire(&name, self.holder()?, TTL).await?;
        }
        let Some(lease) = lease else {
            let holder = holder(backend, &name).await;
            return Err(BackendError::conflict(format!(
                "another deployer is called {owner:?} as well: {holder}; end it, or give one of them another name; if it has \
                 ended already, its hold on the name runs out within {} s",
                (TTL + TOLERATED_SKEW).as_secs()
            )));
        };
        let term = Arc::new(Term(Quick::new(Some(end))));
        let mut renewal = JoinSet::new();
        renewal.spawn(renew(Arc::downgrade(&backend.inner), lease.clone(), Arc::clone(&term)));
        *state = State { held: Some(Held { lease, term, _renewal: renewal }), has_waited: true };
        Ok(())
    }

    /// Whether this process is the deployer now; it is not made one.
    pub(crate) async fn is_held(&self) -> bool {
        self.state.lock().await.is_held()
    }

    fn holder(&self) -> Result<&str, BackendError> {
        if self.holder.get().is_none() {
            // If another was faster, that one counts.
            let _ = self.holder.set(new_holder()?);
        }
        Ok(self.holder.get().map_or("", String::as_str))
    }

    /// Gives the name back.
    pub(crate) async fn release(&self, backend: &K8sBackend) -> Result<(), BackendError> {
        match self.state.lock().await.held.take() {
            Some(held) => backend.release(held.lease).await,
            None => Ok(()),
        }
    }
}

impl State {
    fn is_held(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.term.is_over())
    }
}

async fn renew(backend: Weak<Inner>, lease: Lease, term: Arc<Term>) {
    loop {
        tokio::time::sleep(TTL / 3).await;
        let Some(inner) = backend.upgrade() else { return };
        let backend = K8sBackend { inner };
        let end = Instant::now() + TTL;
        match backend.renew(&lease, TTL).await {
            Ok(()) => term.set(Some(end)),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tracing::error!("this deployer has lost its name to another one: {error}");
                term.set(None);
            }
            Err(error) => tracing::warn!("the deployer's lease was not renewed: {error}"),
        }
        if term.is_over() {
            return backend.inner.applied.forget_all();
        }
    }
}

/// Who holds it, as far as that can be seen.
async fn holder(backend: &K8sBackend, name: &str) -> String {
    let holder = backend.inner.lease_holder(name).await.ok().flatten();
    holder.map_or_else(|| "its process is unknown".to_owned(), |holder| format!("it is {holder}"))
}

/// This machine or pod, and something that no other process has.
fn new_holder() -> Result<String, BackendError> {
    let mut random = [0; 8];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| {
        BackendError::unavailable(
            "the system has no random numbers; start it where getrandom(2) is allowed, and try again",
        )
    })?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"));
    let host = host.as_deref().map_or("unknown", str::trim);
    Ok(format!("{host}/{}", hex(&random)))
}

/// How long the name stays taken after a deployer has died.
const TTL: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_processes_are_the_same_holder() {
        let (one, other) = (new_holder().unwrap(), new_holder().unwrap());
        assert_ne!(one, other);
        assert!(!one.starts_with('/') && !one.contains('\n'), "{one}");
    }
}
