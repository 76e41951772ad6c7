//! The schemas against a validator: they refuse nothing that the check accepts, and everything whose make it refuses.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![cfg(feature = "schema")]

use std::path::Path;

use portway_deploy_config::{Call, Code, Json, NameKind, schema};
use proptest::prelude::*;
use serde_json::Value;

const CALLS: [Call; 18] = [
    Call::DeployService,
    Call::UpdateService,
    Call::DeploymentConfig,
    Call::InferenceConfig,
    Call::EndpointDocument,
    Call::DeployEndpoint,
    Call::UpdateEndpoint,
    Call::CreateVersion,
    Call::UpdateVersion,
    Call::Provision,
    Call::Attach,
    Call::Name(NameKind::Service),
    Call::Name(NameKind::Model),
    Call::Name(NameKind::ModelId),
    Call::Name(NameKind::Namespace),
    Call::Name(NameKind::Workspace),
    Call::Name(NameKind::Compute),
    Call::Name(NameKind::EntryScript),
];

/// Refusals for what a document is made of; all others are about what its parts are to each other.
fn is_structural(code: Code) -> bool {
    matches!(
        code,
        Code::WrongType
            | Code::Missing
            | Code::UnknownValue
            | Code::UnknownArgument
            | Code::NotAnInteger
            | Code::NotPositive
            | Code::Negative
            | Code::NameInvalid
            | Code::ShareOutOfRange
            | Code::ComputeTypeElsewhere
    )
}

struct Schemas(Vec<(Call, jsonschema::Validator)>);

impl Schemas {
    fn new() -> Self {
        Self(CALLS.map(|call| (call, jsonschema::validator_for(schema(call).as_value()).unwrap())).into())
    }

    fn agree(&self, call: Call, input: &Value) -> Result<(), TestCaseError> {
        let Some((_, validator)) = self.0.iter().find(|(each, _)| *each == call) else { return Ok(()) };
        let report = call.check(&Json::parse(&input.to_string()).unwrap(), None);
        let structural = report.errors().any(|finding| is_structural(finding.code));
        let errors: Vec<_> = validator.iter_errors(input).map(|error| error.to_string()).collect();
        prop_assert!(
            !structural || !errors.is_empty(),
            "{call:?} {input}: the schema accepts, the check says {report}"
        );
        prop_assert!(
            errors.is_empty() || report.has_errors(),
            "{call:?} {input}: the check accepts, the schema says {errors:?}"
        );
        Ok(())
    }
}

#[test]
fn r_cfg_14_the_schemas_agree_with_the_check_on_the_corpus() {
    let schemas = Schemas::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let case: Value =
            serde_json::from_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        let call = Call::named(case["kind"].as_str().unwrap(), case["call"].as_str().unwrap()).unwrap();
        // Documents given as text are about the text.
        if !case["input"].is_string() {
            schemas.agree(call, &case["input"]).unwrap();
            count += 1;
        }
    }
    assert!(count >= 60);
}

#[test]
fn a_type_generates_its_schema() {
    let generated = schemars::schema_for!(portway_deploy_config::EndpointSpec);
    assert_eq!(generated.get("title").and_then(Value::as_str), Some("EndpointSpec"));
    assert!(generated.as_value().pointer("/properties/versions/items/properties/share").is_some());
}

/// Corpus documents with one value replaced, so that every member meets every type.
fn documents() -> impl Strategy<Value = (Call, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let cases: Vec<(Call, Value)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| serde_json::from_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap())
        .filter(|case: &Value| !case["input"].is_string())
        .map(|case| {
            (
                Call::named(case["kind"].as_str().unwrap(), case["call"].as_str().unwrap()).unwrap(),
                case["input"].clone(),
            )
        })
        .collect();
    let odd = proptest::sample::select(vec![
        Value::Null,
        true.into(),
        0.into(),
        (-1).into(),
        1.into(),
        2.0.into(),
        1.5.into(),
        101.into(),
        "".into(),
        "x".into(),
        "abc".into(),
        "local".into(),
        "a/b.py".into(),
        Value::Array(vec![]),
        Value::Array(vec!["x".into()]),
        Value::Array(vec![1.into()]),
        Value::Object(serde_json::Map::new()),
        serde_json::json!({"pip": "x"}),
        serde_json::json!({"name": "abc"}),
    ]);
    (proptest::sample::select(cases), any::<proptest::sample::Index>(), odd).prop_map(
        |((call, mut input), at, odd)| {
            let mut places = Vec::new();
            collect(&input, String::new(), &mut places);
            *input.pointer_mut(&places[at.index(places.len())]).unwrap() = odd;
            (call, input)
        },
    )
}

fn collect(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| collect(value, format!("{at}/{key}"), places))
        }
        Value::Array(elements) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(index, value)| collect(value, format!("{at}/{index}"), places));
        }
        _ => {}
    }
    places.push(at);
}

#[test]
fn r_cfg_14_the_schemas_agree_with_the_check_on_documents_gone_wrong() {
    let schemas = Schemas::new();
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() };
    proptest::test_runner::TestRunner::new(config)
        .run(&documents(), |(call, input)| schemas.agree(call, &input))
        .unwrap();
}
