//! Portway's seams on Kubernetes: the cluster is the database.
#![forbid(unsafe_code)]

mod backend;
mod clock;
mod conflicts;
mod connect;
pub mod doctor;
mod drift;
mod error;
mod hpa_guard;
mod kept;
mod leases;
pub mod manifest;
mod names;
mod options;
mod ownership;
mod part;
mod scale;
mod server;
mod surge;

pub use backend::K8sBackend;
pub use options::{Options, Toleration};
pub use server::Server;
