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
//! **When shares change**, credits carry over, and a rule that looks ahead was looking at another future. So whenever a
//! credit has reached a whole request, the largest is served instead. (Under one set of shares this changes nothing: two such
//! credits at once would contradict Tijdeman, and a single one has the earliest deadline.) Why credits stay between -1 and
//! 11/6, whatever changes come, as long as up to six versions all keep some share:
//! - Whoever is served has a positive credit, because before it is served credits sum to one request. So none falls to -1.
//! - Let `s(j)` be the largest possible sum of `j` credits after a ticket. The rest are above -1 and all of them sum to 0,
//!   so `s(3) < 3`.
//! - One or two credits grow past 1 only while the largest is served and is not among them, hence at least as large as each:
//!   `s(2) < 2/3 (s(3) + 1) < 8/3` and `s(1) < 1/2 (s(2) + 1) < 11/6`.
//!
//! A version whose share is zero is never served, whatever it is owed, and keeps its credit. Against somebody who chooses changes
//! by watching the tickets no rule can then promise a bound of two (of two versions that alone have shares, equal at the right
//! moment, one must be served: repeated over all pairs this drives all credits a request apart). Changes that do not aim at it
//! stay well below two, which the tests show.

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
        let rule = Rule::new(shares);
        let mut credits = start.to_vec();
        let (mut cells, mut boundaries) = (Vec::with_capacity(period), Vec::new());
        // Over a period credits change by whole requests, within bounds, so that a known state soon comes back; from zero, at once.
        let again = loop {
            if let Some(known) = boundaries.iter().position(|seen| *seen == credits) {
                break known * period;
            }
            boundaries.push(credits.clone());
            cells.extend((0..period).map(|_| rule.serve(&mut credits)));
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

/// Who is served next.
struct Rule {
    /// Versions with a share, and what it adds to their credit.
    active: Vec<(usize, i64)>,
    /// `2k - 2`: Tijdeman's constants times this are integers.
    scale: i64,
}

impl Rule {
    fn new(shares: &[u16]) -> Self {
        let active: Vec<_> =
            (0..).zip(shares.iter().map(|share| i64::from(*share))).filter(|(_, share)| *share > 0).collect();
        let scale = (2 * active.len() as i64 - 2).max(1);
        Self { active, scale }
    }

    fn serve(&self, credits: &mut [i64]) -> u8 {
        for (at, share) in &self.active {
            credits[*at] += share;
        }
        let served = self.choose(credits);
        credits[served] -= ONE;
        served as u8
    }

    fn choose(&self, credits: &[i64]) -> usize {
        let (mut largest, mut soonest) = (self.active[0].0, None);
        for (at, share) in self.active.iter().copied() {
            if credits[at] > credits[largest] {
                largest = at;
            }
            if credits[at] * self.scale < ONE {
                continue;
            }
            // Tickets until the credit reaches the bound, as the fraction slack / share.
            let slack = (self.scale - 1) * ONE - self.scale * credits[at];
            if soonest.is_none_or(|(_, least, of)| slack * of < least * share) {
                soonest = Some((at, slack, share));
            }
        }
        match soonest {
            Some((at, ..)) if credits[largest] < ONE => at,
            _ => largest,
        }
    }
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// One request, in basis points.
const ONE: i64 = WHOLE as i64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_largest_credit_is_served_once_somebody_is_a_whole_request_behind() {
        let rule = Rule::new(&[9_998, 2]);
        // The second is past its deadline and the first is not, by far: but now the first would grow without bound.
        assert_eq!(rule.choose(&[9_998, 9_400]), 1);
        assert_eq!(rule.choose(&[15_000, 9_400]), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Memory: a byte a cell. Debts as large as a stored split may hold, far beyond what changes lead to.
        #[test]
        fn what_was_brought_along_is_settled_within_few_periods(
            parts in prop::collection::vec(0..2_000_u16, 6),
            start in prop::collection::vec(-60_000..60_000_i64, 6),
        ) {
            let mut shares = parts;
            shares[0] += WHOLE - shares.iter().sum::<u16>().min(WHOLE);
            prop_assume!(shares.iter().sum::<u16>() == WHOLE);
            let schedule = Schedule::new(&shares, &start);
            let period = schedule.cells.len() - schedule.again;
            prop_assert!(period <= usize::from(WHOLE) && schedule.cells.len() <= 8 * period, "{} {}", period, schedule.again);
        }
    }
}
