//! What a token must satisfy, and the check that it does.

use std::time::Duration;

use crate::json::Object;
use crate::jwk::Thumbprint;
use crate::jws::{Header, Parts};
use crate::{Algorithms, Claims, KeySet, TokenError, UnixSeconds};

/// What a token must satisfy besides a right signature.
///
/// | rule | unless changed |
/// |---|---|
/// | algorithms | EdDSA, ES256, RS256 |
/// | leeway for clocks that differ | 60 s |
/// | longest token | 8 KiB |
/// | longest life | 24 h |
/// | required claims | `exp`, which cannot be waived |
/// | `typ` | `JWT`, `at+jwt`, or none |
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use portway_auth::{KeySet, TokenError, TokenPolicy, UnixSeconds};
///
/// let policy = TokenPolicy::new().issuer("https://login.example").audience("scoring").max_life(Duration::from_secs(3600));
/// # let keys = KeySet::from_jwk(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#)?;
/// assert_eq!(policy.verify("made.up", &keys, UnixSeconds(1_700_000_000)), Err(TokenError::NotCompact));
/// # Ok::<(), portway_auth::KeySetError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TokenPolicy {
    issuers: Option<Vec<Box<str>>>,
    audiences: Option<Vec<Box<str>>>,
    algorithms: Algorithms,
    leeway: Duration,
    max_bytes: usize,
    max_life: Option<Duration>,
    required: Vec<Box<str>>,
    types: Vec<Box<str>>,
    untyped: bool,
}

impl TokenPolicy {
    /// The defaults; neither issuer nor audience is judged until it is set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            issuers: None,
            audiences: None,
            algorithms: Algorithms::default(),
            leeway: Duration::from_secs(60),
            max_bytes: 8 * 1024,
            max_life: Some(Duration::from_secs(24 * 3600)),
            required: Vec::new(),
            types: vec!["jwt".into(), "at+jwt".into()],
            untyped: true,
        }
    }

    /// Requires `iss` to be exactly this; called repeatedly, one of them.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.issuers.get_or_insert_default().push(issuer.into());
        self
    }

    /// Requires `aud` to be or to contain this; called repeatedly, one of them.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.audiences.get_or_insert_default().push(audience.into());
        self
    }

    /// Accepts these algorithms only.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl Into<Algorithms>) -> Self {
        self.algorithms = algorithms.into();
        self
    }

    /// By how much the issuer's clock may differ from ours.
    #[must_use]
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The longest token that is looked at.
    #[must_use]
    pub const fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// The longest life from `iat` to `exp`; without `iat`, from now to `exp`.
    #[must_use]
    pub const fn max_life(mut self, max_life: Duration) -> Self {
        self.max_life = Some(max_life);
        self
    }

    /// Takes tokens of any life.
    #[must_use]
    pub const fn any_life(mut self) -> Self {
        self.max_life = None;
        self
    }

    /// Requires a claim of this name, of any value; on top of `exp`.
    #[must_use]
    pub fn require(mut self, claim: impl Into<Box<str>>) -> Self {
        self.required.push(claim.into());
        self
    }

    /// Accepts these values of `typ` only, without letter case and with or without `application/`.
    ///
    /// A token without `typ` is taken as a `JWT` (RFC 7519 section 5.1); it passes if that is among them, or the empty text.
    #[must_use]
    pub fn types<T: AsRef<str>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types = types.into_iter().map(|name| media_type(name.as_ref()).into()).collect();
        self.untyped = self.types.iter().any(|name| matches!(&**name, "" | "jwt"));
        self
    }

    /// Verifies a token against an issuer's keys.
    ///
    /// # Errors
    /// The first rule that it breaks, the signature before any claim.
    pub fn verify(&self, token: &str, keys: &KeySet, now: UnixSeconds) -> Result<Claims, TokenError> {
        let opened = Opened::read(token, self.max_bytes)?;
        opened.verify(self, keys)?;
        self.judge(&opened.claims, now)?;
        Ok(opened.claims)
    }

    pub(crate) const fn max_token_bytes(&self) -> usize {
        self.max_bytes
    }

    pub(crate) fn trusts(&self, issuer: Option<&str>) -> bool {
        self.issuers.as_ref().is_none_or(|ours| ours.iter().any(|our| issuer == Some(our)))
    }

    /// What depends on the claims alone and on the present: checked for a remembered token as well.
    pub(crate) fn judge(&self, claims: &Claims, now: UnixSeconds) -> Result<(), TokenError> {
        if !self.trusts(claims.issuer()) {
            return Err(TokenError::Issuer);
        }
        if self.audiences.as_ref().is_some_and(|ours| !ours.iter().any(|our| claims.audiences.contains(our)))
        {
            return Err(TokenError::Audience);
        }
        self.judge_times(claims, now)
    }

    fn judge_times(&self, claims: &Claims, now: UnixSeconds) -> Result<(), TokenError> {
        let Claims { expires, not_before, issued_at, .. } = *claims;
        if now >= expires + self.leeway {
            return Err(TokenError::Expired);
        }
        if not_before.max(issued_at).is_some_and(|start| start > now + self.leeway) {
            return Err(TokenError::NotYetValid);
        }
        // A window without a single valid second is a forged or a broken token, whatever the leeway.
        if not_before.max(issued_at).is_some_and(|start| start >= expires) {
            return Err(TokenError::Expired);
        }
        let life = expires.since(issued_at.unwrap_or(now));
        if self.max_life.is_some_and(|longest| life > longest) {
            Err(TokenError::LivesTooLong)
        } else {
            Ok(())
        }
    }
}

impl Default for TokenPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// A token taken apart, strictly, and not believed yet.
pub(crate) struct Opened<'a> {
    parts: Parts<'a>,
    header: Header,
    kind: Option<Box<str>>,
    pub(crate) claims: Claims,
}

impl<'a> Opened<'a> {
    pub(crate) fn read(token: &'a str, max_bytes: usize) -> Result<Self, TokenError> {
        if token.len() > max_bytes {
            return Err(TokenError::TooLong);
        }
        let parts = Parts::split(token)?;
        let header = parts.header()?;
        let members = Object::parse(&header).ok_or(TokenError::NotJson)?;
        let header = Header::read(&members)?;
        let kind = members.text("typ").map_err(|_| TokenError::Type)?.map(|kind| media_type(kind).into());
        refuse_nested(&members)?;
        let payload = parts.payload()?;
        let json = std::str::from_utf8(&payload).map_err(|_| TokenError::NotJson)?;
        let claims = Claims::read(&Object::parse(&payload).ok_or(TokenError::NotJson)?, json)?;
        Ok(Self { parts, header, kind, claims })
    }

    /// Checks everything but the claims' values, the signature last. Gives the key that made it.
    pub(crate) fn verify(&self, policy: &TokenPolicy, keys: &KeySet) -> Result<Thumbprint, TokenError> {
        let right_kind = self.kind.as_ref().map_or(policy.untyped, |kind| policy.types.contains(kind));
        if !right_kind {
            return Err(TokenError::Type);
        }
        let key = self.header.key(keys, policy.algorithms)?;
        self.parts.verify(&self.header, key)?;
        self.require(&policy.required)?;
        Ok(key.thumbprint)
    }

    fn require(&self, names: &[Box<str>]) -> Result<(), TokenError> {
        if names.is_empty() {
            return Ok(());
        }
        let claims = Object::parse(self.claims.json().as_bytes()).ok_or(TokenError::NotJson)?;
        if names.iter().all(|name| claims.has(name)) { Ok(()) } else { Err(TokenError::MissingClaim) }
    }
}

fn refuse_nested(header: &Object<'_>) -> Result<(), TokenError> {
    let content = header.text("cty").map_err(|_| TokenError::Nested)?.map(media_type);
    let holds_token = content.is_some_and(|content| content == "jwt" || content.ends_with("+jwt"));
    let is_opaque = ["zip", "enc"].iter().any(|name| header.get(name).is_some());
    if holds_token || is_opaque { Err(TokenError::Nested) } else { Ok(()) }
}

/// RFC 7515 section 4.1.9: media types have no letter case, and `application/` may be left out.
fn media_type(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("application/") {
        Some(rest) => rest.to_owned(),
        None => name,
    }
}
