//! What to look at, and in which order: computed from the configuration alone (CFG-15).

use std::collections::HashSet;
use std::net::IpAddr;

use portway_deploy_config::{Origin, Phase, Requirement, Step};

use super::Surroundings;
use super::probe::Probe;
use super::rights;
use crate::names::{COMPONENT, GATEWAY, MANAGED_BY, MANAGER, PORT, REPLICA};
use crate::options::Options;
use crate::rbac::Role;

/// Where the API server is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ApiServer {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_encrypted: bool,
}

/// One line of the plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Check {
    pub(super) phase: Phase,
    pub(super) place: Place,
    pub(super) probe: Probe,
    pub(super) purpose: &'static str,
    /// Whether its failure leaves the rest of its place unseen.
    pub(super) is_gate: bool,
}

/// What fails together.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Place {
    /// The API server and all that is asked of it.
    Server,
    /// Another host.
    Host(String),
}

pub(super) fn plan(server: &ApiServer, options: &Options, surroundings: &Surroundings) -> Vec<Check> {
    let mut plan = Plan { server, checks: Vec::new(), seen: HashSet::new() };
    plan.reach(Phase::ClusterCreation, &server.host, server.port, "the API server");
    plan.ask_server(options, &surroundings.roles);
    let needs = needs(server, surroundings);
    let original = surroundings.original.as_ref().map(|original| original.requirements()).unwrap_or_default();
    let mut list: Vec<Requirement> = needs.into_iter().chain(original).collect();
    list.sort_by_key(|requirement| requirement.phase);
    for requirement in &list {
        plan.require(requirement);
    }
    plan.checks
}

/// The list of CFG-15 for any cluster: who needs what, in which phase.
fn needs(server: &ApiServer, surroundings: &Surroundings) -> Vec<Requirement> {
    let mut list = Vec::new();
    let mut need = |phase, origin, step, purpose| {
        list.push(Requirement { phase, origin, step, purpose, automatic: false });
    };
    let mut host = |phase, origin, host: &str, port, purpose| {
        need(phase, origin, Step::Resolve { host: host.to_owned() }, purpose);
        need(phase, origin, Step::Connect { host: host.to_owned(), port }, purpose);
    };
    if let Some(image) = &surroundings.gateway_image {
        let (registry, port) = registry_of(image);
        host(Phase::ClusterCreation, Origin::Node, &registry, port, "images of the gateway");
    }
    host(Phase::RouterStart, Origin::RouterPod, &server.host, server.port, "the API server");
    for image in &surroundings.images {
        let (registry, port) = registry_of(image);
        host(Phase::ModelDeployed, Origin::Node, &registry, port, "images of the models");
    }
    if let Some((name, port)) = &surroundings.scoring {
        host(Phase::ModelRouted, Origin::Caller, name, *port, "scoring");
    }
    for (name, port) in &surroundings.model_calls {
        host(Phase::ModelAtWork, Origin::ModelPod, name, *port, "the models' own calls");
    }
    let pods = |pods, port| Step::ConnectPods { pods, port };
    if surroundings.gateway_image.is_some() {
        need(Phase::RouterStart, Origin::RouterPod, pods("router", PORT), "the other pods of the gateway");
    }
    need(Phase::RouterAtWork, Origin::RouterPod, pods("model", PORT), "the replicas");
    list
}

/// The host and the port from which an image is pulled.
pub(super) fn registry_of(image: &str) -> (String, u16) {
    let first = image.split_once('/').map(|(first, _)| first);
    match first.filter(|first| first.contains(['.', ':']) || *first == "localhost") {
        Some(registry) => match registry.rsplit_once(':') {
            Some((host, port)) => (host.to_owned(), port.parse().unwrap_or(HTTPS)),
            None => (registry.to_owned(), HTTPS),
        },
        None => (DOCKER_HUB.to_owned(), HTTPS),
    }
}

struct Plan<'a> {
    server: &'a ApiServer,
    checks: Vec<Check>,
    seen: HashSet<Probe>,
}

impl Plan<'_> {
    /// Each thing is looked at once, when it is first needed: the doctor has one place to look from.
    fn push(&mut self, phase: Phase, place: Place, probe: Probe, purpose: &'static str, is_gate: bool) {
        if self.seen.insert(probe.clone()) {
            self.checks.push(Check { phase, place, probe, purpose, is_gate });
        }
    }

    fn reach(&mut self, phase: Phase, host: &str, port: u16, purpose: &'static str) {
        self.resolve(phase, host, purpose);
        self.connect(phase, host, port, purpose);
    }

    fn place(&self, host: &str) -> Place {
        if host == self.server.host { Place::Server } else { Place::Host(host.to_owned()) }
    }

    fn resolve(&mut self, phase: Phase, host: &str, purpose: &'static str) {
        if host.parse::<IpAddr>().is_err() {
            self.push(phase, self.place(host), Probe::Resolve { host: host.to_owned() }, purpose, true);
        }
    }

    fn connect(&mut self, phase: Phase, host: &str, port: u16, purpose: &'static str) {
        let is_server = host == self.server.host && port == self.server.port;
        let place = match self.place(host) {
            Place::Server if !is_server => Place::Host(format!("{host}:{port}")),
            place => place,
        };
        let host = host.to_owned();
        self.push(phase, place.clone(), Probe::Connect { host: host.clone(), port }, purpose, true);
        if (is_server && self.server.is_encrypted) || (!is_server && port == HTTPS) {
            self.push(phase, place, Probe::Encrypt { host, port, is_server }, purpose, true);
        }
    }

    fn ask_server(&mut self, options: &Options, roles: &[Role]) {
        let phase = Phase::ClusterCreation;
        let mut ask = |probe, purpose, is_gate| self.push(phase, Place::Server, probe, purpose, is_gate);
        ask(Probe::Credentials, "everything", true);
        let name = options.namespace.clone();
        ask(Probe::Namespace { name }, "everything", false);
        for (role, right) in rights::needed(roles) {
            ask(Probe::Rights { role, right }, "its work", false);
        }
        ask(Probe::Offers, "what older servers lack", false);
        ask(Probe::Quotas, "replicas", false);
        ask(Probe::Nodes, "replicas", false);
    }

    fn require(&mut self, requirement: &Requirement) {
        let Requirement { phase, step, purpose, .. } = requirement;
        match step {
            Step::Resolve { host } => self.resolve(*phase, host, purpose),
            Step::Connect { host, port } => self.connect(*phase, host, *port, purpose),
            Step::ConnectPods { pods, .. } => {
                let (pods, component) =
                    if *pods == "router" { ("gateway", GATEWAY) } else { ("models", REPLICA) };
                let selector = format!("{MANAGED_BY}={MANAGER},{COMPONENT}={component}");
                let probe = Probe::Pods { pods, selector, port: PORT };
                self.push(*phase, Place::Server, probe, purpose, false);
            }
        }
    }
}

const HTTPS: u16 = 443;
const DOCKER_HUB: &str = "registry-1.docker.io";
