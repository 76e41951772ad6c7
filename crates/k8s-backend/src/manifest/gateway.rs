//! The gateway itself as objects of the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction, PodSpec, PodTemplateSpec,
    Probe, Service, Volume, VolumeMount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portway_backend::BackendError;
use portway_deploy_config::{MemoryMib, Millicores};
use serde_json::{Value, json};

use super::{check, digest, list, parts, pod, probe, resources};
use crate::names;
use crate::options::{Options, Toleration};
use crate::rbac::{Features, Role};
use crate::server::Server;

/// Who can reach the gateway's Service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Reach {
    /// The cluster, and whatever ingress stands before it.
    #[default]
    Cluster,
    /// The cluster's cloud gives it an address of its own.
    LoadBalancer,
}

/// How the gateway runs in the cluster whose workloads it serves.
///
/// It becomes a ServiceAccount with its [`Role`], a ConfigMap with `gateway.toml`, a Deployment, a Service on port 80 and a
/// PodDisruptionBudget. The admin listener, port 9090, answers the probes and is on no Service.
///
/// # Examples
///
/// ```
/// use portway_k8s_backend::manifest::Gateway;
/// use portway_k8s_backend::{Options, Server};
///
/// let mut gateway = Gateway::new("registry.example/portway-gateway:0.1");
/// gateway.replicas = 3;
/// println!("{}", gateway.to_json(&Options::new(), &Server::current())?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Gateway {
    /// The image; it starts the program `gateway` with the arguments it is given, as a user that is not root.
    pub image: String,
    /// How many of them. Default 1: several do not know of each other yet, so that each holds the cap of a replica by
    /// itself, and the one that scales counts its own requests only.
    pub replicas: u32,
    /// Processor time reserved for each. Default half a core.
    pub cpu: Millicores,
    /// Memory of each, reserved and never exceeded. Default 512 MiB.
    pub memory: MemoryMib,
    /// How long one that goes waits for its requests and streams. Default 60 s.
    pub drain: Duration,
    /// Labels that a node must have to run it. Default none; those of [`Options`] are for replicas.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that it may run beside. Default none.
    pub tolerations: Vec<Toleration>,
    /// Who can reach it. Default: the cluster.
    pub reach: Reach,
    /// Whether what connects is a proxy whose `X-Forwarded-For` names the client. Default no.
    ///
    /// Failed attempts are throttled per client: behind an ingress, without this, all callers are one.
    pub behind_proxy: bool,
    /// What its rights depend on.
    pub features: Features,
}

impl Gateway {
    /// The defaults, with this image.
    pub fn new(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            replicas: 1,
            cpu: Millicores(500),
            memory: MemoryMib(512),
            drain: Duration::from_secs(60),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            reach: Reach::Cluster,
            behind_proxy: false,
            features: Features::new(),
        }
    }

    /// The objects as one `List`, for `kubectl apply -f -`. No secret is in it.
    ///
    /// # Errors
    ///
    /// [`Invalid`](portway_backend::ErrorKind::Invalid) with everything that cannot be, at once.
    pub fn to_json(&self, options: &Options, server: &Server) -> Result<String, BackendError> {
        let faults = self.faults(options);
        if !faults.is_empty() {
            return Err(BackendError::invalid(format!(
                "no gateway can run like this: {}",
                faults.join("; ")
            )));
        }
        Ok(list(self.objects(options, server)))
    }

    fn faults(&self, options: &Options) -> Vec<String> {
        let mut faults = check::setting(options);
        faults.extend(check::placement(&self.node_selector, &self.tolerations));
        if !check::is_reference(&self.image) {
            faults.push(format!("{:?} is no reference to an image", self.image));
        }
        if i32::try_from(self.replicas).is_err() {
            faults.push(format!("{} gateways are more than can be written", self.replicas));
        }
        if probe::seconds(self.drain) > MAX_DRAIN {
            faults.push(format!("a drain of {} s is above {MAX_DRAIN} s", self.drain.as_secs()));
        }
        faults
    }

    fn objects(&self, options: &Options, server: &Server) -> Vec<Value> {
        let config = self.config_map(options);
        let mut objects = Role::Gateway.objects(options, self.features);
        let deployment = self.deployment(options, server, &config);
        objects.extend([json!(config), json!(deployment), json!(self.service(options))]);
        if server.has_disruption_budgets {
            let spec = Some(parts::budget(labels(options), server));
            objects.push(json!(PodDisruptionBudget { metadata: metadata(options), spec, status: None }));
        }
        objects
    }

    fn config_map(&self, options: &Options) -> ConfigMap {
        // The names are DNS labels, which need no escape in TOML.
        let client = if self.behind_proxy { "proxy" } else { "peer" };
        let text = format!(
            "listen = \"[::]:{}\"\nadmin = \"[::]:{ADMIN_PORT}\"\ndrain_seconds = {}\n\
             forwarded = \"{client}\"\n\n\
             [kubernetes]\nnamespace = \"{}\"\nowner = \"{}\"\n",
            names::PORT,
            probe::seconds(self.drain),
            options.namespace,
            options.owner,
        );
        let data = Some(BTreeMap::from([(CONFIG_FILE.to_owned(), text)]));
        ConfigMap { metadata: metadata(options), data, ..ConfigMap::default() }
    }

    fn deployment(&self, options: &Options, server: &Server, config: &ConfigMap) -> Deployment {
        // A gateway takes most of its file when it starts: another text needs other pods.
        let text = config.data.iter().flat_map(BTreeMap::values).map(String::as_str).collect::<String>();
        let annotations = digest::annotation(&names::full_digest(text.as_bytes()));
        let pod_metadata = ObjectMeta {
            labels: Some(labels(options)),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        };
        let template =
            PodTemplateSpec { metadata: Some(pod_metadata), spec: Some(self.pod(options, server)) };
        let spec = DeploymentSpec {
            replicas: Some(i32::try_from(self.replicas).unwrap_or(i32::MAX)),
            revision_history_limit: Some(1),
            selector: parts::selected(labels(options)),
            strategy: Some(parts::rolling(1, 0)),
            template,
            ..DeploymentSpec::default()
        };
        Deployment { metadata: metadata(options), spec: Some(spec), status: None }
    }

    fn pod(&self, options: &Options, server: &Server) -> PodSpec {
        let name = Role::Gateway.name(options);
        let config = ConfigMapVolumeSource { name: name.clone(), ..ConfigMapVolumeSource::default() };
        let volume = Volume { name: CONFIG_VOLUME.to_owned(), config_map: Some(config), ..Volume::default() };
        // What is not answered when the drain is over is cut off by the gateway itself.
        let times = [options.drain_notice, self.drain].map(probe::seconds).into_iter().sum::<u64>() + MARGIN;
        PodSpec {
            automount_service_account_token: Some(true),
            containers: vec![self.container(options, server)],
            enable_service_links: Some(false),
            image_pull_secrets: pod::pull_secrets(options),
            node_selector: (!self.node_selector.is_empty()).then(|| self.node_selector.clone()),
            security_context: Some(pod::pod_security(None)),
            service_account_name: Some(name),
            termination_grace_period_seconds: Some(i64::try_from(times).unwrap_or(i64::MAX)),
            tolerations: resources::tolerations([].into(), &self.tolerations),
            topology_spread_constraints: Some(pod::spread(&labels(options))),
            volumes: Some(vec![volume]),
            ..PodSpec::default()
        }
    }

    fn container(&self, options: &Options, server: &Server) -> Container {
        let port = |name: &str, port: u16| ContainerPort {
            container_port: port.into(),
            name: Some(name.to_owned()),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        };
        let mount = VolumeMount {
            name: CONFIG_VOLUME.to_owned(),
            mount_path: CONFIG_FOLDER.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        };
        Container {
            name: Role::Gateway.as_str().to_owned(),
            image: Some(self.image.clone()),
            args: Some(vec!["--config".to_owned(), format!("{CONFIG_FOLDER}/{CONFIG_FILE}")]),
            lifecycle: pod::pre_stop(options, server),
            liveness_probe: Some(asked("/live", 10)),
            ports: Some(vec![port(probe::PORT_NAME, names::PORT), port(ADMIN, ADMIN_PORT)]),
            readiness_probe: Some(asked("/ready", 1)),
            resources: Some(resources::plain(self.cpu, self.memory)),
            security_context: Some(pod::container_security(true)),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            volume_mounts: Some(vec![mount]),
            ..Container::default()
        }
    }

    fn service(&self, options: &Options) -> Service {
        let type_ = match self.reach {
            Reach::Cluster => "ClusterIP",
            Reach::LoadBalancer => "LoadBalancer",
        };
        let mut spec = parts::service_spec(labels(options), type_);
        // So that the gateway sees the client's address and not a node's.
        spec.external_traffic_policy = (self.reach == Reach::LoadBalancer).then(|| "Local".to_owned());
        Service { metadata: metadata(options), spec: Some(spec), status: None }
    }
}

fn metadata(options: &Options) -> ObjectMeta {
    Role::Gateway.metadata(options)
}

/// Those of every object of the gateway, and the ones by which its pods are selected.
fn labels(options: &Options) -> BTreeMap<String, String> {
    metadata(options).labels.unwrap_or_default()
}

fn asked(path: &str, period: i32) -> Probe {
    let get = HTTPGetAction {
        path: Some(path.to_owned()),
        port: IntOrString::String(ADMIN.to_owned()),
        ..HTTPGetAction::default()
    };
    Probe {
        failure_threshold: Some(3),
        http_get: Some(get),
        period_seconds: Some(period),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

/// The name of the admin listener's port.
const ADMIN: &str = "admin";
/// Where the admin listener is.
const ADMIN_PORT: u16 = 9090;
const CONFIG_FILE: &str = "gateway.toml";
const CONFIG_FOLDER: &str = "/etc/portway";
const CONFIG_VOLUME: &str = "config";
/// What a gateway may take to end when its drain is over, in seconds.
const MARGIN: u64 = 5;
/// What a gateway's configuration takes as its drain, in seconds.
const MAX_DRAIN: u64 = 86_400;
