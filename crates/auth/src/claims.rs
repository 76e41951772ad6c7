//! What a token says about its bearer.

use crate::json::{Number, Object, Value};
use crate::{TokenError, UnixSeconds};

/// The claims of a token. Those that a policy judges are parsed; all the others are in [`json`](Self::json).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub(crate) issuer: Option<Box<str>>,
    pub(crate) subject: Option<Box<str>>,
    pub(crate) id: Option<Box<str>>,
    pub(crate) audiences: Box<[Box<str>]>,
    pub(crate) expires: UnixSeconds,
    pub(crate) not_before: Option<UnixSeconds>,
    pub(crate) issued_at: Option<UnixSeconds>,
    scopes: Box<[Box<str>]>,
    json: Box<str>,
}

impl Claims {
    /// Reads claims whose signature is checked separately.
    ///
    /// # Errors
    /// [`TokenError::Claim`] if a registered claim has the wrong type, [`TokenError::MissingClaim`] without `exp`.
    pub(crate) fn read(members: &Object<'_>, json: &str) -> Result<Self, TokenError> {
        let text = |name: &'static str| {
            members.text(name).map(|text| text.map(Into::into)).map_err(|_| TokenError::Claim(name))
        };
        Ok(Self {
            issuer: text("iss")?,
            subject: text("sub")?,
            id: text("jti")?,
            audiences: members.get("aud").map_or_else(|| Ok(Box::default()), audiences)?,
            expires: moment(members, "exp")?.ok_or(TokenError::MissingClaim)?,
            not_before: moment(members, "nbf")?,
            issued_at: moment(members, "iat")?,
            scopes: ["scope", "scp", "roles"]
                .into_iter()
                .filter_map(|name| members.get(name))
                .flat_map(words)
                .collect(),
            json: json.into(),
        })
    }

    /// `iss`: who issued the token.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// `sub`: whom it was issued to.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// `jti`: the token's own name.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// `aud`: whom it is meant for.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.audiences.iter().map(AsRef::as_ref)
    }

    /// `exp`: the moment from which on it is worthless.
    #[must_use]
    pub const fn expires(&self) -> UnixSeconds {
        self.expires
    }

    /// `iat`: when it was issued.
    #[must_use]
    pub const fn issued_at(&self) -> Option<UnixSeconds> {
        self.issued_at
    }

    /// What the bearer may do: the words of `scope` and `scp` and the entries of `roles`.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(AsRef::as_ref)
    }

    /// All claims, as the issuer wrote them: one JSON object.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }
}

/// A NumericDate, rounded up: with whole seconds as the present, `now < 12.3` and `now < 13` are the same question.
fn moment(members: &Object<'_>, name: &'static str) -> Result<Option<UnixSeconds>, TokenError> {
    let Some(value) = members.get(name) else { return Ok(None) };
    let seconds = match value {
        Value::Number(Number::Natural(seconds)) => *seconds,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "in range as just compared"
        )]
        Value::Number(Number::Fraction(seconds)) if (0.0..=LAST_MOMENT as f64).contains(seconds) => {
            seconds.ceil() as u64
        }
        _ => return Err(TokenError::Claim(name)),
    };
    if seconds > LAST_MOMENT { Err(TokenError::Claim(name)) } else { Ok(Some(UnixSeconds(seconds))) }
}

fn audiences(value: &Value<'_>) -> Result<Box<[Box<str>]>, TokenError> {
    let one = |value: &Value<'_>| value.as_text().map(Into::into).ok_or(TokenError::Claim("aud"));
    match value {
        Value::List(items) => items.iter().map(one).collect(),
        text => Ok([one(text)?].into()),
    }
}

/// Words of a text, or the texts of a list. Anything else grants nothing.
fn words(value: &Value<'_>) -> Vec<Box<str>> {
    match value {
        Value::Text(text) => text.split_ascii_whitespace().map(Into::into).collect(),
        Value::List(items) => items.iter().filter_map(|item| item.as_text().map(Into::into)).collect(),
        _ => Vec::new(),
    }
}

/// The end of the year 9999. What lies behind it is no date but an overflow waiting for somebody.
const LAST_MOMENT: u64 = 253_402_300_799;
