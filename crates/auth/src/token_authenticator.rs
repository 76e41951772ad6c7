//! Authentication by token: several issuers, remembered tokens, revocation.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::digest::{SHA256, digest};

use crate::issuer_keys::Refused;
use crate::token::Opened;
use crate::token_cache::{Genuine, TokenCache, TokenDigest};
use crate::{
    Attempt, Authenticator, Claims, Denied, IssuerKeys, KeysNeeded, Principal, Revocations, TokenError,
    TokenPolicy, Verdict,
};

/// Verifies bearer tokens of trusted issuers, each against its own keys and its own policy.
///
/// A token is genuine if the issuer that it names signed it; that is remembered. Whether it is valid (time, audience, revoked,
/// its key still published) is asked again with every request. A key is never compared here.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use portway_auth::{IssuerKeys, KeySet, TokenAuthenticator, TokenPolicy};
///
/// # let keys = KeySet::from_jwk(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#)?;
/// let authenticator = TokenAuthenticator::new()
///     .trust("https://portway.example", TokenPolicy::new(), Arc::new(IssuerKeys::pinned(keys)));
/// # let _ = authenticator;
/// # Ok::<(), portway_auth::KeySetError>(())
/// ```
#[derive(Debug)]
pub struct TokenAuthenticator {
    issuers: Vec<Trusted>,
    cache: TokenCache,
    revocations: ArcSwap<Revocations>,
}

#[derive(Debug)]
struct Trusted {
    name: Arc<str>,
    policy: TokenPolicy,
    keys: Arc<IssuerKeys>,
}

impl TokenAuthenticator {
    /// Trusts nobody yet, and remembers [`DEFAULT_TOKEN_CACHE`] tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(DEFAULT_TOKEN_CACHE)
    }

    /// Remembers about `capacity` tokens.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { issuers: Vec::new(), cache: TokenCache::new(capacity), revocations: ArcSwap::default() }
    }

    /// Trusts the tokens of one more issuer, if they satisfy `policy` and bear a signature of `keys`.
    ///
    /// The audience comes with each [`Attempt`], on top of what `policy` says.
    #[must_use]
    pub fn trust(mut self, issuer: &str, policy: TokenPolicy, keys: Arc<IssuerKeys>) -> Self {
        self.issuers.push(Trusted { name: issuer.into(), policy: policy.issuer(issuer), keys });
        self
    }

    /// Puts a new list of revocations in force, from the next request on.
    pub fn revoke(&self, revocations: Revocations) {
        self.revocations.store(Arc::new(revocations));
    }

    fn recall(&self, digest: &TokenDigest, attempt: &Attempt<'_>) -> Option<Result<Principal, TokenError>> {
        let genuine = self.cache.get(digest)?;
        let trusted = &self.issuers[genuine.issuer];
        if !trusted.keys.contains(genuine.key, attempt.now) {
            self.cache.remove(digest);
            return None;
        }
        let judged = self.judge(&genuine.claims, trusted, attempt);
        if matches!(judged, Err(TokenError::Expired | TokenError::Revoked)) {
            self.cache.remove(digest);
        }
        Some(judged.map(|()| Principal::Token(genuine.claims)))
    }

    fn verify(&self, token: &str, digest: TokenDigest, attempt: &Attempt<'_>) -> Verdict {
        let deny = |error: TokenError| Verdict::Deny(Denied::Token(error));
        let longest = self.issuers.iter().map(|trusted| trusted.policy.max_token_bytes()).max();
        let opened = match Opened::read(token, longest.unwrap_or_default()) {
            Ok(opened) => opened,
            Err(error) => return deny(error),
        };
        let found = self.issuers.iter().position(|trusted| trusted.policy.trusts(opened.claims.issuer()));
        let Some(issuer) = found else { return deny(TokenError::Issuer) };
        let trusted = &self.issuers[issuer];
        if token.len() > trusted.policy.max_token_bytes() {
            return deny(TokenError::TooLong);
        }
        let key = match trusted.keys.verify(&opened, &trusted.policy, attempt.now) {
            Ok(key) => key,
            Err(refused) => return trusted.lack_of_keys(refused, attempt),
        };
        let claims = Arc::new(opened.claims);
        let judged = self.judge(&claims, trusted, attempt);
        // A genuine token at the wrong door is remembered too: knocking again must not cost a signature.
        if matches!(judged, Ok(()) | Err(TokenError::Audience)) {
            self.cache.insert(digest, Genuine { claims: Arc::clone(&claims), issuer, key });
        }
        judged.map_or_else(deny, |()| Verdict::Allow(Principal::Token(claims)))
    }

    fn judge(&self, claims: &Claims, trusted: &Trusted, attempt: &Attempt<'_>) -> Result<(), TokenError> {
        trusted.policy.judge(claims, attempt.wall)?;
        if self.revocations.load().covers(claims) {
            return Err(TokenError::Revoked);
        }
        // An endpoint without a name is none, whatever a token says.
        let is_ours = |audience: &str| audience == attempt.audience && !audience.is_empty();
        if claims.audiences().any(is_ours) { Ok(()) } else { Err(TokenError::Audience) }
    }
}

impl Default for TokenAuthenticator {
    fn default() -> Self {
        Self::new()
    }
}

impl Authenticator for TokenAuthenticator {
    fn authenticate(&self, attempt: &Attempt<'_>) -> Verdict {
        let token = match attempt.bearer {
            Ok(bearer) => bearer.expose(),
            Err(error) => return Verdict::Deny(error.into()),
        };
        let mut key = TokenDigest::default();
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        match self.recall(&key, attempt) {
            Some(Ok(principal)) => Verdict::Allow(principal),
            Some(Err(error)) => Verdict::Deny(Denied::Token(error)),
            None => self.verify(token, key, attempt),
        }
    }
}

impl Trusted {
    fn lack_of_keys(&self, refused: Refused, attempt: &Attempt<'_>) -> Verdict {
        let otherwise = match refused {
            Refused::NoKeys => Denied::Unavailable { retry_after: self.keys.retry_after(attempt.now) },
            Refused::Token(error) => Denied::Token(error),
        };
        let would_help = matches!(refused, Refused::NoKeys | Refused::Token(TokenError::UnknownKey));
        if would_help && self.keys.may_learn(attempt.now) {
            Verdict::NeedKeys(KeysNeeded { issuer: Arc::clone(&self.name), otherwise })
        } else {
            Verdict::Deny(otherwise)
        }
    }
}

/// How many verified tokens are remembered unless told otherwise.
pub const DEFAULT_TOKEN_CACHE: usize = 4096;
