//! The pod template: the container, what it sees, and what it may not do.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvFromSource, EnvVar, EnvVarSource,
    ExecAction, Lifecycle, LifecycleHandler, LocalObjectReference, ObjectFieldSelector, PodSecurityContext,
    PodSpec, PodTemplateSpec, SeccompProfile, SecretEnvSource, SecurityContext, SleepAction,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portway_backend::{EntryStyle, Environment, Workload};

use super::{Setting, parts, probe, resources};
use crate::names;
use crate::options::Options;
use crate::server::Server;

/// Where programs listen: the kubelet and the gateways come by the pod's address.
const HOST: &str = "0.0.0.0";
/// Debian's name for it, which every other image has as well.
const PYTHON: &str = "python3";

/// The labels by which a workload's replicas are selected.
pub(super) fn selector(workload: &Workload) -> BTreeMap<String, String> {
    BTreeMap::from([(names::WORKLOAD.to_owned(), names::object_name(&workload.id))])
}

/// The template of a workload that was checked, without its digest.
pub(super) fn template(workload: &Workload, setting: Setting<'_>) -> PodTemplateSpec {
    let options = setting.options;
    let name = names::object_name(&workload.id);
    let folders = writable(options);
    let grace =
        probe::seconds(options.drain_notice).saturating_add(probe::seconds(workload.termination_grace));
    let spec = PodSpec {
        automount_service_account_token: Some(false),
        containers: vec![container(workload, setting, &name, &folders)],
        // Variables for each Service of the namespace would be hundreds.
        enable_service_links: Some(false),
        image_pull_secrets: pull_secrets(options),
        node_selector: (!options.node_selector.is_empty()).then(|| options.node_selector.clone()),
        security_context: Some(pod_security(options.run_as_user)),
        service_account_name: Some(name),
        termination_grace_period_seconds: Some(i64::try_from(grace).unwrap_or(i64::MAX)),
        tolerations: resources::tolerations(resources::accelerators(workload), &options.tolerations),
        topology_spread_constraints: Some(spread(&selector(workload))),
        volumes: (!folders.is_empty()).then(|| folders.iter().map(|(name, _)| empty(name)).collect()),
        ..PodSpec::default()
    };
    let metadata =
        ObjectMeta { labels: Some(names::labels(&workload.id, &options.owner)), ..ObjectMeta::default() };
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
}

fn container(workload: &Workload, setting: Setting<'_>, name: &str, folders: &[(String, &str)]) -> Container {
    let (command, args) = command(workload);
    let port = ContainerPort {
        container_port: names::PORT.into(),
        name: Some(probe::PORT_NAME.to_owned()),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let variables = SecretEnvSource { name: name.to_owned(), optional: None };
    let mount = |(name, path): &(String, &str)| VolumeMount {
        name: name.clone(),
        mount_path: (*path).to_owned(),
        ..VolumeMount::default()
    };
    Container {
        name: names::CONTAINER.to_owned(),
        image: image(workload),
        command,
        args,
        env: Some(environment(workload)),
        env_from: Some(vec![EnvFromSource { secret_ref: Some(variables), ..EnvFromSource::default() }]),
        lifecycle: pre_stop(setting.options, setting.server),
        liveness_probe: Some(probe::liveness(&workload.probe)),
        ports: Some(vec![port]),
        readiness_probe: Some(probe::readiness(&workload.probe)),
        resources: Some(resources::requirements(workload)),
        security_context: Some(container_security(setting.options.read_only_root)),
        // The last lines are the message of a container that ends with an error.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        working_dir: workload.program.layer.as_ref().map(|layer| layer.folder.clone()),
        volume_mounts: (!folders.is_empty()).then(|| folders.iter().map(mount).collect()),
        ..Container::default()
    }
}

fn image(workload: &Workload) -> Option<String> {
    match &workload.environment {
        Environment::Image { reference } => Some(reference.clone()),
        // Refused by `check`.
        Environment::Interpreter { .. } => None,
    }
}

/// What replaces the image's entry point, and what follows it.
fn command(workload: &Workload) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let program = &workload.program;
    let arguments = program.arguments.iter().map(|argument| literal(argument));
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match (&program.script, program.style, &program.layer) {
        (None, ..) => {
            let arguments: Vec<_> = arguments.collect();
            (None, (!arguments.is_empty()).then_some(arguments))
        }
        (Some(script), EntryStyle::Listens, _) => {
            (Some(text(&[PYTHON])), Some([literal(script)].into_iter().chain(arguments).collect()))
        }
        (Some(script), EntryStyle::InitRun, Some(layer)) => {
            let server = [literal(&layer.server), literal(script)];
            (Some(text(&[PYTHON])), Some(server.into_iter().chain(arguments).collect()))
        }
        (Some(script), EntryStyle::InitRun, None) => {
            let workers = workload.max_concurrent.to_string();
            let flags = ["--entry_script", &literal(script), "--port", "$(PORT)", "--worker_count", &workers];
            (Some(text(&["azmlinfsrv"])), Some(text(&flags).into_iter().chain(arguments).collect()))
        }
    }
}

/// Text in which Kubernetes finds no `$(NAME)` to put a variable's value in.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn environment(workload: &Workload) -> Vec<EnvVar> {
    let variable =
        |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), ..EnvVar::default() };
    let field = ObjectFieldSelector { field_path: "metadata.name".to_owned(), ..Default::default() };
    let replica = EnvVar {
        name: "PORTWAY_REPLICA".to_owned(),
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
        ..EnvVar::default()
    };
    let (script, layer) = (workload.program.script.as_ref(), workload.program.layer.as_ref());
    let defaults = [
        script.map(|script| variable("AZUREML_ENTRY_SCRIPT", literal(script))),
        Some(variable("PYTHONUNBUFFERED", "1".to_owned())),
        layer.map(|_| variable("PYTHONDONTWRITEBYTECODE", "1".to_owned())),
    ];
    // These beat the Secret's, so what a workload sets itself is left out.
    let defaults = defaults.into_iter().flatten();
    let mut all: Vec<_> =
        defaults.filter(|variable| !workload.variables.contains_key(&variable.name)).collect();
    all.extend([
        variable("PORT", names::PORT.to_string()),
        variable("PORTWAY_HOST", HOST.to_owned()),
        variable("PORTWAY_ENDPOINT", workload.id.endpoint.to_string()),
        variable("PORTWAY_VERSION", workload.id.version.to_string()),
        variable("PORTWAY_MAX_CONCURRENT", workload.max_concurrent.to_string()),
        replica,
    ]);
    all
}

/// Waits between the notice that a replica goes and the signal to it.
pub(super) fn pre_stop(options: &Options, server: &Server) -> Option<Lifecycle> {
    let seconds = probe::seconds(options.drain_notice);
    if seconds == 0 {
        return None;
    }
    let wait = if server.is_at_least(30) {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        LifecycleHandler { sleep: Some(SleepAction { seconds }), ..LifecycleHandler::default() }
    } else {
        let command = Some(vec!["sleep".to_owned(), seconds.to_string()]);
        LifecycleHandler { exec: Some(ExecAction { command }), ..LifecycleHandler::default() }
    };
    Some(Lifecycle { pre_stop: Some(wait), ..Lifecycle::default() })
}

pub(super) fn pod_security(user: Option<u32>) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: user.map(i64::from),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

pub(super) fn container_security(read_only_root: bool) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(read_only_root),
        ..SecurityContext::default()
    }
}

/// The folders that stay writable, with the names of their volumes.
fn writable(options: &Options) -> Vec<(String, &str)> {
    if !options.read_only_root {
        return Vec::new();
    }
    let folders = ["/tmp"].into_iter().chain(options.writable.iter().map(String::as_str));
    folders.enumerate().map(|(place, path)| (format!("writable-{place}"), path)).collect()
}

fn empty(name: &str) -> Volume {
    let empty_dir = Some(EmptyDirVolumeSource::default());
    Volume { name: name.to_owned(), empty_dir, ..Volume::default() }
}

/// Over nodes and zones, as far as there is room.
pub(super) fn spread(selector: &BTreeMap<String, String>) -> Vec<TopologySpreadConstraint> {
    let over = |key: &str| TopologySpreadConstraint {
        label_selector: Some(parts::selected(selector.clone())),
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    };
    ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].map(over).to_vec()
}

pub(super) fn pull_secrets(options: &Options) -> Option<Vec<LocalObjectReference>> {
    let named = options.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    let named: Vec<_> = named.collect();
    (!named.is_empty()).then_some(named)
}
