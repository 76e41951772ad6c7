//! One workload: which replicas there are to be, and one keeper for each of them.

mod keeper;
mod plan;
mod status;
pub(crate) mod supervisor;
