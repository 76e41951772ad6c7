use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::BackendError;

/// The kinds of document that a catalog keeps.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DocKind {
    /// How an endpoint routes: versions, shares, tags, authentication mode. Named like the endpoint.
    Endpoint,
    /// What the gateway checks keys against: digests only. Named like the endpoint. Also, under
    /// a name that no endpoint can have, what it checks tokens against: public keys only.
    Verifier,
    /// The keys themselves, of an endpoint or of the issuer of tokens. Only a deployer reads these; an implementation keeps
    /// them apart. Named like the verifier.
    Credentials,
    /// A registered model.
    Model,
    /// An asynchronous operation and its outcome.
    Operation,
}

impl DocKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Endpoint, Self::Verifier, Self::Credentials, Self::Model, Self::Operation];

    /// The kind in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Verifier => "verifier",
            Self::Credentials => "credentials",
            Self::Model => "model",
            Self::Operation => "operation",
        }
    }
}

/// The longest name of a document, in bytes.
pub const MAX_DOC_NAME: usize = 280;
/// The largest document, in bytes: what a ConfigMap can hold.
pub const MAX_DOC_BYTES: usize = 1 << 20;

/// Where a document is kept: its kind and a name that is unique within it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DocKey {
    kind: DocKind,
    name: Arc<str>,
}

impl DocKey {
    /// The document of `kind` called `name`.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) unless the name has 1 to [`MAX_DOC_NAME`] ASCII letters, digits, `-`,
    /// `_`, `.` or `:` and starts with a letter or a digit.
    ///
    /// # Examples
    ///
    /// ```
    /// use portway_backend::{DocKey, DocKind};
    ///
    /// let key = DocKey::new(DocKind::Endpoint, "iris")?;
    /// assert_eq!(key.to_string(), "endpoint/iris");
    /// assert!(DocKey::new(DocKind::Endpoint, "../iris").is_err());
    /// # Ok::<(), portway_backend::BackendError>(())
    /// ```
    pub fn new(kind: DocKind, name: &str) -> Result<Self, BackendError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if starts_well && name.len() <= MAX_DOC_NAME && name.bytes().all(legal) {
            return Ok(Self { kind, name: name.into() });
        }
        let shown: String = name.chars().take(64).collect();
        Err(BackendError::invalid(format!(
            "{shown:?} is no name for a document: use 1 to {MAX_DOC_NAME} ASCII letters, digits, '-', '_', '.' or \
             ':', beginning with a letter or a digit"
        )))
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> DocKind {
        self.kind
    }

    /// Its name within the kind.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for DocKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

/// A document: JSON text of at most [`MAX_DOC_BYTES`], which the catalog does not look into.
///
/// It may hold secrets; `Debug` shows its size only.
#[derive(Clone, Eq, PartialEq)]
pub struct Document(Arc<str>);

impl Document {
    /// Wraps text that is JSON already.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if it is no JSON or too large.
    pub fn from_json(text: impl Into<Arc<str>>) -> Result<Self, BackendError> {
        let text = text.into();
        if text.len() > MAX_DOC_BYTES {
            let size = text.len();
            return Err(BackendError::invalid(format!(
                "the document has {size} bytes, a catalog takes at most {MAX_DOC_BYTES}"
            )));
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(BackendError::invalid("the document is no JSON").with_source(error)),
        }
    }

    /// Writes `value` as a document.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if it cannot be written as JSON or is too large.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, BackendError> {
        let text = serde_json::to_string(value).map_err(|error| {
            BackendError::invalid("the document cannot be written as JSON").with_source(error)
        })?;
        Self::from_json(text)
    }

    /// Reads the document as a `T`.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if it is something else.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, BackendError> {
        serde_json::from_str(&self.0).map_err(|error| {
            BackendError::invalid("the document is not what was expected").with_source(error)
        })
    }

    /// The text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes)", self.0.len())
    }
}

/// Which state of a document was seen. Opaque: two revisions are the same or they are not.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Revision(Arc<str>);

impl Revision {
    /// The revision that an implementation calls `text`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// What the implementation calls it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A value and the revision under which it was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Its revision.
    pub revision: Revision,
}

/// What a writer believes to be there; the write is refused if it is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expected {
    /// Nothing: create it.
    Absent,
    /// Exactly this revision: replace it.
    At(Revision),
    /// Whatever is there or not: the writer is the only one who could know better.
    Any,
}

/// One step of a [`Catalog::watch`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// The document exists and looks like this.
    Put(DocKey, Versioned<Document>),
    /// The document is gone.
    Deleted(DocKey),
    /// Everything that existed when the watch began has been told.
    Synced,
}

/// A store of small documents with revisions, compare-and-swap and watch: where deployers and gateways meet.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Reads a document; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable); [`Invalid`](crate::ErrorKind::Invalid) for one that is
    /// damaged, with its place and the remedy.
    async fn get(&self, key: &DocKey) -> Result<Option<Versioned<Document>>, BackendError>;

    /// Writes a document if what stands is what was [`Expected`]; all of it or nothing.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) when the expectation is wrong: read again and decide anew.
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn put(
        &self,
        key: &DocKey,
        document: &Document,
        expected: Expected,
    ) -> Result<Revision, BackendError>;

    /// Deletes a document if what stands is what was expected; with [`Expected::Any`] or [`Expected::Absent`], one
    /// that does not exist is a success.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    async fn delete(&self, key: &DocKey, expected: Expected) -> Result<(), BackendError>;

    /// Follows all documents of a kind: first a `Put` for each that exists, then `Synced`, then every change in the
    /// order of its happening. A reader that falls behind may be told of the last state only, never of an older one
    /// after a newer.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn watch(&self, kind: DocKind) -> Result<BoxStream<'static, Change>, BackendError>;
}
