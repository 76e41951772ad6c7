use super::backend::id;
use super::{Subject, accepted, assert_refused};
use crate::{ErrorKind, Fence, Lease, Leases, WorkloadId};

/// Checks that whoever has lost the lease to scale is refused, also by a workload that was removed and applied again.
///
/// `leases` are those of the backend's gateways; their lease [`Lease::SCALER`] must be free, and is so again afterwards.
pub async fn fences(subject: &Subject<'_>, leases: &dyn Leases) {
    let id = id("conformance", "fences");
    let mut status = subject.watch(&id).await;
    subject.apply(&id).await;
    let deposed = taken(leases, "conformance-a").await;
    subject.scale(&id, 2, &[], deposed.fence.number()).await;
    accepted(leases.release(deposed.clone()).await, "releasing");
    let present = taken(leases, "conformance-b").await;
    subject.scale(&id, 1, &[], present.fence.number()).await;
    refused(subject, &id, deposed.fence, "scaling under the fence of a lease that was lost").await;

    subject.remove(&id, &mut status).await;
    subject.apply(&id).await;
    refused(subject, &id, deposed.fence, "scaling so what was removed and applied again").await;
    subject.scale(&id, 2, &[], present.fence.number()).await;
    subject.until(&mut status, "two replicas come", |status| status.ready() == 2).await;
    subject.remove(&id, &mut status).await;
    accepted(leases.release(present).await, "releasing");
}

async fn taken(leases: &dyn Leases, holder: &str) -> Lease {
    let lease = leases.acquire(Lease::SCALER, holder, std::time::Duration::from_secs(3600)).await;
    accepted(lease, "acquiring the lease to scale").expect("nobody else holds the lease to scale")
}

async fn refused(subject: &Subject<'_>, id: &WorkloadId, fence: Fence, promise: &str) {
    assert_refused(subject.backend.scale(id, 3, &[], fence).await, ErrorKind::Conflict, promise);
}
