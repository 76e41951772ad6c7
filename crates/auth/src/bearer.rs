//! The `Authorization: Bearer …` header, read strictly.

use std::fmt;

/// What the header carried: a key or a token, not yet believed.
///
/// Only visible ASCII, at least one byte, at most [`MAX_CREDENTIAL_BYTES`]. `Debug` prints `[redacted]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bearer<'a>(&'a str);

impl<'a> Bearer<'a> {
    /// Reads the values of all `Authorization` headers of a request.
    ///
    /// Exactly one header; the scheme without letter case; one space; then visible ASCII to the end. Two headers are
    /// refused even if they are equal: a proxy in between may have believed the other one.
    ///
    /// # Errors
    /// [`BearerError`] says which of these did not hold.
    ///
    /// # Examples
    /// ```
    /// use portway_auth::Bearer;
    ///
    /// let header: &[u8] = b"bearer s3cret";
    /// assert_eq!(Bearer::parse([header])?.expose(), "s3cret");
    /// # Ok::<(), portway_auth::BearerError>(())
    /// ```
    pub fn parse(headers: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, BearerError> {
        let mut headers = headers.into_iter();
        let header = headers.next().ok_or(BearerError::Missing)?;
        if headers.next().is_some() {
            return Err(BearerError::Repeated);
        }
        let (scheme, rest) = header.split_at_checked(SCHEME.len()).ok_or(BearerError::Malformed)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(BearerError::Malformed);
        }
        let credential = rest.strip_prefix(b" ").ok_or(BearerError::Malformed)?;
        Self::from_credential(credential)
    }

    /// Takes the credential alone, where it did not come in a header.
    ///
    /// # Errors
    /// [`BearerError::Malformed`] or [`BearerError::TooLong`], as for [`Bearer::parse`].
    pub fn from_credential(credential: &'a [u8]) -> Result<Self, BearerError> {
        if credential.len() > MAX_CREDENTIAL_BYTES {
            return Err(BearerError::TooLong);
        }
        // No early exit: a loop without branches is many bytes a step, and tokens are long.
        let is_visible = credential.iter().fold(true, |all, byte| all & byte.is_ascii_graphic());
        if credential.is_empty() || !is_visible {
            return Err(BearerError::Malformed);
        }
        // Visible ASCII is UTF-8, so the error cannot occur; mapping it costs less than a proof.
        std::str::from_utf8(credential).map(Self).map_err(|_| BearerError::Malformed)
    }

    /// The credential itself.
    #[must_use]
    pub const fn expose(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why a request bore no usable credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BearerError {
    /// No `Authorization` header at all.
    #[error("no authorization header")]
    Missing,
    /// More than one `Authorization` header.
    #[error("more than one authorization header")]
    Repeated,
    /// Another scheme, no or two spaces, an empty credential, or a byte outside visible ASCII.
    #[error("authorization header is not `Bearer <credential>`")]
    Malformed,
    /// Longer than [`MAX_CREDENTIAL_BYTES`].
    #[error("credential exceeds {MAX_CREDENTIAL_BYTES} bytes")]
    TooLong,
}

/// The longest credential that is looked at: no known identity provider issues longer tokens than headers can carry.
pub const MAX_CREDENTIAL_BYTES: usize = 16 * 1024;

const SCHEME: &[u8] = b"bearer";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &[u8]) -> Result<&str, BearerError> {
        Bearer::parse([header]).map(Bearer::expose)
    }

    #[test]
    fn r_auth_3_scheme_has_no_letter_case() {
        for header in ["Bearer abc", "bearer abc", "BEARER abc", "bEaReR abc"] {
            assert_eq!(parse(header.as_bytes()), Ok("abc"));
        }
    }

    #[test]
    fn r_auth_3_anything_but_one_plain_header_is_refused() {
        for header in [
            &b""[..],
            b"Bearer",
            b"Bearer ",
            b"Bearer  abc",
            b"Bearer\tabc",
            b" Bearer abc",
            b"Bearer abc ",
            b"Bearer a b",
            b"Bearer abc\n",
            b"Bearer a\0c",
            b"Bearer a\x7fc",
            b"Bearer a\xc3\xa4",
            b"Basic abc",
            b"Bearerabc",
        ] {
            assert_eq!(parse(header), Err(BearerError::Malformed), "{header:?}");
        }
        assert_eq!(Bearer::parse([]), Err(BearerError::Missing));
        assert_eq!(Bearer::parse([&b"Bearer a"[..], b"Bearer a"]), Err(BearerError::Repeated));
        let long = format!("Bearer {}", "a".repeat(MAX_CREDENTIAL_BYTES + 1));
        assert_eq!(parse(long.as_bytes()), Err(BearerError::TooLong));
        assert!(parse(&long.as_bytes()[..long.len() - 1]).is_ok());
    }
}
