//! The gateway's own scaling: more cores, then more pods; fewer cores first, then fewer pods.

use std::time::Duration;

/// What a cluster is for. A dev-test cluster's gateway is never scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Purpose {
    /// Production: three gateways, scaled as they need.
    FastProd,
    /// Development and tests: one gateway, left as it is.
    DevTest,
}

/// The size of the gateway service. A cluster has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FrontendSize {
    /// Gateway pods.
    pub pods: u32,
    /// CPU of each pod, in thousandths of a core.
    pub millicores: u32,
}

/// How the gateway is scaled. None of the thresholds is published for the original; these are starting points.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FrontendPolicy {
    /// The size it is never cut below.
    pub base: FrontendSize,
    /// The size it never grows beyond.
    pub most: FrontendSize,
    /// Cores added or taken at a time, in thousandths.
    pub step: u32,
    /// Routing time (95th percentile of a window) above which it grows; 15 ms, the documented overhead.
    pub slow: Duration,
    /// Windows in a row that must be slow; 3.
    pub slow_windows: u32,
    /// CPU share in use below which it gives back cores; 0.3.
    pub down: f64,
    /// CPU share in use below which it gives back pods; 0.2, less than `down`.
    pub inward: f64,
    /// CPU share in use that a cut must not lead to; 0.6.
    pub busy: f64,
    /// How long the CPU must be low; 60 s.
    pub calm: Duration,
    /// Time between two moves; 60 s.
    pub settle: Duration,
    /// Whether it is scaled at all.
    pub enabled: bool,
}

impl FrontendPolicy {
    /// Sized by what the cluster is for and how many nodes it has: three pods of two cores (one pod on a dev-test cluster, or on fewer
    /// than three nodes as many as there are nodes), growing to one pod a node of four cores each.
    #[must_use]
    pub fn for_cluster(purpose: Purpose, nodes: u32) -> Self {
        let pods = if purpose == Purpose::DevTest { 1 } else { nodes.clamp(1, 3) };
        Self {
            base: FrontendSize { pods, millicores: 2_000 },
            most: FrontendSize { pods: nodes.max(pods), millicores: 4_000 },
            step: 500,
            slow: Duration::from_millis(15),
            slow_windows: 3,
            down: 0.3,
            inward: 0.2,
            busy: 0.6,
            calm: Duration::from_secs(60),
            settle: Duration::from_secs(60),
            enabled: purpose == Purpose::FastProd,
        }
    }
}

/// One window (about a second) of the gateway's life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrontendSample {
    /// 95th percentile of the routing time; `None` without requests.
    pub routing: Option<Duration>,
    /// CPU in use over CPU given, 1.0 for all.
    pub cpu: f64,
    /// The size in force.
    pub size: FrontendSize,
    /// Free CPU on each node that bears a pod, the least of them, in thousandths of a core.
    pub free_beside_pods: u32,
    /// More pods of the present size that the cluster has room for.
    pub free_pods: u32,
}

/// One move of the gateway's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontendMove {
    /// Nothing to do, or nothing that may be done.
    Stay,
    /// It should grow and the cluster has no room.
    CapacityBound,
    /// The same pods with more cores.
    MoreCores(FrontendSize),
    /// One pod more.
    MorePods(FrontendSize),
    /// The same pods with fewer cores.
    FewerCores(FrontendSize),
    /// One pod fewer.
    FewerPods(FrontendSize),
}

/// Decides about the gateway's own size, one move at a time.
///
/// ```
/// use portway_autoscale::{FrontendMove, FrontendPolicy, FrontendSample, FrontendScaler, FrontendSize, Purpose};
/// use std::time::Duration;
/// let mut scaler = FrontendScaler::new(FrontendPolicy::for_cluster(Purpose::FastProd, 5), Duration::ZERO);
/// let size = FrontendSize { pods: 3, millicores: 2_000 };
/// let slow = FrontendSample { routing: Some(Duration::from_millis(40)), cpu: 0.9, size, free_beside_pods: 900, free_pods: 2 };
/// let moves = [61, 62, 63].map(|second| scaler.step(Duration::from_secs(second), &slow));
/// assert_eq!(moves[2], FrontendMove::MoreCores(FrontendSize { pods: 3, millicores: 2_500 }));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FrontendScaler {
    policy: FrontendPolicy,
    moved: Duration,
    slow: u32,
    below_down: Option<Duration>,
    below_inward: Option<Duration>,
}

impl FrontendScaler {
    /// A scaler that makes its first move no earlier than one settling time after `now`.
    #[must_use]
    pub fn new(policy: FrontendPolicy, now: Duration) -> Self {
        Self { policy, moved: now, slow: 0, below_down: None, below_inward: None }
    }

    /// Takes in a window and says what to do.
    pub fn step(&mut self, now: Duration, sample: &FrontendSample) -> FrontendMove {
        let known = sample.cpu.is_finite() && sample.cpu >= 0.0;
        if !self.policy.enabled || !known {
            return FrontendMove::Stay;
        }
        self.notice(now, sample);
        if now.saturating_sub(self.moved) < self.policy.settle {
            return FrontendMove::Stay;
        }
        let action =
            if self.slow >= self.policy.slow_windows { self.grow(sample) } else { self.shrink(now, sample) };
        if !matches!(action, FrontendMove::Stay | FrontendMove::CapacityBound) {
            (self.moved, self.slow, self.below_down, self.below_inward) = (now, 0, None, None);
        }
        action
    }

    fn notice(&mut self, now: Duration, sample: &FrontendSample) {
        let is_slow = sample.routing.is_some_and(|routing| routing > self.policy.slow);
        self.slow = if is_slow { self.slow.saturating_add(1) } else { 0 };
        let since =
            |below: bool, since: Option<Duration>| if below && !is_slow { since.or(Some(now)) } else { None };
        self.below_down = since(sample.cpu < self.policy.down, self.below_down);
        self.below_inward = since(sample.cpu < self.policy.inward.min(self.policy.down), self.below_inward);
    }

    fn grow(&self, sample: &FrontendSample) -> FrontendMove {
        let (size, most) = (sample.size, self.policy.most);
        if size.millicores < most.millicores {
            let step = self.policy.step.min(most.millicores - size.millicores);
            let larger = FrontendSize { millicores: size.millicores + step, ..size };
            return if step > 0 && sample.free_beside_pods >= step {
                FrontendMove::MoreCores(larger)
            } else {
                FrontendMove::CapacityBound
            };
        }
        if size.pods >= most.pods {
            return FrontendMove::Stay;
        }
        let larger = FrontendSize { pods: size.pods + 1, ..size };
        if sample.free_pods > 0 { FrontendMove::MorePods(larger) } else { FrontendMove::CapacityBound }
    }

    fn shrink(&self, now: Duration, sample: &FrontendSample) -> FrontendMove {
        let (size, base) = (sample.size, self.policy.base);
        let calm = |since: Option<Duration>| {
            since.is_some_and(|since| now.saturating_sub(since) >= self.policy.calm)
        };
        if size.millicores > base.millicores {
            let smaller = FrontendSize {
                millicores: (size.millicores - self.policy.step.min(size.millicores)).max(base.millicores),
                ..size
            };
            let fits = self.fits(sample.cpu, f64::from(size.millicores), f64::from(smaller.millicores));
            return if calm(self.below_down) && fits && smaller != size {
                FrontendMove::FewerCores(smaller)
            } else {
                FrontendMove::Stay
            };
        }
        if size.pods <= base.pods.max(1) {
            return FrontendMove::Stay;
        }
        let smaller = FrontendSize { pods: size.pods - 1, ..size };
        let fits = self.fits(sample.cpu, f64::from(size.pods), f64::from(smaller.pods));
        if calm(self.below_inward) && fits { FrontendMove::FewerPods(smaller) } else { FrontendMove::Stay }
    }

    /// Whether the same work in less room stays clear of the load that makes it slow.
    fn fits(&self, cpu: f64, before: f64, after: f64) -> bool {
        after > 0.0 && cpu * before / after <= self.policy.busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: FrontendSize = FrontendSize { pods: 3, millicores: 2_000 };

    fn sample(size: FrontendSize, routing_ms: u64, cpu: f64) -> FrontendSample {
        FrontendSample {
            routing: Some(Duration::from_millis(routing_ms)),
            cpu,
            size,
            free_beside_pods: 1_000,
            free_pods: 2,
        }
    }

    /// Performs every move at once for `seconds`; the moves made and when.
    fn run(
        scaler: &mut FrontendScaler,
        from: u64,
        seconds: u64,
        mut now_is: FrontendSample,
    ) -> Vec<(u64, FrontendMove)> {
        let mut moves = Vec::new();
        for second in from..from + seconds {
            let action = scaler.step(Duration::from_secs(second), &now_is);
            match action {
                FrontendMove::Stay | FrontendMove::CapacityBound => continue,
                FrontendMove::MoreCores(size)
                | FrontendMove::MorePods(size)
                | FrontendMove::FewerCores(size)
                | FrontendMove::FewerPods(size) => now_is.size = size,
            }
            moves.push((second, action));
        }
        moves
    }

    fn scaler(purpose: Purpose, nodes: u32) -> FrontendScaler {
        FrontendScaler::new(FrontendPolicy::for_cluster(purpose, nodes), Duration::ZERO)
    }

    #[test]
    fn r_scl_4_slow_routing_brings_cores_then_pods_one_move_at_a_time() {
        let moves = run(&mut scaler(Purpose::FastProd, 5), 1, 600, sample(SIZE, 40, 0.9));
        let cores = moves.iter().filter(|(_, action)| matches!(action, FrontendMove::MoreCores(_))).count();
        let pods = moves.iter().filter(|(_, action)| matches!(action, FrontendMove::MorePods(_))).count();
        assert_eq!((cores, pods), (4, 2));
        assert!(moves[..4].iter().all(|(_, action)| matches!(action, FrontendMove::MoreCores(_))));
        assert!(moves.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 60));
    }

    #[test]
    fn r_scl_4_low_cpu_gives_back_cores_then_pods_and_never_less_than_the_base() {
        let large = FrontendSize { pods: 5, millicores: 3_000 };
        let moves = run(&mut scaler(Purpose::FastProd, 5), 1, 900, sample(large, 1, 0.1));
        let sizes = moves.iter().map(|(_, action)| *action).collect::<Vec<_>>();
        let fewer = |pods, millicores| FrontendSize { pods, millicores };
        assert_eq!(
            sizes[..2],
            [FrontendMove::FewerCores(fewer(5, 2_500)), FrontendMove::FewerCores(fewer(5, 2_000))]
        );
        assert_eq!(
            sizes[2..],
            [FrontendMove::FewerPods(fewer(4, 2_000)), FrontendMove::FewerPods(fewer(3, 2_000))]
        );
    }

    #[test]
    fn r_scl_4_grows_only_with_room_in_the_cluster() {
        let full = FrontendSample { free_beside_pods: 499, free_pods: 0, ..sample(SIZE, 40, 0.9) };
        let mut scaler = scaler(Purpose::FastProd, 5);
        assert!(run(&mut scaler, 1, 300, full).is_empty());
        assert_eq!(scaler.step(Duration::from_secs(301), &full), FrontendMove::CapacityBound);
        let most = FrontendSize { pods: 3, millicores: 4_000 };
        assert_eq!(
            scaler.step(Duration::from_secs(302), &FrontendSample { size: most, ..full }),
            FrontendMove::CapacityBound
        );
    }

    #[test]
    fn r_scl_4_a_dev_test_cluster_is_never_scaled() {
        assert!(run(&mut scaler(Purpose::DevTest, 5), 1, 600, sample(SIZE, 500, 1.0)).is_empty());
        assert!(run(&mut scaler(Purpose::DevTest, 5), 1, 600, sample(SIZE, 0, 0.0)).is_empty());
    }

    #[test]
    fn r_scl_4_is_sized_by_purpose_and_nodes() {
        let pods = |purpose, nodes| FrontendPolicy::for_cluster(purpose, nodes).base.pods;
        assert_eq!(
            (pods(Purpose::FastProd, 12), pods(Purpose::FastProd, 2), pods(Purpose::DevTest, 12)),
            (3, 2, 1)
        );
        assert_eq!(FrontendPolicy::for_cluster(Purpose::FastProd, 12).most.pods, 12);
    }

    #[test]
    fn a_moment_of_load_starts_the_calm_anew_and_no_data_stays() {
        let large = FrontendSize { pods: 3, millicores: 2_500 };
        let mut scaler = scaler(Purpose::FastProd, 5);
        assert!(run(&mut scaler, 1, 59, sample(large, 1, 0.1)).is_empty());
        assert!(run(&mut scaler, 60, 1, sample(large, 1, 0.5)).is_empty());
        assert!(run(&mut scaler, 61, 59, sample(large, 1, 0.1)).is_empty());
        assert!(run(&mut scaler, 120, 1, sample(large, 1, f64::NAN)).is_empty());
        assert_eq!(run(&mut scaler, 121, 1, sample(large, 1, 0.1)).len(), 1);
    }

    #[test]
    fn a_cut_that_would_make_it_busy_is_not_made() {
        let policy = FrontendPolicy { down: 0.58, ..FrontendPolicy::for_cluster(Purpose::FastProd, 5) };
        let large = FrontendSize { pods: 3, millicores: 2_500 };
        let mut scaler = FrontendScaler::new(policy, Duration::ZERO);
        assert!(run(&mut scaler, 1, 300, sample(large, 1, 0.55)).is_empty());
    }
}
