//! Sticky split: 10 000 buckets, handed from version to version as shares change.

use thiserror::Error;

use crate::share::WHOLE;
use crate::shares::Shares;

/// Which version each of the 10 000 buckets belongs to, as runs: one bucket is one basis point of the keys.
///
/// A change of shares hands buckets only from versions that lose to versions that gain, so exactly the difference moves and a
/// key (a user, a session) changes its version only if it must.
///
/// ```
/// use portway_router::{Buckets, Share, Shares};
///
/// let before = Buckets::deal(&Shares::all_to("a"));
/// let after = before.redeal(&Shares::new("a", [("b", Share::percent(10)?)])?);
/// assert_eq!(before.moved(&after), 1_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Vec<BucketRun<K>>", into = "Vec<BucketRun<K>>"))]
#[cfg_attr(
    feature = "serde",
    serde(bound(serialize = "K: serde::Serialize + Clone", deserialize = "K: serde::Deserialize<'de>"))
)]
pub struct Buckets<K> {
    runs: Vec<BucketRun<K>>,
}

/// Neighbouring buckets of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BucketRun<K> {
    /// The version that the buckets belong to.
    pub version: K,
    /// How many buckets, 1 to 10 000.
    pub count: u16,
}

impl<K> Buckets<K> {
    /// The buckets that a document holds.
    ///
    /// # Errors
    /// [`InvalidBuckets`] unless the counts sum to 10 000.
    pub fn from_runs(runs: Vec<BucketRun<K>>) -> Result<Self, InvalidBuckets> {
        let found = runs.iter().map(|run| u64::from(run.count)).sum();
        if found == u64::from(WHOLE) { Ok(Self { runs }) } else { Err(InvalidBuckets { found }) }
    }

    /// The buckets as a document holds them, from bucket 0 on.
    #[must_use]
    pub fn runs(&self) -> &[BucketRun<K>] {
        &self.runs
    }

    fn owners(&self) -> impl Iterator<Item = &K> {
        self.runs.iter().flat_map(|run| std::iter::repeat_n(&run.version, usize::from(run.count)))
    }
}

impl<K: Clone + Eq> Buckets<K> {
    /// Buckets for a first set of shares, version by version.
    #[must_use]
    pub fn deal(shares: &Shares<K>) -> Self {
        let runs = shares.iter().filter(|(_, share)| share.basis_points() > 0);
        Self {
            runs: runs
                .map(|(key, share)| BucketRun { version: key.clone(), count: share.basis_points() })
                .collect(),
        }
    }

    /// Buckets for new shares, with as few moves as the shares allow.
    #[must_use]
    pub fn redeal(&self, shares: &Shares<K>) -> Self {
        let mut runs: Vec<BucketRun<K>> = Vec::with_capacity(self.runs.len() + shares.iter().len());
        for at in self.table(shares) {
            match runs.last_mut() {
                Some(run) if run.version == *shares.key(at) => run.count += 1,
                _ => runs.push(BucketRun { version: shares.key(at).clone(), count: 1 }),
            }
        }
        Self { runs }
    }

    /// How many buckets belong to another version in `other`.
    #[must_use]
    pub fn moved(&self, other: &Self) -> usize {
        self.owners().zip(other.owners()).filter(|(a, b)| a != b).count()
    }

    /// The owner of each bucket as a position in `shares`, after fitting the buckets to them.
    pub(crate) fn table(&self, shares: &Shares<K>) -> Box<[u8]> {
        let mut spare = shares.basis_points();
        let mut table: Vec<u8> = Vec::with_capacity(usize::from(WHOLE));
        for run in &self.runs {
            // The first buckets of a version stay with it; what it has beyond its share is up for grabs.
            let owner = shares.position(&run.version);
            let kept = owner.map_or(0, |at| run.count.min(spare[at]));
            if let Some(at) = owner {
                spare[at] -= kept;
                table.extend(std::iter::repeat_n(at as u8, usize::from(kept)));
            }
            table.extend(std::iter::repeat_n(FREE, usize::from(run.count - kept)));
        }
        let mut takers =
            spare.iter().enumerate().flat_map(|(at, n)| std::iter::repeat_n(at as u8, usize::from(*n)));
        for free in table.iter_mut().filter(|owner| **owner == FREE) {
            *free = takers.next().expect("shares and buckets both sum to 10 000");
        }
        table.into()
    }
}

impl<K> TryFrom<Vec<BucketRun<K>>> for Buckets<K> {
    type Error = InvalidBuckets;

    fn try_from(runs: Vec<BucketRun<K>>) -> Result<Self, InvalidBuckets> {
        Self::from_runs(runs)
    }
}

impl<K> From<Buckets<K>> for Vec<BucketRun<K>> {
    fn from(buckets: Buckets<K>) -> Self {
        buckets.runs
    }
}

/// The counts of a bucket table do not sum to 10 000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there are exactly 10000 buckets, found {found}")]
pub struct InvalidBuckets {
    /// The sum that was found.
    pub found: u64,
}

const FREE: u8 = u8::MAX;
