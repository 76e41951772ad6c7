//! Quotas that are heeded: the server judges requests by a copy of its own, which may be behind what it answers.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::apply::api;
use crate::patience::{in_time, until_gone};
use crate::site::Site;

/// What a quota counts.
pub(crate) trait Counted:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug
{
}

impl<K> Counted for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Serialize
        + DeserializeOwned
        + Debug
{
}

/// Makes a quota that leaves no room for objects like `probe`.
pub(crate) async fn nothing_fits<K: Counted>(site: &Site, name: &str, hard: Value, probe: &K) {
    let quota = json!({"metadata": {"name": name}, "spec": {"hard": hard}});
    let quota: ResourceQuota = serde_json::from_value(quota).unwrap();
    api(site).create(&PostParams::default(), &quota).await.unwrap();
    let words = format!("exceeded quota: {name}");
    // Before the quota is counted, requests are refused in other words.
    let refused =
        |answer: &kube::Result<K>| answer.as_ref().is_err_and(|error| error.to_string().contains(&words));
    until_answered(site, &words, probe, refused).await;
}

/// Changes the quota so that objects like `probe` fit.
pub(crate) async fn some_fit<K: Counted>(site: &Site, name: &str, hard: Value, probe: &K) {
    let more = Patch::Merge(json!({"spec": {"hard": hard}}));
    api::<ResourceQuota>(site).patch(name, &PatchParams::default(), &more).await.unwrap();
    until_answered(site, "the quota has grown", probe, Result::is_ok).await;
}

/// Takes the quota away.
pub(crate) async fn all_fit<K: Counted>(site: &Site, name: &str, probe: &K) {
    let quotas = api::<ResourceQuota>(site);
    quotas.delete(name, &Default::default()).await.unwrap();
    until_gone(&quotas, name).await;
    until_answered(site, "the quota is forgotten", probe, Result::is_ok).await;
}

async fn until_answered<K: Counted>(
    site: &Site,
    what: &str,
    probe: &K,
    is_so: impl Fn(&kube::Result<K>) -> bool,
) {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let answered = async {
        while !is_so(&api::<K>(site).create(&dry_run, probe).await) {
            tokio::task::yield_now().await;
        }
    };
    in_time(&format!("{what} ({})", probe.name_any()), answered).await;
}
