//! A set of public keys, as issuers publish it.

use std::sync::Arc;

use serde::Serialize;

use crate::Algorithm;
use crate::json::{Object, Value};
use crate::jwk::{Jwk, PublicJwk, Thumbprint};

/// The keys of one issuer (a JWK set, RFC 7517), strict about each key and lenient about the set.
///
/// Keys of unknown type or for another use, malformed and weak ones (RSA outside 2048–8192 bits, exponent 1, the ROCA
/// fingerprint, Ed25519 of small order) are left out, and the rest of the set stands. So are secret keys among public ones:
/// the two must never be confused, and a published secret is none.
///
/// # Examples
/// ```
/// use portway_auth::KeySet;
///
/// let set = KeySet::from_json(r#"{"keys":[
///     {"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
///     {"kty":"AKP","kid":"from the future"}
/// ]}"#)?;
/// assert_eq!(set.len(), 1);
/// # Ok::<(), portway_auth::KeySetError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeySet {
    keys: Arc<[Jwk]>,
}

impl KeySet {
    /// Reads a JWK set.
    ///
    /// # Errors
    /// [`KeySetError`]; a set without a single usable key is an error, never an empty set.
    pub fn from_json(text: &str) -> Result<Self, KeySetError> {
        if text.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let set = Object::parse(text.as_bytes()).ok_or(KeySetError::Malformed)?;
        let keys = set.get("keys").and_then(Value::as_list).ok_or(KeySetError::Malformed)?;
        if keys.len() > MAX_KEYS {
            return Err(KeySetError::TooLarge);
        }
        Self::from_keys(keys.iter().filter_map(|key| match key {
            Value::Object(key) => Jwk::read(key).ok(),
            _ => None,
        }))
    }

    /// Reads a single JWK as a set of one.
    ///
    /// # Errors
    /// [`KeySetError::Malformed`] if it is not JSON, [`KeySetError::Empty`] if the key is unusable.
    pub fn from_jwk(text: &str) -> Result<Self, KeySetError> {
        let key = Object::parse(text.as_bytes()).ok_or(KeySetError::Malformed)?;
        Self::from_keys(Jwk::read(&key).ok())
    }

    fn from_keys(keys: impl IntoIterator<Item = Jwk>) -> Result<Self, KeySetError> {
        let mut keys: Vec<Jwk> = keys.into_iter().collect();
        if keys.iter().any(|key| !key.is_secret()) {
            keys.retain(|key| !key.is_secret());
        }
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self { keys: keys.into() }) }
    }

    /// The set as JSON, public keys only: what a verifier needs to go on with after a restart.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.public()).expect("text always serialises")
    }

    pub(crate) fn public(&self) -> PublicSet {
        PublicSet { keys: self.keys.iter().filter_map(Jwk::public).collect() }
    }

    /// How many usable keys there are; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty set cannot be made")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the keys are shared secrets, which nobody may publish.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.keys.iter().any(Jwk::is_secret)
    }

    /// The one key that a token with these header members can have been signed with.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let only = |wanted: Option<&str>| {
            let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm)).filter(|key| match wanted {
                Some(wanted) => key.kid.as_deref() == Some(wanted),
                // Keys without a name may have signed anything; without a wish, any key may.
                None => kid.is_none() || key.kid.is_none(),
            });
            let Some(key) = fitting.next() else { return Found::Nothing };
            // The same key twice is still one.
            if fitting.any(|other| other.thumbprint != key.thumbprint) {
                Found::Several
            } else {
                Found::One(key)
            }
        };
        match kid {
            Some(kid) if self.keys.iter().any(|key| key.kid.as_deref() == Some(kid)) => match only(Some(kid))
            {
                Found::Nothing => Found::Misfit,
                found => found,
            },
            _ => only(None),
        }
    }

    pub(crate) fn contains(&self, thumbprint: Thumbprint) -> bool {
        self.keys.iter().any(|key| key.thumbprint == thumbprint)
    }
}

/// What a look-up came to.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    One(&'a Jwk),
    /// Two keys would do: guessing is not an option.
    Several,
    /// The named key is there, but not for this algorithm.
    Misfit,
    /// No such key: a newer set may have it.
    Nothing,
}

/// Why an answer is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// Not JSON, or not of the form `{"keys": […]}`.
    #[error("not a JSON web key set")]
    Malformed,
    /// More than [`MAX_KEY_SET_BYTES`] or [`MAX_KEYS`].
    #[error("key set exceeds {MAX_KEY_SET_BYTES} bytes or {MAX_KEYS} keys")]
    TooLarge,
    /// No key that can be used for checking signatures.
    #[error("key set has no usable key")]
    Empty,
}

/// The longest key set that is read.
pub const MAX_KEY_SET_BYTES: usize = 1024 * 1024;

/// The most keys that a set may have.
pub const MAX_KEYS: usize = 100;

#[derive(Serialize)]
pub(crate) struct PublicSet {
    pub(crate) keys: Vec<PublicJwk>,
}
