//! What runs in a pod: an HTTP server at an address of its own.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::logs::Logs;

/// The port on which every pod serves.
const PORT: u16 = 8080;

/// Serves HTTP as a pod until it is dropped, which also ends its connections.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    pub(super) async fn start(pod: &Pod, logs: Logs) -> Self {
        let listener = listener().await;
        let address = listener.local_addr().expect("it listens");
        logs.write(&pod.name_any(), &format!("listening on {address}"));
        let accepting = tokio::spawn(accept(listener, pod.name_any(), logs));
        Self { address, accepting }
    }
}

/// Listens at an address of 127.0.0.0/8 that nobody else has.
async fn listener() -> TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes begin far apart from each other; an address that is taken all the same is passed over.
    let start = std::process::id().wrapping_mul(2_654_435_761);
    for _ in 0..10_000 {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let [_, a, b, c] = number.to_be_bytes();
        let address = Ipv4Addr::new(127, 1 + a % 254, b, 1 + c % 254);
        if let Ok(listener) = TcpListener::bind((address, PORT)).await {
            return listener;
        }
    }
    panic!("no address of 127.0.0.0/8 has port {PORT} free");
}

async fn accept(listener: TcpListener, pod: String, logs: Logs) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let (pod, logs) = (pod.clone(), logs.clone());
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                logs.write(&pod, &format!("{} {}", request.method(), request.uri()));
                answer(request, pod.clone())
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// `GET /` is the pod's health; `POST` gives the body back, with the pod's name in `x-replica`.
async fn answer(request: Request<Incoming>, pod: String) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match *request.method() {
        Method::GET => (StatusCode::OK, Bytes::from_static(b"healthy\n")),
        Method::POST => match request.into_body().collect().await {
            Ok(body) => (StatusCode::OK, body.to_bytes()),
            Err(_) => (StatusCode::BAD_REQUEST, Bytes::new()),
        },
        _ => (StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    if let Ok(name) = pod.parse() {
        response.headers_mut().insert("x-replica", name);
    }
    Ok(response)
}
