//! Base images made of this machine's own programs, in a registry of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portway_hashing::ImageRef;
use tempfile::TempDir;

use super::registry::{DockerRegistry, PASSWORD, USER, is_there};
use super::wheel;

/// `buildah` as the tests themselves use it, apart from what they test.
pub(crate) struct Buildah {
    folder: TempDir,
}

impl Buildah {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("buildah");
        let at = |name: &str| self.folder.path().join(name);
        command.arg("--root").arg(at("storage")).arg("--runroot").arg(at("run"));
        command
    }

    /// What it says; it has to go well.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        said(&self.command().args(arguments).output().unwrap())
    }

    /// Pushes the tree `root` as `host/name` into `registry`.
    pub(crate) fn push_tree(&self, registry: &DockerRegistry, root: &Path, name: &str) {
        let container = self.run(&["from", "scratch"]);
        self.run(&["copy", "-q", &container, root.to_str().unwrap(), "/"]);
        let image = self.run(&["commit", "-q", "--rm", &container]);
        let mut push = self.command();
        push.args(["push", "-q"]);
        self.for_registry(&mut push, registry);
        said(&push.arg(image).arg(format!("docker://{}/{name}", registry.host())).output().unwrap());
    }

    /// A container of an image.
    pub(crate) fn from(&self, registry: &DockerRegistry, image: &ImageRef) -> String {
        let mut from = self.command();
        from.args(["from", "-q"]);
        self.for_registry(&mut from, registry);
        said(&from.arg(format!("docker://{image}")).output().unwrap())
    }

    fn for_registry(&self, command: &mut Command, registry: &DockerRegistry) {
        command.args(["--creds", &format!("{USER}:{PASSWORD}")]);
        match registry.ca() {
            Some(ca) => {
                let folder = self.folder.path().join("certificates");
                fs::create_dir_all(&folder).unwrap();
                fs::copy(ca, folder.join("ca.crt")).unwrap();
                command.arg("--cert-dir").arg(folder);
            }
            None => _ = command.arg("--tls-verify=false"),
        }
    }
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A root with a shell, `sleep` and `setsid`.
pub(crate) fn tiny_root(folder: &Path) -> PathBuf {
    make(folder, &[])
}

/// The same with this machine's Python, and the package `greeting` in `/wheels`.
pub(crate) fn python_root(folder: &Path) -> PathBuf {
    let root = make(folder, &["python"]);
    wheel::make(&root.join("wheels"));
    root
}

fn make(folder: &Path, arguments: &[&str]) -> PathBuf {
    let root = folder.join(if arguments.is_empty() { "tiny" } else { "python" });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/base.py");
    said(&Command::new(python()).arg(script).arg(&root).args(arguments).output().unwrap());
    root
}

/// The system's one if there is one: it is smaller than what people install beside it.
pub(crate) fn python() -> &'static str {
    if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" }
}

/// Whether these tests can run here; says in a line what is missing.
pub(crate) fn can_build() -> bool {
    // All are looked for, so that each is named.
    ["buildah", "docker-registry", "python3"].map(is_there).iter().all(|there| *there)
}
