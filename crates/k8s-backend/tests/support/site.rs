//! A namespace of a test's own on the cluster that `KUBECONFIG` names.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Once;
use std::time::Duration;

use futures_util::FutureExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};
use portway_k8s_backend::Options;

use crate::kubelet::{Kubelet, Room};

/// Where a test of a real cluster works.
pub(crate) struct Site {
    /// A client with the rights of the `KUBECONFIG`.
    pub(crate) client: Client,
    /// The test's own namespace.
    pub(crate) namespace: String,
    /// An image that serves on `$PORT`.
    pub(crate) image: String,
    /// Runs the pods; none where `PORTWAY_CLUSTER_IMAGE` says that the cluster has real nodes.
    pub(crate) kubelet: Option<Kubelet>,
}

impl Site {
    /// Options for this namespace, with replicas on the fake node if there is one.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::new();
        options.namespace.clone_from(&self.namespace);
        if let Some(kubelet) = &self.kubelet {
            kubelet.place(&mut options);
        } else {
            // A real replica really waits for as long before it ends.
            options.drain_notice = Duration::from_secs(1);
        }
        options
    }

    /// The fake node's kubelet; where there are real nodes, says in one line that `what` is skipped.
    pub(crate) fn fake_node(&self, what: &str) -> Option<&Kubelet> {
        if self.kubelet.is_none() {
            say(&format!("skipped: {what}: PORTWAY_CLUSTER_IMAGE is set, and this needs a fake node"));
        }
        self.kubelet.as_ref()
    }

    /// Whether there are real nodes; where there is a fake one, says in one line that `what` is skipped.
    pub(crate) fn real_node(&self, what: &str) -> bool {
        if self.kubelet.is_some() {
            say(&format!(
                "skipped: {what}: this needs a real node and PORTWAY_CLUSTER_IMAGE; see `.ci/cluster node`"
            ));
        }
        self.kubelet.is_none()
    }
}

/// Runs `test` in a new namespace and takes the namespace away whatever comes of it.
///
/// Without `KUBECONFIG` it says in one line that it skips; under `PORTWAY_REQUIRE_SERVICES=1` that is a failure.
pub(crate) async fn on_a_cluster(test: impl AsyncFnOnce(&Site)) {
    with_room(&Room::default(), test).await;
}

/// The same for what needs no pods: there is no kubelet, and the end of the namespace is not waited for.
pub(crate) async fn without_pods(test: impl AsyncFnOnce(&Site)) {
    let Some((client, namespace)) = new_namespace().await else { return };
    let site = Site { client, namespace, image: never_pulled(), kubelet: None };
    let outcome = AssertUnwindSafe(test(&site)).catch_unwind().await;
    let namespaces: Api<Namespace> = Api::all(site.client.clone());
    let _ = namespaces.delete(&site.namespace, &DeleteParams::default()).await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// The same with a node of that size where the node is a fake one.
pub(crate) async fn with_room(room: &Room, test: impl AsyncFnOnce(&Site)) {
    let Some(site) = open(room).await else { return };
    let outcome = AssertUnwindSafe(test(&site)).catch_unwind().await;
    close(site).await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

async fn open(room: &Room) -> Option<Site> {
    let (client, namespace) = new_namespace().await?;
    let given = std::env::var("PORTWAY_CLUSTER_IMAGE").ok();
    let kubelet = match given {
        Some(_) => None,
        None => Some(Kubelet::start(&client, &[&namespace], room).await),
    };
    let image = given.unwrap_or_else(never_pulled);
    Some(Site { client, namespace, image, kubelet })
}

/// A fake kubelet looks for no image.
fn never_pulled() -> String {
    format!("example.invalid/scoring@sha256:{}", "0".repeat(64))
}

async fn new_namespace() -> Option<(Client, String)> {
    if std::env::var_os("KUBECONFIG").is_none_or(|value| value.is_empty()) {
        assert!(
            std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_none(),
            "KUBECONFIG names no cluster, and one is required: `.ci/cluster build`, then `.ci/cluster start`"
        );
        say_once(
            "skipped: KUBECONFIG names no cluster; name one, or use `.ci/cluster build` and `.ci/cluster start`",
        );
        return None;
    }
    let client = Client::try_default().await.expect("KUBECONFIG can be read");
    let metadata = ObjectMeta { generate_name: Some("portway-test-".to_owned()), ..ObjectMeta::default() };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let new = Namespace { metadata, ..Namespace::default() };
    let made = namespaces.create(&PostParams::default(), &new).await.expect("a namespace can be made");
    Some((client, made.name_any()))
}

/// For what concerns all tests alike.
pub(crate) fn say_once(line: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| say(line));
}

/// Past the test harness, which keeps what a test that passes prints to itself.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The namespace's controller ends what is in it; a fake kubelet goes last, since it is what lets pods go. Real nodes do
/// that by themselves, in their own time.
async fn close(site: Site) {
    let namespaces: Api<Namespace> = Api::all(site.client.clone());
    if let Some(kubelet) = &site.kubelet {
        kubelet.hold_terminating(false);
    }
    let _ = namespaces.delete(&site.namespace, &DeleteParams::default()).await;
    let Some(kubelet) = site.kubelet else { return };
    let gone =
        kube::runtime::wait::await_condition(namespaces, &site.namespace, |found: Option<&Namespace>| {
            found.is_none()
        });
    let gone = tokio::time::timeout(END_OF_NAMESPACE, gone).await;
    kubelet.stop().await;
    assert!(gone.is_ok(), "the namespace {} does not end", site.namespace);
}

/// More than a namespace ever took to end.
const END_OF_NAMESPACE: Duration = Duration::from_secs(300);
