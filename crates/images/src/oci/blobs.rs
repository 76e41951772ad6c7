//! Blobs: looking for them, taking them over, reading and sending them.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use oci_client::RegistryOperation;
use oci_client::errors::OciDistributionError as Cause;
use portway_hashing::Digest;
use portway_hashing::resolve::{RegistryError, RegistryErrorKind};

use super::failure::{is_unauthorized, silent};
use super::manifest::Descriptor;
use super::remote::Remote;

/// A blob's bytes on their way.
pub(crate) type Flow = BoxStream<'static, io::Result<Bytes>>;

impl Remote {
    pub(crate) async fn has_blob(&self, digest: Digest) -> Result<bool, RegistryError> {
        let (reference, name) = (self.pinned(digest), digest.to_string());
        let what = format!("look for the layer {digest} in {}", self.repository);
        let question = || self.client.blob_exists(&reference, &name);
        Ok(self.ask(&reference, RegistryOperation::Pull, &what, question).await?.unwrap_or(false))
    }

    /// Asks the registry to take the blob over from another repository of its own. `false` if it would rather be sent it; an upload
    /// that it began for that is left to expire.
    pub(crate) async fn mount(&self, source: &Self, digest: Digest) -> Result<bool, RegistryError> {
        if source.repository.host() != self.repository.host() {
            return Ok(false);
        }
        let (to, from, name) = (self.pinned(digest), source.pinned(digest), digest.to_string());
        let what = format!("take the layer {digest} over from {}", source.repository);
        let question = || async {
            match self.client.mount_blob(&to, &from, &name).await {
                Ok(()) => Ok(true),
                Err(Cause::SpecViolationError(_)) => Ok(false),
                // A token of ours is for one repository: a registry that looks at it says 401 to a question about two.
                Err(Cause::ServerError { code: 400 | 401 | 403 | 404 | 405, .. }) => Ok(false),
                Err(cause) => Err(cause),
            }
        };
        Ok(self.ask(&to, RegistryOperation::Push, &what, question).await?.unwrap_or(false))
    }

    /// A blob's bytes; the stream ends with an error if they are not what the digest says.
    pub(crate) async fn open_blob(&self, digest: Digest) -> Result<Flow, RegistryError> {
        let (reference, name) = (self.pinned(digest), digest.to_string());
        let what = format!("read the layer {digest} of {}", self.repository);
        let question = || self.client.pull_blob_stream(&reference, name.as_str());
        let found = self.ask(&reference, RegistryOperation::Pull, &what, question).await?;
        let found = found.ok_or_else(|| {
            let message = format!("could not {what}: it is not there; push the image anew");
            RegistryError::new(RegistryErrorKind::Refused, message)
        })?;
        Ok(found.stream)
    }

    /// Sends a blob that `open` opens, and opens again if the registry wants another token first.
    pub(crate) async fn send_blob<F>(
        &self,
        blob: &Descriptor,
        open: impl Fn() -> F + Send + Sync,
    ) -> Result<(), RegistryError>
    where
        F: Future<Output = Result<Flow, RegistryError>> + Send,
    {
        let what = format!("send the layer {} to {}", blob.digest, self.repository);
        let first = self.try_send(blob, &what, open().await?).await?;
        if first == Sent::Stored {
            return Ok(());
        }
        let reference = self.pinned(blob.digest);
        self.within_silence(&what, self.renew(&reference, RegistryOperation::Push, &what)).await?;
        match self.try_send(blob, &what, open().await?).await? {
            Sent::Stored => Ok(()),
            Sent::Unauthorized => Err(self.failed(&what, Cause::UnauthorizedError { url: String::new() })),
        }
    }

    async fn try_send(&self, blob: &Descriptor, what: &str, flow: Flow) -> Result<Sent, RegistryError> {
        let progress = Arc::new(Progress::default());
        let watched = Arc::clone(&progress);
        let flow = flow.map(move |piece| watched.watch(piece));
        let (reference, name) = (self.pinned(blob.digest), blob.digest.to_string());
        let sent = self.client.push_blob_stream(&reference, flow, &name, Some(blob.size));
        let sent = self.while_it_moves(sent, &progress, blob.size).await;
        // What went wrong with the source is the reason for what the target says.
        if let Some(error) = progress.take_failure() {
            return Err(self.broken(what, error));
        }
        match sent {
            None => Err(silent(what, self.silence)),
            Some(Ok(_)) => Ok(Sent::Stored),
            Some(Err(cause)) if is_unauthorized(&cause) => Ok(Sent::Unauthorized),
            Some(Err(cause)) => Err(self.failed(what, cause)),
        }
    }

    /// Ends with `None` when nothing has moved for as long as the registry may be silent. Once everything was sent, it has
    /// [`STORING`] times as long to store it.
    async fn while_it_moves<T>(
        &self,
        work: impl Future<Output = T>,
        progress: &Progress,
        whole: u64,
    ) -> Option<T> {
        let mut work = pin!(work);
        let (mut before, mut idle) = (0, 0);
        loop {
            if let Ok(done) = tokio::time::timeout(self.silence, &mut work).await {
                return Some(done);
            }
            let moved = progress.moved.load(Ordering::Relaxed);
            idle = if moved == before { idle + 1 } else { 0 };
            before = moved;
            if idle >= if moved == whole { STORING } else { 1 } {
                return None;
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Sent {
    Stored,
    /// The token at hand was not taken.
    Unauthorized,
}

/// What is known of a blob on its way: the client keeps both to itself.
#[derive(Default)]
struct Progress {
    moved: AtomicU64,
    failure: Mutex<Option<io::Error>>,
}

impl Progress {
    fn watch(&self, piece: io::Result<Bytes>) -> oci_client::errors::Result<Bytes> {
        match piece {
            Ok(bytes) => {
                self.moved.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(bytes)
            }
            Err(error) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(Cause::IoError(io::ErrorKind::BrokenPipe.into()))
            }
        }
    }

    fn take_failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

const STORING: u32 = 10;
