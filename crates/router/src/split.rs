//! Which version a request goes to.

use crate::schedule::Schedule;
use crate::share::{Share, WHOLE};
use crate::shares::Shares;
use crate::sticky::Buckets;

/// Exact split of traffic: ticket `n` goes to the version that the schedule names, so the shares hold for every run of requests
/// and not just on average.
///
/// For any prefix of the tickets of one split, each version gets its share within one request; for any window, within two. A
/// change of shares ([`Split::next`]) carries over what each version is owed: measured against the shares in force at each
/// ticket, the error stays below two requests, however often they change.
///
/// Requests that are pinned, sticky or sent again take no ticket; one that is refused has had its own.
///
/// Reading takes `&self` and allocates nothing. Threads share one counter that lives beside the schedule; [`Tickets`](crate::Tickets)
/// is that counter and says how a change keeps both in step.
///
/// ```
/// use portway_router::{Share, Shares, Split};
///
/// let split = Split::new(Shares::new("stable", [("canary", Share::percent(10)?)])?);
/// let canaries = (0..20).filter(|ticket| *split.at(*ticket) == "canary").count();
/// assert_eq!(canaries, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Stored (feature `serde`), a split keeps its shares, its buckets and what each version was owed at ticket 0. To store one that is
/// in use, store what [`Split::next`] gives for the same shares.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::stored::Split<K>", into = "crate::stored::Split<K>"))]
#[cfg_attr(feature = "serde", serde(bound(serialize = "K: Clone + Eq + serde::Serialize")))]
#[cfg_attr(feature = "serde", serde(bound(deserialize = "K: Clone + Eq + serde::Deserialize<'de>")))]
pub struct Split<K> {
    shares: Shares<K>,
    schedule: Schedule,
    buckets: Box<[u8]>,
}

impl<K: Clone + Eq> Split<K> {
    /// A split from ticket 0, without history.
    #[must_use]
    pub fn new(shares: Shares<K>) -> Self {
        let buckets = Buckets::deal(&shares);
        Self::build(shares, |_| 0, &buckets)
    }

    /// The same split with the sticky buckets that a document holds, fitted to the shares where they differ.
    #[must_use]
    pub fn with_buckets(mut self, buckets: &Buckets<K>) -> Self {
        self.buckets = buckets.table(&self.shares);
        self
    }

    /// The split that follows after `used` tickets: new shares, the same debts, ticket 0 again.
    ///
    /// A version that is not in `shares` is forgotten; one that is new starts without a debt. One whose share drops to
    /// zero gets nothing and keeps its balance for when it comes back. Sticky buckets move as little as the shares allow.
    ///
    /// The bound of two requests is proved for versions that all keep some share, against any sequence of changes. Where versions come,
    /// go and pause, nobody can prove it (two versions alone, level with each other: one must be served), but only changes that are
    /// chosen by watching the tickets get beyond it.
    #[must_use]
    pub fn next(&self, used: u64, shares: Shares<K>) -> Self {
        let credits = self.schedule.credits(used);
        Self::build(shares, |key| self.shares.position(key).map_or(0, |at| credits[at]), &self.buckets())
    }

    /// The version that a ticket goes to.
    #[must_use]
    pub fn at(&self, ticket: u64) -> &K {
        self.shares.key(self.schedule.at(ticket))
    }

    /// The version that a sticky key goes to: the owner of bucket `key % 10 000`. `key` should be a well-mixed hash.
    #[must_use]
    pub fn for_key(&self, key: u64) -> &K {
        self.shares.key(self.buckets[(key % u64::from(WHOLE)) as usize])
    }

    /// The effective share of a version, the unassigned rest included.
    #[must_use]
    pub fn share(&self, key: &K) -> Share {
        self.shares.share(key)
    }

    /// All effective shares.
    #[must_use]
    pub fn shares(&self) -> &Shares<K> {
        &self.shares
    }

    /// The sticky buckets in force.
    #[must_use]
    pub fn buckets(&self) -> Buckets<K> {
        let mut runs: Vec<crate::BucketRun<K>> = Vec::new();
        for run in self.buckets.chunk_by(|a, b| a == b) {
            runs.push(crate::BucketRun { version: self.shares.key(run[0]).clone(), count: run.len() as u16 });
        }
        Buckets::from_runs(runs).expect("the table has 10 000 entries")
    }

    /// What each version was owed at ticket 0, in basis points of a request.
    #[cfg(feature = "serde")]
    pub(crate) fn owed(&self) -> Vec<i64> {
        self.schedule.credits(0)
    }

    /// The reverse of taking a split apart; `owed` has one entry for each share.
    #[cfg(feature = "serde")]
    pub(crate) fn resume(shares: Shares<K>, owed: &[i64], buckets: &Buckets<K>) -> Self {
        let schedule = Schedule::new(&shares.basis_points(), owed);
        Self { buckets: buckets.table(&shares), schedule, shares }
    }

    fn build(shares: Shares<K>, credit: impl Fn(&K) -> i64, buckets: &Buckets<K>) -> Self {
        let start: Vec<i64> = shares.iter().map(|(key, _)| credit(key)).collect();
        let schedule = Schedule::new(&shares.basis_points(), &start);
        Self { buckets: buckets.table(&shares), schedule, shares }
    }
}
