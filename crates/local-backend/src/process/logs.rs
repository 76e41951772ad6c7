//! What replicas wrote: a file each with a bound on its size, readable after the replica is gone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use portway_backend::ReplicaId;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::state::{file, lock};

/// The size at which a log is put aside; one such older part is kept.
const MAX_LOG_BYTES: u64 = 1 << 20;
/// The longest line that is shown, in characters.
const MAX_LINE: usize = 4096;
/// How notes of the backend itself begin.
const NOTE: &str = "portway: ";
const ENDING: &str = ".log";
const OLDER_ENDING: &str = ".log.1";

/// The log of one replica.
#[derive(Debug)]
pub(crate) struct ReplicaLog {
    place: PathBuf,
    writing: Mutex<Writing>,
}

#[derive(Debug)]
struct Writing {
    file: File,
    size: u64,
}

impl ReplicaLog {
    /// Begins a log in `folder`.
    pub(crate) fn create(folder: &Path, replica: &ReplicaId) -> io::Result<Self> {
        file::private_folder(folder)?;
        let place = folder.join(format!("{replica}{ENDING}"));
        let file = create(&place)?;
        Ok(Self { place, writing: Mutex::new(Writing { file, size: 0 }) })
    }

    /// Writes down what happens to the replica.
    pub(crate) fn note(&self, what: &str) {
        self.append(format!("{NOTE}{what}\n").as_bytes());
    }

    /// Copies what a program writes until it closes its end.
    pub(crate) async fn copy_from(&self, mut program: pipe::Receiver) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match program.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => self.append(&buffer[..count]),
            }
        }
    }

    /// Appends to the file. These are short writes to the page cache: they do not wait for a disk.
    fn append(&self, bytes: &[u8]) {
        let mut writing = lock(&self.writing);
        let appended = writing.append(&self.place, bytes);
        if let Err(error) = appended {
            // A full disk must not stop a replica.
            tracing::warn!(%error, log = %self.place.display(), "a log could not be written");
        }
    }

    /// The last line that the program wrote, for a message.
    pub(crate) fn last_line(&self) -> Option<String> {
        let lines = last_lines(&self.place, 50).ok()?;
        let line = lines.into_iter().rev().find(|line| !line.is_empty() && !line.starts_with(NOTE))?;
        Some(line.chars().take(300).collect())
    }

    /// Whether the program complained that its port is taken.
    pub(crate) fn mentions_taken_port(&self) -> bool {
        let lines = last_lines(&self.place, 50).unwrap_or_default();
        lines.iter().any(|line| line.to_ascii_lowercase().contains("address already in use"))
    }
}

impl Writing {
    fn append(&mut self, place: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.size >= MAX_LOG_BYTES {
            fs::rename(place, place.with_extension("log.1"))?;
            self.file = create(place)?;
            self.size = 0;
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }
}

fn create(place: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(place)
}

/// The last `count` lines of each log in `folder`, oldest replica first.
pub(crate) fn read_all(folder: &Path, count: usize) -> io::Result<String> {
    let mut text = String::new();
    for replica in replicas(folder)? {
        let lines = last_lines(&folder.join(format!("{replica}{ENDING}")), count)?;
        text.push_str(&format!("==> {replica} <==\n"));
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// Deletes the oldest logs so that those of `kept` replicas remain, not counting those that `is_running`.
pub(crate) fn prune(folder: &Path, kept: usize, is_running: impl Fn(&str) -> bool) -> io::Result<()> {
    let gone: Vec<String> = replicas(folder)?.into_iter().filter(|replica| !is_running(replica)).collect();
    for replica in &gone[..gone.len().saturating_sub(kept)] {
        for ending in [ENDING, OLDER_ENDING] {
            file::delete(&folder.join(format!("{replica}{ending}")))?;
        }
    }
    Ok(())
}

/// The replicas that have a log in `folder`, oldest first: their names count upwards.
fn replicas(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut replicas = Vec::new();
    for entry in entries {
        if let Some(replica) = entry?.file_name().to_string_lossy().strip_suffix(ENDING) {
            replicas.push(replica.to_owned());
        }
    }
    replicas.sort_unstable();
    Ok(replicas)
}

/// The last `count` lines of the log in `place`, its older part included, made fit to be shown.
fn last_lines(place: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut bytes = Vec::new();
    for part in [place.with_extension("log.1"), place.to_owned()] {
        match read_end(&part, count) {
            Ok(end) => bytes.extend(end),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(count)..].iter().map(|line| shown(line)).collect())
}

/// The end of a file that is sure to hold `count` lines of ordinary length.
fn read_end(place: &Path, count: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(place)?;
    let size = file.metadata()?.len();
    let wanted = (count as u64).saturating_mul(MAX_LINE as u64).min(2 * MAX_LOG_BYTES);
    file.seek(SeekFrom::Start(size.saturating_sub(wanted)))?;
    let mut end = Vec::new();
    file.take(wanted).read_to_end(&mut end)?;
    Ok(end)
}

/// A line without anything that a terminal would act on, and not endless.
fn shown(line: &str) -> String {
    let visible = line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c });
    visible.take(MAX_LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &Path, name: &str) -> ReplicaLog {
        ReplicaLog::create(folder, &ReplicaId::new(name)).unwrap()
    }

    #[test]
    fn the_last_lines_of_each_replica_are_shown_oldest_replica_first() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), "b.2").append(b"one\ntwo\nthree\n");
        log(folder.path(), "b.1").append(b"four");
        assert_eq!(read_all(folder.path(), 2).unwrap(), "==> b.1 <==\nfour\n==> b.2 <==\ntwo\nthree\n");
        assert_eq!(read_all(&folder.path().join("absent"), 2).unwrap(), "");
    }

    #[test]
    fn a_flood_is_kept_within_bounds_and_its_end_is_readable() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), "a");
        for number in 0..100_000 {
            log.append(format!("line {number} with some length to it, so that it fills up\n").as_bytes());
        }
        let total: u64 =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(total <= 2 * MAX_LOG_BYTES + 4096, "{total}");
        let lines = last_lines(&log.place, 3000).unwrap();
        assert_eq!(lines.len(), 3000);
        assert!(lines[2999].starts_with("line 99999 ") && lines[0].starts_with("line 97000 "));
    }

    #[test]
    fn garbage_is_made_fit_to_be_shown() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), "a");
        log.append(b"\x1b[31mred\xff\x00\tend\nreason\n\n");
        log.note("ended");
        let lines = last_lines(&log.place, 10).unwrap();
        assert_eq!(lines[0], "\u{fffd}[31mred\u{fffd}\u{fffd}\tend");
        assert_eq!(log.last_line().as_deref(), Some("reason"), "notes and empty lines are no reason");
        log.append(&[b'x'; 1 << 20]);
        assert_eq!(log.last_line().unwrap().len(), 300);
    }

    #[test]
    fn the_oldest_logs_go_and_running_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.1", "a.2", "a.3", "a.4"] {
            log(folder.path(), name).note("up");
        }
        prune(folder.path(), 1, |replica| replica == "a.1").unwrap();
        assert_eq!(replicas(folder.path()).unwrap(), ["a.1", "a.4"]);
    }
}
