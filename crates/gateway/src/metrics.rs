//! Operating metrics in Prometheus' text form.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::snapshot::GatewaySnapshot;

/// All metrics of a gateway.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
    queue_wait: Family<VersionLabels, Histogram, Buckets>,
    upstream: Family<VersionLabels, Histogram, Buckets>,
    gauges: Gauges,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct VersionLabels {
    endpoint: String,
    version: String,
    role: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RequestLabels {
    endpoint: String,
    version: String,
    role: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RefusedLabels {
    endpoint: String,
    outcome: &'static str,
}

/// What is true at the moment of asking.
#[derive(Default)]
struct Gauges {
    in_flight: Family<VersionLabels, Gauge>,
    queued: Family<VersionLabels, Gauge>,
    ready: Family<VersionLabels, Gauge>,
    wanted: Family<VersionLabels, Gauge>,
    busy: Family<VersionLabels, Gauge<f64, AtomicU64>>,
    busy_and_queued: Family<VersionLabels, Gauge<f64, AtomicU64>>,
}

#[derive(Clone)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// Seconds: from the gateway's own share of a request to the longest scoring time-out.
const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("portway");
        let requests = Family::default();
        registry.register("requests", "Requests to a version by outcome", requests.clone());
        let refused = Family::default();
        registry.register("refused", "Requests refused before a version was chosen", refused.clone());
        let queue_wait = Family::new_with_constructor(Buckets);
        let help = "Time from arrival to a slot in a replica";
        registry.register_with_unit("queue_wait", help, Unit::Seconds, queue_wait.clone());
        let upstream = Family::new_with_constructor(Buckets);
        let help = "Time from a slot in a replica to the end of its answer";
        registry.register_with_unit("upstream_time", help, Unit::Seconds, upstream.clone());
        let gauges = Gauges::default();
        registry.register("in_flight", "Requests inside replicas", gauges.in_flight.clone());
        registry.register("queued", "Requests that wait for a replica", gauges.queued.clone());
        registry.register("replicas_ready", "Replicas that take requests", gauges.ready.clone());
        registry.register("replicas_wanted", "Replicas last asked for", gauges.wanted.clone());
        let help = "Busy replicas over replicas";
        registry.register("utilisation_busy", help, gauges.busy.clone());
        let help = "Busy replicas and waiting requests over replicas";
        registry.register("utilisation_busy_and_queued", help, gauges.busy_and_queued.clone());
        Self { registry, requests, refused, queue_wait, upstream, gauges }
    }

    /// The counters of one version, looked up once.
    pub(crate) fn meters(&self, endpoint: &str, version: &str, role: &'static str) -> Meters {
        let labels = VersionLabels { endpoint: endpoint.into(), version: version.into(), role };
        let requests = self.requests.clone();
        let mut meters = Meters {
            ok: Counter::default(),
            error: Counter::default(),
            queue_wait: self.queue_wait.get_or_create_owned(&labels),
            upstream: self.upstream.get_or_create_owned(&labels),
            labels,
            requests,
        };
        meters.ok = meters.counter("ok");
        meters.error = meters.counter("error");
        meters
    }

    /// A request that never got as far as a version.
    pub(crate) fn refused(&self, endpoint: Option<&str>, outcome: &'static str) {
        let labels = RefusedLabels { endpoint: endpoint.unwrap_or("").into(), outcome };
        self.refused.get_or_create(&labels).inc();
    }

    /// Everything as text, with the gauges as `snapshot` has them.
    pub(crate) fn text(&self, snapshot: &GatewaySnapshot) -> String {
        self.gauges.set(snapshot);
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            let _ = write!(text, "# EOF");
        }
        text
    }
}

impl Gauges {
    fn set(&self, snapshot: &GatewaySnapshot) {
        self.clear();
        for endpoint in &snapshot.endpoints {
            for version in &endpoint.versions {
                let (endpoint, version_name) = (endpoint.name.clone(), version.name.clone());
                let role = if version.control { CONTROL } else { TREATMENT };
                let labels = VersionLabels { endpoint, version: version_name, role };
                self.in_flight.get_or_create(&labels).set(i64::from(version.in_flight));
                self.queued.get_or_create(&labels).set(i64::from(version.queued));
                self.ready.get_or_create(&labels).set(i64::from(version.ready));
                self.wanted.get_or_create(&labels).set(i64::from(version.wanted));
                if version.ready > 0 {
                    let ready = f64::from(version.ready);
                    let busy = f64::from(version.busy) / ready;
                    self.busy.get_or_create(&labels).set(busy);
                    self.busy_and_queued.get_or_create(&labels).set(busy + f64::from(version.queued) / ready);
                }
            }
        }
    }

    fn clear(&self) {
        for family in [&self.in_flight, &self.queued, &self.ready, &self.wanted] {
            family.clear();
        }
        self.busy.clear();
        self.busy_and_queued.clear();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

pub(crate) const CONTROL: &str = "control";
pub(crate) const TREATMENT: &str = "treatment";

/// The counters of one version.
#[derive(Debug)]
pub(crate) struct Meters {
    labels: VersionLabels,
    requests: Family<RequestLabels, Counter>,
    ok: Counter,
    error: Counter,
    queue_wait: Histogram,
    upstream: Histogram,
}

impl Meters {
    fn counter(&self, outcome: &'static str) -> Counter {
        let VersionLabels { endpoint, version, role } = self.labels.clone();
        self.requests.get_or_create_owned(&RequestLabels { endpoint, version, role, outcome })
    }

    /// A replica's answer was passed on to its end.
    pub(crate) fn answered(&self, status: u16, arrived: Duration, admitted: Duration, now: Duration) {
        if status >= 500 { &self.error } else { &self.ok }.inc();
        self.queue_wait.observe(admitted.saturating_sub(arrived).as_secs_f64());
        self.upstream.observe(now.saturating_sub(admitted).as_secs_f64());
    }

    /// It ended in another way.
    pub(crate) fn ended(&self, outcome: &'static str) {
        self.counter(outcome).inc();
    }
}
