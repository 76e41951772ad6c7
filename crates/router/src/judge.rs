//! Is the treatment better or worse than the control?

use crate::share::{Share, WHOLE};

/// Compares how often two versions fail, with a test that may be asked at any moment and as often as one likes.
///
/// What counts as a failure is the caller's choice: errors of the server, answers slower than an objective, or both. Counters
/// start when the comparison starts and are never reset in between.
///
/// ```
/// use portway_router::{Judge, Tally, Verdict};
///
/// let judge = Judge::default();
/// let control = Tally { requests: 9_000, failures: 90 };
/// assert_eq!(judge.compare(control, Tally { requests: 1_000, failures: 50 }), Verdict::Worse);
/// assert_eq!(judge.compare(control, Tally { requests: 100, failures: 2 }), Verdict::InsufficientData);
/// ```
///
/// A test at a fixed number of requests finds a difference where there is none, sooner or later, if it is asked again and
/// again. This one multiplies, for each version, the odds of what was seen against a suspected rate; with every rate
/// between 0 and 1 as likely before, the product is a martingale under the true rates, which by Ville's inequality ever reaches
/// `1 / risk` with a probability of at most `risk`. It is computed from below: binomial coefficients are replaced by an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judge {
    /// A difference in failure rates smaller than this is none.
    pub margin: Share,
    /// The probability that a verdict is ever wrong, for each verdict but `InsufficientData`.
    pub risk: Share,
}

impl Default for Judge {
    /// One percentage point, and a risk of 5 %.
    fn default() -> Self {
        Self { margin: Share::from_valid(100), risk: Share::from_valid(500) }
    }
}

/// What became of the requests of one version since the comparison began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that have ended.
    pub requests: u64,
    /// Of these, how many count as failed.
    pub failures: u64,
}

/// What the numbers say about the treatment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It fails less often.
    Better,
    /// It fails more often.
    Worse,
    /// Any difference is smaller than the margin.
    NoDifference,
    /// Nothing can be said yet.
    InsufficientData,
}

impl Judge {
    /// What the numbers say about the treatment.
    #[must_use]
    pub fn compare(&self, control: Tally, treatment: Tally) -> Verdict {
        let margin = fraction(self.margin);
        // Refutes that the treatment's failure rate is the control's plus `gap`, or on the far side of it.
        let refuted = |gap: f64| evidence(control, treatment, gap) >= self.bar(control, treatment);
        let difference = treatment.rate() - control.rate();
        if difference.abs() < margin && refuted(margin) && refuted(-margin) {
            return Verdict::NoDifference;
        }
        match refuted(0.0) {
            true if difference > 0.0 => Verdict::Worse,
            true if difference < 0.0 => Verdict::Better,
            _ => Verdict::InsufficientData,
        }
    }

    fn bar(&self, control: Tally, treatment: Tally) -> f64 {
        control.price() + treatment.price() - fraction(self.risk).ln()
    }
}

impl Tally {
    fn rate(self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.failures.min(self.requests) as f64 / self.requests as f64 }
    }

    /// What it costs not to have known the rate before: the logarithm of `(n + 1) C(n, k)` less the entropy of what was seen, with
    /// `C(n, k) <= exp(n H(k/n)) / sqrt(2 pi k (n - k) / n)`, and 1 at the ends.
    fn price(self) -> f64 {
        let (n, k) = (self.requests as f64, self.failures.min(self.requests) as f64);
        let spread = if self.requests == 0 { 0.0 } else { std::f64::consts::TAU * k * (n - k) / n };
        (n + 1.0).ln() - 0.5 * spread.max(1.0).ln()
    }

    /// How badly a suspected failure rate explains what was seen.
    fn against(self, suspected: f64) -> f64 {
        self.requests as f64 * divergence(self.rate(), suspected)
    }
}

/// The evidence against the most plausible pair of rates that lie `gap` apart.
fn evidence(control: Tally, treatment: Tally, gap: f64) -> f64 {
    let against = |rate: f64| control.against(rate) + treatment.against(rate + gap);
    let (mut low, mut high) = ((-gap).max(0.0), (1.0 - gap).min(1.0));
    // The sum is convex in the rate: a third can be cut off each time.
    for _ in 0..STEPS {
        let third = (high - low) / 3.0;
        if against(low + third) <= against(high - third) {
            high -= third;
        } else {
            low += third;
        }
    }
    against(f64::midpoint(low, high)).min(against(low)).min(against(high))
}

/// The Kullback-Leibler divergence of two coins.
fn divergence(seen: f64, suspected: f64) -> f64 {
    let part = |seen: f64, suspected: f64| match (seen, suspected) {
        (0.0, _) => 0.0,
        (_, suspected) if suspected <= 0.0 => f64::INFINITY,
        _ => seen * (seen / suspected).ln(),
    };
    part(seen, suspected) + part(1.0 - seen, 1.0 - suspected)
}

fn fraction(share: Share) -> f64 {
    f64::from(share.basis_points()) / f64::from(WHOLE)
}

/// Leaves an interval of (2/3)^80, below 1e-14.
const STEPS: u32 = 80;
