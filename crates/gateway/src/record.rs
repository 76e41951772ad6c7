//! One request from its arrival to its end: the line in the access log and the counters.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};

use crate::choice::Choice;
use crate::forwarded;
use crate::inner::Inner;
use crate::upload::Upload;

/// How a request ended, for logs and metric labels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    /// A replica's answer was passed on to its end.
    Answered,
    /// The gateway answered by itself.
    Refused(&'static str),
    /// The answer broke off.
    Cut,
    /// The client went away before the end.
    ClientGone,
}

/// What is known of a request so far. Dropped, it is written down.
pub(crate) struct Record {
    pub(crate) inner: Arc<Inner>,
    pub(crate) arrived: Duration,
    pub(crate) method: Method,
    pub(crate) id: HeaderValue,
    pub(crate) client: Option<IpAddr>,
    /// The name of a service that exists.
    pub(crate) service: Option<Arc<str>>,
    pub(crate) choice: Option<Arc<Choice>>,
    pub(crate) upload: Option<Arc<Upload>>,
    /// When the last slot was granted.
    pub(crate) admitted: Option<Duration>,
    pub(crate) replays: u32,
    status: u16,
    sent: u64,
    ending: Ending,
    /// When it ended, if that is known before it is dropped.
    ended: Option<Duration>,
}

impl Record {
    pub(crate) fn new(inner: Arc<Inner>, method: Method, id: HeaderValue, client: Option<IpAddr>) -> Self {
        Self {
            arrived: inner.commons.clock.now(),
            inner,
            method,
            id,
            client,
            service: None,
            choice: None,
            upload: None,
            admitted: None,
            replays: 0,
            status: 0,
            sent: 0,
            ending: Ending::ClientGone,
            ended: None,
        }
    }

    pub(crate) fn refuse(&mut self, status: u16, code: &'static str) {
        self.status = status;
        self.ending = Ending::Refused(code);
    }

    /// The head of a replica's answer is on its way; the rest may still break.
    pub(crate) fn head(&mut self, status: u16) {
        self.status = status;
    }

    pub(crate) fn add_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    pub(crate) fn complete(&mut self, now: Duration) {
        (self.ending, self.ended) = (Ending::Answered, Some(now));
    }

    pub(crate) fn cut(&mut self) {
        self.ending = Ending::Cut;
    }

    /// The word for logs and metrics.
    fn outcome(&self) -> &'static str {
        match self.ending {
            Ending::Answered if self.status >= 500 => "error",
            Ending::Answered => "ok",
            Ending::Refused(code) => code,
            Ending::Cut => "cut",
            Ending::ClientGone => "client_gone",
        }
    }

    fn write(&self, took: Duration) {
        let version = self.choice.as_ref().map_or("-", |choice| choice.lane.id.version.as_ref());
        let queued = self.admitted.map(|admitted| admitted.saturating_sub(self.arrived).as_micros() as u64);
        tracing::info!(
            target: "portway_gateway::access",
            client = %forwarded::shown(self.client),
            method = %self.method,
            service = self.service.as_deref().unwrap_or("-"),
            version,
            status = self.status,
            outcome = self.outcome(),
            took_us = took.as_micros() as u64,
            queued_us = queued.unwrap_or(0),
            received = self.upload.as_ref().map_or(0, |upload| upload.received()),
            sent = self.sent,
            replays = self.replays,
            id = self.id.to_str().unwrap_or("-"),
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = self.ended.unwrap_or_else(|| self.inner.commons.clock.now());
        let took = now.saturating_sub(self.arrived);
        match (&self.choice, self.ending) {
            (Some(choice), Ending::Answered) => {
                choice.lane.stats.answered(took);
                choice.meters.answered(self.status, self.arrived, self.admitted.unwrap_or(now), now);
            }
            (Some(choice), _) => {
                if self.admitted.is_none() && matches!(self.ending, Ending::Refused(_)) {
                    choice.lane.stats.rejected();
                }
                choice.meters.ended(self.outcome());
            }
            (None, _) => self.inner.metrics.refused(self.service.as_deref(), self.outcome()),
        }
        if tracing::enabled!(target: "portway_gateway::access", tracing::Level::INFO) {
            self.write(took);
        }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("service", &self.service)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
