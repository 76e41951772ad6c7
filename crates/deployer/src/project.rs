//! Packing a project folder and bringing it to where replicas find it.

use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use portway_backend::{ArtifactName, Artifacts, BackendError, Project};
use portway_deploy_config::ServiceName;
use portway_hashing::fs::{self, ProjectError, Summary};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::error::with_causes;

/// What a project folder holds, and proof that its entry script is part of it.
pub(crate) async fn summary(folder: &Path, script: &str) -> Result<Summary, BackendError> {
    let (folder, script) = (folder.to_owned(), script.to_owned());
    blocking(move || {
        let project = fs::Project::new(folder);
        let entries = project.entries().map_err(refused)?;
        if !entries.iter().any(|entry| entry.path() == Path::new(&script)) {
            return Err(BackendError::invalid(format!(
                "the entry script {script:?} is ignored by the project's .amlignore or .gitignore, so no replica would have it; \
                 take it out of the ignore file"
            )));
        }
        project.digest().map_err(refused)
    })
    .await
}

/// Stores the packed project of a service; false if the same bytes lay there already.
pub(crate) async fn upload(
    artifacts: &dyn Artifacts,
    service: &ServiceName,
    folder: &Path,
    summary: Summary,
) -> Result<(Project, u64, bool), BackendError> {
    let artifact: ArtifactName = format!("{}{}.tar", prefix(service), summary.digest.hex()).parse()?;
    let present = artifacts.list(artifact.as_str()).await?.into_iter().find(|info| info.name == artifact);
    if let Some(info) = present {
        return Ok((Project { artifact, digest: info.digest }, info.size, false));
    }
    let (sender, receiver) = mpsc::channel(CHUNKS_UNDER_WAY);
    let folder = folder.to_owned();
    let packing = blocking(move || {
        let packed =
            fs::Project::new(folder).pack(io::BufWriter::with_capacity(CHUNK, Sending(sender.clone())));
        let packed = packed
            .map_err(refused)
            .and_then(|packed| if packed.digest == summary.digest { Ok(()) } else { Err(changed()) });
        // A pack that failed must not look like one that ended.
        packed.map_err(|error| drop(sender.blocking_send(Err(error)))).or(Ok(()))
    });
    let bytes =
        stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|item| (item, receiver)));
    let storing = artifacts.put(&artifact, bytes.boxed(), None);
    let (stored, packed) = futures_util::future::join(storing, packing).await;
    let info = stored?;
    packed?;
    Ok((Project { artifact, digest: info.digest }, info.size, true))
}

/// Below which the packed projects of a service lie.
pub(crate) fn prefix(service: &ServiceName) -> String {
    format!("projects/{service}/")
}

fn refused(error: ProjectError) -> BackendError {
    BackendError::invalid(with_causes(&error))
}

fn changed() -> BackendError {
    BackendError::unavailable(
        "the project folder changed while it was packed; try again when nobody writes into it",
    )
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
) -> Result<T, BackendError> {
    let gone = |error| {
        Err(BackendError::unavailable("reading the project folder was interrupted").with_source(error))
    };
    spawn_blocking(work).await.unwrap_or_else(gone)
}

/// Writes into a channel, from a thread that may block.
struct Sending(mpsc::Sender<Result<Bytes, BackendError>>);

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len())
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the store stopped reading"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const CHUNK: usize = 64 * 1024;
const CHUNKS_UNDER_WAY: usize = 8;
