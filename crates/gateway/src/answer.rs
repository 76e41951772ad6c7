//! The body of an answer: a text of the gateway's own, or a replica's bytes as they come.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use portway_router::Outcome;
use tokio::time::{Instant, Sleep};

use crate::lane::Permit;
use crate::record::Record;
use crate::upload::Upload;
use crate::upstream::Carrier;

/// The body of an answer. It streams: a frame of the replica is passed on before the next is read.
pub struct AnswerBody(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Streamed(Box<Streamed>),
}

/// An answer on its way from a replica.
pub(crate) struct Streamed {
    pub(crate) incoming: Incoming,
    /// Until the replica has said its last.
    pub(crate) passage: Option<Passage>,
    pub(crate) idle: Option<Duration>,
    pub(crate) total: Option<Instant>,
    pub(crate) record: Record,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What a request holds of a replica. Let go, the slot is free again; let go before the end, the connection is closed,
/// which tells the replica that nobody listens any more.
#[derive(Debug)]
pub(crate) struct Passage {
    pub(crate) permit: Permit,
    pub(crate) carrier: Option<Carrier>,
    pub(crate) upload: Arc<Upload>,
}

impl Passage {
    /// The answer was read to its end.
    fn complete(mut self, now: Duration) {
        // A connection that still sends the request is of no use to the next one.
        if let Some(carrier) = self.carrier.take().filter(|_| self.upload.ended()) {
            let idle_since = self.permit.lane().commons.clock.at(now);
            self.permit.seat().0.reclaim(carrier, idle_since);
        }
        self.permit.succeed(now);
    }

    /// The replica broke off or stalled in the middle of its answer.
    fn fail(mut self, outcome: Outcome) {
        self.permit.set_outcome(outcome);
    }
}

impl Streamed {
    pub(crate) fn new(incoming: Incoming, passage: Passage, record: Record) -> Self {
        Self { incoming, passage: Some(passage), idle: None, total: None, record, timer: None }
    }

    fn complete(&mut self) {
        if let Some(passage) = self.passage.take() {
            // Asked once: three who need it note the same moment.
            let now = self.record.inner.commons.clock.now();
            passage.complete(now);
            self.record.complete(now);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.record.add_sent(frame.data_ref().map_or(0, Bytes::len));
                self.timer = None;
                if self.incoming.is_end_stream() {
                    self.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(passage) = self.passage.take() {
                    passage.fail(Outcome::Unreachable);
                    self.record.cut();
                }
                Poll::Ready(Some(Err(AnswerError(Cut::Replica(error)))))
            }
            Poll::Pending => self.poll_limits(cx),
        }
    }

    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        if self.timer.is_none() {
            let idle = self.idle.map(|idle| Instant::now() + idle);
            let due = match (idle, self.total) {
                (Some(idle), Some(total)) => idle.min(total),
                (one, other) => match one.or(other) {
                    Some(due) => due,
                    None => return Poll::Pending,
                },
            };
            self.timer = Some(Box::pin(tokio::time::sleep_until(due)));
        }
        match self.timer.as_mut().map(|timer| timer.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => {
                if let Some(passage) = self.passage.take() {
                    passage.fail(Outcome::Failure);
                    self.record.cut();
                }
                Poll::Ready(Some(Err(AnswerError(Cut::Limit))))
            }
            _ => Poll::Pending,
        }
    }
}

impl AnswerBody {
    pub(crate) fn empty() -> Self {
        Self(Kind::Whole(None))
    }

    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self(Kind::Whole(Some(text.into())))
    }

    /// Passes an answer on; one without a body is over at once.
    pub(crate) fn streamed(mut streamed: Streamed) -> Self {
        if streamed.incoming.is_end_stream() {
            streamed.complete();
        }
        Self(Kind::Streamed(Box::new(streamed)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        match &mut self.0 {
            Kind::Whole(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Kind::Streamed(streamed) => streamed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(text) => text.is_none(),
            Kind::Streamed(streamed) => streamed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Kind::Streamed(streamed) => streamed.incoming.size_hint(),
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerBody")
    }
}

/// An answer ended before its end. The status has been sent already, so the client sees a connection that breaks.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AnswerError(Cut);

#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the replica broke off its answer")]
    Replica(#[source] hyper::Error),
    #[error("the answer took too long")]
    Limit,
}
