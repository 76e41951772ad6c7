//! A tower layer for those who bring their own server: feature `tower`.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Attempt, Authenticator, Bearer, Clock, Denied, KeySource, Principal, Verdict};

/// Lets only authenticated requests through to the service inside.
///
/// An admitted request carries its [`Principal`] as an extension and no `Authorization` header any more. Refused ones are answered
/// here, before the body is read. A client is known by the [`IpAddr`] among the request's extensions, which whoever accepts the
/// connection puts there.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use portway_auth::{AuthLayer, Clock, UnixSeconds, Verifier};
///
/// struct Stopped;
/// impl Clock for Stopped {
///     fn now(&self) -> Duration { Duration::ZERO }
///     fn wall(&self) -> UnixSeconds { UnixSeconds(1_700_000_000) }
/// }
///
/// let layer = AuthLayer::new(Verifier::decoy(), "scoring", Arc::new(Stopped));
/// # let _ = layer;
/// ```
pub struct AuthLayer<A>(Arc<Gate<A>>);

struct Gate<A> {
    authenticator: A,
    audience: Box<str>,
    clock: Arc<dyn Clock>,
    keys: Option<Arc<dyn KeySource>>,
}

impl<A: Authenticator> AuthLayer<A> {
    /// Asks `authenticator`, on behalf of one `audience`.
    #[must_use]
    pub fn new(authenticator: A, audience: &str, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Gate { authenticator, audience: audience.into(), clock, keys: None }))
    }

    /// As [`new`](Self::new), and waits for keys that `keys` can fetch.
    #[must_use]
    pub fn with_keys(
        authenticator: A,
        audience: &str,
        clock: Arc<dyn Clock>,
        keys: Arc<dyn KeySource>,
    ) -> Self {
        Self(Arc::new(Gate { authenticator, audience: audience.into(), clock, keys: Some(keys) }))
    }
}

impl<A: Authenticator> Gate<A> {
    async fn admit(&self, parts: &Parts) -> Result<Principal, Denied> {
        let verdict = self.ask(parts);
        let (Verdict::NeedKeys(needed), Some(keys)) = (&verdict, &self.keys) else {
            return verdict.settled();
        };
        keys.refresh(&needed.issuer).await;
        self.ask(parts).settled()
    }

    fn ask(&self, parts: &Parts) -> Verdict {
        self.authenticator.authenticate(&Attempt {
            bearer: Bearer::parse(parts.headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes)),
            audience: &self.audience,
            client: parts.extensions.get::<IpAddr>().copied(),
            now: self.clock.now(),
            wall: self.clock.wall(),
        })
    }
}

impl<A> Clone for AuthLayer<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> fmt::Debug for AuthLayer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer").field("audience", &self.0.audience).finish_non_exhaustive()
    }
}

impl<A, S> Layer<S> for AuthLayer<A> {
    type Service = AuthService<A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthService { gate: Arc::clone(&self.0), inner }
    }
}

/// What [`AuthLayer`] makes of a service.
pub struct AuthService<A, S> {
    gate: Arc<Gate<A>>,
    inner: S,
}

impl<A, S, B, R> Service<Request<B>> for AuthService<A, S>
where
    A: Authenticator + 'static,
    S: Service<Request<B>, Response = Response<R>, Future: Send> + Clone + Send + 'static,
    B: Send + 'static,
    R: From<&'static str> + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gate = Arc::clone(&self.gate);
        // The service that was polled ready is the one to be called; its clone stays.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match gate.admit(&parts).await {
                Ok(principal) => {
                    parts.headers.remove(AUTHORIZATION);
                    parts.extensions.insert(principal);
                    inner.call(Request::from_parts(parts, body)).await
                }
                Err(denied) => Ok(refusal(&denied)),
            }
        })
    }
}

impl<A, S: Clone> Clone for AuthService<A, S> {
    fn clone(&self) -> Self {
        Self { gate: Arc::clone(&self.gate), inner: self.inner.clone() }
    }
}

impl<A, S: fmt::Debug> fmt::Debug for AuthService<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

fn refusal<R: From<&'static str>>(denied: &Denied) -> Response<R> {
    let mut response = Response::new(R::from(denied.body()));
    *response.status_mut() = StatusCode::from_u16(denied.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    if let Some(challenge) = denied.challenge() {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(wait) = denied.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() != 0);
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}
