//! One workload: which replicas there are to be, and one keeper for each of them.

mod keeper;
pub(crate) mod order;
mod plan;
mod slot;
mod status;
pub(crate) mod supervisor;
