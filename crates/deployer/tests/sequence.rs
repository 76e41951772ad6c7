//! The documented sequence: its steps, their order, and what each failure leaves behind.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portway_backend::{Artifacts, DocKind, EntryStyle, Environment, ErrorKind, Phase, Program};
use portway_deploy_config::{Amounts, Capacity, DeploymentConfig, MemoryMib, Millicores, Node};
use portway_deployer::{
    Code, DeployError, Event, Image, ImageError, ImageOrigin, ImageRequest, ImageSource, OperationState,
    Reaction, Source, Step, Tags,
};
use portway_hashing::resolve::BuildLog;
use support::*;

fn project(folder: &Path, script: &str) -> Code {
    Code::Project { folder: folder.to_owned(), script: script.to_owned() }
}

fn steps(events: &[Event]) -> Vec<Step> {
    let step = |event: &Event| if let Event::Began(step) = event { Some(*step) } else { None };
    events.iter().filter_map(step).collect()
}

#[tokio::test]
async fn r_run_1_every_step_is_an_event_in_the_documented_order() {
    let world = World::new();
    let operation = world.deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    operation.wait().await.unwrap();
    let events = events(&operation).await;

    use Step::{Apply, Check, Credentials, Image, Pack, Ready, Route, Upload};
    assert_eq!(steps(&events), [Check, Pack, Image, Upload, Apply, Ready, Credentials, Route]);
    assert!(events.contains(&Event::Packed { files: 1, bytes: INIT_RUN.len() as u64 }));
    assert!(events.contains(&Event::Credentials { new: true }));
    let routed = Event::Routed {
        shares: vec![(version("first"), 10_000)],
        default: version("first"),
        control: version("first"),
    };
    assert!(events.contains(&routed));
    assert_eq!(events.last(), Some(&Event::Ended(OperationState::Succeeded)));

    let applied = world.backend.applied(&id("first")).unwrap();
    assert_eq!(applied.program.style, EntryStyle::InitRun);
    assert_eq!(applied.program.script.as_deref(), Some("score.py"));
    let project = applied.program.project.unwrap();
    let stored = world.artifacts.get(&project.artifact).await.unwrap().unwrap();
    assert_eq!(stored.info.digest, project.digest);
}

#[tokio::test]
async fn r_run_1_an_image_that_is_given_is_neither_packed_nor_looked_up() {
    let world = World::new();
    let reference = format!("registry.example/iris@sha256:{}", "0a".repeat(32));
    let source = Source::given(reference.clone());
    let operation = world.deployer.deploy(endpoint("iris", "first"), source).await.unwrap();
    operation.wait().await.unwrap();
    let events = events(&operation).await;
    use Step::{Apply, Check, Credentials, Image, Pack, Ready, Route, Upload};
    assert_eq!(steps(&events), [Check, Apply, Ready, Credentials, Route]);
    let skipped: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::Skipped { step, .. } = event { Some(*step) } else { None })
        .collect();
    assert_eq!(skipped, [Pack, Image, Upload]);
    assert!(events.contains(&Event::Image { name: reference.clone(), origin: ImageOrigin::Given }));
    assert!(!events.iter().any(|event| matches!(event, Event::Note(_))), "{events:?}");

    let applied = world.backend.applied(&id("first")).unwrap();
    assert_eq!(applied.program, Program::entry_point());
    assert_eq!(applied.environment, Environment::Image { reference });
    assert_eq!(world.stored().await, 0);

    let tagged = Source::given("iris:latest");
    let creating = world.deployer.create_version(iris_ref(), spec("second", 10), Tags::default(), tagged);
    let operation = creating.await.unwrap();
    operation.wait().await.unwrap();
    let said = |event: &Event| matches!(event, Event::Note(text) if text.contains("iris:latest is a tag"));
    assert!(self::events(&operation).await.iter().any(said));
}

#[tokio::test]
async fn r_run_1_a_version_gets_no_share_before_its_replicas_are_ready() {
    let world = World::new();
    world.deployed().await;
    world.backend.stage(Phase::Transitioning, "starting");
    let creating =
        world.deployer.create_version(iris_ref(), spec("second", 10), Tags::default(), world.other_source());
    let operation = creating.await.unwrap();
    told(&operation, |event| matches!(event, Event::Replicas { message, .. } if message == "starting")).await;
    assert_eq!(shares(&world.endpoint().await.unwrap()), [("first".to_owned(), 10_000)]);

    world.backend.heal(&id("second"));
    operation.wait().await.unwrap();
    let after = world.endpoint().await.unwrap();
    assert_eq!(shares(&after), [("first".to_owned(), 9_000), ("second".to_owned(), 1_000)]);
}

#[tokio::test]
async fn r_run_3_the_style_of_the_script_is_found_or_given() {
    let world = World::new();
    let mut source = world.other_source();
    let operation = world.deployer.deploy(endpoint("iris", "first"), source.clone()).await.unwrap();
    operation.wait().await.unwrap();
    assert_eq!(world.backend.applied(&id("first")).unwrap().program.style, EntryStyle::Listens);

    source.style = Some(EntryStyle::InitRun);
    let operation =
        world.deployer.create_version(iris_ref(), spec("second", 0), Tags::default(), source).await.unwrap();
    operation.wait().await.unwrap();
    assert_eq!(world.backend.applied(&id("second")).unwrap().program.style, EntryStyle::InitRun);
}

#[tokio::test]
async fn all_faults_of_a_request_come_at_once_and_nothing_happens() {
    let world = World::new();
    let mut two = endpoint("iris", "first");
    two.versions.push(spec("second", 90));
    let mut source = world.source();
    source.code = project(world.folder.path(), "../score.py");
    let refused = world.deployer.deploy(two, source).await.unwrap_err();
    let DeployError::Refused(faults) = refused else { panic!("{refused}") };
    let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["/versions", "versions", "script"], "{faults:?}");
    assert!(world.document(DocKind::Operation, "iris").await.is_none());
    assert!(world.backend.applied(&id("first")).is_none());
}

#[tokio::test]
async fn scripts_that_cannot_run_are_refused_before_anything_is_applied() {
    let world = World::new();
    std::fs::create_dir(world.folder.path().join("folder.py")).unwrap();
    for (script, says) in [
        ("none.py", "does not exist"),
        ("/etc/passwd", "outside the project"),
        ("folder.py", "no regular file"),
    ] {
        let mut source = world.source();
        source.code = project(world.folder.path(), script);
        let refused = world.deployer.deploy(endpoint("iris", "first"), source).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    let mut source = world.source();
    source.code = project("/no/such/folder".as_ref(), "score.py");
    let refused = world.deployer.deploy(endpoint("iris", "first"), source).await.unwrap_err().to_string();
    assert!(refused.contains("/no/such/folder"), "{refused}");
}

#[tokio::test]
async fn r_img_3_a_script_that_is_ignored_is_no_part_of_the_project() {
    let world = World::new();
    write(world.folder.path(), ".amlignore", "score.py\n");
    let operation = world.deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    let failure = operation.wait().await.unwrap_err();
    assert_eq!((failure.step, failure.reaction), (Step::Pack, Reaction::Change));
    assert!(failure.message.contains(".amlignore"), "{failure}");
}

#[tokio::test]
async fn r_img_2_a_build_is_told_line_by_line() {
    struct Built;
    #[async_trait]
    impl ImageSource for Built {
        async fn image(&self, _: &ImageRequest, log: Arc<dyn BuildLog>) -> Result<Image, ImageError> {
            log.line("step 1");
            let environment = Environment::Image { reference: "repo@sha256:0".into() };
            Ok(Image { name: "v1-0".into(), environment, origin: ImageOrigin::Built })
        }
    }
    let world = World::with_images(Arc::new(Built));
    let operation = world.deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    let events = events(&operation).await;
    let line = events.iter().position(|event| *event == Event::BuildLine("step 1".into())).unwrap();
    let image = Event::Image { name: "v1-0".into(), origin: ImageOrigin::Built };
    assert_eq!(events[line + 1], image);
}

#[tokio::test]
async fn an_image_that_cannot_be_made_ends_the_operation_and_says_why() {
    let world = World::new();
    let mut source = world.source();
    source.image.conda = Some("dependencies: []".into());
    let operation = world.deployer.deploy(endpoint("iris", "first"), source).await.unwrap();
    let failure = operation.wait().await.unwrap_err();
    assert_eq!((failure.step, failure.reaction), (Step::Image, Reaction::Change));
    assert_nothing_is_left(&world).await;
}

async fn assert_nothing_is_left(world: &World) {
    assert!(world.endpoint().await.is_none());
    assert!(world.document(DocKind::Credentials, "iris").await.is_none());
    assert!(world.document(DocKind::Verifier, "iris").await.is_none());
    assert!(world.backend.applied(&id("first")).is_none());
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn r_run_4_replicas_that_fail_end_the_operation_with_their_reason_and_their_logs() {
    let world = World::new();
    world.backend.stage(Phase::Failed, "exit status 1");
    let operation = world.deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    let failure = operation.wait().await.unwrap_err();
    assert_eq!((failure.step, failure.reaction), (Step::Ready, Reaction::Change));
    assert!(failure.message.contains("failed (0 of 1 ready): exit status 1"), "{failure}");
    assert!(failure.logs.contains("iris-first-0"), "{}", failure.logs);
    assert_nothing_is_left(&world).await;
    let state = world.deployer.state(&iris()).await.unwrap();
    assert_eq!(state.phase, Phase::Failed);
}

#[tokio::test(start_paused = true)]
async fn r_run_4_replicas_that_are_not_ready_in_time_end_the_operation() {
    let world = World::new();
    let deployer = world.deployer.clone().ready_within(Duration::from_secs(60));
    world.backend.stage(Phase::Unschedulable, "no room");
    let operation = deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    let failure = operation.wait().await.unwrap_err();
    assert!(matches!(operation.state(), OperationState::TimedOut(_)));
    assert_eq!(failure.reaction, Reaction::MakeRoom);
    assert!(failure.message.contains("within 60 s (0 of 1 ready): no room"), "{failure}");
    assert_nothing_is_left(&world).await;
}

#[tokio::test]
async fn a_version_that_fails_leaves_the_running_ones_alone() {
    let world = World::new();
    world.deployed().await;
    let before = (world.endpoint().await, world.backend.applied(&id("first")));
    world.backend.stage(Phase::Failed, "exit status 1");
    let operation =
        world.deployer.create_version(iris_ref(), spec("second", 10), Tags::default(), world.other_source());
    operation.await.unwrap().wait().await.unwrap_err();
    assert_eq!((world.endpoint().await, world.backend.applied(&id("first"))), before);
    assert!(world.backend.applied(&id("second")).is_none());
    assert_eq!(world.stored().await, 1, "the failed version's project is deleted");
    assert!(world.deployer.keys(&iris()).await.is_ok());
}

#[tokio::test]
async fn an_update_that_fails_brings_the_old_source_back() {
    let world = World::new();
    world.deployed().await;
    let before = world.backend.applied(&id("first"));
    world.backend.stage(Phase::Failed, "exit status 1");
    let operation = world.updating(world.other_source()).await;
    operation.wait().await.unwrap_err();
    assert!(events(&operation).await.contains(&Event::Restored(id("first"))));
    assert_eq!(world.backend.applied(&id("first")), before);
    assert_eq!(world.stored().await, 1);
}

#[tokio::test]
async fn an_update_rolls_new_source_out_and_deletes_the_old_project() {
    let world = World::new();
    world.deployed().await;
    let operation = world.updating(world.other_source()).await;
    operation.wait().await.unwrap();
    let applied = world.backend.applied(&id("first")).unwrap();
    assert_eq!(applied.program.script.as_deref(), Some("serve.py"));
    let stored = world.artifacts.list("projects/iris").await.unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(Some(&stored[0].name), applied.program.project.as_ref().map(|project| &project.artifact));
}

#[tokio::test(start_paused = true)]
async fn a_catalog_that_is_away_for_a_moment_is_asked_again() {
    let world = World::new();
    world.catalog.faults().fail_next(ErrorKind::Unavailable, 2);
    world.deployed().await;
    assert!(world.endpoint().await.is_some());
}

#[tokio::test]
async fn a_backend_that_refuses_ends_the_operation_with_its_reaction() {
    for (kind, reaction) in [
        (ErrorKind::Invalid, Reaction::Change),
        (ErrorKind::Capacity, Reaction::MakeRoom),
        (ErrorKind::Unavailable, Reaction::Retry),
    ] {
        let world = World::new();
        // The first call is the watch, which every kind of failure may hit.
        world.backend.faults().fail_next(kind, 1);
        let operation = world.deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
        let failure = operation.wait().await.unwrap_err();
        assert_eq!((failure.step, failure.reaction), (Step::Apply, reaction));
        assert_nothing_is_left(&world).await;
    }
}

#[tokio::test]
async fn an_upload_that_fails_leaves_nothing() {
    let world = World::new();
    world.artifacts.faults().fail_next(ErrorKind::Capacity, 1);
    let operation = world.deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    let failure = operation.wait().await.unwrap_err();
    assert_eq!((failure.step, failure.reaction), (Step::Upload, Reaction::MakeRoom));
    assert_nothing_is_left(&world).await;
}

#[tokio::test]
async fn the_same_project_is_uploaded_once() {
    let world = World::new();
    world.deployed().await;
    let operation =
        world.deployer.create_version(iris_ref(), spec("second", 10), Tags::default(), world.source());
    let operation = operation.await.unwrap();
    operation.wait().await.unwrap();
    let again = |event: &Event| matches!(event, Event::Uploaded { new: false, .. });
    assert!(events(&operation).await.iter().any(again));
    assert_eq!(world.stored().await, 1);
}

#[tokio::test]
async fn r_run_1_a_version_that_finds_no_room_is_refused_before_its_image_is_built() {
    let world = World::new();
    let node = Node {
        name: "here".into(),
        allocatable: Amounts::new(Millicores(150), MemoryMib(4_096)),
        max_pods: 110,
        ..Node::default()
    };
    let deployer = world.deployer.clone().nodes(Capacity::new(vec![node]));
    let operation = deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    operation.wait().await.unwrap();
    assert!(events(&operation).await.contains(&Event::Fits { replicas: 1 }));

    let creating = deployer.create_version(iris_ref(), spec("second", 10), Tags::default(), world.source());
    let operation = creating.await.unwrap();
    let failure = operation.wait().await.unwrap_err();
    assert_eq!((failure.step, failure.reaction), (Step::Fit, Reaction::MakeRoom));
    assert!(failure.message.contains("lacks 50m of CPU"), "{failure}");
    assert!(!steps(&events(&operation).await).contains(&Step::Image));
}

#[tokio::test]
async fn r_run_4_a_deployment_configuration_sizes_and_probes_its_replicas() {
    let text = r#"{"computeType": "aks", "containerResourceRequirements": {"cpu": 1, "memoryInGB": 1},
        "livenessProbeRequirements": {"periodSeconds": 7}}"#;
    let config = DeploymentConfig::from_json(text).into_result().unwrap();
    let source = World::new().source().sized(config.spec());
    assert_eq!(source.resources.cpu, Millicores(1_000));
    assert_eq!(source.probe.period, Duration::from_secs(7));
}
