//! Objects as they are applied, against committed JSON, and what holds for all of them.
//!
//! `PORTWAY_WRITE_MANIFESTS=1 cargo test -p portway-k8s-backend --test manifests` writes the files of `tests/manifests`
//! anew; their difference is then to be read.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use portway_backend::{
    Digest, EntryStyle, Environment, ErrorKind, Program, Project, ProjectLayer, Workload, WorkloadId,
};
use portway_deploy_config::{MemoryMib, Millicores};
use portway_k8s_backend::manifest::{Gateway, Manifests, Reach, Salt, Setting, Surge};
use portway_k8s_backend::rbac::{Features, Role};
use portway_k8s_backend::{Options, Server, Toleration};
use proptest::prelude::*;
use serde_json::Value;

// === committed JSON ===

#[test]
fn r_k8s_1_a_workload_with_the_defaults() {
    golden("defaults", &made(&workload(), &Options::new()));
}

#[test]
fn r_run_4_a_workload_with_gpus() {
    let mut workload = workload();
    workload.resources.gpu = 2;
    workload.resources.accelerators.insert("xilinx.com/fpga".to_owned(), 1);
    golden("gpu", &made(&workload, &Options::new()));
}

#[test]
fn r_k8s_1_a_workload_with_everything_set() {
    golden("everything", &made(&everything(), &all_options()));
}

#[test]
fn r_run_3_a_script_with_init_and_run() {
    let mut workload = workload();
    workload.program.style = EntryStyle::InitRun;
    golden("init_run", &made(&workload, &Options::new()));
}

/// What a deployer makes of a project folder: the image holds it, and with it the scoring server.
#[test]
fn r_run_3_a_project_that_is_a_layer_of_its_image() {
    golden("project", &made(&project(EntryStyle::InitRun), &all_options()));
    let objects = made(&project(EntryStyle::Listens), &Options::new());
    let container = &object(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"], serde_json::json!(["python3"]));
    assert_eq!(container["args"], serde_json::json!(["score.py", "--level", "$$3"]));
    assert_eq!(container["workingDir"], "/srv/project");
}

/// Without policy/v1 and with a `sleep` that the image brings.
#[test]
fn r_k8s_1_a_workload_on_an_old_server() {
    let objects =
        text(&workload(), &Options::new(), &Server::of_version("v1.20.2"), Surge::Beside, "salt").unwrap();
    golden("old_server", &objects);
}

#[test]
fn r_k8s_8_a_gateway_with_the_defaults() {
    let gateway = Gateway::new("registry.example/portway-gateway:0.1");
    golden("gateway", &gateway.to_json(&Options::new(), &Server::current()).unwrap());
}

#[test]
fn r_k8s_8_a_gateway_with_everything_set() {
    let mut gateway = Gateway::new("registry.example/portway-gateway:0.1");
    gateway.replicas = 5;
    gateway.cpu = Millicores(2000);
    gateway.memory = MemoryMib(1024);
    gateway.drain = Duration::from_millis(119_500);
    gateway.node_selector.insert("pool".to_owned(), "system".to_owned());
    gateway.tolerations.push(Toleration::of("system"));
    gateway.reach = Reach::LoadBalancer;
    gateway.behind_proxy = true;
    gateway.features.keda = true;
    golden("gateway_everything", &gateway.to_json(&all_options(), &Server::current()).unwrap());
}

#[test]
fn r_k8s_6_the_roles() {
    let mut features = Features::new();
    golden("role_gateway", &Role::Gateway.to_json(&Options::new(), features).unwrap());
    golden("role_deployer", &Role::Deployer.to_json(&Options::new(), features).unwrap());
    features.scaling = false;
    golden("role_gateway_that_does_not_scale", &Role::Gateway.to_json(&Options::new(), features).unwrap());
    features = Features::new();
    features.keda = true;
    features.accelerators = true;
    golden("role_deployer_everything", &Role::Deployer.to_json(&all_options(), features).unwrap());
}

// === single rules ===

#[test]
fn r_k8s_3_a_new_replica_comes_first_unless_no_accelerator_is_spare() {
    let strategy = |workload: &Workload, surge| {
        let objects = text(workload, &Options::new(), &Server::current(), surge, "salt").unwrap();
        let rolling = object(&objects, "Deployment")["spec"]["strategy"]["rollingUpdate"].clone();
        (rolling["maxSurge"].clone(), rolling["maxUnavailable"].clone())
    };
    let mut gpu = workload();
    gpu.resources.gpu = 1;
    assert_eq!(strategy(&gpu, Surge::Beside), (1.into(), 0.into()));
    assert_eq!(strategy(&gpu, Surge::InPlace), (0.into(), 1.into()));
    assert_eq!(strategy(&workload(), Surge::InPlace), (1.into(), 0.into()), "it wants none");
}

/// The order in which replicas are replaced is nothing that needs new ones.
#[test]
fn r_k8s_3_another_surge_rolls_nothing() {
    let mut gpu = workload();
    gpu.resources.gpu = 1;
    let digest = |surge| digest(&text(&gpu, &Options::new(), &Server::current(), surge, "salt").unwrap());
    assert_eq!(digest(Surge::Beside), digest(Surge::InPlace));
}

#[test]
fn the_grace_leaves_time_for_the_notice_and_for_the_scoring() {
    let mut workload = workload();
    workload.termination_grace = Duration::from_millis(299_001);
    let objects = made(&workload, &Options::new());
    let pod = &object(&objects, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 5 + 300);
    assert_eq!(pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"], 5);
    let mut options = Options::new();
    options.drain_notice = Duration::ZERO;
    let objects = made(&workload, &options);
    let pod = &object(&objects, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 300);
    assert!(pod["containers"][0]["lifecycle"].is_null());
}

#[test]
fn arguments_arrive_as_they_are_written() {
    let mut workload = workload();
    workload.program.arguments = vec!["$(PORT)".to_owned(), "$$".to_owned(), "a b".to_owned()];
    let objects = made(&workload, &Options::new());
    let container = &object(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"], serde_json::json!(["python3"]));
    assert_eq!(container["args"], serde_json::json!(["score.py", "$$(PORT)", "$$$$", "a b"]));
}

/// What a program sets itself beats our defaults, and nothing beats what it must know.
#[test]
fn a_workload_may_set_what_is_a_default_of_ours() {
    let mut workload = workload();
    workload.variables.insert("PYTHONUNBUFFERED".to_owned(), "0".to_owned());
    workload.variables.insert("PORT".to_owned(), "1".to_owned());
    let objects = made(&workload, &Options::new());
    let env = &object(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"];
    let names: Vec<_> = env.as_array().unwrap().iter().map(|variable| &variable["name"]).collect();
    assert!(
        !names.contains(&&Value::from("PYTHONUNBUFFERED")) && names.contains(&&Value::from("PORT")),
        "{env}"
    );
}

#[test]
fn all_faults_are_told_at_once_and_no_value_of_a_variable() {
    let mut workload = workload();
    workload.environment = Environment::Interpreter { python: "/usr/bin/python3".into() };
    let project = Project { artifact: "p.tar".parse().unwrap(), digest: Digest::of(b"") };
    workload.program = Program::script("");
    workload.program.project = Some(project);
    workload.program.arguments.push("a\0b".to_owned());
    workload.probe.success_threshold = workload.probe.success_threshold.saturating_add(1);
    workload.probe.period = Duration::MAX;
    workload.termination_grace = Duration::MAX;
    workload.initial_replicas = u32::MAX;
    workload.resources.cpu_limit = Some(Millicores(1));
    workload.resources.memory_limit = Some(MemoryMib(1));
    workload.resources.gpu = 1;
    workload.resources.accelerators = [("nvidia.com/gpu", 1), ("gpu", 1), ("kubernetes.io/gpu", 1)]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
    workload.variables =
        ["1ST", "", "A B", "A=B"].map(|name| (name.to_owned(), "hush\0".to_owned())).into_iter().collect();
    workload.variables.insert("LARGE".to_owned(), "hush".repeat(1 << 18));
    let mut options = Options::new();
    options.namespace = "Models".to_owned();
    options.owner = String::new();
    options.pull_secrets.push("a/b".to_owned());
    options.node_selector.insert("a b".to_owned(), String::new());
    options.tolerations.push(Toleration::of("a b"));
    options.writable = vec!["/tmp".to_owned(), "out".to_owned()];
    options.run_as_user = Some(0);
    options.drain_notice = Duration::MAX;

    let error = text(&workload, &options, &Server::current(), Surge::Beside, "salt").unwrap_err();
    let message = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!message.contains("hush"), "a value is shown");
    for part in [
        "the interpreter /usr/bin/python3",
        "the packed project p.tar",
        "the entry script \"\"",
        "an argument of the program",
        "success threshold is 2",
        "the probe's period is",
        "the termination grace is",
        "the number of replicas to start with is 4294967295",
        "the CPU limit 1m is below the request 100m",
        "the memory limit 1 MiB is below the request 512 MiB",
        "GPUs are asked for twice",
        "\"gpu\" is no name of an extended resource",
        "\"kubernetes.io/gpu\" is no name of an extended resource",
        "the variable \"1ST\"",
        "the variable \"\"",
        "the variable \"A B\"",
        "the value of the variable \"A=B\" holds a zero byte",
        "the variables have 1048",
        "the namespace \"Models\"",
        "the owner \"\"",
        "the pull secret \"a/b\"",
        "the node selector \"a b\"",
        "names no taint",
        "the writable folder \"/tmp\"",
        "the writable folder \"out\"",
        "user 0",
        "the drain notice is",
    ] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
}

#[test]
fn references_that_no_image_can_have_are_refused() {
    let refused = |reference: &str| {
        let mut workload = workload();
        workload.environment = Environment::Image { reference: reference.to_owned() };
        text(&workload, &Options::new(), &Server::current(), Surge::Beside, "salt").is_err()
    };
    let digest = "0".repeat(64);
    for good in ["iris", "iris:1", "localhost:5000/a/b_c:v1.2", &format!("r.example/iris@sha256:{digest}")] {
        assert!(!refused(good), "{good}");
    }
    for bad in ["", " iris", "iris ", "-iris", "iris@", "iris@sha256:00", "iris:", "https://r.example/iris?x"]
    {
        assert!(refused(bad), "{bad}");
    }
}

#[test]
fn a_script_with_init_and_run_needs_a_script_and_takes_no_arguments() {
    let mut workload = workload();
    workload.program.style = EntryStyle::InitRun;
    workload.program.arguments.push("--x".to_owned());
    let error = text(&workload, &Options::new(), &Server::current(), Surge::Beside, "salt").unwrap_err();
    assert!(error.to_string().contains("use variables"), "{error}");
    workload.program = Program::entry_point();
    workload.program.style = EntryStyle::InitRun;
    let error = text(&workload, &Options::new(), &Server::current(), Surge::Beside, "salt").unwrap_err();
    assert!(error.to_string().contains("name it"), "{error}");
}

#[test]
fn a_project_that_its_image_cannot_hold_is_refused() {
    let refused = |change: &dyn Fn(&mut Program)| {
        let mut workload = project(EntryStyle::InitRun);
        change(&mut workload.program);
        let made = text(&workload, &Options::new(), &Server::current(), Surge::Beside, "salt");
        made.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(refused(&|_| {}), "");
    assert_eq!(refused(&|program| program.script = Some("./deep/score.py".to_owned())), "");
    for script in ["/score.py", "../score.py", "deep/../../score.py"] {
        let error = refused(&|program| program.script = Some(script.to_owned()));
        assert!(error.contains("relative to the project's folder"), "{error}");
    }
    let error = refused(&|program| program.script = None);
    assert!(error.contains("a project needs an entry script"), "{error}");
    let error = refused(&|program| {
        program.layer = Some(ProjectLayer { folder: "srv".to_owned(), server: "score.py".to_owned() });
    });
    assert!(error.contains("the folder \"srv\"") && error.contains("the scoring server"), "{error}");
}

#[test]
fn a_gateway_that_cannot_be_is_refused() {
    let mut gateway = Gateway::new("not an image");
    gateway.replicas = u32::MAX;
    gateway.drain = Duration::MAX;
    gateway.tolerations.push(Toleration::of("a b"));
    let error = gateway.to_json(&Options::new(), &Server::current()).unwrap_err();
    for part in ["\"not an image\"", "4294967295 gateways", "a drain of", "names no taint"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn r_k8s_6_roles_of_an_owner_that_cannot_be_are_refused() {
    let mut options = Options::new();
    options.owner = "Team A".to_owned();
    let error = Role::Deployer.to_json(&options, Features::new()).unwrap_err();
    assert!(error.to_string().contains("the owner \"Team A\""), "{error}");
}

/// Whoever may read a Deployment and not the Secret cannot try values: the salt is missing.
#[test]
fn r_k8s_1_the_digest_cannot_be_guessed_without_the_salt() {
    let of = |salt| {
        digest(&text(&everything(), &Options::new(), &Server::current(), Surge::Beside, salt).unwrap())
    };
    assert_eq!(of("one"), of("one"));
    assert_ne!(of("one"), of("another"));
    let objects =
        text(&everything(), &Options::new(), &Server::current(), Surge::Beside, "of-the-secret").unwrap();
    for found in items(&objects) {
        assert_eq!(found.to_string().contains("of-the-secret"), found["kind"] == "Secret", "{found}");
    }
    let (one, other) = (Salt::random(), Salt::random());
    assert_ne!(one, other);
    assert_eq!(format!("{one:?}"), "Salt(…)");
}

/// Each field that a pod is made of, changed alone, gives another digest.
#[test]
fn r_k8s_1_the_digest_tells_each_change_that_needs_new_replicas() {
    type Change = fn(&mut Workload, &mut Options);
    let changes: [Change; 28] = [
        |workload, _| workload.id.version = "other".parse().unwrap(),
        |workload, _| workload.environment = Environment::Image { reference: "other".to_owned() },
        |workload, _| workload.program.script = Some("other.py".to_owned()),
        |workload, _| workload.program.script = None,
        |workload, _| workload.program.arguments.push(String::new()),
        |workload, _| workload.program.style = EntryStyle::InitRun,
        |workload, _| workload.program.layer = project(EntryStyle::Listens).program.layer,
        |workload, _| workload.max_concurrent = workload.max_concurrent.saturating_add(1),
        |workload, _| workload.resources.cpu.0 += 1,
        |workload, _| workload.resources.cpu_limit = Some(Millicores(9000)),
        |workload, _| workload.resources.memory.0 += 1,
        |workload, _| workload.resources.memory_limit = Some(MemoryMib(9000)),
        |workload, _| workload.resources.gpu += 1,
        |workload, _| {
            workload.resources.accelerators.insert("xilinx.com/fpga".to_owned(), 1);
        },
        |workload, _| workload.probe.period += Duration::from_secs(1),
        |workload, _| workload.probe.initial_delay += Duration::from_secs(1),
        |workload, _| workload.probe.timeout += Duration::from_secs(1),
        |workload, _| workload.probe.failure_threshold = workload.probe.failure_threshold.saturating_add(1),
        |workload, _| drop(workload.variables.insert("A".to_owned(), String::new())),
        |workload, _| workload.termination_grace += Duration::from_secs(1),
        |_, options| options.owner = "other".to_owned(),
        |_, options| options.pull_secrets.push("registry".to_owned()),
        |_, options| drop(options.node_selector.insert("pool".to_owned(), String::new())),
        |_, options| options.tolerations.push(Toleration::of("gpu")),
        |_, options| options.read_only_root = true,
        |_, options| options.run_as_user = Some(1000),
        |_, options| options.drain_notice += Duration::from_secs(1),
        |workload, _| drop(workload.variables.insert("A".to_owned(), "b".to_owned())),
    ];
    let of = |change: Change| {
        let (mut workload, mut options) = (workload(), Options::new());
        change(&mut workload, &mut options);
        digest(&made(&workload, &options))
    };
    let mut seen = BTreeMap::from([(of(|_, _| ()), None)]);
    for (place, change) in changes.into_iter().enumerate() {
        let before = seen.insert(of(change), Some(place));
        assert_eq!(before, None, "change {place} gives no digest of its own");
    }
    for same in [(|workload, _| workload.initial_replicas = 7) as Change, |_, options| {
        options.namespace = "other".to_owned()
    }] {
        assert!(seen.contains_key(&of(same)), "this needs no new replicas");
    }
}

// === properties ===

prop_compose! {
    fn any_workload()(
        endpoint in "[a-z]([-a-z0-9]{1,30})[a-z0-9]",
        version in "[a-z]([-a-z0-9]{1,30})[a-z0-9]",
        arguments in proptest::collection::vec("[ -~]{0,20}", 0..3),
        variables in proptest::collection::btree_map("[A-Z_]{1,8}", "hush-[ -~]{8,20}", 0..4),
        gpu in 0..3_u32,
        memory in 0..u32::MAX,
        replicas in 0..9_u32,
        grace in 0..1_000_000_u64,
    ) -> Workload {
        let mut workload = workload();
        workload.id = WorkloadId::new(endpoint.parse().unwrap(), version.parse().unwrap());
        workload.program.arguments = arguments;
        workload.variables = variables;
        workload.resources.gpu = gpu;
        workload.resources.memory = MemoryMib(memory);
        workload.initial_replicas = replicas;
        workload.termination_grace = Duration::from_millis(grace);
        workload
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn names_and_labels_are_legal(workload in any_workload()) {
        let objects = made(&workload, &Options::new());
        let first = items(&objects)[0]["metadata"]["name"].clone();
        for found in items(&objects) {
            let metadata = &found["metadata"];
            prop_assert_eq!(&metadata["name"], &first);
            // Pods are called like this with 17 characters more.
            prop_assert!(metadata["name"].as_str().unwrap().len() <= 63 - 17);
            for value in metadata["labels"].as_object().unwrap().values() {
                prop_assert!((1..=63).contains(&value.as_str().unwrap().len()), "{}", value);
            }
            prop_assert_eq!(&metadata["annotations"]["portway.dev/owner"], "portway");
        }
        let deployment = object(&objects, "Deployment");
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        for (key, value) in deployment["spec"]["selector"]["matchLabels"].as_object().unwrap() {
            prop_assert_eq!(&labels[key], value);
        }
        prop_assert_eq!(&object(&objects, "Service")["spec"]["selector"], &deployment["spec"]["selector"]["matchLabels"]);
    }

    #[test]
    fn no_value_of_a_variable_is_anywhere_but_in_the_secret(workload in any_workload()) {
        let objects = made(&workload, &Options::new());
        for found in items(&objects).into_iter().filter(|found| found["kind"] != "Secret") {
            prop_assert!(!found.to_string().contains("hush-"), "{}", found);
        }
        let secret = object(&objects, "Secret");
        prop_assert_eq!(secret["data"].as_object().map_or(0, |data| data.len()), workload.variables.len());
    }

    #[test]
    fn the_same_workload_is_the_same_text(workload in any_workload()) {
        prop_assert_eq!(made(&workload, &all_options()), made(&workload.clone(), &all_options()));
    }

    #[test]
    fn another_value_is_another_digest(workload in any_workload(), value in "[a-z]{1,9}") {
        let mut other = workload.clone();
        other.variables.insert("Z9".to_owned(), value);
        prop_assert_ne!(digest(&made(&workload, &Options::new())), digest(&made(&other, &Options::new())));
    }
}

// === what they are made of ===

fn workload() -> Workload {
    let id = WorkloadId::new("iris".parse().unwrap(), "first".parse().unwrap());
    let reference = format!("registry.example/iris@sha256:{}", "1234567890abcdef".repeat(4));
    Workload::new(id, Program::script("score.py"), Environment::Image { reference })
}

/// With arguments, which the scoring server hands on.
fn project(style: EntryStyle) -> Workload {
    let mut workload = workload();
    workload.program.layer =
        Some(ProjectLayer { folder: "/srv/project".to_owned(), server: "/srv/$server.py".to_owned() });
    workload.program.arguments = vec!["--level".to_owned(), "$3".to_owned()];
    workload.program.style = style;
    workload.variables.insert("AZUREML_MODEL_DIR".to_owned(), "/srv/project".to_owned());
    workload
}

fn everything() -> Workload {
    let mut workload = workload();
    workload.program.arguments = vec!["--name".to_owned(), "$(HOME)".to_owned()];
    workload.initial_replicas = 3;
    workload.max_concurrent = workload.max_concurrent.saturating_add(3);
    workload.resources.cpu = Millicores(1500);
    workload.resources.cpu_limit = Some(Millicores(2000));
    workload.resources.memory = MemoryMib(1024);
    workload.resources.memory_limit = Some(MemoryMib(1536));
    workload.resources.accelerators.insert("amd.com/gpu".to_owned(), 1);
    workload.probe.period = Duration::from_millis(2500);
    workload.probe.initial_delay = Duration::ZERO;
    workload.variables.insert("API_KEY".to_owned(), "hush".to_owned());
    workload.variables.insert("WORK_MS".to_owned(), "5".to_owned());
    workload.termination_grace = Duration::from_secs(300);
    workload
}

fn all_options() -> Options {
    let mut options = Options::new();
    options.namespace = "models".to_owned();
    options.owner = "team-a".to_owned();
    options.pull_secrets = vec!["registry".to_owned(), "mirror".to_owned()];
    options.node_selector.insert("pool".to_owned(), "inference".to_owned());
    let mut taint = Toleration::of("sku");
    taint.value = Some("gpu".to_owned());
    taint.effect = Some("NoSchedule".to_owned());
    options.tolerations = vec![taint, Toleration::of("spot")];
    options.read_only_root = true;
    options.writable.push("/app/outputs".to_owned());
    options.run_as_user = Some(1000);
    options.drain_notice = Duration::from_secs(12);
    options
}

fn text(
    workload: &Workload,
    options: &Options,
    server: &Server,
    surge: Surge,
    salt: &str,
) -> Result<String, portway_backend::BackendError> {
    let salt = Salt::fixed(salt);
    Ok(Manifests::of(workload, Setting { options, server, surge, salt: &salt })?.to_json())
}

fn made(workload: &Workload, options: &Options) -> String {
    text(workload, options, &Server::current(), Surge::Beside, "salt").unwrap()
}

fn items(list: &str) -> Vec<Value> {
    let list: Value = serde_json::from_str(list).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn object(list: &str, kind: &str) -> Value {
    items(list).into_iter().find(|object| object["kind"] == kind).unwrap()
}

fn digest(list: &str) -> String {
    let deployment = object(list, "Deployment");
    let of =
        |metadata: &Value| metadata["annotations"]["portway.dev/config-digest"].as_str().map(str::to_owned);
    let digest = of(&deployment["metadata"]);
    assert_eq!(digest, of(&deployment["spec"]["template"]["metadata"]));
    digest.unwrap()
}

fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests").join(format!("{name}.json"));
    let found = format!("{found}\n");
    if std::env::var_os("PORTWAY_WRITE_MANIFESTS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    let first = committed.lines().zip(found.lines()).find(|(committed, found)| committed != found);
    assert!(
        committed == found,
        "{} is {} lines, {} were made; first difference: {first:?}",
        path.display(),
        committed.lines().count(),
        found.lines().count()
    );
}
