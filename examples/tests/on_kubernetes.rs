//! The example on a real API server: with `PORTWAY_CLUSTER_IMAGE` on its real nodes, else on a fake one.

#[path = "../../crates/k8s-backend/tests/support/kubelet.rs"]
mod kubelet;
#[path = "../../crates/k8s-backend/tests/support/site.rs"]
mod site;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use kube::api::ListParams;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use site::{Site, on_a_cluster};

/// Cargo puts the examples beside the tests that it builds.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.ancestors().nth(2).expect("it lies in target/debug/deps").join("examples/on_kubernetes")
}

fn arguments(site: &Site) -> Vec<String> {
    let mut arguments = vec!["--once".to_owned()];
    let mut add = |flag: &str, value: &str| arguments.extend([flag.to_owned(), value.to_owned()]);
    add("--namespace", &site.namespace);
    add("--stable", &site.image);
    add("--canary", &site.image);
    let options = site.options();
    for (key, value) in &options.node_selector {
        add("--node-selector", &format!("{key}={value}"));
    }
    for toleration in &options.tolerations {
        add("--toleration", &toleration.key);
    }
    arguments
}

/// The names of our objects of a kind that are there.
async fn left<K>(site: &Site) -> Vec<String>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=portway");
    let list = Api::<K>::namespaced(site.client.clone(), &site.namespace).list(&ours).await.expect("a list");
    list.items.iter().filter_map(|object| object.meta().name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r_run_2_two_versions_on_a_cluster_and_nothing_is_left() {
    on_a_cluster(async |site| {
        let mut command = Command::new(example());
        command.args(arguments(site)).stdin(Stdio::null());
        // The fake kubelet works meanwhile.
        let run = tokio::task::spawn_blocking(move || command.output());
        let output = run.await.expect("it does not panic").expect("the example is built with this test");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        for line in [
            "pack skipped: the image is given",
            "image skipped: the image is given",
            "✓ both versions answer",
            "✓ the split of 100 requests is exact",
            "✓ a pod was killed and none of",
        ] {
            assert!(said.contains(line), "{line:?} is not in {said}");
        }
        assert_eq!(left::<Deployment>(site).await, [""; 0]);
        assert_eq!(left::<Service>(site).await, [""; 0]);
        assert_eq!(left::<Secret>(site).await, [""; 0]);
        assert_eq!(left::<ServiceAccount>(site).await, [""; 0]);
        assert_eq!(left::<ConfigMap>(site).await, [""; 0]);
        assert_eq!(left::<Pod>(site).await, [""; 0]);
    })
    .await;
}
