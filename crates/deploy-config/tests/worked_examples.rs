//! The worked examples of the documentation, by name.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use portway_deploy_config::{
    AuthMode, AutoscaleSpec, Call, EndpointSpec, Json, MemoryMib, Millicores, ProvisionSpec, Replicas,
    ServiceSpec, Share, Spelling, VersionSpec, VmSizes,
};

fn service(arguments: &str) -> ServiceSpec {
    let checked = ServiceSpec::check(&Json::parse(arguments).unwrap(), Spelling::Sdk);
    assert!(checked.report().is_empty(), "{}", checked.report());
    checked.into_result().unwrap()
}

fn codes(call: Call, input: &str, current: &str) -> Vec<&'static str> {
    let (input, current) = (Json::parse(input).unwrap(), Json::parse(current).unwrap());
    call.check(&input, Some(&current)).iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn cpu_1_memory_1_gb_is_accepted_with_keys_without_and_with_tokens() {
    let spec = service(r#"{"cpu_cores": 1, "memory_gb": 1}"#);
    assert_eq!(
        (spec.resources.cpu, spec.resources.memory, spec.auth),
        (Millicores(1000), MemoryMib(1024), AuthMode::Keys)
    );
    assert_eq!(service(r#"{"cpu_cores": 1, "memory_gb": 1, "auth_enabled": false}"#).auth, AuthMode::Off);
    assert_eq!(
        service(r#"{"cpu_cores": 1, "memory_gb": 1, "token_auth_enabled": true}"#).auth,
        AuthMode::Token
    );
}

#[test]
fn autoscale_at_30_percent_from_1_to_4_is_accepted_and_a_fixed_number_beside_it_refused() {
    let scaling = r#""autoscale_enabled": true, "autoscale_target_utilization": 30, "autoscale_min_replicas": 1,
        "autoscale_max_replicas": 4"#;
    let expected = AutoscaleSpec::new(1, 4).unwrap().with_target_percent(30).unwrap();
    assert_eq!(service(&format!("{{{scaling}}}")).replicas, Replicas::Auto(expected));
    let both = format!(r#"{{{scaling}, "num_replicas": 3}}"#);
    assert_eq!(codes(Call::DeployService, &both, "null"), ["config/replicas-and-autoscale"]);
}

#[test]
fn three_d3_v2_are_12_vcpus_and_two_of_them_are_enough_for_tests_only() {
    let three = ProvisionSpec::check(&Json::parse("{}").unwrap(), &VmSizes::default());
    assert!(three.report().is_empty());
    let spec = three.into_result().unwrap();
    assert_eq!((spec.agent_count, spec.vm_size.as_str()), (3, "Standard_D3_v2"));
    let two = Call::Provision.check(&Json::parse(r#"{"agent_count": 2}"#).unwrap(), None);
    let found: Vec<_> = two.iter().map(|finding| &*finding.found).collect();
    assert_eq!(found, ["8 of 12 vCPUs", "2 of 3 nodes"]);
    let tests = r#"{"agent_count": 2, "cluster_purpose": "DevTest"}"#;
    assert_eq!(codes(Call::Provision, tests, "null"), ["cluster/dev-test"]);
}

#[test]
fn mynewendpoint_from_its_first_version_to_its_promotion_and_back() {
    let first = ServiceSpec::check_endpoint(
        &Json::parse(
            r#"{"cpu_cores": 0.1, "memory_gb": 0.2, "version_name": "versiona", "traffic_percentile": 20}"#,
        )
        .unwrap(),
    );
    assert!(first.report().is_empty());
    let first = first.into_result().unwrap();
    assert_eq!((first.resources.cpu, first.resources.memory), (Millicores(100), MemoryMib(205)));
    let versiona = first.version_spec(first.version.clone().unwrap());
    let mut endpoint = EndpointSpec::new("mynewendpoint".parse().unwrap(), versiona);
    let share =
        |endpoint: &EndpointSpec, name: &str| endpoint.effective_share(&name.parse().unwrap()).as_percent();
    assert_eq!(share(&endpoint, "versiona"), "100");

    let arguments = Json::parse(r#"{"version_name": "versionb", "traffic_percentile": 10}"#).unwrap();
    let second = ServiceSpec::check_version(&arguments, Some(&endpoint)).into_result().unwrap();
    endpoint.versions.push(second.version_spec("versionb".parse().unwrap()));
    assert_eq!((share(&endpoint, "versiona"), share(&endpoint, "versionb")), ("90".into(), "10".into()));

    endpoint.versions[1].share = Share::percent(40).unwrap();
    endpoint.default = "versionb".parse().unwrap();
    endpoint.control = "versionb".parse().unwrap();
    assert!(endpoint.validate().is_ok());
    assert_eq!((share(&endpoint, "versiona"), share(&endpoint, "versionb")), ("20".into(), "80".into()));

    // versionb is deleted: the document cannot keep naming it.
    endpoint.versions.pop();
    assert_eq!(endpoint.validate().unwrap_err().errors().count(), 2);
    endpoint.default = "versiona".parse().unwrap();
    endpoint.control = "versiona".parse().unwrap();
    assert_eq!((endpoint.validate().is_ok(), share(&endpoint, "versiona")), (true, "100".into()));
}

#[test]
fn test_10_and_prod_30_leave_60_for_the_default() {
    let version = |name: &str, percent| {
        let share = Share::percent(percent).unwrap();
        VersionSpec { share, ..VersionSpec::new(name.parse().unwrap()) }
    };
    let mut endpoint = EndpointSpec::new("mynewendpoint".parse().unwrap(), version("main", 0));
    endpoint.versions.extend([version("test", 10), version("prod", 30)]);
    assert_eq!(endpoint.effective_share(&endpoint.default), Share::percent(60).unwrap());
}
