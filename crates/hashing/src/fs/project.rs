use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::entry::{Entry, Node};
use super::pack::Packer;
use super::stat_cache::StatCache;
use super::tree::Tree;
use super::walk::{self, Walked};
use super::{Limits, ProjectError, read};
use crate::Digest;

/// A project folder.
///
/// ```
/// use portway_hashing::fs::{Limits, Project, unpack};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let (from, to) = (folder.path().join("from"), folder.path().join("to"));
/// # std::fs::create_dir(&from)?;
/// std::fs::write(from.join("score.py"), "print(1)")?;
/// std::fs::write(from.join("notes.txt"), "later")?;
/// std::fs::write(from.join(".amlignore"), "*.txt\n")?;
///
/// let project = Project::new(&from);
/// let mut pack = Vec::new();
/// let packed = project.pack(&mut pack)?;
/// assert_eq!(packed.files, 2);
/// assert_eq!(packed.digest, project.digest()?.digest);
/// assert_eq!(packed.digest, unpack(pack.as_slice(), &to, Limits::default())?.digest);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
    limits: Limits,
    cache: Option<PathBuf>,
}

/// What a project holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The digest of names, contents, executable bits and link targets.
    pub digest: Digest,
    /// Files and links.
    pub files: u64,
    /// The sum of the files' lengths in bytes.
    pub bytes: u64,
    /// Files whose content was read; fewer than `files` if a stat cache knew the others.
    pub read: u64,
}

impl Project {
    /// The project in the folder `root`, within the default limits.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), limits: Limits::default(), cache: None }
    }

    /// Sets the limits.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Remembers digests of files in the file `path`, so that [`digest`](Self::digest) reads only what changed. It has to lie outside the
    /// project (or be ignored), on a file system with the same clock. A missing or damaged cache costs time, nothing else.
    #[must_use]
    pub fn stat_cache(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache = Some(path.into());
        self
    }

    /// The project folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What belongs to the project, sorted by path, bytewise.
    ///
    /// # Errors
    /// [`ProjectError`]: unreadable, past the limits, a special file or a link that leads out.
    pub fn entries(&self) -> Result<Vec<Entry>, ProjectError> {
        let mut entries = self.walk()?.0.entries;
        entries.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(entries)
    }

    /// The project's digest.
    ///
    /// # Errors
    /// [`ProjectError`] as for [`entries`](Self::entries); a file that keeps changing; a stat cache that can't be written.
    pub fn digest(&self) -> Result<Summary, ProjectError> {
        let (walked, files, bytes) = self.walk()?;
        let mut cache = self.cache.as_deref().map(StatCache::open);
        let mut tree = Tree::new();
        let mut read = 0;
        for entry in &walked.entries {
            match &entry.node {
                Node::Link(target) => tree.link(&entry.path, target),
                Node::File(stat) => {
                    let known = cache.as_mut().and_then(|cache| cache.find(stat));
                    read += u64::from(known.is_none());
                    let leaf = known.map_or_else(|| self.leaf(&walked, entry, cache.as_mut()), Ok)?;
                    tree.file(&entry.path, leaf);
                }
            }
        }
        if let Some(cache) = cache {
            cache.save()?;
        }
        Ok(Summary { digest: tree.finish(), files, bytes, read })
    }

    /// Writes the project into `out` as a tar archive: the same project gives the same bytes on every machine. Nothing is
    /// compressed, since a compressor's bytes change with its version. One file at a time is held in memory.
    ///
    /// # Errors
    /// [`ProjectError`] as for [`digest`](Self::digest), or `out` fails.
    pub fn pack(&self, out: impl Write) -> Result<Summary, ProjectError> {
        let (walked, files, _) = self.walk()?;
        let mut tree = Tree::new();
        let mut packer = Packer::new(out);
        let (mut bytes, mut read) = (0, 0);
        for entry in &walked.entries {
            match &entry.node {
                Node::Link(target) => {
                    tree.link(&entry.path, target);
                    packer.link(&entry.path, target).map_err(ProjectError::Write)?;
                }
                Node::File(_) => {
                    let content = self.content(&walked, entry, true)?;
                    read += 1;
                    bytes += content.stat.size;
                    tree.file(&entry.path, content.leaf);
                    packer
                        .file(&entry.path, content.stat.is_executable(), &content.bytes)
                        .map_err(ProjectError::Write)?;
                }
            }
        }
        packer.finish().map_err(ProjectError::Write)?;
        Ok(Summary { digest: tree.finish(), files, bytes, read })
    }

    fn walk(&self) -> Result<(Walked, u64, u64), ProjectError> {
        let walked = walk::walk(&self.root)?;
        let (files, bytes) = self.limits.check(&walked.entries)?;
        Ok((walked, files, bytes))
    }

    /// Reads a file that the cache doesn't know, and tells it.
    fn leaf(
        &self,
        walked: &Walked,
        entry: &Entry,
        cache: Option<&mut StatCache<'_>>,
    ) -> Result<Digest, ProjectError> {
        let Some(cache) = cache else { return Ok(self.content(walked, entry, false)?.leaf) };
        cache.before_read()?;
        let content = self.content(walked, entry, false)?;
        cache.learn(&content.stat, content.leaf);
        Ok(content.leaf)
    }

    fn content(&self, walked: &Walked, entry: &Entry, keep: bool) -> Result<read::Content, ProjectError> {
        let path = || self.root.join(entry.path());
        read::content(walked.root.as_fd(), &entry.path, keep)
            .map_err(|source| ProjectError::Read { path: path(), source })?
            .ok_or_else(|| ProjectError::Changed { path: path() })
    }
}
