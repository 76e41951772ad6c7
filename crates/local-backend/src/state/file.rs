//! Files that are whole or not there: written beside their place, synced, renamed, and sealed with a digest.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use portway_backend::{BackendError, Digest};

/// How the names of unfinished files begin; whatever bears such a name when a folder is opened is a crash's leftover.
const UNFINISHED: &str = ".unfinished-";
/// The longest file name that is written out; longer ones are shortened and told apart by their digest.
const MAX_FILE_NAME: usize = 200;

/// Creates a folder that only its owner may enter; one that exists is a success.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The same for a folder that must still be there after a power failure.
pub(crate) fn durable_folder(path: &Path) -> io::Result<()> {
    private_folder(path)?;
    sync_folder_of(path)
}

/// A new file beside its later place, readable by its owner only.
pub(crate) fn unfinished(folder: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let path = folder.join(format!("{UNFINISHED}{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((path, file))
}

/// Moves a finished file to its place, in such a way that a crash leaves either the old or the new one.
pub(crate) fn publish(unfinished: &Path, file: &File, place: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(unfinished, place)?;
    sync_folder_of(place)
}

/// Deletes a file for good; one that does not exist is a success.
pub(crate) fn delete(place: &Path) -> io::Result<()> {
    match fs::remove_file(place) {
        Ok(()) => sync_folder_of(place),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder_of(place: &Path) -> io::Result<()> {
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Writes `bytes` so that `place` holds all of them or what it held before.
pub(crate) fn write_whole(place: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = place.parent().unwrap_or_else(|| Path::new("."));
    let (path, mut file) = unfinished(folder)?;
    let written = file.write_all(bytes).and_then(|()| publish(&path, &file, place));
    if written.is_err() {
        let _ = fs::remove_file(&path);
    }
    written
}

/// Deletes what a crash left half-written in `folder`.
pub(crate) fn delete_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a file of this name is one that was never finished.
pub(crate) fn is_unfinished(file_name: &str) -> bool {
    file_name.starts_with(UNFINISHED)
}

// === sealed files ===

/// `body` under a line that says what it is and what it hashes to, so that damage is noticed.
pub(crate) fn seal(what: &str, body: &[u8]) -> Vec<u8> {
    let mut sealed = format!("portway {what} 1 {}\n", Digest::of(body)).into_bytes();
    sealed.extend_from_slice(body);
    sealed
}

/// The body of a sealed file, or what is wrong with it.
pub(crate) fn unseal<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a [u8], &'static str> {
    let line_end = bytes.iter().position(|byte| *byte == b'\n').ok_or("its first line is missing")?;
    let (line, body) = (&bytes[..line_end], &bytes[line_end + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| "its first line is not text")?;
    let mut words = line.split(' ');
    if (words.next(), words.next()) != (Some("portway"), Some(what)) {
        return Err("its first line belongs to another kind of file");
    }
    if words.next() != Some("1") {
        return Err("it has a format that this version does not know");
    }
    if words.next() != Some(Digest::of(body).as_str()) {
        return Err("its content does not match its digest");
    }
    Ok(body)
}

/// Reads a sealed file; `None` if it does not exist.
pub(crate) fn read_sealed(what: &str, place: &Path) -> Result<Option<Vec<u8>>, BackendError> {
    let bytes = match fs::read(place) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", place, error)),
    };
    unseal(what, &bytes).map(|body| Some(body.to_vec())).map_err(|fault| damaged(place, fault))
}

// === names ===

/// A file name for `name`: one to one, the same on file systems that ignore letter case, at most 255 bytes.
///
/// Lower-case letters, digits, `-`, `_` and inner dots stand for themselves, every other byte is `%` and two
/// hexadecimal digits. A name that would be too long is cut and followed by `%~` and its digest, which no escape
/// begins with.
pub(crate) fn file_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(char::from(byte)),
            b'.' if index > 0 => encoded.push('.'),
            _ => write!(encoded, "%{byte:02x}").expect("writing to a string succeeds"),
        }
    }
    if encoded.len() > MAX_FILE_NAME {
        encoded.truncate(100);
        encoded.push_str("%~");
        encoded.push_str(Digest::of(name.as_bytes()).hex());
    }
    encoded
}

// === errors ===

/// The error of an input or output operation, with what to do about it.
pub(crate) fn failed(verb: &str, place: &Path, error: io::Error) -> BackendError {
    let place = place.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BackendError::capacity(format!(
            "cannot {verb} {place}: the disk is full; make room and try again"
        )),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => BackendError::unavailable(format!(
            "cannot {verb} {place}: this user may not write there; make the folder writable or use another one"
        )),
        _ => BackendError::unavailable(format!("cannot {verb} {place}")),
    }
    .with_source(error)
}

/// The error of a file that is not what was written.
pub(crate) fn damaged(place: &Path, fault: &str) -> BackendError {
    BackendError::invalid(format!(
        "{} is damaged: {fault}; restore it from a copy, or delete it and write it anew",
        place.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_write_replaces_all_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        write_whole(&place, b"one").unwrap();
        write_whole(&place, b"two").unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("taken");
        fs::create_dir_all(place.join("by a folder")).unwrap();
        write_whole(&place, b"one").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_crash_left_half_written_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        drop(unfinished(folder.path()).unwrap());
        write_whole(&folder.path().join("whole"), b"").unwrap();
        delete_unfinished(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn damage_is_told_from_absence() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        assert!(read_sealed("record", &place).unwrap().is_none());
        let sealed = seal("record", b"body");
        for (bytes, fault) in [
            (&b""[..], "first line is missing"),
            (b"garbage\n", "another kind"),
            (b"portway record 2 x\nbody", "format"),
            (&sealed[..sealed.len() - 1], "does not match"),
            (&seal("document", b"body"), "another kind"),
        ] {
            fs::write(&place, bytes).unwrap();
            let error = read_sealed("record", &place).unwrap_err();
            assert!(error.to_string().contains(fault), "{error}");
            assert!(error.to_string().contains("restore it"), "{error}");
        }
        fs::write(&place, &sealed).unwrap();
        assert_eq!(read_sealed("record", &place).unwrap().as_deref(), Some(&b"body"[..]));
    }

    proptest! {
        #[test]
        fn file_names_are_one_to_one_without_regard_to_case(a in "[ -~é]{1,300}", b in "[ -~é]{1,300}") {
            let (one, other) = (file_name(&a), file_name(&b));
            prop_assert_eq!(a == b, one.eq_ignore_ascii_case(&other));
            prop_assert!(one.len() <= 255 && !one.starts_with('.') && !one.contains('/'));
        }
    }
}
