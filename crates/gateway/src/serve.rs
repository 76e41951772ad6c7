//! Connections: accepting them, speaking HTTP/1.1 and HTTP/2 on them, and letting them end in peace.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::admin::Admin;
use crate::answer::AnswerBody;
use crate::gateway::Gateway;
use crate::service::{self, Peer};
use crate::upload::{BoxError, Source};

/// Listens at `address`. `[::]` means every address of the machine, of IPv6 and of IPv4 (where Linux' `bindv6only` is off,
/// as it is by default), and on a machine without IPv6 those of IPv4.
///
/// # Errors
///
/// When the address is taken, is not this machine's, or may not be used.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_without_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

/// Systems have several words for it; these two kinds say that IPv6 is there.
fn is_without_ipv6(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

/// Serves `gateway` on `listener`, HTTP/1.1 and HTTP/2 with prior knowledge, until `shutdown`; then drains: nothing new
/// is accepted, what was begun is finished, at most for [`GatewayOptions::drain`](crate::GatewayOptions::drain).
///
/// # Errors
///
/// When the listener fails for good. That a connection could not be accepted is logged and survived.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let limit = gateway.drain;
    let connections = Connections::new();
    accept(&listener, shutdown, |stream, address| {
        let service = Connection { gateway: gateway.clone(), peer: Peer::tcp(address) };
        tokio::spawn(connections.serve(stream, service));
    })
    .await?;
    drop(listener);
    gateway.drain();
    let ended = async {
        connections.drained().await;
        // Tunnels have left their connections behind.
        let _ = gateway.inner.tunnels.subscribe().wait_for(|open| *open == 0).await;
    };
    if tokio::time::timeout(limit, ended).await.is_err() {
        tracing::warn!(?limit, "some requests did not end in time");
    }
    Ok(())
}

/// Serves health, metrics and status on `listener`, until `shutdown`. See [`Admin`].
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_admin(
    listener: TcpListener,
    gateway: Gateway,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Connections::new();
    let admin = Admin::new(gateway);
    accept(&listener, shutdown, |stream, _| {
        tokio::spawn(connections.serve(stream, admin.clone()));
    })
    .await?;
    drop(listener);
    let _ = tokio::time::timeout(ADMIN_DRAIN, connections.drained()).await;
    Ok(())
}

/// Serves `gateway` on one connection that was accepted elsewhere: a Unix socket, a pipe, a stream that was decrypted.
pub async fn serve_connection<T>(stream: T, gateway: Gateway, peer: Peer)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Connections::new().serve(stream, Connection { gateway, peer }).await;
}

async fn accept(
    listener: &TcpListener,
    shutdown: impl Future<Output = ()>,
    mut take: impl FnMut(tokio::net::TcpStream, SocketAddr),
) -> io::Result<()> {
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                // A failure shows on the first use of the stream.
                let _ = stream.set_nodelay(true);
                take(stream, address);
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            // Out of file descriptors, most likely: those in use will come back.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The gateway as one connection sees it.
#[derive(Clone)]
struct Connection {
    gateway: Gateway,
    peer: Peer,
}

impl Service<Request<Incoming>> for Connection {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        service::respond(Arc::clone(&self.gateway.inner), request.map(Source::Incoming), self.peer)
    }
}

/// How HTTP is spoken, and which connections are open.
struct Connections {
    http: auto::Builder<TokioExecutor>,
    graceful: GracefulShutdown,
}

impl Connections {
    fn new() -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(HEAD_BYTES);
        http.http2()
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        Self { http, graceful: GracefulShutdown::new() }
    }

    fn serve<T, S, B>(&self, stream: T, service: S) -> impl Future<Output = ()> + Send + 'static
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let (http, watcher) = (self.http.clone(), self.graceful.watcher());
        speak(http, watcher, stream, service)
    }

    async fn drained(self) {
        self.graceful.shutdown().await;
    }
}

async fn speak<T, S, B>(http: auto::Builder<TokioExecutor>, watcher: Watcher, stream: T, service: S)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        // A client that leaves or does not speak HTTP: its affair.
        tracing::debug!(error = %error, "connection ended");
    }
}

/// To read the head of a request; also how long a connection may be idle.
const HEAD_LIMIT: Duration = Duration::from_secs(75);
/// The largest head of a request.
const HEAD_BYTES: usize = 64 * 1024;
const MAX_STREAMS: u32 = 256;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const ADMIN_DRAIN: Duration = Duration::from_secs(1);
