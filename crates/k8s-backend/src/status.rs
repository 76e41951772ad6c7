//! The status of a workload in the documented words, from its Deployment and its pods (RUN-4). Pure.
//!
//! | Phase | when |
//! | --- | --- |
//! | `Healthy` | as many pods of the present template are ready as are wanted, and there are no others but those that go |
//! | `Failed` | nothing is ready, the rollout has never been complete, and a pod cannot succeed as it stands (no such image, refused by an admission rule, five crashes), or the progress deadline has passed |
//! | `Unhealthy` | a pod fails otherwise; Kubernetes goes on trying |
//! | `Unschedulable` | the scheduler finds no node, or the quota is used up |
//! | `Transitioning` | else |
//!
//! `Failed` is what Portway gives up on; the cluster does not, and a pod that succeeds later is seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use portway_backend::{Phase, Replica, ReplicaId, ReplicaState, Status};

use crate::finding::{self, Finding, Weight};
use crate::replicas::view::{DeploymentView, PodView, Progress, Standing};

/// The status of the workload with this Deployment and these pods, by name.
pub(crate) fn status(deployment: Option<&DeploymentView>, pods: &BTreeMap<Arc<str>, PodView>) -> Status {
    let is_leaving = deployment.is_some_and(|deployment| deployment.is_leaving);
    let mut status = Status::absent();
    status.replicas = pods.iter().filter_map(|(name, pod)| replica(name, pod, is_leaving)).collect();
    if let Some(deployment) = deployment.filter(|_| !is_leaving) {
        status.wanted = deployment.wanted;
        (status.phase, status.message) = phase(deployment, pods);
    }
    status
}

fn replica(name: &Arc<str>, pod: &PodView, is_leaving: bool) -> Option<Replica> {
    let state = match pod.standing {
        Standing::Ended => return None,
        _ if is_leaving => ReplicaState::Terminating,
        Standing::Starting => ReplicaState::Starting,
        Standing::Ready(address) => ReplicaState::Ready(address),
        Standing::Terminating => ReplicaState::Terminating,
    };
    Some(Replica { id: ReplicaId::new(Arc::clone(name)), state })
}

fn phase(deployment: &DeploymentView, pods: &BTreeMap<Arc<str>, PodView>) -> (Phase, String) {
    let is_current = |pod: &PodView| deployment.digest.is_none() || pod.digest == deployment.digest;
    let (mut staying, mut ready, mut current) = (0_u32, 0_u32, 0_u32);
    for pod in pods.values() {
        let stays = matches!(pod.standing, Standing::Starting | Standing::Ready(_));
        staying += u32::from(stays);
        current += u32::from(stays && is_current(pod));
        ready += u32::from(matches!(pod.standing, Standing::Ready(_)));
    }
    let is_settled = deployment.is_observed && deployment.updated >= deployment.wanted;
    if is_settled && [staying, current, ready].iter().all(|count| *count == deployment.wanted) {
        return (Phase::Healthy, String::new());
    }
    let worst = worst(deployment, pods.iter().filter(|(_, pod)| is_current(pod)));
    let gives_up = ready == 0 && deployment.progress != Progress::Done && deployment.is_observed;
    let Some((finding, message)) = worst else { return (Phase::Transitioning, String::new()) };
    let phase = match finding.weight {
        Weight::Note => Phase::Transitioning,
        Weight::NoRoom => Phase::Unschedulable,
        Weight::Passing if gives_up && deployment.progress == Progress::Stuck => Phase::Failed,
        Weight::Fatal if gives_up => Phase::Failed,
        Weight::Passing | Weight::Fatal => Phase::Unhealthy,
    };
    (phase, message)
}

/// The gravest finding, and how it reads for the workload as a whole.
fn worst<'a>(
    deployment: &DeploymentView,
    pods: impl Iterator<Item = (&'a Arc<str>, &'a PodView)>,
) -> Option<(Finding, String)> {
    let wanted = deployment.wanted;
    let found: Vec<(&str, &Finding)> =
        pods.filter_map(|(name, pod)| Some((&**name, pod.finding.as_deref()?))).collect();
    // Of equals the first by name, so that the message does not waver.
    let gravest = found.iter().rev().max_by_key(|(_, finding)| finding.weight);
    let of_pods = gravest.map(|&(name, finding)| {
        let alike = found.iter().filter(|(_, other)| other.weight == finding.weight).count();
        ((*finding).clone(), spoken(name, finding, alike, wanted))
    });
    let of_deployment =
        deployment.refusal.as_deref().map(|finding| (finding.clone(), finding.message.clone()));
    let stuck = (deployment.progress == Progress::Stuck).then(finding::of_no_progress);
    let paused = deployment.is_paused.then(|| Finding {
        weight: Weight::Note,
        message:
            "its Deployment is paused: an apply has not ended, or somebody has paused it; apply it again"
                .to_owned(),
    });
    let plain = |finding: Finding| (finding.clone(), finding.message);
    // The deadline says least: it speaks only when nobody else does.
    let notes =
        [of_pods, of_deployment].into_iter().flatten().rev().max_by_key(|(finding, _)| finding.weight);
    let grave = notes.as_ref().is_some_and(|(finding, _)| finding.weight > Weight::Note);
    if grave { notes } else { stuck.map(plain).or(notes).or_else(|| paused.map(plain)) }
}

fn spoken(name: &str, finding: &Finding, alike: usize, wanted: u32) -> String {
    let message = &finding.message;
    match (finding.weight, alike) {
        (Weight::NoRoom, _) => format!(
            "there is no room for {alike} of {wanted} replicas: {message}; ask for fewer or smaller ones, or add nodes"
        ),
        (_, 1) => format!("replica {name}: {message}"),
        _ => format!("replica {name} and {} more: {message}", alike - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Weight::{Fatal, NoRoom, Note, Passing};

    const ADDRESS: ([u8; 4], u16) = ([10, 0, 0, 1], 8080);

    fn deployment(wanted: u32) -> DeploymentView {
        DeploymentView {
            wanted,
            updated: wanted,
            is_observed: true,
            is_leaving: false,
            is_paused: false,
            progress: Progress::Going,
            digest: Some("new".into()),
            refusal: None,
        }
    }

    fn pod(standing: Standing) -> PodView {
        PodView { uid: "u".into(), standing, ready_since: None, digest: Some("new".into()), finding: None }
    }

    fn ready() -> PodView {
        pod(Standing::Ready(ADDRESS.into()))
    }

    fn starting() -> PodView {
        pod(Standing::Starting)
    }

    fn troubled(weight: Weight) -> PodView {
        PodView { finding: Some(Box::new(Finding { weight, message: "it is so".into() })), ..starting() }
    }

    fn old(pod: PodView) -> PodView {
        PodView { digest: Some("old".into()), ..pod }
    }

    fn named(pods: Vec<PodView>) -> BTreeMap<Arc<str>, PodView> {
        pods.into_iter().enumerate().map(|(number, pod)| (format!("p{number}").into(), pod)).collect()
    }

    #[test]
    fn r_run_4_the_phase_says_how_the_whole_is() {
        let done = |wanted| DeploymentView { progress: Progress::Done, ..deployment(wanted) };
        let stuck = |wanted| DeploymentView { progress: Progress::Stuck, ..deployment(wanted) };
        let behind = |wanted| DeploymentView { is_observed: false, ..deployment(wanted) };
        let half = DeploymentView { updated: 1, ..deployment(2) };
        let (going, over) = (pod(Standing::Terminating), pod(Standing::Ended));
        let evicted = PodView { standing: Standing::Ended, ..troubled(Note) };
        for (deployment, pods, phase) in [
            (deployment(0), vec![], Phase::Healthy),
            (deployment(1), vec![], Phase::Transitioning),
            (deployment(1), vec![starting()], Phase::Transitioning),
            (deployment(1), vec![ready()], Phase::Healthy),
            (deployment(1), vec![ready(), going.clone()], Phase::Healthy),
            (deployment(1), vec![ready(), over], Phase::Healthy),
            (deployment(1), vec![ready(), evicted.clone()], Phase::Healthy),
            (deployment(1), vec![starting(), evicted], Phase::Transitioning),
            (deployment(1), vec![ready(), ready()], Phase::Transitioning),
            (deployment(0), vec![ready()], Phase::Transitioning),
            (behind(1), vec![ready()], Phase::Transitioning),
            (half, vec![ready(), ready()], Phase::Transitioning),
            (deployment(1), vec![old(ready()), starting()], Phase::Transitioning),
            (deployment(1), vec![old(ready())], Phase::Transitioning),
            (deployment(1), vec![old(troubled(Fatal)), starting()], Phase::Transitioning),
            (deployment(2), vec![ready(), troubled(NoRoom)], Phase::Unschedulable),
            (stuck(1), vec![troubled(NoRoom)], Phase::Unschedulable),
            (deployment(2), vec![ready(), troubled(Passing)], Phase::Unhealthy),
            (deployment(2), vec![ready(), troubled(Fatal)], Phase::Unhealthy),
            (deployment(2), vec![starting(), troubled(Passing), troubled(NoRoom)], Phase::Unhealthy),
            (deployment(1), vec![old(ready()), troubled(Fatal)], Phase::Unhealthy),
            (deployment(1), vec![troubled(Passing)], Phase::Unhealthy),
            (done(1), vec![troubled(Fatal)], Phase::Unhealthy),
            (deployment(1), vec![troubled(Fatal)], Phase::Failed),
            (behind(1), vec![troubled(Fatal)], Phase::Unhealthy),
            (stuck(1), vec![troubled(Passing)], Phase::Failed),
            (stuck(1), vec![starting()], Phase::Failed),
            (stuck(2), vec![ready(), starting()], Phase::Unhealthy),
        ] {
            let status = status(Some(&deployment), &named(pods.clone()));
            assert_eq!(status.phase, phase, "{deployment:?} {pods:?} {}", status.message);
            let is_well = matches!(phase, Phase::Healthy);
            assert!(!is_well || status.message.is_empty(), "{}", status.message);
        }
    }

    #[test]
    fn r_run_4_a_refusal_of_the_controllers_is_told() {
        let refusal = Some(Box::new(Finding { weight: NoRoom, message: "the quota is used up".into() }));
        let refused = status(Some(&DeploymentView { refusal, ..deployment(2) }), &named(vec![ready()]));
        assert_eq!((refused.phase, refused.message.as_str()), (Phase::Unschedulable, "the quota is used up"));
        let paused = DeploymentView { is_paused: true, ..deployment(2) };
        assert!(status(Some(&paused), &named(vec![])).message.contains("paused"));
    }

    #[test]
    fn the_message_names_the_first_of_those_in_trouble() {
        let said = |pods| status(Some(&deployment(3)), &named(pods)).message;
        assert_eq!(said(vec![starting(), troubled(Passing)]), "replica p1: it is so");
        assert_eq!(
            said(vec![troubled(Passing), troubled(Fatal), troubled(Fatal)]),
            "replica p1 and 1 more: it is so"
        );
        let no_room = said(vec![ready(), troubled(NoRoom), troubled(NoRoom)]);
        assert!(no_room.starts_with("there is no room for 2 of 3 replicas: it is so; "), "{no_room}");
    }

    #[test]
    fn r_k8s_2_who_goes_is_never_ready() {
        let leaving = DeploymentView { is_leaving: true, ..deployment(2) };
        let seen = status(Some(&leaving), &named(vec![ready(), starting(), pod(Standing::Terminating)]));
        assert_eq!((seen.wanted, seen.ready(), seen.phase), (0, 0, Phase::Transitioning));
        assert!(seen.replicas.iter().all(|replica| replica.state == ReplicaState::Terminating));
        assert_eq!(status(Some(&leaving), &named(vec![])), Status::absent());
    }

    #[test]
    fn a_workload_without_a_deployment_shows_the_pods_that_are_left() {
        assert_eq!(status(None, &named(vec![])), Status::absent());
        let left = status(None, &named(vec![ready(), pod(Standing::Terminating)]));
        assert_eq!((left.wanted, left.ready(), left.replicas.len()), (0, 1, 2));
    }
}
