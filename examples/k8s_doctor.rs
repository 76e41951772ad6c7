//! What is wrong between this machine and a cluster: name servers, connections, certificates, credentials, rights, quotas,
//! nodes, registries, in the order in which they are needed.
//!
//! `cargo run --example k8s_doctor --features kubernetes -- --namespace models`; exits 0 if nothing failed, 1 otherwise.

use std::process::exit;

use lexopt::prelude::*;
use portway_deploy_config::Connectivity;
use portway_k8s_backend::Options;
use portway_k8s_backend::doctor::{Surroundings, examine};
use portway_k8s_backend::rbac::Role;

const HELP: &str = "\
Usage: k8s_doctor [OPTIONS]

  --namespace NAME       where everything is [default: default]
  --role ROLE            whose rights are asked about, gateway or deployer [default: both]
  --context NAME         a context of the kubeconfig [default: its current one]
  --image REFERENCE      an image of a model; may be repeated
  --gateway-image REF    the gateway's, if it runs in the cluster
  --scoring HOST:PORT    under which callers find the gateway
  --calls HOST:PORT      what models call themselves; may be repeated
  --original CLUSTER/REGION/REGISTRY/STORAGE
                         what a cluster of Azure ML's needs besides
  --help                 this text
";

#[tokio::main]
async fn main() {
    let (options, surroundings) = parse().unwrap_or_else(|error| {
        eprintln!("error: {error}\n\n{HELP}");
        exit(2)
    });
    let diagnosis = examine(&options, &surroundings).await;
    print!("{diagnosis}");
    println!("(seen from here; nodes and pods may see another network: run it in a pod for theirs)");
    // A name server that does not answer must not hold up the end.
    exit(i32::from(diagnosis.first_failure().is_some()))
}

fn parse() -> Result<(Options, Surroundings), lexopt::Error> {
    let (mut options, mut surroundings) = (Options::new(), Surroundings::new());
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("namespace") => options.namespace = arguments.value()?.string()?,
            Long("role") => {
                surroundings.roles = vec![match arguments.value()?.string()?.as_str() {
                    "gateway" => Role::Gateway,
                    "deployer" => Role::Deployer,
                    other => return Err(format!("{other:?} is neither gateway nor deployer").into()),
                }];
            }
            Long("context") => options.context = Some(arguments.value()?.string()?),
            Long("image") => surroundings.images.push(arguments.value()?.string()?),
            Long("gateway-image") => surroundings.gateway_image = Some(arguments.value()?.string()?),
            Long("scoring") => surroundings.scoring = Some(host_and_port(&arguments.value()?.string()?)?),
            Long("calls") => surroundings.model_calls.push(host_and_port(&arguments.value()?.string()?)?),
            Long("original") => {
                let text = arguments.value()?.string()?;
                let [cluster, region, registry, storage] = text.split('/').collect::<Vec<_>>()[..] else {
                    return Err("--original takes four names with slashes between".into());
                };
                surroundings.original = Some(Connectivity::new(cluster, region, registry, storage));
            }
            Long("help") | Short('h') => {
                print!("{HELP}");
                exit(0)
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok((options, surroundings))
}

fn host_and_port(text: &str) -> Result<(String, u16), lexopt::Error> {
    let split = text.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    split.ok_or_else(|| format!("{text:?} is not HOST:PORT").into())
}
