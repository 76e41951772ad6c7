//! What quotas, nodes and pods come to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Node, Pod, ResourceQuota};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Seen, Sight};

/// `requests.cpu 4 of 4 (compute)` for each resource of a quota that has nothing left.
pub(super) fn used_up(quota: &ResourceQuota) -> Vec<String> {
    let name = quota.metadata.name.as_deref().unwrap_or_default();
    let Some(status) = &quota.status else { return Vec::new() };
    let (Some(hard), Some(used)) = (&status.hard, &status.used) else { return Vec::new() };
    let full = hard.iter().filter_map(|(resource, hard)| {
        let used = used.get(resource)?;
        (amount(used)? >= amount(hard)? && amount(hard)? > 0.0)
            .then(|| format!("{resource} {} of {} ({name})", used.0, hard.0))
    });
    full.collect()
}

/// Which nodes take replicas, and what they have in all.
pub(super) fn nodes(nodes: &[Node], selector: &BTreeMap<String, String>) -> Seen {
    let fitting: Vec<&Node> = nodes.iter().filter(|node| takes_replicas(node, selector)).collect();
    if fitting.is_empty() {
        let why = match (nodes.len(), selector.is_empty()) {
            (0, _) => "there are none; add some".to_owned(),
            (count, true) => format!("none of {count} is ready and takes pods; see kubectl get nodes"),
            (count, false) => format!(
                "none of {count} is ready, takes pods and has the labels asked for; see kubectl get nodes"
            ),
        };
        return Err(why);
    }
    let sum = |resource: &str| -> f64 {
        let each =
            fitting.iter().filter_map(|node| node.status.as_ref()?.allocatable.as_ref()?.get(resource));
        each.filter_map(amount).sum()
    };
    let gib = sum("memory") / f64::from(1 << 30);
    let gpus = sum("nvidia.com/gpu");
    let gpus = if gpus > 0.0 { format!(", {gpus:.0} GPUs") } else { String::new() };
    Ok(Sight::Well(format!(
        "{} of {}, {:.1} CPUs, {gib:.1} GiB{gpus}",
        fitting.len(),
        nodes.len(),
        sum("cpu")
    )))
}

fn takes_replicas(node: &Node, selector: &BTreeMap<String, String>) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let is_ready =
        conditions.is_some_and(|all| all.iter().any(|each| each.type_ == "Ready" && each.status == "True"));
    let is_closed = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default();
    let labels = node.metadata.labels.clone().unwrap_or_default();
    is_ready && !is_closed && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Where a pod that is ready is reached.
pub(super) fn ready_address(pod: &Pod, port: u16) -> Option<SocketAddr> {
    let status = pod.status.as_ref().filter(|_| pod.metadata.deletion_timestamp.is_none())?;
    let conditions = status.conditions.as_ref()?;
    let is_ready = conditions.iter().any(|each| each.type_ == "Ready" && each.status == "True");
    let address: IpAddr = status.pod_ip.as_ref().filter(|_| is_ready)?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

/// `500m`, `4`, `16Gi` as a number, for sums that people read; nothing is decided by it but whether a quota is full.
fn amount(quantity: &Quantity) -> Option<f64> {
    let text = quantity.0.as_str();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => f64::from(1 << 10),
        "Mi" => f64::from(1 << 20),
        "Gi" => f64::from(1 << 30),
        "Ti" => f64::from(1 << 30) * 1024.0,
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| number * unit)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_quota_with_nothing_left_is_named() {
        let quota: ResourceQuota = from_value(json!({"metadata": {"name": "compute"}, "status": {
            "hard": {"pods": "4", "requests.cpu": "2", "limits.memory": "1Gi"},
            "used": {"pods": "3", "requests.cpu": "2000m", "limits.memory": "1024Mi"}}}))
        .unwrap();
        assert_eq!(
            used_up(&quota),
            ["limits.memory 1024Mi of 1Gi (compute)", "requests.cpu 2000m of 2 (compute)"]
        );
    }

    #[test]
    fn only_nodes_that_take_replicas_count() {
        let node = |ready: &str, pool: &str, closed: bool| -> Node {
            from_value(
                json!({"metadata": {"labels": {"pool": pool}}, "spec": {"unschedulable": closed}, "status": {
                "conditions": [{"type": "Ready", "status": ready}],
                "allocatable": {"cpu": "3500m", "memory": "8Gi", "nvidia.com/gpu": "1"}}}),
            )
            .unwrap()
        };
        let all = [
            node("True", "a", false),
            node("True", "b", false),
            node("False", "a", false),
            node("True", "a", true),
        ];
        assert_eq!(
            nodes(&all, &BTreeMap::new()),
            Ok(Sight::Well("2 of 4, 7.0 CPUs, 16.0 GiB, 2 GPUs".into()))
        );
        let selector = BTreeMap::from([("pool".to_owned(), "a".to_owned())]);
        assert_eq!(nodes(&all, &selector), Ok(Sight::Well("1 of 4, 3.5 CPUs, 8.0 GiB, 1 GPUs".into())));
        assert!(nodes(&all[2..], &BTreeMap::new()).unwrap_err().contains("none of 2"));
        assert!(nodes(&[], &selector).unwrap_err().contains("add some"));
    }
}
