//! A server that forbids everything because it has only begun to start.

use std::error::Error;

use portway_backend::ErrorKind;

use super::{Finding, Said};

/// A refusal by a server that does not know yet who may do what, with its words.
#[derive(Debug, thiserror::Error)]
#[error("the API server is still starting")]
pub(crate) struct StillStarting {
    #[source]
    refusal: Said,
}

impl StillStarting {
    pub(crate) fn new(refusal: impl Into<String>) -> Self {
        Self { refusal: Said::new(refusal) }
    }
}

pub(super) fn of(error: Box<dyn Error + Send + Sync>) -> (Finding, Option<Said>) {
    let why = "the API server is still starting and does not know yet who may do what; try again, and if it stays so, see \
               what its /readyz says";
    let refusal = error.downcast::<StillStarting>().ok().map(|starting| starting.refusal);
    (Finding::new(ErrorKind::Unavailable, why), refusal)
}
