//! Documents: a file each, mirrored in memory, told to watchers as snapshots.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_core::stream::BoxStream;
use futures_util::stream::{self, StreamExt as _};
use portway_backend::{BackendError, Change, DocKey, DocKind, Document, Expected, Revision, Versioned};
use tokio::sync::watch;

use super::file;
use super::{blocking, lock};

const SEAL: &str = "document";

/// The documents of one kind by name, as they stand on disk.
type Documents = BTreeMap<Arc<str>, Versioned<Document>>;

/// The catalog of a state folder.
pub(crate) struct CatalogStore {
    epoch: u32,
    /// Writes of this run; with the epoch it makes revisions that are never used twice.
    writes: AtomicU64,
    shelves: [Arc<Shelf>; DocKind::ALL.len()],
}

/// The documents of one kind.
struct Shelf {
    folder: PathBuf,
    /// The names of files that could not be read; the lock is held through a write, so writes happen in one order.
    damaged: Mutex<BTreeSet<String>>,
    documents: watch::Sender<Arc<Documents>>,
}

impl CatalogStore {
    /// Reads the catalog in `folder`. Damaged documents are kept and reported when they are asked for.
    pub(crate) fn open(folder: &Path, epoch: u32) -> Result<Self, BackendError> {
        let mut shelves = Vec::with_capacity(DocKind::ALL.len());
        for kind in DocKind::ALL {
            shelves.push(Arc::new(Shelf::open(folder.join(kind.as_str()), kind)?));
        }
        let shelves = shelves.try_into().unwrap_or_else(|_| unreachable!("one shelf for each kind"));
        Ok(Self { epoch, writes: AtomicU64::new(0), shelves })
    }

    fn shelf(&self, kind: DocKind) -> &Arc<Shelf> {
        let index = DocKind::ALL.iter().position(|other| *other == kind).expect("ALL holds every kind");
        &self.shelves[index]
    }

    pub(crate) fn get(&self, key: &DocKey) -> Result<Option<Versioned<Document>>, BackendError> {
        let shelf = self.shelf(key.kind());
        let found = shelf.documents.borrow().get(key.name()).cloned();
        if found.is_none() && lock(&shelf.damaged).contains(&file::file_name(key.name())) {
            return Err(shelf.damaged_error(key));
        }
        Ok(found)
    }

    pub(crate) async fn put(
        &self,
        key: &DocKey,
        document: &Document,
        expected: Expected,
    ) -> Result<Revision, BackendError> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let revision = Revision::new(format!("{}.{number}", self.epoch));
        let versioned = Versioned { value: document.clone(), revision: revision.clone() };
        let (shelf, key) = (Arc::clone(self.shelf(key.kind())), key.clone());
        blocking(move || shelf.put(&key, versioned, &expected)).await?;
        Ok(revision)
    }

    pub(crate) async fn delete(&self, key: &DocKey, expected: Expected) -> Result<(), BackendError> {
        let (shelf, key) = (Arc::clone(self.shelf(key.kind())), key.clone());
        blocking(move || shelf.delete(&key, &expected)).await
    }

    pub(crate) fn watch(&self, kind: DocKind) -> BoxStream<'static, Change> {
        let reader = Reader {
            kind,
            snapshots: self.shelf(kind).documents.subscribe(),
            told: None,
            changes: VecDeque::new(),
        };
        stream::unfold(reader, Reader::next).boxed()
    }
}

// === impl Shelf ===

impl Shelf {
    fn open(folder: PathBuf, kind: DocKind) -> Result<Self, BackendError> {
        let failed = |error| file::failed("read", &folder, error);
        file::durable_folder(&folder).map_err(failed)?;
        file::delete_unfinished(&folder).map_err(failed)?;
        let (mut documents, mut damaged) = (Documents::new(), BTreeSet::new());
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let place = entry.map_err(failed)?.path();
            let file_name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match read(&place, kind) {
                Ok((name, document)) if file::file_name(&name) == file_name => {
                    documents.insert(name, document);
                }
                Ok(_) => {
                    tracing::error!(file = %place.display(), "a document lies under another one's name");
                    damaged.insert(file_name);
                }
                Err(error) => {
                    tracing::error!(%error, "a document of the catalog is damaged");
                    damaged.insert(file_name);
                }
            }
        }
        Ok(Self { folder, damaged: Mutex::new(damaged), documents: watch::Sender::new(Arc::new(documents)) })
    }

    fn put(&self, key: &DocKey, new: Versioned<Document>, expected: &Expected) -> Result<(), BackendError> {
        let mut damaged = lock(&self.damaged);
        self.check(key, expected, &damaged)?;
        let (file_name, place) = self.place(key);
        let mut body = format!("{key} {}\n", new.revision.as_str()).into_bytes();
        body.extend_from_slice(new.value.as_json().as_bytes());
        let written = file::write_whole(&place, &file::seal(SEAL, &body));
        written.map_err(|error| file::failed("write", &place, error))?;
        damaged.remove(&file_name);
        self.documents.send_modify(|documents| {
            Arc::make_mut(documents).insert(key.name().into(), new);
        });
        Ok(())
    }

    fn delete(&self, key: &DocKey, expected: &Expected) -> Result<(), BackendError> {
        let mut damaged = lock(&self.damaged);
        // What is expected to be absent and is absent needs no deletion; what is there is a conflict below.
        self.check(key, expected, &damaged)?;
        let (file_name, place) = self.place(key);
        file::delete(&place).map_err(|error| file::failed("delete", &place, error))?;
        damaged.remove(&file_name);
        self.documents.send_if_modified(|documents| {
            let known = documents.contains_key(key.name());
            if known {
                Arc::make_mut(documents).remove(key.name());
            }
            known
        });
        Ok(())
    }

    /// Whether what stands is what the writer expected.
    fn check(
        &self,
        key: &DocKey,
        expected: &Expected,
        damaged: &BTreeSet<String>,
    ) -> Result<(), BackendError> {
        if *expected == Expected::Any {
            return Ok(());
        }
        if damaged.contains(&file::file_name(key.name())) {
            return Err(self.damaged_error(key));
        }
        let documents = self.documents.borrow();
        match (expected, documents.get(key.name())) {
            (Expected::Absent, None) => Ok(()),
            (Expected::Absent, Some(_)) => Err(BackendError::conflict(format!("{key} exists already"))),
            (Expected::At(_), None) => {
                Err(BackendError::conflict(format!("{key} has been deleted meanwhile")))
            }
            (Expected::At(revision), Some(found)) if *revision != found.revision => {
                Err(BackendError::conflict(format!(
                    "{key} has been changed meanwhile; read it again and decide anew"
                )))
            }
            _ => Ok(()),
        }
    }

    fn place(&self, key: &DocKey) -> (String, PathBuf) {
        let file_name = file::file_name(key.name());
        let place = self.folder.join(&file_name);
        (file_name, place)
    }

    fn damaged_error(&self, key: &DocKey) -> BackendError {
        let (_, place) = self.place(key);
        let fault = read(&place, key.kind()).err();
        fault.unwrap_or_else(|| file::damaged(&place, "it lies under another document's name"))
    }
}

/// Reads the document in `place`.
fn read(place: &Path, kind: DocKind) -> Result<(Arc<str>, Versioned<Document>), BackendError> {
    let body = file::read_sealed(SEAL, place)?.ok_or_else(|| file::damaged(place, "it has vanished"))?;
    let text = String::from_utf8(body).map_err(|_| file::damaged(place, "it is not text"))?;
    let unexpected = || file::damaged(place, "its second line is not what was expected");
    let (line, json) = text.split_once('\n').ok_or_else(unexpected)?;
    let (key, revision) = line.split_once(' ').ok_or_else(unexpected)?;
    let name =
        key.strip_prefix(kind.as_str()).and_then(|rest| rest.strip_prefix('/')).ok_or_else(unexpected)?;
    let value = Document::from_json(json)?;
    Ok((name.into(), Versioned { value, revision: Revision::new(revision) }))
}

/// Turns snapshots into changes. A reader that falls behind skips what is out of date already.
struct Reader {
    kind: DocKind,
    snapshots: watch::Receiver<Arc<Documents>>,
    told: Option<Arc<Documents>>,
    changes: VecDeque<Change>,
}

impl Reader {
    async fn next(mut self) -> Option<(Change, Self)> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Some((change, self));
            }
            if self.told.is_some() {
                self.snapshots.changed().await.ok()?;
            }
            let now = Arc::clone(&self.snapshots.borrow_and_update());
            let first = self.told.is_none();
            let before = self.told.replace(Arc::clone(&now)).unwrap_or_default();
            self.compare(&before, &now);
            if first {
                self.changes.push_back(Change::Synced);
            }
        }
    }

    fn compare(&mut self, before: &Documents, now: &Documents) {
        let key = |name: &str| DocKey::new(self.kind, name).expect("only checked names are stored");
        let gone = before.keys().filter(|name| !now.contains_key(*name));
        self.changes.extend(gone.map(|name| Change::Deleted(key(name))));
        let new = now
            .iter()
            .filter(|(name, found)| before.get(*name).is_none_or(|old| old.revision != found.revision));
        self.changes.extend(new.map(|(name, found)| Change::Put(key(name), found.clone())));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use portway_backend::ErrorKind;
    use proptest::prelude::*;

    use super::*;

    fn document(text: &str) -> Document {
        Document::from_json(text).unwrap()
    }

    #[tokio::test]
    async fn documents_and_their_revisions_survive_a_new_opening() {
        let folder = tempfile::tempdir().unwrap();
        let key = DocKey::new(DocKind::Credentials, "iris").unwrap();
        let store = CatalogStore::open(folder.path(), 1).unwrap();
        let revision = store.put(&key, &document("{\"primary\": 1}"), Expected::Absent).await.unwrap();
        let file = folder.path().join("credentials/iris");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);

        let store = CatalogStore::open(folder.path(), 2).unwrap();
        let found = store.get(&key).unwrap().unwrap();
        assert_eq!((found.value.as_json(), &found.revision), ("{\"primary\": 1}", &revision));
        let next = store.put(&key, &document("{}"), Expected::At(revision.clone())).await.unwrap();
        assert_ne!(next, revision);
    }

    #[tokio::test]
    async fn a_damaged_document_is_reported_and_kept_until_somebody_insists() {
        let folder = tempfile::tempdir().unwrap();
        let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
        let other = DocKey::new(DocKind::Endpoint, "other").unwrap();
        let store = CatalogStore::open(folder.path(), 1).unwrap();
        store.put(&key, &document("{}"), Expected::Absent).await.unwrap();
        store.put(&other, &document("{}"), Expected::Absent).await.unwrap();
        let place = folder.path().join("endpoint/iris");
        fs::write(&place, "garbage").unwrap();

        let store = CatalogStore::open(folder.path(), 2).unwrap();
        let error = store.get(&key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("endpoint/iris is damaged"), "{error}");
        assert_eq!(
            store.put(&key, &document("{}"), Expected::Absent).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
        assert_eq!(fs::read(&place).unwrap(), b"garbage", "nothing is lost");
        assert!(store.get(&other).unwrap().is_some(), "the others go on");
        store.put(&key, &document("1"), Expected::Any).await.unwrap();
        assert_eq!(store.get(&key).unwrap().unwrap().value.as_json(), "1");
    }

    #[tokio::test]
    async fn a_document_under_the_name_of_another_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
        let store = CatalogStore::open(folder.path(), 1).unwrap();
        store.put(&key, &document("{}"), Expected::Absent).await.unwrap();
        fs::copy(folder.path().join("endpoint/iris"), folder.path().join("endpoint/tulip")).unwrap();
        let store = CatalogStore::open(folder.path(), 2).unwrap();
        let copy = DocKey::new(DocKind::Endpoint, "tulip").unwrap();
        assert_eq!(store.get(&copy).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn a_watch_ends_with_its_catalog() {
        let folder = tempfile::tempdir().unwrap();
        let store = CatalogStore::open(folder.path(), 1).unwrap();
        let mut changes = store.watch(DocKind::Endpoint);
        assert_eq!(changes.next().await, Some(Change::Synced));
        drop(store);
        assert_eq!(changes.next().await, None);
    }

    /// What a step of the property below does, and what it expects to be there.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Put(Guess),
        Delete(Guess),
        Reopen,
    }

    #[derive(Clone, Copy, Debug)]
    enum Guess {
        Absent,
        Present,
        Stale,
        Any,
    }

    fn step() -> impl Strategy<Value = Step> {
        let guess =
            || prop_oneof![Just(Guess::Absent), Just(Guess::Present), Just(Guess::Stale), Just(Guess::Any)];
        prop_oneof![4 => guess().prop_map(Step::Put), 2 => guess().prop_map(Step::Delete), 1 => Just(Step::Reopen)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn it_is_a_map_with_revisions_that_survives_openings(
            steps in proptest::collection::vec((0_usize..3, step()), 1..24),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let keys = ["a", "A", "a.b"].map(|name| DocKey::new(DocKind::Model, name).unwrap());
            let (mut epoch, mut store) = (1, CatalogStore::open(folder.path(), 1).unwrap());
            let mut model: [Option<Versioned<Document>>; 3] = Default::default();
            let mut stale = Revision::new("0.0");
            for (number, (index, step)) in steps.into_iter().enumerate() {
                let (key, stands) = (&keys[index], model[index].clone());
                let (Step::Put(guess) | Step::Delete(guess)) = step else {
                    drop(store);
                    epoch += 1;
                    store = CatalogStore::open(folder.path(), epoch).unwrap();
                    continue;
                };
                let (expected, is_right) = match (guess, &stands) {
                    (Guess::Any, _) => (Expected::Any, true),
                    (Guess::Present, Some(found)) => (Expected::At(found.revision.clone()), true),
                    (Guess::Absent, found) => (Expected::Absent, found.is_none()),
                    (Guess::Present | Guess::Stale, _) => (Expected::At(stale.clone()), false),
                };
                let value = document(&number.to_string());
                let done = runtime.block_on(async {
                    match step {
                        Step::Put(_) => store.put(key, &value, expected).await.map(Some),
                        _ => store.delete(key, expected).await.map(|()| None),
                    }
                });
                match done {
                    Ok(revision) => {
                        prop_assert!(is_right, "{:?} was accepted", step);
                        prop_assert!(model.iter().flatten().all(|found| Some(&found.revision) != revision.as_ref()));
                        stale = stands.map_or(stale, |found| found.revision);
                        model[index] = revision.map(|revision| Versioned { value, revision });
                    }
                    Err(error) => {
                        prop_assert_eq!(error.kind(), ErrorKind::Conflict);
                        prop_assert!(!is_right, "{:?} was refused", step);
                    }
                }
                for (key, stands) in keys.iter().zip(&model) {
                    prop_assert_eq!(&store.get(key).unwrap(), stands);
                }
            }
        }
    }
}
