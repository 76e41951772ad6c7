//! What keeps a replica from becoming ready, in words that say what to do. Pure.
//!
//! A finding is read from what the kubelet, the scheduler and the controllers write into an object's status, so it is
//! there within seconds, long before a time limit.

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodCondition,
    PodStatus,
};

use crate::names::{CONTAINER, PORT};

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Weight {
    /// Worth a word; others have taken over.
    Note,
    /// There is no room for it.
    NoRoom,
    /// It fails, and may yet succeed by itself.
    Passing,
    /// As it stands it cannot succeed.
    Fatal,
}

/// Why something is not as wanted, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Finding {
    pub(crate) weight: Weight,
    /// Lower case, without a full stop, with the remedy.
    pub(crate) message: String,
}

impl Finding {
    fn new(weight: Weight, message: impl Into<String>) -> Self {
        Self { weight, message: message.into() }
    }
}

/// After so many restarts a replica that never worked is given up: the fifth attempt, as with local processes.
const FATAL_RESTARTS: i32 = 4;
/// As much of somebody else's words as a message repeats.
const QUOTED: usize = 300;

// === pods ===

/// What is wrong with a pod that is neither ready nor on its way out.
pub(crate) fn of_pod(pod: &Pod) -> Option<Finding> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() == Some("Failed") {
        return Some(ended(status));
    }
    unschedulable(status)
        .or_else(|| statuses(status).find_map(|container| of_container(pod, container)))
        .or_else(|| unready(pod, status))
}

fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let (first, then) = (&status.init_container_statuses, &status.container_statuses);
    first.iter().flatten().chain(then.iter().flatten())
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> Option<&'a PodCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// A pod that will not run again: evicted, or refused by its node. Its controller puts another in its place.
fn ended(status: &PodStatus) -> Finding {
    let reason = status.reason.as_deref().unwrap_or("Failed");
    let why = status.message.as_deref().map(quoted).unwrap_or_default();
    let remedy = match reason {
        "Evicted" => "ask for as much memory and storage as it needs, so that its node is not overcommitted",
        _ => "see the pod's events",
    };
    Finding::new(Weight::Note, format!("its node ended it ({reason}: {why}); {remedy}"))
}

fn unschedulable(status: &PodStatus) -> Option<Finding> {
    let scheduled = condition(status, "PodScheduled").filter(|condition| condition.status == "False")?;
    if scheduled.reason.as_deref() != Some("Unschedulable") {
        return None;
    }
    let why = quoted(scheduled.message.as_deref().unwrap_or("no node fits"));
    Some(Finding::new(Weight::NoRoom, format!("the scheduler finds no node: {why}")))
}

fn of_container(pod: &Pod, container: &ContainerStatus) -> Option<Finding> {
    if container.ready {
        return None;
    }
    let state = container.state.as_ref();
    let ended = [state, container.last_state.as_ref()].into_iter().flatten();
    let ended = ended.filter_map(|state| state.terminated.as_ref()).next();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    match (waiting, ended) {
        (Some(waiting), _) if waiting.reason.as_deref() != Some("CrashLoopBackOff") => {
            of_waiting(container, waiting).or_else(|| Some(crashed(pod, container, ended?)))
        }
        (_, Some(ended)) => Some(crashed(pod, container, ended)),
        (Some(_), None) => {
            Some(Finding::new(Weight::Passing, "its program ends again and again; read its log"))
        }
        (None, None) => None,
    }
}

fn of_waiting(container: &ContainerStatus, waiting: &ContainerStateWaiting) -> Option<Finding> {
    let why = waiting.message.as_deref().unwrap_or_default();
    let reason = waiting.reason.as_deref()?;
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
            Some(unpulled(&container.image, reason, why))
        }
        "InvalidImageName" => Some(Finding::new(
            Weight::Fatal,
            format!("{:?} is no name of an image; correct it", container.image),
        )),
        "ErrImageNeverPull" | "ImageInspectError" | "SignatureValidationFailed" => Some(Finding::new(
            Weight::Fatal,
            format!("the node cannot use the image {} ({reason}: {})", container.image, quoted(why)),
        )),
        // A busy kubelet has not read the Secret yet.
        "CreateContainerConfigError" if why.contains("timed out waiting for the condition") => {
            Some(Finding::new(
                Weight::Passing,
                format!("its node has not read its configuration yet: {}; it is tried again", quoted(why)),
            ))
        }
        "CreateContainerConfigError" => Some(Finding::new(
            Weight::Fatal,
            format!("its configuration cannot be met: {}; apply the workload again", quoted(why)),
        )),
        "CreateContainerError" | "RunContainerError" | "PostStartHookError" => Some(Finding::new(
            Weight::Passing,
            format!(
                "its container cannot be started ({reason}: {}); check the command and the image",
                quoted(why)
            ),
        )),
        _ => None,
    }
}

fn unpulled(image: &str, reason: &str, why: &str) -> Finding {
    let says = |words: &[&str]| {
        let why = why.to_ascii_lowercase();
        words.iter().any(|word| why.contains(word))
    };
    let (weight, remedy) = if says(&DENIED) {
        (Weight::Fatal, "name a Secret with the registry's credentials among the pull secrets")
    } else if says(&MISSING) {
        (Weight::Fatal, "push the image, or correct its name or digest")
    } else if reason == "ErrImagePull" || says(&AWAY) {
        (Weight::Passing, "check that the nodes reach the registry")
    } else {
        // Older kubelets keep the cause to themselves once they back off.
        (Weight::Fatal, "push the image, correct its name, or name a pull secret")
    };
    let why = if why.is_empty() { String::new() } else { format!(": {}", quoted(why)) };
    Finding::new(weight, format!("the image {image} cannot be pulled{why}; {remedy}"))
}

/// Words by which registries turn somebody away.
const DENIED: [&str; 6] = [
    "unauthorized",
    "authentication required",
    "authorization failed",
    "denied",
    "forbidden",
    "no basic auth",
];
/// Words by which registries say that there is no such image.
const MISSING: [&str; 5] =
    ["not found", "manifest unknown", "name unknown", "invalid reference", "no match for platform"];
/// Words for a registry that may answer next time.
const AWAY: [&str; 9] = [
    "timeout",
    "deadline exceeded",
    "connection refused",
    "connection reset",
    "no such host",
    "toomanyrequests",
    "too many requests",
    "server error",
    "service unavailable",
];

fn crashed(pod: &Pod, container: &ContainerStatus, ended: &ContainerStateTerminated) -> Finding {
    let restarts = container.restart_count;
    let weight = if restarts >= FATAL_RESTARTS { Weight::Fatal } else { Weight::Passing };
    let of =
        if container.name == CONTAINER { String::new() } else { format!(" of container {}", container.name) };
    let times = match restarts {
        0 => String::new(),
        1 => ", started again once".to_owned(),
        _ => format!(", started again {restarts} times"),
    };
    if ended.reason.as_deref() == Some("OOMKilled") {
        let limit =
            memory_limit(pod, &container.name).map(|limit| format!(" of {limit}")).unwrap_or_default();
        let message = format!(
            "the program{of} was killed for passing its memory limit{limit}{times}; give it more memory"
        );
        return Finding::new(weight, message);
    }
    let hint = match ended.exit_code {
        0 => "; it must keep serving",
        126 => "; it cannot be executed",
        127 => "; it is not in the image",
        _ => "; read its log",
    };
    let last = ended.message.as_deref().and_then(|text| text.lines().rfind(|line| !line.trim().is_empty()));
    let last = last.map(|line| format!(": {}", quoted(line))).unwrap_or_default();
    Finding::new(
        weight,
        format!("the program{of} ended with exit code {}{last}{times}{hint}", ended.exit_code),
    )
}

fn memory_limit<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let containers = &pod.spec.as_ref()?.containers;
    let limits =
        containers.iter().find(|each| each.name == container)?.resources.as_ref()?.limits.as_ref()?;
    Some(&limits.get("memory")?.0)
}

/// A pod that runs and was ready once.
fn unready(pod: &Pod, status: &PodStatus) -> Option<Finding> {
    let ready = condition(status, "Ready").filter(|condition| condition.status != "True")?;
    let containers = status.container_statuses.as_deref().filter(|containers| !containers.is_empty())?;
    // A kubelet that says this of all containers says it of the pod; somebody else has taken its readiness away.
    let spec = pod.spec.as_ref();
    let has_gates =
        spec.is_some_and(|spec| spec.readiness_gates.as_ref().is_some_and(|gates| !gates.is_empty()));
    if containers.iter().all(|container| container.ready) && !has_gates {
        let node = spec.and_then(|spec| spec.node_name.as_deref()).unwrap_or("its node");
        return Some(Finding::new(
            Weight::Passing,
            format!("the node {node} no longer reports; its replicas are replaced if it does not come back"),
        ));
    }
    let since = ready.last_transition_time.as_ref()?.0;
    let started = |container: &ContainerStatus| {
        let running = container.state.as_ref().and_then(|state: &ContainerState| state.running.as_ref());
        running.and_then(|running| running.started_at.as_ref()).map(|time| time.0)
    };
    let was_ready = containers.iter().filter_map(started).max().is_some_and(|started| since > started);
    was_ready.then(|| {
        let message = format!("it runs and no longer answers GET / on port {PORT}; read its log");
        Finding::new(Weight::Passing, message)
    })
}

// === Deployments ===

/// What keeps the controllers from creating pods: a quota, an admission rule.
pub(crate) fn of_refused_pods(message: &str) -> Finding {
    let quote = quoted(message);
    let says = |word: &str| message.contains(word);
    if says("exceeded quota") {
        return Finding::new(
            Weight::NoRoom,
            format!(
                "the namespace's quota is used up: {quote}; ask for fewer or smaller replicas, or raise the quota"
            ),
        );
    }
    if says("admission webhook") && says("denied the request") {
        return Finding::new(
            Weight::Fatal,
            format!("an admission webhook refuses the pods: {quote}; change what it objects to, or its rule"),
        );
    }
    if says("violates PodSecurity") {
        return Finding::new(
            Weight::Fatal,
            format!(
                "the namespace's pod security refuses the pods: {quote}; use another namespace or relax its level"
            ),
        );
    }
    let is_final = (says("is forbidden") && !says("error looking up")) || says("is invalid");
    let (weight, remedy) = match is_final {
        true => (Weight::Fatal, "change what is objected to, or the rule"),
        false => (Weight::Passing, "it is tried again"),
    };
    Finding::new(weight, format!("pods are refused: {quote}; {remedy}"))
}

/// What is said when the progress deadline has passed and no pod says why.
pub(crate) fn of_no_progress() -> Finding {
    let message = format!(
        "replicas have not become ready within the progress deadline; check that the program answers GET / on port \
         {PORT}, and read its log"
    );
    Finding::new(Weight::Fatal, message)
}

/// Somebody else's words on one line, cut where they get long.
pub(crate) fn quoted(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(QUOTED));
    for word in text.split_whitespace() {
        if line.len() + word.len() >= QUOTED {
            line.push_str(" …");
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(status: Value) -> Option<Finding> {
        let limits = json!({"memory": "512Mi"});
        let pod = json!({
            "spec": {"nodeName": "n1", "containers": [{"name": CONTAINER, "resources": {"limits": limits}}]},
            "status": status,
        });
        of_pod(&serde_json::from_value(pod).unwrap())
    }

    fn of_state(state: Value, last: Value, restarts: i32) -> Option<Finding> {
        found(json!({"phase": "Running", "containerStatuses": [{
            "name": CONTAINER, "image": "reg/iris:1", "imageID": "", "ready": false, "restartCount": restarts,
            "state": state, "lastState": last,
        }]}))
    }

    fn waiting(reason: &str, message: &str) -> Finding {
        of_state(json!({"waiting": {"reason": reason, "message": message}}), json!({}), 0).unwrap()
    }

    #[test]
    fn r_run_4_an_image_that_cannot_be_pulled_says_whether_that_can_change() {
        for (reason, message, weight, remedy) in [
            ("ErrImagePull", "rpc error: manifest unknown", Weight::Fatal, "push the image"),
            ("ErrImagePull", "pull access denied for reg/iris", Weight::Fatal, "pull secrets"),
            ("ErrImagePull", "401 Unauthorized", Weight::Fatal, "pull secrets"),
            ("ErrImagePull", "dial tcp: i/o timeout", Weight::Passing, "reach the registry"),
            ("ErrImagePull", "something else", Weight::Passing, "reach the registry"),
            (
                "ImagePullBackOff",
                "Back-off: ErrImagePull: no such host",
                Weight::Passing,
                "reach the registry",
            ),
            ("ImagePullBackOff", "Back-off pulling image \"reg/iris:1\"", Weight::Fatal, "pull secret"),
            ("InvalidImageName", "", Weight::Fatal, "correct it"),
        ] {
            let finding = waiting(reason, message);
            assert_eq!(finding.weight, weight, "{message}");
            assert!(
                finding.message.contains("reg/iris:1") && finding.message.contains(remedy),
                "{}",
                finding.message
            );
        }
    }

    #[test]
    fn r_run_4_a_kubelet_that_has_not_read_a_secret_yet_is_no_reason_to_give_up() {
        let late = "failed to sync secret cache: timed out waiting for the condition";
        let finding = waiting("CreateContainerConfigError", late);
        assert_eq!(finding.weight, Weight::Passing, "{}", finding.message);
        let finding = waiting("CreateContainerConfigError", "secret \"iris\" not found");
        assert_eq!(finding.weight, Weight::Fatal, "{}", finding.message);
    }

    #[test]
    fn r_run_4_a_crash_names_the_exit_code_and_the_last_line() {
        let back_off = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let last =
            json!({"terminated": {"exitCode": 3, "reason": "Error", "message": "loading\nno model\n\n"}});
        let once = of_state(back_off.clone(), last.clone(), 1).unwrap();
        assert_eq!(
            once.message,
            "the program ended with exit code 3: no model, started again once; read its log"
        );
        assert_eq!(once.weight, Weight::Passing);
        assert_eq!(of_state(back_off.clone(), last.clone(), 4).unwrap().weight, Weight::Fatal);
        let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        assert!(
            of_state(running, last, 1).unwrap().message.contains("exit code 3"),
            "until it is ready again"
        );
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let killed = of_state(back_off, killed, 2).unwrap().message;
        assert!(
            killed.contains("memory limit of 512Mi, started again 2 times; give it more memory"),
            "{killed}"
        );
        let absent = json!({"terminated": {"exitCode": 127, "reason": "Error"}});
        assert!(of_state(absent, json!({}), 0).unwrap().message.ends_with("; it is not in the image"));
    }

    #[test]
    fn r_run_4_what_takes_its_time_is_no_finding() {
        for reason in ["ContainerCreating", "PodInitializing"] {
            assert_eq!(of_state(json!({"waiting": {"reason": reason}}), json!({}), 0), None);
        }
        assert_eq!(found(json!({"phase": "Pending"})), None);
        let started = json!({"running": {"startedAt": "2026-01-01T00:00:05Z"}});
        let unready = |since: &str| {
            found(json!({
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": since}],
                "containerStatuses": [{
                    "name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": started,
                }],
            }))
        };
        assert_eq!(unready("2026-01-01T00:00:01Z"), None, "it has never been ready");
        let lost = unready("2026-01-01T00:01:00Z").unwrap().message;
        assert!(lost.contains("no longer answers GET / on port 8080"), "{lost}");
    }

    #[test]
    fn r_run_4_a_node_that_is_lost_is_named() {
        let lost = found(json!({
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [{
                "name": CONTAINER, "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}},
            }],
        }));
        assert!(lost.unwrap().message.contains("the node n1 no longer reports"));
        let gated = json!({
            "spec": {"containers": [], "readinessGates": [{"conditionType": "balancer"}]},
            "status": {"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [{
                "name": CONTAINER, "image": "", "imageID": "", "ready": true, "restartCount": 0,
            }]},
        });
        assert_eq!(of_pod(&serde_json::from_value(gated).unwrap()), None, "a gate is not a node");
    }

    #[test]
    fn r_run_4_no_room_is_said_in_the_schedulers_words() {
        let message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.";
        let finding = found(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message},
        ]}));
        let finding = finding.unwrap();
        assert_eq!(finding.weight, Weight::NoRoom);
        assert!(finding.message.contains(message));
    }

    #[test]
    fn r_run_4_pods_that_are_refused_say_by_what() {
        for (message, weight, remedy) in [
            (
                "pods \"a\" is forbidden: exceeded quota: compute, requested: cpu=2",
                Weight::NoRoom,
                "raise the quota",
            ),
            (
                "admission webhook \"policy\" denied the request: no latest",
                Weight::Fatal,
                "an admission webhook refuses the pods: admission webhook \"policy\" denied the request: no latest",
            ),
            ("pods \"a\" is forbidden: violates PodSecurity \"restricted\"", Weight::Fatal, "pod security"),
            (
                "pods \"a\" is forbidden: maximum cpu usage per Container is 1",
                Weight::Fatal,
                "change what is objected",
            ),
            ("pods \"a\" is forbidden: error looking up service account", Weight::Passing, "tried again"),
            ("Internal error occurred: failed calling webhook", Weight::Passing, "tried again"),
        ] {
            let finding = of_refused_pods(message);
            assert_eq!(finding.weight, weight, "{message}");
            assert!(finding.message.contains(remedy), "{}", finding.message);
        }
    }

    #[test]
    fn what_is_quoted_is_one_line_and_not_too_long() {
        assert_eq!(quoted("a\n  b\t c "), "a b c");
        let long = quoted(&"word ".repeat(1000));
        assert!(long.len() <= QUOTED + 4 && long.ends_with('…'), "{long}");
        assert!(quoted(&"x".repeat(1000)).len() <= 4);
    }
}
