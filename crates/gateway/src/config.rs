//! A gateway's configuration file, in TOML, and the endpoints that are written in it.
//!
//! ```
//! use portway_gateway::config::GatewayConfig;
//!
//! let config = GatewayConfig::from_toml(
//!     r#"
//!     listen = "127.0.0.1:8080"
//!     [[endpoints]]
//!     name = "iris"
//!     auth = "off"
//!     [[endpoints.versions]]
//!     name = "softmax"
//!     addresses = ["127.0.0.1:5001", "127.0.0.1:5002"]
//!     "#,
//! )?;
//! assert_eq!(config.listen.port(), 8080);
//!
//! let refused = GatewayConfig::from_toml("listne = 1").unwrap_err();
//! assert!(refused.to_string().contains("did you mean listen?"));
//! # Ok::<(), portway_gateway::config::ConfigError>(())
//! ```

mod endpoints;
mod fields;
mod kubernetes;
mod source;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use portway_deploy_config::Profile;

use crate::forwarded::ForwardedTrust;
use crate::gateway::GatewayOptions;
use crate::upstream::Protocol;
use fields::Fields;

pub use endpoints::StaticEndpoint;
pub use kubernetes::KubernetesSource;
pub use source::StaticSource;

/// What a configuration file says. A file that was read is valid.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// Where clients connect. Default: `127.0.0.1:8080`. `[::]:8080` is every address of the machine, of IPv6 and of
    /// IPv4; see [`listen`](crate::listen).
    pub listen: SocketAddr,
    /// Where operators connect; without it there is no admin listener.
    pub admin: Option<SocketAddr>,
    /// Whether each request is logged. Default: yes.
    pub access_log: bool,
    /// Threads that serve; without it, as many as there are processors.
    pub workers: Option<usize>,
    /// Options of the gateway as a whole.
    pub options: GatewayOptions,
    /// Where endpoints and replicas come from.
    pub source: Source,
}

/// Where endpoints and replicas come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Written in the file, for replicas that run elsewhere.
    Static(Vec<StaticEndpoint>),
    /// A state folder of this machine, whose workloads this process runs.
    State(PathBuf),
    /// A namespace of a Kubernetes cluster, which is watched and whose workloads are scaled.
    Kubernetes(KubernetesSource),
}

/// Everything that is wrong with a configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    findings: Vec<String>,
}

impl ConfigError {
    /// The faults, one line each.
    #[must_use]
    pub fn findings(&self) -> &[String] {
        &self.findings
    }
}

/// One fault a line.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.findings.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl GatewayConfig {
    /// Reads a file's text.
    ///
    /// # Errors
    ///
    /// All faults in one pass, each with its place. An unknown key is a fault.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                return Err(ConfigError { findings: vec![error.to_string().trim_end().to_owned()] });
            }
        };
        let mut findings = Vec::new();
        let config = Self::read(Fields::new(table, String::new(), &mut findings));
        if findings.is_empty() { Ok(config) } else { Err(ConfigError { findings }) }
    }

    fn read(mut fields: Fields<'_>) -> Self {
        let mut options = GatewayOptions::default();
        let listen = fields.parsed("listen", "an address with a port, such as 0.0.0.0:8080 or [::]:8080");
        let admin = fields.parsed("admin", "an address with a port, such as 127.0.0.1:9090");
        let access_log = fields.boolean("access_log").unwrap_or(true);
        let workers = fields.integer("workers", 1..=1024);
        let profiles = [("recommended", Profile::Recommended), ("documented", Profile::Documented)];
        options.profile = fields.choice("profile", &profiles).unwrap_or_default();
        let trusts = [("peer", ForwardedTrust::Peer), ("proxy", ForwardedTrust::Proxy)];
        options.forwarded = fields.choice("forwarded", &trusts).unwrap_or_default();
        let protocols = [("http1", Protocol::Http1), ("http2", Protocol::Http2)];
        options.protocol = fields.choice("upstream", &protocols).unwrap_or_default();
        if let Some(seconds) = fields.integer("drain_seconds", 0..=86_400) {
            options.drain = Duration::from_secs(seconds);
        }
        let source = read_source(&mut fields);
        fields.finish(&KEYS);
        let listen = listen.unwrap_or(DEFAULT_LISTEN);
        let workers = workers.and_then(|workers| usize::try_from(workers).ok());
        Self { listen, admin, access_log, workers, options, source }
    }
}

/// The one source that the file names.
fn read_source(fields: &mut Fields<'_>) -> Source {
    let state = fields.string("state").map(|folder| Source::State(folder.into()));
    let kubernetes = fields
        .table("kubernetes")
        .map(|table| Source::Kubernetes(KubernetesSource::read(fields.inner(table, "kubernetes"))));
    let written = fields.tables("endpoints").map(|tables| Source::Static(endpoints::read(tables, fields)));
    let mut named = [("state", state), ("kubernetes", kubernetes), ("endpoints", written)]
        .into_iter()
        .filter_map(|(key, source)| Some((key, source?)));
    match (named.next(), named.next()) {
        (Some((_, source)), None) => source,
        (Some((first, source)), Some((second, _))) => {
            fields.fault(
                first,
                format_args!("endpoints come from one source, and {second} names another; leave one out"),
            );
            source
        }
        (None, _) => {
            let missing = "missing; write [[endpoints]], name a state folder with state = \"…\", or a namespace of a cluster \
                           in [kubernetes]";
            fields.fault("endpoints", missing);
            Source::Static(Vec::new())
        }
    }
}

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

const KEYS: [&str; 11] = [
    "listen",
    "admin",
    "access_log",
    "workers",
    "profile",
    "forwarded",
    "upstream",
    "drain_seconds",
    "state",
    "kubernetes",
    "endpoints",
];

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        listen = "[::]:80"
        admin = "127.0.0.1:9090"
        access_log = false
        workers = 3
        profile = "documented"
        forwarded = "proxy"
        upstream = "http2"
        drain_seconds = 5
        [[endpoints]]
        name = "iris"
        keys = ["0123456789012345678901234567890a", "0123456789012345678901234567890b"]
        default = "blue"
        idempotent = true
        [[endpoints.versions]]
        name = "blue"
        addresses = ["127.0.0.1:5001"]
        [[endpoints.versions]]
        name = "green"
        share = 12.5
        addresses = ["127.0.0.1:5002", "[::1]:5003"]
    "#;

    fn faults(text: &str) -> Vec<String> {
        GatewayConfig::from_toml(text).unwrap_err().findings
    }

    #[test]
    fn a_whole_file_is_read() {
        let config = GatewayConfig::from_toml(GOOD).unwrap();
        assert_eq!((config.listen.port(), config.admin.unwrap().port()), (80, 9090));
        assert!(config.listen.is_ipv6());
        assert_eq!((config.access_log, config.workers), (false, Some(3)));
        assert_eq!(config.options.profile, Profile::Documented);
        assert_eq!(config.options.forwarded, ForwardedTrust::Proxy);
        assert_eq!(config.options.protocol, Protocol::Http2);
        assert_eq!(config.options.drain, Duration::from_secs(5));
        let Source::Static(endpoints) = config.source else { panic!("endpoints are in the file") };
        let [iris] = &endpoints[..] else { panic!("one endpoint") };
        assert!(iris.spec.idempotent);
        assert_eq!(iris.spec.effective_share(&"blue".parse().unwrap()).as_percent(), "87.5");
        assert_eq!(iris.addresses[1].len(), 2);
        assert!(!format!("{iris:?}").contains("0123456789"), "keys are not shown");
    }

    #[test]
    fn every_fault_is_told_in_one_pass_with_its_place() {
        let text = GOOD
            .replace("workers = 3", "workres = 3")
            .replace("\"proxy\"", "\"everybody\"")
            .replace("drain_seconds = 5", "drain_seconds = -1")
            .replace("share = 12.5", "shaer = 12.5")
            .replace("[::1]:5003", "localhost")
            .replace("7890b", "7890 ")
            .replace("[[endpoints]]\n        name = \"iris\"", "[[endpoints]]\n        name = \"Iris!\"");
        let found = faults(&text);
        for part in [
            "workres: unknown key; did you mean workers?",
            "forwarded: \"everybody\" is none of peer, proxy",
            "drain_seconds: -1 is outside 0 to 86400",
            "endpoints[0].versions[1].addresses[1]: \"localhost\" is not an address with a port",
            "endpoints[0].keys[1]: ",
            "share",
            "endpoints[0].name: ",
        ] {
            assert!(found.iter().any(|fault| fault.contains(part)), "{part} is not in {found:#?}");
        }
        assert_eq!(found.len(), 7, "{found:#?}");
    }

    #[test]
    fn a_file_needs_exactly_one_source() {
        assert!(faults("").concat().contains("endpoints: missing"));
        assert!(
            faults("state = \"s\"\nendpoints = []")
                .concat()
                .contains("state: endpoints come from one source")
        );
        assert!(faults("state = \"s\"\n[kubernetes]").concat().contains("kubernetes names another"));
        let state = GatewayConfig::from_toml("state = \"s\"").unwrap();
        assert!(matches!(state.source, Source::State(folder) if folder == std::path::Path::new("s")));
        assert!(faults("listen = ").concat().contains("line 1"));
    }

    #[test]
    fn a_namespace_of_a_cluster_is_a_source() {
        let read = |text: &str| match GatewayConfig::from_toml(text).unwrap().source {
            Source::Kubernetes(source) => (source.namespace, source.owner, source.context),
            other => panic!("{other:?}"),
        };
        assert_eq!(read("[kubernetes]"), ("default".into(), "portway".into(), None));
        let all = "[kubernetes]\nnamespace = \"models\"\nowner = \"blue\"\ncontext = \"prod\"";
        assert_eq!(read(all), ("models".into(), "blue".into(), Some("prod".into())));
        let found = faults("[kubernetes]\nnamespace = \"Models\"\nownr = \"blue\"");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("kubernetes.namespace: \"Models\""), "{found:?}");
        assert!(found[1].contains("kubernetes.ownr: unknown key; did you mean owner?"), "{found:?}");
        assert!(faults("kubernetes = true").concat().contains("a table, [kubernetes]"));
    }

    #[test]
    fn keys_are_needed_where_they_are_asked_for_and_nowhere_else() {
        let open = "[[endpoints]]\nname = \"iris\"\nauth = \"off\"\n[[endpoints.versions]]\nname = \"blue\"\naddresses = []";
        assert!(GatewayConfig::from_toml(open).is_ok());
        let bare = open.replace("auth = \"off\"\n", "");
        assert!(faults(&bare).concat().contains("endpoints[0].keys: missing"));
        let both = open.replace("auth", "keys = [\"a\", \"b\"]\nauth");
        assert!(faults(&both).concat().contains("keys"));
        let twice = format!("{open}\n{open}");
        assert!(faults(&twice).concat().contains("endpoints[1].name: iris is written twice"));
    }
}
