//! What went wrong between us and the API server, in words that say what to do.
//!
//! The message is ours: what was tried, why it cannot be, and the remedy. The server's own words are the
//! [`source`](std::error::Error::source), unless they may quote a secret.

mod forbidden;
mod said;
mod starting;
mod unreachable;

use kube::Error;
use kube::core::Status;
use kube::core::response::StatusCause;
use portway_backend::{BackendError, ErrorKind};

pub(crate) use forbidden::is_missing_right;
pub(crate) use said::Said;
pub(crate) use starting::StillStarting;
pub(crate) use unreachable::{Unreachable, why_unreachable};

/// Turns a refused or failed request into an error; `what` completes "cannot …".
pub(crate) fn refused(what: &str, error: Error) -> BackendError {
    let (finding, source) = match error {
        Error::Api(status) => (of_status(&status), said::by_server(&status)),
        Error::Auth(error) => (Finding::new(ErrorKind::Invalid, said::why_no_credentials(&error)), None),
        Error::SerdeError(error) => (unexpected_answer(&error), None),
        Error::BuildRequest(error) => {
            let finding = Finding::new(
                ErrorKind::Invalid,
                "no such request can be made; look for odd characters in the names it is about, and in the namespace",
            );
            (finding, Some(Said::new(error.to_string())))
        }
        Error::ProxyProtocolUnsupported { .. } | Error::ProxyProtocolDisabled { .. } => {
            let why = "the kubeconfig names a proxy, which is not supported; name the server itself";
            (Finding::new(ErrorKind::Invalid, why), None)
        }
        Error::RustlsTls(error) => {
            let why = "the certificates of the kubeconfig cannot be used; fetch a fresh kubeconfig";
            (Finding::new(ErrorKind::Invalid, why), Some(Said::new(error.to_string())))
        }
        Error::Service(error) if error.is::<StillStarting>() => starting::of(error),
        other => unreachable::of_chain(&other),
    };
    let error = BackendError::new(finding.kind, format!("cannot {what}: {}", finding.why));
    match source {
        Some(said) => error.with_source(said),
        None => error,
    }
}

/// A kind, and why with the remedy.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) kind: ErrorKind,
    pub(crate) why: String,
}

impl Finding {
    pub(crate) fn new(kind: ErrorKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }
}

/// The answer is not quoted: it may hold a secret.
fn unexpected_answer(error: &serde_json::Error) -> Finding {
    let place = format!("line {}, column {}", error.line(), error.column());
    let why = format!(
        "the answer is not what an API server says (at {place}); is a proxy between, or the server of another kind?"
    );
    Finding::new(ErrorKind::Unavailable, why)
}

/// What a refusal by the server means.
pub(crate) fn of_status(status: &Status) -> Finding {
    if let Some(finding) = forbidden::by_webhook(status) {
        return finding;
    }
    match status.code {
        401 => Finding::new(
            ErrorKind::Unavailable,
            "the credentials are not accepted: they have expired or belong to another cluster; log in again, or fetch a \
             fresh kubeconfig",
        ),
        403 => forbidden::of_status(status),
        404 => not_found(status),
        405 | 406 | 415 => Finding::new(
            ErrorKind::Invalid,
            "the API server cannot do this; it is too old (server-side apply came with 1.18), or something else answers in \
             its place",
        ),
        409 => conflict(status),
        413 => Finding::new(ErrorKind::Invalid, "it is larger than the API server takes; make it smaller"),
        400 | 422 => invalid(status),
        429 => Finding::new(
            ErrorKind::Unavailable,
            format!("the API server is overloaded{}", retry_after(status)),
        ),
        410 => Finding::new(
            ErrorKind::Unavailable,
            "what was to be read is no longer kept; it is read again from the start",
        ),
        code @ 500.. => Finding::new(
            ErrorKind::Unavailable,
            format!("the API server has a fault of its own ({code}){}", retry_after(status)),
        ),
        code => {
            Finding::new(ErrorKind::Invalid, format!("the API server refuses it ({code} {})", status.reason))
        }
    }
}

fn not_found(status: &Status) -> Finding {
    let Some(details) = status.details.as_ref().filter(|details| !details.name.is_empty()) else {
        return Finding::new(
            ErrorKind::Invalid,
            "the API server does not know such objects; it is too old, or what defines them is not installed",
        );
    };
    if details.kind == "namespaces" {
        return unknown_namespace(&details.name);
    }
    Finding::new(
        ErrorKind::NotFound,
        format!(
            "there is no {} of the name {}; see whether the namespace is the right one, and apply what it belongs to again",
            details.kind, details.name
        ),
    )
}

/// The finding about a namespace that nobody has made.
pub(crate) fn unknown_namespace(name: &str) -> Finding {
    let why = format!(
        "the namespace {name} does not exist; create it (kubectl create namespace {name}) or name another one"
    );
    Finding::new(ErrorKind::Invalid, why)
}

fn conflict(status: &Status) -> Finding {
    let causes = causes(status);
    let owned: Vec<String> =
        causes.iter().filter(|cause| cause.reason == FIELD_CONFLICT).map(owner).collect();
    if !owned.is_empty() {
        let why = format!(
            "fields are owned by others: {}; let them give the fields up, or stop changing the object by both",
            owned.join(", ")
        );
        return Finding::new(ErrorKind::Conflict, why);
    }
    if status.is_already_exists() {
        let why = match &status.details {
            Some(details) => format!(
                "there is a {} of the name {} already; delete it, or choose another name",
                details.kind, details.name
            ),
            None => "there is an object of this name already; delete it, or choose another name".to_owned(),
        };
        return Finding::new(ErrorKind::Conflict, why);
    }
    Finding::new(ErrorKind::Conflict, "somebody else changed it meanwhile; look again and decide anew")
}

/// `.spec.replicas by "kubectl"`.
fn owner(cause: &StatusCause) -> String {
    let manager = cause.message.strip_prefix("conflict with ").unwrap_or(&cause.message);
    format!("{} by {manager}", cause.field)
}

fn invalid(status: &Status) -> Finding {
    let fields: Vec<&str> =
        causes(status).iter().map(|cause| cause.field.as_str()).filter(|field| !field.is_empty()).collect();
    let why = if fields.is_empty() {
        "the API server calls it invalid; change it".to_owned()
    } else {
        format!("the API server calls it invalid at {}; change it there", fields.join(", "))
    };
    Finding::new(ErrorKind::Invalid, why)
}

fn causes(status: &Status) -> &[StatusCause] {
    status.details.as_ref().map_or(&[], |details| &details.causes)
}

fn retry_after(status: &Status) -> String {
    match status.details.as_ref().map(|details| details.retry_after_seconds) {
        Some(seconds @ 1..) => format!("; try again in {seconds} s"),
        _ => "; try again later".to_owned(),
    }
}

const FIELD_CONFLICT: &str = "FieldManagerConflict";

#[cfg(test)]
mod tests;
