//! Portway's seams on Kubernetes: the cluster is the database.
//!
//! [`K8sBackend`] implements `Fleet`, `Backend`, `Catalog` and `Leases` of `portway-backend` over one namespace. A deployer and
//! any number of gateways, in the cluster or outside it, meet there and share nothing else.
//!
//! # What lies where
//!
//! | what | where | who reads it |
//! |---|---|---|
//! | a workload | a Deployment; Service, PodDisruptionBudget, ServiceAccount and a Secret of its variables belong to it | deployer; gateways its number and pods |
//! | endpoint documents, verifiers, models | a ConfigMap each | deployer, gateways |
//! | credentials; records of operations, which repeat the variables of workloads | a Secret each | deployer |
//! | leases | a Lease each, with the fence as an annotation | whoever contends for it |
//!
//! All of it bears the label `app.kubernetes.io/managed-by: portway`, and the annotation `portway.dev/owner` says whose it is
//! ([`Options::owner`]). What is another's is never touched: `Conflict` names the owner. Nor is it shown: replicas and documents
//! are found by a label with the owner. [`manifest`] says what a workload becomes, field by field.
//!
//! # Applying
//!
//! Objects are applied server-side under the field manager `portway-<owner>`; the number of replicas never is, so no apply
//! changes what scaling has set. A new Deployment is paused until all that belongs to it is there: an apply that stops half-way
//! says so, nothing runs, and the next one goes on.
//!
//! A field of ours that another manager *applies* is a `Conflict` which names both. A field that somebody has only *edited* is
//! drift: it is put back by the next apply, and on a Deployment at once while this process watches workloads that it has
//! applied; [`K8sBackend::drift_corrected`] counts the objects. `remove` deletes all that is ours by name.
//!
//! The first apply or remove takes the lease `deployer.<owner>`. A second process with the same owner is told by `Conflict` who
//! has it, 15 s after its first order, in which a dead one would have lost it; [`K8sBackend::shut_down`] gives it back.
//!
//! # Scaling
//!
//! The number is set through the scale subresource, after the fence was compared with that of the lease `scaler` and noted on the
//! Deployment, both only if nobody has changed it meanwhile: a deposed leader gets a `Conflict`, also from a workload that was
//! removed and applied again. Drained replicas go first among those that are ready. A
//! HorizontalPodAutoscaler or a ScaledObject of KEDA with the same target is a `Conflict` at apply and at scale.
//!
//! # Replicas and states
//!
//! Replicas are found by one list and one watch of pods and one of Deployments for all workloads of a backend. One that was
//! told to go is never shown as ready, and while the server is away the last status stays.
//! [`K8sBackend::ready_to_routable`] says how long replicas took from being ready to being shown.
//!
//! | state | when |
//! |---|---|
//! | `Healthy` | as many pods of the present configuration are ready as are wanted, and no others are left but those that go |
//! | `Failed` | nothing is ready, the rollout has never been complete, and a pod cannot succeed as it stands (no such image, an admission rule, five crashes), or ten minutes went without progress |
//! | `Unhealthy` | a pod fails otherwise; Kubernetes goes on trying |
//! | `Unschedulable` | the scheduler finds no node, or a quota is used up |
//! | `Transitioning` | else |
//!
//! The message names the pod, the cause in the words of the cluster, and the remedy, as soon as the cluster knows. `Failed` is
//! what Portway gives up on; the cluster does not, and a pod that succeeds later is seen. Kubernetes keeps no log of a pod that
//! is gone: `logs` has those of the pods that are there, the run before a crash first, and ends with the events of the last hour.
//!
//! # Documents
//!
//! The object's name, `portway-<kind>-<readable>-<digest>`, shortens the document's, which stands in full in the annotation
//! `portway.dev/name`. The owner is part of the digest and of what is watched: two installations in one namespace do not see each
//! other's documents, and a deployer and its gateways must be given the same owner. A revision is the object's
//! `resourceVersion`.
//!
//! `get` reports a document that somebody has made unreadable, with its place; a `put` with `Expected::Any` mends it. A watch
//! passes it over: readers keep what they were told last, and hear of all the others. What stands in the place of a document and is
//! not ours is a `Conflict`. Each watch lists for itself, so it begins with what stands at that moment, and resumes after failures;
//! what was deleted in a gap is told.
//!
//! # Leases
//!
//! Fences lie above the server's own versions, so that they grow even when somebody deletes a Lease. Nobody's clock is trusted:
//! a contender waits until a lease has not changed for its duration since it first saw it so. Only one whose renewal lies the
//! duration and a minute in the past is free at first sight. Two programs must not have the same holder's name.
//!
//! # Rights
//!
//! A gateway and a deployer need different ones, and [`rbac`] writes them out; both end at the namespace. A right that is missing
//! is an error that names the verb and the kind of object.
//!
//! # Time and failure
//!
//! [`K8sBackend::connect`] makes a client whose connections are up within 10 s and whose requests are answered within 30 s; a client
//! that is handed to [`K8sBackend::from_client`] keeps the limits that it has. Watches have none: a connection that is dead is
//! noticed by the watcher and the watch begun again, with pauses that grow while the server is away. What was last seen stays
//! readable meanwhile.
//!
//! Nothing is retried below the seams but a write that met another one; and a right that is denied is asked for once more if the
//! server says that it is ready, since one that has just started denies everything. The kind of an error says what may help:
//! `Unavailable` passes by itself (the server is away, starting, overloaded, or has a webhook that does not answer), `Capacity`
//! when there is room again (a quota), `Conflict` after another look, `Invalid` after somebody has changed something (a right, a
//! namespace, a certificate, a policy, the request). Messages are this crate's; the server's words are the
//! [`source`](std::error::Error::source), unless they may quote a secret.
//!
//! # Servers
//!
//! Those that `kube` supports, 1.32 and newer. [`Server::lacks`] says what an older one lacks and what follows; server-side apply
//! (1.18) is the least.
//!
//! # Where to look when it does not work
//!
//! [`doctor::examine`] looks at everything in the order of need, from the name server to the nodes, and names the first thing
//! that fails with its remedy.
//!
//! # Examples
//!
//! ```no_run
//! use portway_backend::{Backend, Environment, Fleet, Program, Workload, WorkloadId};
//! use portway_k8s_backend::{K8sBackend, Options};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut options = Options::new();
//! options.namespace = "models".into();
//! let backend = K8sBackend::connect(options).await?;
//! let id = WorkloadId::new("iris".parse()?, "first".parse()?);
//! let image = Environment::Image { reference: "registry.example/iris@sha256:…".into() };
//! backend.apply(&Workload::new(id.clone(), Program::entry_point(), image)).await?;
//! backend.watch(&id).await?.wait_for(|status| status.ready() == 1).await?;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod apply;
mod backend;
mod catalog;
mod clock;
mod conflicts;
mod connect;
mod correct;
mod deployer_lease;
pub mod doctor;
mod drift;
mod error;
mod finding;
mod hpa_guard;
mod kept;
mod leases;
mod logs;
pub mod manifest;
mod names;
mod options;
mod ownership;
mod part;
pub mod rbac;
mod remove;
mod replicas;
mod scale;
mod server;
mod status;
mod surge;

pub use backend::K8sBackend;
pub use options::{Options, Toleration};
pub use replicas::ReadyToRoutable;
pub use server::Server;
