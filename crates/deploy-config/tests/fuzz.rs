//! The bodies of the fuzz targets over generated input, for toolchains without a fuzzer.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;

#[path = "fuzz_bodies/deploy_config_calls.rs"]
mod calls;
#[path = "fuzz_bodies/deploy_config_json.rs"]
mod json;
#[path = "fuzz_bodies/deploy_config_names.rs"]
mod names;

/// Texts that are nearly JSON: a document with a few bytes changed.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let documents = prop_oneof![
        Just(include_str!("corpus/13-documented-file.json")),
        Just(include_str!("corpus/24-complaint-sticky-users.json")),
        Just(include_str!("corpus/74-inference-whole.json")),
        Just(
            r#"{"computeType":"aks","autoScaler":{"autoscaleEnabled":true,"minReplicas":1},"keys":{"primaryKey":"\u00e9\ud83d\ude00"}}"#
        ),
        Just(r#"{"name":"abc","default":"one","control":"one","versions":[{"name":"one","share":1.25e1}]}"#),
        Just(r#"{"entryScript":"score.py","environment":{"docker":{"baseImage":"a/b:c"},"python":null}}"#),
    ];
    let odd = prop_oneof![any::<u8>(), proptest::sample::select(br#"{}[]",:\0123456789.eE-+tfnu "#.to_vec())];
    (documents, proptest::collection::vec((any::<proptest::sample::Index>(), odd), 0..4)).prop_map(
        |(text, edits)| {
            let mut bytes = text.as_bytes().to_vec();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        (-100i32..100).prop_map(|hundredths| (f64::from(hundredths) / 8.0).into()),
        proptest::sample::select(vec![
            "", "aks", "versiona", "FastProd", "score.py", "x/y:z", "\u{0}", "a\"b"
        ])
        .prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::hash_map(key(), inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Names that some reader looks for, so that values of every type arrive everywhere.
fn key() -> impl Strategy<Value = String> {
    let names = portway_deploy_config::Field::ALL.iter().flat_map(|field| {
        [portway_deploy_config::Spelling::Sdk, portway_deploy_config::Spelling::File]
            .map(|spelling| field.name(spelling))
    });
    let mut names: Vec<String> =
        names.flatten().flat_map(|name| name.split('.').map(str::to_owned).collect::<Vec<_>>()).collect();
    names.extend(
        "computeType name default control versions share replicas fixed auto min max sticky key header buckets count limits \
         queue entryScript environment python docker baseImage condaDependencies dependencies pip enable_ssl ssl_cname \
         leaf_domain_label agent_count vm_size cluster_purpose resource_id resource_group load_balancer_type value"
            .split_whitespace()
            .map(str::to_owned),
    );
    proptest::sample::select(names)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn json_of_any_kind(bytes in prop_oneof![nearly(), proptest::collection::vec(any::<u8>(), 0..64)]) {
        json::check(&bytes);
    }

    #[test]
    fn values_of_any_kind(input in value(), current in value()) {
        json::check(input.to_string().as_bytes());
        calls::check(format!("{input}\n{current}").as_bytes());
    }

    #[test]
    fn names_of_any_kind(text in prop_oneof![
        "[a-z0-9.:/_-]{0,40}", ".{0,20}", "-?[0-9]{1,12}(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,3})?", "[a-zA-Zäß_]{1,5}\\.py",
    ]) {
        names::check(text.as_bytes());
    }
}

#[test]
fn depth_and_size_are_bounded() {
    use portway_deploy_config::{Json, MAX_DOCUMENT_BYTES};
    let deep = "[".repeat(100_000);
    assert_eq!(Json::parse(&deep).unwrap_err().iter().next().unwrap().code.as_str(), "json/too-deep");
    let long = " ".repeat(MAX_DOCUMENT_BYTES + 1);
    assert_eq!(Json::parse(&long).unwrap_err().iter().next().unwrap().code.as_str(), "json/too-large");
    json::check(format!("{}1{}", "[".repeat(64), "]".repeat(64)).as_bytes());
    // Many members, and every one of them twice.
    let members: Vec<_> = (0..30_000).map(|index| format!("\"k{}\":0", index / 2)).collect();
    assert_eq!(Json::parse(&format!("{{{}}}", members.join(","))).unwrap_err().len(), 15_000);
}
