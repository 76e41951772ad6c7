//! What one replica asks of its node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::quantity::{MemoryMib, Millicores};

/// Processor, memory and accelerators of one replica. A checked configuration never has a limit below its request.
///
/// Defaults: 0.1 cores, 0.5 GB, no limits, no accelerator.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// Processor time reserved.
    pub cpu: Millicores,
    /// Processor time never exceeded.
    pub cpu_limit: Option<Millicores>,
    /// Memory reserved.
    pub memory: MemoryMib,
    /// Memory never exceeded.
    pub memory_limit: Option<MemoryMib>,
    /// Graphics processors.
    pub gpu: u32,
    /// Other accelerators by the name of their extended resource, `vendor/name`.
    pub accelerators: BTreeMap<String, u32>,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpu: Millicores(100),
            cpu_limit: None,
            memory: MemoryMib(512),
            memory_limit: None,
            gpu: 0,
            accelerators: BTreeMap::new(),
        }
    }
}
