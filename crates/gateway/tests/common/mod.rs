//! A gateway between in-memory clients and in-memory replicas. Nothing here opens a socket, so paused time works.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use portway_auth::{Credentials, Entropy, KeySlot};
use portway_backend::memory::{MemoryBackend, MemoryCatalog, MemoryLeases};
use portway_backend::{
    Catalog as _, DocKey, DocKind, Document, Expected, Phase, Replica, ReplicaId, ReplicaState, Status,
    WorkloadId,
};
use portway_deploy_config::{EndpointSpec, VersionSpec};
use portway_gateway::{Connector, Control, Gateway, GatewayOptions, Peer, Transport, serve_connection};
use tokio::sync::watch;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;
type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>, Arc<Server>) -> Answer + Send + Sync>;

/// One replica: a hyper server behind a pipe.
pub struct Server {
    pub address: SocketAddr,
    handler: Handler,
    pub inside: AtomicU32,
    pub most_inside: AtomicU32,
    pub served: AtomicU64,
    pub connections: AtomicU64,
    alive: watch::Sender<bool>,
}

impl Server {
    /// Breaks every connection and takes no new ones, as `kill -9` does.
    pub fn kill(&self) {
        self.alive.send_replace(false);
    }

    pub fn revive(&self) {
        self.alive.send_replace(true);
    }
}

/// The network: replicas by address.
#[derive(Default)]
pub struct Pipes {
    /// Real connections over loopback instead of pipes.
    tcp: bool,
    servers: Mutex<HashMap<SocketAddr, Arc<Server>>>,
    next: AtomicU32,
}

impl Pipes {
    pub fn add<F, A>(&self, handler: F) -> Arc<Server>
    where
        F: Fn(Request<Incoming>, Arc<Server>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 5001));
        let server = Arc::new(Server {
            address,
            handler: Arc::new(move |request, server| Box::pin(handler(request, server))),
            inside: AtomicU32::new(0),
            most_inside: AtomicU32::new(0),
            served: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            alive: watch::Sender::new(true),
        });
        self.servers.lock().unwrap().insert(address, Arc::clone(&server));
        server
    }
}

struct Inside(Arc<Server>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Connector for Pipes {
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Transport>> {
        let server = self.servers.lock().unwrap().get(&address).cloned();
        let Some(server) = server.filter(|server| *server.alive.borrow()) else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        server.connections.fetch_add(1, Ordering::SeqCst);
        let (here, there) = pair(self.tcp).await?;
        tokio::spawn(async move {
            let mut alive = server.alive.subscribe();
            let service = service_fn(|request| {
                let server = Arc::clone(&server);
                async move {
                    let now = server.inside.fetch_add(1, Ordering::SeqCst) + 1;
                    server.most_inside.fetch_max(now, Ordering::SeqCst);
                    let inside = Inside(Arc::clone(&server));
                    let response = (server.handler)(request, Arc::clone(&server)).await;
                    server.served.fetch_add(1, Ordering::SeqCst);
                    // The request is inside until the last byte of its answer has been taken.
                    let response = response.map(|body| {
                        body.map_frame(move |frame| {
                            let _ = &inside;
                            frame
                        })
                    });
                    Ok::<_, Infallible>(response)
                }
            });
            let http = auto::Builder::new(TokioExecutor::new());
            let serving = http.serve_connection_with_upgrades(TokioIo::new(there), service);
            tokio::select! {
                _ = serving => {}
                _ = alive.wait_for(|alive| !alive) => {}
            }
        });
        Ok(here)
    }
}

type Stream = Box<dyn Transport>;

/// The two ends of a connection.
async fn pair(tcp: bool) -> io::Result<(Stream, Stream)> {
    if !tcp {
        let (here, there) = tokio::io::duplex(64 * 1024);
        return Ok((Box::new(here), Box::new(there)));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let (here, there) =
        tokio::join!(tokio::net::TcpStream::connect(listener.local_addr()?), listener.accept());
    Ok((Box::new(here?), Box::new(there?.0)))
}

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

pub fn ok(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(full(text))
}

/// A body of `count` pieces, one each `pause`.
pub fn stream(count: u32, pause: Duration) -> Body {
    let frames = futures_util::stream::unfold(0, move |sent| async move {
        if sent == count {
            return None;
        }
        tokio::time::sleep(pause).await;
        Some((Ok(Frame::data(Bytes::from(format!("data: {sent}\n\n")))), sent + 1))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Everything around one gateway.
pub struct Rig {
    pub gateway: Gateway,
    pub control: Option<Control>,
    pub leases: Arc<MemoryLeases>,
    pub catalog: Arc<MemoryCatalog>,
    pub backend: Arc<MemoryBackend>,
    pub pipes: Arc<Pipes>,
    pub key: String,
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(GatewayOptions::default()).await
    }

    pub async fn with(options: GatewayOptions) -> Self {
        Self::build(options, false, false).await
    }

    /// Everything over real sockets.
    pub async fn over_tcp() -> Self {
        Self::build(GatewayOptions::default(), false, true).await
    }

    /// A gateway that may scale, over a backend that starts replicas by `address`.
    pub async fn scaling(options: GatewayOptions) -> Self {
        Self::build(options, true, false).await
    }

    async fn build(options: GatewayOptions, scales: bool, tcp: bool) -> Self {
        let catalog = Arc::new(MemoryCatalog::new());
        let pipes = Arc::new(Pipes { tcp, ..Pipes::default() });
        let spawner = Arc::clone(&pipes);
        let backend = Arc::new(MemoryBackend::new(move |id, _| {
            let name = id.version.to_string();
            let served = move |request: Request<Incoming>, _: Arc<Server>| {
                let name = name.clone();
                let seconds = request.headers().get("x-seconds").and_then(|value| value.to_str().ok());
                let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(1);
                async move {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    ok(name)
                }
            };
            spawner.add(served).address
        }));
        let mut builder =
            Gateway::builder(Arc::<MemoryCatalog>::clone(&catalog), Arc::<MemoryBackend>::clone(&backend))
                .options(options)
                .connector(Arc::<Pipes>::clone(&pipes));
        let leases = Arc::new(MemoryLeases::new());
        if scales {
            builder = builder.leases(Arc::<MemoryLeases>::clone(&leases));
        }
        let gateway = builder.build();
        let control = gateway.start();
        gateway.ready().await;
        let control = Some(control);
        Self { gateway, control, leases, catalog, backend, pipes, key: String::new() }
    }

    /// Writes the endpoint's document.
    pub async fn write(&self, spec: &EndpointSpec) {
        let document = Document::from_json(spec.to_json()).unwrap();
        let key = DocKey::new(DocKind::Endpoint, spec.name.as_ref()).unwrap();
        self.catalog.put(&key, &document, Expected::Any).await.unwrap();
    }

    /// Writes the endpoint's document and waits until the gateway goes by it.
    pub async fn put(&self, spec: &EndpointSpec) {
        self.write(spec).await;
        let name = spec.name.to_string();
        let versions: Vec<String> = spec.versions.iter().map(|version| version.name.to_string()).collect();
        settle(|| {
            let snapshot = self.gateway.snapshot();
            let found = snapshot.endpoints.iter().find(|endpoint| endpoint.name == name);
            found.is_some_and(|found| {
                found.versions.iter().map(|version| version.name.clone()).collect::<Vec<_>>() == versions
                    && found.versions.iter().zip(&spec.versions).all(|(seen, wanted)| {
                        let share = f64::from(spec.effective_share(&wanted.name).basis_points()) / 100.0;
                        (seen.share_percent - share).abs() < 1e-9
                    })
            })
        })
        .await;
    }

    /// Gives the endpoint keys, which are then used by [`Self::post`].
    pub async fn with_keys(mut self, endpoint: &str) -> Self {
        let entropy = || Entropy::from_system().unwrap();
        let credentials = Credentials::generate(&entropy(), &entropy()).unwrap();
        self.key = credentials.key(KeySlot::Primary).expose().to_owned();
        let document = Document::from_json(credentials.verifier().to_json()).unwrap();
        let key = DocKey::new(DocKind::Verifier, endpoint).unwrap();
        self.catalog.put(&key, &document, Expected::Any).await.unwrap();
        self
    }

    /// Shows replicas of a version to the gateway and waits until it has taken them in.
    pub async fn show(&self, endpoint: &str, version: &str, servers: &[&Arc<Server>]) {
        let id = id(endpoint, version);
        self.backend.set_status(&id, status(&id, servers.iter().map(|server| server.address)));
        let wanted = servers.len() as u32;
        settle(|| {
            let snapshot = self.gateway.snapshot();
            snapshot.version(endpoint, version).is_none_or(|seen| seen.ready == wanted)
        })
        .await;
    }

    pub async fn post(&self, endpoint: &str, body: impl Into<Bytes>) -> Reply {
        self.send(self.request(endpoint, body)).await
    }

    pub fn request(&self, endpoint: &str, body: impl Into<Bytes>) -> Request<Body> {
        Request::post(format!("/api/v1/service/{endpoint}/score"))
            .header("host", "models.example")
            .header("authorization", format!("Bearer {}", self.key))
            .body(full(body))
            .unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let mut client = self.client().await;
        let response = client.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        Reply { status: parts.status, headers: parts.headers, body: body.map_err(|error| error.to_string()) }
    }

    /// A client on a connection of its own.
    pub async fn client(&self) -> http1::SendRequest<Body> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.pipe().await)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender
    }

    /// The client's end of a connection to the gateway.
    pub async fn pipe(&self) -> Stream {
        let (here, there) = pair(self.pipes.tcp).await.unwrap();
        let peer = Peer::tcp(SocketAddr::from(([192, 0, 2, 7], 40_000)));
        tokio::spawn(serve_connection(there, self.gateway.clone(), peer));
        here
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Result<Bytes, String>,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub fn id(endpoint: &str, version: &str) -> WorkloadId {
    WorkloadId::new(endpoint.parse().unwrap(), version.parse().unwrap())
}

pub fn status(id: &WorkloadId, addresses: impl Iterator<Item = SocketAddr>) -> Status {
    let replica = |address| Replica {
        id: ReplicaId::new(format!("{id}-{address}")),
        state: ReplicaState::Ready(address),
    };
    let mut status = Status::absent();
    status.replicas = addresses.map(replica).collect();
    status.wanted = status.replicas.len() as u32;
    status.phase = Phase::Healthy;
    status
}

pub fn version(name: &str, percent: u16) -> VersionSpec {
    let mut version = VersionSpec::new(name.parse().unwrap());
    version.share = portway_deploy_config::Share::from_basis_points(percent * 100).unwrap();
    version
}

/// An endpoint of these versions; the first is default and control.
pub fn endpoint(name: &str, versions: Vec<VersionSpec>) -> EndpointSpec {
    let mut versions = versions.into_iter();
    let mut spec = EndpointSpec::new(name.parse().unwrap(), versions.next().unwrap());
    spec.versions.extend(versions);
    spec
}

/// Lets other tasks work until `done`.
pub async fn settle(mut done: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if done() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("this never came true");
}
