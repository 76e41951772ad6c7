//! What a workload looks like from outside. Pure.

use std::net::SocketAddr;

use portway_backend::{Phase, Replica, ReplicaId, ReplicaState, Status};

/// A place for a replica as the status sees it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct View {
    /// Whether it runs what is now desired.
    pub(crate) is_current: bool,
    /// The replica in it; none while the place waits for its next start.
    pub(crate) replica: Option<ReplicaId>,
    /// What it is doing.
    pub(crate) state: ViewState,
    /// Why its last replica failed, until the next one is ready.
    pub(crate) trouble: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum ViewState {
    #[default]
    Starting,
    Ready(SocketAddr),
    /// Waiting for its next start.
    Waiting,
    /// Not started again before the next apply or scale.
    GaveUp,
    Going,
}

/// The status of a workload of which `wanted` replicas are wanted and `missing` have no room.
pub(crate) fn status(wanted: u32, missing: u32, views: &[View]) -> Status {
    let mut status = Status::absent();
    status.wanted = wanted;
    status.replicas = views.iter().filter_map(shown).collect();
    status.replicas.sort_by(|a, b| a.id.cmp(&b.id));
    (status.phase, status.message) = phase(wanted, missing, views, status.ready());
    status
}

/// The status of a workload that was removed, while its replicas go.
pub(crate) fn removed(views: &[View]) -> Status {
    if views.is_empty() {
        return Status::absent();
    }
    let mut status = status(0, 0, views);
    status.phase = Phase::Transitioning;
    status
}

/// The status of a workload whose record cannot be read.
pub(crate) fn damaged(message: &str) -> Status {
    let mut status = Status::absent();
    (status.phase, status.message) = (Phase::Failed, message.to_owned());
    status
}

fn shown(view: &View) -> Option<Replica> {
    let state = match view.state {
        ViewState::Starting => ReplicaState::Starting,
        ViewState::Ready(address) => ReplicaState::Ready(address),
        ViewState::Going => ReplicaState::Terminating,
        ViewState::Waiting | ViewState::GaveUp => return None,
    };
    Some(Replica { id: view.replica.clone()?, state })
}

fn phase(wanted: u32, missing: u32, views: &[View], ready: u32) -> (Phase, String) {
    let staying = || views.iter().filter(|view| view.state != ViewState::Going);
    let trouble = || staying().filter(|view| view.is_current).find_map(|view| view.trouble.clone());
    let gave_up = staying().any(|view| view.state == ViewState::GaveUp);
    match trouble() {
        Some(message) if gave_up && ready == 0 => {
            (Phase::Failed, format!("{message}; mend it and apply the workload again"))
        }
        Some(message) => (Phase::Unhealthy, message),
        None if missing > 0 => (
            Phase::Unschedulable,
            format!(
                "there is no room for {missing} of {wanted} replicas; ask for fewer, or raise max_replicas"
            ),
        ),
        None if staying().all(|view| view.is_current) && ready == wanted => (Phase::Healthy, String::new()),
        None => (Phase::Transitioning, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: ViewState) -> View {
        View { is_current: true, replica: Some(ReplicaId::new("a")), state, trouble: None }
    }

    fn ready() -> ViewState {
        ViewState::Ready(([127, 0, 0, 1], 1).into())
    }

    fn troubled(state: ViewState) -> View {
        View { trouble: Some("ended with exit status 1".into()), ..view(state) }
    }

    #[test]
    fn r_run_4_the_phase_says_how_the_whole_is() {
        let old = View { is_current: false, ..view(ready()) };
        for (wanted, missing, views, phase) in [
            (0, 0, vec![], Phase::Healthy),
            (1, 0, vec![view(ViewState::Starting)], Phase::Transitioning),
            (1, 0, vec![view(ready())], Phase::Healthy),
            (1, 0, vec![view(ready()), view(ViewState::Going)], Phase::Healthy),
            (1, 0, vec![old.clone(), view(ViewState::Starting)], Phase::Transitioning),
            (1, 0, vec![old.clone()], Phase::Transitioning),
            (2, 1, vec![view(ready())], Phase::Unschedulable),
            (2, 0, vec![view(ready()), troubled(ViewState::Waiting)], Phase::Unhealthy),
            (2, 0, vec![view(ready()), troubled(ViewState::Starting)], Phase::Unhealthy),
            (2, 0, vec![view(ready()), troubled(ViewState::GaveUp)], Phase::Unhealthy),
            (1, 0, vec![old, troubled(ViewState::GaveUp)], Phase::Unhealthy),
            (1, 0, vec![troubled(ViewState::GaveUp)], Phase::Failed),
        ] {
            assert_eq!(status(wanted, missing, &views).phase, phase, "{views:?}");
        }
    }

    #[test]
    fn the_message_says_why_and_is_empty_while_all_is_well() {
        assert_eq!(status(1, 0, &[view(ready())]).message, "");
        let failed = status(1, 0, &[troubled(ViewState::GaveUp)]).message;
        assert_eq!(failed, "ended with exit status 1; mend it and apply the workload again");
        assert!(status(2, 1, &[view(ready())]).message.contains("no room for 1 of 2"));
    }

    #[test]
    fn a_place_that_waits_shows_no_replica() {
        assert!(status(1, 0, &[troubled(ViewState::Waiting)]).replicas.is_empty());
        let shown = status(1, 0, &[view(ViewState::Going)]).replicas;
        assert_eq!(shown[0].state, ReplicaState::Terminating);
    }
}
