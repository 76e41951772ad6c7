//! What all replicas of a backend share.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use portway_backend::{BackendError, ReplicaId, WorkloadId};
use tokio::sync::Semaphore;

use crate::options::Options;
use crate::process::command::RunFolder;
use crate::process::leftovers::kill_marked;
use crate::process::{Ports, logs, outputs};
use crate::state::artifacts::ArtifactStore;
use crate::state::folder::Folder;
use crate::state::records::{Record, Records};
use crate::state::{blocking, file, lock};

/// The state folder with what runs out of it.
pub(crate) struct Host {
    pub(crate) folder: Folder,
    pub(crate) artifacts: Arc<ArtifactStore>,
    pub(crate) records: Records,
    pub(crate) options: Options,
    pub(crate) ports: Arc<Ports>,
    /// One for each replica that may be wanted.
    pub(crate) seats: Arc<Semaphore>,
    started: AtomicU64,
    running: Mutex<HashSet<ReplicaId>>,
}

/// A replica that counts as running while this value lives.
pub(crate) struct Presence {
    host: Arc<Host>,
    id: ReplicaId,
}

impl Host {
    pub(crate) fn new(folder: Folder, artifacts: ArtifactStore, records: Records, options: Options) -> Self {
        let seats = Arc::new(Semaphore::new(options.max_replicas as usize));
        Self {
            folder,
            artifacts: Arc::new(artifacts),
            records,
            options,
            ports: Arc::default(),
            seats,
            started: AtomicU64::new(0),
            running: Mutex::default(),
        }
    }

    /// A name that no replica of this folder ever had; names of one workload sort by age.
    pub(crate) fn next_replica(self: &Arc<Self>, id: &WorkloadId) -> Presence {
        let (epoch, number) = (self.folder.epoch(), self.started.fetch_add(1, Ordering::Relaxed));
        let id = ReplicaId::new(format!("{}.{}.{epoch:05}-{number:06}", id.endpoint, id.version));
        lock(&self.running).insert(id.clone());
        Presence { host: Arc::clone(self), id }
    }

    /// Where the logs of a workload's replicas lie.
    pub(crate) fn logs_of(&self, id: &WorkloadId) -> PathBuf {
        self.folder.logs().join(Records::file_name(id))
    }

    pub(crate) async fn write(self: &Arc<Self>, record: &Record) -> Result<(), BackendError> {
        let (host, record) = (Arc::clone(self), record.clone());
        blocking(move || host.records.write(&record)).await
    }

    /// Kills what a replica started and what then left its process group.
    pub(crate) async fn kill_escaped(self: &Arc<Self>, replica: &ReplicaId) {
        let (host, id) = (Arc::clone(self), replica.clone());
        let killed = tokio::task::spawn_blocking(move || kill_marked(host.folder.root(), Some(&id)));
        match killed.await {
            Ok(0) | Err(_) => {}
            Ok(count) => tracing::warn!(%replica, count, "killed processes that had left their group"),
        }
    }

    /// Saves the outputs of a replica and removes its folder.
    pub(crate) async fn clear(&self, folder: &RunFolder, id: &WorkloadId, replica: &str) -> outputs::Saved {
        let all = format!("{}/{}/{}", outputs::FOLDER, id.endpoint, id.version);
        let saved = outputs::save(&self.artifacts, folder.outputs(), &format!("{all}/{replica}")).await;
        for reason in &saved.skipped {
            tracing::warn!(replica, reason, "an output was not saved");
        }
        if let Err(error) = outputs::prune(&self.artifacts, &all, self.options.kept_replicas).await {
            tracing::warn!(%error, "outputs of old replicas could not be deleted");
        }
        if let Err(error) = tokio::fs::remove_dir_all(folder.root()).await {
            tracing::warn!(%error, folder = %folder.root().display(), "the folder of a replica could not be removed");
        }
        saved
    }

    /// Deletes the logs of replicas that are long gone.
    pub(crate) async fn prune_logs(self: &Arc<Self>, id: &WorkloadId) {
        let (host, folder, kept) = (Arc::clone(self), self.logs_of(id), self.options.kept_replicas);
        let pruned = blocking(move || {
            let is_running = |replica: &str| lock(&host.running).contains(&ReplicaId::new(replica));
            logs::prune(&folder, kept, is_running).map_err(|error| file::failed("clean up", &folder, error))
        });
        if let Err(error) = pruned.await {
            tracing::warn!(%error, "old logs could not be deleted");
        }
    }

    /// Ends and clears away what an earlier run left behind.
    pub(crate) async fn clear_leftovers(self: &Arc<Self>) -> Result<(), BackendError> {
        let runs = self.folder.runs();
        let host = Arc::clone(self);
        let left = blocking(move || {
            let killed = kill_marked(host.folder.root(), None);
            if killed > 0 {
                tracing::warn!(killed, "killed processes that an earlier run had left behind");
            }
            let runs = host.folder.runs();
            let entries = fs::read_dir(&runs).map_err(|error| file::failed("read", &runs, error))?;
            Ok(entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>())
        });
        for path in left.await? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(id) = workload_of(&name) {
                tracing::info!(replica = name, "clearing away what an earlier run left behind");
                self.clear(&RunFolder::left_behind(path), &id, &name).await;
            }
        }
        let left = blocking(move || {
            fs::remove_dir_all(&runs)
                .and_then(|()| file::private_folder(&runs))
                .map_err(|error| file::failed("clear", &runs, error))
        });
        left.await
    }
}

/// The workload of a replica by its name, which begins with those of endpoint and version.
fn workload_of(replica: &str) -> Option<WorkloadId> {
    let mut parts = replica.split('.');
    Some(WorkloadId::new(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

impl Presence {
    pub(crate) fn id(&self) -> &ReplicaId {
        &self.id
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        lock(&self.host.running).remove(&self.id);
    }
}
