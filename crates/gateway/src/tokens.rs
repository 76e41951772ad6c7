//! Tokens of the installation's own issuer (AUTH-2, AUTH-4): one authenticator for all endpoints that are set to tokens.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use portway_auth::{
    Algorithm, Attempt, Authenticator as _, IssuerKeys, PublishedIssuer, TokenAuthenticator, TokenPolicy,
    Verdict, Verifier,
};

/// The issuer whose tokens are taken; nobody, until its document is there. Verified tokens are remembered by all
/// endpoints together, and each request asks anew whether the token is for its endpoint.
#[derive(Default)]
pub(crate) struct Tokens(ArcSwapOption<Trusted>);

struct Trusted {
    issuer: Box<str>,
    keys: Arc<IssuerKeys>,
    authenticator: TokenAuthenticator,
}

impl Tokens {
    /// Puts the issuer's keys in force, from the next request on. A token of a key that is no longer among them is
    /// refused, remembered or not.
    pub(crate) fn put(&self, issuer: &PublishedIssuer) {
        match &*self.0.load() {
            Some(trusted) if *trusted.issuer == *issuer.name() => trusted.keys.pin(issuer.keys().clone()),
            _ => self.0.store(Some(Arc::new(Trusted::new(issuer)))),
        }
    }

    /// Trusts nobody any more.
    pub(crate) fn remove(&self) {
        self.0.store(None);
    }

    /// Judges a caller of an endpoint that takes tokens, or of one that does not exist: the same work, so that only who
    /// holds a token can tell the two apart. Whatever does not even look like a token is judged like a wrong key.
    pub(crate) fn authenticate(&self, attempt: &Attempt<'_>) -> Verdict {
        let looks_like_one = attempt.bearer.is_ok_and(|bearer| bearer.expose().split('.').count() == 3);
        match &*self.0.load() {
            Some(trusted) if looks_like_one => trusted.authenticator.authenticate(attempt),
            _ => Verifier::decoy().authenticate(attempt),
        }
    }
}

impl Trusted {
    fn new(issuer: &PublishedIssuer) -> Self {
        let policy = TokenPolicy::new()
            .algorithms([Algorithm::EdDsa, Algorithm::Es256])
            .types(["at+jwt"])
            .require("iat")
            .require("jti");
        let keys = Arc::new(IssuerKeys::pinned(issuer.keys().clone()));
        let authenticator = TokenAuthenticator::new().trust(issuer.name(), policy, Arc::clone(&keys));
        Self { issuer: issuer.name().into(), keys, authenticator }
    }
}
