//! What a gateway looks like at one moment, for status pages and tables.

use std::time::Duration;

use serde::Serialize;

/// A gateway at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GatewaySnapshot {
    /// Whether it serves: the catalog was read, and it does not drain.
    pub ready: bool,
    /// Whether this gateway is the one that scales.
    pub scales: bool,
    /// The endpoints, ordered by name.
    pub endpoints: Vec<EndpointSnapshot>,
}

impl GatewaySnapshot {
    /// A version of an endpoint.
    #[must_use]
    pub fn version(&self, endpoint: &str, version: &str) -> Option<&VersionSnapshot> {
        let endpoint = self.endpoints.iter().find(|found| found.name == endpoint)?;
        endpoint.versions.iter().find(|found| found.name == version)
    }
}

/// An endpoint at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EndpointSnapshot {
    /// Its name.
    pub name: String,
    /// Its versions, in the order of its document.
    pub versions: Vec<VersionSnapshot>,
}

/// A version at one moment. Rates and latencies are those of the last ten seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VersionSnapshot {
    /// Its name.
    pub name: String,
    /// The share of the traffic that it really gets, in percent.
    pub share_percent: f64,
    /// Whether it takes what no share assigns.
    pub default: bool,
    /// Whether the others are compared with it.
    pub control: bool,
    /// Replicas that take requests.
    pub ready: u32,
    /// Replicas last asked for.
    pub wanted: u32,
    /// Replicas that finish what they have.
    pub draining: u32,
    /// Replicas with at least one request inside.
    pub busy: u32,
    /// Requests inside replicas.
    pub in_flight: u32,
    /// Requests that wait.
    pub queued: u32,
    /// Requests that came in, from the beginning, refused ones included.
    pub requests: u64,
    /// Requests that a replica answered, from the beginning.
    pub answered: u64,
    /// Requests a second.
    pub rps: f64,
    /// The median of the time from arrival to the end of the answer.
    #[serde(serialize_with = "as_millis", rename = "p50_ms")]
    pub p50: Option<Duration>,
    /// The 99th percentile of that time.
    #[serde(serialize_with = "as_millis", rename = "p99_ms")]
    pub p99: Option<Duration>,
    /// What keeps it from having as many replicas as it needs, in words. Empty while all is well.
    pub trouble: String,
}

fn as_millis<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64() * 1e3).serialize(serializer)
}
