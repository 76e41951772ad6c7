//! Top-down, with one open descriptor a level: no path is looked up twice, and what is excluded is never entered.

use std::ffi::{CString, OsStr};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};

use super::entry::{Entry, Node};
use super::ignore::Rules;
use super::{ProjectError, link};

/// What the file system says about a file. Two equal answers, both older than the last read, mean the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) mode: u32,
    pub(super) size: u64,
    /// Seconds and nanoseconds.
    pub(super) mtime: (i64, i64),
    pub(super) ctime: (i64, i64),
}

impl Stat {
    pub(super) fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }
}

// The fields' widths differ among the Unixes; on Linux some of these casts change nothing.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
impl From<&rustix::fs::Stat> for Stat {
    fn from(stat: &rustix::fs::Stat) -> Self {
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            mode: stat.st_mode as u32,
            size: stat.st_size as u64,
            mtime: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

/// The root's descriptor and its entries, in the order of the walk.
pub(super) struct Walked {
    pub(super) root: OwnedFd,
    pub(super) entries: Vec<Entry>,
}

pub(super) fn walk(root: &Path) -> Result<Walked, ProjectError> {
    let failed =
        |source: rustix::io::Errno| ProjectError::Read { path: root.to_owned(), source: source.into() };
    // The root itself may be a link; nothing below it is followed.
    let fd = openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed)?;
    let mut walk = Walk { base: root, path: Vec::new(), rules: Rules::default(), entries: Vec::new() };
    let top = openat(&fd, c".", FOLDER, Mode::empty()).map_err(failed)?;
    walk.folder(top, 0)?;
    Ok(Walked { root: fd, entries: walk.entries })
}

struct Walk<'a> {
    base: &'a Path,
    /// Where the walk stands, relative to the root.
    path: Vec<u8>,
    rules: Rules,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    fn folder(&mut self, fd: OwnedFd, depth: usize) -> Result<(), ProjectError> {
        if depth > MAX_DEPTH {
            return Err(ProjectError::TooDeep { path: self.here(), limit: MAX_DEPTH });
        }
        let mut folder = Dir::new(fd).map_err(|errno| self.failed(errno))?;
        let names = self.names(&mut folder)?;
        let fd = folder.fd().map_err(|errno| self.failed(errno))?;
        let outer = self.rules.depth();
        self.read_rules(fd, &names)?;
        for (name, kind) in &names {
            let end = self.path.len();
            if end > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.as_bytes());
            self.entry(fd, name, *kind, depth)?;
            self.path.truncate(end);
        }
        self.rules.leave(outer);
        Ok(())
    }

    fn names(&self, folder: &mut Dir) -> Result<Vec<(CString, FileType)>, ProjectError> {
        let mut names = Vec::new();
        while let Some(entry) = folder.read() {
            let entry = entry.map_err(|errno| self.failed(errno))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b".." | b".git") {
                names.push((entry.file_name().to_owned(), entry.file_type()));
            }
        }
        names.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        Ok(names)
    }

    fn entry(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CString,
        kind: FileType,
        depth: usize,
    ) -> Result<(), ProjectError> {
        // Some file systems don't tell the type with the name.
        let (kind, stat) = match kind {
            FileType::Unknown => {
                let stat = self.stat(folder, name)?;
                (FileType::from_raw_mode(stat.mode), Some(stat))
            }
            known => (known, None),
        };
        if self.rules.excludes(&self.path, kind == FileType::Directory) {
            return Ok(());
        }
        let node = match kind {
            FileType::Directory => {
                let fd = openat(folder, name, FOLDER, Mode::empty()).map_err(|errno| self.failed(errno))?;
                return self.folder(fd, depth + 1);
            }
            FileType::RegularFile => Node::File(stat.map_or_else(|| self.stat(folder, name), Ok)?),
            FileType::Symlink => Node::Link(self.link(folder, name)?),
            other => return Err(ProjectError::Special { path: self.here(), kind: describe(other) }),
        };
        self.entries.push(Entry { path: self.path.as_slice().into(), node });
        Ok(())
    }

    fn stat(&self, folder: BorrowedFd<'_>, name: &CString) -> Result<Stat, ProjectError> {
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| self.failed(errno))?;
        Ok(Stat::from(&stat))
    }

    fn link(&self, folder: BorrowedFd<'_>, name: &CString) -> Result<Vec<u8>, ProjectError> {
        let target = readlinkat(folder, name, Vec::new()).map_err(|errno| self.failed(errno))?.into_bytes();
        if link::stays_inside(&self.path, &target) {
            Ok(target)
        } else {
            let target = PathBuf::from(OsStr::from_bytes(&target));
            Err(ProjectError::LinkOut { path: self.here(), target })
        }
    }

    /// `.amlignore` in the root replaces every `.gitignore`. Neither is followed if it is a link, as git has it.
    fn read_rules(
        &mut self,
        folder: BorrowedFd<'_>,
        names: &[(CString, FileType)],
    ) -> Result<(), ProjectError> {
        let has = |wanted: &[u8]| names.iter().any(|(name, _)| name.as_bytes() == wanted);
        let at_root = self.path.is_empty();
        if at_root && has(b".amlignore") {
            let problem = "is not a file; nothing else is read in its place";
            let path = self.base.join(".amlignore");
            let content =
                self.rules_file(folder, ".amlignore")?.ok_or(ProjectError::IgnoreFile { path, problem })?;
            self.rules.only_root();
            self.rules.add(b"", &content);
        } else if self.rules.reads_nested()
            && has(b".gitignore")
            && let Some(content) = self.rules_file(folder, ".gitignore")?
        {
            self.rules.add(&self.path, &content);
        }
        Ok(())
    }

    /// The content of an ignore file; `None` if it is not a regular file.
    fn rules_file(&self, folder: BorrowedFd<'_>, name: &str) -> Result<Option<Vec<u8>>, ProjectError> {
        let failed = |source| ProjectError::Read { path: self.here().join(name), source };
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| failed(errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let fd = openat(folder, name, FILE, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let mut content = Vec::new();
        std::fs::File::from(fd).take(MAX_RULES + 1).read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > MAX_RULES {
            let problem = "is longer than 1 MiB";
            return Err(ProjectError::IgnoreFile { path: self.here().join(name), problem });
        }
        Ok(Some(content))
    }

    fn here(&self) -> PathBuf {
        self.base.join(OsStr::from_bytes(&self.path))
    }

    fn failed(&self, errno: rustix::io::Errno) -> ProjectError {
        ProjectError::Read { path: self.here(), source: errno.into() }
    }
}

/// Opens a file of the walk, unless a link took its place since.
pub(super) fn open(root: impl AsFd, path: &[u8]) -> std::io::Result<std::fs::File> {
    Ok(openat(root, path, FILE, Mode::empty())?.into())
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "neither file, folder nor link",
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// `NONBLOCK`, so that a pipe that took the file's place can't hold us up.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const MAX_DEPTH: usize = 200;
const MAX_RULES: u64 = 1 << 20;
