//! What `buildah` is asked to do, and what its answers mean.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portway_hashing::resolve::{BuildError, BuildErrorKind, BuildLog};
use portway_hashing::{Digest, ImageKey, ImageRef, Platform};

use super::base::Base;
use super::plan::{EPOCH, Plan};
use super::work::Work;
use super::{BuildahBuilder, annotations, cannot, write};
use crate::OciRegistry;
use crate::run::Command;

/// `buildah` for one build.
pub(super) struct Tool<'a> {
    builder: &'a BuildahBuilder,
    work: &'a Arc<Work>,
    platform: &'a Platform,
    log: &'a Arc<dyn BuildLog>,
}

/// Which storage a command works in.
#[derive(Clone, Copy)]
enum Storage {
    /// Of all builds: base images only.
    Bases,
    /// Of this one, over the base images.
    Build,
}

impl<'a> Tool<'a> {
    pub(super) async fn new(
        builder: &'a BuildahBuilder,
        work: &'a Arc<Work>,
        platform: &'a Platform,
        log: &'a Arc<dyn BuildLog>,
    ) -> Result<Self, BuildError> {
        let bases = work.shared("bases").join("storage");
        // The storage of a build reads the other one, which therefore has to be there.
        fs::create_dir_all(&bases).map_err(|error| cannot("create", &bases, error))?;
        let tool = Self { builder, work, platform, log };
        let driver = match &builder.storage_driver {
            Some(driver) => driver.clone(),
            None => tool.usual_driver(&bases).await?,
        };
        tool.set_up(Some(&driver), &bases)?;
        Ok(tool)
    }

    /// The storage driver that `buildah` takes when it is not told which. It complains about that, so it is told from then on.
    async fn usual_driver(&self, bases: &Path) -> Result<String, BuildError> {
        self.set_up(None, bases)?;
        let command = self.command(Storage::Bases, "info").args(["--format", "{{.store.GraphDriverName}}"]);
        let said = command.output("ask buildah for its storage driver", &(Arc::new(()) as _)).await?;
        Ok(said.trim().to_owned())
    }

    fn set_up(&self, driver: Option<&str>, bases: &Path) -> Result<(), BuildError> {
        let run = self.work.shared("bases").join("run");
        write(&self.work.path(Storage::Bases.settings()), &storage(driver, bases, &run, None))?;
        let (root, run) = (self.work.path("storage"), self.work.path("run"));
        write(&self.work.path(Storage::Build.settings()), &storage(driver, &root, &run, Some(bases)))
    }

    /// Fetches the base image for the platform, and looks what it is.
    pub(super) async fn pull(&self, plan: &Plan) -> Result<Base, BuildError> {
        let name = &plan.base;
        let command = self.command(Storage::Bases, "pull").args(["--policy", "always"]);
        let command = self.for_platform(command);
        let access = self.access(name.repository.host())?;
        let pulled =
            access.add_to(command).arg(name.to_string()).output("pull the base image", self.log).await;
        let id = pulled.map_err(|error| not_pulled(&name.to_string(), error))?;
        drop(access);
        let id = id.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let command = self.command(Storage::Bases, "inspect").args(["--type", "image"]).arg(id.trim());
        Base::read(name.clone(), &command.output("inspect the base image", self.log).await?)
    }

    /// Carries the Containerfile out. The id of the image.
    pub(super) async fn build(
        &self,
        key: &ImageKey,
        base: &Base,
        containerfile: &Path,
        context: &Path,
    ) -> Result<String, BuildError> {
        let id = self.work.path("id");
        let command =
            self.command(Storage::Build, "build").args(["--format", "oci", "--layers=false", "--pull-never"]);
        let mut command = self.for_platform(command).args(["--isolation", self.builder.isolation.name()]);
        for (name, value) in annotations(key, base).iter() {
            command = command.arg("--annotation").arg(format!("{name}={value}"));
        }
        if let Some(path) = &self.builder.pip_configuration {
            command = command.arg("--secret").arg(format!("id=pip,src={}", path.display()));
        }
        let command = command.arg("--timestamp").arg(EPOCH.to_string()).arg("--iidfile").arg(&id);
        let command = command.arg("--file").arg(containerfile).arg(context);
        command.run("build the image", self.log).await.map_err(explained)?;
        read(&id)
    }

    /// Pushes the image `id` under the key's tag.
    pub(super) async fn push(&self, key: &ImageKey, id: &str) -> Result<ImageRef, BuildError> {
        let repository = self.builder.registry.settings().repository();
        let digest = self.work.path("digest");
        let access = self.access(repository.host())?;
        let command = access.add_to(self.command(Storage::Build, "push")).arg("--digestfile").arg(&digest);
        let to = format!("docker://{repository}:{}", OciRegistry::tag(key));
        let pushed = command.arg(id).arg(to).run("push the image", self.log).await;
        pushed.map_err(|error| as_kind(BuildErrorKind::Unavailable, error))?;
        drop(access);
        let digest: Digest = read(&digest)?.parse().map_err(|error| {
            BuildError::new(BuildErrorKind::Died, "buildah pushed, but named no digest").with_source(error)
        })?;
        Ok(repository.image(digest))
    }

    fn command(&self, storage: Storage, what: &str) -> Command {
        // The tool's temporary files are the build's: they go with it.
        Command::new(&self.builder.program, REMEDY)
            .env("CONTAINERS_STORAGE_CONF", self.work.path(storage.settings()))
            .env("TMPDIR", self.work.temporary())
            .on(Arc::clone(self.work) as _)
            .args([what])
    }

    fn for_platform(&self, command: Command) -> Command {
        let command =
            command.arg("--os").arg(self.platform.os()).arg("--arch").arg(self.platform.architecture());
        match self.platform.variant() {
            Some(variant) => command.arg("--variant").arg(variant),
            None => command,
        }
    }

    /// How to speak to `host`: as the builder's registry says if it is that one.
    fn access(&self, host: &str) -> Result<Access, BuildError> {
        let registry = &self.builder.registry;
        let settings = registry.settings();
        if host != settings.repository().host() {
            let auth_file = self.builder.auth_file.clone();
            return Ok(Access { auth_file, own: false, plain_http: false, certificates: None });
        }
        let path = self.work.path("auth.json");
        let written = registry.write_auth_file(&path).map_err(|error| cannot("write", &path, error))?;
        if !written {
            // Nobody in particular asks: not one of this machine's logins either.
            write(&path, r#"{"auths": {}}"#)?;
        }
        let (auth_file, plain_http) = (Some(path), settings.is_plain_http());
        let mut access = Access { auth_file, own: true, plain_http, certificates: None };
        if let Some(trusted) = settings.trusted() {
            let folder = self.work.path("certificates");
            let copied = fs::create_dir_all(&folder).and_then(|()| fs::copy(trusted, folder.join("ca.crt")));
            copied.map_err(|error| cannot("copy", trusted, error))?;
            access.certificates = Some(folder);
        }
        Ok(access)
    }
}

impl Storage {
    const fn settings(self) -> &'static str {
        match self {
            Self::Bases => "bases.conf",
            Self::Build => "storage.conf",
        }
    }
}

/// How to speak to one registry. A file of ours that says who asks goes with this value.
struct Access {
    auth_file: Option<PathBuf>,
    own: bool,
    plain_http: bool,
    certificates: Option<PathBuf>,
}

impl Access {
    fn add_to(&self, mut command: Command) -> Command {
        if let Some(path) = &self.auth_file {
            command = command.arg("--authfile").arg(path);
        }
        if let Some(folder) = &self.certificates {
            command = command.arg("--cert-dir").arg(folder);
        }
        if self.plain_http { command.args(["--tls-verify=false"]) } else { command }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if let Some(path) = self.auth_file.take().filter(|_| self.own) {
            // The folder goes as well; this is sooner: steps do not run beside it.
            let _ = fs::remove_file(path);
        }
    }
}

/// The settings of a storage, in the form of `containers-storage.conf`.
fn storage(driver: Option<&str>, root: &Path, run: &Path, over: Option<&Path>) -> String {
    // Strings of JSON are strings of TOML.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let driver = driver.map_or_else(String::new, |driver| format!("driver = {}\n", quoted(driver)));
    let mut text = format!("[storage]\n{driver}graphroot = {}\nrunroot = {}\n", path(root), path(run));
    if let Some(over) = over {
        text.push_str(&format!("[storage.options]\nadditionalimagestores = [{}]\n", path(over)));
    }
    text
}

/// Whether there is no such base image, or it could not be had.
fn not_pulled(name: &str, error: BuildError) -> BuildError {
    if error.kind() != BuildErrorKind::Failed {
        return error;
    }
    let said = error.log().join("\n");
    let theirs =
        ["manifest unknown", "name unknown", "not found", "unauthorized", "denied", "no image found"];
    let kind = match theirs.iter().any(|words| said.contains(words)) {
        true => BuildErrorKind::Failed,
        false => BuildErrorKind::Unavailable,
    };
    BuildError::new(kind, format!("could not pull the base image {name}")).with_log(error.log().to_vec())
}

/// What our own script said goes first.
fn explained(error: BuildError) -> BuildError {
    match error.log().iter().rev().find_map(|line| line.strip_prefix("portway: ")) {
        Some(said) => BuildError::new(error.kind(), said).with_log(error.log().to_vec()),
        None => error,
    }
}

fn as_kind(kind: BuildErrorKind, error: BuildError) -> BuildError {
    match error.kind() {
        BuildErrorKind::Failed => {
            BuildError::new(kind, "could not push the image").with_log(error.log().to_vec())
        }
        _ => error,
    }
}

fn read(path: &Path) -> Result<String, BuildError> {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| cannot("read", path, error))
}

const REMEDY: &str = "install it (on Debian and Ubuntu: the package buildah) or name its path with `program`";
