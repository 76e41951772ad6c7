//! One list and one watch for each reader.
//!
//! Readers do not share a watch: each is promised what stands when it begins, also what was written a moment before, and
//! only a list of its own can tell. A program has one reader for each kind that it follows.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use portway_backend::{BackendError, Change, DocKind};
use tokio::time::Instant;

use super::feed::Feed;
use super::sheet::{Sheet, selector};
use crate::connect::WATCH_SECONDS;
use crate::error::refused;

/// Begins to watch; returns when the list has begun to come, so that a refusal is heard.
pub(super) async fn begin<K: Sheet>(
    api: Api<K>,
    owner: &str,
    kind: DocKind,
) -> Result<BoxStream<'static, Change>, BackendError> {
    // Half-open connections are given up when the server should have ended the watch and has not.
    let config = watcher::Config::default().labels(&selector(owner, kind)).timeout(WATCH_SECONDS);
    let events = events(&api, &config);
    let mut reader = Reader {
        api,
        config,
        events,
        feed: Feed::new(owner, kind),
        kind,
        changes: VecDeque::new(),
        failures: 0,
        last_failure: Instant::now(),
    };
    loop {
        match reader.events.next().await {
            Some(Ok(Event::Init)) => reader.take(Event::Init),
            Some(Ok(event)) => {
                reader.take(event);
                return Ok(stream::unfold(reader, Reader::next).boxed());
            }
            Some(Err(error)) => return Err(reason(kind, error)),
            None => return Err(BackendError::unavailable("the API server ended a list half-way; ask again")),
        }
    }
}

type Events<K> = Pin<Box<dyn Stream<Item = watcher::Result<Event<K>>> + Send>>;

fn events<K: Sheet>(api: &Api<K>, config: &watcher::Config) -> Events<K> {
    Box::pin(watcher(api.clone(), config.clone()))
}

struct Reader<K> {
    api: Api<K>,
    config: watcher::Config,
    events: Events<K>,
    feed: Feed,
    kind: DocKind,
    changes: VecDeque<Change>,
    /// Failures without an event or a minute of peace between them.
    failures: u32,
    last_failure: Instant,
}

impl<K: Sheet> Reader<K> {
    async fn next(mut self) -> Option<(Change, Self)> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Some((change, self));
            }
            match self.events.next().await {
                Some(Ok(event)) => self.take(event),
                Some(Err(error)) => self.failed(error).await,
                None => self.events = events(&self.api, &self.config),
            }
        }
    }

    fn take(&mut self, event: Event<K>) {
        // `Init` comes before anything is asked.
        if self.failures > 0 && !matches!(event, Event::Init) {
            self.failures = 0;
            tracing::info!(kind = self.kind.as_str(), "documents are watched again");
        }
        self.feed.take(event, &mut self.changes);
    }

    /// Pauses before the watcher goes on where it stopped, or from a new list if it does not get on.
    async fn failed(&mut self, error: watcher::Error) {
        if self.last_failure.elapsed() > PEACE {
            self.failures = 0;
        }
        // The watcher knows this as an event of a watch, and asks again for the same version if it is the answer to one.
        let is_expired = matches!(&error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410);
        let reason = reason(self.kind, error);
        if self.failures == 0 {
            tracing::warn!(error = %reason, "the watch of documents has failed and is tried again");
        } else {
            tracing::debug!(error = %reason, failures = self.failures, "the watch of documents fails");
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(8)).min(LAST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(pause).await;
        self.last_failure = Instant::now();
        // A server that was restored from a backup may not know the version yet from which the watcher would go on.
        if is_expired || self.failures.is_multiple_of(FAILURES_UNTIL_LIST) {
            self.events = events(&self.api, &self.config);
        }
    }
}

fn reason(kind: DocKind, error: watcher::Error) -> BackendError {
    let what = format!("watch the {} documents", kind.as_str());
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => refused(&what, error),
        watcher::Error::WatchError(status) => refused(&what, kube::Error::Api(status)),
        watcher::Error::NoResourceVersion => BackendError::unavailable(format!(
            "cannot {what}: the API server tells no versions; is a proxy between, or the server of another kind?"
        )),
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// After this long without a failure, the next one is the first.
const PEACE: Duration = Duration::from_secs(60);
/// So many failures in a row lead to a new list.
const FAILURES_UNTIL_LIST: u32 = 6;
