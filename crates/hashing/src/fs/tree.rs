//! The Merkle tree. Each level has a domain of its own, and every name and content has its length before it: neither
//! moving bytes between files nor renaming a folder keeps the digest.

use super::walk::Stat;
use crate::Digest;
use crate::digest::Hasher;

pub(super) fn file_hasher(stat: Stat) -> Hasher {
    file_hasher_of(stat.is_executable(), stat.size)
}

pub(super) fn file_hasher_of(executable: bool, size: u64) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(b"portway/file/v1\0");
    hasher.update(&[u8::from(executable)]);
    hasher.update(&size.to_le_bytes());
    hasher
}

pub(super) fn link(target: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(b"portway/link/v1\0");
    hasher.update(&(target.len() as u64).to_le_bytes());
    hasher.update(target);
    hasher.finish()
}

/// Builds the tree from leaves that come in the order of a walk.
pub(super) struct Tree {
    /// The folders from the root to where the last leaf lies: where the name ends in `path`, and what is known of its content.
    open: Vec<(usize, Vec<u8>)>,
    path: Vec<u8>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { open: vec![(0, DIR_DOMAIN.to_vec())], path: Vec::new() }
    }

    pub(super) fn file(&mut self, path: &[u8], leaf: Digest) {
        self.add(path, b'f', leaf);
    }

    pub(super) fn link(&mut self, path: &[u8], target: &[u8]) {
        self.add(path, b'l', link(target));
    }

    fn add(&mut self, path: &[u8], kind: u8, leaf: Digest) {
        let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&path[..0], path),
        };
        self.enter(folder);
        if let Some((_, content)) = self.open.last_mut() {
            record(content, kind, name, leaf);
        }
    }

    /// Closes the folders that `folder` is not in, and opens those it is in.
    fn enter(&mut self, folder: &[u8]) {
        while !is_in(folder, &self.path) {
            self.leave();
        }
        while self.path.len() < folder.len() {
            let start = if self.path.is_empty() { 0 } else { self.path.len() + 1 };
            let length =
                folder[start..].iter().position(|byte| *byte == b'/').unwrap_or(folder.len() - start);
            self.path.truncate(0);
            self.path.extend_from_slice(&folder[..start + length]);
            self.open.push((start, DIR_DOMAIN.to_vec()));
        }
    }

    fn leave(&mut self) {
        let Some((start, content)) = self.open.pop() else { return };
        let digest = Digest::of(&content);
        if let Some((_, parent)) = self.open.last_mut() {
            record(parent, b'd', &self.path[start..], digest);
        }
        self.path.truncate(start.saturating_sub(1));
    }

    pub(super) fn finish(mut self) -> Digest {
        while self.open.len() > 1 {
            self.leave();
        }
        Digest::of(&self.open[0].1)
    }
}

fn record(content: &mut Vec<u8>, kind: u8, name: &[u8], digest: Digest) {
    content.push(kind);
    content.extend_from_slice(&(name.len() as u64).to_le_bytes());
    content.extend_from_slice(name);
    content.extend_from_slice(digest.as_bytes());
}

fn is_in(folder: &[u8], path: &[u8]) -> bool {
    path.is_empty() || folder.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

const DIR_DOMAIN: &[u8] = b"portway/dir/v1\0";
