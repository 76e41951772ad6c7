//! A file without a name that knows its digest.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use portway_hashing::Digest;
use ring::digest::{Context, SHA256};

use crate::oci::blobs::Flow;

/// Takes bytes in.
pub(super) struct Spool {
    file: File,
    hasher: Context,
    length: u64,
}

/// Gives them out again, as often as one likes.
#[derive(Clone)]
pub(super) struct Spooled {
    file: Arc<File>,
    pub(super) digest: Digest,
    pub(super) length: u64,
}

impl Spool {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile()?, hasher: Context::new(&SHA256), length: 0 })
    }

    pub(super) fn finish(self) -> Spooled {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.hasher.finish().as_ref());
        Spooled { file: Arc::new(self.file), digest: Digest::from_bytes(digest), length: self.length }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Spooled {
    /// All of it, from the start. Nobody else knows the file, so it cannot have changed.
    pub(super) fn flow(&self) -> Flow {
        let length = self.length;
        let pieces = stream::unfold((Arc::clone(&self.file), 0), move |(file, at)| async move {
            if at == length {
                return None;
            }
            let size = usize::try_from(length - at).unwrap_or(PIECE).min(PIECE);
            let reader = Arc::clone(&file);
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; size];
                reader.read_exact_at(&mut piece, at).map(|()| Bytes::from(piece))
            });
            let piece = read.await.unwrap_or_else(|error| Err(io::Error::other(error)));
            // After an error there is nothing more to read.
            let next = if piece.is_ok() { at + size as u64 } else { length };
            Some((piece, (file, next)))
        });
        pieces.boxed()
    }
}

const PIECE: usize = 256 * 1024;
