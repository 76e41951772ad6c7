//! An attempt in, a verdict out: the shape that keys, tokens and everything around them share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{Bearer, BearerError, Claims, Denied, KeyId, KeySlot, UnixSeconds};

/// Decides about one request. Pure, quick, and called before the body is read.
///
/// An implementation never blocks and never does I/O. If it cannot decide without keys that somebody has to fetch, it
/// says so, the shell waits with a limit of its own, and asks once more.
pub trait Authenticator: Send + Sync {
    /// Judges an attempt.
    fn authenticate(&self, attempt: &Attempt<'_>) -> Verdict;
}

impl<A: Authenticator + ?Sized> Authenticator for &A {
    fn authenticate(&self, attempt: &Attempt<'_>) -> Verdict {
        (**self).authenticate(attempt)
    }
}

impl<A: Authenticator + ?Sized> Authenticator for Arc<A> {
    fn authenticate(&self, attempt: &Attempt<'_>) -> Verdict {
        (**self).authenticate(attempt)
    }
}

impl<A: Authenticator + ?Sized> Authenticator for Box<A> {
    fn authenticate(&self, attempt: &Attempt<'_>) -> Verdict {
        (**self).authenticate(attempt)
    }
}

/// What is known of a request when it must be decided about.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use portway_auth::{Attempt, Authenticator as _, Bearer, Denied, UnixSeconds, Verdict, Verifier};
///
/// let attempt = Attempt {
///     bearer: Bearer::parse([&b"Bearer not-a-key"[..]]),
///     audience: "scoring",
///     client: None,
///     now: Duration::ZERO,
///     wall: UnixSeconds(1_700_000_000),
/// };
/// assert_eq!(Verifier::decoy().authenticate(&attempt), Verdict::Deny(Denied::UnknownKey));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// What the `Authorization` header held; see [`Bearer::parse`].
    pub bearer: Result<Bearer<'a>, BearerError>,
    /// Whom a token must be meant for: the endpoint, in the form in which tokens name it.
    pub audience: &'a str,
    /// The client's own address, not that of a proxy in between; `None` where nothing is throttled by address.
    pub client: Option<IpAddr>,
    /// Time since the caller's origin; never goes back.
    pub now: Duration,
    /// Wall time, for claims and graces.
    pub wall: UnixSeconds,
}

/// The answer to an [`Attempt`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Let the request in, on behalf of this caller.
    Allow(Principal),
    /// Refuse it.
    Deny(Denied),
    /// Not decided: fetched keys may change the answer. Wait for them, within limits, and ask once more.
    NeedKeys(KeysNeeded),
}

impl Verdict {
    /// The answer if nobody waits for keys, or has waited long enough.
    ///
    /// # Errors
    /// The refusal, for every verdict but [`Verdict::Allow`].
    pub fn settled(self) -> Result<Principal, Denied> {
        match self {
            Self::Allow(principal) => Ok(principal),
            Self::Deny(denied) => Err(denied),
            Self::NeedKeys(needed) => Err(needed.otherwise),
        }
    }
}

/// Which keys would decide an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysNeeded {
    /// Whose key set to fetch.
    pub issuer: Arc<str>,
    /// The answer without them.
    pub otherwise: Denied,
}

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Principal {
    /// Nobody in particular: authentication is off.
    Anonymous,
    /// Whoever holds one of the endpoint's keys.
    Key {
        /// Which of the two.
        slot: KeySlot,
        /// The key's name for logs.
        id: KeyId,
    },
    /// The subject of a token.
    Token(Arc<Claims>),
}

impl Principal {
    /// Whether a token grants `scope`. Keys grant none.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        matches!(self, Self::Token(claims) if claims.scopes().any(|granted| granted == scope))
    }

    /// The `sub` of a token.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        if let Self::Token(claims) = self { claims.subject() } else { None }
    }
}

/// Lets everybody in: authentication switched off.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Authenticator for Open {
    fn authenticate(&self, _attempt: &Attempt<'_>) -> Verdict {
        Verdict::Allow(Principal::Anonymous)
    }
}
