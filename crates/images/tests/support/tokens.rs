//! A server that gives tokens for a registry, as registries on the net have one.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::registry::{PASSWORD, USER};

pub(crate) struct TokenServer {
    state: Arc<State>,
    address: String,
    task: AbortHandle,
}

struct State {
    key: EcdsaKeyPair,
    certificate: rcgen::Certificate,
    given: AtomicU64,
    /// The status with which it fails; 0 while it works.
    failing: AtomicU16,
}

impl TokenServer {
    pub(crate) const SERVICE: &str = "registry.test";
    pub(crate) const ISSUER: &str = "tokens.test";

    pub(crate) async fn start() -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![Self::ISSUER.to_owned()]).unwrap();
        let certificate = params.self_signed(&pair).unwrap();
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der(), &random)
            .unwrap();
        let state = State { key, certificate, given: AtomicU64::new(0), failing: AtomicU16::new(0) };
        let state = Arc::new(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(serve(listener, Arc::clone(&state))).abort_handle();
        Self { state, address, task }
    }

    pub(crate) fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }

    pub(crate) fn certificate(&self) -> String {
        self.state.certificate.pem()
    }

    /// A token for that scope.
    pub(crate) fn token(&self, scope: &str) -> String {
        self.state.token(scope)
    }

    /// How many tokens were given.
    pub(crate) fn given(&self) -> u64 {
        self.state.given.load(Ordering::SeqCst)
    }

    /// Answers with that status from now on; 0 works again.
    pub(crate) fn fail_with(&self, status: u16) {
        self.state.failing.store(status, Ordering::SeqCst);
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let answer = answer(&state, &request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            let _ = connection.await;
        });
    }
}

fn answer(state: &State, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let failing = state.failing.load(Ordering::SeqCst);
    if failing != 0 {
        return text(failing, "<html>not now</html>".to_owned());
    }
    let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let known = request.headers().get("authorization").is_some_and(|sent| *sent == expected);
    if !known {
        // A careless server that repeats what it was sent.
        return text(
            401,
            format!("{{\"details\": \"incorrect {:?}\"}}", request.headers().get("authorization")),
        );
    }
    state.given.fetch_add(1, Ordering::SeqCst);
    let query = request.uri().query().unwrap_or_default();
    let scope = query.split('&').find_map(|pair| pair.strip_prefix("scope=")).unwrap_or_default();
    text(
        200,
        json!({"token": state.token(&scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ","))})
            .to_string(),
    )
}

fn text(status: u16, body: String) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::from(body)).unwrap()
}

impl State {
    /// `repository:NAME:ACTION,ACTION`
    fn token(&self, scope: &str) -> String {
        let parts: Vec<_> = scope.split(':').collect();
        let actions: Vec<_> = parts[2].split(',').collect();
        #[expect(clippy::disallowed_methods, reason = "the registry goes by the wall's time")]
        let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(self.certificate.der())]});
        let claims = json!({
            "iss": TokenServer::ISSUER, "sub": USER, "aud": TokenServer::SERVICE, "exp": now + 600, "nbf": now - 60,
            "iat": now, "jti": "1", "access": [{"type": parts[0], "name": parts[1], "actions": actions}],
        });
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
