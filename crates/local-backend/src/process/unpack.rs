//! Unpacks a project, trusting none of it.
//!
//! The bytes may come from anywhere, so an entry can only become a file, a folder or a link that stays below the
//! target: no `..`, no absolute path, no device, no second entry of the same name, nothing written through a link, and
//! an end to how much there may be.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use portway_backend::{Digest, Hasher};
use tar::{Archive, Entry, EntryType};

/// How much a packed project may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    /// Entries of any kind.
    pub(crate) entries: u64,
    /// Bytes of all files together.
    pub(crate) bytes: u64,
}

impl Limits {
    /// Ten times what a packed project may have by default (IMG-3: 2000 files, 300 MB), since both can be configured.
    pub(crate) const DEFAULT: Self = Self { entries: 20_000, bytes: 3_000_000_000 };
}

/// Why a project cannot be unpacked.
#[derive(Debug)]
pub(crate) enum UnpackError {
    /// The archive is at fault: it will never unpack.
    Refused(String),
    /// The machine is at fault.
    Io(io::Error),
}

impl From<io::Error> for UnpackError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // This is how the tar reader says that it is no archive.
            io::ErrorKind::Other | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                Self::Refused(format!("it is no whole tar archive: {error}"))
            }
            _ => Self::Io(error),
        }
    }
}

/// Unpacks the archive `packed` into the empty folder `target`, whose bytes must hash to `digest`.
///
/// On an error the folder holds what had been unpacked until then; the caller throws it away.
pub(crate) fn unpack(
    packed: impl Read,
    digest: &Digest,
    target: &Path,
    limits: Limits,
) -> Result<(), UnpackError> {
    let mut archive = Archive::new(Digested { inner: packed, hasher: Hasher::new() });
    let mut left = limits;
    for entry in archive.entries()? {
        left.entries = left.entries.checked_sub(1).ok_or_else(|| too_much(limits))?;
        unpack_entry(&mut entry?, target, limits, &mut left.bytes)?;
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink())?;
    if rest.hasher.finish() == *digest {
        return Ok(());
    }
    Err(UnpackError::Refused("its bytes do not match its digest; store it again".to_owned()))
}

fn unpack_entry(
    entry: &mut Entry<'_, impl Read>,
    target: &Path,
    limits: Limits,
    left: &mut u64,
) -> Result<(), UnpackError> {
    let kind = entry.header().entry_type();
    if matches!(kind, EntryType::XGlobalHeader) {
        return Ok(());
    }
    let path = entry.path()?.into_owned();
    let inside = inside(&path)?;
    if inside.as_os_str().is_empty() {
        // The root itself, `./`.
        return Ok(());
    }
    let place = target.join(&inside);
    make_folders(target, inside.parent().unwrap_or_else(|| Path::new("")))?;
    match kind {
        EntryType::Directory => make_folders(target, &inside),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            write_file(entry, &place, limits, left)
        }
        EntryType::Symlink => {
            let link = entry.link_name()?.ok_or_else(|| refused(&path, "is a link to nothing"))?;
            check_link(&inside, &link)?;
            symlink(link, &place).map_err(|error| twice(&path, error))
        }
        EntryType::Link => {
            let link = entry.link_name()?.ok_or_else(|| refused(&path, "is a link to nothing"))?;
            let original = target.join(self::inside(&link)?);
            if !fs::symlink_metadata(&original).is_ok_and(|found| found.is_file()) {
                return Err(refused(&path, "is a hard link to something that is not an unpacked file"));
            }
            fs::hard_link(original, &place).map_err(|error| twice(&path, error))
        }
        _ => Err(refused(&path, "is neither a file, nor a folder, nor a link")),
    }
}

/// `path` without `.`; refused if it could lead anywhere else.
fn inside(path: &Path) -> Result<PathBuf, UnpackError> {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(refused(path, "leads out of the project"));
            }
        }
    }
    Ok(inside)
}

/// Makes the folders of `inside` below `target`; a link on the way is refused, or a later entry could write through it.
fn make_folders(target: &Path, inside: &Path) -> Result<(), UnpackError> {
    let mut place = target.to_owned();
    for name in inside {
        place.push(name);
        match DirBuilder::new().mode(0o755).create(&place) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs::symlink_metadata(&place)?.is_dir() {
                    return Err(refused(inside, "has something on its way that is not a folder"));
                }
            }
            Err(error) => return Err(UnpackError::Io(error)),
        }
    }
    Ok(())
}

fn write_file(
    entry: &mut Entry<'_, impl Read>,
    place: &Path,
    limits: Limits,
    left: &mut u64,
) -> Result<(), UnpackError> {
    let path = entry.path()?.into_owned();
    // Executable or not is all that is taken over; set-user-id bits in particular are not.
    let mode = if entry.header().mode()? & 0o111 == 0 { 0o644 } else { 0o755 };
    let mut options = OpenOptions::new();
    // `create_new` follows no link.
    let file = options.write(true).create_new(true).mode(mode).open(place);
    let mut file = file.map_err(|error| twice(&path, error))?;
    // The declared size may be a lie, the copied bytes are not.
    let copied = io::copy(&mut entry.take(left.saturating_add(1)), &mut file)?;
    *left = left.checked_sub(copied).ok_or_else(|| too_much(limits))?;
    Ok(())
}

/// A link may climb to the root of the project at most, and only at its beginning: after a name, `..` could start from
/// wherever another link leads.
fn check_link(inside: &Path, link: &Path) -> Result<(), UnpackError> {
    let depth = inside.components().count() - 1;
    let climbs = link.components().take_while(|component| *component == Component::ParentDir).count();
    let rest_is_plain = link
        .components()
        .skip(climbs)
        .all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
    if climbs <= depth && rest_is_plain && !link.as_os_str().is_empty() {
        return Ok(());
    }
    Err(refused(inside, "is a link that leads out of the project"))
}

fn refused(path: &Path, why: &str) -> UnpackError {
    UnpackError::Refused(format!("its entry {path:?} {why}"))
}

fn twice(path: &Path, error: io::Error) -> UnpackError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => refused(path, "is there twice"),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => refused(path, "has an illegal name"),
        _ => UnpackError::Io(error),
    }
}

fn too_much(limits: Limits) -> UnpackError {
    let Limits { entries, bytes } = limits;
    UnpackError::Refused(format!("it holds more than {entries} entries or {bytes} bytes"))
}

/// Digests what is read through it.
struct Digested<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;
    use tar::{Builder, Header};

    use super::*;

    const SMALL: Limits = Limits { entries: 10, bytes: 1000 };

    fn header(kind: EntryType, path: &str, size: u64, mode: u32) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        // Not `set_path`: that refuses what is to be refused here.
        let bytes = path.as_bytes();
        header.as_old_mut().name[..bytes.len()].copy_from_slice(bytes);
        header.set_size(size);
        header.set_mode(mode);
        header.set_cksum();
        header
    }

    fn file(path: &str, bytes: &[u8]) -> (Header, Vec<u8>) {
        (header(EntryType::Regular, path, bytes.len() as u64, 0o4755), bytes.to_vec())
    }

    fn link(kind: EntryType, path: &str, to: &str) -> (Header, Vec<u8>) {
        let mut header = header(kind, path, 0, 0o777);
        header.as_old_mut().linkname[..to.len()].copy_from_slice(to.as_bytes());
        header.set_cksum();
        (header, Vec::new())
    }

    fn pack(entries: &[(Header, Vec<u8>)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (header, bytes) in entries {
            builder.append(header, &bytes[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, Result<(), UnpackError>) {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("project");
        fs::create_dir(&target).unwrap();
        let result = unpack(bytes, &Digest::of(bytes), &target, SMALL);
        (folder, result)
    }

    #[track_caller]
    fn assert_refused(entries: &[(Header, Vec<u8>)], why: &str) {
        let (folder, result) = unpacked(&pack(entries));
        match result {
            Err(UnpackError::Refused(message)) => assert!(message.contains(why), "{message}"),
            other => panic!("not refused: {other:?}"),
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing outside is touched");
    }

    #[test]
    fn a_project_comes_out_as_it_went_in() {
        let (folder, result) = unpacked(&pack(&[
            (header(EntryType::Directory, "./", 0, 0o755), Vec::new()),
            file("./score.py", b"print()"),
            file("models/deep/weights.bin", b"\0\x01"),
            link(EntryType::Symlink, "models/latest", "deep/weights.bin"),
            link(EntryType::Symlink, "models/script", "../score.py"),
            link(EntryType::Link, "again.py", "score.py"),
        ]));
        result.unwrap();
        let project = folder.path().join("project");
        assert_eq!(fs::read(project.join("models/latest")).unwrap(), b"\0\x01");
        assert_eq!(fs::read(project.join("models/script")).unwrap(), b"print()");
        assert_eq!(fs::read(project.join("again.py")).unwrap(), b"print()");
        let mode = fs::metadata(project.join("score.py")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7000, 0, "no set-user-id");
    }

    #[test]
    fn nothing_leads_out_of_the_project() {
        assert_refused(&[file("../out", b"")], "leads out");
        assert_refused(&[file("a/../../out", b"")], "leads out");
        assert_refused(&[file("/etc/out", b"")], "leads out");
        assert_refused(&[link(EntryType::Symlink, "a", "/etc")], "leads out");
        assert_refused(&[link(EntryType::Symlink, "a", "..")], "leads out");
        assert_refused(&[link(EntryType::Symlink, "a/b", "../x/../..")], "leads out");
        assert_refused(&[link(EntryType::Link, "a", "../../etc/passwd")], "leads out");
        assert_refused(&[link(EntryType::Symlink, "a", "b"), link(EntryType::Link, "c", "a")], "hard link");
    }

    #[test]
    fn nothing_is_written_through_a_link_or_twice() {
        assert_refused(&[link(EntryType::Symlink, "a", "b"), file("a/c", b"")], "not a folder");
        assert_refused(&[link(EntryType::Symlink, "a", "b"), file("a", b"")], "twice");
        assert_refused(&[file("a", b"1"), file("./a", b"2")], "twice");
        assert_refused(&[file("a", b"1"), file("a/b", b"2")], "not a folder");
    }

    #[test]
    fn devices_bombs_and_liars_are_refused() {
        assert_refused(&[(header(EntryType::Char, "null", 0, 0o666), Vec::new())], "neither a file");
        assert_refused(&[(header(EntryType::Fifo, "pipe", 0, 0o666), Vec::new())], "neither a file");
        assert_refused(&[file("a", &[0; 600]), file("b", &[0; 600])], "more than");
        let many: Vec<_> = (0..11).map(|n| file(&n.to_string(), b"")).collect();
        assert_refused(&many, "more than");
    }

    #[test]
    fn what_is_no_archive_or_another_one_is_refused() {
        for bytes in [&b"garbage that is no archive"[..], &[7; 2000], &pack(&[file("a", &[1; 600])])[..700]] {
            let (_folder, result) = unpacked(bytes);
            assert!(matches!(result, Err(UnpackError::Refused(_))), "{result:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let result = unpack(&pack(&[file("a", b"x")])[..], &Digest::of(b"other"), folder.path(), SMALL);
        assert!(matches!(result, Err(UnpackError::Refused(message)) if message.contains("digest")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever an archive says, nothing but the target is touched, and nothing in it leads out.
        #[test]
        fn no_archive_reaches_out(
            entries in proptest::collection::vec(
                (prop_oneof!["[ab./]{1,6}", "(a|b|\\.\\.)(/(a|b|\\.\\.)){0,3}"], "[ab./]{1,6}", 0_u8..4),
                1..8,
            ),
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let mut bytes = pack(&entries.iter().map(|(path, to, kind)| match kind {
                0 => file(path, b"x"),
                1 => link(EntryType::Symlink, path, to),
                2 => link(EntryType::Link, path, to),
                _ => (header(EntryType::Directory, path, 0, 0o755), Vec::new()),
            }).collect::<Vec<_>>());
            for (place, byte) in flips {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let (folder, _) = unpacked(&bytes);
            let root = folder.path().canonicalize().unwrap();
            prop_assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
            let mut folders = vec![root.join("project")];
            while let Some(place) = folders.pop() {
                for entry in fs::read_dir(place).unwrap() {
                    let path = entry.unwrap().path();
                    if let Ok(real) = path.canonicalize() {
                        prop_assert!(real.starts_with(root.join("project")), "{:?} is {:?}", path, real);
                    }
                    if fs::symlink_metadata(&path).unwrap().is_dir() {
                        folders.push(path);
                    }
                }
            }
        }
    }
}
