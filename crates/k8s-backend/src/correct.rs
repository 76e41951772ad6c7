//! Puts back what the watch shows to have been changed by somebody else, in the process that applied it.
//!
//! A Deployment that somebody has deleted is not made again: that was meant. Only the deployer puts anything back: whoever
//! has lost its lease leaves what it applied to its successor.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use portway_backend::{BackendError, WorkloadId};
use tokio::sync::mpsc;

use crate::apply::Application;
use crate::backend::{Inner, K8sBackend};
use crate::error::refused;
use crate::names::object_name;

/// Begins to correct, if nobody does yet.
pub(crate) fn begin(inner: &Arc<Inner>) {
    if let Some(changed) = inner.applied.to_correct() {
        tokio::spawn(run(Arc::downgrade(inner), changed));
    }
}

/// Ends with the backend, which has the other end.
async fn run(backend: Weak<Inner>, mut changed: mpsc::UnboundedReceiver<WorkloadId>) {
    let (mut batch, mut again, mut pause) = (Vec::new(), Vec::new(), PAUSE);
    loop {
        if again.is_empty() && changed.recv_many(&mut batch, usize::MAX).await == 0 {
            return;
        }
        while let Ok(id) = changed.try_recv() {
            batch.push(id);
        }
        batch.append(&mut again);
        let Some(inner) = backend.upgrade() else { return };
        let backend = K8sBackend { inner };
        let ids: BTreeSet<_> = batch.drain(..).collect();
        for id in ids {
            if let Err(error) = correct(&backend, &id).await {
                tracing::warn!(workload = %id, "what somebody has changed was not put back: {error}");
                if error.is_retryable() {
                    again.push(id);
                }
            }
        }
        drop(backend);
        // Whoever changes it again and again is not answered more often than this.
        pause = if again.is_empty() { PAUSE } else { (2 * pause).min(LONGEST_PAUSE) };
        tokio::time::sleep(pause).await;
    }
}

async fn correct(backend: &K8sBackend, id: &WorkloadId) -> Result<(), BackendError> {
    let inner = &*backend.inner;
    let (name, place) = (object_name(id), inner.applied.place(id));
    let _turn = place.turn.lock().await;
    let mut era = inner.applied.era();
    if !inner.deployer.is_held().await {
        place.forget();
        return Ok(());
    }
    let Some(workload) = place.workload() else { return Ok(()) };
    let found = inner.api::<Deployment>().get_opt(&name).await;
    let found = found.map_err(|error| refused(&format!("read the Deployment {name}"), error))?;
    let stays = |found: &Deployment| found.metadata.deletion_timestamp.is_none();
    // What the watch has shown may have been the work of an apply that was still under way.
    if !found.is_some_and(|found| stays(&found) && place.is_drift(&found)) {
        return Ok(());
    }
    let application = Application { inner, desired: &workload, name: &name, place: &place, era: era.clone() };
    tokio::select! {
        biased;
        // The lease is given back or lost: what is half put back is the next deployer's.
        _ = era.changed() => Ok(()),
        outcome = application.run() => outcome,
    }
}

const PAUSE: Duration = Duration::from_secs(1);
/// Between tries that fail.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
