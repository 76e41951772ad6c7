//! Apply and remove while things go wrong and on servers of all ages, against the API server double.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod double;

use std::time::Duration;

use double::{ApiServer, Fault, On, Profile, Verb};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PropagationPolicy};
use portway_backend::{
    Backend as _, BackendError, Environment, ErrorKind, Fence, Fleet as _, Program, Status, Workload,
    WorkloadId,
};
use portway_k8s_backend::rbac::{Features, Role};
use portway_k8s_backend::{K8sBackend, Options};
use serde_json::{Value, json};

const PLURALS: [&str; 5] = ["deployments", "secrets", "serviceaccounts", "services", "poddisruptionbudgets"];

async fn backend(server: &ApiServer) -> K8sBackend {
    K8sBackend::from_client(server.client("default"), Options::new()).await.unwrap()
}

fn iris() -> Workload {
    let image = Environment::Image { reference: "example.invalid/iris:1".into() };
    let id = WorkloadId::new("iris".parse().unwrap(), "first".parse().unwrap());
    let mut iris = Workload::new(id, Program::entry_point(), image);
    iris.initial_replicas = 3;
    iris
}

fn says(error: &BackendError, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
}

/// How many objects of each kind there are.
fn standing(server: &ApiServer) -> [usize; 5] {
    PLURALS.map(|plural| server.objects(plural, "default").len())
}

fn deployment(server: &ApiServer) -> Value {
    server.objects("deployments", "default").remove(0)
}

async fn change(server: &ApiServer, params: &PatchParams, patch: Value) {
    let name = deployment(server)["metadata"]["name"].as_str().unwrap().to_owned();
    let deployments = Api::<Deployment>::default_namespaced(server.bystander("default"));
    let patch = if params.force { Patch::Apply(patch) } else { Patch::Strategic(patch) };
    deployments.patch(&name, params, &patch).await.unwrap();
}

fn image(name: &str) -> Value {
    let containers = json!([{"name": "replica", "image": name}]);
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": containers}}}})
}

/// Whatever request fails, done or not: the error says what stands, nothing runs half-made, and the next apply ends with
/// what an undisturbed one makes.
#[tokio::test(start_paused = true)]
async fn r_k8s_1_an_apply_that_fails_anywhere_is_finished_by_the_next_one() {
    for (fault, profile) in [
        (Fault::unavailable(), Profile::new()),
        (Fault::AnswerLost, Profile::new()),
        (Fault::AnswerLost, Profile::old()),
    ] {
        let mut failures = 0;
        for spared in 0.. {
            let server = ApiServer::with_controllers(profile.clone());
            let backend = backend(&server).await;
            server.fail(On::anything().after(spared), fault.clone());
            let first = backend.apply(&iris()).await;
            server.lift_faults();
            if first.is_err() {
                failures += 1;
                let runs = !server.objects("pods", "default").is_empty();
                let is_whole = standing(&server)[1..4] == [1; 3];
                assert!(!runs || is_whole, "after {spared} requests: {first:?}");
                backend.apply(&iris()).await.unwrap();
            }
            let made = deployment(&server);
            assert_eq!(made["spec"]["replicas"], 3, "after {spared} requests");
            assert_eq!(made["spec"]["paused"], Value::Null, "after {spared} requests");
            assert_eq!(server.objects("pods", "default").len(), 3, "after {spared} requests");
            assert_eq!(backend.drift_corrected(), 0, "after {spared} requests");
            let asked = server.counts().total();
            if first.is_ok() && spared > asked {
                break;
            }
        }
        assert!(failures > 12, "{failures}");
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_a_remove_that_fails_anywhere_is_finished_by_the_next_one() {
    for spared in 0..12 {
        let server = ApiServer::with_controllers(Profile::new());
        let backend = backend(&server).await;
        backend.apply(&iris()).await.unwrap();
        server.fail(On::anything().after(spared), Fault::unavailable());
        let first = backend.remove(&iris().id).await;
        server.lift_faults();
        match first {
            Err(error) if standing(&server) != [1; 5] => {
                says(&error, ErrorKind::Unavailable, &["there remain", "remove it again"]);
                backend.remove(&iris().id).await.unwrap();
            }
            Err(_) => backend.remove(&iris().id).await.unwrap(),
            Ok(()) => {}
        }
        assert_eq!(standing(&server), [0; 5], "after {spared} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_what_the_cluster_refuses_is_a_finding_with_a_remedy() {
    let webhook = |server: &ApiServer| server.deny("services", Some("no services here"));
    let quota = |server: &ApiServer| server.set_quota("services", Some(0));
    let right = |server: &ApiServer| server.forbid(Verb::Patch, "services");
    let cases = [
        (&webhook as &dyn Fn(&ApiServer), ErrorKind::Invalid, "the admission webhook"),
        (&quota, ErrorKind::Capacity, "the quota"),
        (&right, ErrorKind::Invalid, "has no right to patch services"),
    ];
    for (refuse, kind, words) in cases {
        let server = ApiServer::with_controllers(Profile::new());
        let backend = backend(&server).await;
        refuse(&server);
        let error = backend.apply(&iris()).await.unwrap_err();
        says(
            &error,
            kind,
            &[words, "the Service iris-first-", "paused, so nothing runs; apply again to finish"],
        );
        assert_eq!(server.objects("pods", "default").len(), 0);
        // What was begun can also be removed.
        backend.remove(&iris().id).await.unwrap();
        assert_eq!(standing(&server), [0; 5]);
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_an_update_that_stops_half_way_says_what_is_done() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    let mut workload = iris();
    backend.apply(&workload).await.unwrap();
    workload.variables.insert("A".into(), "1".into());
    server.fail(On::next(Verb::Patch, "deployments"), Fault::unavailable());
    let error = backend.apply(&workload).await.unwrap_err();
    let done = "applied already: Secret, ServiceAccount, Service, PodDisruptionBudget; its replicas still run what they ran";
    says(&error, ErrorKind::Unavailable, &[done, "apply again to finish"]);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_conflicts_and_drift_are_told_apart_on_old_and_new_servers() {
    for profile in [Profile::old(), Profile::new()] {
        let server = ApiServer::with_controllers(profile);
        let backend = backend(&server).await;
        backend.apply(&iris()).await.unwrap();
        let edit = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
        change(&server, &edit, image("example.invalid/edited:1")).await;
        backend.apply(&iris()).await.unwrap();
        assert_eq!(backend.drift_corrected(), 1);

        change(&server, &PatchParams::apply("argocd").force(), image("example.invalid/theirs:1")).await;
        says(&backend.apply(&iris()).await.unwrap_err(), ErrorKind::Conflict, &["\"argocd\" owns", ".image"]);
        let found = &deployment(&server)["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(found, "example.invalid/theirs:1");
        assert_eq!(backend.drift_corrected(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_of_two_owners_each_sees_its_own_replicas_alone() {
    let server = ApiServer::with_controllers(Profile::new());
    let mut options = Options::new();
    options.owner = "blue".into();
    let blue = K8sBackend::from_client(server.client("default"), options).await.unwrap();
    let green = backend(&server).await;
    let (mut theirs, mut ours) =
        (blue.watch(&iris().id).await.unwrap(), green.watch(&iris().id).await.unwrap());
    blue.apply(&iris()).await.unwrap();
    theirs.wait_for(|status| status.ready() == 3).await.unwrap();
    says(
        &green.apply(&iris()).await.unwrap_err(),
        ErrorKind::Conflict,
        &["belongs to the deployer \"blue\""],
    );
    says(&green.logs(&iris().id, 1).await.unwrap_err(), ErrorKind::NotFound, &["there is no workload"]);
    // Of a workload of its own, which it is told of later than of all that came before.
    let mut other = iris();
    other.id = WorkloadId::new("tulip".parse().unwrap(), "first".parse().unwrap());
    green.apply(&other).await.unwrap();
    green.watch(&other.id).await.unwrap().wait_for(|status| status.ready() == 3).await.unwrap();
    assert_eq!(**ours.borrow_and_update(), Status::absent());

    blue.remove(&iris().id).await.unwrap();
    green.apply(&iris()).await.unwrap();
    ours.wait_for(|status| status.ready() == 3).await.unwrap();
    theirs.wait_for(|status| **status == Status::absent()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_drift_that_the_watch_shows_is_put_back_and_a_deleted_deployment_is_not() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    let mut status = backend.watch(&iris().id).await.unwrap();
    backend.apply(&iris()).await.unwrap();
    // Neither scaling nor the controllers' own work is drift.
    backend.scale(&iris().id, 2, &[], Fence::new(1)).await.unwrap();
    status.wait_for(|status| status.ready() == 2 && status.replicas.len() == 2).await.unwrap();
    server.reset_counts();
    change(&server, &PatchParams::default(), image("example.invalid/edited:1")).await;
    let is_back = |server: &ApiServer| {
        deployment(server)["spec"]["template"]["spec"]["containers"][0]["image"] == "example.invalid/iris:1"
    };
    server.until(is_back).await;
    assert_eq!(server.counts().of(Verb::Patch, "deployments"), 2, "refused once, then forced");

    let deployments = Api::<Deployment>::default_namespaced(server.bystander("default"));
    let name = deployment(&server)["metadata"]["name"].as_str().unwrap().to_owned();
    deployments.delete(&name, &Default::default()).await.unwrap();
    status.wait_for(|status| status.wanted == 0 && status.replicas.is_empty()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(standing(&server)[0], 0);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_a_deployer_that_died_is_followed_after_its_time_and_a_living_one_is_not() {
    let server = ApiServer::with_controllers(Profile::new());
    let (first, second) = (backend(&server).await, backend(&server).await);
    first.apply(&iris()).await.unwrap();
    let begun = tokio::time::Instant::now();
    for _ in 0..4 {
        says(&second.apply(&iris()).await.unwrap_err(), ErrorKind::Conflict, &["another deployer is called"]);
    }
    assert_eq!(begun.elapsed().as_secs(), 15, "the first order waits, the others know");
    drop(first);
    // A new start after a crash.
    let third = backend(&server).await;
    third.apply(&iris()).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_an_apply_asks_for_each_object_once_and_lists_nothing() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    backend.apply(&iris()).await.unwrap();
    server.reset_counts();
    backend.apply(&iris()).await.unwrap();
    let each = |verb: &str| PLURALS.map(|plural| format!("{verb} {plural}: 1"));
    let counts = server.counts().to_string();
    for expected in each("get").iter().chain(&each("patch")) {
        assert!(counts.contains(expected), "{expected} is not in: {counts}");
    }
    assert_eq!(server.counts().total(), 10, "{counts}");
}

#[tokio::test(start_paused = true)]
async fn r_k8s_6_a_deployer_and_a_gateway_need_no_more_than_their_roles() {
    for (profile, deletion_cost) in [(Profile::old(), false), (Profile::new(), true)] {
        let server = ApiServer::with_controllers(profile);
        let grant = |roles: &[Role]| {
            let mut features = Features::new();
            features.deletion_cost = deletion_cost;
            let list = |role: &Role| {
                serde_json::from_str::<Value>(&role.to_json(&Options::new(), features).unwrap()).unwrap()
            };
            let items = roles.iter().flat_map(|role| list(role)["items"].as_array().unwrap().clone());
            server.grant_only(items.filter(|item| item["kind"] == "Role").collect());
        };
        grant(&[Role::Deployer]);
        let deployer = backend(&server).await;
        deployer.apply(&iris()).await.unwrap();
        let mut status = deployer.watch(&iris().id).await.unwrap();
        status.wait_for(|status| status.ready() == 3).await.unwrap();

        grant(&[Role::Gateway]);
        let gateway = backend(&server).await;
        let replicas = gateway.watch(&iris().id).await.unwrap().borrow().replicas.clone();
        gateway.scale(&iris().id, 2, &[replicas[0].id.clone()], Fence::new(1)).await.unwrap();
        deployer.shut_down().await.unwrap();
        says(&gateway.apply(&iris()).await.unwrap_err(), ErrorKind::Invalid, &["has no right to"]);
        gateway.shut_down().await.unwrap();

        grant(&[Role::Deployer]);
        deployer.remove(&iris().id).await.unwrap();
        assert_eq!(standing(&server), [0; 5]);
    }
}

const EDITED: &str = "example.invalid/edited:1";

fn runs(server: &ApiServer) -> String {
    let deployment = deployment(server);
    deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

fn renewals() -> On {
    On::next(Verb::Update, "leases").always()
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_a_deployer_that_cannot_renew_its_lease_is_none_once_it_has_run_out() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    backend.apply(&iris()).await.unwrap();
    server.fail(On::next(Verb::Get, "leases").always(), Fault::unavailable());
    tokio::time::sleep(Duration::from_secs(16)).await;
    says(&backend.apply(&iris()).await.unwrap_err(), ErrorKind::Unavailable, &["lease"]);
    server.lift_faults();
    backend.apply(&iris()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_a_deposed_deployer_does_not_put_back_what_its_successor_applies() {
    let server = ApiServer::with_controllers(Profile::new());
    let (deposed, successor) = (backend(&server).await, backend(&server).await);
    let mut status = deposed.watch(&iris().id).await.unwrap();
    deposed.apply(&iris()).await.unwrap();
    server.fail(renewals(), Fault::unavailable());
    tokio::time::sleep(Duration::from_secs(16)).await;
    server.lift_faults();
    let mut theirs = iris();
    theirs.environment = Environment::Image { reference: EDITED.into() };
    successor.apply(&theirs).await.unwrap();
    status.wait_for(|status| status.replicas.len() == 3 && status.ready() == 3).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((runs(&server).as_str(), deposed.drift_corrected()), (EDITED, 0));
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_a_deployer_that_shuts_down_while_it_puts_back_leaves_off() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    let _status = backend.watch(&iris().id).await.unwrap();
    backend.apply(&iris()).await.unwrap();
    let gate = server.hold(On::next(Verb::Patch, "secrets"));
    change(&server, &PatchParams::default(), image("example.invalid/first:1")).await;
    gate.arrived(1).await;
    backend.shut_down().await.unwrap();
    drop(gate);
    tokio::time::sleep(Duration::from_secs(5)).await;
    change(&server, &PatchParams::default(), image(EDITED)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(runs(&server), EDITED);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_what_could_not_be_put_back_is_tried_again() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    let _status = backend.watch(&iris().id).await.unwrap();
    backend.apply(&iris()).await.unwrap();
    server.fail(On::next(Verb::Get, "deployments").times(2), Fault::unavailable());
    change(&server, &PatchParams::default(), image(EDITED)).await;
    let is_back = server.until(|server| runs(server) == "example.invalid/iris:1");
    tokio::time::timeout(Duration::from_secs(60), is_back).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_replicas_that_a_deleted_deployment_left_behind_are_not_called_removed() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    backend.apply(&iris()).await.unwrap();
    let name = deployment(&server)["metadata"]["name"].as_str().unwrap().to_owned();
    let orphan =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    let client = server.bystander("default");
    Api::<Deployment>::default_namespaced(client.clone()).delete(&name, &orphan).await.unwrap();
    server.until(|server| standing(server)[0] == 0).await;
    let remedy = format!(
        "kubectl delete replicaset,pod --namespace default --selector portway.dev/workload={name},portway.dev/owner=portway"
    );
    says(&backend.remove(&iris().id).await.unwrap_err(), ErrorKind::Conflict, &["3 replicas", &remedy]);
    assert_eq!(standing(&server), [0; 5], "the rest is gone");
    let selected = ListParams::default().labels(&format!("portway.dev/workload={name}"));
    let sets = Api::<ReplicaSet>::default_namespaced(client);
    for set in sets.list(&selected).await.unwrap() {
        sets.delete(&set.name_any(), &DeleteParams::foreground()).await.unwrap();
    }
    server.until(|server| server.objects("pods", "default").is_empty()).await;
    backend.remove(&iris().id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r_k8s_1_the_end_of_an_earlier_workload_is_waited_for_through_failures_and_the_drain_notice() {
    let server = ApiServer::with_controllers(Profile::new());
    let mut options = Options::new();
    options.drain_notice = Duration::from_secs(100);
    let backend = K8sBackend::from_client(server.client("default"), options).await.unwrap();
    let held = |by: Option<&str>| json!({"metadata": {"finalizers": by.map(|by| [by])}});
    let hold = async || change(&server, &PatchParams::default(), held(Some("example.com/a-test"))).await;
    let iris = iris();
    backend.apply(&iris).await.unwrap();
    hold().await;
    backend.remove(&iris.id).await.unwrap();
    server.fail(On::next(Verb::List, "deployments").times(3), Fault::unavailable());
    let end = async {
        tokio::time::sleep(iris.termination_grace + Duration::from_secs(110)).await;
        change(&server, &PatchParams::default(), held(None)).await;
    };
    let (applied, ()) = tokio::join!(backend.apply(&iris), end);
    applied.unwrap();

    hold().await;
    backend.remove(&iris.id).await.unwrap();
    server.fail(On::next(Verb::List, "deployments").always(), Fault::unavailable());
    let error = backend.apply(&iris).await.unwrap_err();
    says(&error, ErrorKind::Unavailable, &["is still going away", "cannot watch the Deployment iris-first-"]);
}
