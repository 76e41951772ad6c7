//! What goes wrong, because a test wants it to.

use std::io;

use tokio::sync::watch;

use super::refusal::Refusal;
use super::request::{Call, Verb};

/// Which requests a fault befalls: by verb, resource and name; some are spared first, then so many are met.
#[derive(Clone, Debug)]
pub struct On {
    verb: Option<Verb>,
    resource: Option<String>,
    name: Option<String>,
    spared: usize,
    times: usize,
}

impl On {
    /// The next request with this verb on this resource (`pods`, `deployments/scale`).
    pub fn next(verb: Verb, resource: &str) -> Self {
        Self { verb: Some(verb), resource: Some(resource.to_owned()), ..Self::anything() }
    }

    /// The next request, whatever it is.
    pub fn anything() -> Self {
        Self { verb: None, resource: None, name: None, spared: 0, times: 1 }
    }

    /// Just those about one object.
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Spares the first few.
    pub fn after(self, spared: usize) -> Self {
        Self { spared, ..self }
    }

    /// Meets so many, not just one.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Meets all until the faults are lifted.
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    fn is_about(&self, call: &Call) -> bool {
        self.verb.is_none_or(|verb| verb == call.verb)
            && self.resource.as_ref().is_none_or(|resource| *resource == call.place.resource())
            && self.name.as_ref().is_none_or(|name| *name == call.place.name)
    }
}

/// What befalls a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is answered with this and not done.
    Refusal(Refusal),
    /// It never arrives.
    Connection(io::ErrorKind),
    /// It is done, but the connection breaks before the answer.
    AnswerLost,
    /// It waits at a [`Gate`], then it is done.
    Held(Held),
}

impl Fault {
    /// 429 with `Retry-After`, in seconds.
    pub fn too_many_requests(retry_after: u32) -> Self {
        Self::Refusal(Refusal::too_many_requests(retry_after))
    }

    /// 500.
    pub fn internal() -> Self {
        Self::Refusal(Refusal::internal())
    }

    /// 503.
    pub fn unavailable() -> Self {
        Self::Refusal(Refusal::unavailable())
    }

    /// 504 by the server.
    pub fn timeout() -> Self {
        Self::Refusal(Refusal::timeout())
    }

    /// The client gives up waiting.
    pub fn timed_out() -> Self {
        Self::Connection(io::ErrorKind::TimedOut)
    }
}

/// Where a held request waits.
#[derive(Clone, Debug)]
pub struct Held {
    arrived: watch::Sender<usize>,
    open: watch::Receiver<bool>,
}

impl Held {
    pub(super) async fn pass(mut self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        // An error means that the gate was dropped, which opens it as well.
        let _ = self.open.wait_for(|open| *open).await;
    }
}

/// Holds requests until it is opened or dropped.
#[derive(Debug)]
#[must_use = "a gate that is dropped is open"]
pub struct Gate {
    arrived: watch::Receiver<usize>,
    open: watch::Sender<bool>,
}

impl Gate {
    pub(super) fn new() -> (Self, Held) {
        let (arrived, arrivals) = watch::channel(0);
        let (open, opened) = watch::channel(false);
        (Self { arrived: arrivals, open }, Held { arrived, open: opened })
    }

    /// Waits until so many requests have come to the gate since it stands.
    pub async fn arrived(&self, count: usize) {
        let mut arrived = self.arrived.clone();
        // An error means that nobody can come any more: the test fails on what it expects next.
        let _ = arrived.wait_for(|arrived| *arrived >= count).await;
    }

    /// Lets all pass.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

/// The faults that wait for their requests, in the order in which they were asked for.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Vec<(On, Fault)>,
    /// Whether connections are refused.
    pub down: bool,
    /// Whether credentials are taken.
    pub credentials_expired: bool,
}

impl Faults {
    pub fn add(&mut self, on: On, fault: Fault) {
        self.rules.push((on, fault));
    }

    /// Forgets all faults that wait.
    pub fn lift(&mut self) {
        self.rules.clear();
    }

    /// What befalls this request: the first rule that is about it and not used up.
    pub fn befalls(&mut self, call: &Call) -> Option<Fault> {
        for (on, fault) in self.rules.iter_mut().filter(|(on, _)| on.times > 0) {
            if !on.is_about(call) {
                continue;
            }
            if on.spared > 0 {
                on.spared -= 1;
                continue;
            }
            if on.times != usize::MAX {
                on.times -= 1;
            }
            return Some(fault.clone());
        }
        None
    }
}
