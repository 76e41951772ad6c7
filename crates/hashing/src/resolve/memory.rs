//! Seams in memory: for tests, and for a process that builds for itself alone.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Mutex as AsyncMutex;

use super::{Held, Lock, LockError, Registry, RegistryError};
use crate::{ImageKey, ImageRef};

/// A registry that lives as long as its process. Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct MemoryRegistry {
    images: Arc<Mutex<HashMap<ImageKey, ImageRef>>>,
}

impl MemoryRegistry {
    /// Stores `image` under `key`; what stood there is returned.
    pub fn put(&self, key: ImageKey, image: ImageRef) -> Option<ImageRef> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).insert(key, image)
    }

    /// Removes what is stored under `key`.
    pub fn remove(&self, key: &ImageKey) -> Option<ImageRef> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn find(&self, key: &ImageKey) -> Result<Option<ImageRef>, RegistryError> {
        Ok(self.images.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    async fn adopt(&self, key: &ImageKey, from: &ImageRef) -> Result<ImageRef, RegistryError> {
        self.put(*key, from.clone());
        Ok(from.clone())
    }
}

/// A lock among the resolvers of one process. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryLock {
    keys: Arc<Mutex<HashMap<ImageKey, Arc<AsyncMutex<()>>>>>,
}

impl fmt::Debug for MemoryLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryLock")
    }
}

#[async_trait]
impl Lock for MemoryLock {
    async fn acquire(&self, key: &ImageKey) -> Result<Held, LockError> {
        let lock = {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody holds or waits for a lock that only the map knows.
            keys.retain(|other, lock| other == key || Arc::strong_count(lock) > 1);
            Arc::clone(keys.entry(*key).or_default())
        };
        Ok(Held::new(lock.lock_owned().await))
    }
}
