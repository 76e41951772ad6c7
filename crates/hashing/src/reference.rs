use std::fmt;
use std::str::FromStr;

use crate::Digest;

/// An image that cannot change: `repository@sha256:…`, never a tag.
///
/// ```
/// use portway_hashing::{Digest, ImageRef};
///
/// let image = ImageRef::new("registry.test:5000/envs", Digest::of(b"manifest"))?;
/// assert_eq!(image.to_string().parse::<ImageRef>()?, image);
/// # Ok::<(), portway_hashing::InvalidRef>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct ImageRef {
    repository: String,
    digest: Digest,
}

/// A text that is not `repository@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an image reference: expected `repository@sha256:` and 64 hex digits, found {found:?}")]
pub struct InvalidRef {
    /// What stood there, cut to 200 characters.
    pub found: String,
}

impl ImageRef {
    /// The image in `repository` with this digest. A repository is a host (with or without a port) and a path: letters, digits and `._-/:`,
    /// 1 to 255 characters, no tag.
    ///
    /// # Errors
    /// [`InvalidRef`] if the repository has another form.
    pub fn new(repository: &str, digest: Digest) -> Result<Self, InvalidRef> {
        if is_repository(repository) {
            Ok(Self { repository: repository.to_owned(), digest })
        } else {
            Err(invalid(repository))
        }
    }

    /// The part before the `@`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The part after the `@`.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

impl FromStr for ImageRef {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (repository, digest) = text.split_once('@').ok_or_else(|| invalid(text))?;
        let digest = digest.parse().map_err(|_| invalid(text))?;
        Self::new(repository, digest).map_err(|_| invalid(text))
    }
}

impl TryFrom<String> for ImageRef {
    type Error = InvalidRef;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.to_string()
    }
}

fn invalid(text: &str) -> InvalidRef {
    InvalidRef { found: text.chars().take(200).collect() }
}

/// A colon may only introduce a port, so it has to stand before the first slash.
fn is_repository(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let (host, path) = text.split_once('/').unwrap_or((text, "path"));
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    (1..=255).contains(&text.len())
        && (!host.contains(':') || text.contains('/'))
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && !port.is_empty()
        && [name].into_iter().chain(path.split('/')).all(|part| !part.is_empty() && part.bytes().all(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_not_a_reference() {
        let digest = Digest::of(b"x");
        for good in ["venv", "a/b", "registry.test/a/b", "127.0.0.1:5000/envs"] {
            let image = ImageRef::new(good, digest).unwrap();
            assert_eq!(image.to_string().parse::<ImageRef>().unwrap(), image);
        }
        for bad in ["", "a:tag", "a/b:tag", "host:/a", "host:port/a", "a//b", "/a", "a/", "a b", "a@b"] {
            assert!(ImageRef::new(bad, digest).is_err(), "{bad}");
        }
        for bad in ["a", "a@", "a@sha256:0", "a:tag@sha256:0"] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }
}
