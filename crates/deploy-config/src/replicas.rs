//! How many replicas a version runs.

use std::num::NonZeroU32;
use std::time::Duration;

/// A fixed number of replicas, or bounds between which the autoscaler chooses; never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Replicas {
    /// So many, until somebody changes the number.
    Fixed(NonZeroU32),
    /// As many as the traffic asks for.
    Auto(AutoscaleSpec),
}

impl Replicas {
    /// The replicas to start with: the fixed number, or the fewest allowed.
    #[must_use]
    pub fn initial(&self) -> u32 {
        match self {
            Self::Fixed(count) => count.get(),
            Self::Auto(spec) => spec.min,
        }
    }

    /// The most replicas there will be.
    #[must_use]
    pub fn most(&self) -> u32 {
        match self {
            Self::Fixed(count) => count.get(),
            Self::Auto(spec) => spec.max,
        }
    }
}

/// Automatic scaling is on, as it is wherever nobody asks for a fixed number.
impl Default for Replicas {
    fn default() -> Self {
        Self::Auto(AutoscaleSpec::default())
    }
}

/// Bounds and target of automatic scaling.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::AutoscaleSpec;
///
/// let spec = AutoscaleSpec::new(1, 4)?.with_target_percent(30)?;
/// assert_eq!((spec.min(), spec.max(), spec.target_percent()), (1, 4, 30));
/// assert!(AutoscaleSpec::new(5, 4).is_err());
/// # Ok::<(), portway_deploy_config::InvalidAutoscale>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AutoscaleSpec {
    min: u32,
    max: u32,
    target_percent: u8,
    refresh: Duration,
}

/// Bounds or a target that automatic scaling cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAutoscale {
    /// At least one replica must be possible.
    #[error("at most 0 replicas, at least 1 must be possible")]
    NoneAtAll,
    /// Fewest above most.
    #[error("at least {min} replicas, but at most {max}")]
    MinAboveMax {
        /// Fewest replicas asked for.
        min: u32,
        /// Most replicas asked for.
        max: u32,
    },
    /// A target outside 1 to 100 %.
    #[error("target utilisation is {0} %, 1 to 100 are allowed")]
    Target(u8),
    /// A refresh period of nothing.
    #[error("refresh period is zero")]
    Refresh,
}

impl AutoscaleSpec {
    /// Fewest replicas, where nothing is given.
    pub const DEFAULT_MIN: u32 = 1;
    /// Most replicas, where nothing is given.
    pub const DEFAULT_MAX: u32 = 10;
    /// Utilisation aimed at in percent, where nothing is given.
    pub const DEFAULT_TARGET_PERCENT: u8 = 70;
    /// Time between two decisions, where nothing is given.
    pub const DEFAULT_REFRESH: Duration = Duration::from_secs(1);

    /// Between `min` and `max` replicas, at a target of 70 %, decided every second. A `min` of 0 lets the version sleep.
    ///
    /// # Errors
    ///
    /// `max` is 0 or below `min`.
    pub fn new(min: u32, max: u32) -> Result<Self, InvalidAutoscale> {
        if max == 0 {
            return Err(InvalidAutoscale::NoneAtAll);
        }
        if min > max {
            return Err(InvalidAutoscale::MinAboveMax { min, max });
        }
        Ok(Self { min, max, target_percent: Self::DEFAULT_TARGET_PERCENT, refresh: Self::DEFAULT_REFRESH })
    }

    /// The same with another target.
    ///
    /// # Errors
    ///
    /// The target is not 1 to 100 %.
    pub fn with_target_percent(self, percent: u8) -> Result<Self, InvalidAutoscale> {
        if (1..=100).contains(&percent) {
            Ok(Self { target_percent: percent, ..self })
        } else {
            Err(InvalidAutoscale::Target(percent))
        }
    }

    /// The same with another time between two decisions.
    ///
    /// # Errors
    ///
    /// The time is zero.
    pub fn with_refresh(self, refresh: Duration) -> Result<Self, InvalidAutoscale> {
        if refresh.is_zero() { Err(InvalidAutoscale::Refresh) } else { Ok(Self { refresh, ..self }) }
    }

    /// Fewest replicas.
    #[must_use]
    pub fn min(&self) -> u32 {
        self.min
    }

    /// Most replicas, at least 1.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.max
    }

    /// Utilisation aimed at, in percent of the replicas busy, 1 to 100.
    #[must_use]
    pub fn target_percent(&self) -> u8 {
        self.target_percent
    }

    /// Time between two decisions, above zero.
    #[must_use]
    pub fn refresh(&self) -> Duration {
        self.refresh
    }
}

impl Default for AutoscaleSpec {
    fn default() -> Self {
        Self {
            min: Self::DEFAULT_MIN,
            max: Self::DEFAULT_MAX,
            target_percent: Self::DEFAULT_TARGET_PERCENT,
            refresh: Self::DEFAULT_REFRESH,
        }
    }
}
