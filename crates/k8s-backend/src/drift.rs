//! Drift: what somebody has changed about our objects behind our back, seen and counted.
//!
//! The server merges what we apply with what others have set, so an object is not compared with what we sent but with
//! itself before and after an apply that should have changed nothing.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use portway_backend::{Workload, WorkloadId};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::names::{FENCE, workload_of};

/// What this process has applied, and how often it found that changed.
pub(crate) struct Applied {
    corrected: AtomicU64,
    places: Mutex<HashMap<WorkloadId, Arc<Place>>>,
    /// How often everything was forgotten.
    era: watch::Sender<u64>,
    seen: mpsc::UnboundedSender<WorkloadId>,
    /// Until somebody begins to correct.
    to_correct: Mutex<Option<mpsc::UnboundedReceiver<WorkloadId>>>,
}

/// What is known of one workload.
#[derive(Default)]
pub(crate) struct Place {
    /// Held while the workload is applied or removed.
    pub(crate) turn: tokio::sync::Mutex<()>,
    last: Mutex<Option<Last>>,
}

#[derive(Clone)]
struct Last {
    workload: Arc<Workload>,
    fingerprint: u64,
}

impl Default for Applied {
    fn default() -> Self {
        let (seen, to_correct) = mpsc::unbounded_channel();
        Self {
            corrected: AtomicU64::new(0),
            places: Mutex::default(),
            era: watch::Sender::new(0),
            seen,
            to_correct: Mutex::new(Some(to_correct)),
        }
    }
}

impl Applied {
    /// How many objects were found changed and put back.
    pub(crate) fn corrected(&self) -> u64 {
        self.corrected.load(Ordering::Relaxed)
    }

    /// Counts an object that was put back.
    pub(crate) fn count(&self) {
        self.corrected.fetch_add(1, Ordering::Relaxed);
    }

    /// The place of a workload, made if it is new.
    pub(crate) fn place(&self, id: &WorkloadId) -> Arc<Place> {
        Arc::clone(locked(&self.places).entry(id.clone()).or_default())
    }

    /// Ends when everything is forgotten.
    pub(crate) fn era(&self) -> watch::Receiver<u64> {
        self.era.subscribe()
    }

    /// Forgets everything, so that nothing is put back any more, and what is under way is not remembered.
    pub(crate) fn forget_all(&self) {
        self.era.send_modify(|era| *era += 1);
        locked(&self.places).values().for_each(|place| place.forget());
    }

    /// Where the workloads arrive that were changed by somebody else; `None` when somebody has asked before.
    pub(crate) fn to_correct(&self) -> Option<mpsc::UnboundedReceiver<WorkloadId>> {
        locked(&self.to_correct).take()
    }

    /// Takes note of a Deployment as the watch shows it: if this process applied it and it is now another, it is drift.
    pub(crate) fn saw(&self, deployment: &Deployment) {
        let Some(id) = workload_of(deployment.labels()) else { return };
        let Some(place) = locked(&self.places).get(&id).cloned() else { return };
        if deployment.metadata.deletion_timestamp.is_none() && place.is_drift(deployment) {
            // Without anybody who corrects there is nothing to be done.
            let _ = self.seen.send(id);
        }
    }
}

impl Place {
    /// Remembers what was applied and what the server made of it, unless everything was forgotten since `era` began.
    pub(crate) fn applied(&self, workload: &Workload, deployment: &Deployment, era: &watch::Receiver<u64>) {
        let new = Last { workload: Arc::new(workload.clone()), fingerprint: fingerprint(deployment) };
        let mut last = locked(&self.last);
        // Looked at under the lock: whoever forgets ends the era first, and then waits for it.
        if era.has_changed().is_ok_and(|is_over| !is_over) {
            *last = Some(new);
        }
    }

    /// Forgets it, so that it is not put back.
    pub(crate) fn forget(&self) {
        *locked(&self.last) = None;
    }

    /// Whether the Deployment is another than the one that was applied last.
    pub(crate) fn is_drift(&self, deployment: &Deployment) -> bool {
        let expected = locked(&self.last).as_ref().map(|last| last.fingerprint);
        expected.is_some_and(|expected| fingerprint(deployment) != expected)
    }

    /// What was applied last.
    pub(crate) fn workload(&self) -> Option<Arc<Workload>> {
        locked(&self.last).as_ref().map(|last| Arc::clone(&last.workload))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fingerprint(deployment: &Deployment) -> u64 {
    let mut hasher = DefaultHasher::new();
    let text = serde_json::to_value(deployment).map(|value| essence(&value).to_string());
    text.unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

/// What of an object an apply decides: neither its status, nor its number of replicas, nor what others keep in its
/// annotations.
pub(crate) fn essence(object: &Value) -> Value {
    let mut essence = object.clone();
    let Some(fields) = essence.as_object_mut() else { return essence };
    // `secrets` of a ServiceAccount are added by the server's token controller (before 1.24).
    for key in ["apiVersion", "kind", "status", "secrets"] {
        fields.remove(key);
    }
    if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("replicas");
    }
    let mut metadata = fields.remove("metadata").unwrap_or_default();
    let labels = metadata["labels"].take();
    let mut annotations = metadata["annotations"].take();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.retain(|key, _| key.starts_with(OURS) && key != FENCE);
    }
    fields.insert("labels".to_owned(), labels);
    fields.insert("annotations".to_owned(), annotations);
    essence
}

/// How the annotations that we make begin.
const OURS: &str = "portway.dev/";

#[cfg(test)]
mod tests {
    use portway_backend::{Environment, Program};
    use serde_json::json;

    use super::*;
    use crate::names::labels;

    fn id() -> WorkloadId {
        WorkloadId::new("iris".parse().unwrap(), "first".parse().unwrap())
    }

    fn deployment(change: impl FnOnce(&mut Value)) -> Deployment {
        let mut value = json!({
            "metadata": {"name": "iris", "labels": labels(&id(), "portway"), "annotations": {"portway.dev/owner": "portway"}},
            "spec": {"replicas": 1, "selector": {}, "template": {"spec": {"containers": [{"name": "replica", "image": "a"}]}}},
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn drifted(change: impl FnOnce(&mut Value)) -> bool {
        let applied = Applied::default();
        let image = Environment::Image { reference: "a".into() };
        let workload = Workload::new(id(), Program::entry_point(), image);
        applied.place(&id()).applied(&workload, &deployment(|_| ()), &applied.era());
        applied.saw(&deployment(change));
        applied.to_correct().unwrap().try_recv().is_ok()
    }

    #[test]
    fn r_k8s_1_drift_is_a_change_of_what_was_applied() {
        assert!(drifted(|d| d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("b")));
        assert!(drifted(|d| d["spec"]["paused"] = json!(true)));
        assert!(drifted(|d| d["metadata"]["annotations"]["portway.dev/owner"] = json!("me")));
        assert!(drifted(|d| d["spec"]["strategy"] = json!({"type": "Recreate"})));
    }

    #[test]
    fn a_change_that_others_are_free_to_make_is_none() {
        assert!(!drifted(|_| ()));
        assert!(!drifted(|d| d["spec"]["replicas"] = json!(9)));
        assert!(!drifted(|d| d["metadata"]["annotations"][FENCE] = json!("7")));
        assert!(!drifted(|d| d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("2")));
        assert!(!drifted(|d| d["metadata"]["resourceVersion"] = json!("2")));
        assert!(!drifted(|d| d["status"] = json!({"readyReplicas": 1})));
        assert!(!drifted(|d| d["metadata"]["deletionTimestamp"] = json!("2026-11-27T17:11:18Z")));
    }

    #[test]
    fn what_this_process_did_not_apply_or_has_removed_is_not_its_business() {
        let applied = Applied::default();
        applied.saw(&deployment(|_| ()));
        applied.place(&id()).forget();
        applied.saw(&deployment(|_| ()));
        assert!(applied.to_correct().unwrap().try_recv().is_err());
        assert!(applied.to_correct().is_none(), "only one corrects");
    }
}
