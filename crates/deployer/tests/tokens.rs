//! The issuer of tokens: its two documents, what it issues, and endpoints that change between keys and tokens.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use portway_auth::{
    ApiKey, Claims, Credentials, Entropy, IssuedToken, Issuer, KeySlot, PublishedIssuer, TokenError,
    TokenPolicy, UnixSeconds,
};
use portway_backend::{Catalog, DocKey, DocKind, Document, ErrorKind, Expected};
use portway_deploy_config::AuthMode;
use portway_deployer::{DeployError, Event};
use support::*;

const ISSUER: &str = PublishedIssuer::DOCUMENT;

async fn deployed_with_tokens(world: &World) {
    let mut spec = endpoint("iris", "first");
    spec.auth = AuthMode::Token;
    let operation = world.deployer.deploy(spec, world.source()).await.unwrap();
    operation.wait().await.unwrap();
    assert!(events(&operation).await.contains(&Event::Issuer { new: true }));
}

async fn switch(world: &World, auth: AuthMode) {
    let updating = world.deployer.update(&iris(), |endpoint| endpoint.auth = auth).await.unwrap();
    updating.wait().await.unwrap();
}

async fn published(world: &World) -> PublishedIssuer {
    PublishedIssuer::from_json(&world.document(DocKind::Verifier, ISSUER).await.unwrap()).unwrap()
}

async fn secret(world: &World) -> Issuer {
    Issuer::from_document(&world.document(DocKind::Credentials, ISSUER).await.unwrap()).unwrap()
}

/// As a gateway would verify it, half a life after its issue.
async fn verified(world: &World, token: &IssuedToken, audience: &str) -> Result<Claims, TokenError> {
    let published = published(world).await;
    let policy = TokenPolicy::new().issuer(published.name()).audience(audience);
    let later = UnixSeconds(token.expires.0 - 1800);
    policy.verify(token.access_token.expose(), published.keys(), later)
}

async fn replace(world: &World, kind: DocKind, text: &str) {
    let key = DocKey::new(kind, ISSUER).unwrap();
    world.catalog.put(&key, &Document::from_json(text).unwrap(), Expected::Any).await.unwrap();
}

fn refused<T>(outcome: Result<T, DeployError>) -> String {
    match outcome {
        Err(error @ DeployError::Refused(_)) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("granted"),
    }
}

#[tokio::test]
async fn r_auth_2_a_token_is_for_its_service_and_says_when_to_ask_again() {
    let world = World::new();
    deployed_with_tokens(&world).await;
    let token = world.deployer.token(&iris()).await.unwrap();
    assert_eq!(token.token_type, "Bearer");
    let claims = verified(&world, &token, "iris").await.unwrap();
    let issued = claims.issued_at().unwrap();
    assert_eq!((token.expires.0 - issued.0, token.refresh_after.0 - issued.0), (3600, 2880));
    assert_eq!((claims.subject(), claims.scopes().count()), (Some("iris"), 0));
    assert_eq!(verified(&world, &token, "rose").await, Err(TokenError::Audience));

    let token = world.deployer.token_for(&iris(), "ada", &["blue", "green"]).await.unwrap();
    let claims = verified(&world, &token, "iris").await.unwrap();
    assert_eq!(claims.subject(), Some("ada"));
    assert!(claims.scopes().eq(["blue", "green"]));
    assert!(refused(world.deployer.token_for(&iris(), "ada", &["blue green"]).await).contains("token: "));
    assert!(refused(world.deployer.token_for(&iris(), "", &[]).await).contains("token: "));
}

#[tokio::test]
async fn r_auth_2_keys_and_tokens_exclude_each_other_over_every_change() {
    let world = World::new();
    world.deployed().await;
    assert!(refused(world.deployer.token(&iris()).await).contains("auth: iris takes no tokens"));
    let keys = world.deployer.keys(&iris()).await.unwrap();

    switch(&world, AuthMode::Token).await;
    world.deployer.token(&iris()).await.unwrap();
    assert!(refused(world.deployer.keys(&iris()).await).contains("auth: iris takes tokens and no keys"));
    let regenerating = world.deployer.regenerate_key(&iris(), KeySlot::Primary, None).await;
    assert!(refused(regenerating).contains("auth: iris takes tokens and no keys"));

    switch(&world, AuthMode::Keys).await;
    assert!(refused(world.deployer.token(&iris()).await).contains("auth"));
    let again = world.deployer.keys(&iris()).await.unwrap();
    assert_eq!(again.key(KeySlot::Primary).expose(), keys.key(KeySlot::Primary).expose());

    switch(&world, AuthMode::Off).await;
    assert!(refused(world.deployer.token(&iris()).await).contains("auth"));
    let nobody = world.deployer.token(&"nobody".parse().unwrap()).await;
    assert!(matches!(nobody, Err(DeployError::NotFound(_))));
}

#[tokio::test]
async fn r_auth_2_chosen_keys_are_refused_for_an_endpoint_of_tokens() {
    let world = World::new();
    let [primary, secondary] = [1, 2].map(|byte| ApiKey::generate(&Entropy::from_bytes([byte; 32])));
    let mut spec = endpoint("iris", "first");
    spec.auth = AuthMode::Token;
    let keys = Credentials::new(primary, secondary).unwrap();
    let message = refused(world.deployer.deploy_with_keys(spec, world.source(), keys).await);
    assert!(message.contains("auth: "), "{message}");
    assert!(world.document(DocKind::Credentials, "iris").await.is_none());
}

#[tokio::test]
async fn r_auth_4_the_public_document_holds_no_secret_and_no_service_sees_the_issuer() {
    let world = World::new();
    deployed_with_tokens(&world).await;
    let public = world.document(DocKind::Verifier, ISSUER).await.unwrap();
    assert!(!public.contains("PRIVATE") && !public.contains("\"d\""), "{public}");
    assert!(world.document(DocKind::Credentials, ISSUER).await.unwrap().contains("PRIVATE"));
    assert_eq!(world.deployer.services().await.unwrap(), [iris()]);
    world.deployer.delete(&iris()).await.unwrap().wait().await.unwrap();
    assert!(world.document(DocKind::Credentials, ISSUER).await.is_some(), "it is not the service's");
}

#[tokio::test]
async fn r_auth_4_a_restart_keeps_the_issuer() {
    let world = World::new();
    deployed_with_tokens(&world).await;
    let before = world.deployer.token(&iris()).await.unwrap();
    let ids: Vec<_> = secret(&world).await.schedule().collect();
    let next = world.restarted();
    let resumed = next.resume().await.unwrap();
    assert!(!resumed.issuer && resumed.verifiers.is_empty() && resumed.faults.is_empty());
    let after = next.token(&iris()).await.unwrap();
    assert!(secret(&world).await.schedule().eq(ids));
    for token in [before, after] {
        assert!(verified(&world, &token, "iris").await.is_ok());
    }
}

#[tokio::test]
async fn r_auth_4_the_public_document_is_repaired_on_start_and_before_a_token_leaves() {
    let world = World::new();
    deployed_with_tokens(&world).await;
    let right = published(&world).await.to_json();
    let stranger = Issuer::new(
        "portway",
        portway_auth::SigningKey::generate(portway_auth::SigningKeyKind::P256).unwrap(),
    );
    for damage in ["{}", "\"nonsense\"", &stranger.published(UnixSeconds(0)).to_json()] {
        replace(&world, DocKind::Verifier, damage).await;
        assert!(world.restarted().resume().await.unwrap().issuer, "{damage}");
        assert_eq!(published(&world).await.to_json(), right);
        replace(&world, DocKind::Verifier, damage).await;
        let token = world.deployer.token(&iris()).await.unwrap();
        assert!(verified(&world, &token, "iris").await.is_ok());
    }
    let key = DocKey::new(DocKind::Verifier, ISSUER).unwrap();
    world.catalog.delete(&key, Expected::Any).await.unwrap();
    assert!(world.restarted().resume().await.unwrap().issuer);
    assert!(!world.restarted().resume().await.unwrap().issuer);
}

#[tokio::test]
async fn r_auth_4_a_damaged_secret_is_reported_and_never_replaced() {
    let world = World::new();
    deployed_with_tokens(&world).await;
    replace(&world, DocKind::Credentials, "{}").await;
    match world.deployer.token(&iris()).await {
        Err(DeployError::Seam(error)) => assert_eq!(error.kind(), ErrorKind::Invalid),
        other => panic!("{other:?}"),
    }
    let fault = world.restarted().resume().await.unwrap().issuer_fault.unwrap();
    assert_eq!(fault.kind(), ErrorKind::Invalid);
    assert!(fault.to_string().contains(ISSUER), "{fault}");
    assert_eq!(world.document(DocKind::Credentials, ISSUER).await.unwrap(), "{}");
}

#[tokio::test]
async fn r_auth_4_keys_whose_secret_is_gone_are_withdrawn() {
    let world = World::new();
    deployed_with_tokens(&world).await;
    let lost = world.deployer.token(&iris()).await.unwrap();
    world.catalog.delete(&DocKey::new(DocKind::Credentials, ISSUER).unwrap(), Expected::Any).await.unwrap();
    assert!(world.restarted().resume().await.unwrap().issuer);
    assert!(world.document(DocKind::Verifier, ISSUER).await.is_none());
    let token = world.deployer.token(&iris()).await.unwrap();
    assert!(verified(&world, &token, "iris").await.is_ok());
    assert_eq!(verified(&world, &lost, "iris").await, Err(TokenError::UnknownKey));
}

#[tokio::test]
async fn r_auth_4_a_new_key_is_published_before_it_signs() {
    let world = World::new();
    deployed_with_tokens(&world).await;
    let before = world.deployer.token(&iris()).await.unwrap();
    let signs_from = world.deployer.rotate_issuer().await.unwrap();
    let issued = verified(&world, &before, "iris").await.unwrap().issued_at().unwrap();
    assert!(signs_from.0 >= issued.0 + portway_auth::KEY_OVERLAP.as_secs());
    assert_eq!(published(&world).await.keys().len(), 2);
    assert!(refused(world.deployer.rotate_issuer().await).contains(&signs_from.0.to_string()));

    let old_key = secret(&world).await.schedule().next().unwrap().0;
    let after = world.deployer.token(&iris()).await.unwrap();
    let header = |token: &IssuedToken| token.access_token.expose().split('.').next().unwrap().to_owned();
    assert_eq!(header(&before), header(&after), "{old_key} still signs");
    for token in [&before, &after] {
        assert!(verified(&world, token, "iris").await.is_ok());
    }
}

#[tokio::test]
async fn r_auth_4_many_at_once_stand_up_one_issuer() {
    let world = World::new();
    world.deployed().await;
    switch(&world, AuthMode::Token).await;
    world.catalog.delete(&DocKey::new(DocKind::Credentials, ISSUER).unwrap(), Expected::Any).await.unwrap();
    let asked = (0..16).map(|_| {
        let deployer = world.deployer.clone();
        tokio::spawn(async move { deployer.token(iris_ref()).await.unwrap() })
    });
    for token in asked.collect::<Vec<_>>() {
        assert!(verified(&world, &token.await.unwrap(), "iris").await.is_ok());
    }
    assert_eq!(published(&world).await.keys().len(), 1);
}
