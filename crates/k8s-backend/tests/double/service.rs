//! What arrives at the server: the `tower` service, what befalls a request before it is done, and the answer's way back.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Request, Response, header};
use kube::client::Body;
use tower_service::Service;

use super::discovery;
use super::faults::Fault;
use super::refusal::{Answer, Refusal};
use super::request::{Call, Place, Target, target};
use super::serve::{json_reply, text_reply};
use super::server::{ApiServer, State};
use super::watch::Reply;

/// Whose requests come through a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Caller {
    /// What is tested: its requests are counted, and faults befall them.
    Tested,
    /// The test itself, or a stranger that it plays.
    Bystander,
}

/// What arrives at the server.
impl ApiServer {
    async fn serve(&self, caller: Caller, parts: &Parts, body: Bytes) -> io::Result<Response<Reply>> {
        let (call, fault) = match self.change(|state| state.arrive(caller, parts, body))? {
            Ok(Arrived::Answered(reply)) => return Ok(reply),
            Ok(Arrived::Asked(call, fault)) => (call, fault),
            Err(refusal) => return Ok(refused(&refusal)),
        };
        let mut is_lost = false;
        match fault {
            None => {}
            Some(Fault::Refusal(refusal)) => return Ok(refused(&refusal)),
            Some(Fault::Connection(kind)) => return Err(kind.into()),
            Some(Fault::AnswerLost) => is_lost = true,
            Some(Fault::Held(held)) => held.pass().await,
        }
        let answer = self.change(|state| {
            state.reachable(caller)?;
            Ok::<_, io::Error>(state.perform(&call))
        })?;
        if is_lost {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(answer.unwrap_or_else(|refusal| refused(&refusal)))
    }
}

enum Arrived {
    Answered(Response<Reply>),
    Asked(Call, Option<Fault>),
}

impl State {
    fn reachable(&self, caller: Caller) -> io::Result<()> {
        let down = self.faults.down && caller == Caller::Tested;
        if down { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(()) }
    }

    /// Reads a request, counts it, and picks the fault that befalls it.
    fn arrive(&mut self, caller: Caller, parts: &Parts, body: Bytes) -> io::Result<Answer<Arrived>> {
        self.reachable(caller)?;
        if self.faults.credentials_expired && caller == Caller::Tested {
            return Ok(Err(Refusal::unauthorized()));
        }
        let place = match target(parts.uri.path(), &self.profile) {
            Some(Target::Objects(place)) => place,
            Some(Target::Fixed(path)) => {
                let refusal = self.access.fixed(&path).filter(|_| caller == Caller::Tested);
                return Ok(refusal.map_or_else(|| Ok(Arrived::Answered(self.fixed(&path, &body))), Err));
            }
            None => return Ok(Ok(Arrived::Answered(page_not_found()))),
        };
        Ok(self.ask(caller, parts, place, body))
    }

    fn ask(&mut self, caller: Caller, parts: &Parts, place: Place, body: Bytes) -> Answer<Arrived> {
        let call = Call::new(parts, place, body)?;
        if caller == Caller::Bystander {
            return Ok(Arrived::Asked(call, None));
        }
        self.counts.add(&call);
        self.access.check(&call)?;
        let fault = self.faults.befalls(&call);
        Ok(Arrived::Asked(call, fault))
    }

    fn fixed(&self, path: &str, body: &Bytes) -> Response<Reply> {
        if path.ends_with("/selfsubjectaccessreviews") {
            let review = serde_json::from_slice(body).unwrap_or_default();
            return json_reply(201, &self.access.review(review));
        }
        if matches!(path, "/healthz" | "/livez" | "/readyz") {
            return text_reply(200, "ok");
        }
        discovery::answer(path, &self.profile).map_or_else(page_not_found, |answer| json_reply(200, &answer))
    }
}

/// The answer that says why not.
fn refused(refusal: &Refusal) -> Response<Reply> {
    let mut reply = json_reply(refusal.code, &refusal.status);
    if let Some(seconds) = refusal.retry_after {
        reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    reply
}

fn page_not_found() -> Response<Reply> {
    text_reply(404, "404 page not found\n")
}

/// The way of one client to the server.
pub(super) struct Connection {
    server: ApiServer,
    caller: Caller,
}

impl Connection {
    pub(super) fn new(server: ApiServer, caller: Caller) -> Self {
        Self { server, caller }
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Reply>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Response<Reply>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (server, caller) = (self.server.clone(), self.caller);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.map_err(io::Error::other)?;
            server.serve(caller, &parts, body).await
        })
    }
}
