//! Images built by the real `buildah`, from bases of this machine's own programs, into Debian's `docker-registry`; no network.
#![cfg(all(feature = "buildah", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use portway_hashing::resolve::{
    BuildError, BuildErrorKind, BuildLog, ImageBuilder, MemoryLock, Origin, ResolveError, Resolver,
};
use portway_hashing::{CondaDocument, Digest, ImageInputs, ImageKey, ImageRef, Platform};
use portway_images::{
    BASE_DIGEST_ANNOTATION, BASE_NAME_ANNOTATION, BuildahBuilder, KEY_ANNOTATION, OciRegistry,
};
use serde_json::Value;
use tempfile::TempDir;

use support::base::{Buildah, can_build, python, python_root, tiny_root};
use support::registry::{DockerRegistry, Door, PASSWORD};

/// What the tests that run at the same time share: a registry with two base images, `tiny` and `python`. It speaks TLS with a
/// certificate of its own authority, and wants a password.
struct Site {
    registry: DockerRegistry,
    builds: TempDir,
}

impl Site {
    /// `None`, and a line that says why, where it can't be had.
    fn open() -> Option<Arc<Self>> {
        static OPEN: Mutex<Weak<Site>> = Mutex::new(Weak::new());
        if !can_build() {
            return None;
        }
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(site) = open.upgrade() {
            return Some(site);
        }
        let site = Arc::new(Self {
            registry: DockerRegistry::start(&Door::Tls)?,
            builds: tempfile::tempdir().unwrap(),
        });
        let (roots, buildah) = (tempfile::tempdir().unwrap(), Buildah::new());
        buildah.push_tree(&site.registry, &tiny_root(roots.path()), "tiny:1");
        buildah.push_tree(&site.registry, &python_root(roots.path()), "python:1");
        *open = Arc::downgrade(&site);
        Some(site)
    }

    /// A builder that pushes to a repository of its own.
    fn builder(&self, repository: &str) -> BuildahBuilder {
        BuildahBuilder::new(self.registry.repository(repository), self.builds.path())
    }

    fn resolver(&self, repository: &str, builder: impl ImageBuilder + 'static) -> Resolver {
        Resolver::new(self.registry.repository(repository), builder, MemoryLock::default())
    }

    fn inputs(&self, base: &str) -> ImageInputs {
        let base = format!("{}/{base}", self.registry.host());
        ImageInputs::new(Platform::host(), base.parse().unwrap(), BuildahBuilder::recipe())
    }

    /// The manifest under a tag as the registry keeps it, read from its disk.
    fn stored(&self, repository: &str, tag: &str) -> (Digest, Value) {
        let root = self.registry.folder().join("data/docker/registry/v2");
        let link = root.join(format!("repositories/{repository}/_manifests/tags/{tag}/current/link"));
        let digest: Digest = fs::read_to_string(link).unwrap().parse().unwrap();
        let hex = digest.hex();
        let blob = fs::read(root.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]))).unwrap();
        (digest, serde_json::from_slice(&blob).unwrap())
    }
}

/// Keeps all lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

impl BuildLog for Lines {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// Counts the builds that really happen.
struct Counted(BuildahBuilder, Arc<AtomicUsize>);

#[async_trait]
impl ImageBuilder for Counted {
    async fn build(
        &self,
        key: &ImageKey,
        inputs: &ImageInputs,
        log: Arc<dyn BuildLog>,
    ) -> Result<ImageRef, BuildError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.build(key, inputs, log).await
    }
}

async fn build(builder: &BuildahBuilder, inputs: &ImageInputs, log: &Lines) -> Result<ImageRef, BuildError> {
    builder.build(&inputs.key(), inputs, Arc::new(log.clone())).await
}

fn build_error(error: ResolveError) -> Arc<BuildError> {
    match error {
        ResolveError::Build(error) => error,
        other => panic!("not a build's error: {other:?}"),
    }
}

fn conda(text: &str) -> CondaDocument {
    CondaDocument::parse(text).unwrap()
}

/// The system's Python, `3.11` for instance.
fn python_version() -> String {
    let code = "import sys; print('%d.%d' % sys.version_info[:2], end='')";
    String::from_utf8(std::process::Command::new(python()).args(["-c", code]).output().unwrap().stdout)
        .unwrap()
}

/// The folders of the builds of that key.
fn left_over(builds: &Path, key: &ImageKey) -> Vec<PathBuf> {
    let entries = fs::read_dir(builds).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains(&key.to_string())).collect()
}

/// The processes that live in the folders of a build, by their roots.
fn processes(builds: &Path, key: &ImageKey) -> usize {
    let start = fs::canonicalize(builds).unwrap().join(format!("build-{key}"));
    let start = start.to_string_lossy().into_owned();
    let roots = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path().join("root")).ok());
    roots.filter(|root| root.to_string_lossy().starts_with(&start)).count()
}

/// A program that does something else than `buildah` for a start.
fn in_place_of_buildah(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("buildah");
    fs::write(&path, format!("#!/bin/sh\n{script}\nexec buildah \"$@\"\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_a_built_image_names_its_key_and_its_base_digest() {
    let Some(site) = Site::open() else { return };
    let document = format!("dependencies: [python={}, pip, {{pip: [greeting==1.10]}}]", python_version());
    let inputs = site.inputs("python:1").step("ENV GREETING=1").conda(conda(&document));
    let builds = Arc::new(AtomicUsize::new(0));
    let builder = site.builder("named").pip_argument("--no-index").pip_argument("--find-links=/wheels");
    let resolver = site.resolver("named", Counted(builder, Arc::clone(&builds)));
    let log = Lines::default();

    // Ten at once (rule IMG-5): one builds and pushes.
    let asked: Vec<_> = (0..10)
        .map(|_| {
            let (resolver, inputs, log) = (resolver.clone(), inputs.clone(), log.clone());
            tokio::spawn(async move { resolver.resolve(&inputs, Arc::new(log)).await.unwrap() })
        })
        .collect();
    let mut images = Vec::new();
    for one in asked {
        images.push(one.await.unwrap().image);
    }
    assert_eq!(builds.load(Ordering::SeqCst), 1);
    let image = images.pop().unwrap();
    assert!(images.iter().all(|other| *other == image));

    // What a scanner reads, by the registry's own files; the base was given by tag.
    let (digest, manifest) = site.stored("named", &inputs.key().to_string());
    assert_eq!(image.digest(), digest);
    let (base, _) = site.stored("python", "1");
    let annotation = |name: &str| manifest["annotations"][name].as_str().unwrap_or("nothing").to_owned();
    assert_eq!(annotation(KEY_ANNOTATION), inputs.key().to_string());
    assert_eq!(annotation(BASE_DIGEST_ANNOTATION), base.to_string());
    assert_eq!(annotation(BASE_NAME_ANNOTATION), inputs.base().to_string());
    assert!(log.all().contains(&format!("base image {}, by digest {base}", inputs.base())), "{}", log.all());

    // And it is what was asked for: `python` is the environment, and has the package.
    let buildah = Buildah::new();
    let container = buildah.from(&site.registry, &image);
    let code = "import greeting, os, sys; print(greeting.TEXT, sys.prefix, os.environ['GREETING'])";
    let said = buildah.run(&["run", "--isolation", "chroot", &container, "--", "python", "-c", code]);
    assert_eq!(said, "hello from the wheel /opt/portway/venv 1");
    assert_eq!(left_over(site.builds.path(), &inputs.key()), [] as [PathBuf; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_8_docker_steps_are_built_once_found_the_second_time_and_a_miss_explains_itself() {
    let Some(site) = Site::open() else { return };
    // The daemon leaves its process group and keeps the pipes: it neither outlives nor holds up the build.
    let inputs = site
        .inputs("tiny:1")
        .step("RUN echo made > /made && setsid sleep 600 &\nUSER 7")
        .step("RUN echo as \\\n # me\n me");
    let resolver = site.resolver("steps", site.builder("steps"));
    let log = Lines::default();
    let first = resolver.resolve(&inputs, Arc::new(log.clone())).await.unwrap();
    assert!(matches!(first.origin, Origin::Built { nearest: None }), "{first:?}");
    assert!(log.all().lines().any(|line| line == "as me"), "{}", log.all());
    assert_eq!(processes(site.builds.path(), &inputs.key()), 0);
    assert_eq!(left_over(site.builds.path(), &inputs.key()), [] as [PathBuf; 0]);

    // Another machine finds it.
    let second = site.resolver("steps", site.builder("steps")).resolve(&inputs, Arc::new(())).await.unwrap();
    assert_eq!((second.origin, &second.image), (Origin::Workspace, &first.image));

    // The base by digest is another key; the miss says so (rule IMG-6).
    let (base, _) = site.stored("tiny", "1");
    let pinned = format!("{}/tiny@{base}", site.registry.host());
    let pinned = ImageInputs::new(Platform::host(), pinned.parse().unwrap(), BuildahBuilder::recipe());
    let pinned = pinned.step(&inputs.steps()[0]).step(&inputs.steps()[1]);
    let log = Lines::default();
    let third = resolver.resolve(&pinned, Arc::new(log.clone())).await.unwrap();
    assert!(matches!(third.origin, Origin::Built { nearest: Some(_) }), "{third:?}");
    assert!(log.all().contains("it differs in\n  base: "), "{}", log.all());
    let annotations = site.registry.repository("steps").annotations(&third.image).await.unwrap();
    assert_eq!(annotations.base_digest(), Some(base));
    assert_eq!(annotations.base_name(), Some(pinned.base().to_string().as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_8_the_same_inputs_give_the_same_image_wherever_they_are_built() {
    let Some(site) = Site::open() else { return };
    let inputs =
        site.inputs("tiny:1").step("RUN echo a > /a && echo $SOURCE_DATE_EPOCH > /b").step("WORKDIR /work");
    // The driver that works everywhere; here it is the machine's usual one.
    let other = tempfile::tempdir().unwrap();
    let elsewhere =
        BuildahBuilder::new(site.registry.repository("there"), other.path()).storage_driver("vfs");
    let here = build(&site.builder("here"), &inputs, &Lines::default()).await.unwrap();
    let there = build(&elsewhere, &inputs, &Lines::default()).await.unwrap();
    assert_eq!(here.digest(), there.digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_5_a_step_that_fails_is_told_with_its_own_words_and_backs_off() {
    let Some(site) = Site::open() else { return };
    let inputs = site.inputs("tiny:1").step("RUN echo the disk is made of cheese && exit 3");
    let resolver = site.resolver("fails", site.builder("fails"));
    let error = build_error(resolver.resolve(&inputs, Arc::new(())).await.unwrap_err());
    assert_eq!(error.kind(), BuildErrorKind::Failed);
    assert!(error.log().iter().any(|line| line == "the disk is made of cheese"), "{error}");
    assert!(matches!(
        resolver.resolve(&inputs, Arc::new(())).await,
        Err(ResolveError::BackingOff { failures: 1, .. })
    ));
    assert_eq!(left_over(site.builds.path(), &inputs.key()), [] as [PathBuf; 0]);
    let refused =
        build_error(resolver.resolve(&site.inputs("tiny:1").step("FROM a"), Arc::new(())).await.unwrap_err());
    assert_eq!(refused.kind(), BuildErrorKind::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_5_a_build_that_everybody_left_ends_with_all_its_processes_and_its_folder() {
    let Some(site) = Site::open() else { return };
    let inputs = site.inputs("tiny:1").step("RUN setsid sleep 600 & echo hanging; sleep 601");
    let key = inputs.key();
    let resolver = site.resolver("hangs", site.builder("hangs"));
    let (hangs, mut hanging) = tokio::sync::mpsc::unbounded_channel();
    let log = move |line: &str| {
        if line == "hanging" {
            hangs.send(()).unwrap();
        }
    };
    let (again, asked) = (resolver.clone(), inputs.clone());
    let caller = tokio::spawn(async move { again.resolve(&asked, Arc::new(log)).await });
    hanging.recv().await.unwrap();
    let builds = site.builds.path();
    assert!(processes(builds, &key) > 0);
    caller.abort();
    while processes(builds, &key) > 0 || !left_over(builds, &key).is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&key.to_string()), "{mounts}");
    // What was left is in nobody's way.
    let other = site.inputs("tiny:1").step("RUN true");
    assert!(resolver.resolve(&other, Arc::new(())).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_5_a_builder_that_is_killed_died_and_the_next_caller_builds() {
    if !can_build() {
        return;
    }
    // This one is open, and speaks HTTP without TLS.
    let Some(registry) = DockerRegistry::start(&Door::Open) else { return };
    let folder = tempfile::tempdir().unwrap();
    Buildah::new().push_tree(&registry, &tiny_root(folder.path()), "tiny:1");
    let first = folder.path().join("first");
    let script =
        format!("if [ $1 = build ] && ! [ -e {0} ]; then : >{0}; kill -KILL $$; fi", first.display());
    let program = in_place_of_buildah(folder.path(), &script);
    let builder = BuildahBuilder::new(registry.repository("killed"), folder.path().join("builds"));
    let builder = builder.program(program);
    let resolver = Resolver::new(registry.repository("killed"), builder, MemoryLock::default());
    let base = format!("{}/tiny:1", registry.host()).parse().unwrap();
    let inputs = ImageInputs::new(Platform::host(), base, BuildahBuilder::recipe()).step("RUN echo killed");
    let error = build_error(resolver.resolve(&inputs, Arc::new(())).await.unwrap_err());
    assert_eq!(error.kind(), BuildErrorKind::Died, "{error}");
    assert!(resolver.resolve(&inputs, Arc::new(())).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_lasts_too_long_is_ended() {
    let Some(site) = Site::open() else { return };
    let inputs = site.inputs("tiny:1").step("RUN sleep 602");
    let builder = site.builder("slow").time_limit(Duration::from_secs(1));
    let error = build(&builder, &inputs, &Lines::default()).await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::TimedOut);
    assert!(error.to_string().contains("`time_limit`"), "{error}");
    while processes(site.builds.path(), &inputs.key()) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_that_the_base_does_not_have_is_named() {
    let Some(site) = Site::open() else { return };
    let wrong = site.inputs("python:1").conda(conda("dependencies: [python=2.7, {pip: [greeting]}]"));
    let error = build(&site.builder("wrong"), &wrong, &Lines::default()).await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Failed);
    let expected =
        format!("the conda document wants python=2.7, and python3 of this image is {}", python_version());
    assert!(error.to_string().starts_with(&format!("build failed: {expected}")), "{error}");

    let none = site.inputs("tiny:1").conda(conda("dependencies: [python]"));
    let error = build(&site.builder("wrong"), &none, &Lines::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("build failed: this image has no python3"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_is_not_there_is_told_from_a_registry_that_is_down() {
    let Some(site) = Site::open() else { return };
    let error = build(&site.builder("lost"), &site.inputs("tiny:none"), &Lines::default()).await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Failed, "{error}");
    assert!(error.to_string().contains("/tiny:none"), "{error}");
    // Nobody listens there.
    let down =
        ImageInputs::new(Platform::host(), "127.0.0.1:1/a:1".parse().unwrap(), BuildahBuilder::recipe());
    let error = build(&site.builder("lost"), &down, &Lines::default()).await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_missing_buildah_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let settings = portway_images::OciSettings::new("127.0.0.1:1/a".parse().unwrap()).plain_http();
    let builder =
        BuildahBuilder::new(OciRegistry::new(settings).unwrap(), folder.path()).program("no-such-buildah");
    let inputs = ImageInputs::new(Platform::host(), "r.test/a".parse().unwrap(), BuildahBuilder::recipe());
    let error = build(&builder, &inputs, &Lines::default()).await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Unavailable);
    assert!(error.to_string().contains("`no-such-buildah`; install it"), "{error}");
    assert_eq!(left_over(folder.path(), &inputs.key()), [] as [PathBuf; 0]);

    let error =
        build(&builder.pip_argument("--index-url=https://a:b@r.test/"), &inputs, &Lines::default()).await;
    assert_eq!(error.unwrap_err().kind(), BuildErrorKind::Refused);
}

/// The registry's password and the one in a pip configuration are in no argument, no line, no file that others can read, and nothing
/// that is pushed.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_stay_out_of_arguments_logs_history_and_layers() {
    const TOKEN: &str = "correct-horse-battery";
    let Some(site) = Site::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let arguments = folder.path().join("arguments");
    let script = format!(
        "echo \"$@\" >>{0}\nfor one; do [ $before = --authfile ] && stat -c 'auth %a' \"$one\" >>{0}; before=$one; done 2>/dev/null",
        arguments.display()
    );
    let program = in_place_of_buildah(folder.path(), &script);
    let configuration = folder.path().join("pip.conf");
    let index = format!("https://me:{TOKEN}@index.invalid/simple");
    fs::write(
        &configuration,
        format!("[install]\nno-index = true\nfind-links = /wheels\nextra-index-url = {index}\n"),
    )
    .unwrap();

    let builder = site.builder("secret").program(program).pip_configuration(&configuration);
    let inputs = site.inputs("python:1")
        // Without a pip of its own, the interpreter gives the environment one.
        .step("RUN python3 -c 'import glob, pip, shutil; [shutil.rmtree(one, True) for one in glob.glob(pip.__path__[0] + \"*\")]'")
        .step("RUN echo looking at https://me:hidden@r.test/")
        .conda(conda("dependencies: [{pip: [greeting]}]"));
    let log = Lines::default();
    build(&builder, &inputs, &log).await.unwrap();
    assert!(log.all().contains("Successfully installed greeting-1.10"), "{}", log.all());

    let arguments = fs::read_to_string(arguments).unwrap();
    assert_eq!(arguments.matches("auth 600").count(), 2, "{arguments}");
    assert!(!arguments.contains(PASSWORD) && !arguments.contains(TOKEN), "{arguments}");
    assert!(!log.all().contains(TOKEN), "{}", log.all());
    assert!(log.all().lines().any(|line| line == "looking at https://****@r.test/"), "{}", log.all());
    // Manifests and configurations as they are, layers unpacked.
    let blobs = site.registry.folder().join("data/docker/registry/v2/blobs");
    let search = format!("find {} -name data -exec zcat -f {{}} + | grep -c -a -e {TOKEN}", blobs.display());
    let found = std::process::Command::new("sh").args(["-c", &search]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), "0");
}
