//! The sizes of nodes, as data.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// A size of node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmSize {
    /// Its name, compared without letter case.
    pub name: Cow<'static, str>,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Graphics processors.
    pub gpus: u32,
    /// Other accelerators by the name of their extended resource.
    pub accelerators: BTreeMap<String, u32>,
}

impl VmSize {
    /// A size without accelerators.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, vcpus: u32, memory_mib: u32) -> Self {
        Self { name: name.into(), vcpus, memory_mib, gpus: 0, accelerators: BTreeMap::new() }
    }

    /// The same with graphics processors.
    #[must_use]
    pub fn with_gpus(self, gpus: u32) -> Self {
        Self { gpus, ..self }
    }

    /// The same with another accelerator.
    #[must_use]
    pub fn with_accelerator(mut self, resource: impl Into<String>, count: u32) -> Self {
        self.accelerators.insert(resource.into(), count);
        self
    }
}

/// A table of sizes. The default one holds sizes in common use, from the platform's public lists of sizes; it is
/// not complete and need not be: a caller adds what is missing.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::{VmSize, VmSizes};
///
/// let sizes = VmSizes::default().with(VmSize::new("Rack_7", 64, 262_144).with_gpus(2));
/// assert_eq!(sizes.get("standard_d3_V2").map(|size| size.vcpus), Some(4));
/// assert_eq!(sizes.get("rack_7").map(|size| size.gpus), Some(2));
/// assert_eq!(sizes.get("Standard_Unheard_Of"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmSizes(Vec<VmSize>);

impl VmSizes {
    /// A table without any size.
    #[must_use]
    pub fn empty() -> Self {
        Self(Vec::new())
    }

    /// The table with one more size, which wins over an earlier one of its name.
    #[must_use]
    pub fn with(mut self, size: VmSize) -> Self {
        self.0.retain(|other| !other.name.eq_ignore_ascii_case(&size.name));
        self.0.push(size);
        self
    }

    /// The size of that name, compared without letter case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&VmSize> {
        self.0.iter().find(|size| size.name.eq_ignore_ascii_case(name))
    }

    /// The names, in the order of the table.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|size| &*size.name)
    }
}

impl Default for VmSizes {
    fn default() -> Self {
        // Memory is listed in GiB with at most two decimals, here in hundredths.
        let single = COMMON
            .iter()
            .map(|&(name, vcpus, gib, gpus)| VmSize::new(name, vcpus, gib * 1024 / 100).with_gpus(gpus));
        let families = FAMILIES.iter().flat_map(|&(letter, suffixes, vcpus, gib)| {
            suffixes.iter().flat_map(move |suffix| {
                vcpus.iter().map(move |&vcpus| {
                    VmSize::new(format!("Standard_{letter}{vcpus}{suffix}"), vcpus, vcpus * gib * 1024)
                })
            })
        });
        let cards = FPGA.iter().map(|&(name, vcpus, gib, cards)| {
            VmSize::new(name, vcpus, gib * 1024).with_accelerator("xilinx.com/fpga", cards)
        });
        Self(single.chain(families).chain(cards).collect())
    }
}

/// Letter, suffixes, vCPUs, memory in GiB for each of them.
type Family = (&'static str, &'static [&'static str], &'static [u32], u32);

/// Families whose memory grows with their processors.
const FAMILIES: &[Family] = &[
    (
        "D",
        &["_v3", "s_v3", "_v4", "s_v4", "d_v4", "ds_v4", "_v5", "s_v5", "d_v5", "ds_v5"],
        &[2, 4, 8, 16, 32, 48, 64],
        4,
    ),
    ("D", &["a_v4", "as_v4", "as_v5", "ads_v5"], &[2, 4, 8, 16, 32, 48, 64, 96], 4),
    (
        "E",
        &["_v3", "s_v3", "_v4", "s_v4", "d_v4", "ds_v4", "_v5", "s_v5", "d_v5", "ds_v5"],
        &[2, 4, 8, 16, 32],
        8,
    ),
    ("E", &["a_v4", "as_v4", "as_v5", "ads_v5"], &[2, 4, 8, 16, 20, 32, 48], 8),
    ("F", &["", "s"], &[1, 2, 4, 8, 16], 2),
    ("F", &["s_v2"], &[2, 4, 8, 16, 32, 48, 64, 72], 2),
    ("L", &["s_v2", "s_v3"], &[8, 16, 32, 48, 64, 80], 8),
];

/// Sizes with cards of programmable logic: name, vCPUs, memory in GiB, cards.
const FPGA: &[(&str, u32, u32, u32)] =
    &[("Standard_NP10s", 10, 168, 1), ("Standard_NP20s", 20, 336, 2), ("Standard_NP40s", 40, 672, 4)];

/// Name, vCPUs, memory in hundredths of a GiB, graphics processors.
#[rustfmt::skip]
const COMMON: &[(&str, u32, u32, u32)] = &[
    ("Standard_A1_v2", 1, 200, 0), ("Standard_A2_v2", 2, 400, 0), ("Standard_A4_v2", 4, 800, 0),
    ("Standard_A8_v2", 8, 1600, 0), ("Standard_A2m_v2", 2, 1600, 0), ("Standard_A4m_v2", 4, 3200, 0),
    ("Standard_A8m_v2", 8, 6400, 0),
    ("Standard_B1s", 1, 100, 0), ("Standard_B1ms", 1, 200, 0), ("Standard_B2s", 2, 400, 0),
    ("Standard_B2ms", 2, 800, 0), ("Standard_B4ms", 4, 1600, 0), ("Standard_B8ms", 8, 3200, 0),
    ("Standard_D1", 1, 350, 0), ("Standard_D2", 2, 700, 0), ("Standard_D3", 4, 1400, 0), ("Standard_D4", 8, 2800, 0),
    ("Standard_D11", 2, 1400, 0), ("Standard_D12", 4, 2800, 0), ("Standard_D13", 8, 5600, 0),
    ("Standard_D14", 16, 11200, 0),
    ("Standard_D1_v2", 1, 350, 0), ("Standard_D2_v2", 2, 700, 0), ("Standard_D3_v2", 4, 1400, 0),
    ("Standard_D4_v2", 8, 2800, 0), ("Standard_D5_v2", 16, 5600, 0), ("Standard_D11_v2", 2, 1400, 0),
    ("Standard_D12_v2", 4, 2800, 0), ("Standard_D13_v2", 8, 5600, 0), ("Standard_D14_v2", 16, 11200, 0),
    ("Standard_D15_v2", 20, 14000, 0),
    ("Standard_DS1_v2", 1, 350, 0), ("Standard_DS2_v2", 2, 700, 0), ("Standard_DS3_v2", 4, 1400, 0),
    ("Standard_DS4_v2", 8, 2800, 0), ("Standard_DS5_v2", 16, 5600, 0), ("Standard_DS11_v2", 2, 1400, 0),
    ("Standard_DS12_v2", 4, 2800, 0), ("Standard_DS13_v2", 8, 5600, 0), ("Standard_DS14_v2", 16, 11200, 0),
    ("Standard_DS15_v2", 20, 14000, 0),
    ("Standard_DS1", 1, 350, 0), ("Standard_DS2", 2, 700, 0), ("Standard_DS3", 4, 1400, 0),
    ("Standard_DS4", 8, 2800, 0), ("Standard_DS11", 2, 1400, 0), ("Standard_DS12", 4, 2800, 0),
    ("Standard_DS13", 8, 5600, 0), ("Standard_DS14", 16, 11200, 0),
    ("Standard_A1", 1, 175, 0), ("Standard_A2", 2, 350, 0), ("Standard_A3", 4, 700, 0), ("Standard_A4", 8, 1400, 0),
    ("Standard_A5", 2, 1400, 0), ("Standard_A6", 4, 2800, 0), ("Standard_A7", 8, 5600, 0),
    ("Standard_B1ls", 1, 50, 0), ("Standard_B12ms", 12, 4800, 0), ("Standard_B16ms", 16, 6400, 0),
    ("Standard_B20ms", 20, 8000, 0),
    ("Standard_G1", 2, 2800, 0), ("Standard_G2", 4, 5600, 0), ("Standard_G3", 8, 11200, 0),
    ("Standard_G4", 16, 22400, 0), ("Standard_G5", 32, 44800, 0),
    ("Standard_H8", 8, 5600, 0), ("Standard_H16", 16, 11200, 0),
    ("Standard_NV12s_v3", 12, 11200, 1), ("Standard_NV24s_v3", 24, 22400, 2), ("Standard_NV48s_v3", 48, 44800, 4),
    ("Standard_ND40rs_v2", 40, 67200, 8), ("Standard_ND96asr_v4", 96, 90000, 8),
    ("Standard_NC40ads_H100_v5", 40, 32000, 1), ("Standard_NC80adis_H100_v5", 80, 64000, 2),
    ("Standard_NC6", 6, 5600, 1), ("Standard_NC12", 12, 11200, 2), ("Standard_NC24", 24, 22400, 4),
    ("Standard_NC24r", 24, 22400, 4), ("Standard_NC6s_v2", 6, 11200, 1), ("Standard_NC12s_v2", 12, 22400, 2),
    ("Standard_NC24s_v2", 24, 44800, 4), ("Standard_NC6s_v3", 6, 11200, 1), ("Standard_NC12s_v3", 12, 22400, 2),
    ("Standard_NC24s_v3", 24, 44800, 4), ("Standard_NC24rs_v3", 24, 44800, 4),
    ("Standard_NC4as_T4_v3", 4, 2800, 1), ("Standard_NC8as_T4_v3", 8, 5600, 1),
    ("Standard_NC16as_T4_v3", 16, 11000, 1), ("Standard_NC64as_T4_v3", 64, 44000, 4),
    ("Standard_NC24ads_A100_v4", 24, 22000, 1), ("Standard_NC48ads_A100_v4", 48, 44000, 2),
    ("Standard_NC96ads_A100_v4", 96, 88000, 4),
    ("Standard_ND6s", 6, 11200, 1), ("Standard_ND12s", 12, 22400, 2), ("Standard_ND24s", 24, 44800, 4),
    ("Standard_NV6", 6, 5600, 1), ("Standard_NV12", 12, 11200, 2), ("Standard_NV24", 24, 22400, 4),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn r_cfg_4_the_table_is_data() {
        let sizes = VmSizes::default();
        let names: HashSet<_> = sizes.names().map(str::to_ascii_lowercase).collect();
        assert_eq!(names.len(), sizes.names().count(), "a name stands twice");
        let default = sizes.get(super::super::ProvisionSpec::DEFAULT_VM_SIZE).unwrap();
        assert_eq!((default.vcpus, default.memory_mib, default.gpus), (4, 14_336, 0));
        assert_eq!(sizes.get("Standard_NC6").unwrap().gpus, 1);
        assert_eq!(sizes.get("Standard_NP20s").unwrap().accelerators["xilinx.com/fpga"], 2);
        let family = sizes.get("Standard_E8ds_v5").unwrap();
        assert_eq!((family.vcpus, family.memory_mib), (8, 65_536));
        let replaced = sizes.with(VmSize::new("standard_d3_V2", 5, 1));
        assert_eq!(replaced.get("Standard_D3_v2").unwrap().vcpus, 5);
    }
}
