//! Digests of files by what the file system says about them.
//!
//! The racy rule, stricter than git's: a file is remembered only if it was last changed before the first file was read, by the
//! file system's own clock. Otherwise it may have changed again within the same tick of that clock, after it was read.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::fstat;

use super::ProjectError;
use super::walk::Stat;
use crate::Digest;

pub(super) struct StatCache<'a> {
    path: &'a Path,
    /// The records as they lie in the file.
    known: Vec<Record>,
    /// The record after the last one found: an unchanged tree asks in the order in which it was written.
    next: usize,
    index: Option<HashMap<(u64, u64), usize>>,
    /// The records of this run, in the order of the walk.
    seen: Vec<Record>,
    /// The file that will replace the cache, and its birth by the file system's clock.
    fresh: Option<(PathBuf, File, (i64, i64))>,
}

type Record = [u8; RECORD];

impl<'a> StatCache<'a> {
    /// Reads the cache; whatever is wrong with it makes it empty.
    pub(super) fn open(path: &'a Path) -> Self {
        let known = fs::read(path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        let seen = Vec::with_capacity(known.len());
        Self { path, known, next: 0, index: None, seen, fresh: None }
    }

    pub(super) fn find(&mut self, stat: &Stat) -> Option<Digest> {
        let key = encode(stat);
        let found = match self.known.get(self.next) {
            Some(record) if record[..STAT] == key => self.next,
            _ => self.search(stat, &key)?,
        };
        self.next = found + 1;
        let record = self.known[found];
        self.seen.push(record);
        digest_of(&record)
    }

    fn search(&mut self, stat: &Stat, key: &[u8; STAT]) -> Option<usize> {
        let known = &self.known;
        let index = self.index.get_or_insert_with(|| {
            known.iter().enumerate().map(|(at, record)| (identity(record), at)).collect()
        });
        index.get(&(stat.dev, stat.ino)).copied().filter(|at| known[*at][..STAT] == *key)
    }

    /// Takes the time, once, before the first file is read.
    pub(super) fn before_read(&mut self) -> Result<(), ProjectError> {
        if self.fresh.is_none() {
            self.fresh = Some(create(self.path).map_err(|source| self.failed(source))?);
        }
        Ok(())
    }

    pub(super) fn learn(&mut self, stat: &Stat, leaf: Digest) {
        let born = self.fresh.as_ref().map_or((i64::MIN, 0), |(_, _, born)| *born);
        if stat.mtime < born && stat.ctime < born {
            let mut record = [0; RECORD];
            record[..STAT].copy_from_slice(&encode(stat));
            record[STAT..].copy_from_slice(leaf.as_bytes());
            self.seen.push(record);
        }
    }

    /// Replaces the cache if this run read anything, or if files went away.
    pub(super) fn save(mut self) -> Result<(), ProjectError> {
        if self.fresh.is_none() && self.seen.len() == self.known.len() {
            return Ok(());
        }
        self.before_read()?;
        let Some((path, mut file, _)) = self.fresh.take() else { return Ok(()) };
        let body = self.seen.concat();
        let written = file
            .write_all(&[MAGIC, Digest::of(&body).as_bytes(), &body].concat())
            .and_then(|()| fs::rename(&path, self.path));
        written.map_err(|source| {
            // The error that matters is the first one.
            let _ = fs::remove_file(&path);
            self.failed(source)
        })
    }

    fn failed(&self, source: std::io::Error) -> ProjectError {
        ProjectError::Cache { path: self.path.to_owned(), source }
    }
}

impl Drop for StatCache<'_> {
    fn drop(&mut self) {
        if let Some((path, _, _)) = self.fresh.take() {
            let _ = fs::remove_file(path);
        }
    }
}

/// Creates the next cache beside the present one. Its name is free whoever else writes the same cache.
fn create(path: &Path) -> std::io::Result<(PathBuf, File, (i64, i64))> {
    for attempt in 0..100 {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}-{attempt}.tmp", std::process::id()));
        match File::create_new(&name) {
            Ok(file) => {
                let born = Stat::from(&fstat(&file)?).mtime;
                return Ok((name.into(), file, born));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, "too many unfinished caches beside it"))
}

fn decode(bytes: &[u8]) -> Option<Vec<Record>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (checksum, body) = rest.split_at_checked(32)?;
    let (records, trailing) = body.as_chunks::<RECORD>();
    (trailing.is_empty() && Digest::of(body).as_bytes() == checksum).then(|| records.to_vec())
}

fn encode(stat: &Stat) -> [u8; STAT] {
    let mut bytes = [0; STAT];
    let words = [
        stat.dev.to_le_bytes(),
        stat.ino.to_le_bytes(),
        u64::from(stat.mode).to_le_bytes(),
        stat.size.to_le_bytes(),
        stat.mtime.0.to_le_bytes(),
        stat.mtime.1.to_le_bytes(),
        stat.ctime.0.to_le_bytes(),
        stat.ctime.1.to_le_bytes(),
    ];
    for (slot, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *slot = word;
    }
    bytes
}

fn identity(record: &Record) -> (u64, u64) {
    let words = record.as_chunks::<8>().0;
    (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]))
}

fn digest_of(record: &Record) -> Option<Digest> {
    record[STAT..].try_into().ok().map(Digest::from_bytes)
}

const MAGIC: &[u8] = b"portway-stat-cache-1\n";
const STAT: usize = 64;
const RECORD: usize = STAT + 32;
