//! The scaler that the presets describe.

use std::time::Duration;

use crate::erlang::servers_for;
use crate::estimate::{Estimator, Load};
use crate::policy::{Policy, Sizing};
use crate::sample::Sample;
use crate::scaler::Scaler;
use crate::window::Peaks;

/// Decides by arrival rate × service time: quick to add, slow to remove.
///
/// It starts with a memory in which the replicas it found were wanted, so a restart holds a fleet for a full window before it
/// shrinks it. A sample that cannot be true, or a time that does not grow, is counted in [`faults`](Self::faults) and answered with
/// no data.
///
/// ```
/// use portway_autoscale::{Autoscaler, FleetState, Policy, Preset, Sample, Scaler, Traffic};
/// use std::time::Duration;
/// let mut scaler = Autoscaler::new(Policy::preset(Preset::Documented), Duration::ZERO, 1);
/// let traffic = Traffic { arrivals: 20, completions: 20, service_seconds: 20.0, ..Traffic::default() };
/// let sample = Sample { traffic, fleet: FleetState::settled(1) };
/// assert_eq!(scaler.want(Duration::from_secs(1), &sample), Some(29));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaler {
    policy: Policy,
    state: State,
}

/// Everything that is remembered between two decisions.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct State {
    last: Duration,
    faults: u64,
    estimator: Estimator,
    kept: Peaks,
    hold: Duration,
    cut: Option<Duration>,
    regretted: Duration,
    raised: Duration,
}

impl Autoscaler {
    /// A scaler that finds `replicas` at `now` and takes them as wanted until a full hold has passed.
    #[must_use]
    pub fn new(policy: Policy, now: Duration, replicas: u32) -> Self {
        let state = State {
            last: now,
            faults: 0,
            estimator: Estimator::new(now, policy.rhythm),
            kept: Peaks::new(policy.longest(), now, replicas),
            hold: policy.hold,
            cut: None,
            regretted: now,
            raised: now,
        };
        Self { policy, state }
    }

    /// A scaler that goes on from a state that was [`save`](Self::save)d, finding `replicas` at `now`.
    ///
    /// Never a reason to shrink: what it finds counts as wanted for a full hold. A state of another version, a damaged one, or one from
    /// after `now` (another origin of time) is as good as none, and the scaler starts afresh.
    #[must_use]
    pub fn resume(policy: Policy, now: Duration, replicas: u32, saved: &Saved) -> Self {
        let mut fresh = Self::new(policy, now, replicas);
        let state = &saved.state;
        if saved.version == STATE_VERSION && state.is_sound() && state.last <= now {
            let longest = fresh.policy.longest();
            let hold = state.hold.clamp(fresh.policy.hold, longest);
            let (kept, state) = (state.kept.resized(longest, now, replicas), state.clone());
            let estimator = state.estimator.listening(now, fresh.policy.rhythm);
            fresh.state = State { kept, hold, estimator, ..state };
        }
        fresh
    }

    /// Everything it remembers, to be stored.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved { version: STATE_VERSION, state: self.state.clone() }
    }

    /// What it goes by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Samples that could not be used: impossible numbers, or a time that did not grow.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.state.faults
    }

    /// The number of replicas for a load.
    fn size(&self, load: Load, deviations: f64) -> u32 {
        let policy = &self.policy;
        let erlangs = (load.mean + (deviations + policy.margin.max(0.0)) * load.deviation).max(0.0);
        let concurrent = f64::from(policy.max_concurrent.get());
        let by_target = whole(erlangs / (policy.target.fraction() * concurrent));
        let floor = || {
            let slots = servers_for(erlangs, load.service, policy.wait_slo.as_secs_f64(), policy.late);
            slots.div_ceil(policy.max_concurrent.get())
        };
        match policy.sizing {
            Sizing::Target => by_target,
            Sizing::TargetAndFloor => by_target.max(floor()),
            Sizing::Floor => floor(),
        }
    }

    fn answer(&mut self, now: Duration, sample: &Sample) -> u32 {
        let (current, doubt) = (sample.fleet.desired, self.policy.doubt.max(0.0));
        let startup = sample.fleet.startup.unwrap_or(self.policy.startup);
        let underway = startup.saturating_sub(now.saturating_sub(self.state.raised));
        let load = self.state.estimator.load(&self.policy, startup, underway, sample);
        // A request that is there needs a replica, however rare its like.
        let least = u32::from(sample.traffic.waiting > 0 || sample.traffic.in_flight > 0.0);
        self.state.kept.push(now, self.size(load, doubt).max(least));
        let next = self.expect(startup);
        let size = |deviations| {
            let next = next.map_or(0, |next| self.size(next, deviations));
            self.size(load, deviations).max(next).max(least)
        };
        let wanted = size(0.0);
        if wanted > current && size(-doubt) > current {
            self.learn_from_raise(now, current, wanted);
            self.state.raised = now;
            return wanted;
        }
        self.relax(now);
        let kept = self.state.kept.over(now, self.state.hold).unwrap_or(current);
        if kept >= current {
            return current;
        }
        // What the rhythm needs again within a hold is not worth stopping.
        let again =
            self.expect(startup.saturating_add(self.policy.hold)).map_or(0, |next| self.size(next, doubt));
        let kept = kept.max(again).min(current);
        if kept < current {
            self.state.cut = Some(now);
        }
        kept
    }

    /// The load that the rhythm brings from now until `ahead`, where there is one.
    fn expect(&self, ahead: Duration) -> Option<Load> {
        self.state.estimator.expect(ahead)
    }

    /// A raise soon after a cut says that the cut was too early: next time hold longer than the gap was.
    fn learn_from_raise(&mut self, now: Duration, current: u32, wanted: u32) {
        let (longest, hold) = (self.policy.longest(), self.state.hold);
        let gap = self.state.cut.map(|cut| now.saturating_sub(cut).saturating_add(hold));
        let Some(gap) = gap.filter(|gap| *gap <= longest) else { return };
        if f64::from(wanted) >= f64::from(current) * (1.0 + self.policy.regret) {
            let stretched = gap.as_secs_f64() * self.policy.stretch;
            self.state.hold = Duration::try_from_secs_f64(stretched).unwrap_or(longest).clamp(hold, longest);
            self.state.regretted = now;
            self.state.cut = None;
        }
    }

    /// Four holds without regret: hold half as long.
    fn relax(&mut self, now: Duration) {
        if self.state.hold > self.policy.hold
            && now.saturating_sub(self.state.regretted) > self.state.hold.saturating_mul(4)
        {
            self.state.hold = (self.state.hold / 2).max(self.policy.hold);
            self.state.regretted = now;
        }
    }
}

impl Scaler for Autoscaler {
    fn want(&mut self, now: Duration, sample: &Sample) -> Option<u32> {
        if now <= self.state.last || now > LATEST || !sample.traffic.is_plausible() {
            self.state.faults = self.state.faults.saturating_add(1);
            return None;
        }
        let elapsed = now - self.state.last;
        self.state.last = now;
        self.state.estimator.observe(now, elapsed, sample, self.policy.service_memory);
        Some(self.answer(now, sample))
    }
}

/// The memory of an [`Autoscaler`], versioned; opaque but for serde.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Saved {
    version: u16,
    state: State,
}

/// A time past this cannot be one: some thirty thousand years.
const LATEST: Duration = Duration::from_secs(1 << 40);
/// The version of [`Saved`] that this crate writes and reads.
const STATE_VERSION: u16 = 1;

impl State {
    fn is_sound(&self) -> bool {
        self.estimator.is_sound() && self.kept.is_sound(self.last)
    }
}

/// Rounds up; a quotient that is whole but for the last digits of the arithmetic counts as whole.
fn whole(replicas: f64) -> u32 {
    (replicas * (1.0 - 1e-12)).ceil().clamp(0.0, f64::from(u32::MAX)) as u32
}
