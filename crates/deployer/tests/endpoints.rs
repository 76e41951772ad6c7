//! Versions, tags and shares of an endpoint, its keys, and its end.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use portway_auth::{ApiKey, Credentials, Entropy, KeySlot, UnixSeconds, Verifier};
use portway_backend::{Catalog, DocKey, DocKind, Document, Expected, Phase};
use portway_deploy_config::{AuthMode, EndpointSpec, Share, StickyKey, StickySpec};
use portway_deployer::{DeployError, Event, Tags, VersionChange};
use support::*;

async fn create(world: &World, name: &str, percent: u8, tags: Tags) {
    let operation =
        world.deployer.create_version(iris_ref(), spec(name, percent), tags, world.source()).await.unwrap();
    operation.wait().await.unwrap();
}

#[tokio::test]
async fn r_cfg_10_the_worked_example_of_the_documentation() {
    let world = World::new();
    let endpoint = EndpointSpec::new(iris(), spec("versiona", 20));
    world.deployer.deploy(endpoint, world.source()).await.unwrap().wait().await.unwrap();
    assert_eq!(shares(&world.endpoint().await.unwrap()), [("versiona".to_owned(), 10_000)]);

    create(&world, "versionb", 10, Tags::default()).await;
    let spec = world.endpoint().await.unwrap();
    assert_eq!(shares(&spec), [("versiona".to_owned(), 9_000), ("versionb".to_owned(), 1_000)]);

    let mut change = VersionChange::default();
    change.share = Share::percent(40);
    change.tags = Tags { default: true, control: true };
    let operation = world.deployer.update_version(&iris(), &version("versionb"), change).await.unwrap();
    operation.wait().await.unwrap();
    let spec = world.endpoint().await.unwrap();
    assert_eq!(shares(&spec), [("versiona".to_owned(), 2_000), ("versionb".to_owned(), 8_000)]);
    assert_eq!((&spec.default, &spec.control), (&version("versionb"), &version("versionb")));

    let refused = world.deployer.delete_version(&iris(), &version("versionb"), None).await.unwrap_err();
    assert!(refused.to_string().contains("name the version that takes over"), "{refused}");
    let heir = version("versiona");
    let operation = world.deployer.delete_version(&iris(), &version("versionb"), Some(&heir)).await.unwrap();
    operation.wait().await.unwrap();
    let spec = world.endpoint().await.unwrap();
    assert_eq!(shares(&spec), [("versiona".to_owned(), 10_000)]);
    assert_eq!((&spec.default, &spec.control), (&heir, &heir));
    assert!(world.backend.applied(&id("versionb")).is_none());
}

#[tokio::test]
async fn r_cfg_10_what_the_client_lets_through_is_refused() {
    let world = World::new();
    world.deployed().await;
    create(&world, "second", 70, Tags::default()).await;

    let creating =
        world.deployer.create_version(iris_ref(), spec("third", 11), Tags::default(), world.source());
    let refused = creating.await.unwrap_err().to_string();
    assert!(refused.contains("101.00 %"), "{refused}");
    let creating =
        world.deployer.create_version(iris_ref(), spec("second", 1), Tags::default(), world.source());
    assert!(matches!(creating.await, Err(DeployError::Refused(_))));
    for name in ["third", "fourth", "fifth", "sixth"] {
        create(&world, name, 0, Tags::default()).await;
    }
    let creating =
        world.deployer.create_version(iris_ref(), spec("seventh", 0), Tags::default(), world.source());
    assert!(creating.await.unwrap_err().to_string().contains("at most 6"));

    let mut change = VersionChange::default();
    let changed = world.deployer.update_version(&iris(), &version("second"), change.clone()).await;
    assert!(matches!(changed, Err(DeployError::Refused(_))), "nothing to change");
    change.share = Share::percent(1);
    let changed = world.deployer.update_version(&iris(), &version("nobody"), change).await;
    assert!(matches!(changed, Err(DeployError::NotFound(_))));
}

#[tokio::test]
async fn r_cfg_10_the_last_version_is_not_deleted_alone() {
    let world = World::new();
    world.deployed().await;
    let refused =
        world.deployer.delete_version(&iris(), &version("first"), None).await.unwrap_err().to_string();
    assert!(refused.contains("delete the endpoint instead"), "{refused}");
}

#[tokio::test]
async fn r_rtr_5_sticky_buckets_are_written_and_move_no_more_than_they_must() {
    let world = World::new();
    world.deployed().await;
    let sticky = StickySpec { key: StickyKey::Header("x-user".into()), buckets: Vec::new() };
    let updating = world.deployer.update(&iris(), |endpoint| endpoint.sticky = Some(sticky)).await.unwrap();
    updating.wait().await.unwrap();
    create(&world, "second", 10, Tags::default()).await;
    let buckets = world.endpoint().await.unwrap().sticky.unwrap().buckets;
    let of = |name: &str| -> u32 {
        buckets.iter().filter(|run| run.version == version(name)).map(|run| u32::from(run.count)).sum()
    };
    assert_eq!((of("first"), of("second")), (9_000, 1_000));
}

#[tokio::test]
async fn a_document_that_somebody_else_changes_meanwhile_is_read_again() {
    let world = World::new();
    world.deployed().await;
    world.backend.stage(Phase::Transitioning, "starting");
    let creating =
        world.deployer.create_version(iris_ref(), spec("second", 10), Tags::default(), world.source());
    let operation = creating.await.unwrap();
    told(&operation, |event| matches!(event, Event::Replicas { .. })).await;

    let mut spec = world.endpoint().await.unwrap();
    spec.idempotent = true;
    let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
    let document = Document::from_json(spec.to_json()).unwrap();
    world.catalog.put(&key, &document, Expected::Any).await.unwrap();
    world.backend.heal(&id("second"));
    operation.wait().await.unwrap();
    let after = world.endpoint().await.unwrap();
    assert!(after.idempotent && after.versions.len() == 2, "both changes stand");
}

#[tokio::test]
async fn r_auth_1_two_keys_and_one_can_be_replaced_while_the_other_works() {
    let world = World::new();
    world.deployed().await;
    let before = world.deployer.keys(&iris()).await.unwrap();
    let verifier =
        async || Verifier::from_json(&world.document(DocKind::Verifier, "iris").await.unwrap()).unwrap();
    let valid = |verifier: &Verifier, key: &ApiKey| verifier.check(key.expose(), UnixSeconds(1)).slot();
    let both = [KeySlot::Primary, KeySlot::Secondary].map(|slot| before.key(slot).clone());
    assert_eq!(both.each_ref().map(|key| key.expose().len() > 40), [true, true]);
    assert_eq!(valid(&verifier().await, &both[0]), Some(KeySlot::Primary));

    let after = world.deployer.regenerate_key(&iris(), KeySlot::Primary, None).await.unwrap();
    let now = verifier().await;
    assert_eq!(valid(&now, &both[0]), None);
    assert_eq!(valid(&now, &both[1]), Some(KeySlot::Secondary));
    assert_eq!(valid(&now, after.key(KeySlot::Primary)), Some(KeySlot::Primary));

    let taken = Some(both[1].clone());
    let refused = world.deployer.regenerate_key(&iris(), KeySlot::Primary, taken).await;
    assert!(matches!(refused, Err(DeployError::Refused(_))));
    let missing = world.deployer.regenerate_key(&"other".parse().unwrap(), KeySlot::Primary, None).await;
    assert!(matches!(missing, Err(DeployError::NotFound(_))));
}

#[tokio::test]
async fn r_auth_1_keys_can_be_chosen_and_are_in_no_other_document() {
    let world = World::new();
    let chosen = ApiKey::chosen("0123456789abcdef0123456789abcdef").unwrap();
    let other = ApiKey::generate(&Entropy::from_bytes([7; 32]));
    let keys = Credentials::new(chosen, other).unwrap();
    let operation =
        world.deployer.deploy_with_keys(endpoint("iris", "first"), world.source(), keys).await.unwrap();
    operation.wait().await.unwrap();
    let kept = world.deployer.keys(&iris()).await.unwrap();
    assert_eq!(kept.key(KeySlot::Primary).expose(), "0123456789abcdef0123456789abcdef");
    for kind in [DocKind::Endpoint, DocKind::Verifier, DocKind::Operation] {
        let text = world.document(kind, "iris").await.unwrap();
        assert!(!text.contains("0123456789abcdef0123456789abcdef"), "{kind:?}");
    }
}

#[tokio::test]
async fn r_auth_2_without_authentication_no_keys_are_made_until_they_are_switched_on() {
    let world = World::new();
    let mut open = endpoint("iris", "first");
    open.auth = AuthMode::Off;
    world.deployer.deploy(open, world.source()).await.unwrap().wait().await.unwrap();
    assert!(matches!(world.deployer.keys(&iris()).await, Err(DeployError::NotFound(_))));

    let updating = world.deployer.update(&iris(), |endpoint| endpoint.auth = AuthMode::Keys).await.unwrap();
    updating.wait().await.unwrap();
    assert!(world.deployer.keys(&iris()).await.is_ok());
    assert_eq!(world.endpoint().await.unwrap().auth, AuthMode::Keys);
}

#[tokio::test]
async fn deleting_takes_the_document_first_and_leaves_nothing_but_the_record() {
    let world = World::new();
    world.deployed().await;
    create(&world, "second", 10, Tags::default()).await;
    let operation = world.deployer.delete(&iris()).await.unwrap();
    operation.wait().await.unwrap();
    let events = events(&operation).await;
    let at = |wanted: &Event| events.iter().position(|event| event == wanted).unwrap();
    assert!(at(&Event::Unrouted) < at(&Event::Removed(id("first"))));
    assert!(at(&Event::Unrouted) < at(&Event::Removed(id("second"))));
    for kind in [DocKind::Endpoint, DocKind::Verifier, DocKind::Credentials] {
        assert!(world.document(kind, "iris").await.is_none(), "{kind:?}");
    }
    assert_eq!(world.stored().await, 0);
    assert!(matches!(world.deployer.state(&iris()).await, Err(DeployError::NotFound(_))));
    assert!(world.deployer.operation(operation.id()).await.unwrap().state().is_final());
    assert!(matches!(world.deployer.delete(&iris()).await, Err(DeployError::NotFound(_))));
    // The name is free again.
    world.deployed().await;
}

#[tokio::test]
async fn state_and_logs_tell_of_every_version() {
    let world = World::new();
    world.deployed().await;
    create(&world, "second", 10, Tags::default()).await;
    let state = world.deployer.state(&iris()).await.unwrap();
    assert_eq!(state.phase, Phase::Healthy);
    assert_eq!(state.scoring_path(), "/api/v1/service/iris/score");
    let shares: Vec<_> =
        state.versions.iter().map(|version| version.effective_share.basis_points()).collect();
    assert_eq!(shares, [9_000, 1_000]);
    assert_eq!(state.version(&version("second")).unwrap().status.ready(), 1);
    let logs = world.deployer.logs(&iris(), None, 10).await.unwrap();
    assert!(
        logs.contains("== first ==\niris-first-0") && logs.contains("== second ==\niris-second-0"),
        "{logs}"
    );
    assert_eq!(world.deployer.services().await.unwrap(), [iris()]);
    let missing = world.deployer.logs(&iris(), Some(&version("nobody")), 10).await;
    assert!(matches!(missing, Err(DeployError::NotFound(_))));
}
