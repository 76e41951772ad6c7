use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::stream;
use tokio::sync::mpsc;

use super::{Faults, lock};
use crate::{BackendError, Catalog, Change, DocKey, DocKind, Document, Expected, Revision, Versioned};

/// A catalog in memory. Watchers get every change, in order, without bound.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    state: Mutex<State>,
    faults: Faults,
}

#[derive(Debug, Default)]
struct State {
    documents: BTreeMap<DocKey, Versioned<Document>>,
    writes: u64,
    watchers: Vec<(DocKind, mpsc::UnboundedSender<Change>)>,
}

impl MemoryCatalog {
    /// An empty catalog.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Failures for the calls to come.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Ends all watches that are open, as a store that restarts does; a watcher has to watch again.
    pub fn drop_watches(&self) {
        lock(&self.state).watchers.clear();
    }
}

impl State {
    fn check(&self, key: &DocKey, expected: &Expected) -> Result<(), BackendError> {
        match (expected, self.documents.get(key)) {
            (Expected::Any, _) | (Expected::Absent, None) => Ok(()),
            (Expected::At(wanted), Some(found)) if *wanted == found.revision => Ok(()),
            (Expected::Absent, Some(_)) => Err(BackendError::conflict(format!("{key} exists already"))),
            (Expected::At(_), Some(_)) => {
                Err(BackendError::conflict(format!("{key} has been changed since it was read")))
            }
            (Expected::At(_), None) => {
                Err(BackendError::conflict(format!("{key} has been deleted since it was read")))
            }
        }
    }

    fn tell(&mut self, kind: DocKind, change: &Change) {
        self.watchers.retain(|(wanted, watcher)| *wanted != kind || watcher.send(change.clone()).is_ok());
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn get(&self, key: &DocKey) -> Result<Option<Versioned<Document>>, BackendError> {
        self.faults.check()?;
        Ok(lock(&self.state).documents.get(key).cloned())
    }

    async fn put(
        &self,
        key: &DocKey,
        document: &Document,
        expected: Expected,
    ) -> Result<Revision, BackendError> {
        self.faults.check()?;
        let mut state = lock(&self.state);
        state.check(key, &expected)?;
        state.writes += 1;
        let revision = Revision::new(state.writes.to_string());
        let versioned = Versioned { value: document.clone(), revision: revision.clone() };
        state.documents.insert(key.clone(), versioned.clone());
        state.tell(key.kind(), &Change::Put(key.clone(), versioned));
        Ok(revision)
    }

    async fn delete(&self, key: &DocKey, expected: Expected) -> Result<(), BackendError> {
        self.faults.check()?;
        let mut state = lock(&self.state);
        if !state.documents.contains_key(key) && matches!(expected, Expected::Any | Expected::Absent) {
            return Ok(());
        }
        state.check(key, &expected)?;
        state.documents.remove(key);
        state.tell(key.kind(), &Change::Deleted(key.clone()));
        Ok(())
    }

    async fn watch(&self, kind: DocKind) -> Result<BoxStream<'static, Change>, BackendError> {
        self.faults.check()?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = lock(&self.state);
        let present = state.documents.iter().filter(|(key, _)| key.kind() == kind);
        let present = present.map(|(key, versioned)| Change::Put(key.clone(), versioned.clone()));
        for change in present.chain([Change::Synced]) {
            // The receiver stands right here.
            let _ = sender.send(change);
        }
        state.watchers.push((kind, sender));
        let changes = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|change| (change, receiver))
        });
        Ok(Box::pin(changes))
    }
}
