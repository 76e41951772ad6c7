//! Refusals, and how HTTP says them.

use std::time::Duration;

use crate::{BearerError, TokenError};

/// Why a request is refused.
///
/// The variant is for logs and metrics. The client learns no more than [`status`](Self::status),
/// [`challenge`](Self::challenge) and [`body`](Self::body) say, which are the same for an unknown endpoint, a wrong key
/// and an expired token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No usable `Authorization` header.
    #[error(transparent)]
    Bearer(#[from] BearerError),
    /// A key that this endpoint never had, or an endpoint that does not exist.
    #[error("unknown key")]
    UnknownKey,
    /// A key that was regenerated, after its grace.
    #[error("key was regenerated")]
    RetiredKey,
    /// A token that is refused.
    #[error("token refused: {0}")]
    Token(TokenError),
    /// A good identity without the right.
    #[error("the caller lacks the scope")]
    Forbidden,
    /// No key set could ever be loaded, or the last one is too old to be believed.
    #[error("no keys to verify tokens with")]
    Unavailable {
        /// When keys may have been loaded.
        retry_after: Duration,
    },
    /// Too many failed attempts from the client's address.
    #[error("too many failed attempts")]
    Throttled {
        /// When the next attempt is looked at.
        retry_after: Duration,
    },
}

impl Denied {
    /// The HTTP status: 401, 403, 429 or 503.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Bearer(_) | Self::UnknownKey | Self::RetiredKey | Self::Token(_) => 401,
            Self::Forbidden => 403,
            Self::Unavailable { .. } => 503,
            Self::Throttled { .. } => 429,
        }
    }

    /// The value of `WWW-Authenticate`, with a 401 or 403.
    #[must_use]
    pub const fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Bearer(BearerError::Missing) => Some("Bearer"),
            Self::Forbidden => Some("Bearer error=\"insufficient_scope\""),
            _ if self.status() == 401 => Some("Bearer error=\"invalid_token\""),
            _ => None,
        }
    }

    /// The body of the answer: one text a status.
    #[must_use]
    pub const fn body(&self) -> &'static str {
        match self.status() {
            401 => "unauthorized\n",
            403 => "forbidden\n",
            503 => "authentication is unavailable\n",
            _ => "too many failed attempts\n",
        }
    }

    /// The value of `Retry-After`, if waiting helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::Unavailable { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// A short stable word for logs and metric labels.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bearer(BearerError::Missing) => "missing",
            Self::Bearer(_) => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::RetiredKey => "retired_key",
            Self::Token(error) => error.code(),
            Self::Forbidden => "forbidden",
            Self::Unavailable { .. } => "unavailable",
            Self::Throttled { .. } => "throttled",
        }
    }

    /// Whether somebody may have been guessing: what a throttle counts. A key or token that was good once is no guess, and
    /// neither is a request without any.
    #[must_use]
    pub const fn may_be_a_guess(&self) -> bool {
        match self {
            Self::Bearer(BearerError::Missing) | Self::RetiredKey | Self::Forbidden => false,
            Self::Throttled { .. } | Self::Unavailable { .. } => false,
            Self::Bearer(_) | Self::UnknownKey => true,
            Self::Token(error) => error.may_be_forged(),
        }
    }
}
