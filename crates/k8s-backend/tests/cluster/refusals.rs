//! What a real API server refuses comes back with the remedy, and the doctor sees it coming.

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use portway_backend::{
    Backend as _, BackendError, Catalog as _, DocKey, DocKind, Document, Environment, ErrorKind, Expected,
};
use portway_k8s_backend::doctor::{Outcome, Surroundings, examine};
use portway_k8s_backend::{K8sBackend, Options};
use serde_json::json;

use crate::apply::{backend, workload};
use crate::patience::in_time;
use crate::quotas::nothing_fits;
use crate::site::{Site, on_a_cluster, without_pods};

fn says(error: &BackendError, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in {error:?}");
    }
}

/// The credentials of the `KUBECONFIG`, changed.
async fn changed(change: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config::infer().await.unwrap();
    change(&mut config);
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_with_who_lacks_it() {
    without_pods(async |site| {
        let nobody = format!("system:serviceaccount:{}:nobody", site.namespace);
        let client = changed(|config| config.auth_info.impersonate = Some(nobody.clone())).await;
        let backend = K8sBackend::from_client(client, site.options()).await.unwrap();
        let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
        let error = backend.get(&key).await.unwrap_err();
        let place = format!("get configmaps in the namespace {}", site.namespace);
        says(&error, ErrorKind::Invalid, &[&nobody, &place, "k8s_manifests"]);
        assert!(error.source().unwrap().to_string().contains("is forbidden"), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn credentials_that_are_not_accepted_are_said_so() {
    without_pods(async |site| {
        let client = changed(|config| {
            config.auth_info = serde_json::from_value(json!({"token": "hunter2"})).unwrap();
        })
        .await;
        let error = K8sBackend::from_client(client, site.options()).await.unwrap_err();
        says(&error, ErrorKind::Unavailable, &["credentials are not accepted", "log in again"]);
        assert!(!format!("{error:?}").contains("hunter2"));
    })
    .await;
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_a_want_of_room() {
    without_pods(async |site| {
        let probe: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap();
        nothing_fits(site, "few", json!({"count/configmaps": "0"}), &probe).await;
        let backend = backend(site, site.options()).await;
        let (key, document) =
            (DocKey::new(DocKind::Endpoint, "iris").unwrap(), Document::from_json("{}").unwrap());
        let error = backend.put(&key, &document, Expected::Any).await.unwrap_err();
        says(&error, ErrorKind::Capacity, &["the quota few", "raise the quota"]);
        assert!(error.is_retryable());
    })
    .await;
}

const WEBHOOK: &str = "images.portway.test";

/// It concerns this namespace alone and is taken away before the test ends.
async fn with_a_silent_webhook<T>(site: &Site, test: impl AsyncFnOnce() -> T) -> T {
    let name = site.namespace.as_str();
    let label = Patch::Merge(json!({"metadata": {"labels": {"portway.dev/test": name}}}));
    Api::<Namespace>::all(site.client.clone()).patch(name, &PatchParams::default(), &label).await.unwrap();
    let webhooks = Api::<ValidatingWebhookConfiguration>::all(site.client.clone());
    let webhook = json!({"metadata": {"name": name}, "webhooks": [{
        "name": WEBHOOK,
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}],
        "namespaceSelector": {"matchLabels": {"portway.dev/test": name}},
        "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
    }]});
    webhooks.create(&PostParams::default(), &serde_json::from_value(webhook).unwrap()).await.unwrap();
    let outcome = AssertUnwindSafe(test()).catch_unwind().await;
    let deleted = webhooks.delete(name, &DeleteParams::default()).await;
    let outcome = outcome.unwrap_or_else(|panic| resume_unwind(panic));
    deleted.unwrap();
    outcome
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_is_named() {
    without_pods(async |site| {
        let error = with_a_silent_webhook(site, async || {
            let backend = backend(site, site.options()).await;
            let mut workload = workload(site, "iris");
            workload.environment = Environment::Image { reference: "example.invalid/scoring:1".to_owned() };
            // A server takes a moment to heed a new webhook.
            let mut outcome = Ok(());
            for attempt in 0..100 {
                workload.id.version = format!("first{attempt}").parse().unwrap();
                outcome = in_time("an answer comes", backend.apply(&workload)).await;
                if outcome.as_ref().is_err_and(|error| error.to_string().contains(WEBHOOK)) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            outcome.expect_err("the webhook is heeded")
        })
        .await;
        says(&error, ErrorKind::Unavailable, &["images.portway.test does not answer"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_9_the_doctor_finds_nothing_on_a_cluster_that_is_well_and_a_namespace_that_is_missing() {
    on_a_cluster(async |site| {
        let mut options = site.options();
        let well = examine(&options, &Surroundings::new()).await;
        assert!(well.first_failure().is_none(), "{well}");
        options.namespace = "portway-nowhere".to_owned();
        let ill = examine(&options, &Surroundings::new()).await;
        let first = ill.first_failure().expect("there is no such namespace");
        assert_eq!(first.what, "the namespace portway-nowhere exists");
        let Outcome::Failed(why) = &first.outcome else { panic!("{ill}") };
        assert!(why.contains("kubectl create namespace portway-nowhere"), "{why}");
    })
    .await;
}

#[tokio::test]
async fn a_cluster_that_is_named_by_the_surroundings_is_connected_to() {
    without_pods(async |site| {
        let mut options = Options::new();
        options.namespace.clone_from(&site.namespace);
        let backend = K8sBackend::connect(options).await.unwrap();
        assert!(backend.server().version.starts_with('v'), "{backend:?}");
    })
    .await;
}
