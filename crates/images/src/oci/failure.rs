//! What an error of the client means to us, in words that hold no secret.

use std::error::Error;
use std::fmt;

use oci_client::errors::{DigestError, OciDistributionError as Cause, OciEnvelope, OciErrorCode};
use portway_hashing::resolve::{RegistryError, RegistryErrorKind as Kind};

use super::access::Credentials;

/// Whether the registry itself says that there is no such manifest. A bare 404 may come from anything on the way.
pub(super) fn is_absence(cause: &Cause) -> bool {
    // `NOT_FOUND` is not in the standard: it is what Harbor says.
    let absent = |code: &OciErrorCode| {
        matches!(code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound)
    };
    match cause {
        Cause::RegistryError { envelope, .. } => {
            !envelope.errors.is_empty() && envelope.errors.iter().all(|error| absent(&error.code))
        }
        _ => false,
    }
}

/// Whether another token may help.
pub(super) fn is_unauthorized(cause: &Cause) -> bool {
    match cause {
        Cause::UnauthorizedError { .. } | Cause::ServerError { code: 401, .. } => true,
        Cause::RequestError(error) => error.status().is_some_and(|status| status == 401),
        _ => false,
    }
}

/// The error that a caller sees. `what` completes “could not …”.
pub(super) fn failed(what: &str, cause: Cause, credentials: &Credentials) -> RegistryError {
    let seen = see(cause);
    let error = RegistryError::new(seen.kind, format!("could not {what}: {}", seen.words));
    match seen.theirs {
        Some(theirs) if !theirs.is_empty() && !credentials.are_in(&theirs) => {
            error.with_source(Theirs(theirs))
        }
        _ => error,
    }
}

/// The registry was silent for longer than it may be.
pub(super) fn silent(what: &str, limit: std::time::Duration) -> RegistryError {
    RegistryError::new(Kind::TimedOut, format!("could not {what}: no answer for {limit:?}"))
}

struct Seen {
    kind: Kind,
    words: String,
    /// What the other side said.
    theirs: Option<String>,
}

fn seen(kind: Kind, words: impl Into<String>) -> Seen {
    Seen { kind, words: words.into(), theirs: None }
}

impl Seen {
    fn with(mut self, theirs: &str) -> Self {
        self.theirs = Some(theirs.chars().filter(|c| !c.is_control()).take(MAX_THEIRS).collect());
        self
    }
}

fn see(cause: Cause) -> Seen {
    match cause {
        Cause::RequestError(error) => see_request(&error),
        Cause::UnauthorizedError { .. } => seen(Kind::Refused, UNAUTHORIZED),
        // Denied once, given when it was asked for again.
        Cause::AuthenticationFailure(theirs) => seen(Kind::Unavailable, "no token was given").with(&theirs),
        Cause::RegistryError { envelope, .. } => see_envelope(&envelope),
        Cause::ServerError { code, message, .. } => see_status(code).with(&message),
        Cause::DigestError(error) => see_digest(&error),
        Cause::IoError(error) => see_io(error),
        Cause::RegistryTokenDecodeError(_) => {
            // The words quote the answer, and that may hold a token.
            seen(
                Kind::Invalid,
                "the place that gives the registry's tokens answered something else than a token",
            )
        }
        Cause::RegistryNoLocationError => seen(Kind::Invalid, "the registry did not say where to upload"),
        other => seen(Kind::Invalid, "the registry's answer makes no sense").with(&other.to_string()),
    }
}

fn see_envelope(envelope: &OciEnvelope) -> Seen {
    let code = envelope.errors.first().map(|error| &error.code);
    let words: Vec<&str> = envelope.errors.iter().map(|error| error.message.as_str()).collect();
    let answer = match code {
        Some(OciErrorCode::Unauthorized) => seen(Kind::Refused, UNAUTHORIZED),
        Some(OciErrorCode::Denied) => seen(Kind::Refused, FORBIDDEN),
        Some(OciErrorCode::Toomanyrequests) => seen(Kind::Unavailable, BUSY),
        Some(OciErrorCode::DigestInvalid | OciErrorCode::SizeInvalid) => {
            seen(Kind::Invalid, "what arrived at the registry is not what was sent")
        }
        Some(OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::BlobUnknown) => {
            seen(Kind::Refused, "the registry does not have it")
        }
        Some(code) => seen(Kind::Refused, format!("the registry says {}", name(code))),
        None => seen(Kind::Invalid, "the registry refused without saying why"),
    };
    answer.with(&words.join("; "))
}

/// The code as registries spell it.
fn name(code: &OciErrorCode) -> String {
    let text = serde_json::to_value(code).ok();
    text.as_ref().and_then(|text| text.as_str()).unwrap_or("no").chars().take(60).collect()
}

fn see_status(code: u16) -> Seen {
    match code {
        401 => seen(Kind::Refused, UNAUTHORIZED),
        403 => seen(Kind::Refused, FORBIDDEN),
        404 => seen(
            Kind::Invalid,
            "404, but not in a registry's words, so something else may have answered; see that the host is a registry",
        ),
        407 => seen(Kind::Refused, "a proxy on the way wants to know who asks (407)"),
        408 => seen(Kind::TimedOut, "the registry waited too long (408)"),
        429 => seen(Kind::Unavailable, BUSY),
        500..=599 => seen(Kind::Unavailable, format!("the registry is not well ({code})")),
        400..=499 => seen(Kind::Refused, format!("the registry refused ({code})")),
        _ => seen(Kind::Invalid, format!("the registry answered {code}, which makes no sense here")),
    }
}

fn see_digest(error: &DigestError) -> Seen {
    match error {
        DigestError::VerificationError { expected, actual } => {
            let words =
                format!("what arrived has the digest {actual}, not {expected}; it was damaged or changed");
            seen(Kind::Invalid, words)
        }
        other => {
            seen(Kind::Invalid, "the registry names a digest that is not usable").with(&other.to_string())
        }
    }
}

/// An error out of a stream of ours: the client's own are inside.
fn see_io(error: std::io::Error) -> Seen {
    let kind = error.kind();
    if let Some(inner) = error.get_ref() {
        if let Some(digest) = inner.downcast_ref::<DigestError>() {
            return see_digest(digest);
        }
        if let Some(request) = inner.downcast_ref::<reqwest::Error>() {
            return see_request(request);
        }
    }
    match kind {
        std::io::ErrorKind::TimedOut => seen(Kind::TimedOut, "nothing moved for too long"),
        _ => seen(Kind::Unavailable, "the transfer broke off").with(&error.to_string()),
    }
}

/// The client's words hold the address, which may be signed: only their causes are kept.
fn see_request(error: &reqwest::Error) -> Seen {
    if let Some(status) = error.status() {
        return see_status(status.as_u16());
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        return see_tls(tls);
    }
    let theirs = innermost(error);
    if error.is_timeout() {
        seen(Kind::TimedOut, "no answer in time")
    } else if error.is_connect() {
        seen(Kind::Unavailable, "no connection").with(&theirs)
    } else if error.is_redirect() {
        seen(Kind::Invalid, "the registry sends us in circles").with(&theirs)
    } else if error.is_builder() {
        seen(Kind::Invalid, "the registry named an address that is none").with(&theirs)
    } else {
        seen(Kind::Unavailable, "the connection broke").with(&theirs)
    }
}

fn see_tls(error: &rustls::Error) -> Seen {
    let words = match error {
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS; if it is meant to be plain HTTP, say `plain_http`".to_owned()
        }
        _ => "its certificate is not trusted; name its authority's certificate with `ca_file`".to_owned(),
    };
    seen(Kind::Invalid, words).with(&error.to_string())
}

/// An `io::Error` hides what it wraps from `source`, and may wrap another one.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.downcast_ref().or_else(|| match wrapped {
        Some(wrapped) => cause(wrapped),
        None => cause(error.source()?),
    })
}

fn innermost(error: &dyn Error) -> String {
    let mut last = None;
    let mut next = error.source();
    while let Some(error) = next {
        last = Some(error.to_string());
        next = error.source();
    }
    last.unwrap_or_default()
}

/// The other side's words, as a cause.
#[derive(Debug)]
struct Theirs(String);

impl fmt::Display for Theirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer was {:?}", self.0)
    }
}

impl Error for Theirs {}

const UNAUTHORIZED: &str =
    "the registry does not take who asks; check user and password, and that they are for this host";
const FORBIDDEN: &str =
    "the registry knows who asks and says no; give that account the right to read and write the repository";
const BUSY: &str = "the registry has had too many requests from here (429); try again later";
/// Characters of an answer that are kept.
const MAX_THEIRS: usize = 300;
