//! The documented sequence, step by step (RUN-1).

use std::sync::Arc;

use portway_backend::{
    BackendError, EntryStyle, Environment, Phase, Program, Project, Status, Workload, WorkloadId,
};
use portway_deploy_config::{Replicas, ServiceName, VersionSpec};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use crate::error::with_causes;
use crate::source::is_pinned;
use crate::{
    Code, Deployer, Event, Failure, Fault, ImageError, ImageOrigin, ImageRequest, Operation, OperationState,
    PackedProject, ProjectImage, Reaction, Source, Step, project,
};

impl Deployer {
    /// From a source to a workload that a backend can run: check, pack, fit, image, upload.
    pub(crate) async fn prepare(
        &self,
        operation: &Operation,
        service: &ServiceName,
        version: &VersionSpec,
        source: &Source,
    ) -> Result<Workload, OperationState> {
        operation.emit(Event::Began(Step::Check));
        let style = entry_style_of(source).await?;
        let id = WorkloadId::new(service.clone(), version.name.clone());
        let replicas = first_replicas(&version.replicas);
        let mut models = None;
        let (mut program, environment) = match &source.code {
            Code::Project { folder, script } => {
                operation.emit(Event::Began(Step::Pack));
                let packed = project::read(folder, script).await.at(Step::Pack)?;
                let summary = packed.summary();
                operation.emit(Event::Packed { files: summary.files, bytes: summary.bytes });
                self.fits(operation, &id, replicas, &source.resources).await?;
                let environment = self.find_image(operation, &source.image).await?;
                let brought = self.bring(operation, service, script, &packed, environment).await?;
                models = brought.0.layer.as_ref().map(|layer| packed.models(&layer.folder));
                brought
            }
            Code::Image { reference, script } => {
                operation.emit(Event::Skipped { step: Step::Pack, why: IMAGE_GIVEN });
                self.fits(operation, &id, replicas, &source.resources).await?;
                let environment = take_image(operation, reference);
                operation.emit(Event::Skipped { step: Step::Upload, why: IMAGE_GIVEN });
                (script.as_ref().map_or_else(Program::entry_point, Program::script), environment)
            }
        };
        program.arguments.clone_from(&source.arguments);
        program.style = style;
        let mut workload = Workload::new(id, program, environment);
        workload.initial_replicas = replicas;
        workload.max_concurrent = version.max_concurrent;
        workload.resources.clone_from(&source.resources);
        workload.probe = source.probe;
        workload.variables.clone_from(&source.variables);
        if let Some(models) = models {
            workload.variables.entry(MODEL_DIR.to_owned()).or_insert(models);
        }
        // Whoever is being served may be served to the end.
        workload.termination_grace = version.scoring_timeout;
        Ok(workload)
    }

    async fn find_image(
        &self,
        operation: &Operation,
        request: &ImageRequest,
    ) -> Result<Environment, OperationState> {
        operation.emit(Event::Began(Step::Image));
        let log = {
            let operation = operation.clone();
            move |line: &str| operation.emit(Event::BuildLine(line.to_owned()))
        };
        let image = self.images.image(request, Arc::new(log)).await.at(Step::Image)?;
        operation.emit(Event::Image { name: image.name, origin: image.origin });
        Ok(image.environment)
    }

    /// Brings the project to where its replicas find it; the program that does, and what it runs in.
    async fn bring(
        &self,
        operation: &Operation,
        service: &ServiceName,
        script: &str,
        project: &PackedProject,
        environment: Environment,
    ) -> Result<(Program, Environment), OperationState> {
        operation.emit(Event::Began(Step::Upload));
        let mut program = Program::script(script);
        let Some(images) = &self.project_images else {
            program.project = Some(self.upload(operation, service, project).await?);
            return Ok((program, environment));
        };
        let Environment::Image { reference } = environment else {
            return Err(failed(Step::Upload, Reaction::Change, NO_IMAGE));
        };
        let ProjectImage { reference, layer, bytes, new } =
            images.with_project(&reference, project).await.at(Step::Upload)?;
        operation.emit(Event::Layered { reference: reference.clone(), bytes, new });
        program.layer = Some(layer);
        Ok((program, Environment::Image { reference }))
    }

    async fn upload(
        &self,
        operation: &Operation,
        service: &ServiceName,
        project: &PackedProject,
    ) -> Result<Project, OperationState> {
        let uploaded = project::upload(&*self.artifacts, service, project).await;
        let (packed, bytes, new) = uploaded.at(Step::Upload)?;
        operation.emit(Event::Uploaded { artifact: packed.artifact.clone(), bytes, new });
        Ok(packed)
    }

    /// Hands the workload to the backend and waits until it can serve.
    pub(crate) async fn run(&self, operation: &Operation, workload: &Workload) -> Result<(), OperationState> {
        let id = &workload.id;
        let mut status = self.backend.watch(id).await.at(Step::Apply)?;
        operation.emit(Event::Began(Step::Apply));
        self.backend.apply(workload).await.at(Step::Apply)?;
        operation.emit(Event::Applied(id.clone()));

        operation.emit(Event::Began(Step::Ready));
        let deadline = Instant::now() + self.ready_within;
        let mut told = None;
        loop {
            let now = Arc::clone(&status.borrow_and_update());
            tell(operation, id, &now, &mut told);
            match now.phase {
                Phase::Healthy if now.ready() >= now.wanted => return Ok(()),
                Phase::Failed => {
                    return Err(OperationState::Failed(self.not_ready(id, &now, "failed").await));
                }
                _ => {}
            }
            match timeout_at(deadline, status.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(failed(Step::Ready, Reaction::Retry, "the backend has gone away")),
                Err(_) => {
                    let late = format!("were not ready within {} s", self.ready_within.as_secs());
                    return Err(OperationState::TimedOut(self.not_ready(id, &now, &late).await));
                }
            }
        }
    }

    async fn not_ready(&self, id: &WorkloadId, status: &Status, what: &str) -> Failure {
        let why = if status.message.is_empty() { "the backend gives no reason" } else { &status.message };
        let reaction =
            if status.phase == Phase::Unschedulable { Reaction::MakeRoom } else { Reaction::Change };
        let logs = self.backend.logs(id, LOG_LINES).await.unwrap_or_default();
        let message =
            format!("the replicas of {id} {what} ({} of {} ready): {why}", status.ready(), status.wanted);
        Failure { step: Step::Ready, reaction, message, logs }
    }
}

/// The image that the caller named, as it is.
fn take_image(operation: &Operation, reference: &str) -> Environment {
    operation.emit(Event::Skipped { step: Step::Image, why: IMAGE_GIVEN });
    operation.emit(Event::Image { name: reference.to_owned(), origin: ImageOrigin::Given });
    if !is_pinned(reference) {
        operation.emit(Event::Note(format!(
            "{reference} is a tag: replicas may run different images under it; pin it as repository@sha256:…"
        )));
    }
    Environment::Image { reference: reference.to_owned() }
}

/// At least one replica, so that a version that may sleep has proven that it can wake up.
fn first_replicas(replicas: &Replicas) -> u32 {
    replicas.initial().max(1)
}

async fn entry_style_of(source: &Source) -> Result<EntryStyle, OperationState> {
    let source = source.clone();
    let checked = spawn_blocking(move || source.check()).await.map_err(|error| interrupted(&error))?;
    checked.map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
        failed(Step::Check, Reaction::Change, faults.join("; "))
    })
}

/// Tells what changed about the replicas, and nothing twice.
fn tell(operation: &Operation, id: &WorkloadId, status: &Status, told: &mut Option<Event>) {
    let event = Event::Replicas {
        id: id.clone(),
        ready: status.ready(),
        wanted: status.wanted,
        phase: status.phase,
        message: status.message.clone(),
    };
    if told.as_ref() != Some(&event) {
        *told = Some(event.clone());
        operation.emit(event);
    }
}

pub(crate) fn failed(step: Step, reaction: Reaction, message: impl Into<String>) -> OperationState {
    OperationState::Failed(Failure { step, reaction, message: message.into(), logs: String::new() })
}

/// The end of an operation whose task ended before its time.
pub(crate) fn interrupted(error: &JoinError) -> OperationState {
    let how = if error.is_panic() { "a bug in the deployer ended it" } else { "the runtime was shut down" };
    failed(Step::Check, Reaction::Retry, format!("the operation was interrupted: {how}"))
}

/// Names the step at which an error happened.
pub(crate) trait At<T> {
    fn at(self, step: Step) -> Result<T, OperationState>;
}

impl<T> At<T> for Result<T, BackendError> {
    fn at(self, step: Step) -> Result<T, OperationState> {
        self.map_err(|error| failed(step, error.kind().into(), with_causes(&error)))
    }
}

impl<T> At<T> for Result<T, ImageError> {
    fn at(self, step: Step) -> Result<T, OperationState> {
        self.map_err(|error| failed(step, error.reaction(), with_causes(&error)))
    }
}

const LOG_LINES: usize = 20;
const IMAGE_GIVEN: &str = "the image is given";
const NO_IMAGE: &str = "the environment is an interpreter of this machine, and a project can only be put into an image; take \
                        images from a registry and a builder of images, or name one as base";
/// Where the models lie, in the words of Azure ML's entry scripts.
const MODEL_DIR: &str = "AZUREML_MODEL_DIR";
