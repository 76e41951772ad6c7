//! Other autoscalers of the same Deployment (SCL-5): found by watching them, never worked beside.
//!
//! HorizontalPodAutoscalers are read as `autoscaling/v1`, which every server has and which names the target like all later
//! versions do; KEDA's ScaledObjects where the cluster has them, since one that is at zero need not have an
//! HorizontalPodAutoscaler yet. One list and one watch of each, begun by the first apply or scale.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::OnceLock;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt};
use portway_backend::{BackendError, ErrorKind};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::backend::Inner;
use crate::error::refused;

/// The other autoscalers of our namespace.
#[derive(Default)]
pub(crate) struct OtherScalers {
    watched: OnceLock<Watched>,
}

/// The watches, which end with this.
struct Watched {
    kinds: Vec<(&'static str, watch::Receiver<Seen>)>,
    _tasks: JoinSet<()>,
}

/// What is known of one kind of autoscaler.
#[derive(Clone, Debug)]
enum Seen {
    /// Not listed yet.
    Asking,
    /// The Deployment that each scales, by the autoscaler's name.
    Known(BTreeMap<String, String>),
    /// They cannot be listed.
    Refused(ErrorKind, String),
}

impl OtherScalers {
    /// Fails when another autoscaler scales `deployment`, or when nobody can know.
    pub(crate) async fn check(&self, inner: &Inner, deployment: &str) -> Result<(), BackendError> {
        let watched = self.watched.get_or_init(|| Watched::begin(inner));
        for (kind, seen) in &watched.kinds {
            let mut seen = seen.clone();
            let known = match seen.wait_for(|seen| !matches!(seen, Seen::Asking)).await {
                Ok(seen) => seen.clone(),
                Err(_) => return Err(BackendError::unavailable("the watch of other autoscalers has ended")),
            };
            verdict(kind, &known, deployment)?;
        }
        Ok(())
    }
}

fn verdict(kind: &str, seen: &Seen, deployment: &str) -> Result<(), BackendError> {
    match seen {
        Seen::Asking => Ok(()),
        Seen::Refused(error, why) => Err(BackendError::new(*error, why.clone())),
        Seen::Known(targets) => match targets.iter().find(|(_, target)| *target == deployment) {
            None => Ok(()),
            Some((name, _)) => Err(BackendError::conflict(format!(
                "the {kind} {name} scales the Deployment {deployment} as well, and two autoscalers would fight over it; \
                 delete it (kubectl delete {} {name}) and try again",
                kind.to_ascii_lowercase()
            ))),
        },
    }
}

impl Watched {
    fn begin(inner: &Inner) -> Self {
        let mut watched = Self { kinds: Vec::new(), _tasks: JoinSet::new() };
        watched.follow(HPA, inner.api::<HorizontalPodAutoscaler>(), hpa_target, ());
        if inner.server.has_scaled_objects {
            let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("keda.sh", "v1alpha1", SCALED_OBJECT));
            let api = Api::namespaced_with(inner.client.clone(), &inner.options.namespace, &kind);
            watched.follow(SCALED_OBJECT, api, scaled_object_target, kind);
        }
        watched
    }

    fn follow<K>(&mut self, kind: &'static str, api: Api<K>, target: Target<K>, _: K::DynamicType)
    where
        K: kube::Resource + Clone + Debug + serde::de::DeserializeOwned + Send + 'static,
    {
        let (sender, receiver) = watch::channel(Seen::Asking);
        self.kinds.push((kind, receiver));
        self._tasks.spawn(follow(kind, watcher(api, Config::default()).default_backoff(), target, sender));
    }
}

type Target<K> = fn(&K) -> Option<String>;

async fn follow<K: ResourceExt>(
    kind: &'static str,
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    target: Target<K>,
    seen: watch::Sender<Seen>,
) {
    let mut listed = BTreeMap::new();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => note(&mut listed, &object, target),
            Ok(Event::InitDone) => drop(seen.send_replace(Seen::Known(std::mem::take(&mut listed)))),
            Ok(Event::Apply(object)) => {
                seen.send_modify(|seen| seen.change(|known| note(known, &object, target)))
            }
            Ok(Event::Delete(object)) => {
                seen.send_modify(|seen| seen.change(|known| drop(known.remove(&object.name_any()))));
            }
            Err(error) => {
                tracing::warn!("the watch of {kind}s is interrupted: {error}");
                seen.send_if_modified(|seen| seen.lose(kind, error));
            }
        }
    }
}

fn note<K: ResourceExt>(known: &mut BTreeMap<String, String>, object: &K, target: Target<K>) {
    match target(object) {
        Some(target) => drop(known.insert(object.name_any(), target)),
        None => drop(known.remove(&object.name_any())),
    }
}

impl Seen {
    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        if let Self::Known(known) = self {
            change(known);
        }
    }

    /// What was known stays known while a watch is interrupted.
    fn lose(&mut self, kind: &str, error: watcher::Error) -> bool {
        if matches!(self, Self::Known(_)) {
            return false;
        }
        let what = format!("see whether a {kind} scales the same Deployment");
        let error = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => refused(&what, error),
            watcher::Error::WatchError(status) => refused(&what, kube::Error::Api(status)),
            watcher::Error::NoResourceVersion => BackendError::unavailable(format!("cannot {what}")),
        };
        *self = Self::Refused(error.kind(), error.to_string());
        true
    }
}

fn hpa_target(hpa: &HorizontalPodAutoscaler) -> Option<String> {
    let target = &hpa.spec.as_ref()?.scale_target_ref;
    (target.kind == DEPLOYMENT).then(|| target.name.clone())
}

/// Its target is a Deployment unless it says otherwise.
fn scaled_object_target(object: &DynamicObject) -> Option<String> {
    let target = &object.data["spec"]["scaleTargetRef"];
    let is_deployment = target["kind"].as_str().is_none_or(|kind| kind == DEPLOYMENT);
    is_deployment.then(|| target["name"].as_str().map(str::to_owned))?
}

const HPA: &str = "HorizontalPodAutoscaler";
const SCALED_OBJECT: &str = "ScaledObject";
const DEPLOYMENT: &str = "Deployment";

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use serde_json::json;

    use super::*;

    fn hpa(name: &str, kind: &str, target: &str) -> HorizontalPodAutoscaler {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": kind, "name": target}},
        }))
        .unwrap()
    }

    async fn after(events: Vec<watcher::Result<Event<HorizontalPodAutoscaler>>>) -> Seen {
        let (sender, receiver) = watch::channel(Seen::Asking);
        follow(HPA, stream::iter(events), hpa_target, sender).await;
        receiver.borrow().clone()
    }

    #[tokio::test]
    async fn r_scl_5_an_autoscaler_of_the_same_deployment_is_named() {
        let listed = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(hpa("other", "StatefulSet", "iris"))),
            Ok(Event::InitApply(hpa("web", "Deployment", "iris"))),
            Ok(Event::InitDone),
        ];
        let seen = after(listed).await;
        let error = verdict(HPA, &seen, "iris").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(
            error.to_string().contains("HorizontalPodAutoscaler web scales the Deployment iris"),
            "{error}"
        );
        assert!(verdict(HPA, &seen, "tulip").is_ok());
    }

    #[tokio::test]
    async fn r_scl_5_it_is_forgotten_when_it_goes_or_turns_elsewhere() {
        let begun =
            || vec![Ok(Event::Init), Ok(Event::InitDone), Ok(Event::Apply(hpa("web", "Deployment", "iris")))];
        assert!(verdict(HPA, &after(begun()).await, "iris").is_err());
        for end in [
            Event::Delete(hpa("web", "Deployment", "iris")),
            Event::Apply(hpa("web", "Deployment", "tulip")),
            Event::Apply(hpa("web", "StatefulSet", "iris")),
        ] {
            let mut events = begun();
            events.push(Ok(end));
            assert!(verdict(HPA, &after(events).await, "iris").is_ok());
        }
    }

    #[tokio::test]
    async fn r_scl_5_who_may_not_look_is_told_so_and_what_was_seen_stays() {
        let forbidden = || {
            let status = kube::core::Status::failure("no", "Forbidden").with_code(403).boxed();
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status)))
        };
        let error = verdict(HPA, &after(vec![forbidden()]).await, "iris").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let seen = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(hpa("web", "Deployment", "iris"))),
            Ok(Event::InitDone),
            forbidden(),
        ];
        assert_eq!(verdict(HPA, &after(seen).await, "iris").unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn r_scl_5_a_scaled_object_scales_a_deployment_unless_it_says_otherwise() {
        let object = |spec| {
            let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("keda.sh", "v1alpha1", SCALED_OBJECT));
            DynamicObject::new("a", &kind).data(json!({"spec": {"scaleTargetRef": spec}}))
        };
        let target = |spec| scaled_object_target(&object(spec));
        assert_eq!(target(json!({"name": "iris"})), Some("iris".to_owned()));
        assert_eq!(target(json!({"kind": "Deployment", "name": "iris"})), Some("iris".to_owned()));
        assert_eq!(target(json!({"kind": "StatefulSet", "name": "iris"})), None);
        assert_eq!(target(json!({})), None);
    }
}
