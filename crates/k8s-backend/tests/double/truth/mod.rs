//! What API servers do, as far as anything here relies on it: checked on the double and on a real server alike, so that
//! the double cannot teach what is not so.
//!
//! Every expectation makes its own objects in the namespace given, which is empty before.

mod apply;
mod controllers;
mod objects;
mod watch;

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::Status;
use kube::{Api, Client, Error, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// How long anything may take that comes by a watch.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where expectations are checked.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// The server's minor version: 20 for 1.20.
    pub(crate) minor: u32,
}

impl Place {
    pub(crate) async fn new(client: Client, namespace: &str) -> Self {
        let version = client.apiserver_version().await.expect("it says its version").git_version;
        let minor = version.split('.').nth(1).and_then(|minor| minor.parse().ok());
        let minor = minor.unwrap_or_else(|| panic!("no version: {version}"));
        Self { client, namespace: namespace.to_owned(), minor }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// An object out of JSON.
fn object<K: DeserializeOwned>(json: Value) -> K {
    serde_json::from_value(json).expect("the tests write legal objects")
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    object(json!({"metadata": {"name": name, "labels": {"app": name}}, "data": {"key": value}}))
}

fn deployment(name: &str) -> Deployment {
    object(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "none"}]},
            },
        },
    }))
}

/// The refusal in `result`.
#[track_caller]
fn refusal<T: Debug>(result: Result<T, Error>) -> Status {
    match result {
        Err(Error::Api(status)) => *status,
        other => panic!("it must be refused, but: {other:?}"),
    }
}

/// Asserts the code, the reason, what is concerned, and words of the message.
#[track_caller]
fn assert_says(status: &Status, code: u16, reason: &str, concerned: (&str, &str), words: &str) {
    let details = status.details.as_ref();
    let about = details.map_or(("", ""), |details| (&*details.kind, &*details.name));
    let found = (status.code, &*status.reason, about);
    assert_eq!(found, (code, reason, concerned), "{status:?}");
    assert!(status.message.contains(words), "{words:?} is not in {:?}", status.message);
}

/// Runs each expectation and gathers those that do not hold.
macro_rules! check {
    ($place:expr; $($expectation:path),* $(,)?) => {
        vec![$((stringify!($expectation), tokio::spawn({
            let place = $place.clone();
            async move { $expectation(&place).await }
        }))),*]
    };
}

/// Checks what an API server does by itself.
pub(crate) async fn of_servers(place: &Place) {
    let checks = check![place;
        objects::what_is_missing_is_not_found,
        objects::what_exists_is_not_created,
        objects::writes_are_compare_and_swap,
        objects::what_changes_nothing_is_not_written,
        objects::deletions_heed_their_preconditions,
        objects::illegal_objects_are_refused,
        objects::leases_need_a_revision,
        objects::a_dry_run_stores_nothing,
        objects::collections_are_deleted_by_label,
        objects::status_and_spec_are_written_apart,
        objects::generations_count_changes_of_the_spec,
        objects::the_scale_subresource_sets_the_count,
        objects::pods_take_their_grace_on_nodes_only,
        apply::applied_fields_are_owned,
        apply::what_others_own_is_a_conflict,
        apply::what_is_no_longer_applied_is_removed,
        apply::what_is_not_applied_is_left_alone,
        watch::lists_select_and_go_on,
        watch::watches_resume,
        watch::watches_tell_who_comes_and_goes,
    ];
    all_hold(checks).await;
}

/// Checks what the controllers of a cluster do; pods are scheduled by nobody.
pub(crate) async fn of_controllers(place: &Place) {
    let checks = check![place;
        controllers::a_deployment_has_sets_and_sets_have_pods,
        controllers::a_roll_out_begins_with_one_more,
        controllers::what_is_deleted_takes_along_what_it_owns,
        controllers::pods_that_are_refused_are_told_by_their_deployment,
        controllers::a_quota_is_told_by_the_deployment,
    ];
    all_hold(checks).await;
}

/// Panics with the names of the expectations that do not hold.
async fn all_hold(checks: Vec<(&str, JoinHandle<()>)>) {
    let mut broken = Vec::new();
    for (expectation, check) in checks {
        if check.await.is_err() {
            broken.push(expectation);
        }
    }
    assert!(broken.is_empty(), "what does not hold: {broken:?}");
}
