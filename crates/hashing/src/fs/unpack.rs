use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tar::{Archive, EntryType};

use super::entry::walk_order;
use super::tree::{self, Tree};
use super::{Limits, Summary, link};
use crate::Digest;

/// Why an archive was not unpacked. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The target exists and is not an empty folder.
    #[error("{} is not an empty folder", .path.display())]
    NotEmpty {
        /// The target.
        path: PathBuf,
    },
    /// The archive is damaged, cut short, or no tar archive.
    #[error("not a tar archive, or a damaged one")]
    Damaged(#[source] io::Error),
    /// An entry that would leave the target, or is of a kind that a pack never holds.
    #[error("entry {entry:?} {problem}")]
    Entry {
        /// Its path as it stands in the archive, made printable.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More files or bytes than allowed.
    #[error("the archive holds more than {} files or {} bytes", .0.files, .0.bytes)]
    TooBig(Limits),
    /// The file system refused.
    #[error("could not write {}", .path.display())]
    Write {
        /// What could not be written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Unpacks a tar archive, such as [`Project::pack`](super::Project::pack) writes, into the folder `into`, which is created or has to be
/// empty. Nobody else may write there meanwhile.
///
/// Refused are: `..`, absolute paths, links that lead out, anything that is not a file, folder or symbolic link, the same path twice, an
/// entry below a file or link, and more files, folders or bytes than `limits` (checked before they are written). After an error nothing is left in `into`.
///
/// # Errors
/// See [`UnpackError`].
pub fn unpack(archive: impl Read, into: impl AsRef<Path>, limits: Limits) -> Result<Summary, UnpackError> {
    let into = into.as_ref();
    prepare(into)?;
    let mut unpacker =
        Unpacker { into, limits, known: HashMap::new(), leaves: Vec::new(), files: 0, folders: 0, bytes: 0 };
    let done = unpacker.run(archive);
    if done.is_err() {
        clear(into);
    }
    done
}

struct Unpacker<'a> {
    into: &'a Path,
    limits: Limits,
    known: HashMap<Vec<u8>, Known>,
    leaves: Vec<(Vec<u8>, Leaf)>,
    files: u64,
    folders: u64,
    bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// A folder, created for what it holds; an entry of its own may follow.
    Implied,
    /// A folder with an entry of its own.
    Folder,
    /// Nothing may lie below it or take its place.
    Taken,
}

enum Leaf {
    File(Digest),
    Link(Vec<u8>),
}

impl Unpacker<'_> {
    fn run(&mut self, archive: impl Read) -> Result<Summary, UnpackError> {
        let header_left = Rc::new(Cell::new(0));
        let mut archive = Archive::new(Metered { inner: archive, left: Rc::clone(&header_left) });
        let mut entries = archive.entries().map_err(UnpackError::Damaged)?;
        loop {
            header_left.set(MAX_HEADER);
            let Some(entry) = entries.next() else { break };
            let entry = entry.map_err(UnpackError::Damaged)?;
            header_left.set(u64::MAX);
            self.entry(entry)?;
        }
        self.leaves.sort_by(|(left, _), (right, _)| walk_order(left, right));
        let mut tree = Tree::new();
        let mut read = 0;
        for (path, leaf) in &self.leaves {
            match leaf {
                Leaf::File(digest) => {
                    read += 1;
                    tree.file(path, *digest);
                }
                Leaf::Link(target) => tree.link(path, target),
            }
        }
        Ok(Summary { digest: tree.finish(), files: self.files, bytes: self.bytes, read })
    }

    fn entry<R: Read>(&mut self, mut entry: tar::Entry<'_, R>) -> Result<(), UnpackError> {
        let raw = entry.path_bytes().into_owned();
        let refuse =
            |problem| Err(UnpackError::Entry { entry: String::from_utf8_lossy(&raw).into_owned(), problem });
        let kind = entry.header().entry_type();
        let name = if kind == EntryType::Directory { raw.strip_suffix(b"/").unwrap_or(&raw) } else { &raw };
        if let Err(problem) = check_path(name) {
            return refuse(problem);
        }
        if let Err(problem) = self.reserve(name, kind) {
            return refuse(problem);
        }
        self.count(entry.size(), kind)?;
        self.folders(name, kind)?;
        match kind {
            EntryType::Directory => Ok(()),
            EntryType::Regular | EntryType::Continuous => self.file(name, &mut entry),
            EntryType::Symlink => {
                let target = entry.link_name_bytes().map(|target| target.into_owned()).unwrap_or_default();
                if link::stays_inside(name, &target) {
                    self.link(name, target)
                } else {
                    refuse("is a link that leads out")
                }
            }
            _ => refuse("is neither file, folder nor symbolic link"),
        }
    }

    /// Refuses a path that is taken, or lies below something that is no folder; remembers it otherwise.
    fn reserve(&mut self, name: &[u8], kind: EntryType) -> Result<(), &'static str> {
        for (slash, _) in name.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            if self.known.get(&name[..slash]) == Some(&Known::Taken) {
                return Err("lies below something that is no folder");
            }
        }
        match (self.known.get(name), kind) {
            (None | Some(Known::Implied), EntryType::Directory) => {}
            (None, _) => drop(self.known.insert(name.to_owned(), Known::Taken)),
            (Some(_), _) => return Err("comes a second time"),
        }
        Ok(())
    }

    fn count(&mut self, size: u64, kind: EntryType) -> Result<(), UnpackError> {
        if kind != EntryType::Directory {
            self.files += 1;
            self.bytes = self.bytes.saturating_add(size);
        }
        if self.files > self.limits.files || self.bytes > self.limits.bytes {
            return Err(UnpackError::TooBig(self.limits));
        }
        Ok(())
    }

    /// Creates the folders that `name` lies in, and itself if it is one. They have the limit of files: empty folders are the
    /// cheapest way to fill a disk.
    fn folders(&mut self, name: &[u8], kind: EntryType) -> Result<(), UnpackError> {
        for (slash, _) in name.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            self.folder(&name[..slash], Known::Implied)?;
        }
        if kind == EntryType::Directory {
            self.folder(name, Known::Folder)?;
        }
        Ok(())
    }

    fn folder(&mut self, name: &[u8], new: Known) -> Result<(), UnpackError> {
        if let Some(known) = self.known.get_mut(name) {
            if new == Known::Folder {
                *known = new;
            }
            return Ok(());
        }
        self.folders += 1;
        if self.folders > self.limits.files {
            return Err(UnpackError::TooBig(self.limits));
        }
        let path = self.path(name);
        fs::create_dir(&path).map_err(|source| UnpackError::Write { path, source })?;
        self.known.insert(name.to_owned(), new);
        Ok(())
    }

    fn file<R: Read>(&mut self, name: &[u8], entry: &mut tar::Entry<'_, R>) -> Result<(), UnpackError> {
        let path = self.path(name);
        let failed = |source| UnpackError::Write { path: path.clone(), source };
        let executable = entry.header().mode().map_err(UnpackError::Damaged)? & 0o100 != 0;
        let (size, mut left) = (entry.size(), entry.size());
        let mut hasher = tree::file_hasher_of(executable, size);
        let mut file = File::create_new(&path).map_err(failed)?;
        let mut buffer = [0; 32 * 1024];
        while left > 0 {
            let count = entry.read(&mut buffer).map_err(UnpackError::Damaged)?;
            if count == 0 {
                return Err(UnpackError::Damaged(io::ErrorKind::UnexpectedEof.into()));
            }
            hasher.update(&buffer[..count]);
            file.write_all(&buffer[..count]).map_err(failed)?;
            left = left.saturating_sub(count as u64);
        }
        // Set, not asked for at creation: the umask has no say in what a project is.
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
        self.leaves.push((name.to_owned(), Leaf::File(hasher.finish())));
        Ok(())
    }

    fn link(&mut self, name: &[u8], target: Vec<u8>) -> Result<(), UnpackError> {
        let path = self.path(name);
        symlink(std::ffi::OsStr::from_bytes(&target), &path)
            .map_err(|source| UnpackError::Write { path, source })?;
        self.leaves.push((name.to_owned(), Leaf::Link(target)));
        Ok(())
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        self.into.join(std::ffi::OsStr::from_bytes(name))
    }
}

fn check_path(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() || name.contains(&0) {
        return Err("has no usable path");
    }
    if name.starts_with(b"/") {
        return Err("has an absolute path");
    }
    if name.len() > MAX_PATH {
        return Err("has a path that is too long");
    }
    match name.split(|byte| *byte == b'/').find(|part| matches!(*part, b"" | b"." | b"..")) {
        Some(b"..") => Err("has `..` in its path"),
        Some(_) => Err("has an empty part or `.` in its path"),
        None => Ok(()),
    }
}

fn prepare(into: &Path) -> Result<(), UnpackError> {
    let failed = |source| UnpackError::Write { path: into.to_owned(), source };
    match fs::create_dir(into) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let empty = fs::read_dir(into).is_ok_and(|mut entries| entries.next().is_none());
            if empty { Ok(()) } else { Err(UnpackError::NotEmpty { path: into.to_owned() }) }
        }
        Err(error) => Err(failed(error)),
    }
}

/// Removes what was unpacked; the folder itself stays. The error that brought us here is the one to report.
fn clear(into: &Path) {
    let Ok(entries) = fs::read_dir(into) else { return };
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = if is_folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
    }
}

/// Lets no more through than is allowed at the moment: the archive's reader would take a name of any length into memory.
struct Metered<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other("an entry's name or attributes are too long"));
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.inner.read(&mut buffer[..most])?;
        self.left.set(left - count as u64);
        Ok(count)
    }
}

const MAX_PATH: usize = 4096;
/// What an entry may take besides its content: its header, the padding before it, a long name and a long link with headers of their own.
const MAX_HEADER: u64 = 64 * 1024;
