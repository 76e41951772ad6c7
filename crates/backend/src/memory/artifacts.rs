use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Faults, lock};
use crate::{Artifact, ArtifactInfo, ArtifactName, Artifacts, BackendError, ByteStream, Digest};

/// Artifacts in memory.
#[derive(Debug, Default)]
pub struct MemoryArtifacts {
    stored: Mutex<BTreeMap<ArtifactName, (Digest, Bytes)>>,
    faults: Faults,
}

impl MemoryArtifacts {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Failures for the calls to come.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

fn info(name: &ArtifactName, digest: &Digest, bytes: &Bytes) -> ArtifactInfo {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    ArtifactInfo { name: name.clone(), digest: digest.clone(), size }
}

#[async_trait]
impl Artifacts for MemoryArtifacts {
    async fn put(
        &self,
        name: &ArtifactName,
        bytes: ByteStream,
        expected: Option<&Digest>,
    ) -> Result<ArtifactInfo, BackendError> {
        self.faults.check()?;
        let all: BytesMut = bytes
            .try_fold(BytesMut::new(), async |mut all, next| {
                all.extend_from_slice(&next);
                Ok(all)
            })
            .await?;
        let all = all.freeze();
        let digest = Digest::of(&all);
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(BackendError::invalid(format!(
                "{name} should hash to {expected}, but hashes to {digest}"
            )));
        }
        let info = info(name, &digest, &all);
        lock(&self.stored).insert(name.clone(), (digest, all));
        Ok(info)
    }

    async fn get(&self, name: &ArtifactName) -> Result<Option<Artifact>, BackendError> {
        self.faults.check()?;
        Ok(lock(&self.stored).get(name).map(|(digest, bytes)| Artifact {
            info: info(name, digest, bytes),
            bytes: stream::iter([Ok(bytes.clone())]).boxed(),
        }))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ArtifactInfo>, BackendError> {
        self.faults.check()?;
        let below = |name: &ArtifactName| match name.as_str().strip_prefix(prefix) {
            Some(rest) => {
                prefix.is_empty() || prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/')
            }
            None => false,
        };
        let stored = lock(&self.stored);
        let found = stored.iter().filter(|(name, _)| below(name));
        Ok(found.map(|(name, (digest, bytes))| info(name, digest, bytes)).collect())
    }

    async fn delete(&self, name: &ArtifactName) -> Result<(), BackendError> {
        self.faults.check()?;
        lock(&self.stored).remove(name);
        Ok(())
    }
}
