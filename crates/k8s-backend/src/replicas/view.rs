//! What is kept of a Deployment and of a pod: as much as a status needs, no more. Pure.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use crate::finding::{self, Finding};
use crate::names::{CONFIG_DIGEST, PORT};

/// A Deployment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct DeploymentView {
    /// How many pods are wanted.
    pub(crate) wanted: u32,
    /// How many pods have the present template.
    pub(crate) updated: u32,
    /// Whether its controller has seen its last change.
    pub(crate) is_observed: bool,
    /// Whether it is being deleted.
    pub(crate) is_leaving: bool,
    /// Whether somebody has stopped its rollout.
    pub(crate) is_paused: bool,
    pub(crate) progress: Progress,
    /// The digest of what was applied.
    pub(crate) digest: Option<Box<str>>,
    /// Why its controllers cannot create pods.
    pub(crate) refusal: Option<Box<Finding>>,
}

/// How the rollout of the present template stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    Going,
    /// It has been complete, whatever has happened since.
    Done,
    /// Its deadline has passed.
    Stuck,
}

/// A pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PodView {
    pub(crate) uid: Box<str>,
    pub(crate) standing: Standing,
    /// When it became ready, in whole seconds.
    pub(crate) ready_since: Option<Timestamp>,
    /// The digest of what was applied when its template was made.
    pub(crate) digest: Option<Box<str>>,
    /// What is wrong while it is not ready.
    pub(crate) finding: Option<Box<Finding>>,
}

/// Whether a pod serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    Starting,
    Ready(SocketAddr),
    /// It has been told to go; it never comes back from here.
    Terminating,
    /// It has ended and is kept for the record only.
    Ended,
}

impl DeploymentView {
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let default = DeploymentStatus::default();
        let (spec, status) = (deployment.spec.as_ref(), deployment.status.as_ref().unwrap_or(&default));
        let condition =
            |kind: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == kind);
        let progress = match condition("Progressing").and_then(|condition| condition.reason.as_deref()) {
            Some("NewReplicaSetAvailable") => Progress::Done,
            Some("ProgressDeadlineExceeded") => Progress::Stuck,
            _ => Progress::Going,
        };
        let refusal = condition("ReplicaFailure").filter(|condition| condition.status == "True");
        let refusal = refusal.and_then(|condition| condition.message.as_deref());
        Self {
            wanted: count(spec.map(|spec| spec.replicas.unwrap_or(1))),
            updated: count(status.updated_replicas),
            is_observed: status.observed_generation >= deployment.metadata.generation,
            is_leaving: deployment.metadata.deletion_timestamp.is_some(),
            is_paused: spec.and_then(|spec| spec.paused).unwrap_or(false),
            progress,
            digest: digest(deployment),
            refusal: refusal.map(|message| Box::new(finding::of_refused_pods(message))),
        }
    }
}

impl PodView {
    pub(crate) fn of(pod: &Pod) -> Self {
        let (standing, ready_since) = standing(pod);
        let is_troubled = matches!(standing, Standing::Starting | Standing::Ended);
        Self {
            uid: pod.metadata.uid.as_deref().unwrap_or_default().into(),
            standing,
            ready_since,
            digest: digest(pod),
            finding: is_troubled.then(|| finding::of_pod(pod)).flatten().map(Box::new),
        }
    }
}

fn standing(pod: &Pod) -> (Standing, Option<Timestamp>) {
    if pod.metadata.deletion_timestamp.is_some() {
        return (Standing::Terminating, None);
    }
    let Some(status) = &pod.status else { return (Standing::Starting, None) };
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        return (Standing::Ended, None);
    }
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let ready = ready.filter(|condition| condition.status == "True");
    let address = status.pod_ip.as_deref().and_then(|text| text.parse::<IpAddr>().ok());
    match (ready, address) {
        (Some(ready), Some(address)) => {
            let since = ready.last_transition_time.as_ref().map(|time| time.0);
            (Standing::Ready(SocketAddr::new(address, PORT)), since)
        }
        _ => (Standing::Starting, None),
    }
}

fn digest(object: &impl kube::Resource) -> Option<Box<str>> {
    object.meta().annotations.as_ref()?.get(CONFIG_DIGEST).map(|digest| digest.as_str().into())
}

fn count(number: Option<i32>) -> u32 {
    number.and_then(|number| number.try_into().ok()).unwrap_or(0)
}
