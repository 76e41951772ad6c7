//! Bits for ties, request ids and trace ids: spread well, not secret.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use crate::forwarded::push_hex;

/// SplitMix64 over a shared counter: every call gets bits of its own, without a lock.
#[derive(Debug)]
pub(crate) struct Chance(AtomicU64);

impl Chance {
    pub(crate) fn new() -> Self {
        // The standard library's hasher is seeded by the operating system.
        Self(AtomicU64::new(RandomState::new().build_hasher().finish()))
    }

    pub(crate) fn bits(&self) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.0.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(crate) fn wide(&self) -> u128 {
        (u128::from(self.bits()) << 64) | u128::from(self.bits())
    }

    /// A version 4 GUID for `x-ms-request-id`.
    pub(crate) fn guid(&self) -> HeaderValue {
        let bits = self.wide() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        let mut text = Vec::with_capacity(36);
        let bytes = bits.to_be_bytes();
        for part in [0..4, 4..6, 6..8, 8..10, 10..16] {
            if part.start > 0 {
                text.push(b'-');
            }
            push_hex(&mut text, &bytes[part]);
        }
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .expect("hexadecimal digits and dashes are legal")
    }
}

/// Whether `text` has the shape of a GUID.
pub(crate) fn is_guid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn r_rtr_2_request_ids_are_guids_and_differ() {
        let chance = Chance::new();
        let ids: HashSet<_> = (0..1000).map(|_| chance.guid()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert!(is_guid(id.as_bytes()), "{id:?}");
            assert_eq!(id.as_bytes()[14], b'4');
            assert!(b"89ab".contains(&id.as_bytes()[19]));
        }
    }
}
