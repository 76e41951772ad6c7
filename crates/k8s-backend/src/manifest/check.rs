//! What can never run on a cluster, all of it at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::time::Duration;

use portway_backend::{EntryStyle, Environment, ProjectLayer, Workload};

use super::{probe, resources};
use crate::options::{Options, Toleration};

/// What a Secret may hold, with room for its metadata: the server takes 1 MiB.
const MAX_VARIABLES: usize = (1 << 20) - (16 << 10);
/// Bytes of a name that is made of DNS labels.
const MAX_SUBDOMAIN: usize = 253;
/// Bytes of a DNS label, of a label's value, and of the name in a label's key.
const MAX_LABEL: usize = 63;
/// Bytes of `options.owner`, so that `<owner>-gateway` still is the name of a Service.
const MAX_OWNER: usize = 50;

/// A line for each fault, with its remedy.
pub(super) fn faults(workload: &Workload, options: &Options) -> Vec<String> {
    let mut faults = Vec::new();
    environment(workload, &mut faults);
    program(workload, &mut faults);
    numbers(workload, &mut faults);
    requests(workload, &mut faults);
    variables(workload, &mut faults);
    faults.extend(setting(options));
    faults
}

fn environment(workload: &Workload, faults: &mut Vec<String>) {
    match &workload.environment {
        Environment::Image { reference } if is_reference(reference) => {}
        Environment::Image { reference } => faults.push(format!(
            "{reference:?} is no reference to an image; write repository@sha256:<64 hex>, or repository:tag"
        )),
        Environment::Interpreter { python } => faults.push(format!(
            "the interpreter {} is one of this machine, which the nodes do not have; build an image",
            python.display()
        )),
    }
}

fn program(workload: &Workload, faults: &mut Vec<String>) {
    let program = &workload.program;
    if let Some(project) = &program.project {
        faults.push(format!(
            "the packed project {} lies among the artifacts, from which the nodes get nothing; have the deployer put projects \
             into images (Deployer::project_images), or build an image that holds it",
            project.artifact
        ));
    }
    if let Some(layer) = &program.layer {
        self::layer(layer, program.script.as_deref(), faults);
    }
    match &program.script {
        Some(script) if script.is_empty() || script.contains('\0') => {
            faults.push(format!(
                "the entry script {script:?} is empty or holds a zero byte; name a file of the image"
            ));
        }
        Some(_)
            if program.style == EntryStyle::InitRun
                && program.layer.is_none()
                && !program.arguments.is_empty() =>
        {
            faults.push(
                "a script with init() and run() is started by azmlinfsrv, which hands no arguments on; use variables"
                    .to_owned(),
            );
        }
        None if program.style == EntryStyle::InitRun => {
            faults.push("a scoring server needs the script with init() and run(); name it".to_owned());
        }
        _ => {}
    }
    if program.arguments.iter().any(|argument| argument.contains('\0')) {
        faults.push("an argument of the program holds a zero byte; leave it out".to_owned());
    }
}

/// A project that its image holds.
fn layer(layer: &ProjectLayer, script: Option<&str>, faults: &mut Vec<String>) {
    for (what, path) in [("folder", &layer.folder), ("scoring server", &layer.server)] {
        if !path.starts_with('/') || path.contains('\0') {
            faults.push(format!(
                "the {what} {path:?} of the project is no absolute path; name it as it is in the image"
            ));
        }
    }
    let stays_inside = |script: &str| {
        Path::new(script).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    };
    match script {
        Some(script) if stays_inside(script) => {}
        Some(script) => faults.push(format!(
            "the entry script {script:?} leads out of the project; name it relative to the project's folder"
        )),
        None => faults.push("a project needs an entry script; name it relative to its folder".to_owned()),
    }
}

fn numbers(workload: &Workload, faults: &mut Vec<String>) {
    let probe = &workload.probe;
    if probe.success_threshold.get() != 1 {
        faults.push(format!(
            "the probe's success threshold is {}, but a replica that failed is started again, so that only 1 has a \
             meaning",
            probe.success_threshold
        ));
    }
    let times = [
        ("the probe's period", probe.period),
        ("the probe's initial delay", probe.initial_delay),
        ("the probe's time-out", probe.timeout),
        ("the termination grace", workload.termination_grace),
    ];
    for (what, time) in times {
        too_long(what, time, faults);
    }
    let counts = [
        ("the probe's failure threshold", probe.failure_threshold.get()),
        ("the number of replicas to start with", workload.initial_replicas),
    ];
    let most = i32::MAX;
    let above = counts.into_iter().filter(|(_, count)| i32::try_from(*count).is_err());
    faults.extend(above.map(|(what, count)| format!("{what} is {count}; at most {most} can be written")));
}

fn too_long(what: &str, time: Duration, faults: &mut Vec<String>) {
    let most = i32::MAX;
    if i32::try_from(probe::seconds(time)).is_err() {
        faults.push(format!("{what} is {} s; at most {most} s can be written", time.as_secs()));
    }
}

fn requests(workload: &Workload, faults: &mut Vec<String>) {
    let wanted = &workload.resources;
    if let Some(limit) = wanted.cpu_limit.filter(|limit| *limit < wanted.cpu) {
        faults.push(format!("the CPU limit {limit} is below the request {}; raise it", wanted.cpu));
    }
    if let Some(limit) = wanted.memory_limit.filter(|limit| *limit < wanted.memory) {
        faults.push(format!("the memory limit {limit} is below the request {}; raise it", wanted.memory));
    }
    if wanted.gpu > 0 && wanted.accelerators.get(resources::GPU).is_some_and(|count| *count > 0) {
        faults.push(format!("GPUs are asked for twice, as gpu and as {}; keep one", resources::GPU));
    }
    let illegal = wanted.accelerators.keys().filter(|name| !is_extended_resource(name));
    faults.extend(illegal.map(|name| {
        format!("{name:?} is no name of an extended resource; write vendor/name, for example amd.com/gpu")
    }));
}

fn variables(workload: &Workload, faults: &mut Vec<String>) {
    let mut size = 0;
    for (name, value) in &workload.variables {
        size += name.len() + value.len();
        // The API server takes any key of a Secret, but the kubelet leaves out what is no name of a variable.
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty()
            || name.len() > MAX_SUBDOMAIN
            || name.starts_with(|first: char| first.is_ascii_digit())
            || !name.bytes().all(legal)
            || name == "."
            || name.starts_with("..")
        {
            faults.push(format!(
                "the variable {name:?} has a name that no container is given; use letters, digits, '_', '-' and '.', \
                 and no digit first"
            ));
        }
        if value.contains('\0') {
            faults.push(format!("the value of the variable {name:?} holds a zero byte; leave it out"));
        }
    }
    if size > MAX_VARIABLES {
        faults.push(format!(
            "the variables have {size} bytes and a Secret holds {MAX_VARIABLES}; put large values into the image"
        ));
    }
}

/// The faults of options, which are those of every workload.
pub(crate) fn setting(options: &Options) -> Vec<String> {
    let mut faults = Vec::new();
    if !is_dns_label(&options.namespace) {
        faults.push(format!("the namespace {:?} is no DNS label of 1 to 63", options.namespace));
    }
    let owner = &options.owner;
    if !is_dns_label(owner)
        || owner.len() > MAX_OWNER
        || owner.starts_with(|first: char| first.is_ascii_digit())
    {
        faults.push(format!(
            "the owner {owner:?} is no DNS label of 1 to {MAX_OWNER} that begins with a letter"
        ));
    }
    let secrets = options.pull_secrets.iter().filter(|name| !is_subdomain(name));
    faults.extend(secrets.map(|name| format!("the pull secret {name:?} is no name of a Secret")));
    faults.extend(placement(&options.node_selector, &options.tolerations));
    let mut folders = BTreeSet::from(["/tmp"]);
    for folder in &options.writable {
        if !folder.starts_with('/')
            || folder == "/"
            || folder.contains([':', '\0'])
            || !folders.insert(folder)
        {
            faults.push(format!(
                "the writable folder {folder:?} is no absolute path, is the root, or is named twice"
            ));
        }
    }
    if options.run_as_user == Some(0) {
        faults.push(
            "replicas are to run as user 0, and root is refused; choose another, for example 1000".to_owned(),
        );
    }
    too_long("the drain notice", options.drain_notice, &mut faults);
    faults
}

/// Where pods may run.
pub(super) fn placement(node_selector: &BTreeMap<String, String>, tolerations: &[Toleration]) -> Vec<String> {
    let mut faults = Vec::new();
    let labels = node_selector.iter().filter(|(key, value)| !is_label_key(key) || !is_label_value(value));
    faults.extend(labels.map(|(key, value)| format!("the node selector {key:?}: {value:?} is no label")));
    for toleration in tolerations {
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        let effect = toleration.effect.as_deref().is_none_or(|effect| effects.contains(&effect));
        if !is_label_key(&toleration.key)
            || !toleration.value.as_deref().is_none_or(is_label_value)
            || !effect
        {
            faults
                .push(format!("{toleration:?} names no taint; its effect is one of {}", effects.join(", ")));
        }
    }
    faults
}

/// Whether an image can have this reference.
pub(super) fn is_reference(reference: &str) -> bool {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:".contains(&byte);
    let pinned = |digest: &str| {
        digest.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.ends_with(|last: char| last.is_ascii_alphanumeric() || "._-".contains(last))
        && name.bytes().all(legal)
        && digest.is_none_or(pinned)
}

fn is_extended_resource(name: &str) -> bool {
    let Some((domain, _)) = name.split_once('/') else { return false };
    let native = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    is_label_key(name) && !native && !name.starts_with("requests.")
}

fn is_label_key(key: &str) -> bool {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    !name.is_empty() && is_label_value(name) && domain.is_none_or(is_subdomain)
}

fn is_label_value(value: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    bytes.len() <= MAX_LABEL
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte))
        && edge(bytes.first())
        && edge(bytes.last())
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= MAX_SUBDOMAIN && name.split('.').all(|part| part.len() <= MAX_SUBDOMAIN && is_dns(part))
}

fn is_dns_label(name: &str) -> bool {
    name.len() <= MAX_LABEL && is_dns(name)
}

fn is_dns(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('-')
        && !part.ends_with('-')
        && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
