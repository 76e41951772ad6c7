//! The roll-out judge: right in the long run, silent without data, and not fooled by looking often.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use portway_router::{Judge, Share, Tally, Verdict};
use proptest::prelude::*;

/// SplitMix64, as a coin that fails at a rate in basis points.
struct Coin(u64);

impl Coin {
    fn fails(&mut self, basis_points: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % 10_000 < basis_points
    }
}

/// The first verdict in a trial of up to `requests` each, asked after every 20, and when it fell.
fn trial(seed: u64, rates: (u64, u64), requests: u64) -> (Verdict, u64) {
    let (mut coin, judge) = (Coin(seed), Judge::default());
    let (mut control, mut treatment) = (Tally::default(), Tally::default());
    for n in 1..=requests {
        for (tally, rate) in [(&mut control, rates.0), (&mut treatment, rates.1)] {
            tally.requests += 1;
            tally.failures += u64::from(coin.fails(rate));
        }
        if n % 20 == 0 {
            let verdict = judge.compare(control, treatment);
            if verdict != Verdict::InsufficientData {
                return (verdict, n);
            }
        }
    }
    (Verdict::InsufficientData, requests)
}

#[test]
fn r_rtr_15_no_verdict_without_data() {
    let judge = Judge::default();
    let none = Tally::default();
    assert_eq!(judge.compare(none, none), Verdict::InsufficientData);
    assert_eq!(judge.compare(Tally { requests: 1_000_000, failures: 0 }, none), Verdict::InsufficientData);
    assert_eq!(judge.compare(none, Tally { requests: 1_000_000, failures: 0 }), Verdict::InsufficientData);
    let few = Tally { requests: 4, failures: 0 };
    assert_eq!(judge.compare(few, Tally { requests: 4, failures: 4 }), Verdict::InsufficientData);
}

#[test]
fn r_rtr_15_equal_versions_are_rarely_told_apart_however_often_one_asks() {
    let wrong = (0..200).filter(|seed| {
        let (verdict, _) = trial(*seed, (500, 500), 1_000);
        matches!(verdict, Verdict::Better | Verdict::Worse)
    });
    assert!(wrong.count() <= 10, "5 % of 200, looking 50 times each");
}

#[test]
fn r_rtr_15_a_real_difference_is_found_and_in_the_right_direction() {
    for seed in 0..20 {
        let (verdict, after) = trial(seed, (100, 600), 5_000);
        assert_eq!(verdict, Verdict::Worse);
        assert!(after <= 2_000, "{after}");
        assert_eq!(trial(seed, (600, 100), 5_000).0, Verdict::Better);
    }
}

#[test]
fn r_rtr_15_a_difference_below_the_margin_is_none() {
    let judge = Judge::default();
    let control = Tally { requests: 100_000, failures: 1_000 };
    let treatment = Tally { requests: 100_000, failures: 1_100 };
    assert_eq!(judge.compare(control, treatment), Verdict::NoDifference);
    // With a finer margin the same numbers are a question of more data, and with ten times as many an answer.
    let strict = Judge { margin: Share::new(1).unwrap(), ..judge };
    assert_eq!(strict.compare(control, treatment), Verdict::InsufficientData);
    let tenfold = |tally: Tally| Tally { requests: tally.requests * 10, failures: tally.failures * 10 };
    assert_eq!(strict.compare(tenfold(control), tenfold(treatment)), Verdict::Worse);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn r_rtr_15_roles_exchanged_exchange_the_verdict(
        a in (0..100_000_u64, 0..=100_u64), b in (0..100_000_u64, 0..=100_u64), margin in 0..=10_000_u16,
    ) {
        let tally = |(requests, percent): (u64, u64)| Tally { requests, failures: requests * percent / 100 };
        let judge = Judge { margin: Share::new(margin).unwrap(), ..Judge::default() };
        let exchanged = match judge.compare(tally(a), tally(b)) {
            Verdict::Better => Verdict::Worse,
            Verdict::Worse => Verdict::Better,
            same => same,
        };
        prop_assert_eq!(judge.compare(tally(b), tally(a)), exchanged);
    }
}
