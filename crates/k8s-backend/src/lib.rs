//! Portway's seams on Kubernetes: the cluster is the database.
#![forbid(unsafe_code)]

mod apply;
mod backend;
mod catalog;
mod clock;
mod conflicts;
mod connect;
mod correct;
mod deployer_lease;
pub mod doctor;
mod drift;
mod error;
mod finding;
mod hpa_guard;
mod kept;
mod leases;
mod logs;
pub mod manifest;
mod names;
mod options;
mod ownership;
mod part;
pub mod rbac;
mod remove;
mod replicas;
mod scale;
mod server;
mod status;
mod surge;

pub use backend::K8sBackend;
pub use options::{Options, Toleration};
pub use replicas::ReadyToRoutable;
pub use server::Server;
