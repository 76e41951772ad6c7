//! A workload as objects of a cluster ([`Manifests`]), and the gateway ([`Gateway`]): pure, so that they can be read
//! before anything is applied.
//!
//! # What a workload becomes
//!
//! Five objects with one name, `<endpoint>-<version>-<8 hex>`, one set of labels, and the annotation
//! `portway.dev/owner`:
//!
//! | object | what it is for |
//! |---|---|
//! | Deployment | the replicas; it owns the others |
//! | Service | a stable address inside the cluster: port 80, for callers without a gateway |
//! | PodDisruptionBudget | a drained node takes one replica at a time |
//! | Secret | the workload's variables, and the salt of the digest |
//! | ServiceAccount | an identity without rights and without a token |
//!
//! # The program
//!
//! The image must hold it: a project that is packed among the artifacts and an interpreter of this machine are refused.
//! There are three ways, and in each arguments arrive as they are written: `$(NAME)` is not expanded.
//!
//! - A project that is a layer of the image ([`Program::layer`](portway_backend::Program::layer)) runs in its folder, as
//!   `python3 <script> <arguments>`; one with `init()` and `run()` as `python3 <server> <script> <arguments>`, where `server`
//!   is the scoring server in the layer, which gives way to `azureml-inference-server-http` where the image has that.
//! - Any other script of the image runs as `python3 <script> <arguments>` in the image's own working directory, one with
//!   `init()` and `run()` as `azmlinfsrv --entry_script <script>`, for which the image needs
//!   `azureml-inference-server-http`.
//! - Without a script the image's own entry point gets the arguments.
//!
//! A program is the first process of its container, to which a signal means nothing unless it asks for it: one that does not
//! handle SIGTERM is killed when its grace is over.
//!
//! | variable | meaning |
//! |---|---|
//! | `PORT` | where to listen: 8080 |
//! | `PORTWAY_HOST` | at which address: 0.0.0.0, which is all of them |
//! | `PORTWAY_ENDPOINT`, `PORTWAY_VERSION`, `PORTWAY_REPLICA` | who it is |
//! | `PORTWAY_MAX_CONCURRENT` | how many requests it may be given at once |
//! | `AZUREML_ENTRY_SCRIPT` | the entry script, if there is one; a workload may set it |
//! | `PYTHONUNBUFFERED` | `1`, so that logs are whole; a workload may set it |
//! | `PYTHONDONTWRITEBYTECODE` | `1` where the project is a layer, which no replica can write into; a workload may set it |
//!
//! `AZUREML_MODEL_DIR` is whatever the image or the workload sets; a deployer sets it for a project that is a layer.
//!
//! `./outputs` is saved by nobody. A script that writes there needs the folder among
//! [`Options::writable`](crate::Options::writable); what is in it goes with the replica.
//!
//! # Size and place
//!
//! CPU and memory are requested, and limited where the workload says so. GPUs (`nvidia.com/gpu`) and other accelerators
//! are request and limit at once, as Kubernetes wants it, and the taint that keeps other pods off their nodes (named
//! like the resource, by custom) is tolerated. Replicas spread over nodes and zones as far as there is room.
//!
//! # Probes
//!
//! *Ready* is who answers `GET /` with 200 to 399, asked each second; no longer ready is who has failed to for as long as
//! the liveness probe would bear, so that a replica busy with one long request is not taken out at once. *Alive* is
//! decided by the workload's probe. Times are whole seconds here and rounded up.
//!
//! # How a replica goes
//!
//! It is told to stop after [`Options::drain_notice`](crate::Options::drain_notice), so that gateways and Services have
//! stopped sending to it (`preStop`: the kubelet waits, or on servers before 1.30 the image's `sleep` does). Then it has
//! the workload's `termination_grace`.
//!
//! # Rights
//!
//! Not root, no new privileges, no capabilities, the runtime's seccomp profile: what the Pod Security Standard
//! `restricted` asks for; and by choice a read-only root. An image that starts as root, or whose user is a name instead of
//! a number, needs [`Options::run_as_user`](crate::Options::run_as_user).
//!
//! # Rolling updates
//!
//! A new replica is ready before an old one goes; [`Surge::InPlace`] is for accelerators of which none is spare. The
//! replicas' number is not part of what is applied.
//!
//! # The digest
//!
//! `portway.dev/config-digest` on the Deployment and on its pods covers all that needs new replicas when it changes: the
//! pod template and the variables. Variables may be secret and easy to guess, and more people may read a Deployment than
//! a Secret; a plain digest would let them try guesses. So it is keyed with a [`Salt`] that only readers of the Secret can
//! see. A lost salt costs one rolling update.
//!
//! # A single replica
//!
//! The budget allows one replica to be away, also if that is the only one: a drain of its node ends it, with its grace.
//! A budget that forbids this would block the maintenance of the node for ever. Who wants no gap has two replicas.

mod check;
mod digest;
mod gateway;
mod parts;
mod pod;
mod probe;
mod resources;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use portway_backend::{BackendError, Workload};
use serde_json::{Value, json};

use crate::options::Options;
use crate::server::Server;

pub(crate) use check::setting as faults;
pub use digest::Salt;
pub use gateway::{Gateway, Reach};
pub(crate) use resources::accelerators;

/// Whether a rolling update starts a new replica before it ends an old one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Surge {
    /// The new one first, beside all old ones.
    #[default]
    Beside,
    /// The old one first: its accelerators are needed for the new one. Workloads that want none are not affected.
    InPlace,
}

/// What the objects of a workload depend on besides the workload.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// How objects are marked and where replicas may run.
    pub options: &'a Options,
    /// What the API server can take.
    pub server: &'a Server,
    /// How replicas are replaced.
    pub surge: Surge,
    /// What the digest is keyed with: that of the Secret in place, or a new one.
    pub salt: &'a Salt,
}

/// The objects of a workload.
///
/// # Examples
///
/// ```
/// use portway_backend::{Environment, Program, Workload, WorkloadId};
/// use portway_k8s_backend::manifest::{Manifests, Salt, Setting, Surge};
/// use portway_k8s_backend::{Options, Server};
///
/// let id = WorkloadId::new("iris".parse()?, "first".parse()?);
/// let image = Environment::Image { reference: "registry.example/iris:1".into() };
/// let workload = Workload::new(id, Program::script("score.py"), image);
/// let (options, server, salt) = (Options::new(), Server::current(), Salt::random());
/// let setting = Setting { options: &options, server: &server, surge: Surge::Beside, salt: &salt };
/// println!("{}", Manifests::of(&workload, setting)?.to_json());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Manifests {
    pub(crate) service_account: ServiceAccount,
    pub(crate) secret: Secret,
    /// Without a number of replicas, so that an apply never owns it.
    pub(crate) deployment: Deployment,
    pub(crate) service: Service,
    /// `None` where the server knows none.
    pub(crate) disruption_budget: Option<PodDisruptionBudget>,
    /// How many replicas a new Deployment starts with.
    pub(crate) initial_replicas: i32,
    /// The value of [`names::CONFIG_DIGEST`](crate::names::CONFIG_DIGEST).
    pub(crate) digest: String,
}

impl Manifests {
    /// The objects of `workload`.
    ///
    /// # Errors
    ///
    /// [`Invalid`](portway_backend::ErrorKind::Invalid) with everything that can never run on a cluster, at once.
    pub fn of(workload: &Workload, setting: Setting<'_>) -> Result<Self, BackendError> {
        let faults = check::faults(workload, setting.options);
        if !faults.is_empty() {
            let faults = faults.join("; ");
            return Err(BackendError::invalid(format!("{} cannot run on Kubernetes: {faults}", workload.id)));
        }
        let mut pod = pod::template(workload, setting);
        let secret = parts::secret(workload, setting);
        let digest = digest::of(&pod, &secret, setting.salt);
        pod.metadata.get_or_insert_default().annotations = Some(digest::annotation(&digest));
        let has_budget = setting.server.has_disruption_budgets;
        Ok(Self {
            service_account: parts::service_account(workload, setting.options),
            secret,
            deployment: parts::deployment(workload, setting, pod, &digest),
            service: parts::service(workload, setting.options),
            disruption_budget: has_budget.then(|| parts::disruption_budget(workload, setting)),
            initial_replicas: i32::try_from(workload.initial_replicas).unwrap_or(i32::MAX),
            digest,
        })
    }

    /// The same objects, owned by the Deployment whose uid is `uid`: they go when it goes.
    #[must_use]
    pub(crate) fn owned_by(mut self, uid: &str) -> Self {
        let owner = OwnerReference {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            name: self.deployment.metadata.name.clone().unwrap_or_default(),
            uid: uid.to_owned(),
            ..OwnerReference::default()
        };
        let own = |metadata: &mut ObjectMeta| metadata.owner_references = Some(vec![owner.clone()]);
        own(&mut self.service_account.metadata);
        own(&mut self.secret.metadata);
        own(&mut self.service.metadata);
        if let Some(budget) = &mut self.disruption_budget {
            own(&mut budget.metadata);
        }
        self
    }

    /// The Deployment as it is created: with the number of replicas to start with.
    pub(crate) fn new_deployment(&self) -> Deployment {
        let mut deployment = self.deployment.clone();
        deployment.spec.get_or_insert_default().replicas = Some(self.initial_replicas);
        deployment
    }

    /// The objects as one `List`, in the order in which they are made, for a look or for `kubectl create -f -`.
    ///
    /// The Secret's values are in it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut items = vec![json!(self.service_account), json!(self.secret), json!(self.new_deployment())];
        items.push(json!(self.service));
        items.extend(self.disruption_budget.as_ref().map(|budget| json!(budget)));
        list(items)
    }
}

/// Objects as the text of one `List`.
pub(crate) fn list(items: Vec<Value>) -> String {
    format!("{:#}", json!({ "apiVersion": "v1", "kind": "List", "items": items }))
}

/// Without the objects: the Secret's values are none to be shown.
impl std::fmt::Debug for Manifests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.deployment.metadata.name;
        f.debug_struct("Manifests").field("name", name).field("digest", &self.digest).finish_non_exhaustive()
    }
}
