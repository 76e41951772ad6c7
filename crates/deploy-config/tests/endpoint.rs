//! The endpoint document: what it accepts, what it refuses, and that it comes back as it went out.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use portway_deploy_config::{
    AuthMode, AutoscaleSpec, BucketRun, Code, EndpointSpec, Limits, Pinning, Profile, Replicas, Share,
    StickyKey, StickySpec, VersionName, VersionSpec,
};
use proptest::prelude::*;

fn codes(text: &str) -> Vec<&'static str> {
    EndpointSpec::check(text).report().iter().map(|finding| finding.code.as_str()).collect()
}

fn document(versions: &str) -> String {
    format!(
        r#"{{"name": "mynewendpoint", "default": "versiona", "control": "versiona", "versions": [{versions}]}}"#
    )
}

#[test]
fn r_cfg_10_the_default_version_gets_the_unassigned_rest() {
    let spec = EndpointSpec::from_json(&document(r#"{"name": "versiona", "share": 20}"#)).unwrap();
    assert_eq!(spec.effective_share(&spec.default), Share::ALL);
    let two = document(r#"{"name": "versiona", "share": 20}, {"name": "versionb", "share": 10}"#);
    let spec = EndpointSpec::from_json(&two).unwrap();
    assert_eq!(spec.effective_share(&spec.default), Share::percent(90).unwrap());
}

#[test]
fn r_cfg_10_shares_above_the_whole_and_a_seventh_version_are_refused() {
    let over = document(r#"{"name": "versiona", "share": 60.5}, {"name": "versionb", "share": 40}"#);
    assert_eq!(codes(&over), ["config/shares-above-whole"]);
    let seven: Vec<_> = "abcdefg".chars().map(|c| format!(r#"{{"name": "version{c}"}}"#)).collect();
    assert_eq!(codes(&document(&seven.join(","))), ["config/too-many-versions"]);
    let twice = document(r#"{"name": "versiona"}, {"name": "versiona"}"#);
    assert_eq!(codes(&twice), ["config/duplicate-version"]);
    assert_eq!(
        codes(&document(r#"{"name": "versionb"}"#)),
        ["config/unknown-version", "config/unknown-version"]
    );
    assert_eq!(codes(&document("")), ["config/missing"]);
}

#[test]
fn r_cfg_8_min_0_is_legal_here() {
    let text = document(r#"{"name": "versiona", "replicas": {"auto": {"min": 0, "max": 4}}}"#);
    let spec = EndpointSpec::from_json(&text).unwrap();
    assert_eq!(spec.versions[0].replicas, Replicas::Auto(AutoscaleSpec::new(0, 4).unwrap()));
    let both = document(r#"{"name": "versiona", "replicas": {"fixed": 2, "auto": {"min": 5, "max": 4}}}"#);
    assert_eq!(codes(&both), ["config/replicas-and-autoscale"]);
}

#[test]
fn r_cfg_11_faults_that_follow_from_another_are_not_repeated() {
    // The unreadable version might be the default: that it is absent is no fault of its own.
    assert_eq!(codes(&document(r#"{"name": "Versiona"}"#)), ["config/name-invalid"]);
    let text =
        document(r#"{"name": "versiona", "share": 101, "replicas": {"auto": {"min": 1.5, "max": 1}}}"#);
    assert_eq!(codes(&text), ["config/share-out-of-range", "config/not-an-integer"]);
}

#[test]
fn a_version_named_like_its_endpoint_is_advised_on() {
    let text = r#"{"name": "abc", "default": "abc", "control": "abc", "versions": [{"name": "abc"}], "auths": "keys"}"#;
    let checked = EndpointSpec::check(text);
    assert!(checked.value().is_some());
    let found: Vec<_> =
        checked.report().iter().map(|finding| (finding.code, finding.remedy.to_string())).collect();
    assert_eq!(found[0].0, Code::VersionNamedLikeEndpoint);
    assert_eq!(found[1], (Code::UnknownKey, "did you mean \"auth\"?".to_owned()));
}

#[test]
fn a_document_made_in_code_is_checked_the_same_way() {
    let mut spec =
        EndpointSpec::new("mynewendpoint".parse().unwrap(), VersionSpec::new("one".parse().unwrap()));
    assert!(spec.validate().is_ok());
    spec.control = "two".parse().unwrap();
    assert_eq!(spec.validate().unwrap_err().iter().next().unwrap().pointer, "/control");
}

prop_compose! {
    fn version(index: usize)(
        fixed in proptest::option::of(1u32..100),
        (min, more, target, refresh) in (0u32..5, 1u32..50, 1u8..=100, 1u64..100_000),
        max_concurrent in 1u32..64,
        scoring in 1u64..300_000,
        wait in proptest::option::of(1u64..10_000),
        flags: (bool, bool),
        points in 0u16..=1666,
    ) -> VersionSpec {
        let auto = AutoscaleSpec::new(min, min + more).unwrap().with_target_percent(target).unwrap();
        VersionSpec {
            share: Share::from_basis_points(points).unwrap(),
            replicas: match fixed {
                Some(count) => Replicas::Fixed(count.try_into().unwrap()),
                None => Replicas::Auto(auto.with_refresh(Duration::from_millis(refresh)).unwrap()),
            },
            max_concurrent: max_concurrent.try_into().unwrap(),
            scoring_timeout: Duration::from_millis(scoring),
            max_queue_wait: wait.map(Duration::from_millis),
            collect_model_data: flags.0,
            app_insights: flags.1,
            ..VersionSpec::new(version_name(index))
        }
    }
}

fn version_name(index: usize) -> VersionName {
    format!("version-{index}").parse().unwrap()
}

fn versions() -> impl Strategy<Value = Vec<VersionSpec>> {
    (1usize..=6).prop_flat_map(|count| (0..count).map(version).collect::<Vec<_>>())
}

prop_compose! {
    fn endpoint()(
        versions in versions(),
        pick: (proptest::sample::Index, proptest::sample::Index),
        auth in prop_oneof![Just(AuthMode::Keys), Just(AuthMode::Token), Just(AuthMode::Off)],
        documented: bool,
        pinning in proptest::option::of(prop_oneof![Just(Pinning::Off), Just(Pinning::Scope), Just(Pinning::Any)]),
        sticky in proptest::option::of((any::<bool>(), 0u16..10_000)),
        queue in proptest::option::of(any::<u32>()),
        body in proptest::option::of(1u64..),
    ) -> EndpointSpec {
        let default = versions[pick.0.index(versions.len())].name.clone();
        let control = versions[pick.1.index(versions.len())].name.clone();
        let sticky = sticky.map(|(cookie, split)| StickySpec {
            key: if cookie { StickyKey::Cookie("uid".into()) } else { StickyKey::Header("x-user".into()) },
            buckets: [(&default, split), (&control, 10_000 - split)]
                .into_iter()
                .filter(|(_, count)| *count > 0 && split > 0)
                .map(|(version, count)| BucketRun { version: version.clone(), count })
                .collect(),
        });
        EndpointSpec {
            auth,
            profile: if documented { Profile::Documented } else { Profile::Recommended },
            pinning,
            sticky,
            limits: Limits { queue, max_body_bytes: body, ..Limits::default() },
            default,
            control,
            ..EndpointSpec::new("mynewendpoint".parse().unwrap(), versions[0].clone())
        }.with(versions)
    }
}

trait With {
    fn with(self, versions: Vec<VersionSpec>) -> Self;
}

impl With for EndpointSpec {
    fn with(self, versions: Vec<VersionSpec>) -> Self {
        Self { versions, ..self }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn documents_come_back_as_they_went_out(spec in endpoint()) {
        prop_assert!(spec.validate().is_ok());
        prop_assert_eq!(&EndpointSpec::from_json(&spec.to_json()).unwrap(), &spec);
        let text = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(&serde_json::from_str::<EndpointSpec>(&text).unwrap(), &spec);
        let effective: u32 = spec.versions.iter().map(|v| u32::from(spec.effective_share(&v.name).basis_points())).sum();
        prop_assert_eq!(effective, 10_000);
    }
}

#[test]
fn r_cfg_8_what_nothing_reads_is_advised_on_and_written_back() {
    let text = r#"{"name": "iris", "default": "one", "control": "one", "limits": {"speed": 3}, "sticky": {"key": {"header": "x-user"},
        "buckets": [{"version": "one", "count": 10000, "note": "all"}], "salt/y": 1e2},
        "versions": [{"name": "one", "replicas": {"auto": {"min": 1, "max": 10, "pace": "slow"}}, "later": {"a": [1, null]}}, {"name": "two"}], "x": 1.50}"#;
    let checked = EndpointSpec::check(text);
    assert_eq!(checked.report().iter().count(), 6, "{:?}", checked.report());
    let mut spec = checked.into_result().unwrap();
    let written: serde_json::Value = serde_json::from_str(&spec.to_json()).unwrap();
    let read: serde_json::Value = serde_json::from_str(text).unwrap();
    for place in [
        "/limits/speed",
        "/sticky/salt~1y",
        "/sticky/buckets/0/note",
        "/versions/0/replicas/auto/pace",
        "/versions/0/later",
        "/x",
    ] {
        assert_eq!(written.pointer(place), read.pointer(place), "{place} is written back");
    }
    assert_eq!(EndpointSpec::from_json(&spec.to_json()).unwrap(), spec);

    spec.versions.swap_remove(0);
    (spec.default, spec.control, spec.sticky) =
        (spec.versions[0].name.clone(), spec.versions[0].name.clone(), None);
    let written: serde_json::Value = serde_json::from_str(&spec.to_json()).unwrap();
    assert_eq!(written.pointer("/versions/0/later"), None, "what stood in a version goes with it");
    assert!(written.get("sticky").is_none());
    assert_eq!(written["x"], 1.5);
}
