//! What the gateway's manifests hold is what the gateway reads.
#![cfg(all(feature = "gateway", feature = "kubernetes"))]

use portway_gateway::config::{GatewayConfig, Source};
use portway_k8s_backend::manifest::Gateway;
use portway_k8s_backend::{Options, Server};
use serde_json::Value;

#[test]
fn r_k8s_8_the_gateway_accepts_the_file_in_its_config_map() {
    let mut options = Options::new();
    options.namespace = "models".to_owned();
    options.owner = "team-a".to_owned();
    let list = Gateway::new("gateway:1").to_json(&options, &Server::current()).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let of =
        |kind: &str| list["items"].as_array().unwrap().iter().find(|object| object["kind"] == kind).unwrap();
    let text = of("ConfigMap")["data"]["gateway.toml"].as_str().unwrap();

    let config = GatewayConfig::from_toml(text).unwrap();
    let Source::Kubernetes(source) = &config.source else { panic!("{text}") };
    assert_eq!((source.namespace.as_str(), source.owner.as_str()), ("models", "team-a"));
    let ports = of("Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"].clone();
    assert_eq!(ports[0]["containerPort"], config.listen.port());
    assert_eq!(ports[1]["containerPort"], config.admin.unwrap().port());
}
