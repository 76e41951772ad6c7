//! Remove: ends a workload with everything that belongs to it.

use futures_util::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use portway_backend::{BackendError, WorkloadId};

use crate::backend::{Inner, K8sBackend};
use crate::error::refused;
use crate::names::{object_name, replicas_of};
use crate::ownership;
use crate::part::{DEPLOYMENT, Part, kinds};

/// Deletes each object of the workload by name, the Deployment first; what is not ours is left alone.
pub(crate) async fn remove(backend: &K8sBackend, id: &WorkloadId) -> Result<(), BackendError> {
    let inner = &*backend.inner;
    inner.deployer.hold(backend).await?;
    let place = inner.applied.place(id);
    let _turn = place.turn.lock().await;
    place.forget();

    let name = object_name(id);
    let parts: Vec<Part<'_>> =
        kinds(&inner.server).into_iter().map(|kind| Part::new(inner, kind, &name)).collect();
    let found = try_join_all(parts.iter().map(Part::read)).await?;
    let has_deployment = found.first().is_some_and(Option::is_some);
    let mut left = Vec::new();
    let mut trouble = None;
    for (part, found) in parts.iter().zip(found) {
        let Some(found) = found else { continue };
        let owned = ownership::check(part.kind(), &found.metadata, &inner.options.owner);
        let deleted = match owned {
            Ok(()) => part.delete(&found).await,
            // Somebody else's object of another kind is not in the way of there being no such workload.
            Err(_) if part.kind() != DEPLOYMENT => continue,
            Err(foreign) => Err(foreign),
        };
        if let Err(error) = deleted {
            left.push(part.to_string());
            trouble.get_or_insert(error);
        }
    }
    match trouble {
        None => {
            if !has_deployment {
                none_left_behind(inner, id, &name).await?;
            }
            tracing::info!(workload = %id, "removed");
            Ok(())
        }
        Some(error) => {
            let message =
                format!("{error}; of {id} there remain {}; remove it again to finish", left.join(", "));
            Err(BackendError::new(error.kind(), message))
        }
    }
}

/// Fails if replicas stand whose Deployment is gone: whoever deletes it alone leaves its ReplicaSets, which keep them
/// running and on which no role of ours has a right.
async fn none_left_behind(inner: &Inner, id: &WorkloadId, name: &str) -> Result<(), BackendError> {
    let selector = replicas_of(name, &inner.options.owner);
    let pods = inner.api::<Pod>().list_metadata(&ListParams::default().labels(&selector)).await;
    let pods = pods.map_err(|error| refused(&format!("look for replicas that {id} left behind"), error))?;
    let standing = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).count();
    if standing == 0 {
        return Ok(());
    }
    let namespace = &inner.options.namespace;
    Err(BackendError::conflict(format!(
        "{id} still has {standing} replicas, whose Deployment {name} somebody has deleted; if they do not end by themselves, \
         delete them (kubectl delete replicaset,pod --namespace {namespace} --selector {selector}) and remove it again"
    )))
}
