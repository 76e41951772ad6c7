//! What is run, where, and with which environment (RUN-1, RUN-3).

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;

use portway_backend::{BackendError, EntryStyle, Environment, Program, ReplicaId, SCORING_SERVER, Workload};
use tokio::process::Command;

use super::leftovers::{REPLICA_MARK, STATE_MARK};

/// Where programs listen: nobody outside this machine reaches them.
const HOST: &str = "127.0.0.1";
/// The part of our environment that programs get; the rest may hold secrets of ours.
const PASSED_ON: [&str; 17] = [
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "NO_PROXY",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TZ",
    "USER",
    "http_proxy",
    "https_proxy",
];

/// The temporary folder of one replica.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder(PathBuf);

impl RunFolder {
    pub(crate) fn create(runs: &Path, replica: &ReplicaId) -> io::Result<Self> {
        let folder = Self(runs.join(replica.as_str()));
        for part in [&folder.project(), &folder.temporary()] {
            crate::state::file::private_folder(part)?;
        }
        std::fs::write(folder.shim(), SCORING_SERVER)?;
        Ok(folder)
    }

    /// The folder of a replica that an earlier run left behind.
    pub(crate) fn left_behind(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// The unpacked project, where the program starts.
    pub(crate) fn project(&self) -> PathBuf {
        self.0.join("project")
    }

    pub(crate) fn outputs(&self) -> PathBuf {
        self.project().join(super::outputs::FOLDER)
    }

    /// What the program sees as the folder for temporary files.
    fn temporary(&self) -> PathBuf {
        self.0.join("tmp")
    }

    fn shim(&self) -> PathBuf {
        self.0.join("portway_score.py")
    }
}

/// Refuses what this backend can never run.
pub(crate) fn check(workload: &Workload) -> Result<(), BackendError> {
    interpreter(&workload.environment)?;
    check_script(&workload.program)?;
    let gpus = workload.resources.gpu;
    if gpus > 0 || !workload.resources.accelerators.is_empty() {
        return Err(BackendError::invalid(format!(
            "{} asks for {gpus} GPUs or other accelerators, which processes of this machine cannot be given; ask for \
             none, and let the script use what it finds",
            workload.id
        )));
    }
    let arguments = workload.program.arguments.iter().any(|argument| argument.contains('\0'));
    let variables = workload.variables.iter();
    let illegal = variables
        .filter(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'));
    if let Some((name, _)) = illegal.into_iter().next() {
        return Err(BackendError::invalid(format!(
            "the environment variable {name:?} has an empty name, one with '=', or a zero byte"
        )));
    }
    if arguments {
        return Err(BackendError::invalid("an argument of the entry script holds a zero byte"));
    }
    Ok(())
}

fn interpreter(environment: &Environment) -> Result<&Path, BackendError> {
    match environment {
        Environment::Interpreter { python } if python.is_absolute() => Ok(python),
        Environment::Interpreter { python } => Err(BackendError::invalid(format!(
            "the interpreter {} is not an absolute path; name the one to use, for example /usr/bin/python3",
            python.display()
        ))),
        Environment::Image { reference } => Err(BackendError::invalid(format!(
            "the local backend runs processes, not the image {reference}; build an environment for an interpreter of \
             this machine instead"
        ))),
    }
}

fn check_script(program: &Program) -> Result<&Path, BackendError> {
    let Some(script) =
        program.script.as_deref().filter(|script| !script.is_empty() && !script.contains('\0'))
    else {
        return Err(BackendError::invalid(
            "there is no entry script; only images have an entry point of their own",
        ));
    };
    let path = Path::new(script);
    let stays_inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    match &program.project {
        Some(_) if stays_inside => Ok(path),
        Some(_) => Err(BackendError::invalid(format!(
            "the entry script {script:?} leads out of the project; name it relative to the project's root"
        ))),
        None if path.is_absolute() => Ok(path),
        None => Err(BackendError::invalid(format!(
            "there is no project to look for {script:?} in; add one, or give the script's absolute path"
        ))),
    }
}

/// The entry script of a workload that was checked, in the replica's folder.
pub(crate) fn script(workload: &Workload, folder: &RunFolder) -> PathBuf {
    // An absolute path stays what it is.
    folder.project().join(workload.program.script.as_deref().unwrap_or_default())
}

/// `python <script> <arguments>`, or the shim with the script, in the unpacked project.
pub(crate) fn command(
    workload: &Workload,
    folder: &RunFolder,
    replica: &ReplicaId,
    state: &Path,
    port: u16,
) -> Result<Command, BackendError> {
    let mut command = Command::new(interpreter(&workload.environment)?);
    if workload.program.style == EntryStyle::InitRun {
        command.arg(folder.shim());
    }
    command
        .arg(workload.program.script.as_deref().unwrap_or_default())
        .args(&workload.program.arguments)
        .current_dir(folder.project())
        .env_clear()
        .envs(PASSED_ON.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        // What a workload may want otherwise.
        .env("PYTHONUNBUFFERED", "1")
        .env("AZUREML_MODEL_DIR", model_folder(folder))
        .env("AZUREML_ENTRY_SCRIPT", workload.program.script.as_deref().unwrap_or_default())
        .envs(&workload.variables)
        // What it may not.
        .env("PORT", port.to_string())
        .env("PORTWAY_HOST", HOST)
        .env("TMPDIR", folder.temporary())
        .env("PORTWAY_ENDPOINT", workload.id.endpoint.as_ref())
        .env("PORTWAY_VERSION", workload.id.version.as_ref())
        .env("PORTWAY_MAX_CONCURRENT", workload.max_concurrent.to_string())
        .env(REPLICA_MARK, replica.as_str())
        .env(STATE_MARK, state)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    Ok(command)
}

/// Where models lie: in `azureml-models` if the project has such a folder, otherwise in the project itself.
fn model_folder(folder: &RunFolder) -> OsString {
    let models = folder.project().join("azureml-models");
    if models.is_dir() { models.into() } else { folder.project().into() }
}

#[cfg(test)]
mod tests {
    use portway_backend::{Digest, ErrorKind, Project, WorkloadId};

    use super::*;

    fn workload(script: &str) -> Workload {
        let id = WorkloadId::new("iris".parse().unwrap(), "first".parse().unwrap());
        let mut program = Program::script(script);
        program.project = Some(Project { artifact: "p.tar".parse().unwrap(), digest: Digest::of(b"") });
        Workload::new(id, program, Environment::Interpreter { python: "/usr/bin/python3".into() })
    }

    #[track_caller]
    fn assert_invalid(workload: &Workload, part: &str) {
        let error = check(workload).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(part), "{error}");
    }

    #[test]
    fn what_can_never_run_is_refused_with_the_remedy() {
        check(&workload("deep/score.py")).unwrap();
        assert_invalid(&workload("../score.py"), "relative to the project's root");
        assert_invalid(&workload("/score.py"), "relative to the project's root");
        assert_invalid(&workload(""), "no entry script");

        let mut bare = workload("score.py");
        bare.program.project = None;
        assert_invalid(&bare, "add one, or give the script's absolute path");
        bare.program.script = Some("/srv/score.py".into());
        check(&bare).unwrap();

        let mut image = workload("score.py");
        image.environment = Environment::Image { reference: "iris@sha256:0".into() };
        assert_invalid(&image, "runs processes, not the image");
        image.environment = Environment::Interpreter { python: "python3".into() };
        assert_invalid(&image, "absolute path");

        let mut gpu = workload("score.py");
        gpu.resources.gpu = 1;
        assert_invalid(&gpu, "GPUs");
        let mut variable = workload("score.py");
        variable.variables.insert("A=B".into(), "secret".into());
        assert_invalid(&variable, "\"A=B\"");
        assert!(!check(&variable).unwrap_err().to_string().contains("secret"));
        let mut argument = workload("score.py");
        argument.program.arguments.push("a\0b".into());
        assert_invalid(&argument, "zero byte");
    }

    #[test]
    fn a_program_sees_its_own_variables_and_little_of_ours() {
        let runs = tempfile::tempdir().unwrap();
        let mut workload = workload("score.py");
        workload.variables.insert("PORT".into(), "1".into());
        workload.variables.insert("GREETING".into(), "hello".into());
        let replica = ReplicaId::new("iris.first.1");
        let folder = RunFolder::create(runs.path(), &replica).unwrap();
        let command = command(&workload, &folder, &replica, Path::new("/state"), 4711).unwrap();
        let variables: std::collections::HashMap<_, _> = command.as_std().get_envs().collect();
        let value = |name: &str| {
            variables.get(std::ffi::OsStr::new(name)).copied().flatten().and_then(|v| v.to_str())
        };
        assert_eq!(value("PORT"), Some("4711"));
        assert_eq!(value("PORTWAY_HOST"), Some("127.0.0.1"));
        assert_eq!(value("GREETING"), Some("hello"));
        assert_eq!(value("PORTWAY_MAX_CONCURRENT"), Some("1"));
        assert!(value("CARGO_MANIFEST_DIR").is_none(), "cargo sets it for this test");
    }
}
