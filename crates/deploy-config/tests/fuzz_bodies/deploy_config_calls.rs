// Every call over any arguments: nothing panics, and a refusal says why.

use portway_deploy_config::{Call, Json, NameKind};

const CALLS: [Call; 12] = [
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
    Call::Name(NameKind::EntryScript),
];

/// Checks one input: the arguments, and after a line break what stands.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (input, current) = text.split_once('\n').unwrap_or((text, "null"));
    let (Ok(input), Ok(current)) = (Json::parse(input), Json::parse(current)) else { return };
    for call in CALLS {
        let report = call.check(&input, Some(&current));
        for finding in &report {
            assert!(!finding.message.is_empty() && !finding.remedy.is_empty(), "{call:?} {finding:?}");
        }
        assert!(serde_json::from_str::<serde_json::Value>(&report.to_json()).is_ok());
    }
}
