use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use portway_deploy_config::{ProbeSpec, Resources, ServiceName, VersionName};
use serde::{Deserialize, Serialize};

use crate::{ArtifactName, Digest};

/// Which workload: one version of one endpoint. A service without versions is an endpoint with one.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct WorkloadId {
    /// The endpoint it belongs to.
    pub endpoint: ServiceName,
    /// The version of that endpoint.
    pub version: VersionName,
}

impl WorkloadId {
    /// The workload that serves `version` of `endpoint`.
    #[must_use]
    pub fn new(endpoint: ServiceName, version: VersionName) -> Self {
        Self { endpoint, version }
    }
}

/// `endpoint/version`: unambiguous, since neither name can hold a slash.
impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.endpoint, self.version)
    }
}

/// What a backend is asked to run: the program, its environment, and how a replica is sized and probed.
///
/// It is a desired state: applying it twice is applying it once. The number of replicas is not part of it; only the
/// number to start with is ([`initial_replicas`](Self::initial_replicas)).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Workload {
    /// Which version of which endpoint this is.
    pub id: WorkloadId,
    /// What runs inside a replica.
    pub program: Program,
    /// What it runs in: an interpreter on this machine or a container image.
    pub environment: Environment,
    /// Replicas when the workload is created; later applies leave the count alone. Default 1.
    pub initial_replicas: u32,
    /// Requests that one replica serves at once. Default 1.
    pub max_concurrent: NonZeroU32,
    /// CPU, memory and GPUs of one replica.
    pub resources: Resources,
    /// How a running replica is found to have failed (RUN-4).
    pub probe: ProbeSpec,
    /// Environment variables of the program, besides `PORT` and those that the backend sets. Values may be secret and
    /// are never logged.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// How long a replica that was told to stop may finish what it has. Default 60 s, the scoring time-out.
    pub termination_grace: Duration,
}

impl Workload {
    /// A workload with the documented defaults: one replica, one request at a time, 60 s to finish.
    ///
    /// # Examples
    ///
    /// ```
    /// use portway_backend::{Environment, Program, Workload, WorkloadId};
    ///
    /// let id = WorkloadId::new("iris".parse()?, "first".parse()?);
    /// let python = Environment::Interpreter { python: "/usr/bin/python3".into() };
    /// let mut workload = Workload::new(id, Program::script("score.py"), python);
    /// workload.initial_replicas = 2;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(id: WorkloadId, program: Program, environment: Environment) -> Self {
        Self {
            id,
            program,
            environment,
            initial_replicas: 1,
            max_concurrent: NonZeroU32::MIN,
            resources: Resources::default(),
            probe: ProbeSpec::default(),
            variables: BTreeMap::new(),
            termination_grace: Duration::from_secs(60),
        }
    }
}

/// The program of a replica: `python <script> <arguments>` in the project's folder (RUN-1).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Program {
    /// The packed project that is unpacked for each replica; `None` when the image holds everything.
    pub project: Option<Project>,
    /// Where the image holds the project, if it was put there as a layer; never beside a packed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<ProjectLayer>,
    /// The entry script, relative to the project's root. `None`: the image's own entry point.
    pub script: Option<String>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How the script serves.
    pub style: EntryStyle,
}

impl Program {
    /// A script that listens on `$PORT`, without arguments or a packed project.
    pub fn script(script: impl Into<String>) -> Self {
        Self { script: Some(script.into()), ..Self::entry_point() }
    }

    /// Whatever the image starts by itself; it must listen on `$PORT`.
    #[must_use]
    pub fn entry_point() -> Self {
        Self { project: None, layer: None, script: None, arguments: Vec::new(), style: EntryStyle::Listens }
    }
}

/// A packed project among the artifacts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Project {
    /// Under which name it lies there.
    pub artifact: ArtifactName,
    /// What its bytes must hash to.
    pub digest: Digest,
}

/// A project that its image holds, on top of the environment that it runs in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ProjectLayer {
    /// The project's folder inside the image, an absolute path. The program starts there.
    pub folder: String,
    /// The file inside the image that holds the [`SCORING_SERVER`], an absolute path; for scripts with `init()` and `run()`.
    pub server: String,
}

/// The scoring server for scripts with `init()` and `run()` (RUN-3), a Python program: `python3 <server> <script> [argument …]`.
///
/// It listens on `$PORT` at `$PORTWAY_HOST` (127.0.0.1 by default) and needs Python 3.7 and nothing but its standard library;
/// where `azureml-inference-server-http` is installed, it starts that one instead. Its own first lines say more.
pub const SCORING_SERVER: &str = include_str!("scoring_server.py");

/// How an entry script serves requests (RUN-3).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryStyle {
    /// It listens on `$PORT` (at the address `$PORTWAY_HOST`) by itself and answers `POST /score`; `GET /` is its health.
    Listens,
    /// It defines `init()` and `run(data)`; the [`SCORING_SERVER`] calls them.
    InitRun,
}

/// What a program runs in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// A Python interpreter on this machine.
    Interpreter {
        /// Its absolute path.
        python: PathBuf,
    },
    /// A container image, best pinned by digest: `repository@sha256:…`. A tag may come to mean other bytes while replicas run.
    Image {
        /// The reference.
        reference: String,
    },
}
