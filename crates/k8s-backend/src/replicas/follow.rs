//! The watches themselves: keeps listing and watching, whatever the API server does.

use std::error::Error as _;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::{StreamExt as _, future};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::core::Status;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use portway_backend::BackendError;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::Known;
use crate::backend::Inner;
use crate::connect::WATCH_SECONDS;
use crate::error::refused;
use crate::names::{COMPONENT, MANAGED_BY, MANAGER, OWNER, REPLICA, owner_label};

/// How far the first list of a kind has come.
#[derive(Clone, Debug, Default)]
pub(super) enum Progress {
    #[default]
    Listing,
    /// The last try failed; another one follows.
    Refused(Arc<BackendError>),
    Listed,
}

/// Follows Deployments and pods until it is aborted.
pub(super) async fn follow(backend: Weak<Inner>, known: Arc<Known>) {
    let Some(inner) = backend.upgrade() else { return };
    let (deployments, pods) = (inner.api::<Deployment>(), inner.api::<Pod>());
    let owner = owner_label(&inner.options.owner);
    drop(inner);
    let ours = format!("{MANAGED_BY}={MANAGER},{COMPONENT}={REPLICA},{OWNER}={owner}");
    let deployments =
        Follower { what: "Deployments", kind: 0, known: &known, api: deployments, ours: ours.clone() };
    let pods = Follower { what: "pods", kind: 1, known: &known, api: pods, ours };
    let saw_deployment = |event: Event<Deployment>| {
        if let Event::InitApply(deployment) | Event::Apply(deployment) = &event
            && let Some(inner) = backend.upgrade()
        {
            inner.applied.saw(deployment);
        }
        known.saw_deployment(event);
    };
    future::join(deployments.run(saw_deployment), pods.run(|event| known.saw_pod(event))).await;
}

struct Follower<'a, K> {
    what: &'static str,
    /// The place in [`Known::progress`].
    kind: usize,
    known: &'a Known,
    api: Api<K>,
    /// Selects what is followed.
    ours: String,
}

impl<K> Follower<'_, K>
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    async fn run(self, mut saw: impl FnMut(Event<K>)) {
        let config = watcher::Config::default().labels(&self.ours).timeout(WATCH_SECONDS);
        let mut pause = Pause::default();
        loop {
            let mut events = pin!(watcher::watcher(self.api.clone(), config.clone()));
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        let is_listed = matches!(event, Event::InitDone);
                        if !matches!(event, Event::Init | Event::InitApply(_)) && pause.ends() {
                            tracing::info!("the {} are watched again", self.what);
                        }
                        saw(event);
                        if is_listed {
                            self.report(Progress::Listed);
                        }
                    }
                    Err(error) => {
                        let has_expired = has_expired(&error);
                        self.failed(error, &mut pause).await;
                        if has_expired {
                            break;
                        }
                    }
                }
            }
        }
    }

    async fn failed(&self, error: watcher::Error, pause: &mut Pause) {
        let error = refused(&format!("watch the {}", self.what), reason(error));
        if pause.begins() {
            let cause = error.source().map(ToString::to_string);
            tracing::warn!(cause, "{error}; what is known stays, and it is tried again");
        }
        self.report(Progress::Refused(Arc::new(error)));
        pause.wait(&self.known.hurry[self.kind]).await;
    }

    /// Once listed, a kind stays listed: what is known stays known while the server is away.
    fn report(&self, progress: Progress) {
        self.known.progress.send_if_modified(|all| {
            let mine = &mut all[self.kind];
            let counts = !matches!(mine, Progress::Listed);
            if counts {
                *mine = progress;
            }
            counts
        });
    }
}

pub(crate) fn reason(error: watcher::Error) -> kube::Error {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        watcher::Error::WatchError(status) => kube::Error::Api(status),
        watcher::Error::NoResourceVersion => {
            let message = "the answer has no resource version";
            kube::Error::Api(Status::failure(message, "InternalError").with_code(500).boxed())
        }
    }
}

/// Whether a watch cannot be taken up where it ended: the revision is too old, or, after the server's data were
/// restored from a copy, too new. A watcher that is told so before the watch has begun would ask the same for ever.
pub(crate) fn has_expired(error: &watcher::Error) -> bool {
    let watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error else { return false };
    matches!(status.code, 410 | 504)
}

/// The wait between failures.
#[derive(Default)]
pub(crate) struct Pause {
    last: Option<Duration>,
}

impl Pause {
    const SHORTEST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(10);

    /// Whether this is the first failure since things went well.
    fn begins(&self) -> bool {
        self.last.is_none()
    }

    /// Things go well; whether they did not before.
    pub(crate) fn ends(&mut self) -> bool {
        self.last.take().is_some()
    }

    /// Waits longer each time, or until somebody is in a hurry.
    pub(crate) async fn wait(&mut self, hurry: &Notify) {
        let wait = self.last.map_or(Self::SHORTEST, |last| (last * 2).min(Self::LONGEST));
        self.last = Some(wait);
        let _ = tokio::time::timeout(wait, hurry.notified()).await;
    }
}
