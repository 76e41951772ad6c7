//! A simulator of one service: what would this policy do with that traffic? (Feature `sim`.)
//!
//! Discrete events, one queue with a deadline, replicas that take time to start and hold several requests. Seeded and deterministic:
//! the same inputs give the same outcome on every machine. Its waiting times agree with [Erlang C](crate::erlang) within 2 %.
//!
//! ```
//! use portway_autoscale::sim::{Scenario, Service, Workload, simulate};
//! use portway_autoscale::{Autoscaler, Bounds, Policy};
//! use std::time::Duration;
//!
//! let scenario = Scenario { bounds: Bounds::new(1, 20), initial: 2, seed: 7, ..Scenario::new(Service::default()) };
//! let workload = Workload::step(Duration::from_secs(300), Duration::from_secs(60), 2.0, 20.0);
//! let outcome = simulate(&scenario, &workload, &mut Autoscaler::new(Policy::default(), Duration::ZERO, 2));
//! assert!(outcome.in_time() > 0.8);
//! ```

mod engine;
mod fleet;
mod oracle;
mod outcome;
mod random;
mod service;
mod workload;

pub use engine::{Scenario, simulate};
pub use oracle::clairvoyant_seconds;
pub use outcome::{Outcome, Second};
pub use random::Random;
pub use service::{Service, Shape};
pub use workload::{InvalidTrace, Workload};
