//! The resolver over fakes that fail on cue, in virtual time.
#![cfg(feature = "resolve")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use portway_hashing::resolve::{
    BuildError, BuildErrorKind, BuildLog, FileLock, GlobalUse, Held, ImageBuilder, Lock, LockError,
    LockErrorKind, MemoryLock, MemoryRegistry, Origin, Registry, RegistryError, RegistryErrorKind,
    ResolveError, Resolved, Resolver, Settings,
};
use portway_hashing::{Digest, ImageInputs, ImageKey, ImageRef, Platform, Recipe};
use tokio::sync::Notify;

// === fakes ===

/// What a registry does with the next question.
#[derive(Clone, Copy, PartialEq)]
enum Cue {
    Answer,
    Fail(RegistryErrorKind),
    Hang,
}

#[derive(Clone, Default)]
struct FakeRegistry {
    store: MemoryRegistry,
    cues: Arc<Mutex<VecDeque<Cue>>>,
    asked: Arc<AtomicUsize>,
    adopts_something_else: Arc<AtomicBool>,
}

impl FakeRegistry {
    fn cue(self, cues: &[Cue]) -> Self {
        self.cues.lock().unwrap().extend(cues);
        self
    }

    async fn play(&self) -> Result<(), RegistryError> {
        let cue = self.cues.lock().unwrap().pop_front().unwrap_or(Cue::Answer);
        match cue {
            Cue::Answer => Ok(()),
            Cue::Fail(kind) => Err(RegistryError::new(kind, "on cue")),
            Cue::Hang => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Registry for FakeRegistry {
    async fn find(&self, key: &ImageKey) -> Result<Option<ImageRef>, RegistryError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.play().await?;
        self.store.find(key).await
    }

    async fn adopt(&self, key: &ImageKey, from: &ImageRef) -> Result<ImageRef, RegistryError> {
        self.play().await?;
        if self.adopts_something_else.load(Ordering::SeqCst) {
            return Ok(image("something else"));
        }
        self.store.adopt(key, from).await
    }
}

/// What a builder does with the next build.
#[derive(Clone, Copy, PartialEq)]
enum Build {
    Push,
    /// Waits for `go` first.
    Held,
    Fail(BuildErrorKind),
    Panic,
    Hang,
    /// Says that it built, but stores nothing, or something else.
    Forget,
    Mistake,
}

#[derive(Clone)]
struct FakeBuilder {
    into: MemoryRegistry,
    cues: Arc<Mutex<VecDeque<Build>>>,
    builds: Arc<AtomicUsize>,
    pushes: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    started: Arc<Notify>,
    go: Arc<Notify>,
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl FakeBuilder {
    fn new(into: &FakeRegistry) -> Self {
        Self {
            into: into.store.clone(),
            cues: Arc::default(),
            builds: Arc::default(),
            pushes: Arc::default(),
            running: Arc::default(),
            started: Arc::default(),
            go: Arc::default(),
        }
    }

    fn cue(self, cues: &[Build]) -> Self {
        self.cues.lock().unwrap().extend(cues);
        self
    }

    fn push(&self, key: ImageKey, image: &ImageRef) {
        self.pushes.fetch_add(1, Ordering::SeqCst);
        self.into.put(key, image.clone());
    }

    fn counts(&self) -> (usize, usize) {
        (self.builds.load(Ordering::SeqCst), self.pushes.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl ImageBuilder for FakeBuilder {
    async fn build(
        &self,
        key: &ImageKey,
        _: &ImageInputs,
        log: Arc<dyn BuildLog>,
    ) -> Result<ImageRef, BuildError> {
        self.builds.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.running.fetch_add(1, Ordering::SeqCst), 0, "two builds of one key at once");
        let _running = Running(Arc::clone(&self.running));
        log.line("building");
        self.started.notify_one();
        let cue = self.cues.lock().unwrap().pop_front().unwrap_or(Build::Push);
        // No two builds give the same image: whoever built a second time would be found out.
        let image = image(&format!("{key} {}", self.builds.load(Ordering::SeqCst)));
        match cue {
            Build::Push => self.push(*key, &image),
            Build::Held => {
                self.go.notified().await;
                self.push(*key, &image);
            }
            Build::Fail(kind) => {
                return Err(BuildError::new(kind, "on cue").with_log(vec!["last words".into()]));
            }
            Build::Panic => panic!("on cue"),
            Build::Hang => std::future::pending().await,
            Build::Forget => {}
            Build::Mistake => self.push(*key, &self::image("a mistake")),
        }
        Ok(image)
    }
}

fn image(content: &str) -> ImageRef {
    ImageRef::new("envs", Digest::of(content.as_bytes())).unwrap()
}

fn inputs(step: &str) -> ImageInputs {
    let base = "debian:12".parse().unwrap();
    ImageInputs::new(Platform::host(), base, Recipe::new("fake-1").unwrap()).step(step)
}

fn quiet() -> Arc<dyn BuildLog> {
    Arc::new(())
}

fn resolver(registry: &FakeRegistry, builder: &FakeBuilder) -> Resolver {
    Resolver::new(registry.clone(), builder.clone(), MemoryLock::default())
}

fn log() -> (Arc<Mutex<Vec<String>>>, Arc<dyn BuildLog>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&lines);
    (lines, Arc::new(move |line: &str| log.lock().unwrap().push(line.to_owned())))
}

/// Starts `count` callers, each in a task of its own.
fn callers(
    resolver: &Resolver,
    count: usize,
    inputs: &ImageInputs,
) -> Vec<tokio::task::JoinHandle<Result<Resolved, ResolveError>>> {
    let call = |_| {
        let (resolver, inputs) = (resolver.clone(), inputs.clone());
        tokio::spawn(async move { resolver.resolve(&inputs, quiet()).await })
    };
    (0..count).map(call).collect()
}

// === the order ===

#[tokio::test(start_paused = true)]
async fn r_img_2_workspace_then_global_then_build() {
    let (workspace, global) = (FakeRegistry::default(), FakeRegistry::default());
    let builder = FakeBuilder::new(&workspace);
    let (here, there, nowhere) = (inputs("here"), inputs("there"), inputs("nowhere"));
    workspace.store.put(here.key(), image("here"));
    global.store.put(here.key(), image("not this one"));
    global.store.put(there.key(), image("there"));
    let resolver = resolver(&workspace, &builder).with_global(global.clone(), GlobalUse::InPlace);

    let found = resolver.resolve(&here, quiet()).await.unwrap();
    assert_eq!(
        (found.origin, found.image, global.asked.load(Ordering::SeqCst)),
        (Origin::Workspace, image("here"), 0)
    );
    let found = resolver.resolve(&there, quiet()).await.unwrap();
    assert_eq!((found.origin, found.image), (Origin::Global, image("there")));
    assert_eq!(workspace.store.find(&there.key()).await.unwrap(), None, "used in place");
    assert_eq!(builder.counts(), (0, 0));
    let built = resolver.resolve(&nowhere, quiet()).await.unwrap();
    assert!(matches!(built.origin, Origin::Built { .. }));
    assert_eq!(builder.counts(), (1, 1));
    assert_eq!(resolver.resolve(&nowhere, quiet()).await.unwrap().origin, Origin::Workspace);
    assert_eq!(builder.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn r_img_2_a_global_image_is_adopted_by_digest() {
    let (workspace, global) = (FakeRegistry::default(), FakeRegistry::default());
    let builder = FakeBuilder::new(&workspace);
    let inputs = inputs("there");
    global.store.put(inputs.key(), image("there"));
    let resolver = resolver(&workspace, &builder).with_global(global.clone(), GlobalUse::Adopt);
    workspace.adopts_something_else.store(true, Ordering::SeqCst);
    let error = resolver.resolve(&inputs, quiet()).await.unwrap_err();
    assert!(matches!(error, ResolveError::Unverified { .. }), "{error}");
    workspace.adopts_something_else.store(false, Ordering::SeqCst);
    assert_eq!(resolver.resolve(&inputs, quiet()).await.unwrap().origin, Origin::Adopted);
    assert_eq!(resolver.resolve(&inputs, quiet()).await.unwrap().origin, Origin::Workspace);
    assert_eq!(builder.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn r_img_2_only_not_found_builds() {
    use RegistryErrorKind::{Invalid, Refused, TimedOut, Unavailable};
    let failures =
        [Cue::Fail(Unavailable), Cue::Fail(Refused), Cue::Fail(TimedOut), Cue::Fail(Invalid), Cue::Hang];
    for failure in failures {
        // The first or the second question of either registry: before the lock and under it.
        for (workspace_cues, global_cues, name) in [
            (vec![failure], vec![], "workspace"),
            (vec![Cue::Answer, failure], vec![], "workspace"),
            (vec![], vec![failure], "global"),
            (vec![], vec![Cue::Answer, failure], "global"),
        ] {
            let workspace = FakeRegistry::default().cue(&workspace_cues);
            let global = FakeRegistry::default().cue(&global_cues);
            let builder = FakeBuilder::new(&workspace);
            let resolver = resolver(&workspace, &builder).with_global(global, GlobalUse::InPlace);
            let error = resolver.resolve(&inputs("a"), quiet()).await.unwrap_err();
            let ResolveError::Registry { registry, source } = &error else { panic!("{error}") };
            assert_eq!(*registry, name);
            if failure == Cue::Hang {
                assert_eq!(source.kind(), TimedOut);
            }
            assert_eq!(builder.counts(), (0, 0), "{error}: {source}");
            assert_eq!(error.is_retryable(), matches!(source.kind(), Unavailable | TimedOut));
            // Once it answers again, the image is built.
            resolver.resolve(&inputs("a"), quiet()).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r_img_5_looks_again_under_the_lock() {
    /// Another process had the lock and built.
    struct Busy(MemoryRegistry);

    #[async_trait]
    impl Lock for Busy {
        async fn acquire(&self, key: &ImageKey) -> Result<Held, LockError> {
            self.0.put(*key, image("from another process"));
            Ok(Held::new(()))
        }
    }

    let registry = FakeRegistry::default();
    let builder = FakeBuilder::new(&registry);
    let resolver = Resolver::new(registry.clone(), builder.clone(), Busy(registry.store.clone()));
    let found = resolver.resolve(&inputs("a"), quiet()).await.unwrap();
    assert_eq!((found.image, found.origin), (image("from another process"), Origin::Workspace));
    assert_eq!(builder.counts(), (0, 0));
}

// === one build ===

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r_img_5_a_thousand_concurrent_callers_get_one_build_and_one_image() {
    let registry = FakeRegistry::default();
    let builder = FakeBuilder::new(&registry).cue(&[Build::Held]);
    let resolver = resolver(&registry, &builder);
    let callers = callers(&resolver, 1000, &inputs("a"));
    builder.started.notified().await;
    builder.go.notify_one();
    let mut images = Vec::new();
    for caller in callers {
        images.push(caller.await.unwrap().unwrap().image);
    }
    images.dedup();
    assert_eq!(images.len(), 1);
    assert_eq!(builder.counts(), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r_img_5_resolvers_of_one_process_share_one_build_through_the_lock() {
    let (registry, folder) = (FakeRegistry::default(), tempfile::tempdir().unwrap());
    let builder = FakeBuilder::new(&registry);
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let lock = FileLock::open(folder.path()).unwrap();
        let resolver = Resolver::new(registry.clone(), builder.clone(), lock);
        tasks.extend(callers(&resolver, 20, &inputs("a")));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(builder.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn r_img_5_a_caller_that_leaves_ends_nothing_and_the_last_one_ends_the_build() {
    let registry = FakeRegistry::default();
    let builder = FakeBuilder::new(&registry).cue(&[Build::Held, Build::Hang]);
    let resolver = resolver(&registry, &builder);
    let mut tasks = callers(&resolver, 3, &inputs("a"));
    builder.started.notified().await;
    let stays = tasks.pop().unwrap();
    for leaves in tasks {
        leaves.abort();
        assert!(leaves.await.unwrap_err().is_cancelled());
    }
    builder.go.notify_one();
    stays.await.unwrap().unwrap();

    let tasks = callers(&resolver, 2, &inputs("b"));
    builder.started.notified().await;
    for leaves in tasks {
        assert_eq!(builder.running.load(Ordering::SeqCst), 1);
        leaves.abort();
        let _ = leaves.await;
    }
    while builder.running.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(builder.counts(), (2, 1));
    resolver.resolve(&inputs("b"), quiet()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r_img_5_a_builder_that_dies_is_replaced_by_the_next_callers() {
    let registry = FakeRegistry::default();
    let builder = FakeBuilder::new(&registry).cue(&[Build::Panic, Build::Fail(BuildErrorKind::Died)]);
    let resolver = resolver(&registry, &builder);
    for caller in callers(&resolver, 20, &inputs("a")) {
        assert!(matches!(caller.await.unwrap(), Err(ResolveError::Died)));
    }
    for caller in callers(&resolver, 20, &inputs("a")) {
        let error = caller.await.unwrap().unwrap_err();
        assert!(
            matches!(&error, ResolveError::Build(error) if error.kind() == BuildErrorKind::Died),
            "{error}"
        );
    }
    resolver.resolve(&inputs("a"), quiet()).await.unwrap();
    assert_eq!(builder.counts(), (3, 1));
}

// === failures ===

#[tokio::test(start_paused = true)]
async fn r_img_5_a_failed_build_is_told_to_everybody_and_backs_off() {
    let registry = FakeRegistry::default();
    let failed = Build::Fail(BuildErrorKind::Failed);
    let builder = FakeBuilder::new(&registry).cue(&[failed; 8]);
    let resolver = resolver(&registry, &builder);
    for caller in callers(&resolver, 50, &inputs("a")) {
        let error = caller.await.unwrap().unwrap_err();
        let ResolveError::Build(error) = error else { panic!("{error}") };
        assert_eq!(error.log(), ["last words"]);
    }
    for (failures, seconds) in [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 600), (7, 600)] {
        assert_eq!(builder.counts().0, failures);
        let error = resolver.resolve(&inputs("a"), quiet()).await.unwrap_err();
        let ResolveError::BackingOff { retry_after, failures: counted, source } = &error else {
            panic!("{error}")
        };
        assert_eq!((retry_after.as_secs(), *counted as usize), (seconds, failures));
        assert!(source.to_string().contains("last words"), "{source}");
        // Another image is not concerned, and neither is a look-up.
        assert_eq!(resolver.find(&inputs("a").key()).await.unwrap(), None);
        tokio::time::advance(*retry_after).await;
        assert!(matches!(resolver.resolve(&inputs("a"), quiet()).await, Err(ResolveError::Build(_))));
    }
    resolver.forget(&inputs("a").key());
    resolver.resolve(&inputs("a"), quiet()).await.unwrap();
    assert_eq!(builder.counts(), (9, 1));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_turns_up_lifts_the_back_off() {
    let registry = FakeRegistry::default();
    let failed = Build::Fail(BuildErrorKind::Failed);
    let builder = FakeBuilder::new(&registry).cue(&[failed, failed]);
    let resolver = resolver(&registry, &builder);
    assert!(resolver.resolve(&inputs("a"), quiet()).await.is_err());
    registry.store.put(inputs("a").key(), image("by hand"));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(resolver.resolve(&inputs("a"), quiet()).await.unwrap().image, image("by hand"));
    registry.store.remove(&inputs("a").key());
    assert!(matches!(resolver.resolve(&inputs("a"), quiet()).await, Err(ResolveError::Build(_))));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_inputs_does_not_back_off() {
    let registry = FakeRegistry::default();
    let builder = FakeBuilder::new(&registry)
        .cue(&[Build::Fail(BuildErrorKind::Refused), Build::Fail(BuildErrorKind::Unavailable)]);
    let resolver = resolver(&registry, &builder);
    for kind in [BuildErrorKind::Refused, BuildErrorKind::Unavailable] {
        let error = resolver.resolve(&inputs("a"), quiet()).await.unwrap_err();
        assert!(matches!(&error, ResolveError::Build(error) if error.kind() == kind), "{error}");
    }
    resolver.resolve(&inputs("a"), quiet()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r_img_4_what_was_built_is_verified_by_digest() {
    let registry = FakeRegistry::default();
    let builder = FakeBuilder::new(&registry).cue(&[Build::Forget, Build::Mistake]);
    let resolver = resolver(&registry, &builder);
    let error = resolver.resolve(&inputs("a"), quiet()).await.unwrap_err();
    assert!(matches!(&error, ResolveError::Unverified { found: None, .. }), "{error}");
    assert!(error.to_string().contains("nothing under this key"), "{error}");
    assert!(matches!(resolver.resolve(&inputs("a"), quiet()).await, Err(ResolveError::BackingOff { .. })));
    let error = resolver.resolve(&inputs("b"), quiet()).await.unwrap_err();
    assert!(
        matches!(&error, ResolveError::Unverified { found: Some(found), .. } if *found == image("a mistake"))
    );
}

#[tokio::test(start_paused = true)]
async fn every_wait_has_an_end() {
    let settings = Settings {
        find_wait: Duration::from_secs(1),
        adopt_wait: Duration::from_secs(2),
        lock_wait: Duration::from_secs(3),
        build_wait: Duration::from_secs(4),
        ..Settings::default()
    };
    let waited = |start: tokio::time::Instant| start.elapsed().as_secs();

    let registry = FakeRegistry::default().cue(&[Cue::Hang]);
    let builder = FakeBuilder::new(&registry).cue(&[Build::Hang]);
    let lock = MemoryLock::default();
    let resolver =
        Resolver::new(registry.clone(), builder.clone(), lock.clone()).with_settings(settings.clone());
    let start = tokio::time::Instant::now();
    let error = resolver.resolve(&inputs("a"), quiet()).await.unwrap_err();
    assert!(matches!(error, ResolveError::Registry { .. }));
    assert_eq!(waited(start), 1);

    let held = lock.acquire(&inputs("a").key()).await.unwrap();
    let start = tokio::time::Instant::now();
    let error = resolver.resolve(&inputs("a"), quiet()).await.unwrap_err();
    assert!(
        matches!(&error, ResolveError::Lock(error) if error.kind() == LockErrorKind::TimedOut),
        "{error}"
    );
    assert_eq!((waited(start), builder.counts()), (3, (0, 0)));
    drop(held);

    let start = tokio::time::Instant::now();
    let error = resolver.resolve(&inputs("a"), quiet()).await.unwrap_err();
    assert!(
        matches!(&error, ResolveError::Build(error) if error.kind() == BuildErrorKind::TimedOut),
        "{error}"
    );
    assert_eq!((waited(start), builder.running.load(Ordering::SeqCst)), (4, 0));
    assert!(matches!(resolver.resolve(&inputs("a"), quiet()).await, Err(ResolveError::BackingOff { .. })));

    let global = FakeRegistry::default();
    global.store.put(inputs("b").key(), image("b"));
    let workspace = FakeRegistry::default().cue(&[Cue::Answer, Cue::Hang]);
    let resolver =
        Resolver::new(workspace, builder, lock).with_settings(settings).with_global(global, GlobalUse::Adopt);
    let start = tokio::time::Instant::now();
    assert!(matches!(resolver.resolve(&inputs("b"), quiet()).await, Err(ResolveError::Registry { .. })));
    assert_eq!(waited(start), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_cannot_be_asked_builds_nothing() {
    struct Broken;

    #[async_trait]
    impl Lock for Broken {
        async fn acquire(&self, _: &ImageKey) -> Result<Held, LockError> {
            Err(LockError::new(LockErrorKind::Unavailable, "on cue"))
        }
    }

    let registry = FakeRegistry::default();
    let builder = FakeBuilder::new(&registry);
    let resolver = Resolver::new(registry, builder.clone(), Broken);
    assert!(matches!(resolver.resolve(&inputs("a"), quiet()).await, Err(ResolveError::Lock(_))));
    assert_eq!(builder.counts(), (0, 0));
}

// === what is remembered ===

#[tokio::test(start_paused = true)]
async fn r_img_2_not_there_is_believed_for_five_seconds_and_never_under_the_lock() {
    let registry = FakeRegistry::default();
    let builder = FakeBuilder::new(&registry);
    let resolver = resolver(&registry, &builder);
    let key = inputs("a").key();
    for _ in 0..3 {
        assert_eq!(resolver.find(&key).await.unwrap(), None);
    }
    assert_eq!(registry.asked.load(Ordering::SeqCst), 1);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(resolver.find(&key).await.unwrap(), None);
    assert_eq!(registry.asked.load(Ordering::SeqCst), 2);

    // Somebody else pushes; what is believed is found out under the lock, and nothing is built.
    registry.store.put(key, image("pushed by another"));
    assert_eq!(resolver.find(&key).await.unwrap(), None);
    let found = resolver.resolve(&inputs("a"), quiet()).await.unwrap();
    assert_eq!((found.image.clone(), builder.counts()), (image("pushed by another"), (0, 0)));
    assert_eq!(resolver.find(&key).await.unwrap(), Some(found));
}

#[tokio::test(start_paused = true)]
async fn r_img_6_a_miss_explains_itself_against_the_nearest_inputs_seen() {
    let registry = FakeRegistry::default();
    let builder = FakeBuilder::new(&registry);
    let resolver = resolver(&registry, &builder);
    let far = inputs("one").step("two").step("three");
    let near = inputs("one").step("two");
    for inputs in [&near, &far] {
        resolver.resolve(inputs, quiet()).await.unwrap();
    }
    let (lines, log) = log();
    let wanted = inputs("one").step("other");
    let resolved = resolver.resolve(&wanted, log).await.unwrap();
    let Origin::Built { nearest: Some((key, explanation)) } = resolved.origin else { panic!("nothing near") };
    assert_eq!(key, near.key());
    assert_eq!(explanation, wanted.explain(&near));
    let lines = lines.lock().unwrap().join("\n");
    assert!(lines.contains(&format!("no registry has {}", wanted.key())), "{lines}");
    assert!(lines.contains("steps[1]: \"other\" here, \"two\" there"), "{lines}");
    assert!(lines.ends_with("building"), "{lines}");
}

#[tokio::test(start_paused = true)]
async fn everybody_aboard_gets_the_log() {
    let registry = FakeRegistry::default();
    let builder = FakeBuilder::new(&registry).cue(&[Build::Held]);
    let resolver = resolver(&registry, &builder);
    let (first, first_log) = log();
    let (late, late_log) = log();
    let call = |log| {
        let resolver = resolver.clone();
        tokio::spawn(async move { resolver.resolve(&inputs("a"), log).await.unwrap() })
    };
    let one = call(first_log);
    builder.started.notified().await;
    let two = call(late_log);
    while late.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    builder.go.notify_one();
    assert_eq!(one.await.unwrap().image, two.await.unwrap().image);
    assert_eq!(*first.lock().unwrap(), *late.lock().unwrap());
    assert!(first.lock().unwrap().iter().any(|line| line == "building"));
}
