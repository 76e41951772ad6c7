//! Scaling while things go wrong and on servers of all ages, against the API server double.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod double;

use double::{ApiServer, Fault, On, Profile, Verb};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use portway_backend::{
    BackendError, Environment, ErrorKind, Fence, Fleet as _, Lease, Leases as _, Program, ReplicaId,
    Workload, WorkloadId,
};
use portway_k8s_backend::manifest::{Manifests, Salt, Setting, Surge};
use portway_k8s_backend::{K8sBackend, Options, Server};
use serde_json::{Value, json};

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A Deployment of four, its pods, and who scales it.
struct Stage {
    server: ApiServer,
    gateway: K8sBackend,
    id: WorkloadId,
    deployment: String,
    pods: Vec<ReplicaId>,
}

impl Stage {
    async fn new(profile: Profile) -> Self {
        let server = ApiServer::new(profile);
        let id = WorkloadId::new("iris".parse().unwrap(), "first".parse().unwrap());
        let image = Environment::Image { reference: "example.invalid/iris:1".into() };
        let mut workload = Workload::new(id.clone(), Program::entry_point(), image);
        workload.initial_replicas = 4;
        let (options, current, salt) = (Options::new(), Server::current(), Salt::fixed("salt"));
        let setting = Setting { options: &options, server: &current, surge: Surge::Beside, salt: &salt };
        let list: Value =
            serde_json::from_str(&Manifests::of(&workload, setting).unwrap().to_json()).unwrap();
        let items = list["items"].as_array().unwrap();
        let deployment = items.iter().find(|item| item["kind"] == "Deployment").unwrap().clone();
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        let client = server.bystander("default");
        let deployments = Api::<Deployment>::default_namespaced(client.clone());
        deployments.create(&PostParams::default(), &deployment).await.unwrap();
        let pods = ["a", "b", "c", "d"].map(|name| format!("pod-{name}"));
        for name in &pods {
            create_pod(&client, name, &deployment.labels().clone()).await;
        }
        let gateway = K8sBackend::from_client(server.client("default"), options).await.unwrap();
        let pods = pods.map(ReplicaId::new).to_vec();
        Self { server, gateway, id, deployment: deployment.name_any(), pods }
    }

    async fn scale(&self, to: u32, drained: &[ReplicaId], fence: u64) -> Result<(), BackendError> {
        self.gateway.scale(&self.id, to, drained, Fence::new(fence)).await
    }

    fn replicas(&self) -> Value {
        self.server.object("deployments", "default", &self.deployment).unwrap()["spec"]["replicas"].clone()
    }

    /// The deletion costs of those pods that are there, by name.
    fn costs(&self) -> Vec<(String, Option<i32>)> {
        let pods = self.server.objects("pods", "default");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let cost =
            |pod: &Value| pod["metadata"]["annotations"][COST].as_str().map(|cost| cost.parse().unwrap());
        pods.iter().map(|pod| (text(&pod["metadata"]["name"]), cost(pod))).collect()
    }
}

async fn create_pod(client: &Client, name: &str, labels: &std::collections::BTreeMap<String, String>) {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "replica", "image": "example.invalid/iris:1"}]},
    }))
    .unwrap();
    Api::<Pod>::default_namespaced(client.clone()).create(&PostParams::default(), &pod).await.unwrap();
}

fn refused(outcome: Result<(), BackendError>, kind: ErrorKind, words: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{words:?} is not in: {error}");
}

#[tokio::test(start_paused = true)]
async fn r_k8s_3_drained_replicas_cost_least_and_later_ones_less_than_earlier_ones() {
    let stage = Stage::new(Profile::new()).await;
    stage.scale(3, &stage.pods[..1], 1).await.unwrap();
    stage.scale(2, &stage.pods[1..3], 1).await.unwrap();
    let costs: Vec<_> = stage.costs().into_iter().map(|(_, cost)| cost).collect();
    let [Some(first), Some(second), None, None] = costs[..] else { panic!("{costs:?}") };
    assert!(second < first && first < 0, "{costs:?}");
    assert_eq!(stage.replicas(), 2);
    assert_eq!(stage.server.counts().of(Verb::Delete, "pods"), 0);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_3_marks_of_a_scaling_that_came_to_nothing_are_taken_back() {
    let stage = Stage::new(Profile::new()).await;
    for spared in [0, 1] {
        // The number is not set, or not all replicas are marked.
        let on = [On::next(Verb::Update, "deployments/scale"), On::next(Verb::Patch, "pods").after(1)];
        stage.server.fail(on[spared].clone(), Fault::unavailable());
        stage.scale(2, &stage.pods[..2], 1).await.unwrap_err();
        assert!(stage.costs().iter().all(|(_, cost)| cost.is_none()), "{:?}", stage.costs());
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_3_marks_of_a_scaling_that_is_done_although_its_answer_was_lost_stay() {
    let stage = Stage::new(Profile::new()).await;
    stage.server.fail(On::next(Verb::Update, "deployments/scale"), Fault::AnswerLost);
    stage.scale(3, &stage.pods[..1], 1).await.unwrap_err();
    assert!(stage.costs()[0].1 < Some(0), "{:?}", stage.costs());
}

#[tokio::test(start_paused = true)]
async fn r_k8s_3_a_mark_that_could_not_be_taken_back_does_not_compete_with_the_next_ones() {
    let stage = Stage::new(Profile::new()).await;
    stage.server.fail(On::next(Verb::Update, "deployments/scale"), Fault::unavailable());
    stage.server.fail(On::next(Verb::Patch, "pods").after(1), Fault::unavailable());
    stage.scale(3, &stage.pods[..1], 1).await.unwrap_err();
    stage.scale(3, &stage.pods[1..2], 1).await.unwrap();
    let costs: Vec<_> = stage.costs().into_iter().map(|(_, cost)| cost).collect();
    let [Some(stale), Some(present), None, None] = costs[..] else { panic!("{costs:?}") };
    assert!(present < stale && stale < 0, "{costs:?}");
}

#[tokio::test(start_paused = true)]
async fn r_k8s_3_a_server_without_deletion_cost_deletes_as_many_drained_ones_as_are_to_go() {
    let stage = Stage::new(Profile::old()).await;
    stage.scale(3, &stage.pods[..2], 1).await.unwrap();
    let left: Vec<_> = stage.costs().into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["pod-b", "pod-c", "pod-d"]);
    assert_eq!(stage.replicas(), 3);
    // The deleted one is named again and does not count; where all go, none goes first.
    stage.scale(2, &stage.pods[..2], 1).await.unwrap();
    stage.scale(0, &stage.pods[2..], 1).await.unwrap();
    let left: Vec<_> = stage.costs().into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["pod-c", "pod-d"]);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_3_pods_of_others_are_never_marked_or_deleted() {
    for profile in [Profile::old(), Profile::new()] {
        let stage = Stage::new(profile).await;
        create_pod(&stage.server.bystander("default"), "stranger", &[("app".into(), "db".into())].into())
            .await;
        stage.scale(2, &[ReplicaId::new("stranger"), ReplicaId::new("gone")], 1).await.unwrap();
        assert!(stage.costs().contains(&("stranger".into(), None)));
        assert_eq!(stage.replicas(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_3_a_scale_costs_three_requests_and_never_a_list() {
    let stage = Stage::new(Profile::new().with_keda()).await;
    stage.scale(5, &[], 1).await.unwrap();
    stage.server.until_watched("horizontalpodautoscalers", 1).await;
    stage.server.until_watched("scaledobjects", 1).await;
    let first = stage.server.counts();
    assert_eq!(first.of(Verb::List, "horizontalpodautoscalers"), 1);
    assert_eq!(first.of(Verb::List, "scaledobjects"), 1);
    assert_eq!(first.of(Verb::Patch, "deployments"), 1, "the fence");
    stage.server.reset_counts();
    for to in 6..16 {
        stage.scale(to, &[], 1).await.unwrap();
    }
    let counts = stage.server.counts().to_string();
    assert_eq!(counts, "get deployments: 10, update deployments/scale: 10, get leases: 10");
}

#[tokio::test(start_paused = true)]
async fn r_k8s_5_a_leader_that_is_deposed_between_reading_and_writing_does_not_get_through() {
    for (verb, resource) in [(Verb::Patch, "deployments"), (Verb::Update, "deployments/scale")] {
        let stage = Stage::new(Profile::new()).await;
        let gate = stage.server.hold(On::next(verb, resource));
        let (gateway, id) = (stage.gateway.clone(), stage.id.clone());
        let old = tokio::spawn(async move { gateway.scale(&id, 9, &[], Fence::new(7)).await });
        gate.arrived(1).await;
        let new = K8sBackend::from_client(stage.server.bystander("default"), Options::new()).await.unwrap();
        new.scale(&stage.id, 5, &[], Fence::new(8)).await.unwrap();
        drop(gate);
        refused(old.await.unwrap(), ErrorKind::Conflict, "scaled under fence 8, 7 is out of date");
        assert_eq!(stage.replicas(), 5, "{verb:?} {resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_5_who_is_deposed_while_the_workload_is_made_anew_does_not_scale_the_new_one() {
    let stage = Stage::new(Profile::new()).await;
    let (lease, hour) = (Lease::SCALER, std::time::Duration::from_secs(3600));
    let held = stage.gateway.acquire(lease, "old", hour).await.unwrap().unwrap();
    let gate = stage.server.hold(On::next(Verb::Patch, "deployments"));
    let (gateway, id, fence) = (stage.gateway.clone(), stage.id.clone(), held.fence);
    let old = tokio::spawn(async move { gateway.scale(&id, 9, &[], fence).await });
    // The lease was its own when it looked.
    gate.arrived(1).await;
    stage.gateway.release(held).await.unwrap();
    let new = K8sBackend::from_client(stage.server.bystander("default"), Options::new()).await.unwrap();
    new.acquire(lease, "new", hour).await.unwrap().unwrap();
    let deployments = Api::<Deployment>::default_namespaced(stage.server.bystander("default"));
    let mut again = deployments.get(&stage.deployment).await.unwrap();
    deployments.delete(&stage.deployment, &Default::default()).await.unwrap();
    (again.metadata.uid, again.metadata.resource_version) = (None, None);
    deployments.create(&PostParams::default(), &again).await.unwrap();
    drop(gate);
    refused(old.await.unwrap(), ErrorKind::Conflict, "is out of date");
    assert_ne!(stage.replicas(), 9);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_5_a_change_by_somebody_else_is_followed_and_not_for_ever() {
    let stage = Stage::new(Profile::new()).await;
    let deployments = Api::<Deployment>::default_namespaced(stage.server.bystander("default"));
    let change = async |number: usize| {
        let patch = json!({"metadata": {"annotations": {"somebody": number.to_string()}}});
        deployments.patch(&stage.deployment, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    let set = || On::next(Verb::Update, "deployments/scale");
    for (changes, to) in [(2, 5), (8, 6)] {
        let (gateway, id) = (stage.gateway.clone(), stage.id.clone());
        let mut gate = stage.server.hold(set());
        let scaling = tokio::spawn(async move { gateway.scale(&id, to, &[], Fence::new(1)).await });
        for number in 0..changes {
            gate.arrived(1).await;
            change(number).await;
            gate = stage.server.hold(set());
        }
        drop(gate);
        stage.server.lift_faults();
        match scaling.await.unwrap() {
            Ok(()) => assert_eq!(changes, 2),
            Err(error) => assert!(changes == 8 && error.is_retryable(), "{error}"),
        }
    }
    assert_eq!(stage.replicas(), 5);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_5_a_lost_answer_is_an_error_and_the_repetition_finds_it_done() {
    let stage = Stage::new(Profile::new()).await;
    stage.server.fail(On::next(Verb::Update, "deployments/scale"), Fault::AnswerLost);
    refused(stage.scale(5, &[], 1).await, ErrorKind::Unavailable, "cannot scale iris/first");
    stage.scale(5, &[], 1).await.unwrap();
    assert_eq!(stage.replicas(), 5);
}

#[tokio::test(start_paused = true)]
async fn r_scl_5_a_scaled_object_of_keda_is_refused_with_its_name() {
    let stage = Stage::new(Profile::new().with_keda()).await;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject"));
    let objects = Api::<DynamicObject>::default_namespaced_with(stage.server.bystander("default"), &kind);
    let target = json!({"spec": {"scaleTargetRef": {"name": stage.deployment}}});
    let object = DynamicObject::new("theirs", &kind).data(target);
    objects.create(&PostParams::default(), &object).await.unwrap();
    refused(
        stage.scale(5, &[], 1).await,
        ErrorKind::Conflict,
        "the ScaledObject theirs scales the Deployment",
    );
    assert_eq!(stage.server.counts().writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn r_scl_5_who_may_not_look_for_others_does_not_scale_and_is_told_until_it_may() {
    let stage = Stage::new(Profile::new()).await;
    let kind = "horizontalpodautoscalers";
    stage.server.fail(On::next(Verb::List, kind).always(), Fault::unavailable());
    for _ in 0..2 {
        let outcome = stage.scale(5, &[], 1).await;
        refused(
            outcome,
            ErrorKind::Unavailable,
            "see whether a HorizontalPodAutoscaler scales the same Deployment",
        );
    }
    stage.server.lift_faults();
    stage.scale(5, &[], 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r_scl_5_the_watch_of_other_autoscalers_survives_what_befalls_it() {
    let stage = Stage::new(Profile::new()).await;
    stage.scale(5, &[], 1).await.unwrap();
    let kind = "horizontalpodautoscalers";
    stage.server.until_watched(kind, 1).await;
    stage.server.expire_next_watch(kind, double::Expiry::Answer);
    stage.server.drop_watches();
    let hpa: k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": {"name": "theirs"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": stage.deployment}},
    }))
    .unwrap();
    let hpas = Api::default_namespaced(stage.server.bystander("default"));
    hpas.create(&PostParams::default(), &hpa).await.unwrap();
    stage.server.until(|server| server.counts().of(Verb::List, kind) == 2).await;
    stage.server.until_watched(kind, 1).await;
    refused(stage.scale(6, &[], 1).await, ErrorKind::Conflict, "the HorizontalPodAutoscaler theirs");
}
