//! Replicas as a real API server tells of them.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, LogParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::kubelet::FAKE_NODE;
use crate::site::{Site, on_a_cluster};

fn pod(site: &Site, name: &str) -> Pod {
    let mut spec = json!({"containers": [{"name": "replica", "image": site.image}]});
    if let Some(kubelet) = &site.kubelet {
        spec["nodeSelector"] = json!({FAKE_NODE: kubelet.node()});
        spec["tolerations"] = json!([{"key": FAKE_NODE, "operator": "Exists"}]);
    }
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a pod as it should be")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_on_the_fake_node_really_serves_and_goes_when_told() {
    on_a_cluster(async |site| {
        if site.kubelet.is_none() {
            return;
        }
        let pods: Api<Pod> = Api::namespaced(site.client.clone(), &site.namespace);
        pods.create(&PostParams::default(), &pod(site, "one")).await.unwrap();
        let running =
            await_condition(pods.clone(), "one", conditions::is_pod_running()).await.unwrap().unwrap();
        let address = running.status.unwrap().pod_ip.unwrap();
        let mut stream = TcpStream::connect((address.as_str(), 8080)).await.unwrap();
        let request = "POST /score HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("x-replica: one") && answer.ends_with("\r\n\r\nhi"), "{answer}");

        let wanted = LogParams { tail_lines: Some(1), ..LogParams::default() };
        assert_eq!(pods.logs("one", &wanted).await.unwrap(), "POST /score\n", "its log is served");

        pods.delete("one", &DeleteParams::default()).await.unwrap();
        await_condition(pods, "one", |found: Option<&Pod>| found.is_none()).await.unwrap();
        assert!(
            TcpStream::connect((address.as_str(), 8080)).await.is_err(),
            "nobody serves for a pod that is gone"
        );
    })
    .await;
}
