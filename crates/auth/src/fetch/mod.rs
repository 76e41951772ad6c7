//! Key sets over the network, and keys in files: feature `fetch`, the only I/O of this crate.

mod https;
mod key_file;
mod last_good;
mod remote;

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;

pub use https::HttpsFetch;
pub use key_file::{KeyFile, KeyFileError};
pub use remote::{FetchStatus, RemoteKeys};

/// Gets documents by URL: [`HttpsFetch`] in earnest, a map in tests.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// Gets one document.
    ///
    /// # Errors
    /// [`FetchError`] for anything but a complete answer of status 200; redirects are not followed.
    async fn get(&self, url: &str) -> Result<Fetched, FetchError>;
}

/// What a URL answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The body.
    pub body: String,
    /// For how long the answer may be kept, if it says so.
    pub max_age: Option<Duration>,
}

/// Why keys could not be fetched. Every kind is worth another try later.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Not an `https` URL (or `http` to this very machine).
    #[error("{0} is not an https URL")]
    Url(String),
    /// No connection, no TLS, no answer, or not in time.
    #[error("no answer")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// An answer of another status than 200.
    #[error("answer of status {0}")]
    Status(u16),
    /// An answer that is too long, or no text.
    #[error("answer is too long or not text")]
    Body,
    /// An answer that is no discovery document, or one of another issuer.
    #[error("not a discovery document of this issuer")]
    Discovery,
    /// An answer that is no set of public keys.
    #[error("not a set of public keys")]
    KeySet,
}

impl FetchError {
    pub(crate) fn unreachable(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreachable(error.into())
    }
}
