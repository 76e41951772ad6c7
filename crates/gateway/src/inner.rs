//! What all clones of a gateway share.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use portway_auth::{Attempt, Denied, FailureThrottle, Verdict};
use portway_deploy_config::Profile;
use tokio::sync::watch;

use crate::choice::Endpoint;
use crate::forwarded::ForwardedTrust;
use crate::lane::Commons;
use crate::metrics::Metrics;
use crate::tokens::Tokens;

/// The endpoints by name.
pub(crate) type Routes = HashMap<Arc<str>, Arc<Endpoint>>;

/// What requests read, and what the control side writes.
pub(crate) struct Inner {
    pub(crate) commons: Arc<Commons>,
    pub(crate) metrics: Metrics,
    pub(crate) routes: ArcSwap<Routes>,
    pub(crate) tokens: Tokens,
    pub(crate) settings: Settings,
    throttle: FailureThrottle,
    synced: watch::Sender<bool>,
    draining: AtomicBool,
    /// Whether this gateway holds the lease to scale.
    pub(crate) scales: AtomicBool,
    /// Upgraded connections that live on after their exchange.
    pub(crate) tunnels: watch::Sender<usize>,
}

/// The part of the options that requests look at.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// For requests that belong to no endpoint.
    pub(crate) profile: Profile,
    pub(crate) trust: ForwardedTrust,
    pub(crate) keep_authorization: bool,
    /// How much of a body is kept for a replay.
    pub(crate) replay_bytes: usize,
}

impl Inner {
    pub(crate) fn new(commons: Commons, settings: Settings) -> Self {
        Self {
            metrics: Metrics::new(),
            routes: ArcSwap::default(),
            tokens: Tokens::default(),
            throttle: FailureThrottle::new(
                FAILURES,
                FAILURE_INTERVAL,
                FAILING_CLIENTS,
                commons.chance.bits(),
            ),
            commons: Arc::new(commons),
            settings,
            synced: watch::Sender::new(false),
            draining: AtomicBool::new(false),
            scales: AtomicBool::new(false),
            tunnels: watch::Sender::new(0),
        }
    }

    /// Has `judge` decide, unless the client has guessed too often.
    pub(crate) fn guarded(&self, attempt: &Attempt<'_>, judge: impl FnOnce() -> Verdict) -> Verdict {
        let Some(client) = attempt.client else { return judge() };
        if let Some(retry_after) = self.throttle.blocked_for(attempt.now, client) {
            return Verdict::Deny(Denied::Throttled { retry_after });
        }
        let verdict = judge();
        if matches!(&verdict, Verdict::Deny(denied) if denied.may_be_a_guess()) {
            self.throttle.record_failure(attempt.now, client);
        }
        verdict
    }

    pub(crate) fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    pub(crate) fn set_synced(&self) {
        self.synced.send_replace(true);
    }

    /// Waits until the catalog has been read.
    pub(crate) async fn wait_synced(&self) {
        // The sender lives in `self`, so the wait ends only by the condition.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.is_synced() && !self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }
}

/// Guesses that a client address has at once, and how fast it gets new ones.
const FAILURES: u32 = 20;
const FAILURE_INTERVAL: Duration = Duration::from_secs(1);
const FAILING_CLIENTS: usize = 16_384;

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("settings", &self.settings).finish_non_exhaustive()
    }
}
