//! The suites that every implementation of a seam must pass, memory and real ones alike.
//!
//! Each suite takes an implementation, uses names of its own beginning with `conformance`, that of the lease to scale
//! excepted, cleans up after itself, and panics with a sentence that says which promise was broken. Nothing in them sleeps for a duration, except for leases
//! to run out; under a paused tokio clock that costs nothing.
//!
//! # Examples
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use portway_backend::{conformance, memory::MemoryCatalog};
//!
//! conformance::catalog(&MemoryCatalog::new()).await;
//! # }
//! ```

mod artifacts;
mod backend;
mod catalog;
mod fences;
mod leases;

pub use artifacts::artifacts;
pub use backend::{Subject, backend};
pub use catalog::catalog;
pub use fences::fences;
pub use leases::leases;

use crate::{BackendError, ErrorKind};

/// Panics unless `result` is an error of `kind`.
#[track_caller]
fn assert_refused<T>(result: Result<T, BackendError>, kind: ErrorKind, promise: &str) {
    match result {
        Ok(_) => panic!("{promise}: it was accepted"),
        Err(error) => assert_eq!(error.kind(), kind, "{promise}: {error}"),
    }
}

/// The value of `result`; panics with the error otherwise.
#[track_caller]
fn accepted<T>(result: Result<T, BackendError>, what: &str) -> T {
    result.unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        panic!("{what} must succeed, but: {error}{}", cause.unwrap_or_default())
    })
}
