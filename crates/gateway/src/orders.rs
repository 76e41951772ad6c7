//! Orders to the backend, asked side by side: one that is slow holds up neither documents nor other versions.

use std::sync::Arc;
use std::time::Duration;

use portway_backend::{BackendError, Fence, Fleet};
use tokio::task::{AbortHandle, JoinSet};

use crate::lane::Lane;
use crate::scaling::Order;

/// The orders that have no answer yet.
#[derive(Default)]
pub(crate) struct Orders(JoinSet<Answer>);

/// What the backend said to an order.
pub(crate) struct Answer {
    pub(crate) lane: Arc<Lane>,
    /// How many replicas were wanted when it was asked.
    pub(crate) from: u32,
    pub(crate) order: Order,
    /// `None` if nothing came within [`LIMIT`].
    pub(crate) said: Option<Result<(), BackendError>>,
}

impl Orders {
    /// Asks for another number of replicas. The handle tells whether the answer is still out.
    pub(crate) fn ask(
        &mut self,
        fleet: Arc<dyn Fleet>,
        lane: Arc<Lane>,
        from: u32,
        order: Order,
        fence: Fence,
    ) -> AbortHandle {
        self.0.spawn(async move {
            let asked = fleet.scale(&lane.id, order.to, &order.drained, fence);
            let said = tokio::time::timeout(LIMIT, asked).await.ok();
            Answer { lane, from, order, said }
        })
    }

    /// The next answer; for ever pending while nothing was asked. Nothing is lost when the wait is given up.
    pub(crate) async fn answer(&mut self) -> Answer {
        loop {
            match self.0.join_next().await {
                Some(Ok(answer)) => return answer,
                // A panic in there was reported when it happened.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until every order was answered, for at most [`LIMIT`].
    pub(crate) async fn settle(&mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

/// How long the backend may take to answer an order: 3 s.
const LIMIT: Duration = Duration::from_secs(3);
