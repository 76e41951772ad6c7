//! Remove: ends a workload with everything that belongs to it.

use futures_util::future::try_join_all;
use portway_backend::{BackendError, WorkloadId};

use crate::backend::K8sBackend;
use crate::names::object_name;
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
