//! Scale: sets a Deployment's number of replicas, under a fence and with the drained ones going first.
//!
//! 1. The fence is kept in an annotation of the Deployment, and in the lease [`Lease::SCALER`]. A higher one than ours in
//!    either means that another has taken over; a lower one on the Deployment is replaced, on condition that nobody has
//!    changed it since it was read.
//! 2. The drained replicas get a deletion cost below that of all others and of all that were marked before. A server
//!    without deletion cost is told to delete them by name; what comes in their place is not ready when the number is
//!    lowered, and goes first.
//! 3. The number is set through the scale subresource, on the same condition. So whoever was deposed in between does not
//!    get through: the new fence has changed the Deployment.
//!
//! The annotation goes with its Deployment; the lease stays, and so a deposed leader is refused by a workload that was
//! removed and applied again. The lease is read after the Deployment: a leader who takes over later and scales changes
//! what we have read, and whatever was removed or made meanwhile has another uid. While there is no Lease object, as
//! after somebody has deleted it, the annotation alone counts, until the next leader makes one with a higher fence.
//!
//! A mark means something only for the scaling that made it. One that ends without the number takes its marks back, as far
//! as the server lets it; and each try marks with a lower cost than all before, so a mark that was left does not outdo a
//! later one. The cost is the Deployment's `resourceVersion`, which grows with every change to the cluster, and is raised
//! where the same process has marked with it before; another process has first changed the Deployment by its fence. It
//! begins again each 2³¹ - 1 versions, which matters only to a mark that was left before.
//!
//! The order in which a ReplicaSet gives up pods begins with those that are not ready: a starting replica goes before a
//! drained one, which then is given requests again. Without deletion cost it goes on with those that became ready last,
//! in whole seconds: a replica that comes in place of a deleted one and is ready within the same second as others, before
//! the lower number has arrived, may stay in the place of one of them. Programs take longer than that to start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::{join_all, try_join_all};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use portway_backend::{BackendError, Fence, Lease, ReplicaId, WorkloadId};
use serde_json::json;

use crate::backend::{Inner, K8sBackend};
use crate::error::refused;
use crate::names::{DELETION_COST, FENCE, WORKLOAD, object_name};
use crate::ownership;
use crate::part::DEPLOYMENT;

/// Asks for `to` replicas of a workload.
pub(crate) async fn scale(
    backend: &K8sBackend,
    id: &WorkloadId,
    to: u32,
    drained: &[ReplicaId],
    fence: Fence,
) -> Result<(), BackendError> {
    let Ok(to) = i32::try_from(to) else {
        return Err(BackendError::invalid(format!(
            "{id} cannot have {to} replicas: {} is the most",
            i32::MAX
        )));
    };
    let name = object_name(id);
    let mut scaling =
        Scaling { inner: &backend.inner, id, name: &name, to, drained, fence, marked: BTreeMap::new() };
    let outcome = scaling.run().await;
    if outcome.is_err() {
        scaling.take_back().await;
    }
    outcome
}

struct Scaling<'a> {
    inner: &'a Inner,
    id: &'a WorkloadId,
    name: &'a str,
    to: i32,
    drained: &'a [ReplicaId],
    fence: Fence,
    /// Those that an attempt has marked or deleted, with the deletion cost.
    marked: BTreeMap<&'a ReplicaId, String>,
}

/// The greatest number from which a deletion cost was made, so that the next one is lower.
#[derive(Default)]
pub(crate) struct Marks(AtomicU64);

impl Marks {
    /// A cost below all that this process has given out, and below those that another one gave out before the server
    /// made `version`.
    fn next_cost(&self, version: Option<&str>) -> String {
        let version = version.and_then(|version| version.parse().ok()).unwrap_or(0);
        let next = |last: u64| version.max(last.saturating_add(1));
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        deletion_cost(next(last.unwrap_or_default()))
    }
}

impl<'a> Scaling<'a> {
    async fn run(&mut self) -> Result<(), BackendError> {
        for _ in 0..ATTEMPTS {
            if self.attempt().await? {
                return Ok(());
            }
        }
        Err(BackendError::unavailable(format!(
            "the Deployment {} was changed by others {ATTEMPTS} times while {} was to be scaled; try again",
            self.name, self.id
        )))
    }

    /// `false` if somebody else changed the Deployment in between.
    async fn attempt(&mut self) -> Result<bool, BackendError> {
        let mut deployment = self.read().await?;
        self.unless_deposed(&deployment).await?;
        self.inner.other_scalers.check(self.inner, self.name).await?;
        if known_fence(&deployment) != Some(self.fence) {
            let Some(fenced) = self.raise_fence(&deployment).await? else { return Ok(false) };
            deployment = fenced;
        }
        let present = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        if present == self.to {
            return Ok(true);
        }
        // Where all go, none goes first.
        if self.to > 0 {
            self.mark(present - self.to, &deployment.metadata).await?;
        }
        let is_set = self.set(&deployment.metadata).await?;
        if is_set {
            tracing::info!(workload = %self.id, from = present, to = self.to, fence = %self.fence, "scaled");
        }
        Ok(is_set)
    }

    async fn read(&self) -> Result<Deployment, BackendError> {
        let found = self.inner.api::<Deployment>().get_opt(self.name).await;
        let found = found.map_err(|error| refused(&format!("read the Deployment {}", self.name), error))?;
        let Some(found) = found.filter(|found| found.metadata.deletion_timestamp.is_none()) else {
            return Err(BackendError::not_found(format!("there is no workload {}; apply it first", self.id)));
        };
        ownership::check(DEPLOYMENT, &found.metadata, &self.inner.options.owner)?;
        Ok(found)
    }

    /// Fails if there is a younger fence than ours, on the Deployment that was read or in the lease.
    async fn unless_deposed(&self, deployment: &Deployment) -> Result<(), BackendError> {
        let is_younger = |known: &Fence| *known > self.fence;
        let younger = match known_fence(deployment).filter(is_younger) {
            None => self.inner.lease_fence(Lease::SCALER).await?.filter(is_younger),
            known => known,
        };
        younger.map_or(Ok(()), |younger| {
            Err(BackendError::conflict(format!(
                "{} is scaled under fence {younger}, {} is out of date; acquire the lease again",
                self.id, self.fence
            )))
        })
    }

    /// The Deployment with our fence; `None` if it has changed meanwhile.
    async fn raise_fence(&self, deployment: &Deployment) -> Result<Option<Deployment>, BackendError> {
        let patch = json!({"metadata": {
            "annotations": {FENCE: self.fence.to_string()},
            "resourceVersion": deployment.metadata.resource_version,
            "uid": deployment.metadata.uid,
        }});
        let patched =
            self.inner.api::<Deployment>().patch(self.name, &self.patch(), &Patch::Merge(&patch)).await;
        unless_overtaken(patched, &format!("note the fence of {}", self.id))
    }

    /// Sees to it that of the drained replicas `count` go first.
    async fn mark(&mut self, count: i32, deployment: &ObjectMeta) -> Result<(), BackendError> {
        let missing = usize::try_from(count).unwrap_or(0).saturating_sub(self.marked.len());
        let fresh: Vec<_> =
            self.drained.iter().filter(|replica| !self.marked.contains_key(replica)).collect();
        let mut found = Vec::new();
        if missing > 0 {
            for some in fresh.chunks(AT_ONCE) {
                let some = try_join_all(some.iter().map(|replica| self.candidate(replica))).await?;
                found.extend(some.into_iter().flatten());
            }
        }
        found.truncate(missing);
        if found.is_empty() {
            return Ok(());
        }
        let cost = self.inner.marks.next_cost(deployment.resource_version.as_deref());
        // Also those that are not reached: a request that fails may have been carried out.
        self.marked.extend(found.iter().map(|(replica, _)| (*replica, cost.clone())));
        // All are told before the number is lowered, and close together: a server without deletion cost has begun to
        // replace the first of them.
        for some in found.chunks(AT_ONCE) {
            try_join_all(some.iter().map(|(replica, uid)| self.mark_one(replica, uid, &cost))).await?;
        }
        Ok(())
    }

    /// A drained replica with its uid; `None` for one that is gone or going, or that is none of this workload.
    async fn candidate(
        &self,
        replica: &'a ReplicaId,
    ) -> Result<Option<(&'a ReplicaId, String)>, BackendError> {
        let found = self.inner.api::<Pod>().get_metadata_opt(replica.as_str()).await;
        let found =
            found.map_err(|error| refused(&format!("look at the drained replica {replica}"), error))?;
        let Some(ObjectMeta { uid: Some(uid), labels, deletion_timestamp: None, .. }) =
            found.map(|found| found.metadata)
        else {
            return Ok(None);
        };
        let workload = labels.as_ref().and_then(|labels| labels.get(WORKLOAD));
        Ok(workload.is_some_and(|workload| workload == self.name).then_some((replica, uid)))
    }

    /// One that has gone meanwhile is as good as marked.
    async fn mark_one(&self, replica: &ReplicaId, uid: &str, cost: &str) -> Result<(), BackendError> {
        let pods = self.inner.api::<Pod>();
        let marked = if self.inner.server.has_deletion_cost {
            let patch = json!({"metadata": {"annotations": {DELETION_COST: cost}, "uid": uid}});
            pods.patch_metadata(replica.as_str(), &self.patch(), &Patch::Merge(&patch)).await.map(drop)
        } else {
            let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
            let params = DeleteParams::default().preconditions(preconditions);
            pods.delete(replica.as_str(), &params).await.map(drop)
        };
        match marked {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            outcome => outcome.map_err(|error| {
                refused(&format!("let the drained replica {replica} of {} go first", self.id), error)
            }),
        }
    }

    /// Takes the marks back, unless the number is what they were made for after all: somebody else may have set it, or
    /// the answer was lost.
    async fn take_back(&self) {
        if self.marked.is_empty() || !self.inner.server.has_deletion_cost {
            return;
        }
        let found = self.inner.api::<Deployment>().get_opt(self.name).await;
        if !found.is_ok_and(|found| found.and_then(|found| found.spec?.replicas) != Some(self.to)) {
            return;
        }
        let marked: Vec<_> = self.marked.iter().collect();
        for some in marked.chunks(AT_ONCE) {
            for outcome in join_all(some.iter().map(|(replica, cost)| self.unmark(replica, cost))).await {
                if let Err(error) = outcome {
                    tracing::debug!(workload = %self.id, %error, "a mark of a scaling that came to nothing stays");
                }
            }
        }
    }

    /// Leaves a replica alone that somebody has marked anew.
    async fn unmark(&self, replica: &ReplicaId, cost: &str) -> kube::Result<()> {
        let pods = self.inner.api::<Pod>();
        let Some(found) = pods.get_metadata_opt(replica.as_str()).await? else { return Ok(()) };
        if found.annotations().get(DELETION_COST).is_none_or(|found| found != cost) {
            return Ok(());
        }
        let version = found.metadata.resource_version;
        let patch = json!({"metadata": {"annotations": {DELETION_COST: null}, "resourceVersion": version}});
        pods.patch_metadata(replica.as_str(), &self.patch(), &Patch::Merge(&patch)).await.map(drop)
    }

    /// `false` if the Deployment is not what it was when `seen`.
    async fn set(&self, seen: &ObjectMeta) -> Result<bool, BackendError> {
        let metadata = ObjectMeta {
            name: Some(self.name.to_owned()),
            namespace: Some(self.inner.options.namespace.clone()),
            uid: seen.uid.clone(),
            resource_version: seen.resource_version.clone(),
            ..ObjectMeta::default()
        };
        let scale = Scale { metadata, spec: Some(ScaleSpec { replicas: Some(self.to) }), status: None };
        let params =
            PostParams { field_manager: Some(self.inner.options.scale_manager()), ..PostParams::default() };
        let set = self.inner.api::<Deployment>().replace_scale(self.name, &params, &scale).await;
        Ok(unless_overtaken(set, &format!("scale {}", self.id))?.is_some())
    }

    fn patch(&self) -> PatchParams {
        PatchParams { field_manager: Some(self.inner.options.scale_manager()), ..PatchParams::default() }
    }
}

/// `None` for a change that came too late.
fn unless_overtaken<T>(outcome: kube::Result<T>, what: &str) -> Result<Option<T>, BackendError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(None),
        Err(error) => Err(refused(what, error)),
    }
}

/// The highest fence that has scaled it; a text that is no number is none.
fn known_fence(deployment: &Deployment) -> Option<Fence> {
    deployment.annotations().get(FENCE)?.parse().ok().map(Fence::new)
}

/// Below that of all other pods, and the lower the greater the number.
fn deletion_cost(number: u64) -> String {
    const COSTS: u64 = i32::MAX as u64;
    format!("-{}", 1 + number % COSTS)
}

/// Times that a change of others is followed. Their changes are those of the Deployment's status, which come one by one
/// as replicas become ready.
const ATTEMPTS: usize = 8;
/// Requests about replicas that are under way at once.
const AT_ONCE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn fenced(text: &str) -> Deployment {
        let annotations = [(FENCE.to_owned(), text.to_owned())].into();
        Deployment {
            metadata: ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() },
            ..Deployment::default()
        }
    }

    #[test]
    fn r_k8s_5_a_fence_is_a_number() {
        assert_eq!(known_fence(&fenced("18446744073709551615")), Some(Fence::new(u64::MAX)));
        for text in ["", "-1", "seven", "18446744073709551616"] {
            assert_eq!(known_fence(&fenced(text)), None, "{text:?}");
        }
        assert_eq!(known_fence(&Deployment::default()), None);
    }

    #[test]
    fn r_k8s_3_later_marks_cost_less_than_earlier_ones_and_than_none() {
        let marks = Marks::default();
        let cost = |version: &str| marks.next_cost(Some(version)).parse::<i32>().unwrap();
        let costs = ["1", "7", "7", "8", "no number", "2147483645"].map(cost);
        assert!(costs[0] < 0 && costs.is_sorted_by(|earlier, later| later < earlier), "{costs:?}");
        // What begins again is a cost as well.
        assert_eq!([cost("2147483646"), cost("2147483647")], [-i32::MAX, -1]);
    }
}
