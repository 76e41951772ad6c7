//! How large a cluster must be for its purpose.

use super::{ClusterPurpose, ProvisionSpec, VmSizes};
use crate::finding::{At, Code, Finding, Report};
use crate::read::{Read, quoted};
use crate::suggest;

/// Fewest virtual processors of a production cluster, over all nodes.
pub const MIN_FAST_PROD_VCPUS: u32 = 12;
/// Fewest nodes of a production cluster.
pub const MIN_FAST_PROD_NODES: u32 = 3;
/// Virtual processors below which even a cluster for tests is a bad idea.
const MIN_DEV_TEST_VCPUS: u64 = 2;

/// What the arguments say about the size.
pub(super) struct Found<'a> {
    pub(super) purpose: &'a Read<ClusterPurpose>,
    pub(super) count: &'a Read<u64>,
    pub(super) vm_size: &'a Read<&'a str>,
    pub(super) root: &'a At,
}

pub(super) fn check(found: &Found<'_>, sizes: &VmSizes, report: &mut Report) {
    let name = found.vm_size.good().copied().unwrap_or(ProvisionSpec::DEFAULT_VM_SIZE);
    let size = if matches!(found.vm_size, Read::Bad) { None } else { sizes.get(name) };
    if let (None, Some(spot)) = (size, found.vm_size.spot()) {
        report.push(unknown_size(name, &spot.at, sizes));
    }
    let sizes_at =
        found.count.spot().map(|spot| &spot.at).or_else(|| found.vm_size.spot().map(|spot| &spot.at));
    let count_at = sizes_at.unwrap_or(found.root).clone();
    if matches!(found.count, Read::Bad) {
        return;
    }
    let nodes = found.count.good().map_or_else(|| ProvisionSpec::DEFAULT_AGENT_COUNT.into(), |count| *count);
    let vcpus = size.map(|size| nodes.saturating_mul(u64::from(size.vcpus)));
    match found.purpose {
        // A purpose that could not be read may have been either.
        Read::Bad => {}
        Read::Good(spot) if spot.value == ClusterPurpose::DevTest => {
            report.push(dev_test(&spot.at));
            report.extend(
                vcpus.filter(|vcpus| *vcpus < MIN_DEV_TEST_VCPUS).map(|vcpus| small(&count_at, vcpus)),
            );
        }
        _ => report.extend(production(&count_at, nodes, vcpus)),
    }
}

/// Whether a cluster that stands is large enough for its purpose; `None` where the size of its nodes is not known.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::{ClusterPurpose, check_cluster_size};
///
/// assert!(check_cluster_size(ClusterPurpose::FastProd, 3, Some(12)).is_empty());
/// assert_eq!(check_cluster_size(ClusterPurpose::FastProd, 2, Some(8)).errors().count(), 2);
/// assert!(!check_cluster_size(ClusterPurpose::DevTest, 1, Some(4)).has_errors());
/// ```
pub fn check_cluster_size(purpose: ClusterPurpose, nodes: u32, vcpus: Option<u32>) -> Report {
    let mut report = Report::default();
    let (root, vcpus) = (At::root(), vcpus.map(u64::from));
    match purpose {
        ClusterPurpose::FastProd => report.extend(production(&root, u64::from(nodes), vcpus)),
        ClusterPurpose::DevTest => {
            report.push(dev_test(&root));
            report.extend(vcpus.filter(|vcpus| *vcpus < MIN_DEV_TEST_VCPUS).map(|vcpus| small(&root, vcpus)));
        }
    }
    report
}

fn production(at: &At, nodes: u64, vcpus: Option<u64>) -> impl Iterator<Item = Finding> {
    let cores = vcpus.filter(|vcpus| *vcpus < u64::from(MIN_FAST_PROD_VCPUS)).map(|vcpus| {
        Finding::new(
            Code::TooFewCores,
            at,
            format!("the cluster has {vcpus} vCPUs, FastProd needs {MIN_FAST_PROD_VCPUS}"),
        )
        .found(format!("{vcpus} of {MIN_FAST_PROD_VCPUS} vCPUs"))
        .allowed(format!("at least {MIN_FAST_PROD_VCPUS} vCPUs in all"))
        .remedy("take more nodes or larger ones, or use the purpose DevTest")
    });
    let machines = (nodes < u64::from(MIN_FAST_PROD_NODES)).then(|| {
        Finding::new(
            Code::TooFewNodes,
            at,
            format!("the cluster has {nodes} nodes, FastProd needs {MIN_FAST_PROD_NODES}"),
        )
        .found(format!("{nodes} of {MIN_FAST_PROD_NODES} nodes"))
        .allowed(format!("at least {MIN_FAST_PROD_NODES} nodes"))
        .remedy("take more nodes, or use the purpose DevTest")
    });
    cores.into_iter().chain(machines)
}

pub(super) fn dev_test(at: &At) -> Finding {
    Finding::new(
        Code::DevTest,
        at,
        "DevTest is slower, does not survive the loss of a node, and its router does not scale",
    )
    .found("DevTest")
    .allowed("for development and tests")
    .remedy("use FastProd for production")
}

fn small(at: &At, vcpus: u64) -> Finding {
    Finding::new(
        Code::SmallCluster,
        at,
        format!("the cluster has {vcpus} vCPUs; 2 are the least that is advised"),
    )
    .found(format!("{vcpus} vCPUs"))
    .allowed("any number")
    .remedy("take a larger node")
}

fn unknown_size(name: &str, at: &At, sizes: &VmSizes) -> Finding {
    let near = suggest::nearest(name, sizes.names());
    Finding::new(
        Code::UnknownVmSize,
        at,
        format!("the table of sizes does not know {}, so its vCPUs are not counted", quoted(name)),
    )
    .found(quoted(name))
    .allowed("any size; those of the table are counted")
    .remedy(near.map_or_else(
        || "add the size to the table that is passed in".to_owned(),
        |near| format!("did you mean {near:?}?"),
    ))
}
