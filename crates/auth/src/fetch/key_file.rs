//! A signing key in a file that may change.

use std::io;
use std::path::PathBuf;

use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::{SigningKey, SigningKeyError};

/// Watches a PKCS#8 file in PEM form, as a mounted secret is.
///
/// Poll it every few seconds and hand what it gives to [`Issuer::adopt`](crate::Issuer::adopt). It reads the file each time:
/// times and sizes lie when a mount swaps links.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    seen: Option<[u8; 32]>,
}

impl KeyFile {
    /// Has not looked yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seen: None }
    }

    /// The key in the file, if the file has changed since the last time.
    ///
    /// # Errors
    /// [`KeyFileError`] if it cannot be read or holds no key. Keep the old key then, and poll again: a file that is bad is
    /// reported each time until it is good.
    pub fn poll(&mut self) -> Result<Option<SigningKey>, KeyFileError> {
        let text = Zeroizing::new(std::fs::read_to_string(&self.path)?);
        let mut found = [0; 32];
        found.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        if self.seen == Some(found) {
            return Ok(None);
        }
        let key = SigningKey::from_pem(&text)?;
        self.seen = Some(found);
        Ok(Some(key))
    }
}

/// Why a file gave no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read the key file")]
    Read(#[from] io::Error),
    /// The file holds something else.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
}
