//! Portway's seams on Kubernetes: the cluster is the database.
#![forbid(unsafe_code)]

mod backend;
mod connect;
pub mod doctor;
mod error;
pub mod manifest;
mod names;
mod options;
mod server;

pub use backend::K8sBackend;
pub use options::{Options, Toleration};
pub use server::Server;
