//! What was applied and how many replicas were last wanted, so that a new run goes on where the last one ended.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use portway_backend::{BackendError, Fence, Workload, WorkloadId};
use serde::{Deserialize, Serialize};

use super::file;

const SEAL: &str = "workload";

/// What is known of a workload.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Record {
    /// Which it is; kept beside `workload` because a record outlives it.
    pub(crate) id: WorkloadId,
    /// What was applied; `None` after it was removed.
    pub(crate) workload: Option<Workload>,
    /// How many replicas are wanted.
    pub(crate) wanted: u32,
    /// The youngest fence that scaled it. It stays when the workload goes: a deposed scaler must not scale a namesake
    /// that is created later.
    pub(crate) fence: Option<Fence>,
}

impl Record {
    /// The record of a workload that nobody applied yet.
    pub(crate) fn absent(id: WorkloadId) -> Self {
        Self { id, workload: None, wanted: 0, fence: None }
    }
}

/// The folder of records.
#[derive(Clone, Debug)]
pub(crate) struct Records(PathBuf);

/// The records of a folder, those that could be read and those that could not.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) whole: Vec<Record>,
    /// Error messages by file name.
    pub(crate) damaged: BTreeMap<String, String>,
}

impl Records {
    pub(crate) fn open(folder: &Path) -> Result<(Self, Found), BackendError> {
        let failed = |error| file::failed("read", folder, error);
        file::delete_unfinished(folder).map_err(failed)?;
        let mut found = Found::default();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match read(&entry.path()) {
                Ok(record) => found.whole.push(record),
                Err(error) => {
                    tracing::error!(%error, "the record of a workload is damaged, it is not started");
                    found.damaged.insert(entry.file_name().to_string_lossy().into_owned(), error.to_string());
                }
            }
        }
        Ok((Self(folder.to_owned()), found))
    }

    /// The name of the file with the record of `id`.
    pub(crate) fn file_name(id: &WorkloadId) -> String {
        // A dot is in neither name.
        file::file_name(&format!("{}.{}", id.endpoint, id.version))
    }

    /// Writes a record down, or deletes it when it says nothing.
    pub(crate) fn write(&self, record: &Record) -> Result<(), BackendError> {
        let place = self.0.join(Self::file_name(&record.id));
        if record.workload.is_none() && record.fence.is_none() {
            return file::delete(&place).map_err(|error| file::failed("delete", &place, error));
        }
        let body = serde_json::to_vec_pretty(record).map_err(|error| {
            BackendError::invalid("the workload cannot be written as JSON").with_source(error)
        })?;
        file::write_whole(&place, &file::seal(SEAL, &body))
            .map_err(|error| file::failed("write", &place, error))
    }
}

fn read(place: &Path) -> Result<Record, BackendError> {
    let body = file::read_sealed(SEAL, place)?.ok_or_else(|| file::damaged(place, "it has vanished"))?;
    serde_json::from_slice(&body)
        .map_err(|error| file::damaged(place, "its content is not what was expected").with_source(error))
}
