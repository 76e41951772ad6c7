//! One request through a gateway: routed, authenticated, split, admitted, forwarded, answered.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use common::{Rig, endpoint, full, ok, version};
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use portway_gateway::{listen, serve};
use tokio::net::TcpStream;

#[tokio::test(start_paused = true)]
async fn r_rtr_1_a_request_goes_to_a_version_by_its_share_and_then_to_a_replica() {
    let rig = Rig::new().await.with_keys("iris").await;
    let a = rig.pipes.add(|_, _| async { ok("a") });
    let b = rig.pipes.add(|_, _| async { ok("b") });
    rig.show("iris", "blue", &[&a]).await;
    rig.show("iris", "green", &[&b]).await;
    rig.put(&endpoint("iris", vec![version("blue", 20), version("green", 10)])).await;
    let mut green = 0;
    for sent in 1..=100_u32 {
        let reply = rig.post("iris", "[1]").await;
        assert_eq!(reply.status, StatusCode::OK);
        let answered = reply.header("azureml-model-deployment").unwrap();
        assert_eq!(answered, if reply.text() == "b" { "green" } else { "blue" });
        green += u32::from(reply.text() == "b");
        assert!((green * 100).abs_diff(sent * 10) <= 100, "{green} of {sent}");
    }
    assert_eq!(green, 10);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_1_an_unknown_service_answers_exactly_like_a_wrong_key() {
    let mut rig = Rig::new().await.with_keys("iris").await;
    rig.put(&endpoint("iris", vec![version("blue", 0)])).await;
    rig.key = "wrong".into();
    let wrong = rig.post("iris", "").await;
    let unknown = rig.post("tulip", "").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert_eq!(unknown.status, wrong.status);
    assert_eq!(unknown.body, wrong.body);
    let names = |reply: &common::Reply| reply.headers.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&unknown), names(&wrong));
    assert_eq!(unknown.headers["www-authenticate"], wrong.headers["www-authenticate"]);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_1_an_unknown_service_is_404_where_the_gateway_is_documented() {
    let options = portway_gateway::GatewayOptions {
        profile: portway_deploy_config::Profile::Documented,
        ..Default::default()
    };
    let rig = Rig::with(options).await;
    assert_eq!(rig.post("tulip", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_10_an_answer_streams_piece_by_piece() {
    let rig = Rig::new().await.with_keys("iris").await;
    let server =
        rig.pipes.add(|_, _| async { http::Response::new(common::stream(3, Duration::from_secs(10))) });
    rig.show("iris", "blue", &[&server]).await;
    rig.put(&endpoint("iris", vec![version("blue", 0)])).await;
    let mut client = rig.client().await;
    let response = client.send_request(rig.request("iris", "x")).await.unwrap();
    let mut body = response.into_body();
    let started = tokio::time::Instant::now();
    for piece in 0..3_u32 {
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("data: {piece}\n\n"));
        assert_eq!(started.elapsed().as_secs(), u64::from(piece + 1) * 10);
    }
    assert!(body.frame().await.is_none());
    let _ = full("");
}

#[tokio::test]
async fn one_listener_takes_clients_of_ipv6_and_of_ipv4() {
    let rig = Rig::new().await.with_keys("iris").await;
    let server = rig.pipes.add(|request, _| async move {
        let client = request.headers()["x-forwarded-for"].to_str().unwrap().to_owned();
        ok(client)
    });
    rig.show("iris", "blue", &[&server]).await;
    rig.put(&endpoint("iris", vec![version("blue", 0)])).await;
    let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(serve(listener, rig.gateway.clone(), std::future::pending()));
    for client in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        let stream = match TcpStream::connect((client, port)).await {
            Ok(stream) => stream,
            Err(error) if client.is_ipv6() => {
                println!("skipped for IPv6, which this machine does not have: {error}");
                continue;
            }
            Err(error) => panic!("{client}: {error}"),
        };
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(rig.request("iris", "")).await.unwrap();
        let seen = response.into_body().collect().await.unwrap().to_bytes();
        // Not as the mapped address that such a listener sees.
        assert_eq!(seen, client.to_string());
    }
    serving.abort();
}
