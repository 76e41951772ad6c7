//! Replicas by watch, against an API server that does everything API servers do to a client.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "replicas/chaos.rs"]
mod chaos;
mod double;
#[path = "replicas/faults.rs"]
mod faults;
#[path = "replicas/findings.rs"]
mod findings;
#[path = "replicas/logs.rs"]
mod logs;
#[path = "support/scene.rs"]
mod scene;
#[path = "replicas/watching.rs"]
mod watching;

use std::sync::Arc;

use portway_backend::Status;
use tokio::sync::watch;

/// Waits, however long, until a status shows what is asked for.
async fn until(
    status: &mut watch::Receiver<Arc<Status>>,
    mut shows: impl FnMut(&Status) -> bool,
) -> Arc<Status> {
    Arc::clone(&status.wait_for(|status| shows(status)).await.expect("the backend is there"))
}

/// The names of the replicas that are ready.
fn ready(status: &Status) -> Vec<&str> {
    let ready = status.replicas.iter().filter(|replica| replica.address().is_some());
    ready.map(|replica| replica.id.as_str()).collect()
}
