//! What a shell brings along: the time, and somebody to ask for keys that are missing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::UnixSeconds;

/// Fetches keys when [`Verdict::NeedKeys`](crate::Verdict::NeedKeys) asks for them.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// Returns when a fetch of this issuer's keys has ended, well or not, or when it makes no sense to wait any longer.
    ///
    /// Many callers share one fetch, and a caller that goes away does not end it.
    async fn refresh(&self, issuer: &str);
}

#[async_trait]
impl<S: KeySource + ?Sized> KeySource for Arc<S> {
    async fn refresh(&self, issuer: &str) {
        (**self).refresh(issuer).await;
    }
}

/// Several sources, each for the issuers that it knows.
#[async_trait]
impl<S: KeySource> KeySource for Vec<S> {
    async fn refresh(&self, issuer: &str) {
        for source in self {
            source.refresh(issuer).await;
        }
    }
}

/// The time, as the shell around this crate knows it: the same that it puts into each [`Attempt`](crate::Attempt).
pub trait Clock: Send + Sync {
    /// Time since an origin; never goes back.
    fn now(&self) -> Duration;
    /// Wall time.
    fn wall(&self) -> UnixSeconds;
}
