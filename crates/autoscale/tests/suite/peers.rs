//! Peers' documented rules, as fixtures: rules and constants only, on the same samples as our own policies.

use std::collections::VecDeque;
use std::time::Duration;

use portway_autoscale::{Sample, Scaler};

/// Samples of the last while, by time.
#[derive(Debug, Default)]
struct History {
    values: VecDeque<(Duration, f64)>,
}

impl History {
    fn push(&mut self, now: Duration, value: f64, longest: u64) {
        self.values.push_back((now, value));
        let longest = Duration::from_secs(longest);
        while self.values.front().is_some_and(|&(at, _)| now - at >= longest) {
            self.values.pop_front();
        }
    }

    fn last(&self, now: Duration, seconds: u64) -> impl Iterator<Item = f64> {
        let window = Duration::from_secs(seconds);
        self.values.iter().rev().take_while(move |&&(at, _)| now - at < window).map(|&(_, value)| value)
    }

    fn mean(&self, now: Duration, seconds: u64) -> f64 {
        let (sum, count) =
            self.last(now, seconds).fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        if count > 0.0 { sum / count } else { 0.0 }
    }

    fn max(&self, now: Duration, seconds: u64) -> f64 {
        self.last(now, seconds).fold(0.0, f64::max)
    }
}

fn up(value: f64) -> u32 {
    (value - 1e-9).ceil().clamp(0.0, 1e9) as u32
}

/// The documented rule: busy (by choice with the queue) over target, up at once, down to the maximum of a minute.
#[derive(Debug)]
pub(crate) struct Documented {
    pub(crate) target: f64,
    pub(crate) concurrent: f64,
    pub(crate) with_queue: bool,
    answers: History,
}

impl Documented {
    pub(crate) fn new(target: f64, concurrent: f64, with_queue: bool) -> Self {
        Self { target, concurrent, with_queue, answers: History::default() }
    }
}

impl Scaler for Documented {
    fn want(&mut self, now: Duration, sample: &Sample) -> Option<u32> {
        let traffic = &sample.traffic;
        let used = traffic.in_flight + if self.with_queue { traffic.queued } else { 0.0 };
        self.answers.push(now, f64::from(up(used / (self.target * self.concurrent))), 60);
        Some(self.answers.max(now, 60) as u32)
    }
}

/// Knative's pod autoscaler: two windows of concurrency, panic mode, by default no delay on the way down.
#[derive(Debug)]
pub(crate) struct Knative {
    pub(crate) target: f64,
    pub(crate) concurrent: f64,
    pub(crate) delay: u64,
    demand: History,
    answers: History,
    panic_until: Option<Duration>,
    most_in_panic: u32,
    answer: Option<u32>,
}

impl Knative {
    pub(crate) fn new(target: f64, concurrent: f64, delay: u64, initial: u32) -> Self {
        let panic_until = (initial > 1).then_some(Duration::from_secs(60));
        Self {
            target,
            concurrent,
            delay,
            demand: History::default(),
            answers: History::default(),
            panic_until,
            most_in_panic: initial,
            answer: None,
        }
    }
}

impl Scaler for Knative {
    fn want(&mut self, now: Duration, sample: &Sample) -> Option<u32> {
        self.demand.push(now, sample.traffic.in_flight + sample.traffic.queued, 60);
        if now.as_secs() % 2 == 1 {
            return self.answer;
        }
        let ready = sample.fleet.ready.max(1);
        let per_pod = self.target * self.concurrent;
        let (stable, panic) =
            (up(self.demand.mean(now, 60) / per_pod), up(self.demand.mean(now, 6) / per_pod));
        let clamp = |want: u32| want.clamp(ready / 2, ready.saturating_mul(1_000));
        let mut want = clamp(stable);
        if f64::from(panic) / f64::from(ready) >= 2.0 {
            if self.panic_until.is_none() {
                self.most_in_panic = 0;
            }
            self.panic_until = Some(now + Duration::from_secs(60));
        } else if self.panic_until.is_some_and(|until| now >= until) {
            self.panic_until = None;
            self.most_in_panic = 0;
        }
        if self.panic_until.is_some() {
            self.most_in_panic = self.most_in_panic.max(clamp(panic)).max(want);
            want = self.most_in_panic;
        }
        self.answers.push(now, f64::from(want), self.delay.max(1));
        self.answer = Some(if self.delay > 0 { self.answers.max(now, self.delay) as u32 } else { want });
        self.answer
    }
}

/// What a horizontal pod autoscaler looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Metric {
    Utilisation,
    Concurrency,
}

/// Kubernetes' horizontal pod autoscaler: every 15 s, tolerance 10 %, doubling or four more, five minutes down.
#[derive(Debug)]
pub(crate) struct Hpa {
    pub(crate) target: f64,
    pub(crate) concurrent: f64,
    pub(crate) metric: Metric,
    used: History,
    answers: History,
    answer: Option<u32>,
}

impl Hpa {
    pub(crate) fn new(target: f64, concurrent: f64, metric: Metric) -> Self {
        Self {
            target,
            concurrent,
            metric,
            used: History::default(),
            answers: History::default(),
            answer: None,
        }
    }
}

impl Scaler for Hpa {
    fn want(&mut self, now: Duration, sample: &Sample) -> Option<u32> {
        let (traffic, current) = (&sample.traffic, sample.fleet.desired);
        let queued = if self.metric == Metric::Concurrency { traffic.queued } else { 0.0 };
        self.used.push(now, traffic.in_flight + queued, 15);
        if !now.as_secs().is_multiple_of(15) {
            return self.answer;
        }
        let used = self.used.mean(now, 15);
        let pods = match self.metric {
            // Pods that are not ready count as unused on the way up.
            Metric::Utilisation
                if used / f64::from(sample.fleet.ready.max(1)) > self.target * self.concurrent =>
            {
                current
            }
            Metric::Utilisation => sample.fleet.ready,
            Metric::Concurrency => current,
        };
        let ratio = used / (f64::from(pods.max(1)) * self.target * self.concurrent);
        let raw = if (ratio - 1.0).abs() <= 0.1 { current } else { up(ratio * f64::from(pods.max(1))) };
        self.answers.push(now, f64::from(raw), 300);
        let lowest = self.answers.max(now, 300) as u32;
        let limit = (2 * current).max(current + 4);
        self.answer = Some(if raw > current { raw.min(limit) } else { lowest.min(current) });
        self.answer
    }
}

/// Ray Serve's rule: ongoing and queued over target, averaged, and only after the same direction held for the delay.
#[derive(Debug)]
pub(crate) struct Ray {
    pub(crate) target: f64,
    pub(crate) concurrent: f64,
    pub(crate) look_back: u64,
    pub(crate) up_delay: u32,
    pub(crate) down_delay: u32,
    ongoing: History,
    /// Seconds in a row that more (positive) or fewer were wanted.
    row: i64,
}

impl Ray {
    pub(crate) fn new(target: f64, concurrent: f64, look_back: u64, up_delay: u32, down_delay: u32) -> Self {
        Self { target, concurrent, look_back, up_delay, down_delay, ongoing: History::default(), row: 0 }
    }
}

impl Scaler for Ray {
    fn want(&mut self, now: Duration, sample: &Sample) -> Option<u32> {
        self.ongoing.push(now, sample.traffic.in_flight + sample.traffic.queued, self.look_back);
        let current = sample.fleet.desired;
        let want = up(self.ongoing.mean(now, self.look_back) / (self.target * self.concurrent)).max(1);
        self.row = match want.cmp(&current) {
            std::cmp::Ordering::Greater => self.row.max(0) + 1,
            std::cmp::Ordering::Less => self.row.min(0) - 1,
            std::cmp::Ordering::Equal => 0,
        };
        let ripe = self.row >= i64::from(self.up_delay) || self.row <= -i64::from(self.down_delay);
        if ripe && self.row != 0 {
            self.row = 0;
            return Some(want);
        }
        Some(current)
    }
}
