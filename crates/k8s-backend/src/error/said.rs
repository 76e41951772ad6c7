//! Words of others: quoted where they are safe, else left out.

use std::fmt;

use kube::client::AuthError;
use kube::core::Status;

/// What somebody else said about a failure, as the cause of ours.
#[derive(Debug)]
pub(crate) struct Said(String);

impl Said {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

/// The server's words. It quotes what it cannot read, so that nothing about Secrets is repeated.
pub(super) fn by_server(status: &Status) -> Option<Said> {
    let kind = status.details.as_ref().map_or("", |details| details.kind.as_str());
    let about_secrets = kind.eq_ignore_ascii_case("secret") || kind.eq_ignore_ascii_case("secrets");
    let quotes = matches!(status.code, 400 | 422) && (about_secrets || status.message.contains("Secret"));
    if status.message.is_empty() || quotes {
        return None;
    }
    let text = status.message.trim();
    if text.starts_with('<') || text.chars().count() > LONGEST {
        let start: String = text.chars().take(LONGEST).collect();
        return Some(Said(format!("{start}…")));
    }
    Some(Said(text.to_owned()))
}

/// Neither tokens nor what a login program has written are told.
pub(super) fn why_no_credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecStart(error) => format!(
            "the login program that the kubeconfig names cannot be started ({}); install it, or fetch another kubeconfig",
            error.kind()
        ),
        AuthError::AuthExecRun { out, .. } => format!(
            "the login program that the kubeconfig names failed ({}); run it by hand and log in",
            out.status
        ),
        AuthError::ReadTokenFile(error, path) => {
            format!("the token file {} cannot be read ({})", path.display(), error.kind())
        }
        AuthError::NoValidNativeRootCA(_) => {
            "this machine trusts no certificate authority; name the cluster's in the kubeconfig".to_owned()
        }
        _ => {
            "there are no credentials that can be used; log in again, or fetch a fresh kubeconfig".to_owned()
        }
    }
}

/// Characters of foreign text; a proxy's error page is longer.
const LONGEST: usize = 1_000;
