//! How long a replica that is ready waits for its first request to be possible.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use portway_backend::{Status, WorkloadId};

use super::view::PodView;
use crate::backend::K8sBackend;

/// How long replicas that became ready took to be shown to those who watch their workload.
///
/// It is measured from the time that the cluster notes as that of the change, which it does in whole seconds and by
/// the node's clock. So a figure can be up to a second too long, and off by as much as the clocks differ.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ReadyToRoutable {
    /// How many replicas were seen to become ready.
    pub replicas: u64,
    /// The time that the last of them took.
    pub last: Duration,
    /// The longest time that one of them took.
    pub longest: Duration,
}

impl K8sBackend {
    /// How long replicas took from being ready to being routable, since this backend began to watch.
    #[must_use]
    pub fn ready_to_routable(&self) -> ReadyToRoutable {
        self.inner.routable()
    }
}

impl ReadyToRoutable {
    /// Counts the replicas that are ready in `new` and were not in `old`.
    pub(super) fn note(
        &mut self,
        id: &WorkloadId,
        (old, new): (&Status, &Status),
        pods: &BTreeMap<Arc<str>, PodView>,
        now: Timestamp,
    ) {
        let was_ready = |name: &str| {
            let old = old.replicas.iter().find(|replica| replica.id.as_str() == name);
            old.is_some_and(|replica| replica.address().is_some())
        };
        for replica in new.replicas.iter().filter(|replica| replica.address().is_some()) {
            let name = replica.id.as_str();
            let since = pods.get(name).and_then(|pod| pod.ready_since).filter(|_| !was_ready(name));
            let Some(since) = since else { continue };
            let took = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            (self.replicas, self.last, self.longest) = (self.replicas + 1, took, self.longest.max(took));
            let ready_to_routable_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(workload = %id, replica = name, ready_to_routable_ms, "a replica is routable");
        }
    }
}

#[cfg(test)]
mod tests {
    use portway_backend::{Replica, ReplicaId, ReplicaState};

    use super::*;
    use crate::replicas::view::Standing;

    #[test]
    fn r_k8s_2_the_time_from_ready_to_routable_is_counted_once_for_each_replica() {
        let address = ([127, 0, 0, 1], 8080).into();
        let at = |second| Timestamp::from_second(second).unwrap();
        let status = |states: &[(&str, ReplicaState)]| {
            let mut status = Status::absent();
            let replica = |&(name, state): &(&str, _)| Replica { id: ReplicaId::new(name), state };
            status.replicas = states.iter().map(replica).collect();
            status
        };
        let pod = |second| PodView {
            uid: "1".into(),
            standing: Standing::Ready(address),
            ready_since: Some(at(second)),
            digest: None,
            finding: None,
        };
        let pods = BTreeMap::from([("a".into(), pod(10)), ("b".into(), pod(13))]);
        let id = WorkloadId::new("iris".parse().unwrap(), "first".parse().unwrap());
        let (starting, ready) = (ReplicaState::Starting, ReplicaState::Ready(address));

        let mut routable = ReadyToRoutable::default();
        let one = status(&[("a", ready), ("b", starting)]);
        routable.note(&id, (&status(&[("a", starting)]), &one), &pods, at(12));
        assert_eq!((routable.replicas, routable.last), (1, Duration::from_secs(2)));
        let both = status(&[("a", ready), ("b", ready)]);
        routable.note(&id, (&one, &both), &pods, at(14));
        let seen = (routable.replicas, routable.last, routable.longest);
        assert_eq!(seen, (2, Duration::from_secs(1), Duration::from_secs(2)));
        routable.note(&id, (&both, &both), &pods, at(99));
        assert_eq!(routable.replicas, 2, "who was routable before is not counted again");
    }
}
