//! Stored state comes back as it was, and nonsense does not come in (feature `serde`).
#![cfg(feature = "serde")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use portway_router::{Change, Rollout, Share, Shares, Split, Tag, Version};
use serde_json::{Value, from_value, json, to_value};

fn rollout() -> Rollout<String> {
    let version = |key: &str, percent| Version::new(key.to_owned(), Share::percent(percent).unwrap());
    let mut rollout = Rollout::new(version("a", 20));
    rollout.create(version("b", 10)).unwrap();
    rollout.create_tagged(version("c", 30), Change::new().tag(Tag::Control)).unwrap();
    rollout
}

#[test]
fn r_rtr_5_a_rollout_comes_back_with_its_buckets() {
    let rollout = rollout();
    let stored = to_value(&rollout).unwrap();
    assert_eq!(stored["versions"][2], json!({ "key": "c", "share": 3_000 }));
    assert_eq!(stored["buckets"].as_array().unwrap().len(), rollout.buckets().runs().len());
    assert_eq!(from_value::<Rollout<String>>(stored).unwrap(), rollout);
}

#[test]
fn r_rtr_4_a_split_in_use_goes_on_where_it_stood() {
    let split = rollout().split();
    let (used, shares) = (123, split.shares().clone());
    let stored = to_value(split.next(used, shares)).unwrap();
    let resumed: Split<String> = from_value(stored).unwrap();
    assert!((0..20_000).all(|ticket| resumed.at(ticket) == split.at(used + ticket)));
    assert!((0..10_000).all(|key| resumed.for_key(key) == split.for_key(key)));
}

#[test]
fn what_breaks_a_rule_does_not_come_in() {
    fn refusal<T: serde::de::DeserializeOwned + std::fmt::Debug>(
        mut stored: Value,
        at: &str,
        value: Value,
    ) -> String {
        *stored.pointer_mut(at).unwrap() = value;
        from_value::<T>(stored).unwrap_err().to_string()
    }
    let rollout = to_value(rollout()).unwrap();
    let refused = |at, value| refusal::<Rollout<String>>(rollout.clone(), at, value);
    assert!(refused("/default", json!("x")).contains("no version of this name"));
    assert!(refused("/versions/0/share", json!(10_001)).contains("at most 10000"));
    assert!(refused("/versions/0/share", json!(9_000)).contains("130.00 %"));
    assert!(refused("/buckets/0/count", json!(0)).contains("exactly 10000 buckets"));

    let split = to_value(Split::new(Shares::all_to("a".to_owned()))).unwrap();
    let refused = |at, value| refusal::<Split<String>>(split.clone(), at, value);
    assert!(refused("/owed", json!([])).contains("0 debts for 1 versions"));
    assert!(refused("/owed/0", json!(60_001)).contains("at most 60000"));
    assert!(refused("/owed/0", json!(i64::MIN)).contains("at most 60000"));
}
