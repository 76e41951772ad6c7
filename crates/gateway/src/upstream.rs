//! The connections to one replica: a last-in-first-out stack of idle HTTP/1 senders, or one shared HTTP/2 sender.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portway_backend::ReplicaId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::upload::Cursor;

/// How the gateway speaks to replicas.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Protocol {
    /// HTTP/1.1, a connection per request inside a replica. The default.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge, one connection per replica.
    Http2,
}

/// A byte stream to a replica.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// How a replica is reached. [`Tcp`] is what programs want; tests put pipes in its place.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Opens a connection to the replica at `address`.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being opened. Nothing has been sent then, so the request may go elsewhere.
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Transport>>;
}

/// Connections over TCP, without Nagle's delay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

#[async_trait]
impl Connector for Tcp {
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Transport>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// How replicas are reached, for all of a gateway.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) protocol: Protocol,
    pub(crate) limit: Duration,
}

/// One replica and the connections to it.
pub(crate) struct Upstream {
    /// Its number, unique in this gateway: a replica that comes back gets another.
    pub(crate) number: u64,
    pub(crate) replica: ReplicaId,
    pub(crate) address: SocketAddr,
    host: HeaderValue,
    authority: Authority,
    dialer: Dialer,
    idle: Mutex<Vec<Idle>>,
    shared: tokio::sync::Mutex<Option<Shared>>,
    retired: AtomicBool,
}

struct Idle {
    connection: Http1,
    since: Instant,
}

struct Http1 {
    sender: http1::SendRequest<Cursor>,
    _driver: Driver,
}

struct Shared {
    sender: http2::SendRequest<Cursor>,
    _driver: Driver,
}

/// The task behind a connection; it ends with its owner, so that a client that leaves takes its connection along.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a request brought no answer.
#[derive(Debug)]
pub(crate) enum SendError {
    /// No connection: nothing was sent.
    Connect(io::Error),
    /// The connection closed before anything was written to it.
    Unsent(hyper::Error),
    /// Something may have been read by the replica.
    Lost(hyper::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Unsent(error) => write!(f, "closed before the request was sent: {error}"),
            Self::Lost(error) => write!(f, "closed before an answer: {error}"),
        }
    }
}

/// A request that brought no answer, and the request itself where the replica cannot have seen any of it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: SendError,
    pub(crate) unread: Option<Request<Cursor>>,
}

impl Failed {
    fn unread(error: SendError, request: Request<Cursor>) -> Box<Self> {
        Box::new(Self { error, unread: Some(request) })
    }

    fn of(mut error: hyper::client::conn::TrySendError<Request<Cursor>>) -> Box<Self> {
        let unread = error.take_message();
        let error = error.into_error();
        let error = if unread.is_some() { SendError::Unsent(error) } else { SendError::Lost(error) };
        Box::new(Self { error, unread })
    }
}

type Sent = Result<(Response<Incoming>, Carrier), Box<Failed>>;

/// What carries an exchange, until its answer has been read.
pub(crate) struct Carrier(Option<Http1>);

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier")
    }
}

impl Upstream {
    pub(crate) fn new(number: u64, replica: ReplicaId, address: SocketAddr, dialer: Dialer) -> Self {
        let text = address.to_string();
        let host = HeaderValue::try_from(&text).expect("an address and a port are legal in a header");
        let authority = text.parse().expect("an address and a port are an authority");
        let (idle, shared) = (Mutex::default(), tokio::sync::Mutex::default());
        let retired = AtomicBool::new(false);
        Self { number, replica, address, host, authority, dialer, idle, shared, retired }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&self, request: Request<Cursor>, now: Instant) -> Sent {
        match self.dialer.protocol {
            Protocol::Http1 => self.send_http1(request, now).await,
            // The larger of the two, on its own, so that HTTP/1 need not carry room for it.
            Protocol::Http2 => Box::pin(self.send_http2(request)).await,
        }
    }

    async fn send_http1(&self, mut request: Request<Cursor>, now: Instant) -> Sent {
        request.headers_mut().insert(header::HOST, self.host.clone());
        *request.version_mut() = http::Version::HTTP_11;
        loop {
            let (mut connection, reused) = match self.pop(now) {
                Some(connection) => (connection, true),
                None => match Box::pin(self.dial_http1()).await {
                    Ok(connection) => (connection, false),
                    Err(error) => return Err(Failed::unread(error, request)),
                },
            };
            if connection.sender.ready().await.is_err() && reused {
                continue;
            }
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, Carrier(Some(connection)))),
                Err(error) => match *Failed::of(error) {
                    // An idle connection that the replica had closed meanwhile.
                    Failed { unread: Some(unread), .. } if reused => request = unread,
                    failed => return Err(Box::new(failed)),
                },
            }
        }
    }

    async fn send_http2(&self, mut request: Request<Cursor>) -> Sent {
        *request.version_mut() = http::Version::HTTP_2;
        request.headers_mut().remove(header::HOST);
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        *request.uri_mut() = Uri::from_parts(parts).expect("scheme, authority and path make a URI");
        let mut sender = match self.shared_http2().await {
            Ok(sender) => sender,
            Err(error) => return Err(Failed::unread(error, request)),
        };
        if let Err(error) = sender.ready().await {
            return Err(Failed::unread(SendError::Unsent(error), request));
        }
        match sender.try_send_request(request).await {
            Ok(response) => Ok((response, Carrier(None))),
            Err(error) => Err(Failed::of(error)),
        }
    }

    /// The idle connection that was used last and is still fresh.
    fn pop(&self, now: Instant) -> Option<Http1> {
        let mut idle = self.idle();
        while let Some(last) = idle.pop() {
            if now.saturating_duration_since(last.since) >= IDLE_LIFETIME {
                idle.clear();
            } else if !last.connection.sender.is_closed() {
                return Some(last.connection);
            }
        }
        None
    }

    async fn dial(&self) -> Result<TokioIo<Box<dyn Transport>>, SendError> {
        let dialing = self.dialer.connector.connect(self.address);
        match tokio::time::timeout(self.dialer.limit, dialing).await {
            Ok(dialed) => dialed.map(TokioIo::new).map_err(SendError::Connect),
            Err(_) => Err(SendError::Connect(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn dial_http1(&self) -> Result<Http1, SendError> {
        let io = self.dial().await?;
        let (sender, connection) = http1::handshake(io).await.map_err(SendError::Unsent)?;
        let driver = tokio::spawn(async move {
            // What goes wrong is told to whoever waits for an answer.
            let _ = connection.with_upgrades().await;
        });
        Ok(Http1 { sender, _driver: Driver(driver.abort_handle()) })
    }

    async fn shared_http2(&self) -> Result<http2::SendRequest<Cursor>, SendError> {
        let mut shared = self.shared.lock().await;
        if let Some(shared) = shared.as_ref().filter(|shared| !shared.sender.is_closed()) {
            return Ok(shared.sender.clone());
        }
        let io = self.dial().await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake(io)
            .await
            .map_err(SendError::Unsent)?;
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        let driver = Driver(driver.abort_handle());
        Ok(shared.insert(Shared { sender, _driver: driver }).sender.clone())
    }

    /// Opens a connection and keeps it for the next request: whether the replica can be reached.
    pub(crate) async fn probe(&self) -> bool {
        match self.dialer.protocol {
            Protocol::Http1 => match self.dial_http1().await {
                Ok(connection) => {
                    // A process that is being killed may accept once more: its listener can go after its connections.
                    tokio::time::sleep(LAST_ACCEPT).await;
                    let lasts = !connection.sender.is_closed();
                    if lasts {
                        self.push(connection, Instant::now());
                    }
                    lasts
                }
                Err(_) => false,
            },
            Protocol::Http2 => self.shared_http2().await.is_ok(),
        }
    }

    fn push(&self, connection: Http1, since: Instant) {
        if self.retired.load(Ordering::Acquire) {
            return;
        }
        self.idle().push(Idle { connection, since });
        if self.retired.load(Ordering::Acquire) {
            self.idle().clear();
        }
    }

    /// Takes a connection back whose exchange is over in both directions.
    pub(crate) fn reclaim(&self, carrier: Carrier, now: Instant) {
        if let Some(connection) = carrier.0.filter(|connection| !connection.sender.is_closed()) {
            self.push(connection, now);
        }
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn prune(&self) {
        self.idle()
            .retain(|idle| idle.since.elapsed() < IDLE_LIFETIME && !idle.connection.sender.is_closed());
    }

    /// Closes the idle connections; those in use are closed when they come back.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.idle().clear();
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("replica", &self.replica)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A little less than the shortest keep-alive in common use (gunicorn: 2 s), so that a request is rarely written to a
/// connection that the replica is closing.
const IDLE_LIFETIME: Duration = Duration::from_millis(1_500);
/// How long the end of a process may take from its first closed connection to its closed listener.
const LAST_ACCEPT: Duration = Duration::from_millis(50);
