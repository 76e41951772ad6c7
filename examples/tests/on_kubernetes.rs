//! The examples on a real API server: with `PORTWAY_CLUSTER_IMAGE` on its real nodes, else on a fake one.

#[allow(dead_code, reason = "the quickstart uses the rest")]
#[path = "../quickstart/client.rs"]
mod client;
#[allow(dead_code, reason = "the quickstart uses the rest")]
#[path = "../quickstart/iris.rs"]
mod iris;
#[path = "../../crates/k8s-backend/tests/support/kubelet.rs"]
mod kubelet;
#[path = "on_kubernetes/projects.rs"]
mod projects;
#[path = "../../crates/k8s-backend/tests/support/site.rs"]
mod site;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use client::{Client, Target};
use iris::flowers;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ListParams;
use kube::{Api, Resource};
use portway_auth::KeySlot;
use portway_backend::Environment;
use portway_backend::memory::MemoryArtifacts;
use portway_deploy_config::{EndpointSpec, ServiceName, Share, VersionSpec};
use portway_deployer::{Deployer, GivenImage, Source, Tags, VersionChange, scoring_path};
use portway_k8s_backend::K8sBackend;
use serde::de::DeserializeOwned;
use site::{Site, on_a_cluster, say_once};
use tokio::task::spawn_blocking;

/// Cargo puts the examples beside the tests that it builds.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let folder: PathBuf = test.ancestors().nth(2).expect("it lies in target/debug/deps").join("examples");
    let mut command = Command::new(folder.join(name));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn on_kubernetes(site: &Site) -> Command {
    let mut command = example("on_kubernetes");
    let image = &site.image;
    command.args(["--namespace", &site.namespace, "--stable", image, "--canary", image]);
    let options = site.options();
    for (key, value) in &options.node_selector {
        command.arg("--node-selector").arg(format!("{key}={value}"));
    }
    for toleration in &options.tolerations {
        command.args(["--toleration", &toleration.key]);
    }
    command
}

/// Runs to the end while the fake kubelet works.
async fn ended(mut command: Command) -> Output {
    let run = spawn_blocking(move || command.output());
    run.await.expect("it does not panic").expect("the example is built with this test")
}

fn says(output: &Output, lines: &[&str]) {
    let (said, moaned) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for line in lines {
        assert!(said.contains(line) || moaned.contains(line), "{line:?} is not in {said}\n{moaned}");
    }
}

async fn nothing_is_left(site: &Site) {
    let mut left = names::<Deployment>(site).await;
    left.extend(names::<Service>(site).await);
    left.extend(names::<Secret>(site).await);
    left.extend(names::<ServiceAccount>(site).await);
    left.extend(names::<ConfigMap>(site).await);
    left.extend(names::<Role>(site).await);
    left.extend(names::<RoleBinding>(site).await);
    assert_eq!(left, [""; 0]);
    // A pod that was told to go may have its grace period to the end.
    assert_eq!(names::<Pod>(site).await, [""; 0]);
}

fn ours() -> ListParams {
    ListParams::default().labels("app.kubernetes.io/managed-by=portway")
}

/// The names of our objects of a kind that are there and are not on their way out.
async fn names<K>(site: &Site) -> Vec<String>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let list =
        Api::<K>::namespaced(site.client.clone(), &site.namespace).list(&ours()).await.expect("a list");
    let staying = list.items.iter().filter(|object| object.meta().deletion_timestamp.is_none());
    staying.filter_map(|object| object.meta().name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r_run_2_two_versions_on_a_cluster_and_nothing_is_left() {
    on_a_cluster(async |site| {
        let mut command = on_kubernetes(site);
        command.arg("--once");
        let output = ended(command).await;
        says(&output, &["pack skipped: the image is given", "image skipped: the image is given"]);
        says(&output, ALL_HELD);
        assert!(output.status.success());
        nothing_is_left(site).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_takes_everything_away() {
    on_a_cluster(async |site| {
        let mut child = Ended(on_kubernetes(site).spawn().expect("the example is built with this test"));
        let mut lines = BufReader::new(child.0.stdout.take().expect("it is piped")).lines();
        let (ready, rest) = spawn_blocking(move || {
            let ready = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("Ctrl-C drains"));
            (ready, lines)
        })
        .await
        .expect("it does not panic");
        assert!(ready, "it ended by itself: {}", child.moaned());
        child.signal("INT");
        let (status, said) = spawn_blocking(move || {
            let said: Vec<String> = rest.map_while(Result::ok).collect();
            (child.0.wait(), said)
        })
        .await
        .expect("it does not panic");
        assert!(status.expect("it ends").success(), "{said:?}");
        nothing_is_left(site).await;
    })
    .await;
}

/// On a fake node the gateway's pods are no gateway, so that the first check fails; all is applied and taken away.
#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_8_a_gateway_in_the_cluster_is_applied_and_taken_away() {
    on_a_cluster(async |site| {
        if site.kubelet.is_none() {
            return;
        }
        let mut command = on_kubernetes(site);
        command.args(["--once", "--inside", &site.image]);
        let output = ended(command).await;
        says(&output, &["a pod of the cluster", "applied demonstration/canary", "stable: 200 from None"]);
        nothing_is_left(site).await;
    })
    .await;
}

/// The gateway's image, where there are real nodes to run it.
fn gateway_image(site: &Site) -> Option<String> {
    if !site.real_node("a gateway in the cluster that routes") {
        return None;
    }
    let image = std::env::var("PORTWAY_CLUSTER_GATEWAY_IMAGE").ok();
    assert!(
        image.is_some() || std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_none(),
        "PORTWAY_CLUSTER_GATEWAY_IMAGE is required: `.ci/image push REGISTRY` prints it"
    );
    if image.is_none() {
        say_once(
            "skipped: PORTWAY_CLUSTER_GATEWAY_IMAGE names no image of the gateway; `.ci/image push` makes one",
        );
    }
    image
}

/// The whole script through a gateway that runs under the generated role, from the image of the `Containerfile`.
#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_8_a_gateway_in_the_cluster_routes_under_its_role() {
    on_a_cluster(async |site| {
        let Some(image) = gateway_image(site) else { return };
        let mut command = on_kubernetes(site);
        command.args(["--once", "--inside", &image]);
        let output = ended(command).await;
        says(&output, &["a pod of the cluster"]);
        says(&output, ALL_HELD);
        assert!(output.status.success());
        nothing_is_left(site).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_9_the_doctor_finds_nothing_where_all_of_it_runs() {
    on_a_cluster(async |site| {
        let Some(gateway) = gateway_image(site) else { return };
        let mut command = example("k8s_doctor");
        command.args(["--namespace", &site.namespace, "--image", &site.image, "--gateway-image", &gateway]);
        let output = ended(command).await;
        says(&output, &["seen from here"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    })
    .await;
}

/// The gateway is a program of its own that knows a file and the cluster; the deployer is this test.
#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_4_a_gateway_elsewhere_follows_what_a_deployer_writes() {
    on_a_cluster(async |site| {
        let backend = K8sBackend::from_client(site.client.clone(), site.options()).await.expect("a backend");
        let backend = Arc::new(backend);
        let images = GivenImage(Environment::Image { reference: site.image.clone() });
        let artifacts = Arc::new(MemoryArtifacts::new());
        let deployer = Deployer::new(backend.clone(), backend.clone(), artifacts, Arc::new(images));
        let service: ServiceName = "followed".parse().expect("a good name");
        let version = |name: &str| VersionSpec::new(name.parse().expect("a good name"));
        let first = EndpointSpec::new(service.clone(), version("first"));
        let deployed = deployer.deploy(first, Source::given(&site.image)).await.expect("it is accepted");
        deployed.wait().await.expect("it is deployed");

        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let namespace = &site.namespace;
        let head = "listen = \"127.0.0.1:0\"\naccess_log = false";
        write!(file, "{head}\n[kubernetes]\nnamespace = \"{namespace}\"\n").expect("it is written");
        let log = tempfile::NamedTempFile::new().expect("a file");
        let mut command = example("gateway");
        command.arg("--config").arg(file.path()).env("NO_COLOR", "1");
        command.stdout(Stdio::null()).stderr(log.reopen().expect("it is there"));
        let gateway = Ended(command.spawn().expect("the example is built with this test"));

        let keys = deployer.keys(&service).await.expect("it has keys");
        let key = keys.key(KeySlot::Primary).expose().to_owned();
        let address = until_serving(log.path()).await;
        let target = Target { address, path: scoring_path(&service), key };
        until_answered_by(&target, "first", log.path()).await;

        let second =
            deployer.create_version(&service, version("second"), Tags::default(), Source::given(&site.image));
        second.await.expect("it is accepted").wait().await.expect("it is deployed");
        let mut change = VersionChange::default();
        change.share = Share::percent(100);
        let changed =
            deployer.update_version(&service, &"second".parse().expect("a good name"), change).await;
        changed.expect("it is accepted").wait().await.expect("it is routed");
        until_answered_by(&target, "second", log.path()).await;

        gateway.signal("TERM");
        deployer.delete(&service).await.expect("it is accepted").wait().await.expect("it is deleted");
    })
    .await;
}

/// The address that a gateway's log names when it serves.
async fn until_serving(log: &Path) -> SocketAddr {
    let reading = async {
        loop {
            let text = said(log);
            let serving = text.lines().find_map(|line| line.split_once(" serving listen="));
            if let Some((_, rest)) = serving {
                let address = rest.split(' ').next().expect("a split has a first part");
                return address.parse().expect("it is an address");
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(LOST, reading).await.unwrap_or_else(|_| panic!("it never served: {}", said(log)))
}

/// Asks until this version answers.
async fn until_answered_by(target: &Target, version: &str, log: &Path) {
    let mut last = String::new();
    let asking = async {
        loop {
            last = match Client::new(target.clone()).score(flowers()[0].body(), None).await {
                Ok(answer) if answer.status == 200 && answer.version.as_deref() == Some(version) => return,
                Ok(answer) => format!("{} from {:?}", answer.status, answer.version),
                Err(error) => format!("{error:#}"),
            };
            tokio::time::sleep(POLL).await;
        }
    };
    let answered = tokio::time::timeout(LOST, asking).await;
    answered.unwrap_or_else(|_| panic!("{version} never answered, but {last}; the gateway: {}", said(log)));
}

fn said(log: &Path) -> String {
    std::fs::read_to_string(log).expect("it is there")
}

/// What a script of checks says when it is through.
const ALL_HELD: &[&str] = &[
    "✓ both versions answer",
    "✓ the split of 100 requests is exact",
    "✓ a pod was killed and none of",
    "all of it held",
];
const POLL: Duration = Duration::from_millis(20);
/// Only ends a run that is lost.
const LOST: Duration = Duration::from_secs(120);

/// A program that ends with its test at the latest.
struct Ended(Child);

impl Ended {
    /// `kill` is built into every shell; a program of that name is not everywhere.
    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.0.id());
        let status = Command::new("sh").args(["-c", &command]).status().expect("there is a shell");
        assert!(status.success(), "{command}");
    }

    fn moaned(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
