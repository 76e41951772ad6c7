//! Requests that end: a limit for each wait but those for events, and the server's address in what fails.

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
        let (begins, goes_on) = limits(request.uri());
        let answer = self.inner.call(request);
        let address = self.address.clone();
        Box::pin(async move {
            let answer = match begins {
                Some(limit) => timeout(limit, answer).await.unwrap_or_else(|_| Err(too_late().into())),
                None => answer.await,
            };
            let pause = goes_on.map(|limit| (limit, Box::pin(sleep(limit))));
            answer.map(|answer| answer.map(|body| BoundedBody { body, pause })).map_err(|error| {
                // What our own client made of it says more than where it was to go.
                if error.is::<kube::Error>() { error } else { Unreachable { address, source: error }.into() }
            })
        })
    }
}

/// How long it may take until an answer begins, and how long it may pause after that.
///
/// A watch is answered at once, whether or not there are events, so that no answer means that nobody is there. The answer
/// to who follows a log may begin with the log's first line.
fn limits(uri: &Uri) -> (Option<Duration>, Option<Duration>) {
    let has = |wanted: &str| uri.query().unwrap_or_default().split('&').any(|pair| pair == wanted);
    let follows = has("follow=true");
    let watches = has("watch=true") || has("watch=1");
    ((!follows).then_some(ANSWER_LIMIT), (!follows && !watches).then_some(ANSWER_LIMIT))
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
