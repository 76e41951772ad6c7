//! A moving average of durations.

use std::time::Duration;

/// Moves an eighth of the way to each new value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Average(Option<u64>);

impl Average {
    pub(crate) fn learn(&mut self, value: Duration) {
        let value = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        self.0 = Some(self.0.map_or(value, |mean| mean - mean / 8 + value / 8));
    }

    pub(crate) fn get(self) -> Option<Duration> {
        self.0.map(Duration::from_nanos)
    }
}
