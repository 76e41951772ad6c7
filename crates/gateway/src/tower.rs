//! The gateway as a tower service, for servers that are built of those.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;

use crate::answer::AnswerBody;
use crate::gateway::Gateway;
use crate::service::{self, Peer};
use crate::upload::{BoxError, Source};

/// Always ready: admission happens inside `call`. The peer is taken from the request's extensions; see [`Peer`].
impl<B> tower_service::Service<Request<B>> for Gateway
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let peer = request.extensions_mut().remove::<Peer>().unwrap_or_default();
        let request = request.map(|body| Source::Boxed(body.map_err(Into::into).boxed_unsync()));
        service::respond(Arc::clone(&self.inner), request, peer)
    }
}
