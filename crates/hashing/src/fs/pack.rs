use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Builder, EntryType, Header};

/// Writes entries into a tar archive whose bytes follow from names, contents, executable bits and link targets alone.
pub(super) struct Packer<W: Write> {
    archive: Builder<W>,
}

impl<W: Write> Packer<W> {
    pub(super) fn new(out: W) -> Self {
        Self { archive: Builder::new(out) }
    }

    pub(super) fn file(&mut self, path: &[u8], executable: bool, bytes: &[u8]) -> std::io::Result<()> {
        let mut header = header(EntryType::Regular, if executable { 0o755 } else { 0o644 });
        header.set_size(bytes.len() as u64);
        self.archive.append_data(&mut header, as_path(path), bytes)
    }

    pub(super) fn link(&mut self, path: &[u8], target: &[u8]) -> std::io::Result<()> {
        let mut header = header(EntryType::Symlink, 0o777);
        self.archive.append_link(&mut header, as_path(path), as_path(target))
    }

    pub(super) fn finish(self) -> std::io::Result<()> {
        self.archive.into_inner()?.flush()
    }
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(MTIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// 1980-01-01, the earliest day that every archive format can name; extractors warn about 1970.
const MTIME: u64 = 315_532_800;
