use std::fmt;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What a caller can do about a [`BackendError`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no room for what was asked: fewer replicas, a smaller request, or more nodes help.
    Capacity,
    /// Somebody else changed it first, or holds it: read again and decide anew.
    Conflict,
    /// The request can never succeed as it stands.
    Invalid,
    /// It does not exist.
    NotFound,
    /// The other side did not answer or could not: trying again may help.
    Unavailable,
}

/// Why a seam refused: whose fault it was ([`kind`](Self::kind)), and a message that says what to do.
///
/// All seams share this one type because a caller has the same five reactions to each of them. The cause, if there is
/// one, is in [`source`](std::error::Error::source) and never repeated in the message.
#[derive(Debug)]
pub struct BackendError {
    kind: ErrorKind,
    message: String,
    source: Option<Source>,
}

impl BackendError {
    /// An error of `kind`; `message` is lower case, without a full stop, and names the remedy.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// [`ErrorKind::Capacity`] with `message`.
    pub fn capacity(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Capacity, message)
    }

    /// [`ErrorKind::Conflict`] with `message`.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// [`ErrorKind::Invalid`] with `message`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// [`ErrorKind::NotFound`] with `message`.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// [`ErrorKind::Unavailable`] with `message`.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Capacity)
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BackendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_cause_is_in_the_source_and_not_in_the_message() {
        let error = BackendError::unavailable("cannot read the state folder")
            .with_source(std::io::Error::other("input/output error"));
        assert_eq!(error.to_string(), "cannot read the state folder");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("input/output error"));
    }

    #[test]
    fn only_what_may_pass_by_itself_is_retryable() {
        assert!(BackendError::unavailable("").is_retryable());
        assert!(BackendError::capacity("").is_retryable());
        for error in [BackendError::conflict(""), BackendError::invalid(""), BackendError::not_found("")] {
            assert!(!error.is_retryable(), "{:?}", error.kind());
        }
    }
}
