//! The bytes that are hashed.
//!
//! A domain, a zero byte, then fields. A field is a tag (`u8`), a length (`u64`, little endian) and as many bytes; a list is a tag,
//! a count (`u64`, little endian) and as many fields. What may be absent is a list of none or one, so absent and empty
//! differ. Every length stands before its bytes, hence two different sets of inputs never give the same bytes. The second
//! implementation is `tests/golden/golden.py`; a change here is a new domain, never an edit.

pub(crate) struct Canonical(Vec<u8>);

/// What a field is. The numbers are part of the format.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Tag {
    Os = 0x01,
    Architecture = 0x02,
    Variant = 0x03,
    BasePinned = 0x04,
    BaseAsWritten = 0x05,
    Steps = 0x06,
    Conda = 0x07,
    Recipe = 0x08,
    Text = 0x20,
    List = 0x21,
    Map = 0x22,
}

impl Canonical {
    pub(crate) fn new(domain: &str) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(domain.as_bytes());
        bytes.push(0);
        Self(bytes)
    }

    pub(crate) fn field(&mut self, tag: Tag, bytes: &[u8]) {
        self.list(tag, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Opens a list; `count` fields have to follow.
    pub(crate) fn list(&mut self, tag: Tag, count: usize) {
        self.0.push(tag as u8);
        self.0.extend_from_slice(&(count as u64).to_le_bytes());
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
