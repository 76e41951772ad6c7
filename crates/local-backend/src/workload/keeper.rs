//! Keeps one place filled: starts a replica, and another one when it fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portway_backend::{ReplicaId, Workload};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::host::Host;
use crate::options::Options;
use crate::process::replica::{End, Failure, FailureKind, Replica, Stop};

/// After how long a ready replica's earlier failures are forgotten.
const STABLE: Duration = Duration::from_secs(10);
/// How often in a row a taken port is somebody else's fault.
const MAX_PORT_RETRIES: u32 = 10;

/// What happened in a place.
#[derive(Debug)]
pub(crate) enum News {
    /// A replica is being started.
    Started(ReplicaId),
    /// It may be given requests.
    Ready(SocketAddr),
    /// It failed; another will follow.
    Failed(String),
    /// It failed; no other will follow.
    GaveUp(String),
    /// The place is empty and stays so.
    Ended,
}

/// Something that happened in the place with this number.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) place: u64,
    pub(crate) news: News,
}

/// What all places of one version of a workload share.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) workload: Workload,
    /// Whether one of its replicas was ever ready: then it can work, and is not given up.
    pub(crate) was_ready: AtomicBool,
}

/// One place.
pub(crate) struct Keeper {
    pub(crate) host: Arc<Host>,
    pub(crate) generation: Arc<Generation>,
    pub(crate) place: u64,
    pub(crate) stop: watch::Receiver<Stop>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
}

impl Keeper {
    /// Works until it is told to stop or gives up.
    pub(crate) async fn work(mut self) {
        let mut failures = Failures::default();
        loop {
            let End::Failed(failure) = self.one_replica().await else { break };
            let was_ready = self.generation.was_ready.load(Ordering::Relaxed);
            match failures.next(failure.kind, was_ready, &self.host.options) {
                Next::Start { after } => {
                    tracing::warn!(workload = %self.generation.workload.id, ?after, "{}; starting another", failure.message);
                    self.tell(News::Failed(failure.message));
                    let stopped = self.stop.wait_for(|stop| *stop != Stop::No);
                    if timeout(after, stopped).await.is_ok() {
                        break;
                    }
                }
                Next::GiveUp => {
                    tracing::error!(workload = %self.generation.workload.id, "{}; giving up", failure.message);
                    self.tell(News::GaveUp(failure.message));
                    let _ = self.stop.wait_for(|stop| *stop != Stop::No).await;
                    break;
                }
            }
        }
        self.tell(News::Ended);
    }

    async fn one_replica(&mut self) -> End {
        let presence = self.host.next_replica(&self.generation.workload.id);
        let id = presence.id().clone();
        self.tell(News::Started(id.clone()));
        let (events, place, generation) = (self.events.clone(), self.place, Arc::clone(&self.generation));
        let tell = move |news| drop(events.send(Event { place, news }));
        let ready = |address| {
            generation.was_ready.store(true, Ordering::Relaxed);
            tell(News::Ready(address));
        };
        let replica = Replica {
            host: &self.host,
            workload: &self.generation.workload,
            id: &id,
            stop: &mut self.stop,
            ready: &ready,
            failed: &|failure: &Failure| tell(News::Failed(format!("replica {id} {}", failure.message))),
        };
        match replica.live().await {
            End::Failed(mut failure) => {
                failure.message = format!("replica {id} {}", failure.message);
                End::Failed(failure)
            }
            End::Stopped => End::Stopped,
        }
    }

    fn tell(&self, news: News) {
        // A supervisor that is gone has dropped the stop signal as well.
        let _ = self.events.send(Event { place: self.place, news });
    }
}

/// The failures of a place in a row.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    taken_ports: u32,
}

/// What follows a failure.
#[derive(Debug, Eq, PartialEq)]
enum Next {
    Start { after: Duration },
    GiveUp,
}

impl Failures {
    fn next(&mut self, kind: FailureKind, was_ready: bool, options: &Options) -> Next {
        match kind {
            FailureKind::Permanent => return Next::GiveUp,
            FailureKind::PortTaken if self.taken_ports < MAX_PORT_RETRIES => {
                self.taken_ports += 1;
                return Next::Start { after: Duration::ZERO };
            }
            FailureKind::PortTaken | FailureKind::BeforeReady => {}
            FailureKind::AfterReady(lasted) => {
                if lasted >= STABLE {
                    self.count = 0;
                }
                if self.count == 0 {
                    self.count = 1;
                    return Next::Start { after: Duration::ZERO };
                }
            }
        }
        self.count = self.count.saturating_add(1);
        if !was_ready && self.count >= options.starts_before_giving_up {
            return Next::GiveUp;
        }
        let doublings = self.count.saturating_sub(1).min(20);
        let after = options.first_restart.saturating_mul(1 << doublings).min(options.last_restart);
        Next::Start { after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn nexts(kinds: &[FailureKind], was_ready: bool) -> Vec<Next> {
        let (mut failures, options) = (Failures::default(), Options::new());
        kinds.iter().map(|kind| failures.next(*kind, was_ready, &options)).collect()
    }

    #[test]
    fn r_run_4_what_never_worked_is_given_up_after_growing_delays() {
        let start = |ms| Next::Start { after: MS(ms) };
        assert_eq!(
            nexts(&[FailureKind::BeforeReady; 5], false),
            [start(200), start(400), start(800), start(1600), Next::GiveUp]
        );
        assert_eq!(nexts(&[FailureKind::Permanent], true), [Next::GiveUp]);
    }

    #[test]
    fn what_has_worked_is_never_given_up_and_its_first_failure_costs_nothing() {
        let quick = FailureKind::AfterReady(MS(1));
        let nexts = nexts(&[quick; 12], true);
        assert_eq!(nexts[0], Next::Start { after: Duration::ZERO });
        assert_eq!(nexts[1], Next::Start { after: MS(400) });
        assert_eq!(nexts[11], Next::Start { after: MS(30_000) });
    }

    #[test]
    fn a_stable_replica_forgets_earlier_failures() {
        let kinds =
            [FailureKind::AfterReady(MS(1)), FailureKind::AfterReady(MS(1)), FailureKind::AfterReady(STABLE)];
        assert_eq!(nexts(&kinds, true)[2], Next::Start { after: Duration::ZERO });
    }

    #[test]
    fn a_taken_port_is_nobodys_failure_for_a_while() {
        let nexts = nexts(&[FailureKind::PortTaken; 15], false);
        assert!(nexts[..10].iter().all(|next| *next == Next::Start { after: Duration::ZERO }));
        assert_eq!(nexts[14], Next::GiveUp);
    }
}
