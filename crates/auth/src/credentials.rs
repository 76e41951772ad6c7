//! An endpoint's two keys in plain text, for the one party that must be able to return them.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::verifier::{KeyDigest, RetiredKey};
use crate::{Entropy, KeySlot, MalformedDocument, Secret, UnixSeconds, Verifier};

/// One key: at least 32 characters that fit into a header.
///
/// A generated one is [`KEY_PREFIX`] and 256 random bits in base64url; a chosen one is whatever the owner brings. `Debug`
/// prints `[redacted]`, and the text is zeroed on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ApiKey(String);

impl ApiKey {
    /// Makes a key of 256 random bits.
    #[must_use]
    pub fn generate(entropy: &Entropy) -> Self {
        // 51 characters: one SHA-256 block, which is what a check costs.
        let mut text = String::with_capacity(KEY_PREFIX.len() + 43);
        text.push_str(KEY_PREFIX);
        URL_SAFE_NO_PAD.encode_string(entropy.bytes(), &mut text);
        Self(text)
    }

    /// Takes a value that the owner chose.
    ///
    /// # Errors
    /// [`KeyError::Length`] outside 32–256 characters, [`KeyError::Character`] for anything but visible ASCII.
    pub fn chosen(text: impl Into<String>) -> Result<Self, KeyError> {
        let key = Self(text.into());
        if !CHOSEN_KEY_CHARS.contains(&key.0.len()) {
            return Err(KeyError::Length { found: key.0.chars().count() });
        }
        if !key.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyError::Character);
        }
        Ok(key)
    }

    /// The key itself, for the client that asks for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn digest(&self) -> KeyDigest {
        KeyDigest::of(&self.0)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An endpoint's primary and secondary key, both valid, never equal.
///
/// Held by the control side only; everybody else gets the [`Verifier`] derived from it.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use portway_auth::{ApiKey, Credentials, Entropy, KeySlot, UnixSeconds};
///
/// let mut credentials = Credentials::generate(&Entropy::from_system()?, &Entropy::from_system()?)?;
/// let now = UnixSeconds(1_700_000_000);
/// let old = credentials.key(KeySlot::Primary).clone();
///
/// credentials.replace(KeySlot::Primary, ApiKey::generate(&Entropy::from_system()?), now, Duration::ZERO)?;
/// let verifier = credentials.verifier();
/// assert_eq!(verifier.check(old.expose(), now).slot(), None);
/// assert!(verifier.check(credentials.key(KeySlot::Secondary).expose(), now).slot().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Credentials {
    revision: u64,
    keys: [ApiKey; 2],
    retired: [Option<RetiredKey>; 2],
}

impl Credentials {
    /// Two keys of the owner's choice, at revision 1.
    ///
    /// # Errors
    /// [`KeyError::Equal`] if they are the same.
    pub fn new(primary: ApiKey, secondary: ApiKey) -> Result<Self, KeyError> {
        Self { revision: 1, keys: [primary, secondary], retired: [None; 2] }.checked()
    }

    /// Two fresh keys of 256 random bits each, at revision 1.
    ///
    /// # Errors
    /// [`KeyError::Equal`] if both were given the same entropy.
    pub fn generate(primary: &Entropy, secondary: &Entropy) -> Result<Self, KeyError> {
        Self::new(ApiKey::generate(primary), ApiKey::generate(secondary))
    }

    /// The key in a slot.
    #[must_use]
    pub const fn key(&self, slot: KeySlot) -> &ApiKey {
        &self.keys[slot as usize]
    }

    /// Grows by one with every replacement.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Puts `key` into `slot`; the other slot is never touched.
    ///
    /// The old key stays valid until `now + grace`, so that requests on their way are not refused; with no grace it is
    /// refused from now on. Giving the key that the slot holds already changes nothing.
    ///
    /// # Errors
    /// [`KeyError::Equal`] if the other slot holds `key`; nothing is changed then.
    pub fn replace(
        &mut self,
        slot: KeySlot,
        key: ApiKey,
        now: UnixSeconds,
        grace: Duration,
    ) -> Result<(), KeyError> {
        let digest = key.digest();
        if digest == self.key(slot.other()).digest() {
            return Err(KeyError::Equal);
        }
        let old = self.key(slot).digest();
        if digest == old {
            return Ok(());
        }
        // A key that comes back to either slot is no longer a retired one.
        for retired in &mut self.retired {
            *retired = retired.filter(|retired| retired.digest != digest);
        }
        self.retired[slot as usize] = Some(RetiredKey { digest: old, until: (now + grace).0 });
        self.keys[slot as usize] = key;
        self.revision += 1;
        Ok(())
    }

    /// Replaces `slot` by a fresh key of 256 random bits; see [`Credentials::replace`].
    ///
    /// # Errors
    /// [`KeyError::Equal`] if the entropy repeats that of the other slot's key.
    pub fn regenerate(
        &mut self,
        slot: KeySlot,
        entropy: &Entropy,
        now: UnixSeconds,
        grace: Duration,
    ) -> Result<(), KeyError> {
        self.replace(slot, ApiKey::generate(entropy), now, grace)
    }

    /// The digests that a gateway checks keys with.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        let [primary, secondary] = &self.keys;
        Verifier::new(self.revision, [primary.digest(), secondary.digest()], self.retired)
    }

    /// The secret document for the deployer's store: JSON with both keys in plain text.
    ///
    /// A method and not `Serialize`, so that no derive around it ever writes keys by accident.
    #[must_use]
    pub fn to_document(&self) -> Secret {
        let [primary, secondary] = &self.keys;
        let document = DocumentOut {
            revision: self.revision,
            primary: primary.expose(),
            secondary: secondary.expose(),
            retired_primary: self.retired[0],
            retired_secondary: self.retired[1],
        };
        serde_json::to_string(&document).map(Secret::from).expect("text and integers always serialise")
    }

    /// Reads what [`Credentials::to_document`] wrote.
    ///
    /// # Errors
    /// [`MalformedDocument`] if `text` is anything else, or breaks a rule that holds for keys.
    pub fn from_document(text: &str) -> Result<Self, MalformedDocument> {
        const MALFORMED: MalformedDocument = MalformedDocument("credentials");
        let document: DocumentIn = serde_json::from_str(text).map_err(|_| MALFORMED)?;
        // Both become keys before either is judged, so that both are zeroed whatever happens.
        let keys = [document.primary, document.secondary].map(ApiKey::chosen);
        let [Ok(primary), Ok(secondary)] = keys else { return Err(MALFORMED) };
        let credentials = Self {
            revision: document.revision,
            keys: [primary, secondary],
            retired: [document.retired_primary, document.retired_secondary],
        };
        credentials.checked().map_err(|_| MALFORMED)
    }

    fn checked(self) -> Result<Self, KeyError> {
        let [primary, secondary] = &self.keys;
        if primary.digest() == secondary.digest() { Err(KeyError::Equal) } else { Ok(self) }
    }
}

/// Why a key cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Shorter than 32 or longer than 256 characters.
    #[error("key has {found} characters, allowed are 32 to 256")]
    Length {
        /// The characters found.
        found: usize,
    },
    /// A character that does not belong into a header.
    #[error("key has a character outside visible ASCII")]
    Character,
    /// Both slots would hold the same key.
    #[error("primary and secondary key are equal")]
    Equal,
}

/// What every generated key starts with, so that scanners of source code and logs recognise a leak.
pub const KEY_PREFIX: &str = "portway_";

const CHOSEN_KEY_CHARS: std::ops::RangeInclusive<usize> = 32..=256;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentOut<'a> {
    revision: u64,
    primary: &'a str,
    secondary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired_primary: Option<RetiredKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired_secondary: Option<RetiredKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentIn {
    revision: u64,
    primary: String,
    secondary: String,
    #[serde(default)]
    retired_primary: Option<RetiredKey>,
    #[serde(default)]
    retired_secondary: Option<RetiredKey>,
}
