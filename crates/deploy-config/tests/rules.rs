//! The rules by their numbers, as far as no other file proves them.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use portway_deploy_config::{
    Amounts, AttachSpec, AuthMode, AutoscaleSpec, Call, ChangeClass, ClusterNetwork, ClusterPurpose,
    Connectivity, DeploymentConfig, Field, Json, LoadBalancer, MAX_SCORING_TIMEOUT, Millicores, Phase,
    ProbeSpec, ProvisionSpec, Replicas, ServiceSpec, ServiceUpdate, Spelling, Step, TlsSpec, VmSize, VmSizes,
    check_cluster_size, diff,
};

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn refusals(call: Call, input: &str, current: &str) -> Vec<&'static str> {
    call.check(&json(input), Some(&json(current))).errors().map(|finding| finding.code.as_str()).collect()
}

fn service(arguments: &str) -> ServiceSpec {
    ServiceSpec::check(&json(arguments), Spelling::Sdk).into_result().unwrap()
}

#[test]
fn r_cfg_3_production_needs_12_vcpus_and_3_nodes_tests_need_nothing() {
    let cases = [
        (r#"{"agent_count": 11, "vm_size": "Standard_D1"}"#, vec!["cluster/too-few-cores"]),
        (r#"{"agent_count": 12, "vm_size": "Standard_D1"}"#, vec![]),
        (r#"{"agent_count": 2, "vm_size": "standard_d14_v2"}"#, vec!["cluster/too-few-nodes"]),
        (r#"{"agent_count": 0, "vm_size": "Standard_D3_v2"}"#, vec![]),
        (r#"{"agent_count": -1}"#, vec!["config/negative"]),
        (r#"{"agent_count": 1, "cluster_purpose": "fastprod"}"#, vec!["config/unknown-value"]),
        (r#"{"agent_count": 1, "vm_size": "Standard_A1_v2", "cluster_purpose": "DevTest"}"#, vec![]),
    ];
    for (input, expected) in cases {
        assert_eq!(refusals(Call::Provision, input, "null"), expected, "{input}");
    }
    let small = check_cluster_size(ClusterPurpose::DevTest, 1, Some(1));
    let codes: Vec<_> = small.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["cluster/dev-test", "cluster/small"]);
    assert!(ClusterPurpose::FastProd.scales_router() && !ClusterPurpose::DevTest.scales_router());
}

#[test]
fn r_cfg_4_a_size_that_the_caller_adds_is_counted() {
    let input = json(r#"{"agent_count": 3, "vm_size": "Rack"}"#);
    let unknown = ProvisionSpec::check(&input, &VmSizes::default());
    assert_eq!((unknown.value().is_some(), unknown.report().len()), (true, 1));
    let known = ProvisionSpec::check(&input, &VmSizes::empty().with(VmSize::new("rack", 3, 1024)));
    assert_eq!(
        known.report().errors().map(|finding| finding.code.as_str()).collect::<Vec<_>>(),
        ["cluster/too-few-cores"]
    );
}

#[test]
fn r_cfg_5_tls_network_and_load_balancer() {
    let cases = [
        (r#"{"enable_ssl": {"leaf_domain_label": "models", "overwrite_existing_domain": true}}"#, vec![]),
        (r#"{"enable_ssl": {"overwrite_existing_domain": true}}"#, vec![]),
        (r#"{"enable_ssl": {"ssl_cname": "a"}}"#, vec!["cluster/tls-incomplete"]),
        (
            r#"{"enable_ssl": {"ssl_cname": "a", "ssl_cert_pem_file": "b", "ssl_key_pem_file": "c", "overwrite_existing_domain": true}}"#,
            vec!["cluster/tls-overwrite"],
        ),
        (r#"{"enable_ssl": {"ssl_cname": "a", "leaf_domain_label": "b"}}"#, vec!["cluster/tls-conflict"]),
        (r#"{"load_balancer_type": "InternalLoadBalancer", "load_balancer_subnet": "s"}"#, vec![]),
        (r#"{"load_balancer_subnet": "s"}"#, vec!["cluster/subnet-without-internal"]),
        (
            r#"{"load_balancer_type": "PublicIp", "load_balancer_subnet": "s"}"#,
            vec!["cluster/subnet-without-internal"],
        ),
        (r#"{"load_balancer_type": "publicip"}"#, vec!["config/unknown-value"]),
        (
            r#"{"load_balancer_type": "InternalLoadBalancer", "enable_ssl": {"leaf_domain_label": "b"}}"#,
            vec!["cluster/tls-internal"],
        ),
        (r#"{"enable_ssl": true}"#, vec!["config/wrong-type"]),
        (r#"{"enable_ssl": {"cname": "a"}}"#, vec!["config/unknown-argument"]),
    ];
    for (input, expected) in cases {
        assert_eq!(refusals(Call::Provision, input, "null"), expected, "{input}");
        let attached = format!("{{\"resource_group\": \"rg\", \"cluster_name\": \"cl\", {}", &input[1..]);
        assert_eq!(refusals(Call::Attach, &attached, "null"), expected, "{attached}");
    }
    let network = r#"{"vnet_resourcegroup_name": "g", "vnet_name": "n", "subnet_name": "s", "service_cidr": "10.0.0.0/16",
        "dns_service_ip": "10.0.0.10", "docker_bridge_cidr": "172.17.0.1/16"}"#;
    let checked = ProvisionSpec::check(&json(network), &VmSizes::default());
    assert!(checked.report().is_empty() && checked.value().unwrap().network.is_some());
    let internal = json(r#"{"load_balancer_type": "InternalLoadBalancer"}"#);
    let spec = ProvisionSpec::check(&internal, &VmSizes::default()).into_result().unwrap();
    assert_eq!(spec.load_balancer, LoadBalancer::Internal { subnet: "aks-subnet".into() });
}

#[test]
fn r_cfg_5_an_attachment_names_its_cluster_once_and_wholly() {
    let id = "/subscriptions/s/resourcegroups/rg/providers/Microsoft.ContainerService/managedClusters/c";
    let cases = [
        (r#"{"resource_group": "rg", "cluster_name": "c"}"#.to_owned(), vec![]),
        (format!(r#"{{"resource_id": "{id}"}}"#), vec![]),
        (format!(r#"{{"resource_id": "{id}", "cluster_name": "c"}}"#), vec!["cluster/named-twice"]),
        ("{}".to_owned(), vec!["cluster/unnamed"]),
        (r#"{"cluster_name": "c"}"#.to_owned(), vec!["cluster/unnamed"]),
        (r#"{"cluster_name": 3}"#.to_owned(), vec!["config/wrong-type"]),
        (format!(r#"{{"resource_id": "{id}/x"}}"#), vec!["cluster/resource-id"]),
        (
            format!(r#"{{"resource_id": "{}"}}"#, id.replace("Microsoft", "microsoft")),
            vec!["cluster/resource-id"],
        ),
        (format!(r#"{{"resource_id": "{}"}}"#, id.replace("resourcegroups", "RESOURCEGROUPS")), vec![]),
        (
            format!(r#"{{"resource_id": "{}"}}"#, id.replace("managedClusters", "virtualMachines")),
            vec!["cluster/resource-id"],
        ),
        (format!(r#"{{"resource_id": "{}"}}"#, id.replace("/rg/", "//")), vec!["cluster/resource-id"]),
    ];
    for (input, expected) in cases {
        assert_eq!(refusals(Call::Attach, &input, "null"), expected, "{input}");
    }
}

#[test]
fn r_cfg_6_an_attachment_is_detached_before_anything_of_it_changes() {
    let attach = |text: &str| AttachSpec::check(&json(text)).into_result().unwrap();
    let old = attach(r#"{"resource_group": "rg", "cluster_name": "c"}"#);
    let new = attach(
        r#"{"resource_group": "rg", "cluster_name": "c", "enable_ssl": {"leaf_domain_label": "models"}}"#,
    );
    assert_eq!(diff(&old, &old).unwrap().class(), ChangeClass::NoOp);
    let refused = diff(&old, &new).unwrap_err();
    assert!(refused.iter().next().unwrap().remedy.starts_with("detach the cluster"));
}

#[test]
fn r_cfg_7_the_node_count_changes_and_the_size_does_not() {
    let provision =
        |text: &str| ProvisionSpec::check(&json(text), &VmSizes::default()).into_result().unwrap();
    let old = provision("{}");
    assert_eq!(diff(&old, &provision(r#"{"agent_count": 5}"#)).unwrap().class(), ChangeClass::Live);
    let refused = diff(&old, &provision(r#"{"vm_size": "Standard_D4_v2"}"#)).unwrap_err();
    assert_eq!(refused.iter().next().unwrap().code.as_str(), "cluster/vm-size-immutable");
    assert_eq!(
        diff(&old, &provision(r#"{"vm_size": "STANDARD_d3_v2"}"#)).unwrap().class(),
        ChangeClass::NoOp
    );
}

#[test]
fn r_cfg_8_defaults() {
    let spec = service("{}");
    assert_eq!(spec, ServiceSpec::default());
    assert_eq!(
        spec.replicas,
        Replicas::Auto(AutoscaleSpec::new(1, 10).unwrap().with_target_percent(70).unwrap())
    );
    assert_eq!((spec.resources.cpu, spec.resources.memory.0, spec.resources.gpu), (Millicores(100), 512, 0));
    let probe = ProbeSpec::default();
    let seconds = [probe.period, probe.initial_delay, probe.timeout].map(|time| time.as_secs());
    assert_eq!((seconds, probe.success_threshold.get(), probe.failure_threshold.get()), ([10, 310, 2], 1, 3));
    assert_eq!(
        (spec.scoring_timeout, MAX_SCORING_TIMEOUT),
        (Duration::from_secs(60), Duration::from_secs(300))
    );
    assert_eq!((spec.max_concurrent.get(), spec.auth, spec.blobfuse), (1, AuthMode::Keys, true));
}

#[test]
fn r_cfg_8_every_number_has_its_bounds_in_every_call() {
    let positive = [
        "scoring_timeout_ms",
        "replica_max_concurrent_requests",
        "max_request_wait_time",
        "num_replicas",
        "period_seconds",
        "initial_delay_seconds",
        "timeout_seconds",
        "success_threshold",
        "failure_threshold",
        "cpu_cores",
        "cpu_cores_limit",
        "memory_gb",
        "memory_gb_limit",
    ];
    for field in positive {
        for (value, expected) in [
            ("0", vec!["config/not-positive"]),
            ("-1", vec!["config/not-positive"]),
            ("\"1\"", vec!["config/wrong-type"]),
        ] {
            let input = format!(r#"{{"{field}": {value}}}"#);
            assert_eq!(refusals(Call::DeployService, &input, "null"), expected, "{input}");
            let update = format!(r#"{{"{field}": {value}, "description": "x"}}"#);
            assert_eq!(refusals(Call::UpdateService, &update, "{}"), expected, "{update}");
            let version = format!(r#"{{"{field}": {value}, "version_name": "blue"}}"#);
            assert_eq!(refusals(Call::CreateVersion, &version, "null"), expected, "{version}");
        }
    }
    assert_eq!(refusals(Call::DeployService, r#"{"gpu_cores": 0}"#, "null"), [""; 0]);
    assert_eq!(refusals(Call::DeployService, r#"{"gpu_cores": -1}"#, "null"), ["config/negative"]);
    assert_eq!(refusals(Call::DeployService, r#"{"num_replicas": true}"#, "null"), ["config/wrong-type"]);
    assert_eq!(
        refusals(Call::DeployService, r#"{"num_replicas": 2.0, "scoring_timeout_ms": 3e5}"#, "null"),
        [""; 0]
    );
}

#[test]
fn r_cfg_8_automatic_scaling_and_fixed_numbers() {
    let cases = [
        (r#"{"autoscale_enabled": true, "num_replicas": 0}"#, vec!["config/not-positive"]),
        (r#"{"autoscale_enabled": true, "autoscale_min_replicas": 3, "autoscale_max_replicas": 3}"#, vec![]),
        (r#"{"autoscale_enabled": true, "autoscale_max_replicas": 0}"#, vec!["config/not-positive"]),
        (r#"{"autoscale_enabled": false, "num_replicas": 0}"#, vec!["config/not-positive"]),
        (r#"{"autoscale_enabled": false, "num_replicas": 2}"#, vec![]),
        (r#"{"num_replicas": 2, "autoscale_min_replicas": 0}"#, vec![]),
        (r#"{"autoscale_target_utilization": 50}"#, vec!["config/autoscale-off"]),
        (r#"{"autoscale_enabled": null, "autoscale_refresh_seconds": -1}"#, vec!["config/autoscale-off"]),
        (r#"{"autoscale_enabled": true, "autoscale_target_utilization": 100}"#, vec![]),
        (r#"{"autoscale_enabled": true, "autoscale_target_utilization": 101}"#, vec!["config/too-large"]),
        (r#"{"autoscale_enabled": true, "autoscale_min_replicas": 10}"#, vec![]),
        (r#"{"autoscale_enabled": true, "autoscale_min_replicas": 11}"#, vec!["config/min-above-max"]),
    ];
    for (input, expected) in cases {
        assert_eq!(refusals(Call::DeployService, input, "null"), expected, "{input}");
    }
}

#[test]
fn r_cfg_8_updates_count_what_is_truthy_and_look_at_what_stands() {
    let cases = [
        ("{}", "{}", vec!["config/nothing-to-update"]),
        (r#"{"cpu_cores": 0, "namespace": ""}"#, "{}", vec!["config/nothing-to-update"]),
        (r#"{"tags": {}}"#, "{}", vec![]),
        (r#"{"collect_model_data": false}"#, "{}", vec![]),
        (r#"{"models": []}"#, "{}", vec![]),
        (r#"{"cpu_cores_limit": 0}"#, "{}", vec!["config/not-positive"]),
        (r#"{"primary_key": "new"}"#, "{}", vec!["config/nothing-to-update"]),
        (
            r#"{"cpu_cores": 3}"#,
            r#"{"cpu_cores": 1, "cpu_cores_limit": 2}"#,
            vec!["config/cpu-limit-below-request"],
        ),
        (
            r#"{"cpu_cores": 3, "cpu_cores_limit": 4}"#,
            r#"{"cpu_cores": 1, "cpu_cores_limit": 2}"#,
            vec!["config/cpu-limit-below-request"],
        ),
        (
            r#"{"cpu_cores": 1, "cpu_cores_limit": 1}"#,
            r#"{"cpu_cores": 2}"#,
            vec!["config/cpu-limit-below-request"],
        ),
        (r#"{"memory_gb_limit": 0.5}"#, r#"{"memory_gb": 1}"#, vec!["config/memory-limit-below-request"]),
        (r#"{"memory_gb_limit": 1}"#, r#"{"memory_gb": 1}"#, vec![]),
        (r#"{"autoscale_max_replicas": 5}"#, r#"{"autoscale_enabled": true}"#, vec!["config/autoscale-off"]),
        (
            r#"{"autoscale_enabled": true, "autoscale_min_replicas": 6}"#,
            r#"{"autoscale_enabled": true, "autoscale_max_replicas": 5}"#,
            vec!["config/min-above-max"],
        ),
        (r#"{"autoscale_enabled": false}"#, r#"{"num_replicas": 3}"#, vec!["config/replicas-missing"]),
        (r#"{"num_replicas": 3}"#, r#"{"autoscale_enabled": true}"#, vec![]),
        (r#"{"token_auth_enabled": true}"#, r#"{"auth_enabled": true}"#, vec!["config/auth-switch"]),
        (r#"{"auth_enabled": true}"#, r#"{"token_auth_enabled": true}"#, vec!["config/auth-switch"]),
        (r#"{"auth_enabled": true, "token_auth_enabled": false}"#, r#"{"token_auth_enabled": true}"#, vec![]),
        (r#"{"auth_enabled": true, "token_auth_enabled": true}"#, "{}", vec!["config/auth-conflict"]),
        (r#"{"properties": {"a": "1", "b": "2"}}"#, r#"{"properties": {"a": "1"}}"#, vec![]),
        (r#"{"models": ["a:1", "b:1"]}"#, "{}", vec!["config/models-without-inference"]),
        (r#"{"models": ["a:1", "b:1"], "inference_config": {}}"#, "{}", vec![]),
        (r#"{"models": [{"model_framework": "Custom"}]}"#, "{}", vec!["config/models-without-inference"]),
        (r#"{"models": [{"model_framework": "Onnx"}]}"#, "{}", vec![]),
    ];
    for (input, current, expected) in cases {
        assert_eq!(refusals(Call::UpdateService, input, current), expected, "{input} over {current}");
    }
}

#[test]
fn r_cfg_8_an_update_is_laid_over_what_stands() {
    let current =
        service(r#"{"cpu_cores": 2, "num_replicas": 3, "tags": {"a": "b"}, "properties": {"p": "1"}}"#);
    let input = json(
        r#"{"autoscale_enabled": true, "autoscale_max_replicas": 4, "properties": {"q": "2"}, "scoring_timeout_ms": 9,
        "auth_enabled": false, "token_auth_enabled": true}"#,
    );
    let update = ServiceUpdate::check(&input, Some(&current)).into_result().unwrap();
    let new = update.apply(&current);
    assert_eq!(new.replicas, Replicas::Auto(AutoscaleSpec::new(1, 4).unwrap()));
    assert_eq!(
        (new.resources.cpu, new.auth, new.scoring_timeout.as_millis()),
        (Millicores(2000), AuthMode::Token, 9)
    );
    assert_eq!((new.tags.len(), new.properties.len()), (1, 2));
}

#[test]
fn r_cfg_8_an_accelerator_that_the_size_lacks_is_refused() {
    let sizes = VmSizes::default();
    let mut spec = service(r#"{"gpu_cores": 2}"#);
    let size = |name| sizes.get(name).unwrap();
    assert!(spec.check_accelerators(size("Standard_D3_v2")).has_errors());
    assert!(!spec.check_accelerators(size("Standard_NC12")).has_errors());
    spec.resources.accelerators.insert("xilinx.com/fpga".into(), 1);
    assert_eq!(spec.check_accelerators(size("Standard_NC12")).len(), 1);
    let with_card = VmSize::new("Card", 4, 4096).with_gpus(2).with_accelerator("xilinx.com/fpga", 1);
    assert!(spec.check_accelerators(&with_card).is_empty());
    assert_eq!(Amounts::from(&spec.resources).gpu, 2);
}

#[test]
fn r_cfg_8_every_field_has_a_name_in_the_sdk_and_a_meaning() {
    for &field in Field::ALL {
        assert!(
            field.name(Spelling::Sdk).is_some_and(|name| !name.is_empty()) && !field.meaning().is_empty()
        );
    }
    let file = Field::ALL.iter().filter(|field| field.name(Spelling::File).is_some()).count();
    assert_eq!(file, 30, "fields of the file, ours included");
}

#[test]
fn r_cfg_8_accelerators_are_named_in_the_file_and_nowhere_in_the_sdk() {
    let file = r#"{"computeType": "aks", "containerResourceRequirements": {"accelerators": {"xilinx.com/fpga": 1}}}"#;
    let checked = DeploymentConfig::from_json(file);
    assert!(checked.report().is_empty());
    let spec = checked.into_result().unwrap().into_spec();
    assert!(!spec.check_accelerators(VmSizes::default().get("Standard_NP10s").unwrap()).has_errors());
    assert!(spec.check_accelerators(VmSizes::default().get("Standard_D3_v2").unwrap()).has_errors());
    assert_eq!(
        refusals(Call::DeployService, r#"{"accelerators": {"a/b": 1}}"#, "null"),
        ["config/unknown-argument"]
    );
    let negative =
        r#"{"computeType": "aks", "containerResourceRequirements": {"accelerators": {"a/b": -1}}}"#;
    let report = DeploymentConfig::from_json(negative).into_result().unwrap_err();
    assert_eq!(report.iter().next().unwrap().pointer, "/containerResourceRequirements/accelerators/a~1b");
}

#[test]
fn r_cfg_9_a_thousand_models_and_no_more() {
    let models = |count: usize| {
        format!(r#"{{"version_name": "blue", "models": [{}]}}"#, vec!["\"m:1\""; count].join(","))
    };
    assert_eq!(refusals(Call::CreateVersion, &models(1000), "null"), [""; 0]);
    assert_eq!(refusals(Call::CreateVersion, &models(1001), "null"), ["config/too-many-models"]);
}

#[test]
fn r_cfg_10_versions_are_checked_when_they_are_created_and_when_they_are_updated() {
    let six = r#"{"versions": {"v-1": {"traffic_percentile": 50}, "v-2": {"traffic_percentile": 30.5}, "v-3": {}, "v-4": {}, "v-5": {}, "v-6": {}}}"#;
    let two = r#"{"name": "churn", "versions": [{"version_name": "v-1", "traffic_percentile": 50}, {"version_name": "v-2", "traffic_percentile": 30.5, "cpu_cores": 2}]}"#;
    let cases = [
        (Call::CreateVersion, r#"{"version_name": "v-7"}"#, six, vec!["config/too-many-versions"]),
        (Call::CreateVersion, r#"{"version_name": "v-2"}"#, six, vec!["config/duplicate-version"]),
        (Call::CreateVersion, r#"{"version_name": "v-3", "traffic_percentile": 19.5}"#, two, vec![]),
        (
            Call::CreateVersion,
            r#"{"version_name": "v-3", "traffic_percentile": 19.51}"#,
            two,
            vec!["config/shares-above-whole"],
        ),
        (Call::CreateVersion, r#"{"traffic_percentile": 1}"#, two, vec!["config/missing"]),
        (
            Call::CreateVersion,
            r#"{"version_name": "v-3", "namespace": "x"}"#,
            two,
            vec!["config/unknown-argument"],
        ),
        (
            Call::CreateVersion,
            r#"{"version_name": "v-3", "inference_config": {"entry_script": "score.py"}}"#,
            two,
            vec!["config/missing"],
        ),
        (Call::UpdateVersion, r#"{"version_name": "v-2", "traffic_percentile": 50}"#, two, vec![]),
        (
            Call::UpdateVersion,
            r#"{"version_name": "v-2", "traffic_percentile": 50.01}"#,
            two,
            vec!["config/shares-above-whole"],
        ),
        (
            Call::UpdateVersion,
            r#"{"version_name": "v-9", "traffic_percentile": 1}"#,
            two,
            vec!["config/unknown-version"],
        ),
        (
            Call::UpdateVersion,
            r#"{"version_name": "v-2", "traffic_percentile": 150}"#,
            two,
            vec!["config/share-out-of-range"],
        ),
        (
            Call::UpdateVersion,
            r#"{"version_name": "v-2", "cpu_cores": -1}"#,
            two,
            vec!["config/not-positive"],
        ),
        (
            Call::UpdateVersion,
            r#"{"version_name": "v-2", "cpu_cores": 1, "cpu_cores_limit": 1}"#,
            two,
            vec![],
        ),
        (
            Call::UpdateVersion,
            r#"{"version_name": "v-2", "cpu_cores_limit": 1}"#,
            two,
            vec!["config/cpu-limit-below-request"],
        ),
        (
            Call::UpdateVersion,
            r#"{"version_name": "v-2", "autoscale_enabled": true, "autoscale_min_replicas": 5, "autoscale_max_replicas": 4}"#,
            two,
            vec!["config/min-above-max"],
        ),
        (Call::UpdateVersion, r#"{"version_name": "v-2"}"#, two, vec!["config/nothing-to-update"]),
        (Call::UpdateVersion, r#"{"version_name": "v-2", "is_default": false}"#, two, vec![]),
        (Call::DeployEndpoint, r#"{"version_name": "v-2", "traffic_percentile": 100}"#, "null", vec![]),
        (
            Call::DeployEndpoint,
            r#"{"version_name": "V2", "traffic_percentile": -1}"#,
            "null",
            vec!["config/share-out-of-range", "config/name-invalid"],
        ),
        (Call::DeployEndpoint, r#"{"blobfuse_enabled": true}"#, "null", vec!["config/unknown-argument"]),
        (Call::UpdateEndpoint, r#"{"auth_enabled": false}"#, "null", vec![]),
        (Call::UpdateEndpoint, r#"{"cpu_cores": 1, "tags": {}}"#, "null", vec!["config/unknown-argument"]),
    ];
    for (call, input, current, expected) in cases {
        assert_eq!(refusals(call, input, current), expected, "{call:?} {input}");
    }
}

#[test]
fn r_cfg_12_a_change_is_told_apart_by_its_cost() {
    let old = service(r#"{"cpu_cores": 1, "properties": {"a": "1"}}"#);
    let change = |edit: fn(&mut ServiceSpec)| {
        let mut new = old.clone();
        edit(&mut new);
        diff(&old, &new).map(|diff| (diff.class(), diff.changes().len()))
    };
    assert_eq!(change(|_| ()).unwrap(), (ChangeClass::NoOp, 0));
    assert_eq!(change(|spec| spec.auth = AuthMode::Off).unwrap(), (ChangeClass::Live, 1));
    assert_eq!(change(|spec| spec.resources.gpu = 1).unwrap(), (ChangeClass::Rolling, 1));
    assert_eq!(change(|spec| spec.namespace = "other".parse().ok()).unwrap(), (ChangeClass::Replacement, 1));
    assert_eq!(
        change(|spec| _ = spec.properties.insert("b".into(), "2".into())).unwrap(),
        (ChangeClass::Live, 1)
    );
    let refused = change(|spec| spec.properties.clear()).unwrap_err();
    assert_eq!(refused.iter().next().unwrap().code.as_str(), "config/property-immutable");
}

#[test]
fn r_cfg_15_names_come_before_what_is_behind_them_in_the_order_of_need() {
    let plain = Connectivity::new("prod", "westeurope", "reg", "acct");
    let list = plain.requirements();
    for (index, each) in list.iter().enumerate() {
        if let Step::Connect { host, .. } = &each.step {
            let resolved = list[..index].iter().any(|earlier| {
                earlier.origin == each.origin && earlier.step == Step::Resolve { host: host.clone() }
            });
            assert!(resolved, "{each}");
        }
        assert!(each.automatic, "the cluster's creation makes it right: {each}");
    }
    let phases: Vec<_> = list.iter().map(|each| each.phase).collect();
    assert!(phases.is_sorted());
    for phase in [
        Phase::ClusterCreation,
        Phase::RouterStart,
        Phase::RouterAtWork,
        Phase::ModelDeployed,
        Phase::ModelRouted,
    ] {
        assert!(phases.contains(&phase), "{phase:?}");
    }
    let reaches = |list: &[portway_deploy_config::Requirement], host: &str| {
        list.iter().filter(|each| each.to_string().contains(host)).count()
    };
    assert_eq!((reaches(&list, "api.azureml.ms"), reaches(&list, "acct.table.core.windows.net")), (0, 2));

    let with_dns = Connectivity {
        auth: AuthMode::Token,
        network: ClusterNetwork::ExistingWithOwnDns,
        tls: TlsSpec::LeafLabel { label: "models".into(), overwrite: false },
        model_storage: Some("data".into()),
        model_calls: vec![("db.example".into(), 5432)],
        ..plain
    };
    let list = with_dns.requirements();
    assert!(list.iter().all(|each| !each.automatic));
    assert_eq!(
        (
            reaches(&list, "api.azureml.ms"),
            reaches(&list, "data.blob.core.windows.net"),
            reaches(&list, "db.example:5432")
        ),
        (2, 2, 1)
    );
    assert_eq!(
        with_dns.scoring_name(),
        Some(("models<generated>.westeurope.cloudapp.azure.com".into(), 443))
    );
}
