//! Tokens that were verified before, so that a signature is checked once and not once a request.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::jwk::Thumbprint;
use crate::{Claims, UnixSeconds};

/// SHA-256 of a token.
pub(crate) type TokenDigest = [u8; 32];

/// A genuine token: its signature was right. Whether it is valid now, here and for whom is asked each time.
#[derive(Debug, Clone)]
pub(crate) struct Genuine {
    pub(crate) claims: Arc<Claims>,
    /// Which of the trusted issuers it is of.
    pub(crate) issuer: usize,
    pub(crate) key: Thumbprint,
}

/// A fixed number of places, in sets of four that a token's digest points to.
///
/// The digest is as good as chance, so there is nothing to hash again and no list to keep; only genuine tokens get in, so an
/// outsider cannot push others out.
pub(crate) struct TokenCache {
    sets: Box<[Mutex<Set>]>,
}

type Set = [Option<(TokenDigest, Genuine)>; WAYS];

impl TokenCache {
    pub(crate) fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).next_power_of_two();
        Self { sets: (0..sets).map(|_| Mutex::default()).collect() }
    }

    pub(crate) fn get(&self, digest: &TokenDigest) -> Option<Genuine> {
        self.set(digest)
            .iter()
            .flatten()
            .find_map(|(held, genuine)| (held == digest).then(|| genuine.clone()))
    }

    /// Remembers a token; a full set forgets the one that expires first.
    pub(crate) fn insert(&self, digest: TokenDigest, genuine: Genuine) {
        let mut set = self.set(&digest);
        let expiry = |at: &usize| match &set[*at] {
            Some((held, _)) if *held == digest => None,
            Some((_, genuine)) => Some(genuine.claims.expires),
            None => Some(UnixSeconds(0)),
        };
        if let Some(at) = (0..WAYS).min_by_key(expiry) {
            set[at] = Some((digest, genuine));
        }
    }

    pub(crate) fn remove(&self, digest: &TokenDigest) {
        for place in self.set(digest).iter_mut() {
            place.take_if(|(held, _)| held == digest);
        }
    }

    fn set(&self, digest: &TokenDigest) -> MutexGuard<'_, Set> {
        let [a, b, c, d, ..] = *digest;
        let at = u32::from_be_bytes([a, b, c, d]) as usize & (self.sets.len() - 1);
        self.sets[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("capacity", &(self.sets.len() * WAYS)).finish()
    }
}

const WAYS: usize = 4;
