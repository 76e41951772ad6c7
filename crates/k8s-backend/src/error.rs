//! What went wrong between us and the API server, in words that say what to do.

use kube::Error;
use portway_backend::{BackendError, ErrorKind};

/// Turns a refused or failed request into an error; `what` completes "cannot …".
pub(crate) fn refused(what: &str, error: Error) -> BackendError {
    let (kind, why) = match &error {
        Error::Api(status) => match status.code {
            401 => (
                ErrorKind::Unavailable,
                "the credentials are not accepted: they have expired or belong to another cluster; log in again"
                    .to_owned(),
            ),
            403 => (ErrorKind::Invalid, format!("{}; grant the right or use other credentials", status.message)),
            404 => (ErrorKind::NotFound, status.message.clone()),
            409 => (ErrorKind::Conflict, status.message.clone()),
            400 | 413 | 422 => (ErrorKind::Invalid, status.message.clone()),
            _ => (ErrorKind::Unavailable, status.message.clone()),
        },
        _ => (ErrorKind::Unavailable, "the API server cannot be reached".to_owned()),
    };
    BackendError::new(kind, format!("cannot {what}: {why}")).with_source(error)
}
