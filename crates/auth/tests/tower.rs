//! The tower layer: who is let in, what the service inside sees, what the others are told.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response};
use portway_auth::{
    AuthLayer, Authenticator, Clock, Credentials, Entropy, FailureThrottle, Freshness, Grant, Issuer,
    IssuerKeys, KeySlot, KeySource, Principal, SigningKey, SigningKeyKind, Throttled, TokenAuthenticator,
    TokenPolicy, UnixSeconds,
};
use tower::{Layer as _, ServiceExt as _, service_fn};

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> UnixSeconds {
        NOW
    }
}

/// Says who called, and whether it could see the credential.
async fn whoami(request: Request<String>) -> Result<Response<String>, Infallible> {
    let who = match request.extensions().get::<Principal>() {
        Some(Principal::Key { slot, .. }) => format!("{slot:?}"),
        Some(principal) => principal.subject().unwrap_or("nobody").to_owned(),
        None => "missed".to_owned(),
    };
    let leak = if request.headers().contains_key("authorization") { ", seen" } else { "" };
    Ok(Response::new(who + leak))
}

async fn call<A: Authenticator + 'static>(
    layer: &AuthLayer<A>,
    headers: &[&str],
) -> (u16, String, Option<String>) {
    let mut request = Request::new(String::new());
    request.extensions_mut().insert(IpAddr::V4(Ipv4Addr::LOCALHOST));
    for header in headers {
        request.headers_mut().append("authorization", header.parse().unwrap());
    }
    let response = layer.layer(service_fn(whoami)).oneshot(request).await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let extra = header("www-authenticate").or_else(|| header("retry-after"));
    (response.status().as_u16(), response.into_body(), extra)
}

#[tokio::test]
async fn r_auth_3_one_header_carries_the_key_and_the_service_never_sees_it() {
    let credentials =
        Credentials::generate(&Entropy::from_system().unwrap(), &Entropy::from_system().unwrap()).unwrap();
    let throttle = FailureThrottle::new(3, Duration::from_millis(1500), 64, 1);
    let layer =
        AuthLayer::new(Throttled::new(credentials.verifier(), throttle), "scoring", Arc::new(Stopped));
    let good = format!("Bearer {}", credentials.key(KeySlot::Secondary).expose());
    assert_eq!(call(&layer, &[&good]).await, (200, "Secondary".into(), None));
    let unauthorized = |challenge: &str| (401, "unauthorized\n".to_owned(), Some(challenge.to_owned()));
    assert_eq!(call(&layer, &[]).await, unauthorized("Bearer"));
    for headers in [&["Bearer wrong"][..], &[&good, &good], &["Basic abc"]] {
        assert_eq!(call(&layer, headers).await, unauthorized("Bearer error=\"invalid_token\""));
    }
    assert_eq!(call(&layer, &[&good]).await, (429, "too many failed attempts\n".into(), Some("2".into())));
}

struct Published {
    keys: Arc<IssuerKeys>,
    issuer: Issuer,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl KeySource for Published {
    async fn refresh(&self, issuer: &str) {
        self.asked.lock().unwrap().push(issuer.to_owned());
        if let Some(flight) = self.keys.handle_unknown_key(Duration::ZERO) {
            self.keys.set_fetched(Duration::ZERO, flight, self.issuer.key_set(NOW), None, 0);
        }
    }
}

#[tokio::test]
async fn r_auth_5_a_request_waits_for_keys_once_and_is_asked_again() {
    let issuer = Issuer::new("https://login.example", SigningKey::generate(SigningKeyKind::Ed25519).unwrap());
    let grant = Grant { audience: "scoring", subject: "alice", scopes: &[] };
    let token = issuer.issue(&grant, NOW, &Entropy::from_system().unwrap()).unwrap();
    let header = format!("Bearer {}", token.access_token.expose());
    let keys = Arc::new(IssuerKeys::fetched(Freshness::default()));
    let authenticator =
        || TokenAuthenticator::new().trust("https://login.example", TokenPolicy::new(), Arc::clone(&keys));
    let impatient = AuthLayer::new(authenticator(), "scoring", Arc::new(Stopped));
    let answer = (503, "authentication is unavailable\n".into(), Some("1".into()));
    assert_eq!(call(&impatient, &[&header]).await, answer);

    let source = Arc::new(Published { keys: Arc::clone(&keys), issuer, asked: Mutex::default() });
    let layer = AuthLayer::with_keys(authenticator(), "scoring", Arc::new(Stopped), source.clone());
    assert_eq!(call(&layer, &[&header]).await, (200, "alice".into(), None));
    assert_eq!(call(&layer, &[&header]).await, (200, "alice".into(), None));
    assert_eq!(*source.asked.lock().unwrap(), ["https://login.example"]);
}
