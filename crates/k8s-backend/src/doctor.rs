//! The doctor: what must work before anything can, looked at in the order of need (K8S-9).
//!
//! A plan is computed from the configuration alone and is plain data; what looks at the world is behind one small seam. So the
//! order, what a failure takes with it, and the report are tested without a cluster.

mod look;
mod plan;
mod probe;
mod report;
mod rights;
mod sums;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use portway_deploy_config::Connectivity;
use tokio::time::timeout;

use crate::connect;
use crate::options::Options;
use crate::rbac::Role;
use look::Looker;
use plan::{Check, Place};
use probe::Probe;

pub use report::{Diagnosis, Line, Outcome};

/// What a cluster is to serve, as far as it decides what must be reachable. Nothing of it has to exist.
///
/// # Examples
///
/// ```
/// use portway_k8s_backend::doctor::Surroundings;
///
/// let mut surroundings = Surroundings::new();
/// surroundings.images.push("registry.example/models/iris:1".into());
/// surroundings.model_calls.push(("features.example".into(), 5432));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Surroundings {
    /// Whose rights these credentials must have. Default: a gateway's and a deployer's.
    pub roles: Vec<Role>,
    /// The gateway's image, if it runs in the cluster.
    pub gateway_image: Option<String>,
    /// Images of models.
    pub images: Vec<String>,
    /// The name and the port under which callers find the gateway.
    pub scoring: Option<(String, u16)>,
    /// Hosts and ports that models call themselves.
    pub model_calls: Vec<(String, u16)>,
    /// What a cluster of the original needs besides (CFG-15): its list is looked at as well.
    pub original: Option<Connectivity>,
}

impl Surroundings {
    /// Nothing but the cluster itself.
    #[must_use]
    pub fn new() -> Self {
        Self {
            roles: vec![Role::Gateway, Role::Deployer],
            gateway_image: None,
            images: Vec::new(),
            scoring: None,
            model_calls: Vec::new(),
            original: None,
        }
    }
}

impl Default for Surroundings {
    fn default() -> Self {
        Self::new()
    }
}

/// Looks at everything that must work, in the order of need: the cluster and the way to it, credentials, the namespace, rights,
/// what the server offers, quotas and nodes, the registries of images, the replicas, the scoring name, and what models call.
///
/// A failure ends nothing: what depends on it is left out and named as such, the rest is looked at. Each look has ten seconds.
/// It only reads, and it sees the network from where it runs; inside a pod it sees the pods'.
pub async fn examine(options: &Options, surroundings: &Surroundings) -> Diagnosis {
    let config = match timeout(LIMIT, connect::configuration(options)).await {
        Ok(Ok(config)) => config,
        Ok(Err(error)) => return Diagnosis::without_cluster(error.to_string()),
        Err(_) => return Diagnosis::without_cluster("reading the kubeconfig takes too long".to_owned()),
    };
    let (host, port) = connect::host_and_port(&config);
    let is_encrypted = config.cluster_url.scheme_str() != Some("http");
    let server = plan::ApiServer { host, port, is_encrypted };
    let plan = plan::plan(&server, options, surroundings);
    let looker = Looker::new(config, options.clone());
    follow(plan, &looker).await
}

/// What a look has found.
type Seen = Result<Sight, String>;

/// A look that did not fail.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Sight {
    /// All is well; some detail.
    Well(String),
    /// It works, and there is something to know.
    Advice(String),
    /// It cannot be seen from here, or not with these rights.
    Unseen(String),
}

/// Looks at the world.
#[async_trait]
trait Look: Send + Sync {
    /// Whether `probe` works; the error says why not, and what to do.
    async fn look(&self, probe: &Probe) -> Seen;
}

async fn follow(plan: Vec<Check>, looker: &impl Look) -> Diagnosis {
    let mut blocked: HashMap<Place, String> = HashMap::new();
    let mut lines = Vec::with_capacity(plan.len());
    for Check { phase, place, probe, purpose, is_gate } in plan {
        let what = probe.to_string();
        let outcome = if let Some(before) = blocked.get(&place) {
            Outcome::LeftOut(format!("waits for: {before}"))
        } else {
            let seen = timeout(LIMIT, looker.look(&probe)).await;
            match seen
                .unwrap_or_else(|_| Err(format!("no answer within {} s; {}", LIMIT.as_secs(), probe.late())))
            {
                Ok(Sight::Well(detail)) => Outcome::Well(detail),
                Ok(Sight::Advice(detail)) => Outcome::Advice(detail),
                Ok(Sight::Unseen(why)) => Outcome::LeftOut(why),
                Err(why) => {
                    if is_gate {
                        blocked.insert(place, what.clone());
                    }
                    Outcome::Failed(why)
                }
            }
        };
        lines.push(Line { phase, what, purpose, outcome });
    }
    Diagnosis::new(lines)
}

/// What one look may take.
const LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
