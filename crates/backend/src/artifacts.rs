use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::BackendError;

/// The SHA-256 of some bytes, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(Arc<str>);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest as text, algorithm included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal digits alone.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }
}

impl FromStr for Digest {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, BackendError> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let legal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() == 64 && hex.bytes().all(legal) {
            return Ok(Self(text.into()));
        }
        Err(BackendError::invalid("a digest is written sha256: and 64 lower-case hexadecimal digits"))
    }
}

impl TryFrom<String> for Digest {
    type Error = BackendError;

    fn try_from(text: String) -> Result<Self, BackendError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.as_str().to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A digest in the making, for implementations of [`Artifacts`] that see the bytes go by.
#[derive(Clone)]
pub struct Hasher(ring::digest::Context);

impl Hasher {
    /// A digest of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes added.
    #[must_use]
    pub fn finish(self) -> Digest {
        use fmt::Write as _;
        let mut text = String::from("sha256:");
        for byte in self.0.finish().as_ref() {
            write!(text, "{byte:02x}").expect("writing to a string succeeds");
        }
        Digest(text.into())
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

/// The longest name of an artifact, in bytes.
pub const MAX_ARTIFACT_NAME: usize = 1024;

/// The name of an artifact: a relative path with `/` between its parts, such as `projects/ab12.tar`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArtifactName(Arc<str>);

impl ArtifactName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ArtifactName {
    type Err = BackendError;

    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for an empty or over-long name, and for one with an empty part, a part
    /// `.` or `..`, a part of more than 255 bytes, a backslash or a control character: it could name a file elsewhere.
    fn from_str(name: &str) -> Result<Self, BackendError> {
        let legal_part = |part: &str| {
            !part.is_empty()
                && part.len() <= 255
                && !matches!(part, "." | "..")
                && !part.chars().any(|c| c.is_control() || c == '\\')
        };
        if name.len() <= MAX_ARTIFACT_NAME && name.split('/').all(legal_part) {
            return Ok(Self(name.into()));
        }
        let shown: String = name.chars().take(64).collect();
        Err(BackendError::invalid(format!(
            "{shown:?} is no name for an artifact: use a relative path of at most {MAX_ARTIFACT_NAME} bytes without \
             empty parts, '.', '..', backslashes or control characters"
        )))
    }
}

impl TryFrom<String> for ArtifactName {
    type Error = BackendError;

    fn try_from(name: String) -> Result<Self, BackendError> {
        name.parse()
    }
}

impl From<ArtifactName> for String {
    fn from(name: ArtifactName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for ArtifactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An artifact that is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ArtifactInfo {
    /// Its name.
    pub name: ArtifactName,
    /// What its bytes hash to.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
}

/// Bytes on their way; an error item ends them.
pub type ByteStream = BoxStream<'static, Result<Bytes, BackendError>>;

/// An artifact and its bytes.
pub struct Artifact {
    /// What is stored.
    pub info: ArtifactInfo,
    /// Its bytes; if they do not hash to the digest, the last item is an error.
    pub bytes: ByteStream,
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact").field("info", &self.info).finish_non_exhaustive()
    }
}

/// A store of larger bytes: packed projects, models, outputs.
#[async_trait]
pub trait Artifacts: Send + Sync {
    /// Stores `bytes` under `name`, replacing what stood there; on an error nothing changes.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) when they do not hash to `expected`; the error of `bytes` itself;
    /// [`Unavailable`](crate::ErrorKind::Unavailable), [`Capacity`](crate::ErrorKind::Capacity).
    async fn put(
        &self,
        name: &ArtifactName,
        bytes: ByteStream,
        expected: Option<&Digest>,
    ) -> Result<ArtifactInfo, BackendError>;

    /// Opens an artifact; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn get(&self, name: &ArtifactName) -> Result<Option<Artifact>, BackendError>;

    /// All artifacts whose name is `prefix` or lies below it, ordered by name; an empty prefix lists everything.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn list(&self, prefix: &str) -> Result<Vec<ArtifactInfo>, BackendError>;

    /// Deletes an artifact; one that does not exist is a success.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn delete(&self, name: &ArtifactName) -> Result<(), BackendError>;
}
