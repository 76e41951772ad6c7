//! What holds on a real cluster: the one that `KUBECONFIG` names.
//!
//! Skips without one, in one line; fails then with `PORTWAY_REQUIRE_SERVICES=1`. `PORTWAY_CLUSTER_IMAGE` names an
//! image that serves on `$PORT`, for clusters with real nodes (the stand-in of the examples); without it a fake kubelet of this folder runs the pods.
//! Each test works in a namespace of its own and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "cluster/apply.rs"]
mod apply;
#[path = "support/both.rs"]
mod both;
#[path = "cluster/catalog.rs"]
mod catalog;
#[path = "support/kubelet.rs"]
mod kubelet;
#[path = "cluster/leases.rs"]
mod leases;
#[path = "cluster/manifests.rs"]
mod manifests;
#[path = "cluster/node.rs"]
mod node;
#[path = "support/patience.rs"]
mod patience;
#[path = "cluster/quotas.rs"]
mod quotas;
#[path = "cluster/rbac.rs"]
mod rbac;
#[path = "cluster/refusals.rs"]
mod refusals;
#[path = "cluster/replicas.rs"]
mod replicas;
#[path = "cluster/scale.rs"]
mod scale;
#[path = "support/site.rs"]
mod site;
