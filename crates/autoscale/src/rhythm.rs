//! Traffic that repeats: finds the period in the last hour of arrivals, and says what comes next if it repeats once more.
//!
//! For every lag, the squared differences between now and then are summed up with slow forgetting. Poisson noise alone would give the sum
//! of the two counts, which is taken off; what is left, over what two unrelated moments would give, is the lag's *miss*: 0 for a perfect
//! rhythm, 1 for none. The work after each bin is spread over the calls that follow it.

use std::time::Duration;

use crate::RhythmPolicy;
use crate::number::within;

/// Arrivals in bins of five seconds, and for every lag how well the past has foretold the present.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Rhythm {
    policy: RhythmPolicy,
    /// Arrivals by bin, the last [`BINS`] of them, by bin number modulo that.
    counts: Vec<f32>,
    /// By lag: decayed sum of squared differences, less Poisson's share.
    misses: Vec<f32>,
    /// Decayed sums of the counts, of their squares, and of ones.
    sum: f64,
    squares: f64,
    weight: f64,
    /// Bins completed since the start, when the next began, and what it holds so far.
    bins: u64,
    begun: Duration,
    filling: f64,
    sweep: Sweep,
    /// The period in force, in bins; 0 while there is none.
    period: usize,
}

/// The search for a period, under way over the lags.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Sweep {
    /// The next lag to look at; beyond [`LONGEST`] when done.
    lag: usize,
    /// Weight that comparisons at the next lag lack, for having begun later: what is kept per bin, to the power of their number.
    lacking: f64,
    /// Whether a lag has been passed that foretells little: before it, a lag is short rather than right.
    passed: bool,
    best: usize,
    least: f64,
}

impl Rhythm {
    pub(crate) fn new(policy: RhythmPolicy, now: Duration) -> Self {
        Self {
            policy,
            counts: vec![0.0; BINS],
            misses: vec![0.0; LONGEST + 1],
            sum: 0.0,
            squares: 0.0,
            weight: 0.0,
            bins: 0,
            begun: now,
            filling: 0.0,
            sweep: Sweep::DONE,
            period: 0,
        }
    }

    /// The same memory, judged by another policy from now on.
    pub(crate) fn under(self, policy: RhythmPolicy) -> Self {
        Self { policy, ..self }
    }

    /// What is kept per bin: below 1, so that sums stay finite.
    fn kept(&self) -> f64 {
        within(self.policy.memory, LEAST_KEPT, MOST_KEPT)
    }

    pub(crate) fn is_sound(&self) -> bool {
        let sums = [self.sum, self.squares, self.weight, self.filling, self.sweep.lacking, self.sweep.least];
        self.counts.len() == BINS
            && self.misses.len() == LONGEST + 1
            && self.period <= LONGEST
            && self.sweep.lag >= 1
            && self.sweep.best <= LONGEST
            && sums.iter().all(|sum| sum.is_finite())
    }

    /// Takes in the arrivals of the `elapsed` time that ends at `now`. After a silence longer than its memory it starts afresh.
    pub(crate) fn push(&mut self, now: Duration, elapsed: Duration, arrivals: f64) {
        if elapsed > BIN * BINS as u32 || now < self.begun {
            *self = Self::new(self.policy, now);
            return;
        }
        let mut begin = now.saturating_sub(elapsed).max(self.begun);
        while begin < now {
            let end = (self.begun + BIN).min(now);
            self.filling += arrivals * (end - begin).as_secs_f64() / elapsed.as_secs_f64();
            if end == self.begun + BIN {
                self.begun = end;
                self.complete();
            }
            begin = end;
        }
        self.look(LAGS_PER_CALL);
    }

    /// The most requests per second that repeating would bring between now and `ahead` from now; `None` without a period.
    pub(crate) fn expect(&self, ahead: Duration) -> Option<f64> {
        let bins = ((ahead.as_secs_f64() / BIN.as_secs_f64()).ceil() as usize).saturating_add(1);
        let most = (0..bins.min(self.period)).map(|step| self.repeated(step)).reduce(f64::max)?;
        Some(most / BIN.as_secs_f64())
    }

    /// The bin that lies `step` bins ahead, one period ago; the mean with two periods ago where that is remembered.
    fn repeated(&self, step: usize) -> f64 {
        let (one, two) = (self.period - step, self.period * 2 - step);
        let once = f64::from(self.ago(one));
        if two as u64 <= self.bins.min(BINS as u64) { (once + f64::from(self.ago(two))) / 2.0 } else { once }
    }

    /// The bin that lies `lag` bins before the one that is filling.
    fn ago(&self, lag: usize) -> f32 {
        self.counts[((self.bins + BINS as u64 - lag as u64) % BINS as u64) as usize]
    }

    fn complete(&mut self) {
        self.look(LONGEST);
        let count = std::mem::take(&mut self.filling);
        self.counts[(self.bins % BINS as u64) as usize] = count as f32;
        self.bins += 1;
        let kept = self.kept();
        self.sum = self.sum * kept + count;
        self.squares = self.squares * kept + count * count;
        self.weight = self.weight * kept + 1.0;
        let lacking = kept.powf(self.bins as f64 - 1.0);
        self.sweep = Sweep { lag: 1, lacking, passed: false, best: 0, least: self.policy.largest_miss };
    }

    /// Goes on with the sweep for at most so many lags; the period comes into force at its end.
    fn look(&mut self, lags: usize) {
        if self.sweep.lag > LONGEST {
            return;
        }
        let (known, swing) = ((self.bins.min(LONGEST as u64 + 1) - 1) as usize, self.swing());
        let last = (self.sweep.lag + lags - 1).min(known);
        // What a lag of full weight would have missed if it foretold nothing.
        let kept = self.kept();
        let chance = swing.unwrap_or(0.0) / (1.0 - kept);
        self.compare(self.sweep.lag, last);
        for lag in self.sweep.lag..=last {
            self.sweep.judge(lag, f64::from(self.misses[lag]), chance, kept, self.bins);
        }
        self.sweep.lag = last + 1;
        if last == known {
            self.sweep.lag = LONGEST + 1;
            self.period = if swing.is_some() { self.sweep.best } else { 0 };
        }
    }

    /// Adds to the misses of some lags what the newest bin tells about them, in two stretches without a wrap between.
    fn compare(&mut self, first: usize, last: usize) {
        let newest = ((self.bins - 1) % BINS as u64) as usize;
        let count = self.counts[newest];
        let (before, after) = self.counts.split_at(newest);
        let kept = self.kept() as f32;
        // Going back in time: from the bin before the newest to the start, then from the end.
        let before_wrap = last.min(newest);
        let miss = |miss: &mut f32, then: f32| {
            let difference = count - then;
            *miss = *miss * kept + (difference * difference - count - then);
        };
        if first <= before_wrap {
            let then = before[newest - before_wrap..=newest - first].iter().rev();
            self.misses[first..=before_wrap]
                .iter_mut()
                .zip(then)
                .for_each(|(missed, then)| miss(missed, *then));
        }
        let first = first.max(newest + 1);
        if first <= last {
            let end = after.len() + newest;
            let then = after[end - last..=end - first].iter().rev();
            self.misses[first..=last].iter_mut().zip(then).for_each(|(missed, then)| miss(missed, *then));
        }
    }

    /// What the squared difference of two unrelated moments would be, less Poisson's share; `None` for traffic that hardly swings.
    fn swing(&self) -> Option<f64> {
        let mean = self.sum / self.weight;
        let swing = self.squares / self.weight - mean * mean - mean;
        // The deviation of that estimate under steady Poisson traffic.
        let noise = mean * (2.0 / self.weight).sqrt() + (mean / self.weight).sqrt();
        let swings =
            swing > self.policy.least_swing * mean * mean && swing > self.policy.least_signal * noise;
        (self.bins >= FEWEST_BINS && swings).then_some(2.0 * swing)
    }
}

impl Sweep {
    const DONE: Self = Self { lag: LONGEST + 1, lacking: 0.0, passed: false, best: 0, least: 0.0 };

    /// Takes what a lag missed, and keeps the shortest lag that is about as good as any. Multiplies where it could divide: most lags
    /// are neither good nor the first that foretells little.
    fn judge(&mut self, lag: usize, missed: f64, chance: f64, kept: f64, bins: u64) {
        self.lacking *= 1.0 / kept;
        let chance = chance * (1.0 - self.lacking).max(1.0 - kept);
        self.passed |= missed > LITTLE * chance;
        if !self.passed || missed >= self.least.max(PERFECT) * chance || lag as u64 * 3 > bins * 2 {
            return;
        }
        let miss = missed / chance;
        let clearly = miss.max(PERFECT) < self.least.max(PERFECT) * CLEARLY;
        let deeper = miss < self.least && lag < self.best + DIP;
        if clearly || deeper {
            (self.best, self.least) = (lag, miss);
        }
    }
}

/// Length of a bin.
const BIN: Duration = Duration::from_secs(5);
/// Bins remembered: an hour and a quarter, two and a half of the longest periods.
const BINS: usize = 900;
/// Longest period looked for, in bins: half an hour.
const LONGEST: usize = 360;
/// Lags looked at per call: a sweep is done within the five one-second calls of a bin.
const LAGS_PER_CALL: usize = 72;
/// Least that is kept per bin, whatever the policy says: with less nothing is compared.
const LEAST_KEPT: f64 = 0.5;
/// Most that is kept per bin, whatever the policy says: a memory of a day and more.
const MOST_KEPT: f64 = 0.999_95;
/// A minute must pass before anything is called a rhythm.
const FEWEST_BINS: u64 = 12;
/// A lag that misses more than this foretells little.
const LITTLE: f64 = 0.7;
/// A miss below this is as good as none: noise decides between such lags, and the shortest is right.
const PERFECT: f64 = 0.05;
/// A longer period must be better by this factor than a shorter one.
const CLEARLY: f64 = 0.8;
/// Lags this close belong to the same dip.
const DIP: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, rate: impl Fn(u64) -> f64) -> Rhythm {
        let mut rhythm = Rhythm::new(RhythmPolicy::default(), Duration::ZERO);
        for second in 0..seconds {
            rhythm.push(Duration::from_secs(second + 1), Duration::from_secs(1), rate(second));
        }
        rhythm
    }

    #[test]
    fn finds_a_square_wave_and_tells_its_next_rise() {
        let wave = |second: u64| if second % 200 < 80 { 30.0 } else { 2.0 };
        let rhythm = after(1_150, wave);
        assert_eq!(rhythm.period, 40);
        assert_eq!(rhythm.expect(Duration::from_secs(20)), Some(2.0));
        assert_eq!(rhythm.expect(Duration::from_secs(50)), Some(30.0));
    }

    #[test]
    fn finds_a_sine_whatever_the_length_of_the_calls() {
        let wave = |second: f64| 50.0 + 40.0 * (std::f64::consts::TAU * second / 600.0).sin();
        let mut rhythm = Rhythm::new(RhythmPolicy::default(), Duration::ZERO);
        for call in 0..250_u32 {
            rhythm.push(
                Duration::from_secs(12) * (call + 1),
                Duration::from_secs(12),
                12.0 * wave(f64::from(call) * 12.0),
            );
        }
        assert!((119..=121).contains(&rhythm.period), "{}", rhythm.period);
    }

    #[test]
    fn steady_traffic_and_a_single_step_have_no_rhythm() {
        assert_eq!(after(2_000, |_| 20.0).expect(Duration::from_secs(60)), None);
        assert_eq!(
            after(2_000, |second| if second < 900 { 5.0 } else { 50.0 }).expect(Duration::from_secs(60)),
            None
        );
    }

    #[test]
    fn the_sweep_in_pieces_sums_what_a_plain_look_back_sums() {
        let rate = |second: u64| (second * 7_919 % 83) as f64;
        let (seconds, mut plain) = (6_000, vec![0.0_f32; LONGEST + 1]);
        let bins: Vec<f32> =
            (0..seconds / 5).map(|bin| (bin * 5..bin * 5 + 5).map(rate).sum::<f64>() as f32).collect();
        for now in 0..bins.len() {
            for (lag, missed) in plain.iter_mut().enumerate().take(now + 1).skip(1) {
                let (count, then) = (bins[now], bins[now - lag]);
                *missed = *missed * 0.995 + ((count - then) * (count - then) - count - then);
            }
        }
        let mut rhythm = after(seconds, rate);
        rhythm.look(LONGEST);
        assert_eq!(rhythm.misses, plain);
    }

    #[test]
    fn a_silence_longer_than_its_memory_is_forgotten() {
        let mut rhythm = after(1_000, |second| if second % 200 < 80 { 30.0 } else { 2.0 });
        rhythm.push(Duration::from_secs(100_000), Duration::from_secs(99_000), 5.0);
        assert_eq!(rhythm.expect(Duration::from_secs(60)), None);
        assert!(rhythm.is_sound());
    }
}
