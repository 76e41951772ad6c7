//! One thing to look at.

use std::fmt;

/// What is looked at.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Probe {
    /// The name has an address.
    Resolve { host: String },
    /// The address takes connections.
    Connect { host: String, port: u16 },
    /// A TLS session comes about, with a certificate that is trusted here; for the API server, by the kubeconfig's authority.
    Encrypt { host: String, port: u16, is_server: bool },
    /// The API server answers and accepts the credentials.
    Credentials,
    /// The namespace exists.
    Namespace { name: String },
    /// A role's rights on a kind of object.
    Rights { role: &'static str, right: Right },
    /// What this crate can use of an API server is there.
    Offers,
    /// Quotas of the namespace that are used up.
    Quotas,
    /// Nodes that take replicas, and what they have.
    Nodes,
    /// Pods are reached at their addresses.
    Pods { pods: &'static str, selector: String, port: u16 },
}

/// What may be done with a kind of object.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Right {
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) names: Vec<String>,
    pub(super) verbs: Vec<String>,
}

impl Probe {
    /// What to do when no answer came in time.
    pub(super) fn late(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "look at the name servers of this machine",
            Self::Connect { .. } | Self::Encrypt { .. } => "look for a firewall or a missing route between",
            _ => "see how the API server is",
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host } => write!(f, "{host} has an address"),
            Self::Connect { host, port } => write!(f, "{host}:{port} takes connections"),
            Self::Encrypt { host, port, .. } => write!(f, "{host}:{port} speaks TLS and is trusted"),
            Self::Credentials => f.write_str("the API server accepts the credentials"),
            Self::Namespace { name } => write!(f, "the namespace {name} exists"),
            Self::Rights { role, right } => {
                write!(f, "the {role} may {} {}", right.verbs.join(", "), right.resource)?;
                if !right.group.is_empty() {
                    write!(f, ".{}", right.group)?;
                }
                if right.names.is_empty() { Ok(()) } else { write!(f, " {}", right.names.join(", ")) }
            }
            Self::Offers => f.write_str("the API server has all that can be used"),
            Self::Quotas => f.write_str("the namespace's quotas leave room"),
            Self::Nodes => f.write_str("there are nodes to run on"),
            Self::Pods { pods, port, .. } => write!(f, "pods of the {pods} are reached on port {port}"),
        }
    }
}
