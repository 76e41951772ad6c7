//! Why a token is refused.

/// The reason for which a token is refused, for logs and metrics; the client is told none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than the policy allows.
    #[error("token is too long")]
    TooLong,
    /// Not three parts of strict base64url.
    #[error("not three parts of strict base64url")]
    NotCompact,
    /// Header or claims are not one strict JSON object.
    #[error("header or claims are not strict JSON")]
    NotJson,
    /// `alg` is missing, unknown, not accepted, or not that of the key.
    #[error("signature algorithm is not accepted")]
    Algorithm,
    /// An extension that must be understood, and is not.
    #[error("critical header extensions are not supported")]
    Critical,
    /// `typ` says that this is a token of another kind.
    #[error("token is of another type")]
    Type,
    /// Encrypted, compressed, or a token inside a token.
    #[error("nested, encrypted or compressed tokens are not supported")]
    Nested,
    /// `kid` is not text of a sensible length.
    #[error("key id is malformed")]
    KeyId,
    /// No key of that name in the issuer's set; a newer set may have it.
    #[error("token names a key that the issuer's set does not have")]
    UnknownKey,
    /// Two keys fit and the token does not say which.
    #[error("several keys fit the token")]
    AmbiguousKey,
    /// The signature is wrong.
    #[error("signature is wrong")]
    Signature,
    /// The registered claim of this name has the wrong type or an impossible value.
    #[error("claim {0} is malformed")]
    Claim(&'static str),
    /// A claim that the policy requires is missing.
    #[error("a required claim is missing")]
    MissingClaim,
    /// `iss` is not the issuer of the policy, or none that is trusted.
    #[error("issuer is not trusted")]
    Issuer,
    /// `aud` does not name this audience.
    #[error("token is meant for another audience")]
    Audience,
    /// `exp` has passed.
    #[error("token has expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("token is not valid yet")]
    NotYetValid,
    /// Lives longer than the policy allows.
    #[error("token lives too long")]
    LivesTooLong,
    /// Revoked by id, by subject, or by time.
    #[error("token was revoked")]
    Revoked,
}

impl TokenError {
    /// A short stable word for logs and metric labels.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::NotCompact => "not_compact",
            Self::NotJson => "not_json",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical",
            Self::Type => "type",
            Self::Nested => "nested",
            Self::KeyId => "key_id",
            Self::UnknownKey => "unknown_key_id",
            Self::AmbiguousKey => "ambiguous_key",
            Self::Signature => "signature",
            Self::Claim(_) => "claim",
            Self::MissingClaim => "missing_claim",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::LivesTooLong => "lives_too_long",
            Self::Revoked => "revoked",
        }
    }

    /// Whether the token may have been made up. False where the signature was right, and for an unknown key id, which is
    /// what a fresh key of an honest issuer looks like.
    pub(crate) const fn may_be_forged(self) -> bool {
        !matches!(
            self,
            Self::UnknownKey
                | Self::MissingClaim
                | Self::Audience
                | Self::Expired
                | Self::NotYetValid
                | Self::LivesTooLong
                | Self::Revoked
        )
    }
}
