mod plan;
mod probe;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use portway_hashing::resolve::{BuildError, BuildErrorKind, BuildLog, ImageBuilder};
use portway_hashing::{Digest, ImageInputs, ImageKey, ImageRef, Recipe};

use crate::packages::Packages;
use crate::run::Command;
use crate::{DirRegistry, Environment, Interpreter};
use probe::{Installer, NO_PYTHON, Python};

/// Builds a Python venv from the pip section of a conda document, and records it in a [`DirRegistry`].
///
/// Without a pip section there is nothing to build: the environment is the interpreter as it stands. What a venv can't honour
/// is refused, with the remedy: conda packages other than `python` and `pip`, docker steps, and pip lines that name other files, whose
/// content would not be in the key. The base image is not used; the log says so.
///
/// ```
/// use portway_images::{DirRegistry, VenvBuilder};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let registry = DirRegistry::open(folder.path().join("images"))?;
/// let builder = VenvBuilder::new(registry, folder.path().join("venvs")).python("python3.11").pip_argument("--no-index");
/// # let _ = builder;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct VenvBuilder {
    registry: DirRegistry,
    folder: PathBuf,
    python: OsString,
    pip_arguments: Vec<OsString>,
}

impl VenvBuilder {
    /// Builds below `folder` with `python3` from the search path.
    pub fn new(registry: DirRegistry, folder: impl Into<PathBuf>) -> Self {
        Self { registry, folder: folder.into(), python: "python3".into(), pip_arguments: Vec::new() }
    }

    /// Uses another interpreter, by name or path.
    #[must_use]
    pub fn python(mut self, program: impl Into<OsString>) -> Self {
        self.python = program.into();
        self
    }

    /// Adds an argument to `pip install`, to say where packages come from. It is not in the key.
    #[must_use]
    pub fn pip_argument(mut self, argument: impl Into<OsString>) -> Self {
        self.pip_arguments.push(argument.into());
        self
    }

    /// The recipe to put into the inputs of an image that this builder builds.
    ///
    /// # Panics
    /// Never: the name is a good one.
    #[must_use]
    pub fn recipe() -> Recipe {
        Recipe::new("venv-1").expect("lower-case letters, a digit and a dash")
    }

    /// The system's interpreter as an environment.
    async fn bare(&self, python: &Python) -> Result<Environment, BuildError> {
        let interpreter = interpreter(python).await?;
        let image = image(&interpreter, &[])?;
        Ok(Environment { image, python: python.executable.clone(), interpreter, packages: Vec::new() })
    }

    /// A new venv in a folder of its own. A venv can't be moved, hence it is built where it will stay, and counts only once
    /// it is recorded.
    async fn venv(
        &self,
        key: &ImageKey,
        plan: &Packages,
        python: &Python,
        log: &Arc<dyn BuildLog>,
    ) -> Result<Environment, BuildError> {
        fs::create_dir_all(&self.folder).map_err(|error| cannot("create", &self.folder, error))?;
        self.remove_unfinished(key);
        let folder = self.fresh_folder(key)?;
        let unfinished = Unfinished(Some(folder.clone()));
        let venv_python = self.install(&folder, plan, python, log).await?;
        let installed = probe::installed(&venv_python).await?;
        let interpreter = interpreter(python).await?;
        let image = image(&interpreter, &installed)?;
        unfinished.keep();
        let packages = installed.into_iter().map(|package| package.requirement).collect();
        Ok(Environment { image, python: venv_python, interpreter, packages })
    }

    async fn install(
        &self,
        folder: &Path,
        plan: &Packages,
        python: &Python,
        log: &Arc<dyn BuildLog>,
    ) -> Result<PathBuf, BuildError> {
        let requirements = folder.join("requirements.txt");
        let text = plan.requirements.join("\n") + "\n";
        fs::write(&requirements, text).map_err(|error| cannot("write", &requirements, error))?;
        let venv = folder.join("venv");
        let venv_python = venv.join("bin").join("python");
        let installer = python.installer()?;
        let mut create = Command::new(&python.executable, NO_PYTHON).args(["-I", "-m", "venv"]);
        if installer == Installer::Own {
            create = create.args(["--without-pip"]);
        }
        create.arg(&venv).run("create the venv", log).await?;
        let pip = match installer {
            Installer::Own => Command::new(&python.executable, NO_PYTHON)
                .args(["-I", "-m", "pip", "--python"])
                .arg(&venv_python),
            Installer::Bundled => Command::new(&venv_python, NO_PYTHON).args(["-I", "-m", "pip"]),
        };
        let pip = pip.args(["install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]);
        let pip = self.pip_arguments.iter().fold(pip, |pip, argument| pip.arg(argument));
        pip.arg("--requirement").arg(&requirements).run("install the pip section", log).await?;
        Ok(venv_python)
    }

    /// A folder that nobody has: builders that died may have left some, and one may even still be written to.
    fn fresh_folder(&self, key: &ImageKey) -> Result<PathBuf, BuildError> {
        for attempt in 0..1000 {
            let folder = self.folder.join(format!("{key}-{attempt}"));
            match fs::create_dir(&folder) {
                Ok(()) => {
                    return fs::canonicalize(&folder).map_err(|error| cannot("find", &folder, error));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot("create", &folder, error)),
            }
        }
        let message = format!("{} is full of unfinished builds of {key}; remove them", self.folder.display());
        Err(BuildError::new(BuildErrorKind::Unavailable, message))
    }

    /// Removes what earlier builds of `key` left. The caller holds the lock and found no image; but an environment that was
    /// recorded once may still have replicas running in it, even if its interpreter was upgraded since.
    fn remove_unfinished(&self, key: &ImageKey) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let prefix = format!("{key}-");
        let recorded = self.registry.recorded(key).map(|environment| environment.python);
        for entry in entries.flatten() {
            let folder = fs::canonicalize(entry.path()).unwrap_or_else(|_| entry.path());
            let in_use = recorded.as_ref().is_some_and(|python| python.starts_with(&folder));
            if !in_use && entry.file_name().to_string_lossy().starts_with(&prefix) {
                // What can't be removed is in nobody's way: the next build takes another name.
                let _ = fs::remove_dir_all(folder);
            }
        }
    }
}

#[async_trait]
impl ImageBuilder for VenvBuilder {
    async fn build(
        &self,
        key: &ImageKey,
        inputs: &ImageInputs,
        log: Arc<dyn BuildLog>,
    ) -> Result<ImageRef, BuildError> {
        let plan = plan::plan(inputs)?;
        let python = probe::python(&self.python).await?;
        plan::check_version(&plan, &python.version)?;
        log.line(&format!(
            "python {} in {}; the base image is not used",
            python.version,
            python.executable.display()
        ));
        let environment = if plan.requirements.is_empty() {
            log.line("nothing to install: the interpreter is used as it stands");
            self.bare(&python).await?
        } else {
            self.venv(key, &plan, &python, &log).await?
        };
        self.registry.put(key, &environment).map_err(|error| {
            BuildError::new(BuildErrorKind::Unavailable, "the environment could not be recorded")
                .with_source(error)
        })?;
        log.line(&format!("environment {} stands", environment.image));
        Ok(environment.image)
    }
}

/// Removes a folder again unless it is kept.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(folder) = self.0.take() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

async fn interpreter(python: &Python) -> Result<Interpreter, BuildError> {
    let (path, version) = (python.real.clone(), python.version.clone());
    // Some tens of megabytes are read and hashed.
    let read = tokio::task::spawn_blocking(move || {
        Interpreter::read(&path, &version).map_err(|error| cannot("read", &path, error))
    });
    read.await.map_err(|error| {
        BuildError::new(BuildErrorKind::Died, "reading the interpreter").with_source(error)
    })?
}

/// What is installed, by content: a package's record lists the digest of each of its files.
fn image(interpreter: &Interpreter, installed: &[probe::Package]) -> Result<ImageRef, BuildError> {
    let mut text = format!("portway/venv/v1\0{}\0{}\n", interpreter.version, interpreter.digest);
    for package in installed {
        text.push_str(&format!("{}\0{}\n", package.requirement, package.record));
    }
    ImageRef::new("venv", Digest::of(text.as_bytes()))
        .map_err(|error| BuildError::new(BuildErrorKind::Died, "naming the environment").with_source(error))
}

fn cannot(what: &str, path: &Path, error: std::io::Error) -> BuildError {
    BuildError::new(BuildErrorKind::Unavailable, format!("could not {what} {}", path.display()))
        .with_source(error)
}
