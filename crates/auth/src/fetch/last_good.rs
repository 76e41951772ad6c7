//! The last good key set on disk, so that a restart in an outage works.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{KeySet, UnixSeconds};

#[derive(Serialize, Deserialize)]
struct LastGood {
    issuer: String,
    /// Wall time in seconds.
    fetched: u64,
    /// The set as text, read as strictly as if it came from the issuer.
    keys: String,
}

/// The set in the file and its age; `None` if there is none to be used. Never an error: it is only a second chance.
pub(super) async fn read(path: &Path, issuer: &str, wall: UnixSeconds) -> Option<(KeySet, Duration)> {
    let text = tokio::fs::read_to_string(path).await.ok()?;
    let held: LastGood = serde_json::from_str(&text).ok()?;
    let keys = KeySet::from_json(&held.keys).ok()?;
    let is_ours = held.issuer == issuer && !keys.is_secret();
    is_ours.then(|| (keys, wall.since(UnixSeconds(held.fetched))))
}

/// Writes public keys only, beside the old file and then over it: a crash leaves one of the two.
pub(super) async fn write(
    path: &Path,
    issuer: &str,
    keys: &KeySet,
    wall: UnixSeconds,
) -> std::io::Result<()> {
    let held = LastGood { issuer: issuer.to_owned(), fetched: wall.0, keys: keys.to_json() };
    let beside = path.with_extension("new");
    tokio::fs::write(&beside, serde_json::to_vec(&held)?).await?;
    tokio::fs::rename(&beside, path).await
}
