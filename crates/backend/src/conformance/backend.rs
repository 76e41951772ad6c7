use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{accepted, assert_refused};
use crate::{Backend, ErrorKind, Fence, Phase, ReplicaId, Status, Waited, Workload, WorkloadId, wait_for};

/// A backend under test.
pub struct Subject<'a> {
    /// The backend.
    pub backend: &'a dyn Backend,
    /// Makes a workload that this backend can run, with the given id and whose replicas become ready.
    pub workload: &'a (dyn Fn(WorkloadId) -> Workload + Send + Sync),
    /// How long a replica may take to come or to go.
    pub patience: Duration,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// Checks the promises of a [`Backend`] and its [`Fleet`](crate::Fleet).
pub async fn backend(subject: &Subject<'_>) {
    subject.a_workload_lives_from_apply_to_remove().await;
    subject.scaling_names_its_victims_and_obeys_the_fence().await;
    subject.an_update_replaces_replicas_and_keeps_their_number().await;
    subject.names_with_hyphens_do_not_collide().await;
    subject.what_does_not_exist_is_said_so().await;
}

pub(super) fn id(endpoint: &str, version: &str) -> WorkloadId {
    let legal = "a legal name";
    WorkloadId::new(endpoint.parse().expect(legal), version.parse().expect(legal))
}

fn names(status: &Status) -> BTreeSet<ReplicaId> {
    status.replicas.iter().map(|replica| replica.id.clone()).collect()
}

/// All wanted replicas are ready, and there are no others.
fn settled(status: &Status, count: u32) -> bool {
    status.ready() == count && status.replicas.len() == count as usize
}

impl Subject<'_> {
    pub(super) async fn watch(&self, id: &WorkloadId) -> watch::Receiver<Arc<Status>> {
        accepted(self.backend.watch(id).await, "watching")
    }

    pub(super) async fn until(
        &self,
        status: &mut watch::Receiver<Arc<Status>>,
        what: &str,
        condition: impl FnMut(&Status) -> bool,
    ) -> Arc<Status> {
        match wait_for(status, self.patience, condition).await {
            Waited::Reached(status) => status,
            Waited::TimedOut(last) => panic!("{what}: not within {:?}, last seen {last:?}", self.patience),
            Waited::Gone(last) => panic!("{what}: the backend is gone, last seen {last:?}"),
        }
    }

    /// Applies the subject's workload with this id.
    pub(super) async fn apply(&self, id: &WorkloadId) {
        accepted(self.backend.apply(&(self.workload)(id.clone())).await, "applying");
    }

    pub(super) async fn scale(&self, id: &WorkloadId, to: u32, drained: &[ReplicaId], fence: u64) {
        accepted(self.backend.scale(id, to, drained, Fence::new(fence)).await, "scaling");
    }

    pub(super) async fn remove(&self, id: &WorkloadId, status: &mut watch::Receiver<Arc<Status>>) {
        accepted(self.backend.remove(id).await, "removing");
        self.until(status, "nothing is left after remove", |status| *status == Status::absent()).await;
        accepted(self.backend.remove(id).await, "removing what does not exist");
    }

    async fn a_workload_lives_from_apply_to_remove(&self) {
        let id = id("conformance", "life");
        let mut status = self.watch(&id).await;
        assert_eq!(**status.borrow(), Status::absent(), "a workload that does not exist can be watched");

        let mut workload = (self.workload)(id.clone());
        workload.initial_replicas = 2;
        accepted(self.backend.apply(&workload).await, "applying");
        let first = self
            .until(&mut status, "two replicas come", |s| settled(s, 2) && s.phase == Phase::Healthy)
            .await;
        assert_eq!(first.wanted, 2, "the first apply sets the wanted number");
        let addresses: BTreeSet<_> =
            first.replicas.iter().filter_map(super::super::Replica::address).collect();
        assert_eq!(addresses.len(), 2, "each replica has an address of its own");

        accepted(self.backend.apply(&workload).await, "applying again");
        assert_eq!(names(&status.borrow()), names(&first), "applying the same again changes nothing");
        accepted(self.backend.logs(&id, 10).await, "reading logs");

        self.remove(&id, &mut status).await;
        accepted(self.backend.apply(&workload).await, "applying anew");
        let second = self.until(&mut status, "two replicas come again", |status| settled(status, 2)).await;
        assert!(names(&first).is_disjoint(&names(&second)), "the name of a replica is never used again");
        self.remove(&id, &mut status).await;
    }

    async fn scaling_names_its_victims_and_obeys_the_fence(&self) {
        let id = id("conformance", "scale");
        let mut status = self.watch(&id).await;
        self.apply(&id).await;
        self.until(&mut status, "one replica comes", |status| settled(status, 1)).await;

        self.scale(&id, 3, &[], 7).await;
        let three = self.until(&mut status, "three replicas come", |status| settled(status, 3)).await;
        let victims = [three.replicas[0].id.clone(), three.replicas[2].id.clone()];
        self.scale(&id, 1, &victims, 7).await;
        let one = self.until(&mut status, "two replicas go", |status| settled(status, 1)).await;
        assert_eq!(one.replicas[0].id, three.replicas[1].id, "the drained replicas are those that go");

        self.scale(&id, 2, &[], 8).await;
        let stale = self.backend.scale(&id, 1, &[], Fence::new(7)).await;
        assert_refused(stale, ErrorKind::Conflict, "scaling under an older fence");
        self.until(&mut status, "two replicas stay", |status| settled(status, 2)).await;
        self.scale(&id, 0, &[], 8).await;
        self.until(&mut status, "all replicas go", |status| settled(status, 0)).await;
        self.scale(&id, 1, &[], 8).await;
        self.until(&mut status, "one comes from none", |status| settled(status, 1)).await;
        self.remove(&id, &mut status).await;
    }

    async fn an_update_replaces_replicas_and_keeps_their_number(&self) {
        let id = id("conformance", "update");
        let mut status = self.watch(&id).await;
        let mut workload = (self.workload)(id.clone());
        accepted(self.backend.apply(&workload).await, "applying");
        self.scale(&id, 2, &[], 1).await;
        let before = self.until(&mut status, "two replicas come", |status| settled(status, 2)).await;

        workload.variables.insert("CONFORMANCE".into(), "changed".into());
        accepted(self.backend.apply(&workload).await, "updating");
        let old = names(&before);
        let replaced = |status: &Status| settled(status, 2) && names(status).is_disjoint(&old);
        self.until(&mut status, "both replicas are replaced and their number stays", replaced).await;
        self.remove(&id, &mut status).await;
    }

    async fn names_with_hyphens_do_not_collide(&self) {
        let (one, other) = (id("conformance-a", "bbb"), id("conformance", "a-bbb"));
        let mut status = (self.watch(&one).await, self.watch(&other).await);
        for id in [&one, &other] {
            self.apply(id).await;
        }
        self.until(&mut status.0, "one comes", |status| settled(status, 1)).await;
        let kept = self.until(&mut status.1, "the other comes", |status| settled(status, 1)).await;
        self.remove(&one, &mut status.0).await;
        assert_eq!(names(&status.1.borrow()), names(&kept), "removing one workload leaves the other alone");
        self.remove(&other, &mut status.1).await;
    }

    async fn what_does_not_exist_is_said_so(&self) {
        let nobody = id("conformance", "nobody");
        let scaled = self.backend.scale(&nobody, 1, &[], Fence::new(1)).await;
        assert_refused(scaled, ErrorKind::NotFound, "scaling what does not exist");
        assert_refused(
            self.backend.logs(&nobody, 1).await,
            ErrorKind::NotFound,
            "logs of what does not exist",
        );
    }
}
