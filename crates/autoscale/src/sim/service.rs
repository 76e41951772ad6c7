//! The service under test.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Random;

/// How service times are distributed around their mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// All alike.
    Constant,
    /// Exponential: the case of Erlang's formulas.
    Exponential,
    /// Lognormal with this squared coefficient of variation.
    Lognormal(f64),
}

/// A service: how long requests take, how replicas start, how requests wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Service {
    /// Distribution of the service time.
    pub shape: Shape,
    /// Mean time inside a replica.
    pub mean: Duration,
    /// Time from the order to a replica that takes requests.
    pub startup: Duration,
    /// Requests inside one replica at a time.
    pub max_concurrent: NonZeroU32,
    /// A request that waited this long is refused.
    pub max_wait: Duration,
    /// A request that started within this was answered in time.
    pub wait_slo: Duration,
}

impl Default for Service {
    /// 100 ms requests, one in a replica, 10 s to start, refused after 0.5 s, in time within 0.2 s.
    fn default() -> Self {
        Self {
            shape: Shape::Exponential,
            mean: Duration::from_millis(100),
            startup: Duration::from_secs(10),
            max_concurrent: NonZeroU32::MIN,
            max_wait: Duration::from_millis(500),
            wait_slo: Duration::from_millis(200),
        }
    }
}

impl Service {
    /// One service time, in nanoseconds.
    pub(super) fn draw(&self, random: &mut Random) -> u64 {
        let mean = self.mean.as_secs_f64();
        let seconds = match self.shape {
            Shape::Constant => mean,
            Shape::Exponential => random.exponential(mean),
            Shape::Lognormal(cv_squared) => {
                let variance = (1.0 + cv_squared.max(0.0)).ln();
                mean * (variance.sqrt() * random.normal() - variance / 2.0).exp()
            }
        };
        ((seconds * 1e9) as u64).max(1)
    }
}
