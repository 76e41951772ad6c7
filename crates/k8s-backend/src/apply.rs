//! Apply: makes a workload's objects what they are to be.
//!
//! Every object is applied server-side under our own field manager, so that the server knows which fields are ours. The
//! number of replicas must never be among them: an apply that no longer contains a field which an earlier one contained
//! removes it, and the number would fall back to one. So a Deployment is created *paused* and without a number, which
//! starts nothing; then its number is set through the scale subresource, the other objects are made, owned by it, and the
//! last apply, without the pause and with the digest, lets it run. Whoever finds a paused Deployment without a digest
//! knows that its creation was interrupted, and goes on with it.

use futures_util::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, PostParams};
use kube::runtime::wait::{Error as WaitError, await_condition, conditions};
use portway_backend::{BackendError, Workload};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

use crate::backend::{Inner, K8sBackend};
use crate::conflicts::listed;
use crate::correct;
use crate::drift::{Place, essence};
use crate::error::refused;
use crate::manifest::{Manifests, Salt, Setting, Surge, accelerators};
use crate::names::{CONFIG_DIGEST, FENCE, object_name};
use crate::ownership;
use crate::part::{Part, Sent, kinds};
use crate::replicas::follow::{Pause, reason};
use crate::surge;

/// Makes the workload what `desired` says.
pub(crate) async fn apply(backend: &K8sBackend, desired: &Workload) -> Result<(), BackendError> {
    let inner = &*backend.inner;
    inner.deployer.hold(backend).await?;
    let era = inner.applied.era();
    correct::begin(&backend.inner);
    let name = object_name(&desired.id);
    inner.other_scalers.check(inner, &name).await?;
    let place = inner.applied.place(&desired.id);
    let _turn = place.turn.lock().await;
    Application { inner, desired, name: &name, place: &place, era }.run().await
}

/// One apply of one workload, whose turn it is.
pub(crate) struct Application<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) desired: &'a Workload,
    pub(crate) name: &'a str,
    pub(crate) place: &'a Place,
    /// What is applied after its end is not put back.
    pub(crate) era: watch::Receiver<u64>,
}

/// What there was before, the Deployment first, in the order of [`kinds`].
type Before = Vec<Option<DynamicObject>>;

impl Application<'_> {
    pub(crate) async fn run(&self) -> Result<(), BackendError> {
        let before = self.survey().await?;
        let deployment: Option<Deployment> = before[DEPLOYMENT].clone().map(parsed).transpose()?;
        let secret: Option<Secret> = before[SECRET].clone().map(parsed).transpose()?;
        let salt = secret.as_ref().and_then(Salt::of).unwrap_or_else(Salt::random);
        let manifests = self.manifests(deployment.as_ref(), &salt).await?;

        let standing = match deployment {
            None => {
                let new = self.part(DEPLOYMENT).apply(&paused(&manifests.deployment), "").await?;
                Standing::Begun(parsed(new.object)?)
            }
            Some(found) if is_begun(&found) => Standing::Begun(found),
            Some(found) => Standing::Complete { is_same: digest(&found) == Some(&manifests.digest), found },
        };
        if let Standing::Begun(deployment) = &standing {
            self.set_initial_replicas(deployment, manifests.initial_replicas).await?;
        }
        let uid = standing.deployment().metadata.uid.as_deref().unwrap_or_default();
        let mut manifests = manifests.owned_by(uid);
        if matches!(&standing, Standing::Complete { found, .. } if is_paused(found)) {
            // Said only where somebody has paused it: servers that leave out what is false take a repetition for a change.
            manifests.deployment.spec.get_or_insert_default().paused = Some(false);
        }
        self.send_all(&manifests, &standing, &before).await
    }

    /// Reads what there is and makes sure that it is ours and not on its way out.
    async fn survey(&self) -> Result<Before, BackendError> {
        for _ in 0..2 {
            let parts = (0..kinds(&self.inner.server).len()).map(|index| self.part(index));
            let before: Before = try_join_all(parts.map(|part| async move { part.read().await })).await?;
            for (index, found) in before.iter().enumerate() {
                if let Some(found) = found {
                    ownership::check(self.part(index).kind(), &found.metadata, &self.inner.options.owner)?;
                }
            }
            let is_going = |found: &&DynamicObject| found.metadata.deletion_timestamp.is_some();
            let Some(going) = before[DEPLOYMENT].as_ref().filter(is_going) else { return Ok(before) };
            self.wait_until_gone(going.metadata.uid.as_deref().unwrap_or_default()).await?;
        }
        Err(self.still_going(None))
    }

    /// A workload that was removed just now still ends its replicas; a Deployment in its place would go with it.
    async fn wait_until_gone(&self, uid: &str) -> Result<(), BackendError> {
        tracing::info!(workload = %self.desired.id, "waiting until what was removed is gone");
        let mut failure = None;
        let mut pause = Pause::default();
        let gone = async {
            let deployments = || self.inner.api::<Deployment>();
            while let Err(WaitError::ProbeFailed(error)) =
                await_condition(deployments(), self.name, conditions::is_deleted(uid)).await
            {
                failure = Some(refused(&format!("watch the Deployment {}", self.name), reason(error)));
                pause.wait(&Notify::new()).await;
            }
        };
        let grace = self.desired.termination_grace.saturating_add(self.inner.options.drain_notice);
        let outcome = tokio::time::timeout(grace.saturating_add(BEYOND_GRACE), gone).await;
        outcome.map_err(|_| self.still_going(failure))
    }

    fn still_going(&self, failure: Option<BackendError>) -> BackendError {
        let failure = failure.map_or_else(String::new, |failure| format!(" (the last failure: {failure})"));
        BackendError::unavailable(format!(
            "the Deployment {} of an earlier {} is still going away{failure}; see what holds it (kubectl describe), and \
             apply again when it is gone",
            self.name, self.desired.id
        ))
    }

    async fn manifests(&self, found: Option<&Deployment>, salt: &Salt) -> Result<Manifests, BackendError> {
        let Inner { options, server, .. } = self.inner;
        let with = |surge| Manifests::of(self.desired, Setting { options, server, surge, salt });
        let manifests = with(Surge::Beside)?;
        // How replicas are replaced matters only where accelerators are scarce, and once there is something to replace.
        let (Some(found), false) = (found, accelerators(self.desired).is_empty()) else {
            return Ok(manifests);
        };
        let is_same = digest(found) == Some(&manifests.digest);
        with(if is_same { surge_of(found) } else { surge::find(self.inner, self.desired).await })
    }

    /// Unless somebody has scaled the new Deployment already.
    async fn set_initial_replicas(&self, deployment: &Deployment, initial: i32) -> Result<(), BackendError> {
        let present = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        if deployment.annotations().contains_key(FENCE) || present == Some(initial) {
            return Ok(());
        }
        let metadata = ObjectMeta {
            name: Some(self.name.to_owned()),
            namespace: Some(self.inner.options.namespace.clone()),
            uid: deployment.metadata.uid.clone(),
            ..ObjectMeta::default()
        };
        let scale = Scale { metadata, spec: Some(ScaleSpec { replicas: Some(initial) }), status: None };
        let params =
            PostParams { field_manager: Some(self.inner.options.scale_manager()), ..PostParams::default() };
        let set = self.inner.api::<Deployment>().replace_scale(self.name, &params, &scale).await;
        let what = format!("set the number of replicas of the Deployment {}{BEGUN}", self.name);
        set.map(drop).map_err(|error| refused(&what, error))
    }

    /// Everything the Deployment owns, then itself, which lets it run.
    async fn send_all(
        &self,
        manifests: &Manifests,
        standing: &Standing,
        before: &Before,
    ) -> Result<(), BackendError> {
        let mut done = Vec::new();
        self.send(SECRET, &manifests.secret, standing, before, &mut done).await?;
        self.send(SERVICE_ACCOUNT, &manifests.service_account, standing, before, &mut done).await?;
        self.send(SERVICE, &manifests.service, standing, before, &mut done).await?;
        if let Some(budget) = &manifests.disruption_budget {
            self.send(BUDGET, budget, standing, before, &mut done).await?;
        }
        let sent = self.send(DEPLOYMENT, &manifests.deployment, standing, before, &mut done).await?;
        let revision = sent.object.metadata.resource_version.clone();
        self.place.applied(self.desired, &parsed(sent.object)?, &self.era);
        tracing::info!(workload = %self.desired.id, digest = manifests.digest, "applied");
        self.inner.shown(revision.as_deref()).await;
        Ok(())
    }

    async fn send(
        &self,
        index: usize,
        object: &impl Serialize,
        standing: &Standing,
        before: &Before,
        done: &mut Vec<String>,
    ) -> Result<Sent, BackendError> {
        let part = self.part(index);
        let sent = part.apply(object, &standing.aside(done)).await?;
        done.push(part.kind().to_owned());
        let was_put_back = match (standing, &before[index]) {
            (Standing::Complete { is_same: true, .. }, before) => {
                before.as_ref().map(plain).as_ref() != Some(&plain(&sent.object))
            }
            _ => !sent.forced.is_empty(),
        };
        if was_put_back {
            self.inner.applied.count();
            let fields =
                if sent.forced.is_empty() { "it was changed".to_owned() } else { listed(&sent.forced) };
            tracing::warn!(workload = %self.desired.id, "drift: the {part} was put back; {fields}");
        }
        Ok(sent)
    }

    fn part(&self, index: usize) -> Part<'_> {
        Part::new(self.inner, kinds(&self.inner.server).swap_remove(index), self.name)
    }
}

/// How far a workload had come when it was applied.
enum Standing {
    /// Its Deployment is there, paused, and nothing has run yet.
    Begun(Deployment),
    /// All of it was there, perhaps of the very same configuration.
    Complete { found: Deployment, is_same: bool },
}

impl Standing {
    fn deployment(&self) -> &Deployment {
        match self {
            Self::Begun(deployment) | Self::Complete { found: deployment, .. } => deployment,
        }
    }

    /// What to say of a failure after `done`.
    fn aside(&self, done: &[String]) -> String {
        match self {
            Self::Begun(_) => BEGUN.to_owned(),
            Self::Complete { .. } if done.is_empty() => String::new(),
            Self::Complete { .. } => format!(
                " (applied already: {}; its replicas still run what they ran; apply again to finish)",
                done.join(", ")
            ),
        }
    }
}

/// The Deployment as it is created: nothing runs until its digest is there and its pause is over.
fn paused(deployment: &Deployment) -> Deployment {
    let mut paused = deployment.clone();
    if let Some(annotations) = &mut paused.metadata.annotations {
        annotations.remove(CONFIG_DIGEST);
    }
    paused.spec.get_or_insert_default().paused = Some(true);
    paused
}

fn is_begun(deployment: &Deployment) -> bool {
    is_paused(deployment) && digest(deployment).is_none()
}

fn is_paused(deployment: &Deployment) -> bool {
    deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true)
}

fn digest(deployment: &Deployment) -> Option<&String> {
    deployment.annotations().get(CONFIG_DIGEST)
}

fn surge_of(deployment: &Deployment) -> Surge {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    let surge = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.max_surge.as_ref());
    if surge == Some(&IntOrString::Int(0)) { Surge::InPlace } else { Surge::Beside }
}

fn plain(object: &DynamicObject) -> serde_json::Value {
    essence(&serde_json::to_value(object).unwrap_or_default())
}

fn parsed<K>(object: DynamicObject) -> Result<K, BackendError>
where
    K: kube::Resource + DeserializeOwned,
{
    // The parser's own words would quote what it does not understand, which may be a secret.
    object.try_parse().map_err(|_| {
        BackendError::unavailable("the API server's answer is not such an object; is a proxy between?")
    })
}

// Places in the order of `kinds`.
const DEPLOYMENT: usize = 0;
const SECRET: usize = 1;
const SERVICE_ACCOUNT: usize = 2;
const SERVICE: usize = 3;
const BUDGET: usize = 4;

/// How long the replicas of a removed workload may take beyond the drain notice and their grace.
const BEYOND_GRACE: std::time::Duration = std::time::Duration::from_secs(30);
/// What is said when creation stops half-way.
const BEGUN: &str =
    " (its Deployment is made and paused, so nothing runs; apply again to finish, or remove it)";

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn r_k8s_6_a_secret_that_cannot_be_read_is_not_quoted() {
        let answer = serde_json::json!({"metadata": {"name": "iris"}, "data": "hunter2"});
        let error = parsed::<Secret>(serde_json::from_value(answer).unwrap()).unwrap_err();
        assert!(error.source().is_none() && !format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
