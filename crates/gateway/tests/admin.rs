//! What operators see: health, metrics, status and the access log; and how a server starts and ends.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{Rig, endpoint, full, ok, version};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::rt::TokioIo;
use portway_backend::memory::{MemoryBackend, MemoryCatalog};
use portway_gateway::{Admin, Gateway, Peer, serve, serve_admin, serve_connection};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::sleep;

async fn ask(gateway: &Gateway, path: &str) -> (StatusCode, String) {
    let response = Admin::new(gateway.clone()).call(Request::get(path).body(()).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn r_rtr_14_metrics_tell_endpoint_version_role_and_outcome() {
    let rig = Rig::new().await.with_keys("iris").await;
    let server = rig.pipes.add(|_, _| async {
        sleep(Duration::from_millis(50)).await;
        ok("a")
    });
    rig.show("iris", "blue", &[&server]).await;
    rig.put(&endpoint("iris", vec![version("blue", 0), version("green", 0)])).await;
    rig.post("iris", "").await;
    rig.post("tulip", "").await;
    sleep(Duration::from_secs(3)).await;
    let (status, text) = ask(&rig.gateway, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        r#"portway_requests_total{endpoint="iris",version="blue",role="control",outcome="ok"} 1"#,
        r#"portway_refused_total{endpoint="",outcome="unknown_key"} 1"#,
        r#"portway_queue_wait_seconds_count{endpoint="iris",version="blue",role="control"} 1"#,
        r#"portway_upstream_time_seconds_count{endpoint="iris",version="blue",role="control"} 1"#,
        r#"portway_replicas_ready{endpoint="iris",version="blue",role="control"} 1"#,
        r#"portway_replicas_wanted{endpoint="iris",version="green",role="treatment"} 0"#,
        r#"portway_utilisation_busy{endpoint="iris",version="blue",role="control"} 0.0"#,
        r#"portway_utilisation_busy_and_queued{endpoint="iris",version="blue",role="control"} 0.0"#,
        r#"portway_in_flight{endpoint="iris",version="blue",role="control"} 0"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let (_, status) = ask(&rig.gateway, "/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let blue = &status["endpoints"][0]["versions"][0];
    assert_eq!((blue["name"].as_str(), blue["share_percent"].as_f64()), (Some("blue"), Some(100.0)));
    let p50 = blue["p50_ms"].as_f64().unwrap();
    assert!((50.0..60.0).contains(&p50), "{p50}");
    assert_eq!(ask(&rig.gateway, "/live").await.0, StatusCode::OK);
    assert_eq!(ask(&rig.gateway, "/nothing").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_14_health_follows_the_catalog_and_the_drain_and_is_not_on_the_public_side() {
    let catalog = Arc::new(MemoryCatalog::new());
    catalog.faults().fail_next(portway_backend::ErrorKind::Unavailable, 6);
    let gateway = Gateway::builder(catalog, Arc::new(MemoryBackend::unreachable())).build();
    let control = gateway.start();
    tokio::task::yield_now().await;
    assert_eq!(ask(&gateway, "/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let (here, there) = tokio::io::duplex(4096);
    tokio::spawn(serve_connection(there, gateway.clone(), Peer::default()));
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(here)).await.unwrap();
    tokio::spawn(connection);
    let mut get = async |path: &str| {
        client.ready().await.unwrap();
        client.send_request(Request::get(path).body(full("")).unwrap()).await.unwrap()
    };
    let early = get("/api/v1/service/iris/score").await;
    assert_eq!(early.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(early.headers()["retry-after"], "1");
    for path in ["/ready", "/live", "/metrics", "/status"] {
        assert_eq!(get(path).await.status(), StatusCode::NOT_FOUND);
    }
    gateway.ready().await;
    assert_eq!(ask(&gateway, "/ready").await.0, StatusCode::OK);
    gateway.drain();
    assert_eq!(ask(&gateway, "/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
    control.stop().await;
}

/// A request over a real socket.
async fn get(address: std::net::SocketAddr, request: Request<common::Body>) -> (StatusCode, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = client.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn r_rtr_8_a_server_that_is_shut_down_finishes_what_it_has_and_takes_nothing_new() {
    let rig = Rig::over_tcp().await.with_keys("iris").await;
    let (release, released) = tokio::sync::watch::channel(false);
    let server = rig.pipes.add(move |_, _| {
        let mut released = released.clone();
        async move {
            released.wait_for(|released| *released).await.unwrap();
            ok("done")
        }
    });
    rig.show("iris", "blue", &[&server]).await;
    rig.put(&endpoint("iris", vec![version("blue", 0)])).await;
    let (listener, admin) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (address, admin_address) = (listener.local_addr().unwrap(), admin.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, rig.gateway.clone(), async { drop(stopped.await) }));
    let admin = tokio::spawn(serve_admin(admin, rig.gateway.clone(), std::future::pending()));
    let ready = || Request::get("/ready").body(full("")).unwrap();
    assert_eq!(get(admin_address, ready()).await.0, StatusCode::OK);
    // A client that keeps its connection open and idle does not hold the drain up.
    let idle = TcpStream::connect(address).await.unwrap();
    let pending = tokio::spawn(get(address, rig.request("iris", "x")));
    settle_real(|| server.inside.load(Ordering::SeqCst) == 1).await;
    stop.send(()).unwrap();
    settle_real(|| !rig.gateway.is_ready()).await;
    assert_eq!(get(admin_address, ready()).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!serving.is_finished());
    release.send(true).unwrap();
    assert_eq!(pending.await.unwrap(), (StatusCode::OK, "done".to_owned()));
    serving.await.unwrap().unwrap();
    admin.abort();
    drop(idle);
}

/// As `settle`, where other threads and the kernel need a moment.
async fn settle_real(mut done: impl FnMut() -> bool) {
    while !done() {
        sleep(Duration::from_millis(1)).await;
    }
}
