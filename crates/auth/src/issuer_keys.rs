//! The keys of one trusted issuer, shared between those who verify and the one who fetches.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::jwk::Thumbprint;
use crate::key_cache::Held;
use crate::token::Opened;
use crate::{Flight, Freshness, KeyCache, KeySet, TokenError, TokenPolicy};

/// The keys of one issuer: pinned ones, fetched ones, or both.
///
/// Verifying reads a snapshot and takes no lock. Whoever fetches drives the [`KeyCache`] inside through the methods named
/// like its own.
#[derive(Debug)]
pub struct IssuerKeys {
    pinned: ArcSwapOption<KeySet>,
    fetched: ArcSwapOption<Held>,
    /// `None` if nobody fetches.
    cache: Option<Mutex<KeyCache>>,
}

impl IssuerKeys {
    /// Keys that are known without asking: of a local issuer, or from a file.
    #[must_use]
    pub fn pinned(keys: KeySet) -> Self {
        Self { pinned: ArcSwapOption::from_pointee(keys), fetched: ArcSwapOption::empty(), cache: None }
    }

    /// Keys that somebody fetches.
    #[must_use]
    pub fn fetched(rules: Freshness) -> Self {
        let cache = Some(Mutex::new(KeyCache::new(rules)));
        Self { pinned: ArcSwapOption::empty(), fetched: ArcSwapOption::empty(), cache }
    }

    /// Replaces the pinned keys, beside whatever is fetched: for a local issuer after a rotation.
    pub fn pin(&self, keys: KeySet) {
        self.pinned.store(Some(Arc::new(keys)));
    }

    /// See [`KeyCache::restore`].
    pub fn restore(&self, now: Duration, keys: KeySet, age: Duration) {
        self.change(|cache| cache.restore(now, keys, age));
    }

    /// See [`KeyCache::handle_timeout`].
    pub fn handle_timeout(&self, now: Duration) -> Option<Flight> {
        self.cache()?.handle_timeout(now)
    }

    /// See [`KeyCache::handle_unknown_key`].
    pub fn handle_unknown_key(&self, now: Duration) -> Option<Flight> {
        self.cache()?.handle_unknown_key(now)
    }

    /// See [`KeyCache::poll_timeout`]; `None` if nobody fetches.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        Some(self.cache()?.poll_timeout())
    }

    /// See [`KeyCache::fetched`].
    pub fn set_fetched(
        &self,
        now: Duration,
        flight: Flight,
        keys: KeySet,
        max_age: Option<Duration>,
        bits: u64,
    ) {
        self.change(|cache| cache.fetched(now, flight, keys, max_age, bits));
    }

    /// See [`KeyCache::failed`].
    pub fn set_failed(&self, now: Duration, flight: Flight, bits: u64) {
        self.change(|cache| cache.failed(now, flight, bits));
    }

    /// See [`KeyCache::is_stale`]; pinned keys never are.
    #[must_use]
    pub fn is_stale(&self, now: Duration) -> bool {
        self.cache().is_some_and(|cache| cache.is_stale(now))
    }

    /// Checks everything about a token but the values of its claims.
    pub(crate) fn verify(
        &self,
        opened: &Opened<'_>,
        policy: &TokenPolicy,
        now: Duration,
    ) -> Result<Thumbprint, Refused> {
        if let Some(pinned) = &*self.pinned.load() {
            match opened.verify(policy, pinned) {
                Err(TokenError::UnknownKey) if self.cache.is_some() => {}
                verified => return verified.map_err(Into::into),
            }
        }
        match &*self.fetched.load() {
            Some(held) if now < held.usable_until => opened.verify(policy, &held.keys).map_err(Into::into),
            _ => Err(Refused::NoKeys),
        }
    }

    /// Whether a key is still one of the issuer's.
    pub(crate) fn contains(&self, key: Thumbprint, now: Duration) -> bool {
        self.pinned.load().as_ref().is_some_and(|pinned| pinned.contains(key))
            || self
                .fetched
                .load()
                .as_ref()
                .is_some_and(|held| now < held.usable_until && held.keys.contains(key))
    }

    /// See [`KeyCache::may_learn`]; pinned keys are all there is.
    #[must_use]
    pub fn may_learn(&self, now: Duration) -> bool {
        self.cache().is_some_and(|cache| cache.may_learn(now))
    }

    pub(crate) fn retry_after(&self, now: Duration) -> Duration {
        self.cache().map_or(Duration::from_secs(1), |cache| cache.retry_after(now))
    }

    fn cache(&self) -> Option<MutexGuard<'_, KeyCache>> {
        self.cache.as_ref().map(|cache| cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the cache and publishes what it holds, under its lock, so that no older set can overtake a newer one.
    fn change(&self, change: impl FnOnce(&mut KeyCache)) {
        if let Some(mut cache) = self.cache() {
            change(&mut cache);
            self.fetched.store(cache.held().map(Arc::new));
        }
    }
}

/// Why a token was not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There are no keys to verify with, or none young enough.
    NoKeys,
    Token(TokenError),
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}
