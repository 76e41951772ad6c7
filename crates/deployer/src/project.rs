//! Packing a project folder and bringing it to where replicas find it.

use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use portway_backend::{ArtifactName, Artifacts, BackendError, Project};
use portway_deploy_config::ServiceName;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::error::with_causes;
use crate::{ImageError, PackedProject, Reaction};

/// Reads a project folder, in a thread that may block.
pub(crate) async fn read(folder: &Path, script: &str) -> Result<PackedProject, ImageError> {
    let (folder, script) = (folder.to_owned(), script.to_owned());
    blocking(move || PackedProject::read(&folder, &script)).await
}

/// Stores the packed project of a service; false if the same bytes lay there already.
pub(crate) async fn upload(
    artifacts: &dyn Artifacts,
    service: &ServiceName,
    project: &PackedProject,
) -> Result<(Project, u64, bool), BackendError> {
    let artifact: ArtifactName = format!("{}{}.tar", prefix(service), project.digest().hex()).parse()?;
    let present = artifacts.list(artifact.as_str()).await?.into_iter().find(|info| info.name == artifact);
    if let Some(info) = present {
        return Ok((Project { artifact, digest: info.digest }, info.size, false));
    }
    let (sender, receiver) = mpsc::channel(CHUNKS_UNDER_WAY);
    let project = project.clone();
    let packing = blocking(move || {
        let out = io::BufWriter::with_capacity(CHUNK, Sending(sender.clone()));
        // A pack that failed must not look like one that ended.
        project.write_to(out).or_else(|error| {
            drop(sender.blocking_send(Err(as_backend(&error))));
            Ok(())
        })
    });
    let bytes =
        stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|item| (item, receiver)));
    let storing = artifacts.put(&artifact, bytes.boxed(), None);
    let (stored, packed) = futures_util::future::join(storing, packing).await;
    let info = stored?;
    packed.map_err(|error| as_backend(&error))?;
    Ok((Project { artifact, digest: info.digest }, info.size, true))
}

/// Below which the packed projects of a service lie.
pub(crate) fn prefix(service: &ServiceName) -> String {
    format!("projects/{service}/")
}

fn as_backend(error: &ImageError) -> BackendError {
    let message = with_causes(error);
    match error.reaction() {
        Reaction::Retry => BackendError::unavailable(message),
        _ => BackendError::invalid(message),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    let gone = |error| {
        Err(ImageError::new(Reaction::Retry, "reading the project folder was interrupted").with_source(error))
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
