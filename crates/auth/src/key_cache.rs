//! The life of a key set that comes from outside: a state machine without clock, socket, or task.

use std::time::Duration;

use crate::KeySet;

/// How long fetched keys are believed, and how often somebody may ask for new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// How long a set is fresh if its answer does not say; 10 minutes.
    pub fresh: Duration,
    /// How long a set is still used after that while no new one can be had; 24 hours.
    pub stale: Duration,
    /// The least time between two fetches for keys that are not in the set; 30 seconds.
    pub unknown_key_window: Duration,
    /// How long one fetch may take before another may start; 10 seconds.
    pub flight: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(10 * 60),
            stale: Duration::from_secs(24 * 3600),
            unknown_key_window: Duration::from_secs(30),
            flight: Duration::from_secs(10),
        }
    }
}

/// The keys of one issuer over time: fresh, stale, gone; and whether to fetch them.
///
/// The rules, each of which some outage has taught somebody: a failed answer never replaces a good set; a refresh starts at
/// three quarters of the freshness, in the background; one fetch at a time; keys that are not in the set cause at most one
/// fetch a window; a set that cannot be renewed is used up to a bound and then not at all.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use portway_auth::{Freshness, KeyCache, KeySet};
///
/// # let set = KeySet::from_jwk(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#)?;
/// let mut cache = KeyCache::new(Freshness::default());
/// let now = Duration::from_secs(5);
/// let flight = cache.handle_timeout(now).expect("nothing is known yet");
/// assert!(cache.handle_timeout(now).is_none(), "one at a time");
/// cache.fetched(now, flight, set, None, 0);
/// assert!(cache.keys(now).is_some());
/// # Ok::<(), portway_auth::KeySetError>(())
/// ```
#[derive(Debug)]
pub struct KeyCache {
    rules: Freshness,
    held: Option<Held>,
    /// The fetch on its way: its number, and when it counts as lost.
    flying: Option<(u64, Duration)>,
    flights: u64,
    /// When to fetch next on our own account.
    due: Duration,
    /// When the last fetch started.
    last_start: Option<Duration>,
    failures: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) keys: KeySet,
    pub(crate) fresh_until: Duration,
    pub(crate) usable_until: Duration,
}

/// The right and the duty to fetch once. Handed back with the outcome; if it is dropped, the fetch counts as lost after a
/// while.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Flight(u64);

impl KeyCache {
    /// Knows nothing yet and wants to.
    #[must_use]
    pub const fn new(rules: Freshness) -> Self {
        Self {
            rules,
            held: None,
            flying: None,
            flights: 0,
            due: Duration::ZERO,
            last_start: None,
            failures: 0,
        }
    }

    /// Takes the last good set of an earlier life, `age` after it was fetched. It is stale: usable, to be renewed at once.
    pub fn restore(&mut self, now: Duration, keys: KeySet, age: Duration) {
        let left = self.rules.fresh.saturating_add(self.rules.stale).saturating_sub(age);
        if self.held.is_none() && !left.is_zero() {
            self.held = Some(Held { keys, fresh_until: now, usable_until: now.saturating_add(left) });
        }
    }

    /// The keys to verify with: fresh ones, or stale ones within the bound.
    #[must_use]
    pub fn keys(&self, now: Duration) -> Option<&KeySet> {
        self.held.as_ref().filter(|held| now < held.usable_until).map(|held| &held.keys)
    }

    /// Whether the keys are past their freshness: something is wrong with the issuer, or with the way there.
    #[must_use]
    pub fn is_stale(&self, now: Duration) -> bool {
        self.held.as_ref().is_none_or(|held| held.fresh_until <= now)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Duration {
        self.flying.map_or(self.due, |(_, lost)| lost)
    }

    /// Starts a fetch if one is due and none is on its way.
    pub fn handle_timeout(&mut self, now: Duration) -> Option<Flight> {
        if self.is_flying(now) || now < self.due { None } else { Some(self.start(now)) }
    }

    /// Whether waiting may bring a key that is not in the set: a fetch is on its way, or may start.
    #[must_use]
    pub fn may_learn(&self, now: Duration) -> bool {
        self.is_flying(now) || self.window_ends().is_none_or(|end| end <= now)
    }

    /// Starts a fetch for a key that is not in the set, at most once a window.
    pub fn handle_unknown_key(&mut self, now: Duration) -> Option<Flight> {
        if self.is_flying(now) || !self.may_learn(now) { None } else { Some(self.start(now)) }
    }

    /// When it makes sense to ask again for a key that is not there.
    #[must_use]
    pub fn retry_after(&self, now: Duration) -> Duration {
        let end = self.window_ends().unwrap_or(now).min(self.due.max(now));
        end.saturating_sub(now).max(Duration::from_secs(1))
    }

    /// A fetch brought a good set. `max_age` is what the answer allowed, if it said so; `bits` is chance, for the jitter.
    pub fn fetched(
        &mut self,
        now: Duration,
        flight: Flight,
        keys: KeySet,
        max_age: Option<Duration>,
        bits: u64,
    ) {
        if !self.land(flight) {
            return;
        }
        let fresh = max_age.map_or(self.rules.fresh, |age| age.clamp(MIN_FRESH, MAX_FRESH));
        let fresh_until = now.saturating_add(fresh);
        self.held =
            Some(Held { keys, fresh_until, usable_until: fresh_until.saturating_add(self.rules.stale) });
        self.failures = 0;
        // At 75 %, up to a tenth earlier, so that many gateways do not ask at once.
        self.due = now.saturating_add(jittered(fresh / 4 * 3, bits));
    }

    /// A fetch failed, or brought no usable set. What is held stays as it is.
    pub fn failed(&mut self, now: Duration, flight: Flight, bits: u64) {
        if !self.land(flight) {
            return;
        }
        let backoff = MIN_RETRY * (1 << self.failures.min(MAX_DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        self.due = now + jittered(backoff.min(MAX_RETRY), bits);
    }

    pub(crate) fn held(&self) -> Option<Held> {
        self.held.clone()
    }

    fn start(&mut self, now: Duration) -> Flight {
        self.flights += 1;
        self.flying = Some((self.flights, now.saturating_add(self.rules.flight)));
        self.last_start = Some(now);
        Flight(self.flights)
    }

    /// Whether this flight is the one that is awaited: a lost one that comes back late is not.
    fn land(&mut self, flight: Flight) -> bool {
        self.flying.take_if(|(number, _)| *number == flight.0).is_some()
    }

    fn is_flying(&self, now: Duration) -> bool {
        self.flying.is_some_and(|(_, lost)| now < lost)
    }

    fn window_ends(&self) -> Option<Duration> {
        self.last_start.map(|start| start.saturating_add(self.rules.unknown_key_window))
    }
}

/// Between nine tenths of `span` and all of it.
fn jittered(span: Duration, bits: u64) -> Duration {
    let part = (bits % 1024) as u32;
    span - span / 10 * part / 1024
}

const MIN_FRESH: Duration = Duration::from_secs(60);
const MAX_FRESH: Duration = Duration::from_secs(24 * 3600);
const MIN_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(60);
const MAX_DOUBLINGS: u32 = 6;
