//! The replica maths of a model-serving fleet, for any control loop.
//!
//! Pure: no clock, no I/O, no threads. A loop hands in a [`Sample`] once a second, a [`Scaler`] says what it wants, and [`decide`]
//! turns that into a move within [`Bounds`]:
//!
//! ```
//! use portway_autoscale::{Autoscaler, Bounds, Decision, FleetState, Policy, Sample, Scaler, Traffic, decide};
//! use std::time::Duration;
//!
//! let mut scaler = Autoscaler::new(Policy::default(), Duration::ZERO, 4);
//! let traffic = Traffic { arrivals: 20, completions: 18, service_seconds: 9.0, in_flight: 4.0, ..Traffic::default() };
//! let sample = Sample { traffic, fleet: FleetState::settled(4) };
//! let want = scaler.want(Duration::from_secs(1), &sample);
//! let decision = decide(sample.fleet.desired, want, Bounds::new(1, 30));
//! assert!(matches!(decision, Decision::Grow { .. }));
//! ```

mod autoscaler;
mod decide;
mod demand;
pub mod erlang;
mod estimate;
mod fleet;
mod frontend;
mod policy;
mod rhythm;
mod sample;
mod scaler;
#[cfg(feature = "sim")]
pub mod sim;
mod window;

pub use autoscaler::{Autoscaler, Saved};
pub use decide::{Bounds, Decision, Limit, decide};
pub use demand::{Demand, InvalidTarget, Target, replicas_for};
pub use fleet::{Rival, ScaledTwice, idle_first, sole_scaler};
pub use frontend::{FrontendMove, FrontendPolicy, FrontendSample, FrontendScaler, FrontendSize, Purpose};
pub use policy::{Policy, Preset, Sizing, UnknownPreset};
pub use sample::{FleetState, Sample, Traffic, Utilisation};
pub use scaler::{Booking, Fixed, FromFn, Max, Min, Scaler, Scheduled};
