//! What a server forbids: a right that is missing, a quota that is used up, a policy, a webhook.

use kube::core::Status;
use portway_backend::ErrorKind;

use super::{Finding, causes};

pub(super) fn of_status(status: &Status) -> Finding {
    let text = status.message.as_str();
    right(text)
        .or_else(|| quota(text))
        .or_else(|| causes(status).iter().any(|cause| cause.reason == TERMINATING).then(terminating))
        .or_else(|| policy(text))
        .unwrap_or_else(|| {
            let why = "the API server forbids it; ask whoever runs the cluster, or use other credentials";
            Finding::new(ErrorKind::Invalid, why)
        })
}

/// Whether a refusal is about a right, and not about a quota, a policy or a webhook.
pub(crate) fn is_missing_right(status: &Status) -> bool {
    status.code == 403 && right(&status.message).is_some()
}

/// `… User "u" cannot list resource "pods" in API group "apps" in the namespace "n"`.
fn right(text: &str) -> Option<Finding> {
    let (_, rest) = text.split_once("User \"")?;
    let (user, rest) = rest.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(' ')?;
    if user.is_empty() || user == "system:anonymous" {
        let why = "the API server was given no credentials; log in, or fetch a kubeconfig that holds some";
        return Some(Finding::new(ErrorKind::Invalid, why));
    }
    let quoted = |after: &str| Some(rest.split_once(after)?.1.split_once('"')?.0);
    let what = match (quoted("resource \""), quoted("path \"")) {
        (Some(resource), _) => {
            let group = quoted("API group \"").filter(|group| !group.is_empty());
            group.map_or_else(|| resource.to_owned(), |group| format!("{resource}.{group}"))
        }
        (None, Some(path)) => path.to_owned(),
        (None, None) => return None,
    };
    let place = match quoted("in the namespace \"") {
        Some(namespace) => format!("in the namespace {namespace}"),
        None => "in the whole cluster".to_owned(),
    };
    let why = format!(
        "{user} has no right to {verb} {what} {place}; apply the role that the example k8s_manifests prints, or use other \
         credentials"
    );
    Some(Finding::new(ErrorKind::Invalid, why))
}

/// `… exceeded quota: compute, requested: pods=1, used: pods=4, limited: pods=4`.
fn quota(text: &str) -> Option<Finding> {
    if let Some((_, rest)) = text.split_once("exceeded quota: ") {
        let (name, amounts) = rest.split_once(", ").unwrap_or((rest, ""));
        let why = format!(
            "the quota {name} of the namespace is used up ({amounts}); ask for less, delete something, or raise the quota"
        );
        return Some(Finding::new(ErrorKind::Capacity, why));
    }
    let (_, rest) = text.split_once("failed quota: ")?;
    let why = format!(
        "a quota of the namespace wants more to be said ({rest}); say it, or add a LimitRange with defaults"
    );
    Some(Finding::new(ErrorKind::Invalid, why))
}

fn policy(text: &str) -> Option<Finding> {
    let why = if let Some((_, rest)) = text.split_once("violates PodSecurity ") {
        let level = rest.split_once(": ").map_or(rest, |(level, _)| level);
        format!("the namespace admits no such pods (PodSecurity {level}); change its level, or the workload")
    } else if let Some((_, rest)) = text.split_once("ValidatingAdmissionPolicy '") {
        let name = rest.split_once('\'').map_or(rest, |(name, _)| name);
        format!("the admission policy {name} denies it; follow it, or ask its owner")
    } else if text.contains(" usage per ") {
        "it asks for more or less than the namespace's LimitRange allows; ask within it, or change it"
            .to_owned()
    } else {
        return None;
    };
    Some(Finding::new(ErrorKind::Invalid, why))
}

fn terminating() -> Finding {
    let why = "the namespace is being deleted; wait until it is gone and create it anew, or name another one";
    Finding::new(ErrorKind::Conflict, why)
}

/// A webhook that denied it, with whatever code it chose, or one that did not answer.
pub(super) fn by_webhook(status: &Status) -> Option<Finding> {
    let text = status.message.as_str();
    let named = |after: &str| Some(text.split_once(after)?.1.split_once('"')?.0);
    if let Some(name) = named("failed calling webhook \"") {
        let why = format!(
            "the admission webhook {name} does not answer; see to the program behind it, and try again"
        );
        return Some(Finding::new(ErrorKind::Unavailable, why));
    }
    if !text.contains("denied the request") {
        return None;
    }
    let name = named("admission webhook \"")?;
    let why = format!("the admission webhook {name} denies it; follow its rule, or ask its owner");
    Some(Finding::new(ErrorKind::Invalid, why))
}

const TERMINATING: &str = "NamespaceTerminating";
