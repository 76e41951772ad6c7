use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::walk::Stat;

/// One file or link of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub(super) path: Box<[u8]>,
    pub(super) node: Node,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file that nobody executes.
    File,
    /// A file whose owner may execute it.
    Executable,
    /// A symbolic link to something inside the project.
    Link,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    File(Stat),
    Link(Vec<u8>),
}

impl Entry {
    /// Its path below the project folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.node {
            Node::File(stat) if stat.is_executable() => Kind::Executable,
            Node::File(_) => Kind::File,
            Node::Link(_) => Kind::Link,
        }
    }

    /// The length of a file in bytes; 0 for a link.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.node {
            Node::File(stat) => stat.size,
            Node::Link(_) => 0,
        }
    }
}

/// The order of a walk that visits each folder's names in byte order.
pub(super) fn walk_order(left: &[u8], right: &[u8]) -> Ordering {
    let by_component = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    left.iter().map(by_component).cmp(right.iter().map(by_component))
}
