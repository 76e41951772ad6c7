//! A connection that was upgraded: bytes both ways until one side ends. It keeps the slot of its request.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use portway_router::Outcome;

use crate::answer::Passage;
use crate::inner::Inner;
use crate::record::Record;

/// Joins the two sides as soon as both have switched.
pub(crate) fn spawn(client: OnUpgrade, replica: OnUpgrade, mut passage: Passage, mut record: Record) {
    let open = Open::new(Arc::clone(&record.inner));
    tokio::spawn(async move {
        let _open = open;
        let (Ok(client), Ok(replica)) = tokio::join!(client, replica) else { return };
        let (mut client, mut replica) = (TokioIo::new(client), TokioIo::new(replica));
        // Either side may close when it likes: that is how tunnels end.
        if let Ok((_, to_client)) = tokio::io::copy_bidirectional(&mut client, &mut replica).await {
            record.add_sent(usize::try_from(to_client).unwrap_or(usize::MAX));
        }
        record.complete(record.inner.commons.clock.now());
        // A connection may be kept for hours: it says nothing about how long a request takes.
        passage.permit.set_outcome(Outcome::Neutral);
    });
}

/// Counts the tunnel, so that a drain can wait for it.
struct Open(Arc<Inner>);

impl Open {
    fn new(inner: Arc<Inner>) -> Self {
        inner.tunnels.send_modify(|open| *open += 1);
        Self(inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.tunnels.send_modify(|open| *open -= 1);
    }
}
