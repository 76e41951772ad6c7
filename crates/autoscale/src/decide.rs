//! From a wish to a move: the bounds of the configuration and of the cluster.

/// How many replicas a service may have.
///
/// Legal whatever the numbers: `min` wins over `max` and over what the cluster holds; a cluster too small for `min` is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Fewest replicas; 0 allows a service to sleep.
    pub min: u32,
    /// Most replicas.
    pub max: u32,
    /// What the cluster can hold, where that is known. Nodes are never scaled to change it.
    pub capacity: Option<u32>,
}

impl Bounds {
    /// Bounds of a configuration, on a cluster whose room is not known.
    #[must_use]
    pub fn new(min: u32, max: u32) -> Self {
        Self { min, max, capacity: None }
    }

    /// The same bounds on a cluster that holds `capacity` replicas of the service.
    #[must_use]
    pub fn capacity(self, capacity: u32) -> Self {
        Self { capacity: Some(capacity), ..self }
    }

    /// `want` brought within the bounds, and which of them spoke.
    #[must_use]
    pub fn clamp(self, want: u32) -> (u32, Limit) {
        let capacity = self.capacity.unwrap_or(u32::MAX);
        if capacity < self.min {
            (self.min, Limit::Starved)
        } else if want < self.min {
            (self.min, Limit::Min)
        } else if want > capacity && capacity <= self.max {
            (capacity, Limit::Capacity)
        } else if want > self.max {
            (self.max.max(self.min), if self.max < self.min { Limit::Min } else { Limit::Max })
        } else {
            (want, Limit::None)
        }
    }
}

/// Which bound kept a decision from what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// None did.
    None,
    /// The configured least number.
    Min,
    /// The configured greatest number.
    Max,
    /// The cluster is full: more is wanted, and more nodes are somebody else's decision.
    Capacity,
    /// The cluster cannot hold even the configured least number.
    Starved,
}

impl Limit {
    /// Whether the cluster, not the configuration, holds the service back.
    #[must_use]
    pub fn is_capacity_bound(self) -> bool {
        matches!(self, Self::Capacity | Self::Starved)
    }
}

/// What to do with the replica count now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Leave it.
    Hold {
        /// The bound that made it so, if one did.
        limit: Limit,
    },
    /// Order more.
    Grow {
        /// The new number, above the current one.
        to: u32,
        /// The bound that cut the wish, if one did.
        limit: Limit,
    },
    /// Order fewer, the idle ones first.
    Shrink {
        /// The new number, below the current one.
        to: u32,
        /// The bound that changed the wish, if one did.
        limit: Limit,
    },
}

impl Decision {
    /// The replica count after the decision, `current` before it.
    #[must_use]
    pub fn target(self, current: u32) -> u32 {
        match self {
            Self::Hold { .. } => current,
            Self::Grow { to, .. } | Self::Shrink { to, .. } => to,
        }
    }

    /// The bound that spoke.
    #[must_use]
    pub fn limit(self) -> Limit {
        match self {
            Self::Hold { limit } | Self::Grow { limit, .. } | Self::Shrink { limit, .. } => limit,
        }
    }
}

/// Compares what a scaler wants with the replicas last ordered. No data (`None`) holds, within the bounds.
///
/// A service outside its bounds is brought inside even without data: a configuration that changed counts at once.
///
/// ```
/// use portway_autoscale::{Bounds, Decision, Limit, decide};
/// let bounds = Bounds::new(1, 10).capacity(6);
/// assert_eq!(decide(4, Some(8), bounds), Decision::Grow { to: 6, limit: Limit::Capacity });
/// assert_eq!(decide(4, None, bounds), Decision::Hold { limit: Limit::None });
/// ```
#[must_use]
pub fn decide(current: u32, want: Option<u32>, bounds: Bounds) -> Decision {
    let (to, limit) = bounds.clamp(want.unwrap_or(current));
    match to.cmp(&current) {
        std::cmp::Ordering::Greater => Decision::Grow { to, limit },
        std::cmp::Ordering::Less => Decision::Shrink { to, limit },
        std::cmp::Ordering::Equal => Decision::Hold { limit },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_scl_1_more_than_wanted_shrinks_less_grows_within_min_and_max() {
        let bounds = Bounds::new(2, 5);
        assert_eq!(decide(3, Some(4), bounds), Decision::Grow { to: 4, limit: Limit::None });
        assert_eq!(decide(3, Some(9), bounds), Decision::Grow { to: 5, limit: Limit::Max });
        assert_eq!(decide(3, Some(0), bounds), Decision::Shrink { to: 2, limit: Limit::Min });
        assert_eq!(decide(5, Some(9), bounds), Decision::Hold { limit: Limit::Max });
    }

    #[test]
    fn r_scl_5_a_full_cluster_is_reported_and_never_grown() {
        let bounds = Bounds::new(1, 10).capacity(4);
        assert!(decide(4, Some(8), bounds).limit().is_capacity_bound());
        assert_eq!(decide(4, Some(8), bounds), Decision::Hold { limit: Limit::Capacity });
        let starved = Bounds::new(3, 10).capacity(2);
        assert_eq!(decide(3, Some(1), starved), Decision::Hold { limit: Limit::Starved });
    }

    #[test]
    fn r_scl_6_no_data_holds() {
        assert_eq!(decide(7, None, Bounds::new(1, 10)), Decision::Hold { limit: Limit::None });
        assert_eq!(decide(12, None, Bounds::new(1, 10)), Decision::Shrink { to: 10, limit: Limit::Max });
    }
}
