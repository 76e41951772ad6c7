//! Portway's backend for one machine: replicas are child processes, everything else is one folder.
#![cfg(unix)]

mod backend;
mod host;
mod options;
mod process;
mod state;
mod workload;

pub use backend::LocalBackend;
pub use options::Options;
