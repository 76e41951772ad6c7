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
//!
//! # How the presets decide
//!
//! 1. **Rate, not busy count.** Busy replicas over replicas saturates at 1; arrivals × service time does not. The rate is that of half a
//!    minute, or of a shorter window that stands clearly above it: fast on a step, deaf to Poisson noise.
//! 2. **Lead.** A rising trend is extended over the start-up time, and so is a rhythm: traffic that repeats is met before it comes.
//! 3. **Room.** The target of 70 % is too thin for small services, which would queue: Erlang C says how many slots keep waiting rare.
//! 4. **Backlog.** What piles up while replicas start is served within a set time.
//! 5. **Up at once, down after a minute**, each only when sure by a standard deviation. A learning hold grows with every cut that was
//!    regretted.
//!
//! [`replicas_for`] is the documented closed formula, exact. What the presets reach beside the rules of others is in `RESULTS.md`.

mod autoscaler;
mod decide;
mod demand;
pub mod erlang;
mod estimate;
mod fleet;
mod frontend;
mod number;
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
pub use policy::{Policy, Preset, RhythmPolicy, Sizing, UnknownPreset};
pub use sample::{FleetState, Sample, Traffic, Utilisation};
pub use scaler::{Booking, Fixed, FromFn, Max, Min, Scaler, Scheduled};
