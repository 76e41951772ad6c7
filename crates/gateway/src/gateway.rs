//! The gateway as its user sees it.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use portway_autoscale::Policy;
use portway_backend::{Catalog, Fleet, Leases};
use portway_deploy_config::Profile;
use portway_router::OutlierPolicy;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::answer::AnswerBody;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::control::{self, Seams};
use crate::forward::CONNECT_LIMIT;
use crate::forwarded::ForwardedTrust;
use crate::inner::{Inner, Settings};
use crate::lane::Commons;
use crate::service::{self, Peer};
use crate::snapshot::{EndpointSnapshot, GatewaySnapshot, VersionSnapshot};
use crate::upload::Source;
use crate::upstream::{Connector, Dialer, Protocol, Tcp};

/// A gateway: a [`hyper::service::Service`] that answers requests, and a control side ([`Gateway::start`]) that keeps it
/// in step with the catalog and the fleet. Clones are one gateway.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use portway_backend::memory::{MemoryBackend, MemoryCatalog, MemoryLeases};
/// use portway_gateway::{Gateway, serve};
/// use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let catalog = Arc::new(MemoryCatalog::new());
/// let fleet = Arc::new(MemoryBackend::unreachable());
/// let gateway = Gateway::builder(catalog, fleet).leases(Arc::new(MemoryLeases::new())).build();
///
/// let control = gateway.start();
/// gateway.ready().await;
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let ctrl_c = std::future::ready(());
/// serve(listener, gateway.clone(), ctrl_c).await?;
/// control.stop().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Gateway {
    pub(crate) inner: Arc<Inner>,
    seams: Arc<Seams>,
    pub(crate) drain: Duration,
}

/// Everything that can be set about a gateway as a whole. What an endpoint says of itself stands in its document.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// How requests that belong to no endpoint are answered: like a wrong key (401) or, in the documented profile, with
    /// 404. Default: recommended.
    pub profile: Profile,
    /// The constants of the autoscaler; target and concurrency come from each version's document.
    pub policy: Policy,
    /// When a failing replica is left out.
    pub outliers: OutlierPolicy,
    /// Whose `Forwarded` and `X-Forwarded-*` fields are believed. Default: nobody's.
    pub forwarded: ForwardedTrust,
    /// Whether replicas get the caller's `Authorization`. Default: no.
    pub keep_authorization: bool,
    /// How replicas are spoken to. Default: HTTP/1.1.
    pub protocol: Protocol,
    /// How long a replica may take to accept a connection. Default: 5 s.
    pub connect_timeout: Duration,
    /// How many bytes of a request's body are kept for a replay on another replica. Default: 1 MiB.
    pub replay_bytes: usize,
    /// How long a drain waits for requests and streams to end. Default: 60 s.
    pub drain: Duration,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            policy: Policy::default(),
            outliers: OutlierPolicy::default(),
            forwarded: ForwardedTrust::default(),
            keep_authorization: false,
            protocol: Protocol::default(),
            connect_timeout: CONNECT_LIMIT,
            replay_bytes: 1 << 20,
            drain: Duration::from_secs(60),
        }
    }
}

/// A gateway in the making; see [`Gateway::builder`].
#[derive(Clone)]
#[must_use]
pub struct GatewayBuilder {
    catalog: Arc<dyn Catalog>,
    fleet: Arc<dyn Fleet>,
    leases: Option<Arc<dyn Leases>>,
    holder: Option<String>,
    options: GatewayOptions,
    connector: Arc<dyn Connector>,
}

impl GatewayBuilder {
    /// Lets the gateway scale, as long as it holds the lease. Without leases it never asks for replicas: somebody else
    /// has to.
    pub fn leases(mut self, leases: Arc<dyn Leases>) -> Self {
        self.leases = Some(leases);
        self
    }

    /// Under which name the lease is held. Default: one that differs from run to run.
    pub fn holder(mut self, name: impl Into<String>) -> Self {
        self.holder = Some(name.into());
        self
    }

    /// Replaces all options.
    pub fn options(mut self, options: GatewayOptions) -> Self {
        self.options = options;
        self
    }

    /// How requests that belong to no endpoint are answered; see [`GatewayOptions::profile`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.options.profile = profile;
        self
    }

    /// The constants of the autoscaler; see [`GatewayOptions::policy`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.options.policy = policy;
        self
    }

    /// Reaches replicas in another way than TCP.
    pub fn connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.connector = connector;
        self
    }

    /// The gateway. It answers once its control side runs.
    #[must_use]
    pub fn build(self) -> Gateway {
        let Self { catalog, fleet, leases, holder, options, connector } = self;
        let chance = Chance::new();
        let holder = holder.unwrap_or_else(|| format!("gateway-{:016x}", chance.bits()));
        let dialer = Dialer { connector, protocol: options.protocol, limit: options.connect_timeout };
        let commons = Commons {
            clock: Clock::start(),
            chance,
            dialer,
            outliers: options.outliers,
            numbers: AtomicU64::new(0),
            hungry: tokio::sync::Notify::new(),
        };
        let settings = Settings {
            profile: options.profile,
            trust: options.forwarded,
            keep_authorization: options.keep_authorization,
            replay_bytes: options.replay_bytes,
        };
        let seams = Seams { catalog, fleet, leases, holder, policy: options.policy };
        let inner = Arc::new(Inner::new(commons, settings));
        Gateway { inner, seams: Arc::new(seams), drain: options.drain }
    }
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway that routes by the documents of `catalog` to the replicas of `fleet`.
    pub fn builder(catalog: Arc<dyn Catalog>, fleet: Arc<dyn Fleet>) -> GatewayBuilder {
        let options = GatewayOptions::default();
        GatewayBuilder { catalog, fleet, leases: None, holder: None, options, connector: Arc::new(Tcp) }
    }

    /// Starts the control side as a task: it follows the catalog and the fleet and scales. Once for a gateway.
    pub fn start(&self) -> Control {
        let (stop, stopped) = oneshot::channel::<()>();
        let gateway = self.clone();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            gateway.run(stopped).await;
        });
        Control { stop: Some(stop), task }
    }

    /// Runs the control side here, until `shutdown`; see [`start`](Self::start).
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        control::run(Arc::clone(&self.inner), Seams::clone(&self.seams), shutdown).await;
    }

    /// Waits until the catalog has been read. Requests before that are answered 503.
    pub async fn ready(&self) {
        self.inner.wait_synced().await;
    }

    /// Whether requests should come here: the catalog was read, and no drain has begun.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.is_ready()
    }

    /// Says that this gateway goes away: it is no longer ready, and still answers. [`serve`](crate::serve) does so by
    /// itself when it is shut down.
    pub fn drain(&self) {
        self.inner.set_draining();
    }

    /// Answers one request from `peer`.
    pub async fn respond(&self, request: Request<Incoming>, peer: Peer) -> Response<AnswerBody> {
        let answering = service::respond(Arc::clone(&self.inner), request.map(Source::Incoming), peer);
        let Ok(response) = answering.await;
        response
    }

    /// What the gateway looks like now.
    #[must_use]
    pub fn snapshot(&self) -> GatewaySnapshot {
        let mut endpoints: Vec<EndpointSnapshot> =
            self.inner.routes.load().values().map(|endpoint| endpoint_snapshot(endpoint)).collect();
        endpoints.sort_by(|a, b| a.name.cmp(&b.name));
        let scales = self.inner.scales.load(Ordering::Relaxed);
        GatewaySnapshot { ready: self.is_ready(), scales, endpoints }
    }

    /// All metrics in Prometheus' text form.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.inner.metrics.text(&self.snapshot())
    }
}

fn endpoint_snapshot(endpoint: &crate::choice::Endpoint) -> EndpointSnapshot {
    let live = endpoint.live.load();
    let versions = live.choices.iter().map(|choice| {
        let lane = &choice.lane;
        let (load, window, totals) = (lane.load(), lane.window.load(), lane.stats.totals());
        VersionSnapshot {
            name: lane.id.version.to_string(),
            share_percent: live.share_percent(&lane.id.version),
            default: lane.id.version == live.spec.default,
            control: lane.id.version == live.spec.control,
            ready: load.replicas,
            wanted: window.wanted,
            draining: load.draining,
            busy: load.occupied,
            in_flight: load.busy,
            queued: load.queued,
            requests: totals.arrivals,
            answered: totals.completions,
            rps: window.rps,
            p50: window.p50,
            p99: window.p99,
            trouble: window.trouble.clone(),
        }
    });
    EndpointSnapshot { name: endpoint.name.to_string(), versions: versions.collect() }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

/// The peer is taken from the request's extensions; see [`Peer`].
impl hyper::service::Service<Request<Incoming>> for Gateway {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let peer = request.extensions_mut().remove::<Peer>().unwrap_or_default();
        service::respond(Arc::clone(&self.inner), request.map(Source::Incoming), peer)
    }
}

/// The control side of a gateway, running. Dropped, it ends without giving back its lease.
#[derive(Debug)]
#[must_use = "the control side ends when this is dropped"]
pub struct Control {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Control {
    /// Ends the control side and gives its lease back, so that another gateway can scale at once.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        // A panic in there was reported when it happened.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}
