//! Whether an update may have a replica more than is wanted while it runs: not if that needs GPUs that are all in use.
//!
//! Asked only for workloads with accelerators, when an update begins. It takes a look at the nodes and pods of the whole
//! cluster; a deployer without the right to that is careful and replaces in place.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use portway_backend::Workload;

use crate::backend::Inner;
use crate::manifest::{Surge, accelerators};

/// How replicas of `workload` are best replaced now.
pub(crate) async fn find(inner: &Inner, workload: &Workload) -> Surge {
    let wanted = accelerators(workload);
    match look(&inner.client, &wanted).await {
        Ok((nodes, pods)) if has_spare(&nodes, &pods, &wanted, &inner.options.node_selector) => Surge::Beside,
        Ok(_) => Surge::InPlace,
        Err(error) => {
            let why = "cannot see whether an accelerator is spare, so that replicas go before others come";
            tracing::info!(workload = %workload.id, "{why}: {error}");
            Surge::InPlace
        }
    }
}

/// All nodes, and those pods that want some of `wanted`.
async fn look(client: &Client, wanted: &BTreeMap<&str, u32>) -> kube::Result<(Vec<Node>, Vec<Pod>)> {
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?.items;
    let (all, mut pods) = (Api::<Pod>::all(client.clone()), Vec::new());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = all.list(&page).await?;
        let counts = |pod: &Pod| wanted.keys().any(|resource| asked(pod, resource) > 0);
        pods.extend(list.items.into_iter().filter(counts));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok((nodes, pods)),
        }
    }
}

/// Whether some node that fits `selector` has all that is `wanted` left beside what the pods on it ask for. Pure.
///
/// Taints are not looked at: a node that a replica may not use counts as one that has room, and the update then waits for
/// its surge, which the status says.
pub(crate) fn has_spare(
    nodes: &[Node],
    pods: &[Pod],
    wanted: &BTreeMap<&str, u32>,
    selector: &BTreeMap<String, String>,
) -> bool {
    nodes.iter().filter(|node| is_open(node, selector)).any(|node| {
        let pods = || pods.iter().filter(|pod| runs_on(pod, node));
        wanted.iter().all(|(resource, count)| {
            let used: u64 = pods().map(|pod| asked(pod, resource)).sum();
            allocatable(node, resource).saturating_sub(used) >= u64::from(*count)
        })
    })
}

fn is_open(node: &Node, selector: &BTreeMap<String, String>) -> bool {
    let is_closed = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    !is_closed && selector.iter().all(|(key, value)| node.labels().get(key) == Some(value))
}

fn allocatable(node: &Node, resource: &str) -> u64 {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    allocatable.and_then(|allocatable| allocatable.get(resource)).map_or(0, whole)
}

fn runs_on(pod: &Pod, node: &Node) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let place = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
    !matches!(phase, Some("Succeeded" | "Failed")) && place.is_some() && place == node.metadata.name.as_ref()
}

fn asked(pod: &Pod, resource: &str) -> u64 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let limits = containers.filter_map(|container| container.resources.as_ref()?.limits.as_ref());
    // Of extended resources request and limit are one number.
    limits.filter_map(|limits| limits.get(resource)).map(whole).sum()
}

/// Whole units; extended resources have no fractions. Zero for what is no number.
fn whole(quantity: &Quantity) -> u64 {
    quantity.0.parse().unwrap_or(0)
}

/// Pods that are read with one request.
const PAGE: u32 = 500;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GPU: &str = "nvidia.com/gpu";

    fn node(name: &str, gpus: &str, closed: bool) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"pool": name}},
            "spec": {"unschedulable": closed},
            "status": {"allocatable": {GPU: gpus}},
        }))
        .unwrap()
    }

    fn pod(node: &str, gpus: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {},
            "spec": {"nodeName": node, "containers": [{"name": "a", "resources": {"limits": {GPU: gpus}}}, {"name": "b"}]},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn r_k8s_3_a_spare_gpu_is_one_that_no_pod_has_asked_for() {
        let any = BTreeMap::new();
        let spare = |nodes: &[Node], pods: &[Pod], want| has_spare(nodes, pods, &[(GPU, want)].into(), &any);
        let full = [pod("a", "2", "Running"), pod("a", "2", "Pending")];
        assert!(!spare(&[node("a", "4", false)], &full, 1));
        assert!(spare(&[node("a", "5", false)], &full, 1));
        assert!(!spare(&[node("a", "5", false), node("b", "1", false)], &full, 2), "two on one node");
        assert!(!spare(&[node("a", "9", true)], &[], 1), "cordoned");
        assert!(spare(&[node("a", "4", false)], &[pod("a", "4", "Succeeded")], 4), "ended pods hold nothing");
        assert!(!spare(&[], &[], 1));
    }

    #[test]
    fn a_node_that_the_selector_excludes_does_not_count() {
        let one = BTreeMap::from([(GPU, 1)]);
        let selector = BTreeMap::from([("pool".to_owned(), "b".to_owned())]);
        assert!(!has_spare(&[node("a", "4", false)], &[], &one, &selector));
        assert!(has_spare(&[node("a", "4", false), node("b", "1", false)], &[], &one, &selector));
    }
}
