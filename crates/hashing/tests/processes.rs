//! Several processes, one build: this test starts itself again.
#![cfg(feature = "resolve")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portway_hashing::resolve::{
    BuildError, BuildLog, FileLock, ImageBuilder, Registry, RegistryError, RegistryErrorKind, Resolver,
};
use portway_hashing::{Digest, ImageInputs, ImageKey, ImageRef, Platform, Recipe};

const FOLDER: &str = "PORTWAY_TEST_FOLDER";
const ROLE: &str = "PORTWAY_TEST_ROLE";

/// One file a key, renamed into place.
#[derive(Clone)]
struct Folder(PathBuf);

impl Folder {
    fn note(&self, name: &str, line: &str) {
        let mut file = fs::File::options().create(true).append(true).open(self.0.join(name)).unwrap();
        // In one call: other processes write here too.
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn lines(&self, name: &str) -> usize {
        fs::read_to_string(self.0.join(name)).map_or(0, |text| text.lines().count())
    }
}

#[async_trait]
impl Registry for Folder {
    async fn find(&self, key: &ImageKey) -> Result<Option<ImageRef>, RegistryError> {
        match fs::read_to_string(self.0.join(key.to_string())) {
            Ok(text) => Ok(Some(text.parse().unwrap())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RegistryError::new(RegistryErrorKind::Unavailable, error.to_string())),
        }
    }

    async fn adopt(&self, _: &ImageKey, _: &ImageRef) -> Result<ImageRef, RegistryError> {
        Err(RegistryError::new(RegistryErrorKind::Refused, "there is no other"))
    }
}

/// Builds once all processes have come, or never.
struct Builder {
    folder: Folder,
    role: String,
}

#[async_trait]
impl ImageBuilder for Builder {
    async fn build(
        &self,
        key: &ImageKey,
        _: &ImageInputs,
        _: Arc<dyn BuildLog>,
    ) -> Result<ImageRef, BuildError> {
        let process = std::process::id().to_string();
        self.folder.note("builds", &process);
        match self.role.as_str() {
            "hang" => std::future::pending().await,
            "three" => until(|| self.folder.lines("came") == 3).await,
            _ => {}
        }
        let image = ImageRef::new("envs", Digest::of(process.as_bytes())).unwrap();
        let aside = self.folder.0.join(format!("aside-{process}"));
        fs::write(&aside, image.to_string()).unwrap();
        fs::rename(&aside, self.folder.0.join(key.to_string())).unwrap();
        self.folder.note("pushes", &process);
        Ok(image)
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn inputs() -> ImageInputs {
    let base = "debian:12".parse().unwrap();
    ImageInputs::new(Platform::host(), base, Recipe::new("fake-1").unwrap())
}

/// What a process that the tests start does: a hundred callers over four resolvers. Does nothing on its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Folder(folder.into());
    let role = std::env::var(ROLE).unwrap();
    folder.note("came", &role);
    let mut callers = Vec::new();
    for _ in 0..4 {
        let builder = Builder { folder: folder.clone(), role: role.clone() };
        let lock = FileLock::open(folder.0.join("locks")).unwrap();
        let resolver = Resolver::new(folder.clone(), builder, lock);
        for _ in 0..25 {
            let resolver = resolver.clone();
            callers.push(tokio::spawn(async move { resolver.resolve(&inputs(), Arc::new(())).await }));
        }
    }
    for caller in callers {
        let image = caller.await.unwrap().unwrap().image;
        folder.note("images", &image.to_string());
    }
}

/// A process of this program that runs the worker alone.
struct Worker(Child);

impl Worker {
    fn start(folder: &Path, role: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "worker"]).env(FOLDER, folder).env(ROLE, role).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn succeeds(mut self) {
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn images(folder: &Folder) -> Vec<String> {
    let text = fs::read_to_string(folder.0.join("images")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn r_img_5_three_processes_with_a_hundred_callers_each_build_once() {
    let folder = tempfile::tempdir().unwrap();
    let workers = [(); 3].map(|()| Worker::start(folder.path(), "three"));
    workers.into_iter().for_each(Worker::succeeds);
    let folder = Folder(folder.path().to_owned());
    assert_eq!((folder.lines("builds"), folder.lines("pushes")), (1, 1));
    let mut images = images(&folder);
    assert_eq!(images.len(), 300);
    images.dedup();
    assert_eq!(images.len(), 1);
}

#[tokio::test]
async fn r_img_5_when_a_builder_is_killed_half_way_the_next_one_builds() {
    let folder = tempfile::tempdir().unwrap();
    let notes = Folder(folder.path().to_owned());
    let mut dies = Worker::start(folder.path(), "hang");
    until(|| notes.lines("builds") == 1).await;
    let next = Worker::start(folder.path(), "build");
    until(|| notes.lines("came") == 2).await;
    assert_eq!(notes.lines("builds"), 1, "the lock is held");
    dies.0.kill().unwrap();
    dies.0.wait().unwrap();
    next.succeeds();
    assert_eq!((notes.lines("builds"), notes.lines("pushes")), (2, 1));
    assert_eq!(images(&notes).len(), 100);
}
