// Every document reader over any text: nothing panics, what is accepted is written back and accepted again the same,
// and the reader of JSON agrees with serde_json on what JSON is.

use portway_deploy_config::{DeploymentConfig, EndpointSpec, InferenceConfig, Json};

/// Checks one input.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    same_json(text);
    let (config, report) = DeploymentConfig::from_json(text).into_parts();
    for finding in &report {
        assert!(finding.place.is_none_or(|place| place.line >= 1 && place.column >= 1), "{finding:?}");
    }
    if let Some(config) = config {
        let again =
            DeploymentConfig::from_json(&config.to_json()).into_result().expect("it was accepted once");
        assert_eq!(again.spec(), config.spec());
        assert_eq!(again.to_json(), config.to_json());
    }
    if let Ok(config) = InferenceConfig::from_json(text).into_result() {
        let again =
            InferenceConfig::from_json(&config.to_json()).into_result().expect("it was accepted once");
        assert_eq!(again, config);
    }
    if let Ok(spec) = EndpointSpec::from_json(text) {
        spec.validate().expect("it was accepted once");
        assert_eq!(EndpointSpec::from_json(&spec.to_json()).expect("it was accepted once"), spec);
    }
}

fn same_json(text: &str) {
    let theirs = serde_json::from_str::<serde_json::Value>(text);
    match Json::parse(text) {
        Ok(ours) => {
            assert_eq!(Json::parse(&ours.to_string()).expect("it was read once"), ours);
            assert_eq!(Json::parse(&ours.to_pretty_string()).expect("it was read once"), ours);
            match theirs {
                Ok(theirs) => assert_eq!(
                    serde_json::from_str::<serde_json::Value>(&ours.to_string()).ok(),
                    Some(theirs)
                ),
                // Numbers beyond a float are numbers here, and a byte order mark is skipped.
                Err(error) => {
                    let beyond = error.to_string().contains("out of range");
                    assert!(beyond || text.starts_with('\u{feff}'), "{error}");
                }
            }
        }
        Err(report) => {
            // What else is refused here: doubled keys, depth and size.
            let ours = report.errors().next().expect("a refusal says why").code.as_str().to_owned();
            assert!(theirs.is_err() || ours != "json/syntax", "{report}");
        }
    }
}
