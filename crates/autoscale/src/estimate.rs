//! How much work arrives: arrival rate × service time, and how sure that is.

use std::time::Duration;

use crate::number::within;
use crate::rhythm::Rhythm;
use crate::sample::Sample;
use crate::window::{Seconds, Totals};
use crate::{Policy, RhythmPolicy};

/// An estimated load in erlangs, and the standard deviation of the estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
    /// Mean time inside a replica, in seconds; 0 while none is known.
    pub(crate) service: f64,
}

/// What is remembered of the traffic.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Estimator {
    arrivals: Seconds,
    in_flight: Seconds,
    served_seconds: f64,
    served: f64,
    /// Kept only where the policy listens for one.
    rhythm: Option<Rhythm>,
}

impl Estimator {
    pub(crate) fn new(now: Duration, rhythm: Option<RhythmPolicy>) -> Self {
        let (arrivals, in_flight) =
            (Seconds::new(ARRIVAL_SECONDS, now), Seconds::new(IN_FLIGHT_SECONDS, now));
        Self {
            arrivals,
            in_flight,
            served_seconds: 0.0,
            served: 0.0,
            rhythm: rhythm.map(|policy| Rhythm::new(policy, now)),
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.arrivals.is_sound(ARRIVAL_SECONDS)
            && self.in_flight.is_sound(IN_FLIGHT_SECONDS)
            && self.rhythm.as_ref().is_none_or(Rhythm::is_sound)
            && [self.served_seconds, self.served].iter().all(|sum| sum.is_finite() && *sum >= 0.0)
    }

    /// The same memory under another policy about rhythms.
    pub(crate) fn listening(mut self, now: Duration, rhythm: Option<RhythmPolicy>) -> Self {
        self.rhythm = rhythm
            .map(|policy| self.rhythm.map_or_else(|| Rhythm::new(policy, now), |known| known.under(policy)));
        self
    }

    /// Takes in the traffic of the `elapsed` time that ends at `now`.
    pub(crate) fn observe(&mut self, now: Duration, elapsed: Duration, sample: &Sample, decay: f64) {
        let traffic = &sample.traffic;
        self.arrivals.push(now, traffic.arrivals.min(MOST_COUNTED) as f64);
        if let Some(rhythm) = &mut self.rhythm {
            rhythm.push(now, elapsed, traffic.arrivals.min(MOST_COUNTED) as f64);
        }
        self.in_flight.push(now, traffic.in_flight.min(MOST_COUNTED as f64) * elapsed.as_secs_f64());
        if self.served > LEAST_SERVED {
            let decay = within(decay, 0.0, 1.0);
            let kept =
                if elapsed.as_nanos() == 1_000_000_000 { decay } else { decay.powf(elapsed.as_secs_f64()) };
            self.served_seconds *= kept;
            self.served *= kept;
        }
        if let Some(mean) = traffic.mean_service() {
            let completions = traffic.completions.min(MOST_COUNTED) as f64;
            self.served_seconds += mean.min(MOST_COUNTED as f64) * completions;
            self.served += completions;
        }
    }

    /// The load as of the last observation. Replicas ordered now are ready after `startup`, those on the way after `underway`.
    pub(crate) fn load(
        &self,
        policy: &Policy,
        startup: Duration,
        underway: Duration,
        sample: &Sample,
    ) -> Load {
        let traffic = &sample.traffic;
        if self.served <= 0.0 {
            // Nothing has finished yet: what is inside and what waits is all that is known.
            let mean = traffic.in_flight + traffic.waiting as f64;
            return Load { mean, deviation: mean.sqrt(), service: 0.0 };
        }
        let service = self.served_seconds / self.served;
        let (rate, deviation) = self.rate(policy, startup);
        let mean = (rate * service).max(self.in_flight_for_sure(service, policy.slowed));
        let slots = f64::from(sample.fleet.ready) * f64::from(policy.max_concurrent.get());
        let ahead = if sample.fleet.starting > 0 { underway } else { startup };
        let work = traffic.waiting as f64 * service + (mean - slots) * ahead.as_secs_f64();
        let most = mean * policy.max_wait.as_secs_f64();
        let backlog =
            policy.clearing.map_or(0.0, |clearing| work.clamp(0.0, most) / clearing.as_secs_f64().max(1.0));
        Load { mean: mean + backlog, deviation: deviation * service, service }
    }

    /// The load that a repeating rhythm brings between now and `ahead` from now.
    pub(crate) fn expect(&self, ahead: Duration) -> Option<Load> {
        let service = if self.served > 0.0 { self.served_seconds / self.served } else { return None };
        let rate = self.rhythm.as_ref()?.expect(ahead)?;
        Some(Load { mean: rate * service, deviation: (rate / 10.0).sqrt() * service, service })
    }

    /// Requests per second and the deviation of that: the base window, or a shorter one that stands clearly above it.
    fn rate(&self, policy: &Policy, startup: Duration) -> (f64, f64) {
        let base_width = (policy.base_window.as_secs() as usize).clamp(1, ARRIVAL_SECONDS - 1);
        let widest = base_width.max(TREND_SECONDS);
        let totals = self.arrivals.totals(widest);
        let deviation = |width: usize| {
            let (count, seen) = (totals.sum(width), totals.seen(width).max(SHORTEST_SEEN));
            // Silence is certain: a service may sleep.
            if count > 0.0 { (count + 1.0).sqrt() / seen } else { 0.0 }
        };
        let rate = |width: usize| totals.sum(width) / totals.seen(width).max(SHORTEST_SEEN);
        let base = rate(base_width);
        let mut best = (base, base_width);
        for width in policy.windows.map(usize::from).into_iter().filter(|width| (1..=widest).contains(width))
        {
            let rate = rate(width);
            if rate <= best.0 {
                continue;
            }
            let deviation = deviation(width);
            let less = |deviations: f64| rate - deviations.max(0.0) * deviation;
            let surges = less(policy.surge) > base;
            let counts = if surges { less(policy.caution.min(policy.noise)) } else { less(policy.noise) };
            if counts > best.0 {
                best = (counts, width);
            }
        }
        (best.0.max(trend(&totals, policy, startup)), deviation(best.1))
    }

    /// The requests that were inside replicas for sure: more than rate × time when the service has slowed.
    fn in_flight_for_sure(&self, service: f64, deviations: f64) -> f64 {
        let totals = self.in_flight.totals(5);
        let mean = totals.sum(5) / totals.seen(5).max(SHORTEST_SEEN);
        let correlated = (2.0 * service / 5.0).min(1.0);
        mean - deviations * (mean * correlated).sqrt()
    }
}

/// Where a strictly rising rate will be when a replica ordered now is ready; 0 without such a trend.
///
/// One step can touch only two of the three differences, so it cannot pass for a trend.
fn trend(totals: &Totals, policy: &Policy, startup: Duration) -> f64 {
    let (one, two, three, four) = (totals.sum(5), totals.sum(10), totals.sum(15), totals.sum(TREND_SECONDS));
    let (last, third, second, first) = (one, two - one, three - two, four - three);
    let least = (last - third).min(third - second).min(second - first);
    if least <= 0.0 || last - first <= policy.trend * (last + first).sqrt() {
        return 0.0;
    }
    let ahead = startup.saturating_add(policy.lead).as_secs_f64() / 5.0;
    (last + least * ahead).min(last * policy.most_lead.max(0.0)) / 5.0
}

/// Seconds that a trend is read from: four buckets of five.
const TREND_SECONDS: usize = 20;
/// One-second arrival counts kept.
const ARRIVAL_SECONDS: usize = 64;
/// One-second means of requests inside replicas kept.
const IN_FLIGHT_SECONDS: usize = 8;
/// Counts beyond this are taken as this: far past any fleet, far from losing digits.
const MOST_COUNTED: u64 = 1 << 40;
/// A rate over less than this many seconds says nothing.
const SHORTEST_SEEN: f64 = 0.25;
/// Below this weight the served sums are left alone, so that a long silence never forgets the service time.
const LEAST_SERVED: f64 = 1e-3;
