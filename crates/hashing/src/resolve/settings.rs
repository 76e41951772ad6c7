use std::time::Duration;

/// How long a resolver waits, and for what. Every wait has an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For a registry's answer; 30 s.
    pub find_wait: Duration,
    /// For an adoption from the global registry; 10 min.
    pub adopt_wait: Duration,
    /// For the lock, while another builder holds it; 70 min, more than a build may take.
    pub lock_wait: Duration,
    /// For a build; 60 min.
    pub build_wait: Duration,
    /// How long “not there” is believed without asking again; 5 s. Under the lock it is never believed.
    pub missing_for: Duration,
    /// The pause after a build that failed; 30 s. Each further failure doubles it.
    pub backoff_first: Duration,
    /// The longest pause after a failure; 10 min.
    pub backoff_most: Duration,
    /// How many keys' failures, misses and inputs are remembered, each; 256.
    pub remembered: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            find_wait: Duration::from_secs(30),
            adopt_wait: minutes(10),
            lock_wait: minutes(70),
            build_wait: minutes(60),
            missing_for: Duration::from_secs(5),
            backoff_first: Duration::from_secs(30),
            backoff_most: minutes(10),
            remembered: 256,
        }
    }
}

/// What to do with an image that only the global registry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobalUse {
    /// Run it from there.
    InPlace,
    /// Store it in the workspace's registry first.
    Adopt,
}
