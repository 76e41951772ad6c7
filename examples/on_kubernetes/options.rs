//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;
use portway_deploy_config::ServiceName;
use portway_deployer::Source;
use portway_images::Repository;
use portway_k8s_backend::Toleration;

use crate::iris;

pub(crate) enum Wish {
    Help,
    /// Take away what a run that was killed left behind.
    Remove(Options),
    Run(Options),
}

pub(crate) struct Options {
    pub(crate) service: ServiceName,
    /// An image; with a `repository`, the entry script of a project folder.
    pub(crate) stable: String,
    pub(crate) canary: String,
    /// Where the images of project folders go, if it is those that are deployed.
    pub(crate) repository: Option<Repository>,
    pub(crate) projects: Projects,
    pub(crate) replicas: NonZeroU32,
    pub(crate) cluster: portway_k8s_backend::Options,
    /// The gateway's image, if it is to run in the cluster.
    pub(crate) inside: Option<String>,
    pub(crate) once: bool,
    /// Clients of the demonstration load.
    pub(crate) clients: usize,
    /// 0: a free one.
    pub(crate) port: u16,
    pub(crate) ready_within: Duration,
}

/// How project folders become images.
#[derive(Clone, Debug)]
pub(crate) struct Projects {
    pub(crate) base: String,
    /// The text of a conda document.
    pub(crate) conda: Option<String>,
    /// Docker's or podman's file with the registry's password.
    pub(crate) auth: Option<PathBuf>,
    pub(crate) plain_http: bool,
    /// Where builds work.
    pub(crate) builds: PathBuf,
}

impl Options {
    /// What a version runs: the image of that name, or the project folder around the entry script of that name.
    pub(crate) fn source(&self, named: &str) -> Source {
        if self.repository.is_none() {
            return Source::given(named);
        }
        let (folder, script) = named.rsplit_once('/').unwrap_or((".", named));
        let mut source = Source::new(if folder.is_empty() { "/" } else { folder }, script);
        source.image.conda.clone_from(&self.projects.conda);
        source
    }
}

pub(crate) const HELP: &str = "\
Serves two versions of a model on a Kubernetes cluster, behind a gateway.

Usage: cargo run --release --example on_kubernetes --features kubernetes -- --stable IMAGE [OPTIONS]
   or: cargo run --release --example on_kubernetes --features kubernetes -- --registry HOST/REPOSITORY [OPTIONS]

  --stable IMAGE         takes 90 % of the requests
  --canary IMAGE         takes 10 % [default: the same image]
  --registry REPOSITORY  builds images of project folders and pushes them there; buildah is needed here, and the nodes
                         must be able to pull them. The versions are then named by their entry scripts:
    --stable SCRIPT      [default: the quickstart's softmax, examples/iris/softmax/score.py]
    --canary SCRIPT      [default: the quickstart's bayes, examples/iris/bayes/serve.py]
    --base IMAGE         what both are built on; it has Python 3.7 or newer [default: docker.io/library/python:3.13-slim]
    --conda FILE         a conda document, whose pip section is installed on the base
    --auth FILE          the registry's password, as `docker login` or `podman login` writes it
    --plain-http         speaks HTTP with the registry
    --builds FOLDER      where buildah works [default: state/builds]
    --run-as-user N      the user of the replicas, for a base that would start as root [default: 65532]
  --inside IMAGE         runs the gateway from this image in the cluster [default: in this process]
  --namespace NAME       where everything goes; it must exist [default: default]
  --owner NAME           under whose name [default: portway]
  --context NAME         a context of the kubeconfig [default: its current one]
  --service NAME         what the endpoint is called [default: demonstration]
  --replicas N           of each version [default: 2]
  --node-selector K=V    runs replicas on such nodes only; may be repeated
  --toleration KEY       runs replicas beside such taints; may be repeated
  --pull-secret NAME     a Secret with the registry's credentials; may be repeated
  --ready-seconds N      how long replicas may take to be ready [default: 300]
  --clients N            clients of the demonstration load [default: 2]
  --port N               port of the gateway [default: a free one]
  --once                 run a script of checks instead, and exit 0 only if all of them held
  --remove               only take away what a run that was killed left behind
  --help                 this text

The pods' addresses must be reached from here: run this on a node or in a pod, or route the pods' network to this machine.
";

impl Options {
    fn new() -> Self {
        Self {
            service: "demonstration".parse().expect("a good name"),
            stable: String::new(),
            canary: String::new(),
            repository: None,
            projects: Projects {
                base: "docker.io/library/python:3.13-slim".to_owned(),
                conda: None,
                auth: None,
                plain_http: false,
                builds: "state/builds".into(),
            },
            replicas: NonZeroU32::new(2).expect("2 is not 0"),
            cluster: portway_k8s_backend::Options::new(),
            inside: None,
            once: false,
            clients: 2,
            port: 0,
            ready_within: Duration::from_secs(300),
        }
    }

    /// What depends on another option, where nobody has set it.
    fn completed(mut self) -> Result<Self, &'static str> {
        if self.repository.is_some() {
            // Nothing of a project needs root or a place to write.
            self.cluster.run_as_user.get_or_insert(65532);
            self.cluster.read_only_root = true;
            let script = |folder, script| iris::project(folder).join(script).display().to_string();
            if self.stable.is_empty() {
                self.stable = script("softmax", "score.py");
            }
            if self.canary.is_empty() {
                self.canary = script("bayes", "serve.py");
            }
        }
        if self.stable.is_empty() {
            return Err(
                "--stable is missing: name an image that listens on $PORT, or a --registry for images of project \
                        folders",
            );
        }
        if self.canary.is_empty() {
            self.canary.clone_from(&self.stable);
        }
        Ok(self)
    }
}

impl Wish {
    pub(crate) fn parse() -> Result<Self, lexopt::Error> {
        let (mut options, mut only_remove) = (Options::new(), false);
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            let (cluster, projects) = (&mut options.cluster, &mut options.projects);
            match argument {
                Long("stable") => options.stable = arguments.value()?.string()?,
                Long("canary") => options.canary = arguments.value()?.string()?,
                Long("registry") => options.repository = Some(arguments.value()?.parse()?),
                Long("base") => projects.base = arguments.value()?.string()?,
                Long("conda") => {
                    let file = PathBuf::from(arguments.value()?);
                    let unread = |error| format!("--conda {}: {error}", file.display());
                    projects.conda = Some(std::fs::read_to_string(&file).map_err(unread)?);
                }
                Long("auth") => projects.auth = Some(arguments.value()?.into()),
                Long("plain-http") => projects.plain_http = true,
                Long("builds") => projects.builds = arguments.value()?.into(),
                Long("run-as-user") => cluster.run_as_user = Some(arguments.value()?.parse()?),
                Long("inside") => options.inside = Some(arguments.value()?.string()?),
                Long("namespace") => cluster.namespace = arguments.value()?.string()?,
                Long("owner") => cluster.owner = arguments.value()?.string()?,
                Long("context") => cluster.context = Some(arguments.value()?.string()?),
                Long("service") => options.service = arguments.value()?.parse()?,
                Long("replicas") => options.replicas = arguments.value()?.parse()?,
                Long("node-selector") => {
                    let text = arguments.value()?.string()?;
                    let (key, value) = text.split_once('=').ok_or("--node-selector takes KEY=VALUE")?;
                    cluster.node_selector.insert(key.to_owned(), value.to_owned());
                }
                Long("toleration") => cluster.tolerations.push(Toleration::of(arguments.value()?.string()?)),
                Long("pull-secret") => cluster.pull_secrets.push(arguments.value()?.string()?),
                Long("ready-seconds") => {
                    options.ready_within = Duration::from_secs(arguments.value()?.parse()?);
                }
                Long("clients") => options.clients = arguments.value()?.parse()?,
                Long("port") => options.port = arguments.value()?.parse()?,
                Long("once") => options.once = true,
                Long("remove") => only_remove = true,
                Long("help") | Short('h') => return Ok(Self::Help),
                other => return Err(other.unexpected()),
            }
        }
        if only_remove && options.repository.is_none() {
            return Ok(Self::Remove(options));
        }
        let options = options.completed()?;
        Ok(if only_remove { Self::Remove(options) } else { Self::Run(options) })
    }
}
