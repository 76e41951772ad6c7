//! Projects that reach their replicas as a layer of their image.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use portway_backend::{Digest, EntryStyle, Environment, Phase, ProjectLayer, Workload};
use portway_deployer::{
    Deployer, Event, GivenImage, ImageError, OperationState, PackedProject, ProjectImage, ProjectImages,
    Reaction, Source, Step, Tags,
};
use support::*;

/// A registry that keeps the packs of projects under what they and their base hash to.
#[derive(Default)]
struct Shelf {
    images: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Which calls fail, the first one first.
    faults: Mutex<VecDeque<Reaction>>,
    /// What happens to the folder before it is packed.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[async_trait]
impl ProjectImages for Shelf {
    async fn with_project(&self, image: &str, project: &PackedProject) -> Result<ProjectImage, ImageError> {
        if let Some(reaction) = self.faults.lock().unwrap().pop_front() {
            return Err(ImageError::new(reaction, "the shelf is broken; mend it"));
        }
        if let Some(act) = self.meanwhile.lock().unwrap().take() {
            act();
        }
        let mut pack = Vec::new();
        project.write_to(&mut pack)?;
        let digest = Digest::of(format!("{image} {}", project.digest()).as_bytes());
        let reference = format!("registry.example/projects@{digest}");
        let bytes = pack.len() as u64;
        let new = self.images.lock().unwrap().insert(reference.clone(), pack).is_none();
        Ok(ProjectImage { reference, layer: layer(), bytes, new })
    }
}

impl Shelf {
    fn stored(&self) -> Vec<String> {
        self.images.lock().unwrap().keys().cloned().collect()
    }
}

fn layer() -> ProjectLayer {
    ProjectLayer { folder: "/srv/project".into(), server: "/srv/server.py".into() }
}

fn world() -> (World, Arc<Shelf>) {
    let shelf = Arc::new(Shelf::default());
    (World::with_project_images(shelf.clone()), shelf)
}

fn restarted(world: &World, shelf: &Arc<Shelf>) -> Deployer {
    let images = Arc::new(GivenImage(base()));
    let deployer =
        Deployer::new(world.backend.clone(), world.catalog.clone(), world.artifacts.clone(), images);
    deployer.project_images(shelf.clone())
}

fn reference(workload: &Workload) -> String {
    let Environment::Image { reference } = &workload.environment else { panic!("{workload:?}") };
    reference.clone()
}

/// How often an event of this kind, and whether it was the first time.
fn layered(events: &[Event]) -> Vec<(String, bool)> {
    let found = |event: &Event| match event {
        Event::Layered { reference, new, .. } => Some((reference.clone(), *new)),
        _ => None,
    };
    events.iter().filter_map(found).collect()
}

#[tokio::test]
async fn r_run_1_a_project_becomes_a_layer_and_every_step_is_an_event() {
    let (world, shelf) = world();
    let operation = world.deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    operation.wait().await.unwrap();
    let events = events(&operation).await;

    let steps: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::Began(step) = event { Some(*step) } else { None })
        .collect();
    use Step::{Apply, Check, Credentials, Image, Pack, Ready, Route, Upload};
    assert_eq!(steps, [Check, Pack, Image, Upload, Apply, Ready, Credentials, Route]);
    assert!(!events.iter().any(|event| matches!(event, Event::Skipped { .. } | Event::Uploaded { .. })));
    let stored = shelf.stored();
    assert_eq!(layered(&events), [(stored[0].clone(), true)]);
    let at = |wanted: &dyn Fn(&Event) -> bool| events.iter().position(wanted).unwrap();
    let image = at(&|event| matches!(event, Event::Image { name, .. } if name == BASE));
    let layered = at(&|event| matches!(event, Event::Layered { .. }));
    assert!(image < layered && layered < at(&|event| matches!(event, Event::Applied(_))));

    let applied = world.backend.applied(&id("first")).unwrap();
    assert_eq!(reference(&applied), stored[0]);
    assert_eq!(applied.program.layer, Some(layer()));
    assert_eq!((applied.program.project, applied.program.style), (None, EntryStyle::InitRun));
    assert_eq!(applied.program.script.as_deref(), Some("score.py"));
    assert_eq!(world.stored().await, 0, "nothing lies among the artifacts");
}

#[tokio::test]
async fn r_run_3_the_models_of_a_layer_are_where_scripts_look_for_them() {
    let (world, _) = world();
    let models = async |name: &str, source: Source| {
        let creating = world.deployer.create_version(iris_ref(), spec(name, 0), Tags::default(), source);
        creating.await.unwrap().wait().await.unwrap();
        world.backend.applied(&id(name)).unwrap().variables["AZUREML_MODEL_DIR"].clone()
    };
    world.deployed().await;
    assert_eq!(models("plain", world.source()).await, "/srv/project");
    let mut own = world.source();
    own.variables.insert("AZUREML_MODEL_DIR".into(), "/models".into());
    assert_eq!(models("own", own).await, "/models");
    let folder = world.folder.path().join("azureml-models");
    std::fs::create_dir(&folder).unwrap();
    write(&folder, "weights.txt", "0.5");
    assert_eq!(models("beside", world.source()).await, "/srv/project/azureml-models");
}

#[tokio::test]
async fn r_img_3_what_is_ignored_is_no_part_of_the_layer() {
    let (world, shelf) = world();
    write(world.folder.path(), ".amlignore", "notes.txt\n");
    write(world.folder.path(), "notes.txt", "later");
    world.deployed().await;
    let pack = shelf.images.lock().unwrap().pop_first().unwrap().1;
    let to = tempfile::tempdir().unwrap();
    portway_hashing::fs::unpack(&pack[..], to.path().join("p"), Default::default()).unwrap();
    assert!(to.path().join("p/score.py").exists() && !to.path().join("p/notes.txt").exists());
}

#[tokio::test]
async fn the_same_project_on_the_same_image_is_found() {
    let (world, shelf) = world();
    world.deployed().await;
    let creating =
        world.deployer.create_version(iris_ref(), spec("second", 10), Tags::default(), world.source());
    let operation = creating.await.unwrap();
    operation.wait().await.unwrap();
    assert_eq!(layered(&events(&operation).await), [(shelf.stored()[0].clone(), false)]);
    assert_eq!(shelf.stored().len(), 1);
}

#[tokio::test]
async fn a_layer_that_cannot_be_put_leaves_nothing_and_can_be_tried_again() {
    for reaction in [Reaction::Change, Reaction::Retry] {
        let (world, shelf) = world();
        shelf.faults.lock().unwrap().push_back(reaction);
        let operation = world.deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
        let failure = operation.wait().await.unwrap_err();
        assert_eq!((failure.step, failure.reaction), (Step::Upload, reaction));
        assert!(failure.message.contains("mend it"), "{failure}");
        assert!(world.endpoint().await.is_none() && world.backend.history().is_empty());
        assert!(shelf.stored().is_empty());
        world.deployed().await;
    }
}

#[tokio::test]
async fn a_folder_that_changes_while_it_is_packed_is_not_deployed() {
    let (world, shelf) = world();
    let script = world.folder.path().join("score.py");
    *shelf.meanwhile.lock().unwrap() =
        Some(Box::new(move || std::fs::write(script, "def init(): pass\n").unwrap()));
    let operation = world.deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    let failure = operation.wait().await.unwrap_err();
    assert_eq!((failure.step, failure.reaction), (Step::Upload, Reaction::Retry));
    assert!(failure.message.contains("changed while it was packed"), "{failure}");
    assert!(shelf.stored().is_empty() && world.backend.history().is_empty());
}

#[tokio::test]
async fn an_interpreter_is_nothing_to_put_a_project_on() {
    let shelf = Arc::new(Shelf::default());
    let world = World::new();
    let deployer = world.deployer.clone().project_images(shelf.clone());
    let operation = deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
    let failure = operation.wait().await.unwrap_err();
    assert_eq!((failure.step, failure.reaction), (Step::Upload, Reaction::Change));
    assert!(failure.message.contains("interpreter of this machine"), "{failure}");
    assert!(shelf.stored().is_empty());
}

#[tokio::test]
async fn an_update_that_fails_brings_the_old_image_back() {
    let (world, shelf) = world();
    world.deployed().await;
    let before = world.backend.applied(&id("first"));
    world.backend.stage(Phase::Failed, "exit status 1");
    let operation = world.updating(world.other_source()).await;
    operation.wait().await.unwrap_err();
    assert!(events(&operation).await.contains(&Event::Restored(id("first"))));
    assert_eq!(world.backend.applied(&id("first")), before);
    assert_eq!(shelf.stored().len(), 2, "what was pushed stays, for the next try");
}

#[test]
fn r_svc_1_a_deployment_goes_on_after_a_restart_and_finds_its_layer() {
    let (world, shelf) = world();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    world.backend.stage(Phase::Transitioning, "starting");
    let first = runtime().unwrap();
    let deployer = restarted(&world, &shelf);
    first.block_on(async {
        let operation = deployer.deploy(endpoint("iris", "first"), world.source()).await.unwrap();
        told(&operation, |event| matches!(event, Event::Replicas { .. })).await;
    });
    first.shutdown_background();

    runtime().unwrap().block_on(async {
        world.backend.heal(&id("first"));
        let resumed = restarted(&world, &shelf).resume().await.unwrap();
        let operation = &resumed.operations[0];
        operation.wait().await.unwrap();
        assert_eq!(operation.state(), OperationState::Succeeded);
        assert_eq!(layered(&events(operation).await), [(shelf.stored()[0].clone(), false)]);
        assert_eq!(shelf.stored().len(), 1);

        // The record names the image, so that a later start applies it as it was.
        let applied = world.backend.applied(&id("first"));
        restarted(&world, &shelf).resume().await.unwrap();
        assert_eq!(world.backend.applied(&id("first")), applied);
        assert_eq!(applied.unwrap().program.layer, Some(layer()));
    });
}
