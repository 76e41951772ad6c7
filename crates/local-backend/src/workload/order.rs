//! What a workload can be told to do.

use portway_backend::{BackendError, Fence, ReplicaId, Workload};
use tokio::sync::oneshot;

/// An order and where its answer goes.
pub(crate) struct Order {
    pub(crate) what: What,
    pub(crate) answer: oneshot::Sender<Result<(), BackendError>>,
}

/// What a workload can be ordered to do.
pub(crate) enum What {
    Apply(Box<Workload>),
    Scale {
        to: u32,
        drained: Vec<ReplicaId>,
        fence: Fence,
    },
    Remove,
    /// End all replicas and answer when they are gone; nothing is recorded.
    ShutDown,
}

/// The order to do `what`, and where its answer comes.
pub(crate) fn order(what: What) -> (Order, oneshot::Receiver<Result<(), BackendError>>) {
    let (answer, answered) = oneshot::channel();
    (Order { what, answer }, answered)
}
