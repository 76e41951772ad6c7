//! What operators ask a gateway, on a listener of its own: health, metrics, status.

use std::convert::Infallible;
use std::future::{Ready, ready};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::service::Service;

use crate::gateway::Gateway;

/// The service behind the admin listener. `GET` on
///
/// - `/live`: 200 as long as the process answers;
/// - `/ready`: 200 while requests should come here, 503 before the catalog was read and from the beginning of a drain;
/// - `/metrics`: Prometheus' text form;
/// - `/status`: [`GatewaySnapshot`](crate::GatewaySnapshot) as JSON.
///
/// It asks for no credential: keep the listener where clients cannot reach it.
#[derive(Clone, Debug)]
pub struct Admin {
    gateway: Gateway,
}

impl Admin {
    /// The admin service of `gateway`.
    #[must_use]
    pub fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    fn answer(&self, method: &Method, path: &str) -> (StatusCode, &'static str, String) {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".into());
        }
        match path {
            "/live" => (StatusCode::OK, TEXT, "live\n".into()),
            "/ready" if self.gateway.is_ready() => (StatusCode::OK, TEXT, "ready\n".into()),
            "/ready" => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n".into()),
            "/metrics" => (StatusCode::OK, METRICS, self.gateway.metrics()),
            "/status" => match serde_json::to_string(&self.gateway.snapshot()) {
                Ok(json) => (StatusCode::OK, "application/json", json),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
            },
            _ => (StatusCode::NOT_FOUND, TEXT, "there are /live, /ready, /metrics and /status\n".into()),
        }
    }
}

impl<B> Service<Request<B>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let (status, kind, text) = self.answer(request.method(), request.uri().path());
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        ready(Ok(response))
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
