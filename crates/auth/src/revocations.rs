//! Tokens that are refused although they are genuine and have not expired.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Claims, MalformedDocument, UnixSeconds};

/// Which tokens were revoked: by id, by subject, or all that an issuer gave out before a moment.
///
/// A plain value: keep it as a document, so that a restart forgets nothing, and hand each new one to
/// [`TokenAuthenticator::revoke`](crate::TokenAuthenticator::revoke). Every entry lasts until the last token it can concern has
/// expired; a full list refuses new entries rather than dropping old ones.
///
/// # Examples
/// ```
/// use portway_auth::{Revocations, UnixSeconds};
///
/// let (now, tomorrow) = (UnixSeconds(1_700_000_000), UnixSeconds(1_700_086_400));
/// let mut revocations = Revocations::default();
/// revocations.revoke_subject("https://login.example", "mallory", now, tomorrow)?;
/// assert_eq!(Revocations::from_json(&revocations.to_json())?, revocations);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(transparent))]
pub struct Revocations(BTreeMap<Box<str>, OfIssuer>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct OfIssuer {
    /// Token id → end of the entry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ids: BTreeMap<Box<str>, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    subjects: BTreeMap<Box<str>, Cut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Cut {
    issued_before: u64,
    until: u64,
}

impl Revocations {
    /// Revokes one token by its `jti`; `until` is when it expires.
    ///
    /// # Errors
    /// [`RevocationsFull`] at [`MAX_REVOCATIONS`]; forget expired ones, or cut by time.
    pub fn revoke_id(&mut self, issuer: &str, id: &str, until: UnixSeconds) -> Result<(), RevocationsFull> {
        let entries = self.len();
        let ids = &mut self.of(issuer).ids;
        if entries >= MAX_REVOCATIONS && !ids.contains_key(id) {
            return Err(RevocationsFull);
        }
        let end = ids.entry(id.into()).or_default();
        *end = (*end).max(until.0);
        Ok(())
    }

    /// Revokes every token of a subject that was issued before a moment; `until` is when the last of them expires.
    ///
    /// # Errors
    /// [`RevocationsFull`] at [`MAX_REVOCATIONS`].
    pub fn revoke_subject(
        &mut self,
        issuer: &str,
        subject: &str,
        issued_before: UnixSeconds,
        until: UnixSeconds,
    ) -> Result<(), RevocationsFull> {
        let entries = self.len();
        let subjects = &mut self.of(issuer).subjects;
        if entries >= MAX_REVOCATIONS && !subjects.contains_key(subject) {
            return Err(RevocationsFull);
        }
        let cut = subjects.entry(subject.into()).or_insert(Cut { issued_before: 0, until: 0 });
        cut.issued_before = cut.issued_before.max(issued_before.0);
        cut.until = cut.until.max(until.0);
        Ok(())
    }

    /// Revokes every token that an issuer gave out before a moment. Never forgotten, and never full.
    pub fn revoke_issued_before(&mut self, issuer: &str, moment: UnixSeconds) {
        let of = self.of(issuer);
        of.issued_before = of.issued_before.max(Some(moment.0));
    }

    /// Drops entries that no living token can match.
    pub fn forget_expired(&mut self, now: UnixSeconds) {
        for of in self.0.values_mut() {
            of.ids.retain(|_, until| *until > now.0);
            of.subjects.retain(|_, cut| cut.until > now.0);
        }
        self.0.retain(|_, of| *of != OfIssuer::default());
    }

    /// The number of ids and subjects listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(|of| of.ids.len() + of.subjects.len()).sum()
    }

    /// Whether nothing at all is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a token with these claims was revoked. One that does not say when it was issued falls under every cut by time.
    #[must_use]
    pub fn covers(&self, claims: &Claims) -> bool {
        let Some(of) = claims.issuer().and_then(|issuer| self.0.get(issuer)) else { return false };
        let is_before = |moment: u64| claims.issued_at().is_none_or(|issued| issued.0 < moment);
        of.issued_before.is_some_and(is_before)
            || claims.id().is_some_and(|id| of.ids.contains_key(id))
            || claims
                .subject()
                .and_then(|subject| of.subjects.get(subject))
                .is_some_and(|cut| is_before(cut.issued_before))
    }

    /// The document for a store; it holds no secret.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("text and integers always serialise")
    }

    /// Reads what [`Revocations::to_json`] wrote.
    ///
    /// # Errors
    /// [`MalformedDocument`] if `text` is anything else.
    pub fn from_json(text: &str) -> Result<Self, MalformedDocument> {
        serde_json::from_str(text).map(Self).map_err(|_| MalformedDocument("revocations"))
    }

    fn of(&mut self, issuer: &str) -> &mut OfIssuer {
        self.0.entry(issuer.into()).or_default()
    }
}

/// The list is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_REVOCATIONS} revocations")]
pub struct RevocationsFull;

/// The most ids and subjects that are listed at a time.
pub const MAX_REVOCATIONS: usize = 100_000;
