#![doc = include_str!("../README.md")]

mod admit;
mod estimate;
mod judge;
mod levels;
mod limits;
mod members;
mod outlier;
mod parked;
mod pool;
mod profile;
mod replay;
mod rollout;
mod route;
mod schedule;
mod share;
mod shares;
mod split;
mod sticky;
#[cfg(feature = "serde")]
mod stored;
mod tickets;

pub use admit::{Admit, Load, ReplicaLoad, Slot};
pub use judge::{Judge, Tally, Verdict};
pub use limits::{Cause, Limits, Refusal, RetryAfter, Waiting};
pub use outlier::{Outcome, OutlierPolicy};
pub use parked::Waiter;
pub use pool::Pool;
pub use profile::{Answer, Profile, SCORING_TIMEOUT, TimeoutSpan};
pub use replay::{Body, Progress, Repeat, RetryBudget, may_replay};
pub use rollout::{Change, Rollout, RolloutError, Tag, Version};
pub use route::{Route, Target};
pub use share::{InvalidShare, Share};
pub use shares::{MAX_VERSIONS, Shares, SharesError};
pub use split::Split;
pub use sticky::{BucketRun, Buckets, InvalidBuckets};
pub use tickets::Tickets;
