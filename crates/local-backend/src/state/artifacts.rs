//! Larger bytes: stored once by digest, found by name.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use portway_backend::{Artifact, ArtifactInfo, ArtifactName, BackendError, ByteStream, Digest, Hasher};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::file;
use super::{blocking, lock};

const SEAL: &str = "artifact";
/// How many bytes are read at once.
const CHUNK: usize = 64 * 1024;

/// The artifacts of a state folder.
pub(crate) struct ArtifactStore {
    names: PathBuf,
    blobs: PathBuf,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    infos: BTreeMap<ArtifactName, ArtifactInfo>,
    /// How many names and workloads need the bytes of each digest.
    needs: HashMap<Digest, usize>,
}

#[derive(Deserialize, Serialize)]
struct Entry {
    name: ArtifactName,
    digest: Digest,
    size: u64,
}

/// A file that is deleted unless it has been moved to its place.
struct Incoming(PathBuf);

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl ArtifactStore {
    /// Reads the index in `folder` and deletes what no name refers to, but for `pinned`.
    pub(crate) fn open(
        folder: &Path,
        pinned: impl IntoIterator<Item = Digest>,
    ) -> Result<Self, BackendError> {
        let failed = |error| file::failed("read", folder, error);
        let (names, blobs) = (folder.join("names"), folder.join("blobs"));
        for part in [&names, &blobs] {
            file::durable_folder(part).and_then(|()| file::delete_unfinished(part)).map_err(failed)?;
        }
        let mut index = Index::default();
        for digest in pinned {
            index.need(&digest);
        }
        let mut all_read = true;
        for entry in fs::read_dir(&names).map_err(failed)? {
            match read_entry(&entry.map_err(failed)?.path()) {
                Ok(info) => {
                    index.need(&info.digest);
                    index.infos.insert(info.name.clone(), info);
                }
                Err(error) => {
                    tracing::error!(%error, "an artifact's name is damaged");
                    all_read = false;
                }
            }
        }
        let store = Self { names, blobs, index: Mutex::new(index) };
        // A damaged name may refer to any of them: then nothing is deleted.
        if all_read {
            store.delete_unreferenced().map_err(failed)?;
        }
        Ok(store)
    }

    fn delete_unreferenced(&self) -> io::Result<()> {
        let index = lock(&self.index);
        for entry in fs::read_dir(&self.blobs)? {
            let entry = entry?;
            let digest = format!("sha256:{}", entry.file_name().to_string_lossy()).parse::<Digest>();
            if digest.is_ok_and(|digest| !index.needs.contains_key(&digest)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    pub(crate) async fn put(
        self: &Arc<Self>,
        name: &ArtifactName,
        bytes: ByteStream,
        expected: Option<&Digest>,
    ) -> Result<ArtifactInfo, BackendError> {
        let (incoming, file, digest, size) = self.receive(bytes).await?;
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(BackendError::invalid(format!(
                "the bytes of {name} hash to {digest}, {expected} was expected; send them again"
            )));
        }
        let info = ArtifactInfo { name: name.clone(), digest, size };
        let (store, published) = (Arc::clone(self), info.clone());
        blocking(move || store.publish(&incoming, &file, published)).await?;
        Ok(info)
    }

    /// Writes the bytes to a file of their own, digesting them as they pass.
    async fn receive(&self, mut bytes: ByteStream) -> Result<(Incoming, File, Digest, u64), BackendError> {
        let failed = |error| file::failed("write", &self.blobs, error);
        let (path, file) = file::unfinished(&self.blobs).map_err(failed)?;
        let (incoming, mut file) = (Incoming(path), tokio::fs::File::from_std(file));
        let (mut hasher, mut size) = (Hasher::new(), 0);
        while let Some(part) = bytes.next().await {
            let part = part?;
            hasher.update(&part);
            size += part.len() as u64;
            file.write_all(&part).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        Ok((incoming, file.into_std().await, hasher.finish(), size))
    }

    fn publish(&self, incoming: &Incoming, file: &File, info: ArtifactInfo) -> Result<(), BackendError> {
        let mut index = lock(&self.index);
        let (blob, place) = (self.blob(&info.digest), self.place(&info.name));
        file::publish(&incoming.0, file, &blob).map_err(|error| file::failed("write", &blob, error))?;
        index.need(&info.digest);
        let entry = Entry { name: info.name.clone(), digest: info.digest.clone(), size: info.size };
        let body = serde_json::to_vec(&entry).expect("two names and a number are JSON");
        let written = file::write_whole(&place, &file::seal(SEAL, &body));
        let obsolete = match written {
            Ok(()) => index.infos.insert(info.name.clone(), info).map(|old| old.digest),
            // The new bytes are in nobody's name.
            Err(_) => Some(info.digest),
        };
        if let Some(digest) = obsolete {
            self.release(&mut index, &digest);
        }
        written.map_err(|error| file::failed("write", &place, error))
    }

    /// Takes back one need of these bytes; nobody's bytes are deleted. Those who have them open read on.
    fn release(&self, index: &mut Index, digest: &Digest) {
        let Some(count) = index.needs.get_mut(digest) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        index.needs.remove(digest);
        if let Err(error) = file::delete(&self.blob(digest)) {
            tracing::warn!(%error, %digest, "bytes that nobody needs any more could not be deleted");
        }
    }

    pub(crate) async fn get(&self, name: &ArtifactName) -> Result<Option<Artifact>, BackendError> {
        let Some(info) = self.info(name)? else { return Ok(None) };
        let blob = self.blob(&info.digest);
        let file = tokio::fs::File::open(&blob).await.map_err(|error| file::failed("open", &blob, error))?;
        let reader = BlobReader { file, place: blob, hasher: Hasher::new(), digest: info.digest.clone() };
        Ok(Some(Artifact { info, bytes: stream::unfold(Some(reader), BlobReader::next).boxed() }))
    }

    /// What is stored under `name`.
    pub(crate) fn info(&self, name: &ArtifactName) -> Result<Option<ArtifactInfo>, BackendError> {
        let found = lock(&self.index).infos.get(name).cloned();
        match found {
            Some(info) => Ok(Some(info)),
            // A name that is damaged is not in the index, but its file is there.
            None if self.place(name).exists() => read_entry(&self.place(name)).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn list(&self, prefix: &str) -> Vec<ArtifactInfo> {
        let prefix = prefix.trim_end_matches('/');
        let below = |name: &str| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
        };
        lock(&self.index).infos.values().filter(|info| below(info.name.as_str())).cloned().collect()
    }

    pub(crate) async fn delete(self: &Arc<Self>, name: &ArtifactName) -> Result<(), BackendError> {
        let (store, name) = (Arc::clone(self), name.clone());
        blocking(move || {
            let mut index = lock(&store.index);
            let place = store.place(&name);
            file::delete(&place).map_err(|error| file::failed("delete", &place, error))?;
            if let Some(info) = index.infos.remove(&name) {
                store.release(&mut index, &info.digest);
            }
            Ok(())
        })
        .await
    }

    /// Keeps the bytes of `name` for a workload, whatever happens to the name, until [`unpin`](Self::unpin).
    pub(crate) fn pin(&self, name: &ArtifactName, digest: &Digest) -> Result<(), BackendError> {
        let mut index = lock(&self.index);
        let found = index.infos.get(name).map(|info| &info.digest);
        if found != Some(digest) {
            return Err(BackendError::not_found(match found {
                None => format!("there is no project {name} among the artifacts; store it first"),
                Some(other) => {
                    format!("the project {name} hashes to {other}, {digest} was asked for; store it again")
                }
            }));
        }
        index.need(digest);
        Ok(())
    }

    pub(crate) fn unpin(&self, digest: &Digest) {
        self.release(&mut lock(&self.index), digest);
    }

    /// The file with these bytes, for a reader that may block.
    pub(crate) fn open_blob(&self, digest: &Digest) -> io::Result<File> {
        File::open(self.blob(digest))
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    fn place(&self, name: &ArtifactName) -> PathBuf {
        self.names.join(file::file_name(name.as_str()))
    }
}

impl Index {
    fn need(&mut self, digest: &Digest) {
        *self.needs.entry(digest.clone()).or_default() += 1;
    }
}

fn read_entry(place: &Path) -> Result<ArtifactInfo, BackendError> {
    let body = file::read_sealed(SEAL, place)?.ok_or_else(|| file::damaged(place, "it has vanished"))?;
    let entry: Entry = serde_json::from_slice(&body)
        .map_err(|error| file::damaged(place, "its content is not what was expected").with_source(error))?;
    Ok(ArtifactInfo { name: entry.name, digest: entry.digest, size: entry.size })
}

/// Bytes on their way out; they are digested once more, since disks forget.
struct BlobReader {
    file: tokio::fs::File,
    place: PathBuf,
    hasher: Hasher,
    digest: Digest,
}

impl BlobReader {
    async fn next(reader: Option<Self>) -> Option<(Result<Bytes, BackendError>, Option<Self>)> {
        let mut reader = reader?;
        let mut chunk = BytesMut::with_capacity(CHUNK);
        match reader.file.read_buf(&mut chunk).await {
            Ok(0) if reader.hasher.clone().finish() == reader.digest => None,
            Ok(0) => Some((Err(file::damaged(&reader.place, "its content does not match its digest")), None)),
            Ok(_) => {
                reader.hasher.update(&chunk);
                Some((Ok(chunk.freeze()), Some(reader)))
            }
            Err(error) => Some((Err(file::failed("read", &reader.place, error)), None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use portway_backend::ErrorKind;

    use super::*;

    fn bytes(text: &'static str) -> ByteStream {
        stream::iter([Ok(Bytes::from_static(text.as_bytes()))]).boxed()
    }

    fn open(folder: &Path) -> Arc<ArtifactStore> {
        Arc::new(ArtifactStore::open(folder, []).unwrap())
    }

    fn blobs(folder: &Path) -> usize {
        fs::read_dir(folder.join("blobs")).unwrap().count()
    }

    #[tokio::test]
    async fn equal_bytes_are_stored_once_and_go_with_their_last_name() {
        let folder = tempfile::tempdir().unwrap();
        let (store, one, other) = (open(folder.path()), "a/one".parse().unwrap(), "a/other".parse().unwrap());
        store.put(&one, bytes("x"), None).await.unwrap();
        store.put(&other, bytes("x"), None).await.unwrap();
        assert_eq!(blobs(folder.path()), 1);
        store.delete(&one).await.unwrap();
        assert_eq!(blobs(folder.path()), 1);
        store.put(&other, bytes("y"), None).await.unwrap();
        assert_eq!(blobs(folder.path()), 1);
        let store = open(folder.path());
        assert_eq!(store.list("a").len(), 1, "the index is read again");
        store.delete(&other).await.unwrap();
        assert_eq!(blobs(folder.path()), 0);
    }

    #[tokio::test]
    async fn pinned_bytes_outlive_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let (store, name) = (open(folder.path()), "project".parse().unwrap());
        let info = store.put(&name, bytes("x"), None).await.unwrap();
        assert_eq!(store.pin(&name, &Digest::of(b"y")).unwrap_err().kind(), ErrorKind::NotFound);
        store.pin(&name, &info.digest).unwrap();
        store.delete(&name).await.unwrap();
        store.open_blob(&info.digest).unwrap();
        store.unpin(&info.digest);
        assert_eq!(blobs(folder.path()), 0);
    }

    #[tokio::test]
    async fn damage_is_reported_by_the_last_item_and_mended_by_a_put() {
        let folder = tempfile::tempdir().unwrap();
        let (store, name) = (open(folder.path()), "project".parse().unwrap());
        let info = store.put(&name, bytes("right"), None).await.unwrap();
        fs::write(store.blob(&info.digest), "wrong").unwrap();
        let artifact = store.get(&name).await.unwrap().unwrap();
        let items: Vec<_> = artifact.bytes.collect().await;
        assert!(items.last().unwrap().as_ref().is_err_and(|error| error.to_string().contains("is damaged")));
        store.put(&name, bytes("right"), None).await.unwrap();
        let artifact = store.get(&name).await.unwrap().unwrap();
        assert!(artifact.bytes.all(async |item| item.is_ok()).await);
    }

    #[tokio::test]
    async fn a_damaged_name_is_reported_and_its_bytes_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (store, name) = (open(folder.path()), "project".parse().unwrap());
        store.put(&name, bytes("x"), None).await.unwrap();
        fs::write(folder.path().join("names/project"), "garbage").unwrap();
        let store = open(folder.path());
        assert_eq!(store.get(&name).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(blobs(folder.path()), 1);
    }

    #[tokio::test]
    async fn a_put_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (store, name) = (open(folder.path()), "project".parse().unwrap());
        let endless = stream::iter([Ok(Bytes::from_static(b"x"))]).chain(stream::pending()).boxed();
        let given_up =
            tokio::time::timeout(std::time::Duration::from_millis(1), store.put(&name, endless, None)).await;
        given_up.unwrap_err();
        assert_eq!(blobs(folder.path()), 0);
    }
}
