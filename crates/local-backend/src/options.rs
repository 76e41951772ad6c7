use std::path::Path;
use std::time::Duration;

use portway_backend::BackendError;

use crate::LocalBackend;

/// How a [`LocalBackend`] behaves where nothing else says so.
///
/// # Examples
///
/// ```no_run
/// use portway_local_backend::Options;
///
/// # async fn example() -> Result<(), portway_backend::BackendError> {
/// let backend = Options::new().max_replicas(8).open("state").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) max_replicas: u32,
    pub(crate) kept_replicas: usize,
    pub(crate) probe_interval: Duration,
    pub(crate) drain_notice: Duration,
    pub(crate) first_restart: Duration,
    pub(crate) last_restart: Duration,
    pub(crate) starts_before_giving_up: u32,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_replicas: 128,
            kept_replicas: 20,
            probe_interval: Duration::from_millis(100),
            drain_notice: Duration::from_millis(500),
            first_restart: Duration::from_millis(200),
            last_restart: Duration::from_secs(30),
            starts_before_giving_up: 5,
        }
    }

    /// How many replicas all workloads together may want; default 128. More are
    /// [`Unschedulable`](portway_backend::Phase::Unschedulable). What an update starts before it stops something, and
    /// what is still going away, does not count.
    #[must_use]
    pub fn max_replicas(mut self, count: u32) -> Self {
        self.max_replicas = count;
        self
    }

    /// Of how many replicas that are gone the logs and outputs are kept, for each workload; default 20.
    #[must_use]
    pub fn kept_replicas(mut self, count: usize) -> Self {
        self.kept_replicas = count;
        self
    }

    /// Time between two questions whether a starting replica answers yet; default 100 ms.
    #[must_use]
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.probe_interval = interval;
        self
    }

    /// How long a gateway may take to see that a replica is going away; only then is the replica told to stop. Default
    /// 500 ms.
    #[must_use]
    pub fn drain_notice(mut self, notice: Duration) -> Self {
        self.drain_notice = notice;
        self
    }

    /// Time from the second failure in a row to the next start, doubled with each further failure up to `last`;
    /// default 200 ms and 30 s. After the first failure of a replica that was ready it is started again at once.
    #[must_use]
    pub fn restart_delays(mut self, first: Duration, last: Duration) -> Self {
        self.first_restart = first;
        self.last_restart = last;
        self
    }

    /// How often a replica of a workload that was never ready is started before the workload counts as
    /// [`Failed`](portway_backend::Phase::Failed); default 5, at least 1.
    #[must_use]
    pub fn starts_before_giving_up(mut self, count: u32) -> Self {
        self.starts_before_giving_up = count.max(1);
        self
    }

    /// Opens the state folder at `path` with these options; see [`LocalBackend::open`].
    ///
    /// # Errors
    ///
    /// As [`LocalBackend::open`].
    pub async fn open(self, path: impl AsRef<Path>) -> Result<LocalBackend, BackendError> {
        LocalBackend::open_with(path.as_ref(), self).await
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
