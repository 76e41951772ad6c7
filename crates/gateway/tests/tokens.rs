//! Endpoints that are set to tokens, and the issuer's document that makes them answer.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Reply, Rig, endpoint, ok, version};
use http::StatusCode;
use portway_auth::{Entropy, Grant, Issuer, PublishedIssuer, SigningKey, SigningKeyKind, UnixSeconds};
use portway_backend::{Catalog as _, DocKey, DocKind, Document, Expected};
use portway_deploy_config::{AuthMode, EndpointSpec, Pinning};
use portway_gateway::Gateway;
use tokio::time::sleep;

fn now() -> UnixSeconds {
    #[expect(clippy::disallowed_methods, reason = "the gateway goes by the wall's time")]
    let now = SystemTime::now();
    UnixSeconds(now.duration_since(UNIX_EPOCH).unwrap().as_secs())
}

fn signing_key() -> SigningKey {
    SigningKey::generate(SigningKeyKind::Ed25519).unwrap()
}

fn issuer() -> Issuer {
    Issuer::new("portway", signing_key())
}

fn token_at(issuer: &Issuer, audience: &str, scopes: &[&str], at: UnixSeconds) -> String {
    let grant = Grant { audience, subject: "ada", scopes };
    let token = issuer.issue(&grant, at, &Entropy::from_system().unwrap()).unwrap();
    token.access_token.expose().to_owned()
}

fn token(issuer: &Issuer, audience: &str) -> String {
    token_at(issuer, audience, &[], now())
}

fn spec(name: &str, auth: AuthMode) -> EndpointSpec {
    let mut spec = endpoint(name, vec![version("blue", 0), version("green", 10)]);
    spec.auth = auth;
    spec
}

async fn publish(rig: &Rig, document: Option<&str>) {
    let key = DocKey::new(DocKind::Verifier, PublishedIssuer::DOCUMENT).unwrap();
    match document {
        Some(text) => {
            let document = Document::from_json(text).unwrap();
            rig.catalog.put(&key, &document, Expected::Any).await.unwrap();
        }
        None => rig.catalog.delete(&key, Expected::Any).await.unwrap(),
    }
    sleep(Duration::from_millis(10)).await;
}

/// `iris` takes tokens, `rose` takes keys; both have replicas.
async fn rig(issuer: Option<&Issuer>) -> Rig {
    let rig = Rig::new().await.with_keys("rose").await;
    for (name, auth) in [("iris", AuthMode::Token), ("rose", AuthMode::Keys)] {
        rig.put(&spec(name, auth)).await;
        for version in ["blue", "green"] {
            let server = rig.pipes.add(move |_, _| async move { ok(version) });
            rig.show(name, version, &[&server]).await;
        }
    }
    if let Some(issuer) = issuer {
        publish(&rig, Some(&issuer.published(now()).to_json())).await;
    }
    rig
}

async fn ask(rig: &Rig, endpoint: &str, credential: &str) -> Reply {
    let mut request = rig.request(endpoint, "[1]");
    request.headers_mut().insert("authorization", format!("Bearer {credential}").parse().unwrap());
    rig.send(request).await
}

/// What a client sees, but for the request's own name.
fn seen(reply: &Reply) -> (StatusCode, String, Vec<(String, String)>) {
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| !["x-ms-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (reply.status, reply.text().to_owned(), headers)
}

#[tokio::test(start_paused = true)]
async fn r_auth_2_a_token_opens_its_endpoint_and_every_refusal_is_the_same() {
    let issuer = issuer();
    let rig = rig(Some(&issuer)).await;
    let good = token(&issuer, "iris");
    for _ in 0..2 {
        assert_eq!(ask(&rig, "iris", &good).await.status, StatusCode::OK);
    }
    assert_eq!(ask(&rig, "rose", &rig.key).await.status, StatusCode::OK);

    let wrong = ask(&rig, "rose", "wrong").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let stranger = self::issuer();
    let forged =
        format!("{}.{}", good.rsplit_once('.').unwrap().0, token(&issuer, "x").rsplit_once('.').unwrap().1);
    let renamed = Issuer::new("somebody-else", signing_key());
    for (what, endpoint, credential) in [
        ("another endpoint's token", "iris", token(&issuer, "rose")),
        ("no audience", "iris", token(&issuer, "")),
        ("expired", "iris", token_at(&issuer, "iris", &[], UnixSeconds(now().0 - 2 * 3600))),
        ("from the future", "iris", token_at(&issuer, "iris", &[], UnixSeconds(now().0 + 3600))),
        ("a key nobody knows", "iris", token(&stranger, "iris")),
        ("an issuer nobody knows", "iris", token(&renamed, "iris")),
        ("another token's signature", "iris", forged),
        ("a key instead of a token", "iris", rig.key.clone()),
        ("half a token", "iris", "a.b.c".to_owned()),
        ("a token where keys are taken", "rose", token(&issuer, "rose")),
        ("a token for an endpoint that does not exist", "tulip", token(&issuer, "tulip")),
        ("a key for an endpoint that does not exist", "tulip", rig.key.clone()),
    ] {
        assert_eq!(seen(&ask(&rig, endpoint, &credential).await), seen(&wrong), "{what}");
    }
    assert_eq!(ask(&rig, "iris", &good).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn r_auth_2_an_endpoint_changes_from_keys_to_tokens_and_back_and_never_takes_both() {
    let issuer = issuer();
    let rig = rig(Some(&issuer)).await;
    let token = token(&issuer, "rose");
    for (auth, by_key, by_token) in [
        (AuthMode::Keys, StatusCode::OK, StatusCode::UNAUTHORIZED),
        (AuthMode::Token, StatusCode::UNAUTHORIZED, StatusCode::OK),
        (AuthMode::Keys, StatusCode::OK, StatusCode::UNAUTHORIZED),
    ] {
        rig.put(&spec("rose", auth)).await;
        sleep(Duration::from_millis(10)).await;
        let statuses = (ask(&rig, "rose", &rig.key).await.status, ask(&rig, "rose", &token).await.status);
        assert_eq!(statuses, (by_key, by_token), "{auth:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r_auth_2_without_an_issuer_nobody_comes_in_and_a_damaged_document_changes_nothing() {
    let issuer = issuer();
    let rig = rig(None).await;
    let good = token(&issuer, "iris");
    let wrong = ask(&rig, "rose", "wrong").await;
    assert_eq!(seen(&ask(&rig, "iris", &good).await), seen(&wrong));
    publish(&rig, Some("{\"issuer\": \"portway\", \"keys\": []}")).await;
    assert_eq!(seen(&ask(&rig, "iris", &good).await), seen(&wrong));

    publish(&rig, Some(&issuer.published(now()).to_json())).await;
    assert_eq!(ask(&rig, "iris", &good).await.status, StatusCode::OK);
    publish(&rig, Some("\"nonsense\"")).await;
    assert_eq!(ask(&rig, "iris", &good).await.status, StatusCode::OK);

    publish(&rig, None).await;
    assert_eq!(seen(&ask(&rig, "iris", &good).await), seen(&wrong));
}

#[tokio::test(start_paused = true)]
async fn r_auth_4_keys_rotate_under_load_without_a_wrong_answer() {
    let mut issuer = issuer();
    let rig = rig(Some(&issuer)).await;
    let mut at = now();
    for round in 0..12 {
        let (old, stranger) = (token(&issuer, "iris"), token(&self::issuer(), "iris"));
        issuer = issuer.overlap(Duration::ZERO);
        issuer.adopt(signing_key(), at);
        let document = issuer.published(at).to_json();
        let load = async {
            for _ in 0..20 {
                assert_eq!(ask(&rig, "iris", &old).await.status, StatusCode::OK, "round {round}");
                assert_eq!(ask(&rig, "iris", &stranger).await.status, StatusCode::UNAUTHORIZED);
            }
        };
        tokio::join!(load, publish(&rig, Some(&document)));
        assert_eq!(ask(&rig, "iris", &token(&issuer, "iris")).await.status, StatusCode::OK);
        at = UnixSeconds(at.0 + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn r_auth_4_a_key_that_is_no_longer_published_is_refused_though_its_token_was_remembered() {
    let (before, after) = (issuer(), issuer());
    let rig = rig(Some(&before)).await;
    let (old, new) = (token(&before, "iris"), token(&after, "iris"));
    assert_eq!(ask(&rig, "iris", &old).await.status, StatusCode::OK);
    assert_eq!(ask(&rig, "iris", &new).await.status, StatusCode::UNAUTHORIZED);
    publish(&rig, Some(&after.published(now()).to_json())).await;
    assert_eq!(ask(&rig, "iris", &old).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&rig, "iris", &new).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn r_auth_4_a_gateway_that_starts_takes_the_tokens_at_once() {
    let issuer = issuer();
    let mut rig = rig(Some(&issuer)).await;
    let good = token(&issuer, "iris");
    rig.control.take().unwrap().stop().await;
    let catalog = std::sync::Arc::clone(&rig.catalog);
    let backend = std::sync::Arc::clone(&rig.backend);
    let pipes = std::sync::Arc::clone(&rig.pipes);
    rig.gateway = Gateway::builder(catalog, backend).connector(pipes).build();
    let _control = rig.gateway.start();
    rig.gateway.ready().await;
    assert_eq!(ask(&rig, "iris", &good).await.status, StatusCode::OK);
    assert_eq!(ask(&rig, "rose", &good).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn r_auth_6_guesses_at_a_token_endpoint_are_throttled_and_late_clients_are_not() {
    let issuer = issuer();
    let rig = rig(Some(&issuer)).await;
    let late = token_at(&issuer, "iris", &[], UnixSeconds(now().0 - 2 * 3600));
    for _ in 0..40 {
        assert_eq!(ask(&rig, "iris", &late).await.status, StatusCode::UNAUTHORIZED);
    }
    let good = token(&issuer, "iris");
    assert_eq!(ask(&rig, "iris", &good).await.status, StatusCode::OK);
    for _ in 0..20 {
        assert_eq!(ask(&rig, "iris", "no-token-at-all").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(ask(&rig, "iris", &good).await.status, StatusCode::TOO_MANY_REQUESTS);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(ask(&rig, "iris", &good).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_3_a_scope_named_like_a_version_lets_its_bearer_choose_it() {
    let issuer = issuer();
    let rig = rig(Some(&issuer)).await;
    let mut spec = spec("iris", AuthMode::Token);
    spec.pinning = Some(Pinning::Scope);
    rig.put(&spec).await;
    sleep(Duration::from_millis(10)).await;
    for (scopes, wanted, expected) in [
        (&["green"][..], "green", StatusCode::OK),
        (&["read", "green"], "green", StatusCode::OK),
        (&[], "green", StatusCode::FORBIDDEN),
        (&["greens", "Green", "blue"], "green", StatusCode::FORBIDDEN),
        (&["red"], "red", StatusCode::NOT_FOUND),
        (&["green"], "red", StatusCode::FORBIDDEN),
    ] {
        let mut request = rig.request("iris", "");
        let bearer = format!("Bearer {}", token_at(&issuer, "iris", scopes, now()));
        request.headers_mut().insert("authorization", bearer.parse().unwrap());
        request.headers_mut().insert("azureml-model-deployment", wanted.parse().unwrap());
        let reply = rig.send(request).await;
        assert_eq!(reply.status, expected, "{scopes:?} {wanted}");
        if expected == StatusCode::OK {
            assert_eq!((reply.text(), reply.header("azureml-model-deployment")), ("green", Some("green")));
        }
    }
}
