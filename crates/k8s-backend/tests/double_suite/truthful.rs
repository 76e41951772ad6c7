//! The double and a real server are asked the same.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, Config};
use serde_json::json;

use crate::double::{ApiServer, Profile};
use crate::truth;

#[tokio::test]
async fn the_double_does_as_api_servers_do() {
    for profile in [Profile::old(), Profile::new()] {
        let server = ApiServer::new(profile);
        truth::of_servers(&truth::Place::new(server.bystander("default"), "default").await).await;
    }
}

#[tokio::test]
async fn the_double_does_as_controllers_do() {
    for profile in [Profile::old(), Profile::new()] {
        let server = ApiServer::with_controllers(profile);
        truth::of_controllers(&truth::Place::new(server.bystander("default"), "default").await).await;
    }
}

#[tokio::test]
async fn a_real_server_does_as_expected() {
    if std::env::var_os("KUBECONFIG").is_none_or(|value| value.is_empty()) {
        assert!(std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_none(), "KUBECONFIG must name a cluster");
        println!("skipped: KUBECONFIG names no cluster");
        return;
    }
    let client = Client::try_from(Config::infer().await.unwrap()).unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let name = format!("portway-truth-{}", std::process::id());
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let place = truth::Place::new(client, &name).await;
    let outcome = tokio::spawn(async move {
        truth::of_servers(&place).await;
        truth::of_controllers(&place).await;
    })
    .await;
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    outcome.unwrap();
}
