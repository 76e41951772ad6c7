//! Saves what a replica wrote below `./outputs` (RUN-1).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use portway_backend::{ArtifactName, BackendError, ByteStream};
use tokio::io::AsyncReadExt as _;

use crate::state::artifacts::ArtifactStore;
use crate::state::file;

/// The folder below a project whose files are saved.
pub(crate) const FOLDER: &str = "outputs";
/// How many files of one replica are saved at most.
const MAX_FILES: usize = 1000;
/// How many bytes of one replica are saved at most.
const MAX_BYTES: u64 = 256 << 20;

/// What was saved of a replica's outputs, and why the rest was not.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Saved {
    pub(crate) files: usize,
    pub(crate) skipped: Vec<String>,
}

/// Stores the files below `folder` as `prefix/…`. Links are not followed: they could name any file of this machine.
pub(crate) async fn save(store: &Arc<ArtifactStore>, folder: PathBuf, prefix: &str) -> Saved {
    let mut saved = Saved::default();
    let found = {
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || find(&folder)).await.unwrap_or_default()
    };
    let (mut left, mut count) = (MAX_BYTES, 0);
    for (path, size) in found {
        let relative = path.strip_prefix(&folder).unwrap_or(&path).display().to_string();
        if count == MAX_FILES || size > left {
            saved.skipped.push(format!("{relative}: more than {MAX_FILES} files or {MAX_BYTES} bytes"));
            continue;
        }
        (left, count) = (left - size, count + 1);
        match save_file(store, &path, &format!("{prefix}/{relative}"), size).await {
            Ok(()) => saved.files += 1,
            Err(error) => saved.skipped.push(format!("{relative}: {error}")),
        }
    }
    saved
}

async fn save_file(
    store: &Arc<ArtifactStore>,
    path: &Path,
    name: &str,
    size: u64,
) -> Result<(), BackendError> {
    let name: ArtifactName = name.parse()?;
    let file = tokio::fs::File::open(path).await.map_err(|error| file::failed("read", path, error))?;
    store.put(&name, contents(file, path.to_owned(), size), None).await?;
    Ok(())
}

/// The first `size` bytes of a file: it may have grown since it was measured.
fn contents(file: tokio::fs::File, path: PathBuf, size: u64) -> ByteStream {
    let parts = stream::unfold(Some((file.take(size), path)), async |state| {
        let (mut file, path) = state?;
        let mut part = BytesMut::with_capacity(64 * 1024);
        match file.read_buf(&mut part).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(Bytes::from(part)), Some((file, path)))),
            Err(error) => Some((Err(file::failed("read", &path, error)), None)),
        }
    });
    parts.boxed()
}

/// The regular files below `folder` with their sizes, in the order of their names; never more than are looked at.
fn find(folder: &Path) -> Vec<(PathBuf, u64)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = sorted(&folder) else { continue };
        for path in entries {
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => folders.push(path),
                Ok(meta) if meta.is_file() => found.push((path, meta.len())),
                _ => {}
            }
            // Enough to fill the limit and to say that there was more.
            if found.len() > 2 * MAX_FILES {
                return found;
            }
        }
    }
    found
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    // The folder itself may be a link, which is not followed either.
    if !fs::symlink_metadata(folder)?.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

/// Deletes the oldest outputs below `prefix` so that those of `kept` replicas remain.
pub(crate) async fn prune(store: &Arc<ArtifactStore>, prefix: &str, kept: usize) -> Result<(), BackendError> {
    let saved = store.list(prefix);
    let replica = |name: &ArtifactName| {
        let rest = name.as_str().strip_prefix(prefix)?.strip_prefix('/')?;
        rest.split('/').next().map(str::to_owned)
    };
    let replicas: BTreeSet<String> = saved.iter().filter_map(|info| replica(&info.name)).collect();
    let old: BTreeSet<&String> = replicas.iter().take(replicas.len().saturating_sub(kept)).collect();
    for info in &saved {
        if replica(&info.name).is_some_and(|replica| old.contains(&replica)) {
            store.delete(&info.name).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn store(folder: &Path) -> Arc<ArtifactStore> {
        Arc::new(ArtifactStore::open(folder, []).unwrap())
    }

    fn names(store: &ArtifactStore) -> Vec<String> {
        store.list("").into_iter().map(|info| info.name.to_string()).collect()
    }

    #[tokio::test]
    async fn r_run_1_files_below_outputs_are_saved_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (store, outputs) = (store(&folder.path().join("store")), folder.path().join("outputs"));
        fs::create_dir_all(outputs.join("deep")).unwrap();
        fs::write(outputs.join("model.txt"), "weights").unwrap();
        fs::write(outputs.join("deep/log"), "").unwrap();
        fs::write(outputs.join("bad\nname"), "").unwrap();
        symlink("/etc/passwd", outputs.join("passwd")).unwrap();
        symlink("/etc", outputs.join("etc")).unwrap();
        let saved = save(&store, outputs, "outputs/iris/first/r1").await;
        assert_eq!(names(&store), ["outputs/iris/first/r1/deep/log", "outputs/iris/first/r1/model.txt"]);
        assert_eq!((saved.files, saved.skipped.len()), (2, 1), "{saved:?}");
    }

    #[tokio::test]
    async fn a_replica_without_outputs_saves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        assert_eq!(save(&store, folder.path().join("absent"), "outputs/a").await, Saved::default());
    }

    #[tokio::test]
    async fn the_number_of_files_is_bounded_and_the_rest_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (store, outputs) = (store(&folder.path().join("store")), folder.path().join("outputs"));
        fs::create_dir(&outputs).unwrap();
        let large = fs::File::create(outputs.join("large")).unwrap();
        large.set_len(MAX_BYTES + 1).unwrap();
        fs::write(outputs.join("small"), "").unwrap();
        let saved = save(&store, outputs, "outputs/a").await;
        assert_eq!(names(&store), ["outputs/a/small"]);
        assert!(saved.skipped[0].starts_with("large: more than"), "{saved:?}");
    }

    #[tokio::test]
    async fn outputs_of_the_oldest_replicas_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let (store, outputs) = (store(&folder.path().join("store")), folder.path().join("outputs"));
        fs::create_dir(&outputs).unwrap();
        fs::write(outputs.join("a"), "").unwrap();
        for replica in ["r1", "r2", "r3"] {
            save(&store, outputs.clone(), &format!("outputs/iris/first/{replica}")).await;
        }
        prune(&store, "outputs/iris/first", 1).await.unwrap();
        assert_eq!(names(&store), ["outputs/iris/first/r3/a"]);
    }
}
