//! Drives the key cache of one issuer: timers, fetches, waiting callers.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Fetch, FetchError, Fetched, last_good};
use crate::json::Object;
use crate::{Clock, Entropy, Flight, Freshness, IssuerKeys, KeySet, KeySource};

/// Keeps the keys of one far issuer fresh.
///
/// Spawn [`run`](Self::run); hand [`keys`](Self::keys) to [`TokenAuthenticator::trust`](crate::TokenAuthenticator::trust), and this
/// itself to whoever meets [`Verdict::NeedKeys`](crate::Verdict::NeedKeys). Cheap to clone: clones share everything.
#[derive(Clone)]
pub struct RemoteKeys(Arc<Remote>);

struct Remote {
    issuer: String,
    source: Source,
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    rules: Freshness,
    keys: Arc<IssuerKeys>,
    last_good: Option<PathBuf>,
    status: watch::Sender<FetchStatus>,
}

enum Source {
    /// These URLs, the first that answers well.
    KeySets(Vec<String>),
    /// What the issuer's discovery document says; remembered, for when that cannot be had.
    Discovery(Mutex<Option<String>>),
}

/// How fetching went so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchStatus {
    /// Fetches that ended.
    pub fetches: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Why the last one failed; `None` if it did not.
    pub last_error: Option<String>,
}

impl RemoteKeys {
    /// The keys of an issuer that publishes an OpenID discovery document.
    #[must_use]
    pub fn discover(issuer: &str, fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        Self::new(issuer, Source::Discovery(Mutex::default()), fetch, clock)
    }

    /// The keys of an issuer whose key set is at a known URL; further URLs are mirrors, asked in turn.
    #[must_use]
    pub fn at(
        issuer: &str,
        urls: impl IntoIterator<Item = String>,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::new(issuer, Source::KeySets(urls.into_iter().collect()), fetch, clock)
    }

    fn new(issuer: &str, source: Source, fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        let rules = Freshness::default();
        let keys = Arc::new(IssuerKeys::fetched(rules));
        let (issuer, status) = (issuer.to_owned(), watch::Sender::default());
        Self(Arc::new(Remote { issuer, source, fetch, clock, rules, keys, last_good: None, status }))
    }

    /// Other rules than the usual ones.
    ///
    /// # Panics
    /// If this was cloned, or its keys were handed out, before.
    #[must_use]
    pub fn freshness(mut self, rules: Freshness) -> Self {
        let remote = Arc::get_mut(&mut self.0).expect("configured before it is shared");
        remote.rules = rules;
        remote.keys = Arc::new(IssuerKeys::fetched(rules));
        self
    }

    /// Remembers the last good set in a file, so that a restart in an outage works. Public keys only.
    ///
    /// # Panics
    /// If this was cloned before.
    #[must_use]
    pub fn last_good(mut self, path: impl Into<PathBuf>) -> Self {
        Arc::get_mut(&mut self.0).expect("configured before it is shared").last_good = Some(path.into());
        self
    }

    /// The keys, to verify with.
    #[must_use]
    pub fn keys(&self) -> Arc<IssuerKeys> {
        Arc::clone(&self.0.keys)
    }

    /// How fetching went so far, for metrics and logs.
    #[must_use]
    pub fn status(&self) -> FetchStatus {
        self.0.status.borrow().clone()
    }

    /// Fetches whenever it is due, for ever.
    pub async fn run(self) {
        self.0.restore().await;
        let mut landed = self.0.status.subscribe();
        loop {
            let now = self.0.clock.now();
            if let Some(flight) = self.0.keys.handle_timeout(now) {
                self.0.fly(flight).await;
                continue;
            }
            let due = self.0.keys.poll_timeout().unwrap_or(now).saturating_sub(now);
            // A fetch that somebody else started may change what is due.
            let _ = timeout(due.max(SHORTEST_SLEEP), landed.changed()).await;
        }
    }
}

#[async_trait]
impl KeySource for RemoteKeys {
    async fn refresh(&self, issuer: &str) {
        if issuer != self.0.issuer {
            return;
        }
        let mut landed = self.0.status.subscribe();
        let now = self.0.clock.now();
        if let Some(flight) = self.0.keys.handle_unknown_key(now) {
            // In a task of its own: the request that needed it may go away, others wait for it too.
            let remote = Arc::clone(&self.0);
            tokio::spawn(async move { remote.fly(flight).await });
        } else if !self.0.keys.may_learn(now) {
            return;
        }
        let _ = timeout(LONGEST_WAIT, landed.changed()).await;
    }
}

impl Remote {
    async fn restore(&self) {
        let Some(path) = &self.last_good else { return };
        if let Some((keys, age)) = last_good::read(path, &self.issuer, self.clock.wall()).await {
            self.keys.restore(self.clock.now(), keys, age);
        }
    }

    async fn fly(&self, flight: Flight) {
        let outcome = match timeout(self.rules.flight, self.load()).await {
            Ok(outcome) => outcome,
            Err(elapsed) => Err(FetchError::unreachable(elapsed)),
        };
        let (now, bits) = (self.clock.now(), jitter());
        let error = match outcome {
            Ok((keys, max_age)) => {
                self.keys.set_fetched(now, flight, keys.clone(), max_age, bits);
                self.save(&keys).await.err().map(|error| format!("cannot write the last good set: {error}"))
            }
            Err(error) => {
                self.keys.set_failed(now, flight, bits);
                self.status.send_modify(|status| status.failures += 1);
                Some(error.to_string())
            }
        };
        self.status.send_modify(|status| {
            status.fetches += 1;
            status.last_error = error;
        });
    }

    async fn save(&self, keys: &KeySet) -> std::io::Result<()> {
        match &self.last_good {
            Some(path) => last_good::write(path, &self.issuer, keys, self.clock.wall()).await,
            None => Ok(()),
        }
    }

    async fn load(&self) -> Result<(KeySet, Option<Duration>), FetchError> {
        let urls = match &self.source {
            Source::KeySets(urls) => urls.clone(),
            Source::Discovery(known) => vec![self.discovered(known).await?],
        };
        let mut error = FetchError::Url(String::new());
        for url in &urls {
            match self.get(url).await.and_then(key_set) {
                Ok(loaded) => return Ok(loaded),
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }

    /// The URL of the key set, fresh or as it was last said.
    async fn discovered(&self, known: &Mutex<Option<String>>) -> Result<String, FetchError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let found = self.get(&url).await.and_then(|answer| key_set_url(&answer.body, &self.issuer));
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(url) => Ok(known.insert(url).clone()),
            Err(error) => known.clone().ok_or(error),
        }
    }

    async fn get(&self, url: &str) -> Result<Fetched, FetchError> {
        timeout(LONGEST_GET, self.fetch.get(url)).await.map_err(FetchError::unreachable)?
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys").field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}

fn key_set(answer: Fetched) -> Result<(KeySet, Option<Duration>), FetchError> {
    match KeySet::from_json(&answer.body) {
        Ok(keys) if !keys.is_secret() => Ok((keys, answer.max_age)),
        _ => Err(FetchError::KeySet),
    }
}

/// OpenID Connect Discovery section 4.3: the document must name exactly the issuer that was asked.
fn key_set_url(document: &str, issuer: &str) -> Result<String, FetchError> {
    let document = Object::parse(document.as_bytes()).ok_or(FetchError::Discovery)?;
    let text = |name| document.text(name).ok().flatten();
    let is_right = text("issuer") == Some(issuer);
    text("jwks_uri").filter(|_| is_right).map(str::to_owned).ok_or(FetchError::Discovery)
}

fn jitter() -> u64 {
    Entropy::from_system()
        .map_or(0, |entropy| entropy.bytes().iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
}

/// How long one URL may take to answer.
const LONGEST_GET: Duration = Duration::from_secs(5);

/// How long a request waits for keys.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Keeps a clock that stands still from spinning the loop.
const SHORTEST_SLEEP: Duration = Duration::from_millis(10);
