use std::fmt;
use std::path::PathBuf;

use super::Entry;

/// How much a project may hold. The defaults, 2 000 files and 300 MB, are those of Azure Machine Learning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files and links; 2 000.
    pub files: u64,
    /// The sum of the files' lengths in bytes; 300 000 000.
    pub bytes: u64,
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self { files: u64::MAX, bytes: u64::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: 2000, bytes: 300_000_000 }
    }
}

/// A project past its limits, with the five largest files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooBig {
    /// Files and links found.
    pub files: u64,
    /// Bytes found.
    pub bytes: u64,
    /// What was allowed.
    pub limits: Limits,
    /// The five largest files and their lengths, largest first.
    pub largest: Vec<(PathBuf, u64)>,
}

impl fmt::Display for TooBig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (megabytes, tenths) = (self.bytes / 1_000_000, self.bytes / 100_000 % 10);
        write!(f, "project has {} files with {megabytes}.{tenths} MB, ", self.files)?;
        write!(f, "allowed are {} files and {} MB", self.limits.files, self.limits.bytes / 1_000_000)?;
        f.write_str("; name what is not needed in .amlignore; the largest are")?;
        self.largest
            .iter()
            .try_for_each(|(path, bytes)| write!(f, "\n  {bytes:>12} bytes  {}", path.display()))
    }
}

impl std::error::Error for TooBig {}

impl Limits {
    pub(super) fn check(self, entries: &[Entry]) -> Result<(u64, u64), TooBig> {
        let (files, bytes) = (entries.len() as u64, entries.iter().map(Entry::bytes).sum());
        if files <= self.files && bytes <= self.bytes {
            return Ok((files, bytes));
        }
        let mut by_size: Vec<&Entry> = entries.iter().collect();
        by_size.sort_by_key(|entry| std::cmp::Reverse(entry.bytes()));
        let largest =
            by_size.iter().take(NAMED).map(|entry| (entry.path().to_owned(), entry.bytes())).collect();
        Err(TooBig { files, bytes, limits: self, largest })
    }
}

const NAMED: usize = 5;
