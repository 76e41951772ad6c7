//! Sticky buckets: exactly what must move moves.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use portway_router::{BucketRun, Buckets, Change, Rollout, Share, Shares, Split, Tag, Version};
use proptest::prelude::*;

/// Shares of up to six versions out of eight, so that versions come and go.
fn shares() -> impl Strategy<Value = Shares<u8>> {
    (prop::sample::subsequence((0..8_u8).collect::<Vec<_>>(), 1..=6), prop::collection::vec(0..3_000_u16, 6))
        .prop_map(|(versions, parts)| {
            let total: u32 = parts[..versions.len()].iter().map(|part| u32::from(*part)).sum();
            let fit = |part: u16| Share::new((u32::from(part) * 10_000 / total.max(10_000)) as u16).unwrap();
            Shares::new(versions[0], versions.iter().zip(parts).map(|(version, part)| (*version, fit(part))))
                .unwrap()
        })
}

fn total_variation(a: &Shares<u8>, b: &Shares<u8>) -> usize {
    let gains = (0..8_u8).map(|v| b.share(&v).basis_points().saturating_sub(a.share(&v).basis_points()));
    gains.map(usize::from).sum()
}

fn counts(buckets: &Buckets<u8>, version: u8) -> u16 {
    buckets.runs().iter().filter(|run| run.version == version).map(|run| run.count).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn r_rtr_5_a_change_moves_exactly_the_total_variation(sequence in prop::collection::vec(shares(), 2..12)) {
        let mut buckets = Buckets::deal(&sequence[0]);
        for pair in sequence.windows(2) {
            let next = buckets.redeal(&pair[1]);
            prop_assert_eq!(buckets.moved(&next), total_variation(&pair[0], &pair[1]));
            prop_assert!((0..8).all(|version| counts(&next, version) == pair[1].share(&version).basis_points()));
            buckets = next;
        }
    }

    #[test]
    fn r_rtr_5_only_from_losers_to_gainers(before in shares(), after in shares()) {
        let old = Split::new(before);
        let new = old.next(0, after);
        for key in 0..10_000 {
            let (from, to) = (old.for_key(key), new.for_key(key));
            prop_assert!(from == to || (old.share(from) > new.share(from) && old.share(to) < new.share(to)));
        }
    }

    #[test]
    fn r_rtr_5_runs_are_what_a_document_can_keep(before in shares(), after in shares()) {
        let buckets = Buckets::deal(&before).redeal(&after);
        let kept = Buckets::from_runs(buckets.runs().to_vec()).unwrap();
        let split = Split::new(after).with_buckets(&kept);
        prop_assert_eq!(split.buckets(), kept);
        prop_assert_eq!(split.buckets().runs().len(), buckets.runs().chunk_by(|a, b| a.version == b.version).count());
    }
}

#[test]
fn r_rtr_5_a_key_stays_as_long_as_its_version_does_not_lose() {
    let percent = |n| Share::percent(n).unwrap();
    let mut rollout = Rollout::new(Version::new("stable", Share::ZERO));
    rollout.create(Version::new("canary", percent(10))).unwrap();
    let start = rollout.split();
    let of = |split: &Split<&'static str>, version| -> Vec<u64> {
        (0..10_000).filter(|key| *split.for_key(*key) == version).collect()
    };
    let first = of(&start, "canary");
    assert_eq!(first.len(), 1_000);

    rollout.update(&"canary", Change::new().share(percent(30))).unwrap();
    let wider = rollout.split();
    assert!(first.iter().all(|key| *wider.for_key(*key) == "canary"), "users of the canary stay with it");

    // The tag moves and with it the rest: those of the canary stay once more.
    rollout.update(&"canary", Change::new().tag(Tag::Default)).unwrap();
    let all = rollout.split();
    assert!(of(&wider, "canary").iter().all(|key| *all.for_key(*key) == "canary"));
    assert!(of(&all, "stable").is_empty());
}

#[test]
fn r_rtr_5_keys_beyond_the_buckets_wrap() {
    let split = Split::new(Shares::new("a", [("b", Share::percent(50).unwrap())]).unwrap());
    assert!((0..10_000).all(|key| split.for_key(key) == split.for_key(key + 40_000)));
    let _ = split.for_key(u64::MAX);
}

#[test]
fn a_table_of_another_size_is_refused() {
    let runs = |count| vec![BucketRun { version: "a", count }, BucketRun { version: "b", count: 1 }];
    assert!(Buckets::from_runs(runs(9_999)).is_ok());
    let error = Buckets::from_runs(runs(10_000)).unwrap_err();
    assert_eq!(error.to_string(), "there are exactly 10000 buckets, found 10001");
}
