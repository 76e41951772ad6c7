//! Operations: one at a time, watched, and resumed after a restart.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use portway_auth::{KeySlot, UnixSeconds, Verifier};
use portway_backend::{Catalog, DocKey, DocKind, Document, ErrorKind, Expected, Phase};
use portway_deployer::{DeployError, Deployer, Event, Operation, OperationState, Tags};
use support::*;

/// A deployment that waits for its replicas, in a runtime of its own: dropping the runtime is the death of the process.
fn dies_while_waiting(world: &World, begin: impl AsyncFnOnce(&Deployer) -> Operation) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    world.backend.stage(Phase::Transitioning, "starting");
    let deployer = world.restarted();
    runtime.block_on(async {
        let operation = begin(&deployer).await;
        told(&operation, |event| matches!(event, Event::Replicas { .. })).await;
    });
    runtime.shutdown_background();
}

#[tokio::test]
async fn r_svc_1_a_second_operation_on_a_busy_service_is_refused() {
    let world = World::new();
    world.backend.stage(Phase::Transitioning, "starting");
    let first = world.deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    let second = world.deployer.deploy(endpoint("iris", "first"), world.source()).await;
    let Err(DeployError::Busy { operation }) = second else { panic!("{second:?}") };
    assert_eq!(&operation, first.id());
    // What was staged is for the first: the other one must not be applied before it.
    told(&first, |event| matches!(event, Event::Applied(_))).await;
    // Another service is not concerned.
    let other = world.deployer.deploy(endpoint("other", "first"), world.source()).await.unwrap();
    other.wait().await.unwrap();

    assert_eq!(world.deployer.state(&iris()).await.unwrap().phase, Phase::Transitioning);
    world.backend.heal(&id("first"));
    first.wait().await.unwrap();
    let exists = world.deployer.deploy(endpoint("iris", "first"), world.source()).await;
    assert!(matches!(exists, Err(DeployError::Exists(_))));
}

#[tokio::test]
async fn r_svc_1_dropping_every_handle_cancels_nothing() {
    let world = World::new();
    let started = world.deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    let id = started.id().clone();
    drop(started);
    let found = world.deployer.operation(&id).await.unwrap();
    found.wait().await.unwrap();
    assert!(world.endpoint().await.is_some());
}

#[tokio::test]
async fn r_svc_1_of_many_at_once_one_begins() {
    let world = World::new();
    let attempts = (0..8).map(|_| {
        let (deployer, source) = (world.deployer.clone(), world.source());
        tokio::spawn(async move { deployer.deploy(endpoint("iris", "first"), source).await })
    });
    let mut begun = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(operation) => {
                operation.wait().await.unwrap();
                begun += 1;
            }
            Err(DeployError::Busy { .. } | DeployError::Exists(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(begun, 1);
}

#[test]
fn r_svc_1_a_deployment_under_way_goes_on_after_a_restart() {
    let world = World::new();
    dies_while_waiting(&world, async |deployer: &Deployer| {
        deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let next = world.restarted();
        let refused = next.deploy(endpoint("iris", "first"), world.source()).await;
        assert!(matches!(refused, Err(DeployError::Unfinished(_))), "{refused:?}");
        world.backend.heal(&id("first"));
        let resumed = next.resume().await.unwrap();
        assert_eq!(resumed.operations.len(), 1);
        resumed.operations[0].wait().await.unwrap();
        assert_eq!(resumed.operations[0].id().number(), 1);
        assert_eq!(shares(&world.endpoint().await.unwrap()), [("first".to_owned(), 10_000)]);
        assert!(next.keys(&iris()).await.is_ok());
        assert!(next.resume().await.unwrap().operations.is_empty(), "once is enough");
    });
}

#[test]
fn r_svc_1_what_cannot_go_on_after_a_restart_is_marked_and_cleaned_up() {
    let world = World::new();
    dies_while_waiting(&world, async |deployer: &Deployer| {
        deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap()
    });
    std::fs::remove_file(world.folder.path().join("score.py")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let next = world.restarted();
        let resumed = next.resume().await.unwrap();
        let failure = resumed.operations[0].wait().await.unwrap_err();
        assert!(failure.message.contains("does not exist"), "{failure}");
        assert!(world.endpoint().await.is_none());
        assert!(world.backend.applied(&id("first")).is_none());
        assert_eq!(world.stored().await, 0);
        let known = next.operation(resumed.operations[0].id()).await.unwrap();
        assert!(matches!(known.state(), OperationState::Failed(_)));
    });
}

#[test]
fn r_svc_1_a_version_routed_just_before_the_restart_is_not_created_twice() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(world.deployed());
    dies_while_waiting(&world, async |deployer: &Deployer| {
        let creating =
            deployer.create_version(iris_ref(), spec("second", 10), Tags::default(), world.source());
        creating.await.unwrap()
    });
    runtime.block_on(async {
        // The write was made, the note about it was not.
        let mut spec = world.endpoint().await.unwrap();
        spec.versions.push(support::spec("second", 10));
        let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
        world.catalog.put(&key, &Document::from_json(spec.to_json()).unwrap(), Expected::Any).await.unwrap();
        world.backend.heal(&id("second"));
        let resumed = world.restarted().resume().await.unwrap();
        resumed.operations[0].wait().await.unwrap();
        assert_eq!(world.endpoint().await.unwrap(), spec);
    });
}

#[tokio::test]
async fn r_auth_1_a_start_repairs_the_verifier_from_the_credentials() {
    let world = World::new();
    world.deployed().await;
    let key = DocKey::new(DocKind::Verifier, "iris").unwrap();
    for damage in ["{}", "\"nonsense\""] {
        world.catalog.put(&key, &Document::from_json(damage).unwrap(), Expected::Any).await.unwrap();
        assert_eq!(world.restarted().resume().await.unwrap().verifiers, [iris()]);
    }
    let verifier = Verifier::from_json(&world.document(DocKind::Verifier, "iris").await.unwrap()).unwrap();
    let keys = world.deployer.keys(&iris()).await.unwrap();
    let check = verifier.check(keys.key(KeySlot::Primary).expose(), UnixSeconds(0));
    assert_eq!(check.slot(), Some(KeySlot::Primary));
    assert!(world.restarted().resume().await.unwrap().verifiers.is_empty());
}

#[tokio::test]
async fn a_start_applies_what_is_routed_and_removes_what_is_not() {
    let world = World::new();
    world.deployed().await;
    let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
    let before = world.backend.history().len();
    world.restarted().resume().await.unwrap();
    assert_eq!(world.backend.history()[before..], [id("first")]);

    world.catalog.delete(&key, Expected::Any).await.unwrap();
    world.restarted().resume().await.unwrap();
    assert!(world.backend.applied(&id("first")).is_none());
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn a_service_that_cannot_be_looked_after_stops_no_other() {
    let world = World::new();
    world.deployed().await;
    let key = DocKey::new(DocKind::Operation, "aaa").unwrap();
    world.catalog.put(&key, &Document::from_json("[1]").unwrap(), Expected::Any).await.unwrap();
    let resumed = world.restarted().resume().await.unwrap();
    assert_eq!(resumed.faults.len(), 1);
    assert_eq!((resumed.faults[0].0.as_str(), resumed.faults[0].1.kind()), ("aaa", ErrorKind::Invalid));
    assert!(world.backend.history().iter().filter(|applied| **applied == id("first")).count() >= 2);
}

#[tokio::test]
async fn the_last_twenty_operations_are_remembered() {
    let world = World::new();
    world.deployed().await;
    for _ in 0..22 {
        let updating = world.deployer.update(&iris(), |endpoint| endpoint.idempotent ^= true).await.unwrap();
        updating.wait().await.unwrap();
    }
    let other = world.restarted();
    assert!(matches!(other.operation(&"iris.3".parse().unwrap()).await, Err(DeployError::NotFound(_))));
    let known = other.operation(&"iris.4".parse().unwrap()).await.unwrap();
    assert_eq!(known.state(), OperationState::Succeeded);
    assert_eq!(events(&known).await, [Event::Ended(OperationState::Succeeded)]);
}
