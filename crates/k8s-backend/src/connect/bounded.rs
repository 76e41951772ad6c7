//! Requests that end: a limit for each wait but those of watches, and the server's address in what fails.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower_service::Service;

use crate::error::Unreachable;

type BoxError = Box<dyn Error + Send + Sync>;

/// A service whose answers come in time or fail.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    inner: S,
    address: String,
}

impl<S> Bounded<S> {
    pub(super) fn new(inner: S, address: String) -> Self {
        Self { inner, address }
    }
}

impl<S, A, B> Service<Request<A>> for Bounded<S>
where
    S: Service<Request<A>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<BoundedBody<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let limit = (!goes_on(request.uri())).then_some(ANSWER_LIMIT);
        let answer = self.inner.call(request);
        let address = self.address.clone();
        Box::pin(async move {
            let answer = match limit {
                Some(limit) => timeout(limit, answer).await.unwrap_or_else(|_| Err(too_late().into())),
                None => answer.await,
            };
            let pause = limit.map(|limit| (limit, Box::pin(sleep(limit))));
            answer.map(|answer| answer.map(|body| BoundedBody { body, pause })).map_err(|error| {
                // What our own client made of it says more than where it was to go.
                if error.is::<kube::Error>() { error } else { Unreachable { address, source: error }.into() }
            })
        })
    }
}

/// Whether an answer may go on and on, and be silent meanwhile.
fn goes_on(uri: &Uri) -> bool {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    pairs.any(|pair| matches!(pair, "watch=true" | "watch=1" | "follow=true"))
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer within 30 s")
}

/// A body that fails when it pauses for too long.
#[derive(Debug)]
pub(super) struct BoundedBody<B> {
    body: B,
    pause: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl<B> Body for BoundedBody<B>
where
    B: Body<Error = BoxError> + Unpin,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some((limit, pause)) = &mut this.pause {
                pause.as_mut().reset(Instant::now() + *limit);
            }
            return Poll::Ready(frame);
        }
        match &mut this.pause {
            Some((_, pause)) => {
                ready!(pause.as_mut().poll(cx));
                Poll::Ready(Some(Err(too_late().into())))
            }
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Half of what an API server takes for a request before it gives up by itself.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
