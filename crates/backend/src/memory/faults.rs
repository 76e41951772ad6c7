use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::{BackendError, ErrorKind};

/// Failures to come: each call of the implementation that holds a clone takes the next one.
///
/// # Examples
///
/// ```
/// use portway_backend::memory::MemoryCatalog;
/// use portway_backend::{Catalog, DocKey, DocKind, ErrorKind};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), portway_backend::BackendError> {
/// let catalog = MemoryCatalog::new();
/// let key = DocKey::new(DocKind::Endpoint, "iris")?;
/// catalog.faults().fail_next(ErrorKind::Unavailable, 1);
/// assert!(catalog.get(&key).await.is_err());
/// assert!(catalog.get(&key).await.is_ok());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<VecDeque<ErrorKind>>>);

impl Faults {
    /// Lets the next `times` calls fail with `kind`, after those already ordered.
    pub fn fail_next(&self, kind: ErrorKind, times: usize) {
        lock(&self.0).extend(std::iter::repeat_n(kind, times));
    }

    /// Forgets all failures that have not happened yet.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }

    pub(super) fn check(&self) -> Result<(), BackendError> {
        match lock(&self.0).pop_front() {
            Some(kind) => Err(BackendError::new(kind, "failed as ordered by a test")),
            None => Ok(()),
        }
    }
}
