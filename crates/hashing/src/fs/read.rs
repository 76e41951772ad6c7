use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, fstat};

use super::walk::{self, Stat};
use crate::Digest;
use crate::digest::Hasher;

/// A file's content at one moment.
pub(super) struct Content {
    pub(super) stat: Stat,
    pub(super) leaf: Digest,
    /// Read into memory only on request.
    pub(super) bytes: Vec<u8>,
}

/// Reads a file that lies still: the file system has to say the same before and after. One that doesn't is read once more; `Ok(None)` if
/// that doesn't help either.
pub(super) fn content(root: BorrowedFd<'_>, path: &[u8], keep: bool) -> io::Result<Option<Content>> {
    for _ in 0..2 {
        let mut file = walk::open(root, path)?;
        let stat = stat_of(&file)?;
        let mut sink = Sink { hasher: super::tree::file_hasher(stat), bytes: Vec::new(), keep };
        let read = copy(&mut file, &mut sink)?;
        if stat_of(&file)? == stat && read == stat.size {
            return Ok(Some(Content { stat, leaf: sink.hasher.finish(), bytes: sink.bytes }));
        }
    }
    Ok(None)
}

struct Sink {
    hasher: Hasher,
    bytes: Vec<u8>,
    keep: bool,
}

fn copy(file: &mut File, sink: &mut Sink) -> io::Result<u64> {
    let mut buffer = [0; 32 * 1024];
    let mut total = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                sink.hasher.update(&buffer[..count]);
                if sink.keep {
                    sink.bytes.extend_from_slice(&buffer[..count]);
                }
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn stat_of(file: &File) -> io::Result<Stat> {
    let stat = fstat(file)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok(Stat::from(&stat))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "no longer a regular file"))
    }
}
