//! Other autoscalers of the same Deployment (SCL-5): found by watching them, never worked beside.
//!
//! HorizontalPodAutoscalers are read as `autoscaling/v1`, which every server has and which names the target like all later
//! versions do; KEDA's ScaledObjects where the cluster has them, since one that is at zero need not have an
//! HorizontalPodAutoscaler yet. One list and one watch of each, begun by the first apply or scale.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, OnceLock};

use futures_util::StreamExt as _;
use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher;
use kube::runtime::watcher::{Config, Event};
use kube::{Api, ResourceExt};
use portway_backend::{BackendError, ErrorKind};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::backend::Inner;
use crate::connect::WATCH_SECONDS;
use crate::error::refused;
use crate::replicas::follow::{Pause, has_expired, reason};

/// The other autoscalers of our namespace.
#[derive(Default)]
pub(crate) struct OtherScalers {
    watched: OnceLock<Watched>,
}

/// The watches, which end with this.
#[derive(Default)]
struct Watched {
    kinds: Vec<Arc<Kind>>,
    tasks: JoinSet<()>,
}

/// What is known of one kind of autoscaler.
struct Kind {
    name: &'static str,
    seen: watch::Sender<Seen>,
    /// Ends the wait before the next try.
    hurry: Notify,
}

#[derive(Clone, Debug)]
enum Seen {
    /// Not listed yet.
    Asking,
    /// The Deployment that each scales, by the autoscaler's name.
    Known(Targets),
    /// They cannot be listed.
    Refused(ErrorKind, String),
}

type Targets = BTreeMap<String, String>;
type Target<K> = fn(&K) -> Option<String>;

impl OtherScalers {
    /// Fails when another autoscaler scales `deployment`, or when nobody can know.
    pub(crate) async fn check(&self, inner: &Inner, deployment: &str) -> Result<(), BackendError> {
        for kind in &self.watched.get_or_init(|| Watched::begin(inner)).kinds {
            kind.check(deployment).await?;
        }
        Ok(())
    }
}

impl Watched {
    fn begin(inner: &Inner) -> Self {
        let mut watched = Self::default();
        watched.follow(HPA, inner.api::<HorizontalPodAutoscaler>(), hpa_target);
        if inner.server.has_scaled_objects {
            let resource =
                ApiResource::from_gvk(&GroupVersionKind::gvk("keda.sh", "v1alpha1", SCALED_OBJECT));
            let namespace = &inner.options.namespace;
            let api = Api::namespaced_with(inner.client.clone(), namespace, &resource);
            watched.follow(SCALED_OBJECT, api, scaled_object_target);
        }
        watched
    }

    fn follow<K>(&mut self, name: &'static str, api: Api<K>, target: Target<K>)
    where
        K: kube::Resource<DynamicType: Send + Sync>
            + Clone
            + Debug
            + serde::de::DeserializeOwned
            + Send
            + 'static,
    {
        let kind = Arc::new(Kind { name, seen: watch::Sender::new(Seen::Asking), hurry: Notify::new() });
        self.kinds.push(Arc::clone(&kind));
        self.tasks.spawn(async move { kind.follow(api, target).await });
    }
}

impl Kind {
    async fn check(&self, deployment: &str) -> Result<(), BackendError> {
        // What was refused to somebody else is asked again for us, at once.
        let was_refused = self.seen.send_if_modified(|seen| {
            let was_refused = matches!(seen, Seen::Refused(..));
            if was_refused {
                *seen = Seen::Asking;
            }
            was_refused
        });
        if was_refused {
            self.hurry.notify_one();
        }
        let mut seen = self.seen.subscribe();
        let known = seen.wait_for(|seen| !matches!(seen, Seen::Asking)).await;
        // The sender is ours, so it cannot be gone.
        known.map_or(Ok(()), |seen| verdict(self.name, &seen, deployment))
    }

    async fn follow<K>(&self, api: Api<K>, target: Target<K>)
    where
        K: kube::Resource + Clone + Debug + serde::de::DeserializeOwned + Send + 'static,
    {
        let config = Config::default().timeout(WATCH_SECONDS);
        let (mut listed, mut pause) = (Targets::new(), Pause::default());
        loop {
            let mut events = pin!(watcher(api.clone(), config.clone()));
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        if !matches!(event, Event::Init | Event::InitApply(_)) {
                            pause.ends();
                        }
                        self.take(event, &mut listed, target);
                    }
                    Err(error) => {
                        let has_expired = has_expired(&error);
                        self.lose(error);
                        pause.wait(&self.hurry).await;
                        if has_expired {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// `listed` is what a list that is being read has named so far.
    fn take<K: ResourceExt>(&self, event: Event<K>, listed: &mut Targets, target: Target<K>) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => note(listed, &object, target),
            Event::InitDone => drop(self.seen.send_replace(Seen::Known(std::mem::take(listed)))),
            Event::Apply(object) => self.change(|known| note(known, &object, target)),
            Event::Delete(object) => self.change(|known| drop(known.remove(&object.name_any()))),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Targets)) {
        self.seen.send_modify(|seen| {
            if let Seen::Known(known) = seen {
                change(known);
            }
        });
    }

    /// What was known stays known while a watch is interrupted.
    fn lose(&self, error: watcher::Error) {
        let error =
            refused(&format!("see whether a {} scales the same Deployment", self.name), reason(error));
        tracing::warn!("{error}");
        self.seen.send_if_modified(|seen| {
            let is_unknown = !matches!(seen, Seen::Known(_));
            if is_unknown {
                *seen = Seen::Refused(error.kind(), error.to_string());
            }
            is_unknown
        });
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

fn note<K: ResourceExt>(known: &mut Targets, object: &K, target: Target<K>) {
    match target(object) {
        Some(target) => drop(known.insert(object.name_any(), target)),
        None => drop(known.remove(&object.name_any())),
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
    use serde_json::json;

    use super::*;

    fn hpa(name: &str, kind: &str, target: &str) -> HorizontalPodAutoscaler {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": kind, "name": target}},
        }))
        .unwrap()
    }

    fn after(events: Vec<watcher::Result<Event<HorizontalPodAutoscaler>>>) -> Seen {
        let kind = Kind { name: HPA, seen: watch::Sender::new(Seen::Asking), hurry: Notify::new() };
        let mut listed = Targets::new();
        for event in events {
            match event {
                Ok(event) => kind.take(event, &mut listed, hpa_target),
                Err(error) => kind.lose(error),
            }
        }
        kind.seen.borrow().clone()
    }

    #[test]
    fn r_scl_5_an_autoscaler_of_the_same_deployment_is_named() {
        let listed = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(hpa("other", "StatefulSet", "iris"))),
            Ok(Event::InitApply(hpa("web", "Deployment", "iris"))),
            Ok(Event::InitDone),
        ];
        let seen = after(listed);
        let error = verdict(HPA, &seen, "iris").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(
            error.to_string().contains("HorizontalPodAutoscaler web scales the Deployment iris"),
            "{error}"
        );
        assert!(verdict(HPA, &seen, "tulip").is_ok());
    }

    #[test]
    fn r_scl_5_it_is_forgotten_when_it_goes_or_turns_elsewhere() {
        let begun =
            || vec![Ok(Event::Init), Ok(Event::InitDone), Ok(Event::Apply(hpa("web", "Deployment", "iris")))];
        assert!(verdict(HPA, &after(begun()), "iris").is_err());
        for end in [
            Event::Delete(hpa("web", "Deployment", "iris")),
            Event::Apply(hpa("web", "Deployment", "tulip")),
            Event::Apply(hpa("web", "StatefulSet", "iris")),
        ] {
            let mut events = begun();
            events.push(Ok(end));
            assert!(verdict(HPA, &after(events), "iris").is_ok());
        }
    }

    #[test]
    fn r_scl_5_who_may_not_look_is_told_so_and_what_was_seen_stays() {
        let forbidden = || {
            let status = kube::core::Status::failure("no", "Forbidden").with_code(403).boxed();
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status)))
        };
        let error = verdict(HPA, &after(vec![forbidden()]), "iris").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let seen = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(hpa("web", "Deployment", "iris"))),
            Ok(Event::InitDone),
            forbidden(),
        ];
        assert_eq!(verdict(HPA, &after(seen), "iris").unwrap_err().kind(), ErrorKind::Conflict);
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
