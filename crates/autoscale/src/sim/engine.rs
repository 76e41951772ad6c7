//! The event loop.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::fleet::{Fleet, Id};
use super::{Outcome, Random, Second, Service, Workload};
use crate::{Bounds, Decision, FleetState, Sample, Scaler, Traffic, decide};

/// Everything about a simulation but the traffic and the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The service.
    pub service: Service,
    /// Least and most replicas, and the room in the cluster at the start.
    pub bounds: Bounds,
    /// Later changes of the room: from when, and how many replicas fit.
    pub room: Vec<(Duration, u32)>,
    /// Replicas that are ready at the start.
    pub initial: u32,
    /// Time between decisions; 1 s.
    pub refresh: Duration,
    /// Where chance starts.
    pub seed: u64,
}

impl Scenario {
    /// One replica to begin with, 1 to 1 000 allowed, a decision every second.
    #[must_use]
    pub fn new(service: Service) -> Self {
        let (bounds, refresh) = (Bounds::new(1, 1_000), Duration::from_secs(1));
        Self { service, bounds, room: Vec::new(), initial: 1, refresh, seed: 0 }
    }

    pub(super) fn arrivals(&self, workload: &Workload) -> Vec<u64> {
        workload.draw(&mut Random::new(self.seed))
    }

    /// Service times belong to the requests, not to the policy: the same for everyone who simulates this scenario.
    pub(super) fn service_times(&self) -> Random {
        Random::new(self.seed ^ 0xA5A5_5A5A)
    }
}

/// Runs a policy against a workload.
#[must_use]
pub fn simulate(scenario: &Scenario, workload: &Workload, scaler: &mut dyn Scaler) -> Outcome {
    let mut run = Run::new(scenario, workload);
    let (arrivals, end) = (scenario.arrivals(workload), nanos(workload.length()));
    let refresh = nanos(scenario.refresh).max(1);
    let (mut next, mut tick) = (0, refresh);
    while tick <= end {
        let arrival = arrivals.get(next).copied().unwrap_or(u64::MAX);
        let event = run.events.peek().map_or(u64::MAX, |event| event.0.0);
        if event <= arrival && event <= tick {
            run.event();
        } else if arrival <= tick {
            next += 1;
            run.arrive(arrival);
        } else {
            run.tick(tick, scaler);
            tick += refresh;
        }
    }
    run.outcome.length = workload.length();
    run.outcome
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ready(Id),
    Finished(Id, u64),
}

struct Run<'a> {
    scenario: &'a Scenario,
    now: u64,
    fleet: Fleet,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    /// Waiting requests: when each arrived, and how long it will take.
    queue: VecDeque<(u64, u64)>,
    service_times: Random,
    max_wait: u64,
    wait_slo: u64,
    traffic: Traffic,
    since: u64,
    desired: u32,
    last_cut: Option<u64>,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, workload: &Workload) -> Self {
        let mut fleet = Fleet::new(scenario.service.max_concurrent.get());
        for _ in 0..scenario.initial {
            let id = fleet.start();
            fleet.ready(id);
        }
        let seconds = Vec::with_capacity(workload.length().as_secs() as usize);
        Self {
            scenario,
            now: 0,
            fleet,
            events: BinaryHeap::new(),
            queue: VecDeque::new(),
            service_times: scenario.service_times(),
            max_wait: nanos(scenario.service.max_wait),
            wait_slo: nanos(scenario.service.wait_slo),
            traffic: Traffic::default(),
            since: 0,
            desired: scenario.initial,
            last_cut: None,
            outcome: Outcome { seconds, ..Outcome::default() },
        }
    }

    /// Lets time pass, adding up what stands meanwhile.
    fn pass(&mut self, to: u64) {
        let seconds = (to - self.now) as f64 / 1e9;
        self.now = to;
        self.traffic.busy += f64::from(self.fleet.busy) * seconds;
        self.traffic.in_flight += self.fleet.in_flight as f64 * seconds;
        self.traffic.queued += self.queue.len() as f64 * seconds;
        self.outcome.replica_seconds += f64::from(self.fleet.paid()) * seconds;
    }

    fn event(&mut self) {
        let Some(Reverse((at, event))) = self.events.pop() else { return };
        self.pass(at);
        match event {
            Event::Ready(id) => {
                self.fleet.ready(id);
            }
            Event::Finished(id, took) => {
                let seconds = took as f64 / 1e9;
                self.fleet.finish(id);
                self.traffic.completions += 1;
                self.traffic.service_seconds += seconds;
                self.traffic.service_seconds_squared += seconds * seconds;
            }
        }
        self.dispatch();
    }

    fn arrive(&mut self, at: u64) {
        self.pass(at);
        self.traffic.arrivals += 1;
        self.outcome.requests += 1;
        let takes = self.scenario.service.draw(&mut self.service_times);
        self.queue.push_back((at, takes));
        self.dispatch();
    }

    fn dispatch(&mut self) {
        self.expire();
        while let Some(&(arrived, takes)) = self.queue.front() {
            let Some(id) = self.fleet.assign() else { return };
            self.queue.pop_front();
            let waited = self.now - arrived;
            self.outcome.started_in_time += u64::from(waited <= self.wait_slo);
            self.outcome.started_at_once += u64::from(waited == 0);
            self.events.push(Reverse((self.now + takes, Event::Finished(id, takes))));
        }
    }

    fn expire(&mut self) {
        while self.queue.front().is_some_and(|&(arrived, _)| self.now - arrived > self.max_wait) {
            self.queue.pop_front();
            self.traffic.rejected += 1;
            self.outcome.refused += 1;
        }
    }

    fn tick(&mut self, at: u64, scaler: &mut dyn Scaler) {
        self.pass(at);
        self.expire();
        let sample = self.sample(at);
        self.since = at;
        let now = Duration::from_nanos(at);
        let decision = decide(self.desired, scaler.want(now, &sample), self.bounds(now));
        self.outcome.capacity_bound += u64::from(decision.limit().is_capacity_bound());
        self.perform(at, decision);
        self.outcome.seconds.push(Second {
            arrivals: sample.traffic.arrivals,
            refused: sample.traffic.rejected,
            waiting: sample.traffic.waiting,
            ready: sample.fleet.ready,
            starting: sample.fleet.starting,
            desired: self.desired,
        });
    }

    fn sample(&mut self, at: u64) -> Sample {
        let seconds = (at - self.since) as f64 / 1e9;
        let mut traffic = std::mem::take(&mut self.traffic);
        traffic.busy /= seconds;
        traffic.in_flight /= seconds;
        traffic.queued /= seconds;
        traffic.waiting = self.queue.len() as u64;
        let fleet = FleetState {
            ready: self.fleet.ready,
            starting: self.fleet.starting(),
            draining: self.fleet.draining,
            desired: self.desired,
            startup: Some(self.scenario.service.startup),
        };
        Sample { traffic, fleet }
    }

    fn bounds(&self, now: Duration) -> Bounds {
        let room = self.scenario.room.iter().rev().find(|&&(from, _)| from <= now).map(|&(_, room)| room);
        Bounds { capacity: room.or(self.scenario.bounds.capacity), ..self.scenario.bounds }
    }

    fn perform(&mut self, at: u64, decision: Decision) {
        match decision {
            Decision::Hold { .. } => {}
            Decision::Grow { to, .. } => {
                self.outcome.raises += 1;
                let soon = self.last_cut.is_some_and(|cut| at - cut <= SOON);
                self.outcome.raises_after_cuts += u64::from(soon);
                for _ in self.desired..to {
                    let id = self.fleet.start();
                    self.events.push(Reverse((at + nanos(self.scenario.service.startup), Event::Ready(id))));
                }
            }
            Decision::Shrink { to, .. } => {
                self.outcome.cuts += 1;
                self.last_cut = Some(at);
                (to..self.desired).for_each(|_| self.fleet.retire());
            }
        }
        self.desired = decision.target(self.desired);
    }
}

/// A raise this soon after a cut shows that the cut was a mistake: a minute.
const SOON: u64 = 60_000_000_000;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
