//! Looks at the world: name servers, sockets, certificates, and the API server.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ResourceQuota};
use kube::api::{ListParams, PostParams};
use kube::client::ConfigExt as _;
use kube::{Api, Client, Config};
use portway_backend::BackendError;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::probe::{Probe, Right};
use super::{Look, Seen, Sight, sums};
use crate::connect;
use crate::error::{refused, unknown_namespace, why_unreachable};
use crate::options::Options;
use crate::server::Server;

/// The real world, seen from here with the credentials of a configuration.
pub(super) struct Looker {
    config: Config,
    options: Options,
    client: OnceCell<Client>,
}

impl Looker {
    pub(super) fn new(config: Config, options: Options) -> Self {
        Self { config, options, client: OnceCell::new() }
    }

    async fn client(&self) -> Result<Client, String> {
        let client = self.client.get_or_try_init(|| connect::client(self.config.clone()));
        client.await.cloned().map(connect::aware).map_err(|error| words(&error))
    }

    async fn encrypt(&self, host: &str, port: u16, is_server: bool) -> Seen {
        let tls = if is_server {
            self.config.rustls_client_config()
        } else {
            format!("https://{host}")
                .parse()
                .map_err(|_| format!("{host} is no name of a host"))
                .map(Config::new)?
                .rustls_client_config()
        };
        let tls = tls.map_err(|error| words(&refused("use the certificates", error)))?;
        let name = self.config.tls_server_name.as_ref().filter(|_| is_server).cloned();
        let name = name.unwrap_or_else(|| host.to_owned());
        let name = name.try_into().map_err(|_| format!("{host} is no name that a certificate can be for"))?;
        let stream = TcpStream::connect((host, port)).await.map_err(|error| why_unreachable(&error).1)?;
        let session = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
        session.map_err(|error| why_unreachable(&error).1)?;
        Ok(Sight::Well(String::new()))
    }

    async fn credentials(&self) -> Seen {
        let client = self.client().await?;
        let asked = "ask the API server for its version";
        let version = client.apiserver_version().await.map_err(|error| words(&refused(asked, error)))?;
        // Its version is told to anybody; what one may do is not.
        let right =
            Right { group: String::new(), resource: "pods".into(), names: Vec::new(), verbs: Vec::new() };
        allowed(&client, &self.options.namespace, &right, None, "list").await?;
        Ok(Sight::Well(version.git_version))
    }

    async fn namespace(&self, name: &str) -> Seen {
        let client = self.client().await?;
        match Api::<Namespace>::all(client).get_opt(name).await {
            Ok(Some(found)) if found.metadata.deletion_timestamp.is_some() => {
                Err("it is being deleted; wait until it is gone and create it anew, or name another one"
                    .to_owned())
            }
            Ok(Some(_)) => Ok(Sight::Well(String::new())),
            Ok(None) => Err(unknown_namespace(name).why),
            Err(error) => unseen_if_forbidden("look at the namespace", error),
        }
    }

    async fn rights(&self, right: &Right) -> Seen {
        let client = self.client().await?;
        let mut missing = Vec::new();
        for verb in &right.verbs {
            let names =
                if right.names.is_empty() { vec![None] } else { right.names.iter().map(Some).collect() };
            for name in names {
                let name = name.map(String::as_str);
                if !allowed(&client, &self.options.namespace, right, name, verb).await? {
                    missing.push(verb.as_str());
                    break;
                }
            }
        }
        if missing.is_empty() {
            return Ok(Sight::Well(String::new()));
        }
        Err(format!(
            "these credentials have no right to {}; apply the role that the example k8s_manifests prints, or use others",
            missing.join(", ")
        ))
    }

    async fn offers(&self) -> Seen {
        let server = Server::ask(&self.client().await?).await.map_err(|error| words(&error))?;
        let lacks = server.lacks();
        if lacks.is_empty() {
            Ok(Sight::Well(String::new()))
        } else {
            Ok(Sight::Advice(format!("but for {}", lacks.join("; "))))
        }
    }

    async fn quotas(&self) -> Seen {
        let quotas = Api::<ResourceQuota>::namespaced(self.client().await?, &self.options.namespace);
        match quotas.list(&ListParams::default()).await {
            Ok(list) => {
                let full: Vec<String> = list.items.iter().flat_map(sums::used_up).collect();
                if full.is_empty() {
                    return Ok(Sight::Well(String::new()));
                }
                Err(format!("used up: {}; delete something, or raise the quota", full.join(", ")))
            }
            Err(error) => unseen_if_forbidden("look at quotas", error),
        }
    }

    async fn nodes(&self) -> Seen {
        match Api::<Node>::all(self.client().await?).list(&ListParams::default()).await {
            Ok(list) => sums::nodes(&list.items, &self.options.node_selector),
            Err(error) => unseen_if_forbidden("look at nodes", error),
        }
    }

    async fn pods(&self, selector: &str, port: u16) -> Seen {
        let pods = Api::<Pod>::namespaced(self.client().await?, &self.options.namespace);
        let some = ListParams::default().labels(selector).limit(SOME);
        let list = match pods.list(&some).await {
            Ok(list) => list,
            Err(error) => return unseen_if_forbidden("look at pods", error),
        };
        let addresses: Vec<SocketAddr> =
            list.items.iter().filter_map(|pod| sums::ready_address(pod, port)).collect();
        if addresses.is_empty() {
            return Ok(Sight::Unseen("there are none that are ready".to_owned()));
        }
        for address in &addresses {
            if let Err(error) = TcpStream::connect(address).await {
                let why = why_unreachable(&error).1;
                if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
                    return Err(format!("{address}: {why}; a NetworkPolicy may be in the way"));
                }
                return Ok(Sight::Unseen(format!(
                    "{address} is not reached from outside the cluster ({why}); look from a pod"
                )));
            }
        }
        Ok(Sight::Well(format!("{} tried", addresses.len())))
    }
}

#[async_trait]
impl Look for Looker {
    async fn look(&self, probe: &Probe) -> Seen {
        match probe {
            Probe::Resolve { host } => resolve(host).await,
            Probe::Connect { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                stream.map(|_| Sight::Well(String::new())).map_err(|error| why_unreachable(&error).1)
            }
            Probe::Encrypt { host, port, is_server } => self.encrypt(host, *port, *is_server).await,
            Probe::Credentials => self.credentials().await,
            Probe::Namespace { name } => self.namespace(name).await,
            Probe::Rights { right, .. } => self.rights(right).await,
            Probe::Offers => self.offers().await,
            Probe::Quotas => self.quotas().await,
            Probe::Nodes => self.nodes().await,
            Probe::Pods { selector, port, .. } => self.pods(selector, *port).await,
        }
    }
}

async fn resolve(host: &str) -> Seen {
    if host.contains('<') {
        return Ok(Sight::Unseen("a part of this name is made up later".to_owned()));
    }
    let unknown = "the name cannot be resolved; look at the name, and at the name servers of this machine";
    match lookup_host((host, 0)).await {
        Ok(found) => {
            let addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
            if addresses.is_empty() { Err(unknown.to_owned()) } else { Ok(Sight::Well(addresses.join(", "))) }
        }
        Err(_) => Err(unknown.to_owned()),
    }
}

/// Whether the API server would let us.
async fn allowed(
    client: &Client,
    namespace: &str,
    right: &Right,
    name: Option<&str>,
    verb: &str,
) -> Result<bool, String> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let attributes = ResourceAttributes {
        group: Some(right.group.clone()),
        name: name.map(str::to_owned),
        namespace: Some(namespace.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let reviews = Api::<SelfSubjectAccessReview>::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| words(&refused("ask what these credentials may do", error)))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// Quotas, nodes and namespaces are nothing that a role of ours may read; not to see them is no fault.
fn unseen_if_forbidden(what: &str, error: kube::Error) -> Seen {
    match &error {
        kube::Error::Api(status) if status.is_forbidden() => {
            Ok(Sight::Unseen("these credentials may not look at it".to_owned()))
        }
        _ => Err(words(&refused(what, error))),
    }
}

/// An error with what the server said.
fn words(error: &BackendError) -> String {
    match error.source() {
        Some(said) => format!("{error} (said: {said})"),
        None => error.to_string(),
    }
}

/// Pods that are tried.
const SOME: u32 = 5;
