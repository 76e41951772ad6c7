use std::fmt;
use std::str::FromStr;

use crate::Digest;

/// The key of an image: the SHA-256 of its canonical inputs. Its text, `v1-` and 64 hex digits, is a valid image tag.
///
/// ```
/// use portway_hashing::ImageKey;
///
/// let text = format!("v1-{}", "0".repeat(64));
/// assert_eq!(text.parse::<ImageKey>()?.to_string(), text);
/// # Ok::<(), portway_hashing::InvalidKey>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct ImageKey(Digest);

/// A text that is not `v1-` and 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an image key: expected `v1-` and 64 lower-case hex digits, found {found:?}")]
pub struct InvalidKey {
    /// What stood there, cut to 100 characters.
    pub found: String,
}

impl ImageKey {
    pub(crate) fn of_canonical(bytes: &[u8]) -> Self {
        Self(Digest::of(bytes))
    }

    /// The digest behind the key.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.0
    }
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0.hex())
    }
}

impl fmt::Debug for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ImageKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix(PREFIX)
            .and_then(Digest::from_hex)
            .map(Self)
            .ok_or_else(|| InvalidKey { found: text.chars().take(100).collect() })
    }
}

impl TryFrom<String> for ImageKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ImageKey> for String {
    fn from(key: ImageKey) -> Self {
        key.to_string()
    }
}

/// The version of the canonical form: another form is another prefix.
const PREFIX: &str = "v1-";
