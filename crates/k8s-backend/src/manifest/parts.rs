//! Everything around the pod template.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    PodTemplateSpec, Secret, Service, ServiceAccount, ServicePort, ServiceSpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portway_backend::Workload;

use super::{Setting, Surge, digest, pod, probe, resources};
use crate::names;
use crate::options::Options;
use crate::server::Server;

/// Where the Service listens.
const SERVICE_PORT: i32 = 80;

pub(super) fn deployment(
    workload: &Workload,
    setting: Setting<'_>,
    template: PodTemplateSpec,
    digest: &str,
) -> Deployment {
    let mut metadata = metadata(workload, setting.options);
    metadata.annotations.get_or_insert_default().extend(digest::annotation(digest));
    let in_place = setting.surge == Surge::InPlace && !resources::accelerators(workload).is_empty();
    let (max_surge, max_unavailable) = if in_place { (0, 1) } else { (1, 0) };
    let spec = DeploymentSpec {
        // The template before this one is enough to see what a roll changed.
        revision_history_limit: Some(1),
        selector: selected(pod::selector(workload)),
        strategy: Some(rolling(max_surge, max_unavailable)),
        template,
        ..DeploymentSpec::default()
    };
    Deployment { metadata, spec: Some(spec), status: None }
}

pub(super) fn rolling(max_surge: i32, max_unavailable: i32) -> DeploymentStrategy {
    let rolling = RollingUpdateDeployment {
        max_surge: Some(IntOrString::Int(max_surge)),
        max_unavailable: Some(IntOrString::Int(max_unavailable)),
    };
    DeploymentStrategy { type_: Some("RollingUpdate".to_owned()), rolling_update: Some(rolling) }
}

pub(super) fn service(workload: &Workload, options: &Options) -> Service {
    let spec = service_spec(pod::selector(workload), "ClusterIP");
    Service { metadata: metadata(workload, options), spec: Some(spec), status: None }
}

pub(super) fn service_spec(selector: BTreeMap<String, String>, type_: &str) -> ServiceSpec {
    let port = ServicePort {
        name: Some(probe::PORT_NAME.to_owned()),
        port: SERVICE_PORT,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(probe::PORT_NAME.to_owned())),
        ..ServicePort::default()
    };
    ServiceSpec {
        ports: Some(vec![port]),
        selector: Some(selector),
        type_: Some(type_.to_owned()),
        ..ServiceSpec::default()
    }
}

pub(super) fn disruption_budget(workload: &Workload, setting: Setting<'_>) -> PodDisruptionBudget {
    let spec = Some(budget(pod::selector(workload), setting.server));
    PodDisruptionBudget { metadata: metadata(workload, setting.options), spec, status: None }
}

pub(super) fn budget(selector: BTreeMap<String, String>, server: &Server) -> PodDisruptionBudgetSpec {
    PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(selected(selector)),
        // Pods that fail anyway never hold up a drain.
        unhealthy_pod_eviction_policy: server.is_at_least(27).then(|| "AlwaysAllow".to_owned()),
        ..PodDisruptionBudgetSpec::default()
    }
}

pub(super) fn secret(workload: &Workload, setting: Setting<'_>) -> Secret {
    let mut metadata = metadata(workload, setting.options);
    let salt = (names::SALT.to_owned(), setting.salt.as_str().to_owned());
    metadata.annotations.get_or_insert_default().extend([salt]);
    let variables = workload.variables.iter();
    let data = variables.map(|(name, value)| (name.clone(), ByteString(value.clone().into_bytes())));
    let data = Some(data.collect::<BTreeMap<_, _>>()).filter(|data| !data.is_empty());
    Secret { metadata, data, type_: Some("Opaque".to_owned()), ..Secret::default() }
}

pub(super) fn service_account(workload: &Workload, options: &Options) -> ServiceAccount {
    let automount_service_account_token = Some(false);
    let metadata = metadata(workload, options);
    ServiceAccount { metadata, automount_service_account_token, ..ServiceAccount::default() }
}

fn metadata(workload: &Workload, options: &Options) -> ObjectMeta {
    let owner = BTreeMap::from([(names::OWNER.to_owned(), options.owner.clone())]);
    ObjectMeta {
        name: Some(names::object_name(&workload.id)),
        namespace: Some(options.namespace.clone()),
        labels: Some(names::labels(&workload.id, &options.owner)),
        annotations: Some(owner),
        ..ObjectMeta::default()
    }
}

pub(super) fn selected(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}
