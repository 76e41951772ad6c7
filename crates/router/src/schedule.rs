//! The order in which tickets go to versions.
//!
//! Credit of a version: what its share has earned it so far, less what it got, in basis points of one request.
//! Each ticket adds every version's share to its credit and takes 10 000 from the version that is served.
//!
//! **Under one set of shares**, from credits of zero, Tijdeman's rule (*The chairman assignment problem*, 1980): of the
//! `k` versions, those with a credit of at least `1/(2k-2)` are eligible, and of these the one is served whose credit would
//! reach `1 - 1/(2k-2)` first. Then no credit ever leaves `±(1 - 1/(2k-2))`: 0.9 of a request with six versions.
//! (Serving the largest credit is simpler and drifts past one: 3:5:29:9:1:29 reaches 1.026.)
//!
//! **When shares change**, credits carry over, and a rule that looks ahead was looking at another future. So whenever somebody's
//! credit has reached a whole request, the largest credit is served instead. (Under one set of shares this changes nothing: two such
//! credits at once would contradict Tijdeman, and a single one has the earliest deadline.) Why credits stay below two, whatever
//! changes come, after any ticket, with six versions that all have shares:
//! - Whoever is served has a positive credit (they sum to one request), so none falls to -1.
//! - Let `s(j)` be the largest possible sum of `j` credits. As the rest are above -1 and all sum to 0: `s(5) < 1`, `s(4) < 2`, `s(3) < 3`.
//! - One or two credits grow past 1 only while the largest is served and it is outside of them, hence at least as large as each:
//!   `s(2) < 2/3 (s(3) + 1) < 8/3` and `s(1) < 1/2 (s(2) + 1) < 11/6`.

use crate::share::WHOLE;

/// A periodic sequence of versions: `cells` once, then again and again from `again` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    shares: Box<[u16]>,
    start: Box<[i64]>,
    cells: Box<[u8]>,
    again: usize,
}

impl Schedule {
    /// `shares` sum to 10 000; `start` holds the credits brought along.
    pub(crate) fn new(shares: &[u16], start: &[i64]) -> Self {
        let period = usize::from(WHOLE / shares.iter().fold(WHOLE, |a, b| gcd(a, *b)));
        let mut credits = start.to_vec();
        let (mut cells, mut boundaries) = (Vec::with_capacity(period), Vec::new());
        // After a period credits have moved by whole requests within fixed bounds, so they soon come back to a known state;
        // started from zero, after the first.
        let again = loop {
            if let Some(known) = boundaries.iter().position(|seen| *seen == credits) {
                break known * period;
            }
            boundaries.push(credits.clone());
            cells.extend((0..period).map(|_| step(shares, &mut credits)));
        };
        Self { shares: shares.into(), start: start.into(), cells: cells.into(), again }
    }

    /// The version that a ticket goes to.
    pub(crate) fn at(&self, ticket: u64) -> u8 {
        self.cells[self.cell(ticket)]
    }

    /// The credits after so many tickets.
    pub(crate) fn credits(&self, used: u64) -> Vec<i64> {
        let used = self.cell(used);
        let mut credits: Vec<i64> = self
            .start
            .iter()
            .zip(&self.shares)
            .map(|(start, share)| start + i64::from(*share) * used as i64)
            .collect();
        for version in &self.cells[..used] {
            credits[usize::from(*version)] -= ONE;
        }
        credits
    }

    fn cell(&self, ticket: u64) -> usize {
        let len = self.cells.len() as u64;
        if ticket < len {
            return ticket as usize;
        }
        let again = self.again as u64;
        (again + (ticket - again) % (len - again)) as usize
    }
}

/// Serves one ticket: updates the credits and names the version.
fn step(shares: &[u16], credits: &mut [i64]) -> u8 {
    for (credit, share) in credits.iter_mut().zip(shares) {
        *credit += i64::from(*share);
    }
    let served = choose(shares, credits);
    credits[served] -= ONE;
    served as u8
}

fn choose(shares: &[u16], credits: &[i64]) -> usize {
    let active = || (0..shares.len()).filter(|at| shares[*at] > 0);
    let largest = active()
        .max_by_key(|at| (credits[*at], usize::MAX - at))
        .expect("shares sum to 10 000: one is positive");
    // Tijdeman's constants times 2k-2, to stay with integers.
    let scale = (2 * active().count() as i64 - 2).max(1);
    let eligible = |at: &usize| credits[*at] * scale >= ONE;
    if credits[largest] >= ONE || !eligible(&largest) {
        return largest;
    }
    let slack = |at: usize| (scale - 1) * ONE - scale * credits[at];
    active()
        .filter(eligible)
        .min_by(|a, b| (slack(*a) * i64::from(shares[*b])).cmp(&(slack(*b) * i64::from(shares[*a]))))
        .unwrap_or(largest)
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// One request, in basis points.
const ONE: i64 = WHOLE as i64;
