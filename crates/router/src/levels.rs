//! Members with a free slot, sorted by how busy they are; every operation takes constant time in the number of members.

/// Load buckets: level `n` holds the members with a free slot and `n` busy ones.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    members: Vec<Vec<u32>>,
    /// One bit a level: does it hold anybody?
    occupied: Vec<u64>,
    /// No word of `occupied` before this one has a bit set; so that busy replicas with huge caps are found as fast as others.
    first: usize,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) level: u32,
    pub(crate) at: u32,
}

impl Levels {
    pub(crate) fn insert(&mut self, level: u32, member: u32) -> Place {
        let index = level as usize;
        if index >= self.members.len() {
            self.members.resize_with(index + 1, Vec::new);
            self.occupied.resize(index / 64 + 1, 0);
        }
        self.members[index].push(member);
        self.occupied[index / 64] |= 1 << (index % 64);
        self.first = self.first.min(index / 64);
        Place { level, at: (self.members[index].len() - 1) as u32 }
    }

    /// Takes a member out; names the one that moved into its place, if any.
    pub(crate) fn remove(&mut self, place: Place) -> Option<u32> {
        let index = place.level as usize;
        let level = &mut self.members[index];
        level.swap_remove(place.at as usize);
        if level.is_empty() {
            self.occupied[index / 64] &= !(1 << (index % 64));
            while self.occupied.get(self.first) == Some(&0) {
                self.first += 1;
            }
        }
        level.get(place.at as usize).copied()
    }

    /// One of the least busy, spread evenly by `bits`; `avoid` only if there is nobody else.
    pub(crate) fn pick(&self, bits: u64, avoid: Option<u32>) -> Option<u32> {
        let lowest = self.first_from(0)?;
        let picked = spread(&self.members[lowest], bits, 0);
        if Some(picked) != avoid {
            return Some(picked);
        }
        if self.members[lowest].len() > 1 {
            return Some(spread(&self.members[lowest], bits, 1));
        }
        let next = self.first_from(lowest + 1);
        Some(next.map_or(picked, |level| spread(&self.members[level], bits, 0)))
    }

    fn first_from(&self, level: usize) -> Option<usize> {
        let mut word = level / 64;
        let mut bits = self.occupied.get(word)? & (u64::MAX << (level % 64));
        if word < self.first {
            word = self.first;
            bits = *self.occupied.get(word)?;
        }
        while bits == 0 {
            word += 1;
            bits = *self.occupied.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

/// Scales `bits` to a position by multiplication, which is fair to within one part in 2^64 / len; `shift` 1 names the one after it.
fn spread(members: &[u32], bits: u64, shift: usize) -> u32 {
    let at = (u128::from(bits) * members.len() as u128) >> 64;
    members[(at as usize + shift) % members.len()]
}
