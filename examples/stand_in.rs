//! A stand-in for a model's program, to try a cluster and its nodes with: it serves as a model has to, says what it may do
//! where it runs, and fails when it is told to.
//!
//! `PORT=8080 cargo run -p examples --example stand_in --features kubernetes`; in an image it is the entry point, and `.ci/image`
//! puts it into one.
//!
//! | asked | it |
//! | --- | --- |
//! | `GET /` | says that it is well |
//! | `GET /self` | says as whom it runs and what it can write, as JSON |
//! | `POST /score` | gives the body back, after as many milliseconds as the header `x-wait-ms` says |
//! | `POST /hang` | answers nothing any more, whatever it is asked |
//!
//! `STAND_IN_EXIT=3` lets it end with that code before it serves, `STAND_IN_EATS_MIB=64` take that much memory. It ends at SIGTERM when what it was asked is answered.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    if let Ok(code) = std::env::var("STAND_IN_EXIT") {
        println!("loading the model");
        println!("there is no model: STAND_IN_EXIT is {code}");
        return Ok(ExitCode::from(code.parse::<u8>().context("STAND_IN_EXIT is no code")?));
    }
    // Written to, since memory that is only promised takes none.
    let eats = std::env::var("STAND_IN_EATS_MIB").ok().and_then(|mib| mib.parse::<usize>().ok()).unwrap_or(0);
    let _eaten = std::hint::black_box(vec![1_u8; eats << 20]);
    let port = std::env::var("PORT").context("PORT is not set")?.parse().context("PORT is no port")?;
    // A process that is the first of its namespace heeds only the signals that it asks for.
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await?;
    println!("serving on port {port}");
    let (stop, hung) = (watch::Sender::new(false), Arc::new(watch::Sender::new(false)));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                while connections.try_join_next().is_some() {}
                connections.spawn(serve(stream, stop.subscribe(), hung.clone()));
            }
            _ = terminate.recv() => break,
        }
    }
    println!("told to go");
    stop.send_replace(true);
    while connections.join_next().await.is_some() {}
    println!("all is answered");
    Ok(ExitCode::SUCCESS)
}

async fn serve(stream: TcpStream, mut stop: watch::Receiver<bool>, hung: Arc<watch::Sender<bool>>) {
    let service = service_fn(|request| answer(request, &hung));
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(
    request: Request<Incoming>,
    hung: &watch::Sender<bool>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if path != "/" {
        println!("{method} {path}");
    }
    let wait = request.headers().get("x-wait-ms").and_then(|wait| wait.to_str().ok()?.parse().ok());
    let (status, body) = match (method, path.as_str()) {
        (Method::GET, "/") => (StatusCode::OK, "well\n".into()),
        (Method::GET, "/self") => (StatusCode::OK, portrait()),
        (Method::POST, "/score") => {
            if let Some(wait) = wait {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            match request.into_body().collect().await {
                Ok(body) => (StatusCode::OK, body.to_bytes()),
                Err(_) => (StatusCode::BAD_REQUEST, Bytes::new()),
            }
        }
        (Method::POST, "/hang") => {
            hung.send_replace(true);
            (StatusCode::OK, Bytes::new())
        }
        _ => (StatusCode::NOT_FOUND, Bytes::new()),
    };
    if *hung.borrow() {
        std::future::pending::<()>().await;
    }
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    if let Some(name) = std::env::var("PORTWAY_REPLICA").ok().and_then(|name| name.parse().ok()) {
        response.headers_mut().insert("x-replica", name);
    }
    Ok(response)
}

/// As whom it runs, and what it can write.
fn portrait() -> Bytes {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|line| line.split_whitespace().next().unwrap_or_default().to_owned())
    };
    let writes = |folder: &str| std::fs::write(format!("{folder}/stand-in"), "").is_ok();
    let said = serde_json::json!({
        "user": of("Uid"), "group": of("Gid"), "capabilities": of("CapEff"), "no_new_privileges": of("NoNewPrivs"),
        "seccomp": of("Seccomp"), "writes_home": writes("/home/stand-in"), "writes_tmp": writes("/tmp"),
        "service_account_token": std::fs::exists("/var/run/secrets/kubernetes.io/serviceaccount/token").ok(),
        "process": std::process::id(),
    });
    said.to_string().into()
}
