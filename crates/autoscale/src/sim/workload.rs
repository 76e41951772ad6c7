//! Traffic over time: shapes made up and traces replayed.

use std::time::Duration;

use super::Random;

/// Requests per second, second by second.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    rates: Vec<f64>,
    arrivals: Arrivals,
}

/// How a second's rate becomes requests.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Arrivals {
    /// As many as chance gives around the rate.
    Poisson,
    /// Exactly as many as recorded.
    Counted,
}

impl Workload {
    /// A rate for each second of `length`, by its number; negative counts as 0.
    #[must_use]
    pub fn from_rate(length: Duration, rate: impl FnMut(f64) -> f64) -> Self {
        let rates =
            (0..length.as_secs()).map(|second| second as f64).map(rate).map(|rate| rate.max(0.0)).collect();
        Self { rates, arrivals: Arrivals::Poisson }
    }

    /// The same rate throughout.
    #[must_use]
    pub fn constant(length: Duration, rate: f64) -> Self {
        Self::from_rate(length, |_| rate)
    }

    /// `before` until `at`, `after` from then on.
    #[must_use]
    pub fn step(length: Duration, at: Duration, before: f64, after: f64) -> Self {
        Self::from_rate(length, |t| if t < at.as_secs_f64() { before } else { after })
    }

    /// `before` until `from`, a straight line until `until`, `after` from then on.
    #[must_use]
    pub fn ramp(length: Duration, from: Duration, until: Duration, before: f64, after: f64) -> Self {
        let (from, until) = (from.as_secs_f64(), until.as_secs_f64());
        let share = move |t: f64| ((t - from) / (until - from).max(1.0)).clamp(0.0, 1.0);
        Self::from_rate(length, |t| before + (after - before) * share(t))
    }

    /// A sine around `mean`, starting at it and rising.
    #[must_use]
    pub fn sine(length: Duration, period: Duration, mean: f64, amplitude: f64) -> Self {
        let period = period.as_secs_f64().max(1.0);
        Self::from_rate(length, |t| mean + amplitude * (std::f64::consts::TAU * t / period).sin())
    }

    /// `base`, and `peak` for `width` at the start of every `period`.
    #[must_use]
    pub fn spikes(length: Duration, period: Duration, width: Duration, base: f64, peak: f64) -> Self {
        let period = period.as_secs_f64().max(1.0);
        Self::from_rate(length, |t| if t % period < width.as_secs_f64() { peak } else { base })
    }

    /// `rate` for `on`, nothing for `off`, and so on.
    #[must_use]
    pub fn on_off(length: Duration, on: Duration, off: Duration, rate: f64) -> Self {
        Self::spikes(length, on.saturating_add(off), on, 0.0, rate)
    }

    /// `base`, and at `at` a rush to `peak` within ten seconds that fades by half every `half_life`.
    #[must_use]
    pub fn flash_crowd(length: Duration, at: Duration, half_life: Duration, base: f64, peak: f64) -> Self {
        let half_life = half_life.as_secs_f64().max(1.0);
        Self::from_rate(length, |t| {
            let since = t - at.as_secs_f64();
            let rush = if since < 0.0 {
                0.0
            } else {
                (since / 10.0).min(1.0) * 0.5_f64.powf((since - 10.0).max(0.0) / half_life)
            };
            base + (peak - base) * rush
        })
    }

    /// `base` with bursts that begin at random, every `gap` on average; heights and lengths are heavy-tailed (Pareto 1.5).
    #[must_use]
    pub fn bursts(length: Duration, gap: Duration, base: f64, seed: u64) -> Self {
        let (mut random, end) = (Random::new(seed), length.as_secs_f64());
        let mut rates = vec![base; length.as_secs() as usize];
        let mut at = random.exponential(gap.as_secs_f64());
        while at < end {
            let (lasts, height) =
                (random.pareto(10.0, 1.5).min(300.0), (base * random.pareto(0.7, 1.5)).min(base * 6.0));
            rates.iter_mut().skip(at as usize).take(lasts as usize).for_each(|rate| *rate += height);
            at += random.exponential(gap.as_secs_f64()).max(1.0);
        }
        Self { rates, arrivals: Arrivals::Poisson }
    }

    /// A trace of your own: lines `requests` or `second,requests`, requests counted per second. A first line of words is a header;
    /// seconds left out had none. Replayed exactly as counted, spread at random within each second.
    ///
    /// # Errors
    /// [`InvalidTrace`] names the first line that is neither, goes back in time, or lies past a year.
    pub fn from_csv(text: &str) -> Result<Self, InvalidTrace> {
        let mut rates: Vec<f64> = Vec::new();
        let is_header = |line: &str| line.chars().next().is_some_and(char::is_alphabetic);
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        for (index, line) in lines.filter(|&(index, line)| index > 0 || !is_header(line)) {
            let invalid = || InvalidTrace { line: index + 1 };
            let (second, count) = match line.split_once(',') {
                Some((second, count)) => (second.trim().parse::<usize>().map_err(|_| invalid())?, count),
                None => (rates.len(), line),
            };
            let count: u32 = count.trim().parse().map_err(|_| invalid())?;
            if second < rates.len() || second >= LONGEST_TRACE {
                return Err(invalid());
            }
            rates.resize(second, 0.0);
            rates.push(f64::from(count));
        }
        Ok(Self { rates, arrivals: Arrivals::Counted })
    }

    /// How long it lasts.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_secs(self.rates.len() as u64)
    }

    /// The expected requests per second, by second.
    #[must_use]
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// Arrival times in nanoseconds, in order.
    pub(super) fn draw(&self, random: &mut Random) -> Vec<u64> {
        let mut times = Vec::with_capacity(self.rates.iter().sum::<f64>() as usize * 11 / 10);
        for (second, &rate) in self.rates.iter().enumerate() {
            let count = match self.arrivals {
                Arrivals::Poisson => random.poisson(rate),
                Arrivals::Counted => rate as u64,
            };
            let first = times.len();
            times.extend((0..count).map(|_| ((second as f64 + random.unit()) * 1e9) as u64));
            times[first..].sort_unstable();
        }
        times
    }
}

/// A trace that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the trace is not `requests` or `second,requests` in order of time")]
pub struct InvalidTrace {
    line: usize,
}

/// A year of seconds.
const LONGEST_TRACE: usize = 366 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_with_and_without_seconds() {
        let plain = Workload::from_csv("3\n0\n5\n").unwrap();
        assert_eq!(plain.rates(), [3.0, 0.0, 5.0]);
        assert_eq!(Workload::from_csv("second,requests\n0,3\n\n2,5").unwrap(), plain);
        assert_eq!(plain.draw(&mut Random::new(1)).len(), 8);
    }

    #[test]
    fn a_trace_that_goes_back_in_time_is_refused_with_its_line() {
        assert_eq!(Workload::from_csv("5,1\n4,1"), Err(InvalidTrace { line: 2 }));
        assert_eq!(Workload::from_csv("1\n-1"), Err(InvalidTrace { line: 2 }));
        assert!(Workload::from_csv("99999999999,1").is_err());
    }

    #[test]
    fn poisson_counts_have_the_mean_and_variance_of_their_rate() {
        let mut random = Random::new(3);
        let counts: Vec<f64> = (0..20_000).map(|_| random.poisson(6.5) as f64).collect();
        let mean = counts.iter().sum::<f64>() / 20_000.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 6.5).abs() < 0.08 && (variance - 6.5).abs() < 0.25, "{mean} {variance}");
    }
}
