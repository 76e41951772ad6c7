//! What goes over the wire: heads, framing, trailers, upgrades, both versions of HTTP, and bytes that no client sends.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use common::{Rig, Server, endpoint, full, ok, settle, version};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portway_gateway::{GatewayOptions, Protocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn rig<A>(
    options: GatewayOptions,
    handler: fn(Request<Incoming>, Arc<Server>) -> A,
) -> (Rig, Arc<Server>)
where
    A: Future<Output = Response<common::Body>> + Send + 'static,
{
    let rig = Rig::with(options).await.with_keys("iris").await;
    let server = rig.pipes.add(handler);
    rig.show("iris", "blue", &[&server]).await;
    rig.put(&endpoint("iris", vec![version("blue", 0)])).await;
    (rig, server)
}

/// Answers with the head that the replica got.
async fn head(request: Request<Incoming>, _: Arc<Server>) -> Response<common::Body> {
    let mut text = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    let body = request.into_body().collect().await.unwrap();
    text.push_str(&format!("trailers: {:?}\n", body.trailers()));
    text.push_str(std::str::from_utf8(&body.to_bytes()).unwrap());
    let mut response = ok(text);
    response.headers_mut().insert("connection", "x-private".parse().unwrap());
    response.headers_mut().insert("x-private", "1".parse().unwrap());
    response.headers_mut().insert("keep-alive", "timeout=5".parse().unwrap());
    response.headers_mut().insert("x-ms-run-fn-exec-ms", "3".parse().unwrap());
    response
}

#[tokio::test(start_paused = true)]
async fn r_rtr_10_a_replica_gets_what_is_its_and_nothing_of_the_connection() {
    let (rig, _server) = rig(GatewayOptions::default(), head).await;
    let mut request = rig.request("iris", "hello");
    let headers = request.headers_mut();
    headers.insert("connection", "keep-alive, x-hop".parse().unwrap());
    headers.insert("x-hop", "1".parse().unwrap());
    headers.insert("x-forwarded-for", "127.0.0.1".parse().unwrap());
    headers.insert("x-ms-request-id", "00000000-0000-4000-8000-00000000000a".parse().unwrap());
    headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
    headers.insert("accept", "application/json".parse().unwrap());
    *request.uri_mut() = "/api/v1/service/iris/score?verbose=1".parse().unwrap();
    let reply = rig.send(request).await;
    let text = reply.text();
    for line in [
        "POST /score?verbose=1 HTTP/1.1",
        "host: 10.0.0.0:5001",
        "content-length: 5",
        "accept: application/json",
        "x-forwarded-for: 192.0.2.7",
        "x-forwarded-host: models.example",
        "x-forwarded-proto: http",
        "forwarded: for=192.0.2.7;proto=http;host=\"models.example\"",
        "x-ms-request-id: 00000000-0000-4000-8000-00000000000a",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "hello",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for absent in ["x-hop", "authorization", "keep-alive", "connection:"] {
        assert!(!text.contains(absent), "{absent} is in\n{text}");
    }
    assert_eq!(reply.header("x-ms-request-id"), Some("00000000-0000-4000-8000-00000000000a"));
    assert_eq!(reply.header("x-ms-run-fn-exec-ms"), Some("3"));
    assert_eq!((reply.header("x-private"), reply.header("keep-alive")), (None, None));
}

#[tokio::test(start_paused = true)]
async fn the_credential_is_passed_on_where_it_is_asked_for() {
    let options = GatewayOptions { keep_authorization: true, ..GatewayOptions::default() };
    let (rig, _server) = rig(options, head).await;
    assert!(rig.post("iris", "").await.text().contains(&format!("authorization: Bearer {}", rig.key)));
}

#[tokio::test(start_paused = true)]
async fn r_rtr_10_http_2_is_spoken_on_both_sides() {
    let options = GatewayOptions { protocol: Protocol::Http2, ..GatewayOptions::default() };
    let (rig, server) = rig(options, head).await;
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(rig.pipe().await))
            .await
            .unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let mut request = rig.request("iris", "hello");
        request.headers_mut().remove("host");
        *request.uri_mut() = "http://models.example/api/v1/service/iris/score".parse().unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.starts_with("POST http://10.0.0.0:5001/score HTTP/2.0\n"), "{text}");
        assert!(text.contains("x-forwarded-host: models.example\n") && text.ends_with("hello"), "{text}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn connections_to_a_replica_are_used_again_and_closed_when_idle() {
    let (rig, server) = rig(GatewayOptions::default(), head).await;
    for _ in 0..5 {
        rig.post("iris", "x").await;
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    rig.post("iris", "x").await;
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_10_trailers_pass_both_ways() {
    async fn with_trailers(request: Request<Incoming>, _: Arc<Server>) -> Response<common::Body> {
        let body = request.into_body().collect().await.unwrap();
        let sum = body.trailers().and_then(|trailers| trailers.get("x-sum").cloned()).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", sum);
        let frames = [Ok(Frame::data(Bytes::from("data"))), Ok(Frame::trailers(trailers))];
        let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync());
        response.headers_mut().insert("trailer", "x-sum".parse().unwrap());
        response
    }
    let (rig, _server) = rig(GatewayOptions::default(), with_trailers).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    let frames = [Ok(Frame::data(Bytes::from("data"))), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
    let mut request = rig.request("iris", "").map(|_| body);
    request.headers_mut().insert("trailer", "x-sum".parse().unwrap());
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    let mut client = rig.client().await;
    let response = client.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "42");
}

#[tokio::test(start_paused = true)]
async fn r_rtr_10_a_websocket_passes_both_ways_and_keeps_its_slot() {
    async fn echo(mut request: Request<Incoming>, _: Arc<Server>) -> Response<common::Body> {
        if !request.headers().contains_key("upgrade") {
            return ok("plain");
        }
        tokio::spawn(async move {
            let mut stream = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
            let mut buffer = [0; 5];
            stream.read_exact(&mut buffer).await.unwrap();
            buffer.reverse();
            stream.write_all(&buffer).await.unwrap();
        });
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", "upgrade".parse().unwrap());
        response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        response
    }
    let (rig, _server) = rig(GatewayOptions::default(), echo).await;
    let request = Request::get("/api/v1/service/iris/score")
        .header("authorization", format!("Bearer {}", rig.key))
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut client = rig.client().await;
    let mut response = client.send_request(request.body(full("")).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["azureml-model-deployment"], "blue");
    let in_flight = || rig.gateway.snapshot().version("iris", "blue").unwrap().in_flight;
    assert_eq!(in_flight(), 1);
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut buffer = [0; 5];
    stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"olleh");
    drop(stream);
    settle(|| in_flight() == 0).await;
    assert_eq!(rig.post("iris", "").await.text(), "plain");
}

/// Sends bytes as they are and returns all that comes back until the connection closes or falls silent.
async fn raw(rig: &Rig, bytes: &[u8]) -> String {
    let mut stream = rig.pipe().await;
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(start_paused = true)]
async fn r_rtr_10_request_smuggling_gets_no_second_request_to_a_replica() {
    let (rig, server) = rig(GatewayOptions::default(), head).await;
    let start = format!(
        "POST /api/v1/service/iris/score HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {}\r\n",
        rig.key
    );
    let smuggled = "GET /api/v1/service/iris/score HTTP/1.1\r\nHost: evil\r\n\r\n";
    let attempts = [
        ("two lengths", format!("{start}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")),
        ("a list of lengths", format!("{start}Content-Length: 5, 6\r\n\r\nhello!")),
        ("a signed length", format!("{start}Content-Length: +5\r\n\r\nhello")),
        ("space before the colon", format!("{start}Content-Length : 5\r\n\r\nhello")),
        (
            "chunked is not last",
            format!("{start}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        ("an unknown coding", format!("{start}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}")),
        ("a folded field", format!("{start}X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}")),
        (
            "a bare line feed in a size",
            format!("{start}Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
        ),
        (
            "a huge chunk",
            format!("{start}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ),
        ("a NUL in a value", format!("{start}X: a\0b\r\nContent-Length: 0\r\n\r\n")),
    ];
    for (what, bytes) in attempts {
        let before = server.served.load(Ordering::SeqCst);
        let answer = raw(&rig, bytes.as_bytes()).await;
        let served = server.served.load(Ordering::SeqCst) - before;
        assert!(!answer.contains("evil"), "{what}: {answer}");
        assert!(served == 0 || !answer.contains("HTTP/1.1 200"), "{what}: {answer}");
    }
    // Both framings at once: the coding counts, the length does not reach the replica, and the rest is no request.
    let both =
        format!("{start}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let answer = raw(&rig, both.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(
        answer.contains("transfer-encoding: chunked\n") && !answer.contains("content-length: 4\n"),
        "{answer}"
    );
    assert!(answer.contains("connection: close\r\n") && answer.contains("trailers: None\nhello"), "{answer}");
    assert_eq!(rig.post("iris", "fine").await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_10_an_upgrade_to_h2c_is_not_passed_on() {
    let (rig, _server) = rig(GatewayOptions::default(), head).await;
    let request = format!(
        "GET /api/v1/service/iris/score HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {}\r\nConnection: Upgrade, \
         HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        rig.key
    );
    let answer = raw(&rig, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.to_lowercase().contains("upgrade:") && !answer.to_lowercase().contains("http2-settings"));
}

#[tokio::test(start_paused = true)]
async fn r_rtr_10_what_cannot_be_forwarded_is_refused() {
    let (rig, server) = rig(GatewayOptions::default(), head).await;
    for (method, path, status) in [
        ("TRACE", "/api/v1/service/iris/score", 405),
        ("POST", "/api/v1/service/iris/score/../../x", 404),
        ("POST", "/api/v1/service/iris//score", 404),
        ("POST", "/api/v1/service/%69ris/score", 404),
        ("POST", "/score", 404),
    ] {
        let bytes = format!("{method} {path} HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\n\r\n");
        let answer = raw(&rig, bytes.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path}: {answer}");
    }
    assert_eq!(server.served.load(Ordering::SeqCst), 0);
}
