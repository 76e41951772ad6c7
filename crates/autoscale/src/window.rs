//! Memory of a fixed size: amounts by second, and the peak of recent answers.

use std::collections::VecDeque;
use std::time::Duration;

/// Amounts by whole second since the origin, the last `len` of them, a power of two.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Seconds {
    amounts: Vec<f64>,
    start: Duration,
    end: Duration,
}

impl Seconds {
    pub(crate) fn new(len: usize, start: Duration) -> Self {
        Self { amounts: vec![0.0; len], start, end: start }
    }

    pub(crate) fn is_sound(&self, len: usize) -> bool {
        self.amounts.len() == len
            && self.start <= self.end
            && self.amounts.iter().all(|amount| amount.is_finite())
    }

    /// Spreads `amount` evenly over the time from the last call until `now`, which is later.
    pub(crate) fn push(&mut self, now: Duration, amount: f64) {
        let (from, last) = (self.end, second_of(now));
        self.end = now;
        if from.subsec_nanos() == 0 && now == from + SECOND {
            *self.slot(last) = amount;
            return;
        }
        let oldest = (last + 1).saturating_sub(self.amounts.len() as u64);
        for second in (second_of(from) + 1).max(oldest)..=last {
            *self.slot(second) = 0.0;
        }
        let length = now.saturating_sub(from).as_secs_f64();
        for second in from.as_secs().max(oldest)..=last {
            let begin = Duration::from_secs(second);
            let inside = now.min(begin + SECOND).saturating_sub(begin.max(from));
            *self.slot(second) += amount * (inside.as_secs_f64() / length).min(1.0);
        }
    }

    fn slot(&mut self, second: u64) -> &mut f64 {
        let mask = self.amounts.len() - 1;
        &mut self.amounts[second as usize & mask]
    }

    /// The sums over all windows that end with the current second, up to `widest` seconds and what is remembered.
    pub(crate) fn totals(&self, widest: usize) -> Totals {
        let (last, mask) = (second_of(self.end), self.amounts.len() - 1);
        let mut totals = Totals {
            sums: [0.0; MOST_SECONDS + 1],
            last: self.end.saturating_sub(Duration::from_secs(last)).as_secs_f64(),
            age: self.end.saturating_sub(self.start).as_secs_f64(),
        };
        let mut sum = 0.0;
        for width in 1..=widest.min(mask) {
            sum += self.amounts[(last as usize).wrapping_sub(width - 1) & mask];
            totals.sums[width] = sum;
        }
        totals
    }
}

/// Sums by width of the window, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Totals {
    sums: [f64; MOST_SECONDS + 1],
    /// How much of the current second has passed, and how much time there is to look back upon.
    last: f64,
    age: f64,
}

impl Totals {
    /// The sum over the last `width` seconds, the current one counted as one of them.
    pub(crate) fn sum(&self, width: usize) -> f64 {
        self.sums[width]
    }

    /// How many seconds of a window have been seen.
    pub(crate) fn seen(&self, width: usize) -> f64 {
        (width as f64 - 1.0 + self.last).min(self.age)
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// Most seconds that amounts are remembered for.
const MOST_SECONDS: usize = 64;

/// The second that time `now` belongs to, a whole second belonging to the one it ends.
fn second_of(now: Duration) -> u64 {
    if now.subsec_nanos() == 0 { now.as_secs().saturating_sub(1) } else { now.as_secs() }
}

/// The greatest of the answers given over a stretch of time, for any stretch up to the longest.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Peaks {
    /// Falling answers, each with the last time it held; the front is the greatest.
    falling: VecDeque<(Duration, u32)>,
    longest: Duration,
}

impl Peaks {
    /// A memory in which `answer` was given at `now`. Allocates all it ever needs.
    pub(crate) fn new(longest: Duration, now: Duration, answer: u32) -> Self {
        let mut falling =
            VecDeque::with_capacity(usize::try_from(longest.as_secs()).unwrap_or(0).min(MOST_PEAKS) + 2);
        falling.push_back((now, answer));
        Self { falling, longest }
    }

    pub(crate) fn is_sound(&self, now: Duration) -> bool {
        self.falling.len() <= MOST_PEAKS && self.falling.iter().all(|&(at, _)| at <= now)
    }

    /// The same memory for another longest stretch, with room for it.
    pub(crate) fn resized(&self, longest: Duration, now: Duration, answer: u32) -> Self {
        let mut peaks = Self::new(longest, now, answer);
        peaks.falling.clear();
        self.falling.iter().for_each(|&(at, kept)| peaks.push(at, kept));
        peaks.push(now, answer);
        peaks
    }

    /// Notes an answer. Answers within one second share one entry, the greater of them.
    pub(crate) fn push(&mut self, now: Duration, answer: u32) {
        while self.falling.back().is_some_and(|&(_, last)| last <= answer) {
            self.falling.pop_back();
        }
        while self.falling.front().is_some_and(|&(at, _)| now.saturating_sub(at) > self.longest) {
            self.falling.pop_front();
        }
        match self.falling.back_mut() {
            Some((at, _)) if at.as_secs() == now.as_secs() => *at = now,
            _ => self.falling.push_back((now, answer)),
        }
    }

    /// The greatest answer in the last `stretch`, the moment exactly `stretch` ago not included.
    pub(crate) fn over(&self, now: Duration, stretch: Duration) -> Option<u32> {
        let recent = self.falling.partition_point(|&(at, _)| now.saturating_sub(at) >= stretch);
        self.falling.get(recent).map(|&(_, answer)| answer)
    }
}

/// Most seconds that the memory of answers spans.
const MOST_PEAKS: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn halves_of_a_tick_fill_the_same_windows() {
        let (mut whole, mut halves) = (Seconds::new(8, at(3.0)), Seconds::new(8, at(3.0)));
        for second in 4..30 {
            whole.push(at(f64::from(second)), f64::from(second));
            halves.push(at(f64::from(second) - 0.5), f64::from(second) / 2.0);
            halves.push(at(f64::from(second)), f64::from(second) / 2.0);
        }
        assert_eq!(whole, halves);
        let totals = whole.totals(3);
        assert_eq!((totals.sum(3), totals.seen(3)), (27.0 + 28.0 + 29.0, 3.0));
    }

    #[test]
    fn a_long_interval_is_spread_and_a_short_history_is_told() {
        let mut seconds = Seconds::new(8, at(0.0));
        seconds.push(at(2.0), 20.0);
        assert_eq!((seconds.totals(7).sum(7), seconds.totals(7).seen(7)), (20.0, 2.0));
        seconds.push(at(102.0), 1_000.0);
        let (sum, seen) = (seconds.totals(4).sum(4), seconds.totals(4).seen(4));
        assert!((sum - 40.0).abs() < 1e-9 && seen == 4.0);
    }

    #[test]
    fn the_peak_of_any_stretch_is_what_looking_back_finds() {
        let answers = [3, 9, 4, 4, 7, 1, 2, 2, 8, 5, 1, 1, 1];
        let mut peaks = Peaks::new(at(6.0), at(0.0), answers[0]);
        for now in 1..answers.len() {
            peaks.push(at(now as f64), answers[now]);
            for stretch in 1..=6_usize {
                let looked = answers[(now + 1).saturating_sub(stretch)..=now].iter().max().copied();
                assert_eq!(peaks.over(at(now as f64), at(stretch as f64)), looked);
            }
        }
    }

    #[test]
    fn answers_within_a_second_share_an_entry() {
        let mut peaks = Peaks::new(at(2.0), at(0.0), 1_000);
        for tick in 1..1_000_u32 {
            peaks.push(at(f64::from(tick) / 1_000.0), 1_000 - tick);
        }
        assert!(peaks.falling.len() <= 2);
    }
}
