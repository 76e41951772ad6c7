//! What would be applied to a Kubernetes cluster, without one: a workload's objects, the gateway, and the deployer's rights.
//!
//! `cargo run --features kubernetes --example k8s_manifests` prints those of a sample; `--help` says how to print yours.
//! It is one JSON `List`: `… -- --only gateway --gateway-image registry.example/portway-gateway:0.1 | kubectl apply -f -`

use std::process::exit;

use anyhow::{Context as _, anyhow};
use lexopt::prelude::*;
use portway_backend::{EntryStyle, Environment, Program, Workload, WorkloadId};
use portway_deploy_config::DeploymentConfig;
use portway_k8s_backend::manifest::{Gateway, Manifests, Salt, Setting, Surge};
use portway_k8s_backend::rbac::Role;
use portway_k8s_backend::{Options, Server};
use serde_json::{Value as Json, json};

const HELP: &str = "\
Usage: k8s_manifests [OPTIONS]

  --only PART            workload, gateway or deployer; may be repeated [default: all three]

The workload, as it is created; its variables are shown:
  --config FILE          a deploymentconfig.json [default: documented defaults]
  --endpoint NAME        [default: iris]
  --version NAME         [default: the configuration's, or first]
  --image REFERENCE      holds the program [default: one that does not exist]
  --script FILE          python FILE; without it the image's entry point
  --init-run             the script has init() and run()
  --argument TEXT        of the script; may be repeated
  --variable NAME=VALUE  an environment variable; may be repeated
  --node LABEL=VALUE     where replicas may run; may be repeated
  --user NUMBER          whom they run as [default: the image's user]
  --read-only            the image's files are read-only
  --in-place             no GPU is spare: old replicas go before new ones come

The gateway and the deployer:
  --gateway-image REF    [default: one that does not exist]
  --gateway-node LABEL=VALUE
                         where gateways may run; may be repeated
  --keda                 KEDA is installed

Everything:
  --server VERSION       for example v1.29.1 [default: a new one]
  --namespace NAME       [default: the configuration's, or default]
  --owner NAME           who deploys [default: portway]
  --pull-secret NAME     credentials of a registry; may be repeated
  --help                 this text
";

fn main() -> anyhow::Result<()> {
    let asked = parse().unwrap_or_else(|error| {
        eprintln!("error: {error:#}\n\n{HELP}");
        exit(2)
    });
    let Asked { workload, gateway, options, server, surge, parts } = asked;
    let mut lists = Vec::new();
    for part in if parts.is_empty() { PARTS.to_vec() } else { parts } {
        lists.push(match part {
            "workload" => {
                // One that everybody knows keeps no secret; without any, the text had better stay the same.
                let keeps_no_secret = workload.variables.is_empty();
                let salt = if keeps_no_secret { Salt::fixed("printed") } else { Salt::random() };
                let setting = Setting { options: &options, server: &server, surge, salt: &salt };
                Manifests::of(&workload, setting)?.to_json()
            }
            "gateway" => gateway.to_json(&options, &server)?,
            _ => Role::Deployer.to_json(&options, gateway.features)?,
        });
    }
    let mut items = Vec::new();
    for list in lists {
        let mut list: Json = serde_json::from_str(&list)?;
        items.append(list["items"].as_array_mut().context("a List has items")?);
    }
    println!("{:#}", json!({"apiVersion": "v1", "kind": "List", "items": items}));
    Ok(())
}

const PARTS: [&str; 3] = ["deployer", "gateway", "workload"];

struct Asked {
    workload: Workload,
    gateway: Gateway,
    options: Options,
    server: Server,
    surge: Surge,
    parts: Vec<&'static str>,
}

fn parse() -> anyhow::Result<Asked> {
    let image = |reference: &str| Environment::Image { reference: reference.to_owned() };
    let (mut endpoint, mut version, mut namespace) = ("iris".parse()?, None, None);
    let mut config = DeploymentConfig::from_json(r#"{"computeType": "aks"}"#);
    let (mut program, mut environment) = (Program::entry_point(), image("registry.example/iris:1"));
    let mut gateway = Gateway::new("registry.example/portway-gateway:0.1");
    let (mut variables, mut parts) = (Vec::new(), Vec::new());
    let (mut options, mut server, mut surge) = (Options::new(), Server::current(), Surge::Beside);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("only") => {
                let part = text(&mut arguments)?;
                let known = PARTS.into_iter().find(|known| *known == part);
                parts.push(known.with_context(|| format!("{part:?} is none of {}", PARTS.join(", ")))?);
            }
            Long("config") => {
                let file = text(&mut arguments)?;
                let read = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
                config = DeploymentConfig::from_json(&read);
            }
            Long("endpoint") => endpoint = text(&mut arguments)?.parse()?,
            Long("version") => version = Some(text(&mut arguments)?.parse()?),
            Long("image") => environment = image(&text(&mut arguments)?),
            Long("script") => program.script = Some(text(&mut arguments)?),
            Long("init-run") => program.style = EntryStyle::InitRun,
            Long("argument") => program.arguments.push(text(&mut arguments)?),
            Long("variable") => variables.push(pair(&text(&mut arguments)?)?),
            Long("in-place") => surge = Surge::InPlace,
            Long("gateway-image") => gateway.image = text(&mut arguments)?,
            Long("keda") => gateway.features.keda = true,
            Long("server") => server = Server::of_version(text(&mut arguments)?),
            Long("namespace") => namespace = Some(text(&mut arguments)?),
            Long("owner") => options.owner = text(&mut arguments)?,
            Long("pull-secret") => options.pull_secrets.push(text(&mut arguments)?),
            Long("node") => options.node_selector.extend([pair(&text(&mut arguments)?)?]),
            Long("gateway-node") => gateway.node_selector.extend([pair(&text(&mut arguments)?)?]),
            Long("read-only") => options.read_only_root = true,
            Long("user") => options.run_as_user = Some(text(&mut arguments)?.parse()?),
            Long("help") | Short('h') => {
                print!("{HELP}");
                exit(0)
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let config = config.into_result().map_err(|report| anyhow!("{report}"))?;
    let spec = config.spec();
    if let Some(namespace) = namespace.or_else(|| spec.namespace.as_ref().map(ToString::to_string)) {
        options.namespace = namespace;
    }
    let version = version.or_else(|| spec.version.clone()).map_or_else(|| "first".parse(), Ok)?;
    let mut workload = Workload::new(WorkloadId::new(endpoint, version), program, environment);
    workload.initial_replicas = spec.replicas.initial();
    workload.max_concurrent = spec.max_concurrent;
    workload.resources = spec.resources.clone();
    workload.probe = spec.probe;
    workload.termination_grace = spec.scoring_timeout;
    workload.variables.extend(variables);
    gateway.features.deletion_cost = server.has_deletion_cost;
    gateway.features.accelerators = spec.resources.gpu > 0 || !spec.resources.accelerators.is_empty();
    Ok(Asked { workload, gateway, options, server, surge, parts })
}

fn text(arguments: &mut lexopt::Parser) -> Result<String, lexopt::Error> {
    arguments.value()?.string()
}

fn pair(text: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = text.split_once('=').with_context(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
