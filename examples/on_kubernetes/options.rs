//! The command line.

use std::num::NonZeroU32;
use std::time::Duration;

use lexopt::prelude::*;
use portway_deploy_config::ServiceName;
use portway_k8s_backend::Toleration;

pub(crate) enum Wish {
    Help,
    /// Take away what a run that was killed left behind.
    Remove(Options),
    Run(Options),
}

pub(crate) struct Options {
    pub(crate) service: ServiceName,
    pub(crate) stable: String,
    pub(crate) canary: String,
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

pub(crate) const HELP: &str = "\
Serves two versions of a model on a Kubernetes cluster, behind a gateway.

Usage: cargo run --release --example on_kubernetes --features kubernetes -- --stable IMAGE [OPTIONS]

  --stable IMAGE         takes 90 % of the requests
  --canary IMAGE         takes 10 % [default: the same image]
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

impl Wish {
    pub(crate) fn parse() -> Result<Self, lexopt::Error> {
        let mut options = Options {
            service: "demonstration".parse().expect("a good name"),
            stable: String::new(),
            canary: String::new(),
            replicas: NonZeroU32::new(2).expect("2 is not 0"),
            cluster: portway_k8s_backend::Options::new(),
            inside: None,
            once: false,
            clients: 2,
            port: 0,
            ready_within: Duration::from_secs(300),
        };
        let mut only_remove = false;
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            let cluster = &mut options.cluster;
            match argument {
                Long("stable") => options.stable = arguments.value()?.string()?,
                Long("canary") => options.canary = arguments.value()?.string()?,
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
        if only_remove {
            return Ok(Self::Remove(options));
        }
        if options.stable.is_empty() {
            return Err("--stable is missing: name an image that listens on $PORT".into());
        }
        if options.canary.is_empty() {
            options.canary.clone_from(&options.stable);
        }
        Ok(Self::Run(options))
    }
}
