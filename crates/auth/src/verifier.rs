//! What a gateway may know of an endpoint's keys: their digests, and how new they are.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq as _};

use crate::{Attempt, Authenticator, Denied, Principal, UnixSeconds, Verdict};

/// One of the two key slots of an endpoint. Both keys are valid at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "lowercase"))]
pub enum KeySlot {
    /// The key that clients use by default.
    Primary,
    /// The key that lets clients move over while the primary one is regenerated.
    Secondary,
}

impl KeySlot {
    /// Both slots, in order.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Secondary];

    /// The slot that stays as it is when `self` is regenerated.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Primary => Self::Secondary,
            Self::Secondary => Self::Primary,
        }
    }
}

/// The digests of an endpoint's keys, with the revision of the credentials that they were derived from.
///
/// This is all that a gateway reads and holds. A key is 256 random bits, so its plain SHA-256 gives nothing away; a
/// chosen key must be as hard to guess.
///
/// # Examples
/// ```
/// use portway_auth::{Credentials, Entropy, KeySlot, UnixSeconds};
///
/// let credentials = Credentials::generate(&Entropy::from_system()?, &Entropy::from_system()?)?;
/// let verifier = credentials.verifier();
/// let presented = credentials.key(KeySlot::Secondary).expose();
/// assert_eq!(verifier.check(presented, UnixSeconds(0)).slot(), Some(KeySlot::Secondary));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(from = "Document", into = "Document"))]
// In this order, for `fetch_ahead` to know both ends: 80 bytes, two cache lines.
#[repr(C)]
pub struct Verifier {
    revision: u64,
    /// The slots' predecessors, apart: a key that is in a slot is not compared with them.
    retired: Option<Box<Retired>>,
    /// By slot.
    digests: [KeyDigest; 2],
}

type Retired = [Option<RetiredKey>; 2];

impl Verifier {
    pub(crate) fn new(revision: u64, digests: [KeyDigest; 2], retired: Retired) -> Self {
        let has_retired = retired.iter().any(Option::is_some);
        Self { revision, digests, retired: has_retired.then(|| Box::new(retired)) }
    }

    /// A verifier that no key satisfies and that does the same work as any other: for endpoints that do not exist.
    #[must_use]
    pub fn decoy() -> Self {
        Self::new(0, [KeyDigest::UNMATCHED; 2], [None; 2])
    }

    /// Reads the document that [`Verifier::to_json`] wrote.
    ///
    /// # Errors
    /// [`MalformedDocument`] if `text` is anything else.
    pub fn from_json(text: &str) -> Result<Self, MalformedDocument> {
        serde_json::from_str::<Document>(text).map(Self::from).map_err(|_| MalformedDocument("verifier"))
    }

    /// The document for the catalog. It holds no secret.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&Document::from(self.clone())).expect("hex text and integers always serialise")
    }

    /// How new these digests are: grows by one with every change of the credentials.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The name under which a slot's key may appear in logs.
    #[must_use]
    pub const fn key_id(&self, slot: KeySlot) -> KeyId {
        self.digests[slot as usize].id()
    }

    /// Compares a presented key with both slots, in constant time and without early exit; if it is in neither, with
    /// both predecessors likewise.
    ///
    /// The key is hashed once, so neither its length nor a shared prefix shows in the time taken.
    pub fn check(&self, presented: &str, now: UnixSeconds) -> KeyCheck {
        self.fetch_ahead();
        let digest = KeyDigest::of(presented);
        let [primary, secondary] = self.digests.each_ref().map(|held| digest.matches(held));
        let valid = |slot| KeyCheck::Valid { slot, id: digest.id() };
        if primary.into() {
            valid(KeySlot::Primary)
        } else if secondary.into() {
            valid(KeySlot::Secondary)
        } else {
            self.check_retired(&digest, now)
        }
    }

    /// The work is the same for whoever has no predecessors.
    fn check_retired(&self, digest: &KeyDigest, now: UnixSeconds) -> KeyCheck {
        const NONE: &Retired = &[None; 2];
        let retired = self.retired.as_deref().unwrap_or(NONE);
        let held = |slot: KeySlot| retired[slot as usize].as_ref();
        let [primary, secondary] = KeySlot::ALL
            .map(|slot| digest.matches(held(slot).map_or(&KeyDigest::UNMATCHED, |key| &key.digest)));
        if !bool::from(primary | secondary) {
            return KeyCheck::Unknown;
        }
        let slot = if primary.into() { KeySlot::Primary } else { KeySlot::Secondary };
        if held(slot).is_some_and(|key| now.0 < key.until) {
            KeyCheck::Valid { slot, id: digest.id() }
        } else {
            KeyCheck::Retired
        }
    }

    /// Has the verifier brought from memory while the key is hashed: where endpoints are many, the way takes longer than the
    /// hash. Merely reading it early would not do, as the processor cannot get far past a read that it waits for.
    fn fetch_ahead(&self) {
        #[cfg(target_arch = "x86_64")]
        {
            safe_arch::prefetch_t0(self);
            safe_arch::prefetch_t0(&self.digests[1].0[31]);
        }
    }
}

impl Authenticator for Verifier {
    fn authenticate(&self, attempt: &Attempt<'_>) -> Verdict {
        let bearer = match attempt.bearer {
            Ok(bearer) => bearer,
            Err(error) => return Verdict::Deny(error.into()),
        };
        match self.check(bearer.expose(), attempt.wall) {
            KeyCheck::Valid { slot, id } => Verdict::Allow(Principal::Key { slot, id }),
            KeyCheck::Retired => Verdict::Deny(Denied::RetiredKey),
            KeyCheck::Unknown => Verdict::Deny(Denied::UnknownKey),
        }
    }
}

/// What a presented key turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum KeyCheck {
    /// The key in `slot`, or its predecessor inside its grace.
    Valid {
        /// Where the key lives.
        slot: KeySlot,
        /// Its name for logs.
        id: KeyId,
    },
    /// The predecessor of a slot's key, after its grace: refused, but no guess.
    Retired,
    /// No key of this endpoint.
    Unknown,
}

impl KeyCheck {
    /// The slot of a valid key.
    #[must_use]
    pub const fn slot(self) -> Option<KeySlot> {
        match self {
            Self::Valid { slot, .. } => Some(slot),
            Self::Retired | Self::Unknown => None,
        }
    }
}

/// The first 32 bits of a key's digest: enough to tell keys apart in a log, useless to an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// The verifier in force, replaced as a whole while requests are being checked.
///
/// ```
/// use portway_auth::{CurrentVerifier, Verifier};
///
/// let current = CurrentVerifier::new(Verifier::decoy());
/// assert!(current.replace(Verifier::decoy()).is_err(), "the same revision again is stale");
/// ```
#[derive(Debug)]
pub struct CurrentVerifier(ArcSwap<Verifier>);

impl CurrentVerifier {
    /// Starts with `verifier`.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self(ArcSwap::from_pointee(verifier))
    }

    /// Puts a newer verifier in force, for all threads at once.
    ///
    /// # Errors
    /// [`StaleVerifier`] if `verifier` is not newer than the one in force, which then stays: a delayed message must
    /// not bring an old key back.
    pub fn replace(&self, verifier: Verifier) -> Result<(), StaleVerifier> {
        let offered = verifier.revision();
        let verifier = Arc::new(verifier);
        let before = self
            .0
            .rcu(|held| if held.revision() < offered { Arc::clone(&verifier) } else { Arc::clone(held) });
        if before.revision() < offered {
            Ok(())
        } else {
            Err(StaleVerifier { offered, held: before.revision() })
        }
    }

    /// The revision in force.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.0.load().revision()
    }
}

impl Authenticator for CurrentVerifier {
    fn authenticate(&self, attempt: &Attempt<'_>) -> Verdict {
        self.0.load().authenticate(attempt)
    }
}

/// The offered verifier is not newer than the one held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("verifier of revision {offered} is not newer than revision {held}")]
pub struct StaleVerifier {
    /// The revision that was refused.
    pub offered: u64,
    /// The revision that stays.
    pub held: u64,
}

/// Text that is not the document it should be. It never quotes the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {0} document")]
pub struct MalformedDocument(pub(crate) &'static str);

/// SHA-256 of a key, as 64 hex digits in documents.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of no key anybody knows.
    const UNMATCHED: Self = Self([0; 32]);

    pub(crate) fn of(key: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Word by word and without a branch; byte by byte, `subtle` would take longer than the hash.
    fn matches(&self, held: &Self) -> Choice {
        let (words, held) = (self.0.as_chunks().0, held.0.as_chunks().0);
        let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
        let difference = words.iter().zip(held).fold(0, |all, (a, b)| all | (word(a) ^ word(b)));
        difference.ct_eq(&0)
    }

    const fn id(&self) -> KeyId {
        let [a, b, c, d, ..] = self.0;
        KeyId([a, b, c, d])
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.id())
    }
}

impl From<KeyDigest> for String {
    fn from(digest: KeyDigest) -> Self {
        use fmt::Write as _;

        digest.0.iter().fold(Self::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            text
        })
    }
}

impl TryFrom<String> for KeyDigest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const SHAPE: &str = "a digest is 64 lower-case hex digits";
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(SHAPE);
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| SHAPE)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| SHAPE)?;
        }
        Ok(Self(bytes))
    }
}

/// The predecessor of a slot's key. Remembered after its grace as well: whoever still sends it is no attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RetiredKey {
    pub(crate) digest: KeyDigest,
    /// Wall time in seconds.
    pub(crate) until: u64,
}

/// A verifier as it is written.
#[derive(Serialize, Deserialize)]
// Unknown members are ignored: a gateway must go on with what a newer control side writes.
#[serde(rename_all = "camelCase")]
struct Document {
    revision: u64,
    primary: KeyDigest,
    secondary: KeyDigest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired_primary: Option<RetiredKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired_secondary: Option<RetiredKey>,
}

impl From<Document> for Verifier {
    fn from(document: Document) -> Self {
        let Document { revision, primary, secondary, retired_primary, retired_secondary } = document;
        Self::new(revision, [primary, secondary], [retired_primary, retired_secondary])
    }
}

impl From<Verifier> for Document {
    fn from(verifier: Verifier) -> Self {
        let [primary, secondary] = verifier.digests;
        let [retired_primary, retired_secondary] = verifier.retired.map_or([None; 2], |retired| *retired);
        Self { revision: verifier.revision, primary, secondary, retired_primary, retired_secondary }
    }
}
