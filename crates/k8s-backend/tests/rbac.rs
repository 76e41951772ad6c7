//! The roles on servers of all ages, with and without KEDA: enough for all seams, and nothing in them that is not used.
//! `cluster/rbac.rs` holds the same of a real server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/both.rs"]
mod both;
mod double;

use std::time::Duration;

use both::Both;
use double::{ApiServer, Profile, Verb};
use futures_util::StreamExt as _;
use portway_backend::conformance::{self, Subject};
use portway_backend::{
    Backend as _, Catalog, Change, DocKey, DocKind, Document, Environment, Expected, Fleet, Program,
    Workload, WorkloadId,
};
use portway_k8s_backend::rbac::{Features, Role};
use portway_k8s_backend::{K8sBackend, Options};
use serde_json::Value;

#[tokio::test(start_paused = true)]
async fn r_k8s_6_the_gateways_role_is_enough_and_nothing_in_it_is_unused() {
    for profile in PROFILES.map(|profile| profile()) {
        let server = ApiServer::with_controllers(profile);
        let deployer = backend(server.bystander("default")).await;
        let gateway = backend(server.client("default")).await;
        let granted = grant(&server, Role::Gateway, &gateway);
        let both = Both { gateway: gateway.clone(), deployer: deployer.clone() };
        let subject = Subject { backend: &both, workload: &workload, patience: PATIENCE };
        conformance::backend(&subject).await;
        conformance::leases(&gateway).await;
        conformance::fences(&subject, &gateway).await;
        for kind in [DocKind::Endpoint, DocKind::Verifier] {
            changes_are_told(&gateway, kind, &deployer).await;
        }
        assert_eq!(unused(&server, granted), [""; 0], "{}", server.counts());
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_6_the_deployers_role_is_enough_and_nothing_in_it_is_unused() {
    for profile in PROFILES.map(|profile| profile()) {
        let server = ApiServer::with_controllers(profile);
        let gateway = backend(server.bystander("default")).await;
        let deployer = backend(server.client("default")).await;
        let granted = grant(&server, Role::Deployer, &deployer);
        let both = Both { gateway, deployer: deployer.clone() };
        conformance::backend(&Subject { backend: &both, workload: &workload, patience: PATIENCE }).await;
        for kind in DocKind::ALL {
            changes_are_told(&deployer, kind, &deployer).await;
        }
        let mut with_gpu = workload(WorkloadId::new("with-gpu".parse().unwrap(), "first".parse().unwrap()));
        with_gpu.resources.gpu = 1;
        deployer.apply(&with_gpu).await.unwrap();
        with_gpu.variables.insert("A".to_owned(), "1".to_owned());
        deployer.apply(&with_gpu).await.unwrap();
        // A deployer waits for what it has applied.
        let mut status = Fleet::watch(&deployer, &with_gpu.id).await.unwrap();
        status.wait_for(|status| status.ready() == 1).await.unwrap();
        let unused = unused(&server, granted);
        // A server without budgets is not asked for them.
        let can_be_asked = |right: &&String| !right.contains("poddisruptionbudgets");
        let has_budgets = deployer.server().has_disruption_budgets;
        let unused: Vec<_> = unused.iter().filter(|right| has_budgets || can_be_asked(right)).collect();
        assert!(unused.is_empty(), "{unused:?} in {}", server.counts());
        deployer.shut_down().await.unwrap();
    }
}

const PROFILES: [fn() -> Profile; 2] = [Profile::old, || Profile::new().with_keda()];
const PATIENCE: Duration = Duration::from_secs(60);

async fn backend(client: kube::Client) -> K8sBackend {
    K8sBackend::from_client(client, Options::new()).await.unwrap()
}

fn workload(id: WorkloadId) -> Workload {
    let image = Environment::Image { reference: "example.invalid/iris:1".to_owned() };
    Workload::new(id, Program::entry_point(), image)
}

/// Leaves the client under test just this role; returns what it grants, as `get pods`.
fn grant(server: &ApiServer, role: Role, backend: &K8sBackend) -> Vec<(Verb, String)> {
    let mut features = Features::new();
    features.accelerators = true;
    features.keda = backend.server().has_scaled_objects;
    features.deletion_cost = backend.server().has_deletion_cost;
    let list: Value = serde_json::from_str(&role.to_json(&Options::new(), features).unwrap()).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    let roles: Vec<_> =
        items.filter(|item| item["kind"] == "Role" || item["kind"] == "ClusterRole").cloned().collect();
    server.grant_only(roles.clone());
    let mut granted = Vec::new();
    for rule in roles.iter().flat_map(|role| role["rules"].as_array().unwrap()) {
        for verb in VERBS {
            if rule["verbs"].as_array().unwrap().iter().any(|granted| granted == verb.name()) {
                granted.push((verb, rule["resources"][0].as_str().unwrap().to_owned()));
            }
        }
    }
    granted
}

const VERBS: [Verb; 8] = [
    Verb::Get,
    Verb::List,
    Verb::Watch,
    Verb::Create,
    Verb::Update,
    Verb::Patch,
    Verb::Delete,
    Verb::DeleteCollection,
];

fn unused(server: &ApiServer, granted: Vec<(Verb, String)>) -> Vec<String> {
    let counts = server.counts();
    let is_used = |verb: Verb, resource: &str| {
        // An apply that finds nothing makes the object, and needs the right to.
        let is_applied = ["deployments", "secrets", "serviceaccounts", "services", "poddisruptionbudgets"]
            .contains(&resource);
        counts.of(verb, resource) > 0
            || verb == Verb::Create && is_applied && counts.of(Verb::Patch, resource) > 0
    };
    let unused = granted.into_iter().filter(|(verb, resource)| !is_used(*verb, resource));
    unused.map(|(verb, resource)| format!("{} {resource}", verb.name())).collect()
}

async fn changes_are_told(to: &K8sBackend, kind: DocKind, writer: &K8sBackend) {
    let mut changes = Catalog::watch(to, kind).await.unwrap();
    while !matches!(changes.next().await.unwrap(), Change::Synced) {}
    let (key, document) = (DocKey::new(kind, "iris").unwrap(), Document::from_json("1").unwrap());
    writer.put(&key, &document, Expected::Absent).await.unwrap();
    while !matches!(changes.next().await.unwrap(), Change::Put(put, _) if put == key) {}
    writer.put(&key, &document, Expected::Any).await.unwrap();
    assert!(writer.get(&key).await.unwrap().is_some());
    writer.delete(&key, Expected::Any).await.unwrap();
}
