//! The one-second tick of a version: what was counted becomes a sample, the sample a wish, the wish an order.

use std::collections::VecDeque;
use std::time::Duration;

use portway_autoscale::{
    Autoscaler, Bounds, Decision, FleetState, Policy, Sample, Scaler as _, Target, Traffic, decide,
};
use portway_backend::{ReplicaId, Status};
use portway_deploy_config::{Replicas, VersionSpec};

use crate::lane::Lane;
use crate::stats::{Latencies, Totals, Window};

/// What is remembered of a version between two ticks.
pub(crate) struct Scaling {
    scaler: Option<(Policy, Autoscaler)>,
    last: Totals,
    ticked: Option<Duration>,
    decided: Option<Duration>,
    recent: VecDeque<(Duration, u64, Latencies)>,
    /// The backend said that it has no room beyond this, until then.
    full: Option<(u32, Duration)>,
    trouble: String,
}

/// A number of replicas to ask for, and those that may go.
#[derive(Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) to: u32,
    pub(crate) drained: Vec<ReplicaId>,
}

impl Scaling {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            scaler: None,
            last: Totals::default(),
            ticked: None,
            decided: None,
            recent: VecDeque::from([(now, 0, Latencies::default())]),
            full: None,
            trouble: String::new(),
        }
    }

    /// Takes in what happened since the last tick. `Some` is a wish of the scaler, whoever may act on it.
    fn observe(
        &mut self,
        now: Duration,
        lane: &Lane,
        spec: &VersionSpec,
        status: &Status,
        base: &Policy,
    ) -> Option<u32> {
        let Replicas::Auto(auto) = spec.replicas else {
            self.scaler = None;
            return Some(spec.replicas.initial());
        };
        let due = self.decided.is_none_or(|decided| now.saturating_sub(decided) >= auto.refresh());
        if !due {
            return None;
        }
        self.decided = Some(now);
        let target = Target::percent(u16::from(auto.target_percent())).unwrap_or_default();
        let (max_concurrent, max_wait) = (spec.max_concurrent, lane.queue_wait());
        let policy = Policy { target, max_concurrent, max_wait, ..base.clone() };
        let sample = self.sample(lane, status);
        let present = status.wanted.max(status.ready());
        match &mut self.scaler {
            Some((known, scaler)) if *known == policy => scaler.want(now, &sample),
            // A new policy goes on from what the old one has learned; what is there counts as wanted, now and at the
            // beginning, since an empty memory would read as idle.
            scaler => {
                let next = match scaler.as_ref() {
                    Some((_, old)) => Autoscaler::resume(policy.clone(), now, present, &old.save()),
                    None => Autoscaler::new(policy.clone(), now, present),
                };
                *scaler = Some((policy, next));
                None
            }
        }
    }

    fn sample(&mut self, lane: &Lane, status: &Status) -> Sample {
        let (totals, load) = (lane.stats.totals(), lane.load());
        let since = |now: u64, then: u64| now.saturating_sub(then);
        let traffic = Traffic {
            arrivals: since(totals.arrivals, self.last.arrivals),
            completions: since(totals.completions, self.last.completions),
            rejected: since(totals.rejected, self.last.rejected),
            service_seconds: since(totals.service_micros, self.last.service_micros) as f64 / 1e6,
            service_seconds_squared: since(totals.service_squares, self.last.service_squares) as f64 * 1024.0
                / 1e12,
            busy: f64::from(load.occupied),
            in_flight: f64::from(load.busy),
            queued: f64::from(load.queued),
            waiting: u64::from(load.queued),
        };
        self.last = totals;
        let ready = status.ready();
        let fleet = FleetState {
            ready,
            starting: status.wanted.saturating_sub(ready),
            draining: load.draining,
            desired: status.wanted,
            startup: None,
        };
        Sample { traffic, fleet }
    }

    /// What to ask the backend for now; `None` to leave it.
    pub(crate) fn step(
        &mut self,
        now: Duration,
        lane: &std::sync::Arc<Lane>,
        spec: &VersionSpec,
        status: &Status,
        base: &Policy,
    ) -> Option<Order> {
        let want = self.observe(now, lane, spec, status, base);
        let load = lane.load();
        // Scale from zero does not wait for statistics.
        let asleep = status.wanted == 0 && load.queued > 0;
        let want = if asleep { Some(want.unwrap_or(0).max(1)) } else { want };
        let bounds = self.bounds(now, spec);
        let decision = decide(status.wanted, want, bounds);
        let bound = decision.limit().is_capacity_bound();
        if bound && self.trouble.is_empty() {
            self.trouble = "the cluster has no room for more replicas".into();
        }
        let order = match decision {
            Decision::Hold { .. } => {
                // Without a wish nobody has changed their mind about those that leave.
                if want.is_some() {
                    lane.drain(0);
                }
                None
            }
            Decision::Grow { to, .. } => {
                lane.drain(0);
                // What the backend had no room for is not asked again for a while, even where the least is more.
                let has_room = self.full.is_none_or(|(room, _)| to <= room);
                has_room.then(|| Order { to, drained: Vec::new() })
            }
            Decision::Shrink { to, .. } => shrink(lane, status, to),
        };
        // What kept the last order from being done is told until the next one is answered.
        if order.is_none() && !bound {
            self.clear_trouble();
        }
        order
    }

    fn bounds(&mut self, now: Duration, spec: &VersionSpec) -> Bounds {
        let bounds = match spec.replicas {
            Replicas::Fixed(count) => Bounds::new(count.get(), count.get()),
            Replicas::Auto(auto) => Bounds::new(auto.min(), auto.max()),
        };
        match self.full {
            Some((room, until)) if now < until => bounds.capacity(room),
            _ => {
                self.full = None;
                bounds
            }
        }
    }

    /// The backend cannot hold more than `room`: not asked again for a while.
    pub(crate) fn capacity_reached(&mut self, now: Duration, room: u32, message: String) {
        self.full = Some((room, now.saturating_add(CAPACITY_PAUSE)));
        self.trouble = message;
    }

    pub(crate) fn set_trouble(&mut self, message: String) {
        self.trouble = message;
    }

    /// Nothing is wrong any more, unless the backend is full.
    pub(crate) fn clear_trouble(&mut self) {
        if self.full.is_none() {
            self.trouble.clear();
        }
    }

    /// The last seconds, for status and metrics.
    pub(crate) fn window(&mut self, now: Duration, lane: &Lane, status: &Status) {
        if self.ticked.is_some_and(|ticked| now.saturating_sub(ticked) < TICK / 2) {
            return;
        }
        self.ticked = Some(now);
        let arrivals = lane.stats.totals().arrivals;
        self.recent.push_back((now, arrivals, lane.stats.take_latencies()));
        while self.recent.len() > WINDOW_TICKS + 1 {
            self.recent.pop_front();
        }
        let mut latencies = Latencies::default();
        for (_, _, part) in self.recent.iter().skip(1) {
            latencies.add(part);
        }
        let rps = self.recent.front().map_or(0.0, |(then, before, _)| {
            let seconds = now.saturating_sub(*then).as_secs_f64();
            if seconds > 0.0 { arrivals.saturating_sub(*before) as f64 / seconds } else { 0.0 }
        });
        let trouble = if self.trouble.is_empty() { status.message.clone() } else { self.trouble.clone() };
        lane.window.store(std::sync::Arc::new(Window {
            rps,
            p50: latencies.quantile(500),
            p99: latencies.quantile(990),
            wanted: status.wanted,
            trouble,
        }));
    }
}

/// Fewer replicas: those that still start go first, then idle ones that were drained here and are named.
fn shrink(lane: &std::sync::Arc<Lane>, status: &Status, to: u32) -> Option<Order> {
    let ready = status.ready();
    if status.wanted > ready {
        return Some(Order { to: to.max(ready), drained: Vec::new() });
    }
    lane.drain(ready.saturating_sub(to) as usize);
    let drained = lane.drained();
    let gone = u32::try_from(drained.len()).unwrap_or(u32::MAX);
    (gone > 0).then(|| Order { to: ready.saturating_sub(gone).max(to), drained })
}

pub(crate) const TICK: Duration = Duration::from_secs(1);
const WINDOW_TICKS: usize = 10;
const CAPACITY_PAUSE: Duration = Duration::from_secs(30);
