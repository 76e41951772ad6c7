//! Real venvs from a wheel that the test makes; no network.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![cfg(all(feature = "venv", unix))]

#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use portway_hashing::resolve::{BuildError, BuildErrorKind, FileLock, Origin, ResolveError, Resolver};
use portway_hashing::{CondaDocument, ImageInputs, Platform};
use portway_images::{DirRegistry, VenvBuilder};

struct House {
    folder: tempfile::TempDir,
    registry: DirRegistry,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = DirRegistry::open(folder.path().join("images")).unwrap();
        Self { folder, registry }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn builder(&self) -> VenvBuilder {
        VenvBuilder::new(self.registry.clone(), self.path("venvs"))
            .pip_argument("--no-index")
            .pip_argument("--find-links")
            .pip_argument(self.path("wheels"))
    }

    fn resolver(&self) -> Resolver {
        let lock = FileLock::open(self.path("locks")).unwrap();
        Resolver::new(self.registry.clone(), self.builder(), lock)
    }
}

fn inputs(conda: Option<&str>) -> ImageInputs {
    let inputs = ImageInputs::new(Platform::host(), "none".parse().unwrap(), VenvBuilder::recipe());
    match conda {
        Some(text) => inputs.conda(CondaDocument::parse(text).unwrap()),
        None => inputs,
    }
}

fn has(module: &str) -> bool {
    let there = Command::new("python3").args(["-c", &format!("import {module}")]).output();
    let there = there.is_ok_and(|output| output.status.success());
    if !there {
        let required = std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_some_and(|value| value == "1");
        assert!(!required, "python3 or its module {module} is missing");
        eprintln!("skipped: python3 or its module {module} is missing; install it to run this test");
    }
    there
}

fn build_error(error: ResolveError) -> Arc<BuildError> {
    match error {
        ResolveError::Build(error) => error,
        other => panic!("not a build's error: {other:?}"),
    }
}

#[tokio::test]
async fn r_img_8_a_venv_is_built_once_and_found_the_second_time() {
    if !has("venv") || !has("pip") {
        return;
    }
    let house = House::new();
    wheel::make(&house.path("wheels"));
    let inputs = inputs(Some("dependencies: [pip, {pip: [greeting==1.10]}]"));
    // What a builder that died has left is in nobody's way.
    let left = house.path("venvs").join(format!("{}-0/venv/bin", inputs.key()));
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("python"), "half").unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = {
        let lines = Arc::clone(&lines);
        Arc::new(move |line: &str| lines.lock().unwrap().push(line.to_owned()))
    };
    let first = house.resolver().resolve(&inputs, log).await.unwrap();
    assert!(matches!(first.origin, Origin::Built { .. }));
    assert!(lines.lock().unwrap().iter().any(|line| line.contains("greeting")), "{lines:?}");

    let second = house.resolver().resolve(&inputs, Arc::new(())).await.unwrap();
    assert_eq!((second.origin, &second.image), (Origin::Workspace, &first.image));

    let environment = house.registry.environment(&first.image).unwrap().unwrap();
    assert_eq!(environment.packages, ["greeting==1.10"]);
    assert_eq!(fs::read_dir(house.path("venvs")).unwrap().count(), 1);
    let code = "import greeting; print(greeting.TEXT)";
    let output = Command::new(&environment.python).args(["-c", code]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello from the wheel\n");

    // The interpreter changes: the environment is built anew, beside the one in which replicas may still run.
    let mut changed = environment.clone();
    changed.interpreter.bytes += 1;
    house.registry.put(&first.key, &changed).unwrap();
    let third = house.resolver().resolve(&inputs, Arc::new(())).await.unwrap();
    assert!(matches!(third.origin, Origin::Built { .. }));
    let anew = house.registry.environment(&third.image).unwrap().unwrap();
    assert!(anew.python != environment.python && environment.python.exists());
}

#[tokio::test]
async fn without_packages_the_interpreter_is_used_as_it_stands() {
    if !has("json") {
        return;
    }
    let house = House::new();
    let resolved = house.resolver().resolve(&inputs(None), Arc::new(())).await.unwrap();
    let environment = house.registry.environment(&resolved.image).unwrap().unwrap();
    assert!(environment.python.is_absolute());
    assert!(environment.packages.is_empty());
    assert!(!house.path("venvs").exists());
    let other = house.resolver().resolve(&inputs(Some("dependencies: [pip]")), Arc::new(())).await.unwrap();
    assert_ne!(other.key, resolved.key);
    assert_eq!(other.image, resolved.image);
}

#[tokio::test]
async fn a_package_that_cannot_be_had_fails_with_pips_own_words_and_leaves_nothing() {
    if !has("venv") || !has("pip") {
        return;
    }
    let house = House::new();
    fs::create_dir(house.path("wheels")).unwrap();
    let inputs = inputs(Some("dependencies: [{pip: [greeting==2.0]}]"));
    let error = build_error(house.resolver().resolve(&inputs, Arc::new(())).await.unwrap_err());
    assert_eq!(error.kind(), BuildErrorKind::Failed);
    assert!(error.to_string().contains("greeting==2.0"), "{error}");
    assert_eq!(fs::read_dir(house.path("venvs")).unwrap().count(), 0);
}

/// Whether a process runs; one that ended but was not waited for doesn't.
#[cfg(target_os = "linux")]
fn runs(id: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", id.trim())).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains("Z (zombie)"))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_build_that_everybody_left_ends_with_all_its_processes() {
    use std::os::unix::fs::PermissionsExt;

    let house = House::new();
    let (program, ids) = (house.path("python"), house.path("ids"));
    let script =
        format!("#!/bin/sh\nsleep 600 & echo $$ $! > {0}.new && mv {0}.new {0}\nwait\n", ids.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let lock = FileLock::open(house.path("locks")).unwrap();
    let resolver = Resolver::new(house.registry.clone(), house.builder().python(&program), lock);
    let caller = tokio::spawn(async move { resolver.resolve(&inputs(None), Arc::new(())).await });
    while !ids.exists() {
        tokio::task::yield_now().await;
    }
    let ids = fs::read_to_string(ids).unwrap();
    assert!(ids.split(' ').all(runs), "{ids}");
    caller.abort();
    while ids.split(' ').any(runs) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_missing_interpreter_is_named_with_the_remedy() {
    let house = House::new();
    let builder = house.builder().python("no-such-python");
    let resolver =
        Resolver::new(house.registry.clone(), builder, FileLock::open(house.path("locks")).unwrap());
    let error = build_error(resolver.resolve(&inputs(None), Arc::new(())).await.unwrap_err());
    assert_eq!(error.kind(), BuildErrorKind::Unavailable);
    assert!(error.to_string().contains("`no-such-python`; install Python 3"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_no_python_is_told_apart() {
    let house = House::new();
    let builder = house.builder().python("echo");
    let resolver =
        Resolver::new(house.registry.clone(), builder, FileLock::open(house.path("locks")).unwrap());
    let error = build_error(resolver.resolve(&inputs(None), Arc::new(())).await.unwrap_err());
    assert!(error.to_string().contains("not a Python interpreter"), "{error}");
}
