//! The layer's tar archive: the same files give the same bytes, and any user may read them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tar::{Archive, Builder, EntryType, Header};

use super::{FOLDER, LayerError, PROJECT_FOLDER};

pub(super) struct Writer<W: Write> {
    archive: Builder<W>,
    folders: BTreeSet<Vec<u8>>,
    /// Files and links: nothing may lie below one or take its place.
    taken: BTreeSet<Vec<u8>>,
}

/// Writes the extra files (by absolute path), then the project out of its pack.
pub(super) fn write<W: Write>(
    out: W,
    files: &BTreeMap<String, (Vec<u8>, bool)>,
    pack: impl Read,
) -> Result<W, LayerError> {
    let mut writer = Writer { archive: Builder::new(out), folders: BTreeSet::new(), taken: BTreeSet::new() };
    let project = below_root(PROJECT_FOLDER);
    writer.parents(&[project, b"/"].concat())?;
    for (path, (content, executable)) in files {
        let name = below_root(path);
        if !path.starts_with(FOLDER) || path.as_bytes().get(FOLDER.len()) != Some(&b'/') {
            return Err(refused(name, "does not lie below /srv/portway"));
        }
        writer.place(name)?;
        let mut header = header(EntryType::Regular, mode(*executable));
        header.set_size(content.len() as u64);
        writer
            .archive
            .append_data(&mut header, as_path(name), content.as_slice())
            .map_err(LayerError::Write)?;
    }
    writer.pack(project, pack)?;
    writer.archive.into_inner().map_err(LayerError::Write)
}

impl<W: Write> Writer<W> {
    fn pack(&mut self, project: &[u8], pack: impl Read) -> Result<(), LayerError> {
        let mut pack = Archive::new(pack);
        for entry in pack.entries().map_err(LayerError::Pack)? {
            let mut entry = entry.map_err(LayerError::Pack)?;
            let inner = entry.path_bytes().into_owned();
            let name = [project, b"/", inner.strip_suffix(b"/").unwrap_or(&inner)].concat();
            match entry.header().entry_type() {
                EntryType::Directory => self.parents(&[&name, b"/".as_slice()].concat())?,
                EntryType::Regular => {
                    self.place(&name)?;
                    let executable = entry.header().mode().map_err(LayerError::Pack)? & 0o100 != 0;
                    let mut header = header(EntryType::Regular, mode(executable));
                    header.set_size(entry.size());
                    // Either side may be at fault; the spool is the rarer one.
                    self.archive
                        .append_data(&mut header, as_path(&name), &mut entry)
                        .map_err(LayerError::Pack)?;
                }
                EntryType::Symlink => {
                    self.place(&name)?;
                    let target =
                        entry.link_name_bytes().map(|target| target.into_owned()).unwrap_or_default();
                    let mut header = header(EntryType::Symlink, 0o777);
                    self.archive
                        .append_link(&mut header, as_path(&name), as_path(&target))
                        .map_err(LayerError::Write)?;
                }
                _ => return Err(refused(&name, "is neither file, folder nor symbolic link")),
            }
        }
        Ok(())
    }

    /// Makes room for a file or link: its folders first.
    fn place(&mut self, name: &[u8]) -> Result<(), LayerError> {
        self.parents(name)?;
        if self.folders.contains(name) || !self.taken.insert(name.to_owned()) {
            return Err(refused(name, "comes a second time"));
        }
        Ok(())
    }

    /// Writes those of the folders above `name` that were not written yet.
    fn parents(&mut self, name: &[u8]) -> Result<(), LayerError> {
        check(name)?;
        for (slash, _) in name.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let folder = &name[..slash];
            if self.taken.contains(folder) {
                return Err(refused(name, "lies below something that is no folder"));
            }
            if self.folders.insert(folder.to_owned()) {
                let mut header = header(EntryType::Directory, 0o755);
                let path = [folder, b"/"].concat();
                self.archive
                    .append_data(&mut header, as_path(&path), io::empty())
                    .map_err(LayerError::Write)?;
            }
        }
        Ok(())
    }
}

fn check(name: &[u8]) -> Result<(), LayerError> {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." | b".." => return Err(refused(name, "has an empty part, `.` or `..` in its path")),
            part if part.contains(&0) => return Err(refused(name, "has a zero byte in its path")),
            part if part.starts_with(WHITEOUT) => {
                let problem =
                    "has a name that begins with `.wh.`, which means “deleted” in an image; rename it";
                return Err(refused(name, problem));
            }
            _ => {}
        }
    }
    Ok(())
}

fn refused(name: &[u8], problem: &'static str) -> LayerError {
    LayerError::Entry { entry: format!("/{}", String::from_utf8_lossy(name)), problem }
}

fn below_root(path: &str) -> &[u8] {
    path.strip_prefix('/').unwrap_or(path).as_bytes()
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

const fn mode(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// 1980-01-01, as in a pack.
const MTIME: u64 = 315_532_800;
const WHITEOUT: &[u8] = b".wh.";
