//! Files come back as they were read, and settings as they were given.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use portway_deploy_config::{
    AttachSpec, AuthMode, AutoscaleSpec, ChosenKeys, ClusterPurpose, ClusterRef, ComputeType,
    DeploymentConfig, Json, LoadBalancer, MemoryMib, Millicores, NetworkSpec, ProbeSpec, ProvisionSpec,
    Replicas, Resources, Secret, ServiceSpec, Share, Spelling, TlsSpec, VmSizes,
};
use proptest::prelude::*;

#[test]
fn r_cfg_8_a_file_comes_back_with_everything_that_stood_in_it() {
    let text = r#"{"computeType": "AKS", "mine": {"b": [1.0, 1e2, 0.10], "a": null}, "autoScaler": {"autoscaleEnabled": false, "x": 1},
        "numReplicas": 3.0, "scoringTimeoutMs": null}"#;
    let checked = DeploymentConfig::from_json(text);
    let unknown: Vec<_> = checked.report().iter().map(|finding| finding.pointer.as_str()).collect();
    assert_eq!(unknown, ["/mine", "/autoScaler/x"]);
    let config = checked.into_result().unwrap();
    let again = Json::parse(&config.to_json()).unwrap();
    assert_eq!(again, Json::parse(text).unwrap());
    assert_eq!(again.to_string(), Json::parse(text).unwrap().to_string());
}

#[test]
fn a_wire_name_in_the_file_is_told_its_name_there() {
    let text = r#"{"computeType": "aks", "aadAuthEnabled": true, "cpu_cores": 2}"#;
    let remedies: Vec<_> =
        DeploymentConfig::from_json(text).report().iter().map(|finding| finding.remedy.to_string()).collect();
    assert_eq!(
        remedies,
        [r#"did you mean "tokenAuthEnabled"?"#, r#"did you mean "containerResourceRequirements.cpu"?"#]
    );
}

#[test]
fn keys_show_in_no_debug_output() {
    let text = r#"{"computeType": "aks", "keys": {"primaryKey": "sesame"}}"#;
    let config = DeploymentConfig::from_json(text).into_result().unwrap();
    assert!(!format!("{config:?}").contains("sesame"));
    assert_eq!(config.spec().keys.as_ref().unwrap().primary.expose(), "sesame");
}

fn text() -> impl Strategy<Value = String> {
    "[ -~äß]{1,12}"
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map("[a-z]{1,6}", text(), 0..3)
}

prop_compose! {
    fn resources()(cpu in 1u32..100_000, more in proptest::option::of(0u32..1000), memory in 1u32..1_000_000, larger in proptest::option::of(0u32..1000), gpu in 0u32..9, cards in 0u32..2) -> Resources {
        Resources {
            cpu: Millicores(cpu),
            cpu_limit: more.map(|more| Millicores(cpu + more)),
            memory: MemoryMib(memory),
            memory_limit: larger.map(|more| MemoryMib(memory + more)),
            gpu,
            accelerators: (0..cards).map(|card| (format!("vendor/card-{card}"), card + 1)).collect(),
        }
    }
}

fn replicas() -> impl Strategy<Value = Replicas> {
    let auto = (1u32..100, 0u32..100, 1u8..=100, 1u64..1000).prop_map(|(min, more, target, refresh)| {
        let spec = AutoscaleSpec::new(min, min + more).unwrap().with_target_percent(target).unwrap();
        Replicas::Auto(spec.with_refresh(Duration::from_secs(refresh)).unwrap())
    });
    prop_oneof![
        auto,
        (1u32..100).prop_map(|count| Replicas::Fixed(count.try_into().unwrap())),
        Just(Replicas::default())
    ]
}

prop_compose! {
    fn probe()(period in 1u64..100, delay in 1u64..1000, timeout in 1u64..100, failures in 1u32..9) -> ProbeSpec {
        ProbeSpec {
            period: Duration::from_secs(period),
            initial_delay: Duration::from_secs(delay),
            timeout: Duration::from_secs(timeout),
            failure_threshold: failures.try_into().unwrap(),
            ..ProbeSpec::default()
        }
    }
}

prop_compose! {
    fn service()(
        resources in resources(),
        replicas in replicas(),
        probe in probe(),
        auth in prop_oneof![Just(AuthMode::Keys), Just(AuthMode::Token), Just(AuthMode::Off)],
        keys in proptest::option::of((text(), proptest::option::of(text()))),
        (tags, properties) in (labels(), labels()),
        (description, namespace) in (proptest::option::of(text()), proptest::option::of("[a-z]{1,63}")),
        points in 0u16..=10_000,
        (scoring, wait, concurrent) in (1u64..=300_000, proptest::option::of(1u64..100_000), 1u32..64),
        flags: (bool, bool, bool),
    ) -> ServiceSpec {
        ServiceSpec {
            namespace: namespace.map(|name| name.parse().unwrap()),
            description,
            tags,
            properties,
            auth,
            keys: keys.map(|(primary, secondary)| ChosenKeys { primary: Secret::new(primary), secondary: secondary.map(Secret::new) }),
            version: "versiona".parse().ok(),
            share: Share::from_basis_points(points).unwrap(),
            replicas,
            resources,
            probe,
            max_concurrent: concurrent.try_into().unwrap(),
            scoring_timeout: Duration::from_millis(scoring),
            max_queue_wait: wait.map(Duration::from_millis),
            collect_model_data: flags.0,
            app_insights: flags.1,
            blobfuse: flags.2,
            compute: None,
        }
    }
}

fn tls() -> impl Strategy<Value = TlsSpec> {
    prop_oneof![
        Just(TlsSpec::Off),
        (text(), text(), text()).prop_map(|(cname, cert_file, key_file)| TlsSpec::Certificate {
            cname,
            cert_file,
            key_file
        }),
        (text(), any::<bool>()).prop_map(|(label, overwrite)| TlsSpec::LeafLabel { label, overwrite }),
    ]
}

prop_compose! {
    fn provision()(
        nodes in 3u32..100,
        large: bool,
        tests: bool,
        location in proptest::option::of(text()),
        network in proptest::option::of((text(), text(), text())),
        subnet in proptest::option::of(text()),
        tls in tls(),
    ) -> ProvisionSpec {
        // The platform makes no certificate for an internal load balancer.
        let tls = if subnet.is_some() && matches!(tls, TlsSpec::LeafLabel { .. }) { TlsSpec::Off } else { tls };
        ProvisionSpec {
            agent_count: nodes,
            vm_size: if large { "Standard_D14_v2" } else { ProvisionSpec::DEFAULT_VM_SIZE }.to_owned(),
            purpose: if tests { ClusterPurpose::DevTest } else { ClusterPurpose::FastProd },
            location,
            network: network.map(|(group, name, subnet)| NetworkSpec {
                group,
                name,
                subnet,
                service_cidr: "10.0.0.0/16".to_owned(),
                dns_service_ip: "10.0.0.10".to_owned(),
                docker_bridge_cidr: "172.17.0.1/16".to_owned(),
            }),
            tls,
            load_balancer: subnet.map_or(LoadBalancer::PublicIp, |subnet| LoadBalancer::Internal { subnet }),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn settings_come_back_in_every_spelling(spec in service()) {
        let mut service = ServiceSpec { version: None, share: Share::ZERO, ..spec.clone() };
        service.resources.accelerators.clear();
        let sdk = service.to_settings(Spelling::Sdk);
        prop_assert_eq!(ServiceSpec::check(&sdk, Spelling::Sdk).into_result().unwrap(), service.clone());
        let wire = spec.to_settings(Spelling::Wire);
        let read = ServiceSpec::check(&wire, Spelling::Wire).into_result().unwrap();
        prop_assert_eq!(read, ServiceSpec { version: None, ..spec });
    }

    #[test]
    fn r_cfg_5_clusters_come_back_as_their_arguments(spec in provision(), named: bool) {
        let read = ProvisionSpec::check(&spec.to_arguments(), &VmSizes::default());
        prop_assert_eq!(read.into_result().unwrap(), spec.clone());
        let cluster = if named {
            ClusterRef::Named { group: "rg".into(), name: "prod".into() }
        } else {
            let id = "/subscriptions/s/resourcegroups/rg/providers/Microsoft.ContainerService/managedClusters/prod";
            ClusterRef::Id(id.parse().unwrap())
        };
        let attach =
            AttachSpec { cluster, purpose: spec.purpose, tls: spec.tls, load_balancer: spec.load_balancer };
        prop_assert_eq!(AttachSpec::check(&attach.to_arguments()).into_result().unwrap(), attach);
    }

    #[test]
    fn r_cfg_8_files_come_back_loss_free(spec in service()) {
        // Labels and the like are given beside the file.
        let spec = ServiceSpec {
            description: None, tags: BTreeMap::new(), properties: BTreeMap::new(), blobfuse: true, ..spec
        };
        let file = DeploymentConfig::new(ComputeType::AksEndpoint, spec.clone());
        let read = DeploymentConfig::from_json(&file.to_json());
        prop_assert!(read.report().is_empty(), "{}", read.report());
        let read = read.into_result().unwrap();
        prop_assert_eq!(read.spec(), &spec);
        prop_assert_eq!(read.to_json(), file.to_json());
    }
}
