//! What a scaler goes by: four presets, and every constant of them.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::Target;

/// A named policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Preset {
    /// The sizing formula alone, on measured rate × time: up within a second, down after a minute.
    Documented,
    /// The same with a floor by Erlang C so that small services do not queue, room for the backlog, and an ear for rhythms.
    #[default]
    Default,
    /// The default with a hold that learns from cuts that were regretted: more cost, fewer moves.
    Adaptive,
    /// Sized by the waiting time that is promised instead of by utilisation, with the learning hold.
    Slo,
}

impl Preset {
    /// All presets, the plainest first.
    pub const ALL: [Self; 4] = [Self::Documented, Self::Default, Self::Adaptive, Self::Slo];

    /// The name used in configuration and on command lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Default => "default",
            Self::Adaptive => "adaptive",
            Self::Slo => "slo",
        }
    }
}

impl std::fmt::Display for Preset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.as_str() == name)
            .ok_or_else(|| UnknownPreset { name: name.to_owned() })
    }
}

/// A name that is no preset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no preset is named {name:?}; there are documented, default, adaptive and slo")]
pub struct UnknownPreset {
    name: String,
}

/// How a load becomes a number of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Sizing {
    /// `ceil(load / target / max_concurrent)`, as documented.
    Target,
    /// The greater of that and the Erlang floor.
    TargetAndFloor,
    /// The Erlang floor alone.
    Floor,
}

/// Every constant of a scaling decision. Start from a preset and change what the service needs.
///
/// Out-of-range numbers do no harm: a NaN or a negative number counts as 0.
///
/// ```
/// use portway_autoscale::{Policy, Preset};
/// use std::time::Duration;
/// let policy = Policy { hold: Duration::from_secs(5), ..Policy::preset(Preset::Default) };
/// assert_eq!(policy.target.basis_points(), 7_000);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Policy {
    /// How full a replica may be; 70 %.
    pub target: Target,
    /// Requests inside one replica at a time; 1.
    pub max_concurrent: NonZeroU32,
    /// How long a request may wait in the queue before it is refused; 0.5 s, the documented limit.
    pub max_wait: Duration,
    /// How long a request may wait and still count as answered in time; 0.2 s.
    pub wait_slo: Duration,
    /// The share of requests that may start later than `wait_slo`; 1 %.
    pub late: f64,
    /// How load becomes replicas.
    pub sizing: Sizing,
    /// Start-up time of a replica while the fleet reports none; 10 s.
    pub startup: Duration,
    /// How long an answer is kept before a lower one counts; 60 s, "removing takes about a minute".
    pub hold: Duration,
    /// The longest that a learning hold becomes; no more than `hold` where it does not learn, 600 s where it does: beyond ten minutes
    /// a cut is cheaper than the wait.
    pub longest_hold: Duration,
    /// A raise by this share soon after a cut makes a learning hold longer; 0.25, so that one replica of many does not count.
    pub regret: f64,
    /// A regretted cut would not have been made with a hold of the gap that it met; the new hold is this many times that; 1.25.
    pub stretch: f64,
    /// Window of the rate that everything else is measured against; 30 s: half of the documented minute, long enough for Poisson noise.
    pub base_window: Duration,
    /// Shorter windows that may overrule the base, in seconds, each about half as long again as the one before; 0 leaves one out.
    pub windows: [u8; 7],
    /// Standard deviations that a shorter window's rate is lowered by before it may overrule the base; 2, deaf to noise.
    pub noise: f64,
    /// Standard deviations above the base that make a surge, which counts with its likely rate; 3, once an hour by chance.
    pub surge: f64,
    /// Standard deviations that a surge's likely rate lies below the measured one; 0.5.
    pub caution: f64,
    /// Standard deviations of doubt about the load: up only when sure, down only when sure; 1, which halves the number of moves.
    pub doubt: f64,
    /// Standard deviations added to the load before sizing; 0, and 1 where the Erlang floor stands alone.
    pub margin: f64,
    /// What is kept of past service times per second; 0.985, a half-life of 46 s.
    pub service_memory: f64,
    /// Standard deviations that the last of four rising five-second counts must stand above the first to make a trend; 4.
    pub trend: f64,
    /// How far past the start-up time a rising trend is extended; 3.5 s, the age of what the trend is read from.
    pub lead: Duration,
    /// How many times the last five seconds' rate a trend may reach; 2.
    pub most_lead: f64,
    /// Standard deviations that the requests inside replicas are lowered by before they may overrule rate × time; 2. It catches a
    /// service that slowed before its completions tell.
    pub slowed: f64,
    /// Time within which the backlog that start-up leaves is to be served; 20 s. `None` lets it drain by itself.
    pub clearing: Option<Duration>,
    /// What makes repeating traffic a rhythm, which is met one start-up time ahead; `None` does not listen for one.
    pub rhythm: Option<RhythmPolicy>,
}

/// What makes repeating traffic a rhythm. Periods of up to half an hour are found once they have lasted half as long again.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct RhythmPolicy {
    /// What is kept of past comparisons per five seconds; 0.995, a memory of about a quarter of an hour.
    pub memory: f64,
    /// A period must foretell at least this well: 0 is perfect, 1 no better than chance; 0.35.
    pub largest_miss: f64,
    /// Traffic whose variance is below this share of its squared mean needs no rhythm, the hysteresis covers it; 0.02.
    pub least_swing: f64,
    /// Standard deviations by which the variance must exceed that of steady Poisson traffic; 5.
    pub least_signal: f64,
}

impl Default for RhythmPolicy {
    fn default() -> Self {
        Self { memory: 0.995, largest_miss: 0.35, least_swing: 0.02, least_signal: 5.0 }
    }
}

impl Policy {
    /// The constants of a preset.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Documented => {
                Self { sizing: Sizing::Target, clearing: None, rhythm: None, ..Self::default() }
            }
            Preset::Default => Self::default(),
            Preset::Adaptive => Self { longest_hold: LONGEST_LEARNED_HOLD, ..Self::default() },
            Preset::Slo => Self {
                sizing: Sizing::Floor,
                margin: 1.0,
                longest_hold: LONGEST_LEARNED_HOLD,
                ..Self::default()
            },
        }
    }

    /// The longest stretch of time that an answer can be kept.
    pub(crate) fn longest(&self) -> Duration {
        self.longest_hold.max(self.hold)
    }
}

/// The longest hold that [`Preset::Adaptive`] and [`Preset::Slo`] learn.
const LONGEST_LEARNED_HOLD: Duration = Duration::from_secs(600);

impl Default for Policy {
    fn default() -> Self {
        Self {
            target: Target::DEFAULT,
            max_concurrent: NonZeroU32::MIN,
            max_wait: Duration::from_millis(500),
            wait_slo: Duration::from_millis(200),
            late: 0.01,
            sizing: Sizing::TargetAndFloor,
            startup: Duration::from_secs(10),
            hold: Duration::from_secs(60),
            longest_hold: Duration::from_secs(60),
            regret: 0.25,
            stretch: 1.25,
            base_window: Duration::from_secs(30),
            windows: [1, 2, 3, 5, 8, 12, 20],
            noise: 2.0,
            surge: 3.0,
            caution: 0.5,
            doubt: 1.0,
            margin: 0.0,
            service_memory: 0.985,
            trend: 4.0,
            lead: Duration::from_millis(3_500),
            most_lead: 2.0,
            slowed: 2.0,
            clearing: Some(Duration::from_secs(20)),
            rhythm: Some(RhythmPolicy::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_is_known_by_its_name() {
        for preset in Preset::ALL {
            assert_eq!(preset.as_str().parse(), Ok(preset));
        }
        assert!("knative".parse::<Preset>().unwrap_err().to_string().contains("documented"));
    }

    #[test]
    fn r_scl_1_the_default_targets_70_percent_and_holds_for_a_minute() {
        let policy = Policy::default();
        assert_eq!((policy.target, policy.hold), (Target::DEFAULT, Duration::from_secs(60)));
    }
}
