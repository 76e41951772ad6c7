//! Rules among the versions of an endpoint, and the documentation's worked examples.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use portway_router::{
    BucketRun, Buckets, Change, Rollout, RolloutError, Share, Shares, SharesError, Tag, Version,
};

fn percent(n: u8) -> Share {
    Share::percent(n).unwrap()
}

fn effective(rollout: &Rollout<&'static str>) -> Vec<(&'static str, u16)> {
    rollout.shares().iter().map(|(key, share)| (*key, share.basis_points() / 100)).collect()
}

#[test]
fn worked_example_mynewendpoint() {
    let mut rollout = Rollout::new(Version::new("versiona", percent(20)));
    assert_eq!(effective(&rollout), [("versiona", 100)]);
    assert_eq!((rollout.default_version(), rollout.control_version()), (&"versiona", &"versiona"));

    rollout.create(Version::new("versionb", percent(10))).unwrap();
    assert_eq!(effective(&rollout), [("versiona", 90), ("versionb", 10)]);
    let counts: Vec<_> = rollout.buckets().runs().iter().map(|run| (run.version, run.count)).collect();
    assert_eq!(counts, [("versiona", 9_000), ("versionb", 1_000)], "kept with every change");

    let change = Change::new().share(percent(40)).tag(Tag::Default).tag(Tag::Control);
    rollout.update(&"versionb", change).unwrap();
    assert_eq!(effective(&rollout), [("versiona", 20), ("versionb", 80)]);
    assert_eq!((rollout.default_version(), rollout.control_version()), (&"versionb", &"versionb"));

    // The original's clients cannot name a successor; its server takes the oldest that remains.
    assert_eq!(
        rollout.delete(&"versionb", None),
        Err(RolloutError::NeedsSuccessor { tags: "default and control" })
    );
    let oldest = rollout.versions()[0].key;
    assert_eq!(rollout.delete(&"versionb", Some(&oldest)), Ok(Version::new("versionb", percent(40))));
    assert_eq!(effective(&rollout), [("versiona", 100)]);
    assert_eq!((rollout.default_version(), rollout.control_version()), (&"versiona", &"versiona"));
}

#[test]
fn worked_example_test_10_and_prod_30_leave_60_for_the_default() {
    let shares = Shares::new("main", [("test", percent(10)), ("prod", percent(30))]).unwrap();
    let all: Vec<_> = shares.iter().map(|(key, share)| (*key, share)).collect();
    assert_eq!(all, [("test", percent(10)), ("prod", percent(30)), ("main", percent(60))]);
    assert_eq!(shares.default_version(), &"main");
}

#[test]
fn r_cfg_10_at_most_six_versions() {
    let mut rollout = Rollout::new(Version::new(0, Share::ZERO));
    for key in 1..6 {
        rollout.create(Version::new(key, percent(10))).unwrap();
    }
    assert_eq!(rollout.create(Version::new(6, Share::ZERO)), Err(RolloutError::TooMany));
    assert_eq!(rollout.versions().len(), 6);
    assert_eq!(Shares::new(0, (1..=6).map(|key| (key, Share::ZERO))), Err(SharesError::TooMany));
}

#[test]
fn r_cfg_10_sum_over_100_is_refused_whole() {
    let mut rollout = Rollout::new(Version::new("a", percent(60)));
    let before = rollout.clone();
    let refused = RolloutError::OverWhole { total: 10_001 };
    assert_eq!(rollout.create(Version::new("b", Share::new(4_001).unwrap())), Err(refused));
    assert_eq!(rollout, before);
    rollout.create(Version::new("b", percent(40))).unwrap();
    let change = Change::new().share(Share::new(4_001).unwrap()).tag(Tag::Default);
    assert_eq!(rollout.update(&"b", change), Err(refused));
    assert_eq!(rollout.default_version(), &"a");
    assert_eq!(
        refused.to_string(),
        "shares would sum to 100.01 %, at most 100 % are allowed; lower another version first"
    );
}

#[test]
fn r_cfg_10_one_default_and_one_control_whatever_moves() {
    let mut rollout = Rollout::new(Version::new("a", Share::ZERO));
    rollout.create_tagged(Version::new("b", Share::ZERO), Change::new().tag(Tag::Control)).unwrap();
    rollout.create(Version::new("c", Share::ZERO)).unwrap();
    assert_eq!((rollout.default_version(), rollout.control_version()), (&"a", &"b"));
    rollout.update(&"c", Change::new().tag(Tag::Default)).unwrap();
    assert_eq!((rollout.default_version(), rollout.control_version()), (&"c", &"b"));
    // Neither default nor control any longer: no successor is needed.
    rollout.delete(&"a", None).unwrap();
    assert_eq!((rollout.default_version(), rollout.control_version()), (&"c", &"b"));
    rollout.delete(&"b", Some(&"c")).unwrap();
    assert_eq!((rollout.default_version(), rollout.control_version()), (&"c", &"c"));
}

#[test]
fn r_cfg_10_deletion_names_its_remedy() {
    let mut rollout = Rollout::new(Version::new("a", Share::ZERO));
    let last = rollout.delete(&"a", None).unwrap_err();
    assert_eq!(last, RolloutError::Last);
    assert!(last.to_string().contains("delete the endpoint instead"), "{last}");

    rollout.create_tagged(Version::new("b", Share::ZERO), Change::new().tag(Tag::Control)).unwrap();
    let needs = rollout.delete(&"a", None).unwrap_err();
    assert_eq!(needs, RolloutError::NeedsSuccessor { tags: "default" });
    assert!(needs.to_string().contains("name the version that takes over"), "{needs}");
    assert_eq!(rollout.delete(&"b", None), Err(RolloutError::NeedsSuccessor { tags: "control" }));
    assert_eq!(rollout.delete(&"a", Some(&"a")), Err(RolloutError::BadSuccessor));
    assert_eq!(rollout.delete(&"a", Some(&"x")), Err(RolloutError::BadSuccessor));
    assert_eq!(rollout.delete(&"x", None), Err(RolloutError::Unknown));
    assert_eq!(rollout.create(Version::new("a", Share::ZERO)), Err(RolloutError::Exists));
}

#[test]
fn takes_a_document_apart_and_together() {
    let versions = vec![Version::new("a", percent(10)), Version::new("b", percent(20))];
    let rollout = Rollout::from_parts(versions.clone(), &"b", &"a", None).unwrap();
    assert_eq!(effective(&rollout), [("a", 10), ("b", 90)]);
    assert_eq!(Rollout::from_parts(versions.clone(), &"x", &"a", None), Err(RolloutError::Unknown));

    let runs = vec![BucketRun { version: "b", count: 9_000 }, BucketRun { version: "a", count: 1_000 }];
    let kept = Buckets::from_runs(runs).unwrap();
    let rollout = Rollout::from_parts(versions, &"b", &"a", Some(kept.clone())).unwrap();
    assert_eq!(rollout.buckets(), &kept);
    assert_eq!(rollout.split().for_key(9_999), &"a");
}
