//! What a replica is given, and the nodes it may run on for that.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use portway_backend::Workload;
use portway_deploy_config::{MemoryMib, Millicores, Resources};

use crate::options;

/// The extended resource by which GPUs are counted.
pub(super) const GPU: &str = "nvidia.com/gpu";

/// How much of which extended resource one replica wants; empty for most workloads.
pub(crate) fn accelerators(workload: &Workload) -> BTreeMap<&str, u32> {
    let Resources { gpu, accelerators, .. } = &workload.resources;
    let named = accelerators.iter().map(|(name, count)| (name.as_str(), *count));
    named.chain([(GPU, *gpu)]).filter(|(_, count)| *count > 0).collect()
}

pub(super) fn requirements(workload: &Workload) -> ResourceRequirements {
    let Resources { cpu, cpu_limit, memory, memory_limit, .. } = &workload.resources;
    // Extended resources cannot be overcommitted: request and limit are one number.
    let counted = accelerators(workload).into_iter();
    let counted = counted.map(|(name, count)| (name.to_owned(), Quantity(count.to_string())));
    let mut limits: BTreeMap<_, _> = counted.collect();
    let mut requests = limits.clone();
    requests.insert("cpu".to_owned(), cores(*cpu));
    requests.insert("memory".to_owned(), bytes(*memory));
    limits.extend(cpu_limit.map(|limit| ("cpu".to_owned(), cores(limit))));
    limits.extend(memory_limit.map(|limit| ("memory".to_owned(), bytes(limit))));
    let limits = (!limits.is_empty()).then_some(limits);
    ResourceRequirements { limits, requests: Some(requests), ..ResourceRequirements::default() }
}

/// Both are requested, and the memory is never exceeded.
pub(super) fn plain(cpu: Millicores, memory: MemoryMib) -> ResourceRequirements {
    let memory = ("memory".to_owned(), bytes(memory));
    let limits = Some(BTreeMap::from([memory.clone()]));
    let requests = Some(BTreeMap::from([("cpu".to_owned(), cores(cpu)), memory]));
    ResourceRequirements { limits, requests, ..ResourceRequirements::default() }
}

/// Taints that are no hindrance: those asked for, and by custom those of nodes with accelerators, which are named like the
/// resource.
pub(super) fn tolerations(
    accelerators: BTreeMap<&str, u32>,
    asked: &[options::Toleration],
) -> Option<Vec<Toleration>> {
    let asked = asked.iter().map(|toleration| Toleration {
        key: Some(toleration.key.clone()),
        operator: Some(if toleration.value.is_some() { "Equal" } else { "Exists" }.to_owned()),
        value: toleration.value.clone(),
        effect: toleration.effect.clone(),
        ..Toleration::default()
    });
    let customary = accelerators.into_keys().map(|name| Toleration {
        key: Some(name.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoSchedule".to_owned()),
        ..Toleration::default()
    });
    let all: Vec<_> = asked.chain(customary).collect();
    (!all.is_empty()).then_some(all)
}

// Both in the form in which the server gives them back, so that what is there can be compared with what is wanted.

fn cores(cores: Millicores) -> Quantity {
    Quantity(if cores.0.is_multiple_of(1000) {
        (cores.0 / 1000).to_string()
    } else {
        format!("{}m", cores.0)
    })
}

fn bytes(memory: MemoryMib) -> Quantity {
    let mut amount = memory.0;
    if amount == 0 {
        return Quantity("0".to_owned());
    }
    let mut units = ["Mi", "Gi", "Ti", "Pi"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while amount.is_multiple_of(1024) {
        amount /= 1024;
        unit = units.next().unwrap_or(unit);
    }
    Quantity(format!("{amount}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_as_the_server_gives_them_back() {
        let written = |millicores, mib| (cores(Millicores(millicores)).0, bytes(MemoryMib(mib)).0);
        let text = |cpu: &str, memory: &str| (cpu.to_owned(), memory.to_owned());
        assert_eq!(written(100, 512), text("100m", "512Mi"));
        assert_eq!(written(2000, 2048), text("2", "2Gi"));
        assert_eq!(written(1500, 1536), text("1500m", "1536Mi"));
        assert_eq!(written(0, 0), text("0", "0"));
        assert_eq!(written(u32::MAX, 1 << 31), text("4294967295m", "2Pi"));
    }
}
