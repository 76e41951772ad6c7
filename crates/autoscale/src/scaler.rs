//! The trait, and the policies that are only a number.

use std::time::Duration;

use crate::Sample;

/// Says how many replicas a service should have.
///
/// Called once per refresh period (1 s by default) with a time that grows. A scaler knows neither bounds nor capacity:
/// [`decide`](crate::decide) applies them. Compose scalers with [`Max`] and [`Min`]; a predictor of your own is one `impl`, or a closure in [`FromFn`].
pub trait Scaler: Send {
    /// The replicas wanted at `now`; `None` when there is no telling, which is never the same as 0.
    fn want(&mut self, now: Duration, sample: &Sample) -> Option<u32>;
}

impl<S: Scaler + ?Sized> Scaler for Box<S> {
    fn want(&mut self, now: Duration, sample: &Sample) -> Option<u32> {
        (**self).want(now, sample)
    }
}

/// A closure as a scaler: the shortest way to a predictor of your own.
///
/// ```
/// use portway_autoscale::{Autoscaler, FromFn, Max, Policy, Sample};
/// use std::time::Duration;
/// let batch_job = FromFn(|now: Duration, _: &Sample| Some(if now.as_secs() % 3_600 < 300 { 8 } else { 0 }));
/// let scaler = Max(Autoscaler::new(Policy::default(), Duration::ZERO, 1), batch_job);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromFn<F>(pub F);

impl<F: FnMut(Duration, &Sample) -> Option<u32> + Send> Scaler for FromFn<F> {
    fn want(&mut self, now: Duration, sample: &Sample) -> Option<u32> {
        (self.0)(now, sample)
    }
}

/// Always the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Fixed(pub u32);

impl Scaler for Fixed {
    fn want(&mut self, _now: Duration, _sample: &Sample) -> Option<u32> {
        Some(self.0)
    }
}

/// A stretch of a repeating calendar in which a service is to have at least so many replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Booking {
    /// Start within the calendar's period, included.
    pub from: Duration,
    /// End within the period, excluded; at or before `from` it lies in the next period.
    pub until: Duration,
    /// Replicas wanted in between.
    pub replicas: u32,
}

/// A floor by calendar window: the greatest [`Booking`] in force, and 0 between them. Meant to be one side of a [`Max`].
///
/// ```
/// use portway_autoscale::{Booking, Max, Autoscaler, Policy, Scheduled};
/// use std::time::Duration;
/// let hour = |h: u64| Duration::from_secs(h * 3600);
/// // The origin of `now` is a midnight here; `starting_at` shifts the calendar if it is not.
/// let office = Scheduled::daily([Booking { from: hour(8), until: hour(18), replicas: 4 }]);
/// let scaler = Max(Autoscaler::new(Policy::default(), Duration::ZERO, 1), office);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Scheduled {
    period: Duration,
    offset: Duration,
    bookings: Vec<Booking>,
}

impl Scheduled {
    /// Bookings that repeat every `period`; a period of zero never comes round.
    #[must_use]
    pub fn every(period: Duration, bookings: impl IntoIterator<Item = Booking>) -> Self {
        Self { period, offset: Duration::ZERO, bookings: bookings.into_iter().collect() }
    }

    /// Bookings that repeat every day.
    #[must_use]
    pub fn daily(bookings: impl IntoIterator<Item = Booking>) -> Self {
        Self::every(Duration::from_secs(24 * 3_600), bookings)
    }

    /// The same calendar when the origin of `now` lies `offset` after the start of a period.
    #[must_use]
    pub fn starting_at(self, offset: Duration) -> Self {
        Self { offset, ..self }
    }
}

impl Scaler for Scheduled {
    fn want(&mut self, now: Duration, _sample: &Sample) -> Option<u32> {
        let since = now.saturating_add(self.offset);
        let place = if self.period.is_zero() { since } else { modulo(since, self.period) };
        let holds = |booking: &&Booking| match booking.from < booking.until {
            true => booking.from <= place && place < booking.until,
            false => booking.from <= place || place < booking.until,
        };
        Some(self.bookings.iter().filter(holds).map(|booking| booking.replicas).max().unwrap_or(0))
    }
}

/// The greater of two wishes. No data on one side is no data: a floor alone must not shrink a service that cannot be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Max<A, B>(pub A, pub B);

impl<A: Scaler, B: Scaler> Scaler for Max<A, B> {
    fn want(&mut self, now: Duration, sample: &Sample) -> Option<u32> {
        let (one, two) = (self.0.want(now, sample), self.1.want(now, sample));
        Some(one?.max(two?))
    }
}

/// The smaller of two wishes. No data on one side is no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Min<A, B>(pub A, pub B);

impl<A: Scaler, B: Scaler> Scaler for Min<A, B> {
    fn want(&mut self, now: Duration, sample: &Sample) -> Option<u32> {
        let (one, two) = (self.0.want(now, sample), self.1.want(now, sample));
        Some(one?.min(two?))
    }
}

fn modulo(time: Duration, period: Duration) -> Duration {
    let nanos = time.as_nanos() % period.as_nanos();
    Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(mut scaler: impl Scaler, seconds: u64) -> Option<u32> {
        scaler.want(Duration::from_secs(seconds), &Sample::default())
    }

    #[test]
    fn the_greater_and_the_smaller_wish_win_and_no_data_stays_no_data() {
        let unknown = FromFn(|_: Duration, _: &Sample| None);
        assert_eq!(want(Max(Fixed(2), Fixed(5)), 0), Some(5));
        assert_eq!(want(Min(Max(Fixed(2), Fixed(5)), Fixed(3)), 0), Some(3));
        assert_eq!(want(Max(Fixed(2), unknown), 0), None);
        assert_eq!(want(Min(unknown, Fixed(2)), 0), None);
    }

    #[test]
    fn a_calendar_window_may_span_the_end_of_its_period() {
        let secs = Duration::from_secs;
        let night = Booking { from: secs(80), until: secs(20), replicas: 3 };
        let noon = Booking { from: secs(50), until: secs(90), replicas: 2 };
        let calendar = Scheduled::every(secs(100), [night, noon]);
        let wants = [0, 19, 20, 50, 85, 99, 119, 120].map(|second| want(calendar.clone(), second));
        assert_eq!(wants.map(Option::unwrap), [3, 3, 0, 2, 3, 3, 3, 0]);
        assert_eq!(want(calendar.starting_at(secs(85)), 0), Some(3));
    }
}
