//! Replicas by watch (K8S-2): one list and one watch of Deployments and one of pods for all workloads of a backend.
//!
//! The watches begin with the first [`watch`](portway_backend::Fleet::watch) and end with the last handle of the
//! backend. They survive restarts of the API server, watches that break off, expired resource versions (then everything
//! is listed again and what has vanished is forgotten) and repeated events. While the server is away the last status
//! stays as it is.
//!
//! Rights in use: `list` and `watch` on `deployments` (`apps`) and `pods`, in the backend's namespace.

mod cache;
pub(crate) mod follow;
mod routable;
pub(crate) mod view;

use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use portway_backend::{BackendError, Status, WorkloadId};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use self::cache::Cache;
use self::follow::{Progress, follow};
pub use self::routable::ReadyToRoutable;
use self::view::{DeploymentView, PodView};
use crate::backend::Inner;
use crate::clock;
use crate::names::object_name;
use crate::status::status;

/// What a backend knows of all replicas, and who wants to know it.
#[derive(Default)]
pub(crate) struct Replicas {
    known: Arc<Known>,
    following: OnceLock<Following>,
}

/// Ends the watches when it is dropped.
struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the watches write and the backend reads.
pub(crate) struct Known {
    state: Mutex<State>,
    progress: watch::Sender<[Progress; 2]>,
    /// The newest revision of a Deployment that was shown.
    reached: watch::Sender<u64>,
    /// Wakes the watches of either kind from the wait before their next try.
    hurry: [Notify; 2],
}

#[derive(Default)]
struct State {
    deployments: Cache<DeploymentView>,
    pods: Cache<PodView>,
    watched: HashMap<WorkloadId, watch::Sender<Arc<Status>>>,
    routable: ReadyToRoutable,
}

impl Default for Known {
    fn default() -> Self {
        let (state, reached, hurry) = Default::default();
        Self { state, progress: watch::Sender::new([Progress::Listing, Progress::Listing]), reached, hurry }
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas").field("progress", &*self.known.progress.borrow()).finish_non_exhaustive()
    }
}

impl Inner {
    /// Follows the status of a workload, beginning with its present one.
    ///
    /// # Errors
    ///
    /// What the API server said when it was asked for the first list, which is tried again in the background.
    pub(crate) async fn watch_workload(
        self: &Arc<Self>,
        id: &WorkloadId,
    ) -> Result<watch::Receiver<Arc<Status>>, BackendError> {
        let known = &self.replicas.known;
        self.replicas.following.get_or_init(|| {
            let task = tokio::spawn(follow(Arc::downgrade(self), Arc::clone(known)));
            Following(task.abort_handle())
        });
        known.listed().await?;
        Ok(known.subscribe(id))
    }

    /// Waits until whoever watches has been shown a Deployment of this revision or a newer one, so that after an order
    /// nobody takes a status from before it for its outcome. A watch that is interrupted is not waited for.
    pub(crate) async fn shown(&self, revision: Option<&str>) {
        let Some(revision) = revision.and_then(|revision| revision.parse::<u64>().ok()) else { return };
        if self.replicas.following.get().is_some() {
            let mut reached = self.replicas.known.reached.subscribe();
            let _ = tokio::time::timeout(PATIENCE, reached.wait_for(|reached| *reached >= revision)).await;
        }
    }

    /// How long replicas that became ready took to be shown.
    pub(crate) fn routable(&self) -> ReadyToRoutable {
        self.replicas.known.state().routable
    }
}

impl Known {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until both kinds have been listed once, or the server has refused that.
    async fn listed(&self) -> Result<(), BackendError> {
        // What was refused to somebody else is asked again for us, at once.
        self.progress.send_modify(|all| {
            for (kind, hurry) in all.iter_mut().zip(&self.hurry) {
                if matches!(kind, Progress::Refused(_)) {
                    *kind = Progress::Listing;
                    hurry.notify_one();
                }
            }
        });
        let mut progress = self.progress.subscribe();
        let is_over = |all: &[Progress; 2]| {
            refusal(all).is_some() || all.iter().all(|each| matches!(each, Progress::Listed))
        };
        let outcome = progress.wait_for(is_over).await;
        let refusal = outcome.ok().and_then(|all| refusal(&all));
        refusal.map_or(Ok(()), |error| {
            let cause = error.source().map(ToString::to_string);
            let error = BackendError::new(error.kind(), error.to_string());
            Err(match cause {
                Some(cause) => error.with_source(cause),
                None => error,
            })
        })
    }

    fn saw_deployment(&self, event: Event<Deployment>) {
        let revision = match &event {
            Event::InitApply(deployment) | Event::Apply(deployment) => cache::revision(deployment),
            Event::Init | Event::InitDone | Event::Delete(_) => None,
        };
        let mut state = self.state();
        let changed = state.deployments.take(event, DeploymentView::of);
        state.publish(&changed);
        self.reached.send_if_modified(|reached| {
            let is_newer = revision > Some(*reached);
            *reached = revision.unwrap_or_default().max(*reached);
            is_newer
        });
    }

    fn saw_pod(&self, event: Event<Pod>) {
        let mut state = self.state();
        let changed = state.pods.take(event, PodView::of);
        state.publish(&changed);
    }

    fn subscribe(&self, id: &WorkloadId) -> watch::Receiver<Arc<Status>> {
        let mut state = self.state();
        if let Some(sender) = state.watched.get(id) {
            return sender.subscribe();
        }
        state.watched.retain(|_, sender| sender.receiver_count() > 0);
        let (sender, receiver) = watch::channel(Arc::new(state.status_of(id)));
        state.watched.insert(id.clone(), sender);
        receiver
    }
}

/// How long an order waits for a watch to show its outcome.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

fn refusal(progress: &[Progress; 2]) -> Option<Arc<BackendError>> {
    progress.iter().find_map(|each| match each {
        Progress::Refused(error) => Some(Arc::clone(error)),
        Progress::Listing | Progress::Listed => None,
    })
}

impl State {
    fn status_of(&self, id: &WorkloadId) -> Status {
        // Somebody's copy of it under another name is not it.
        let deployment = self.deployments.of(id).and_then(|all| all.get(object_name(id).as_str()));
        status(deployment, self.pods.of(id).unwrap_or(&BTreeMap::new()))
    }

    /// Shows the present status of these workloads to those who watch them, if it is another than the last.
    fn publish(&mut self, changed: &[Arc<WorkloadId>]) {
        if !(self.deployments.is_complete() && self.pods.is_complete()) {
            return;
        }
        for id in changed {
            let Some(sender) = self.watched.get(&**id) else { continue };
            let (old, new) = (Arc::clone(&sender.borrow()), Arc::new(self.status_of(id)));
            if old == new {
                continue;
            }
            sender.send_replace(Arc::clone(&new));
            if let Some(pods) = self.pods.of(id) {
                self.routable.note(id, (&old, &new), pods, clock::wall());
            }
        }
    }
}
