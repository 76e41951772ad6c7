//! What a client hears when something is wrong, and what it does not hear because the gateway takes care of it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Rig, Server, endpoint, full, ok, settle, version};
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use portway_deploy_config::{EndpointSpec, Profile};
use tokio::time::{Instant, sleep};

fn documented(mut spec: EndpointSpec) -> EndpointSpec {
    spec.profile = Profile::Documented;
    spec
}

fn iris() -> EndpointSpec {
    endpoint("iris", vec![version("blue", 0)])
}

/// One replica that takes `time` for each request.
async fn slow(rig: &Rig, time: Duration) -> Arc<Server> {
    let server = rig.pipes.add(move |_, _| async move {
        sleep(time).await;
        ok("done")
    });
    rig.show("iris", "blue", &[&server]).await;
    server
}

#[tokio::test(start_paused = true)]
async fn r_rtr_2_a_missing_a_wrong_and_a_good_credential() {
    let mut rig = Rig::new().await.with_keys("iris").await;
    rig.put(&iris()).await;
    slow(&rig, Duration::ZERO).await;
    assert_eq!(rig.post("iris", "").await.status, StatusCode::OK);
    let mut request = rig.request("iris", "");
    request.headers_mut().remove("authorization");
    let missing = rig.send(request).await;
    assert_eq!((missing.status, missing.text()), (StatusCode::UNAUTHORIZED, "unauthorized\n"));
    assert!(missing.header("x-ms-request-id").is_some_and(|id| id.len() == 36));
    rig.key = "wrong".into();
    assert_eq!(rig.post("iris", "").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn r_auth_6_an_address_that_guesses_is_throttled_and_others_are_not() {
    let mut rig = Rig::new().await.with_keys("iris").await;
    rig.put(&iris()).await;
    slow(&rig, Duration::ZERO).await;
    let good = std::mem::replace(&mut rig.key, "wrong".into());
    let mut last = rig.post("iris", "").await;
    for _ in 0..20 {
        last = rig.post("tulip", "").await;
    }
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(last.header("retry-after").is_some());
    rig.key = good;
    assert_eq!(rig.post("iris", "").await.status, StatusCode::TOO_MANY_REQUESTS);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(rig.post("iris", "").await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_2_documented_waits_half_a_second_and_then_says_503() {
    let rig = Rig::new().await.with_keys("iris").await;
    rig.put(&documented(iris())).await;
    slow(&rig, Duration::from_secs(5)).await;
    let (first, second) = tokio::join!(rig.post("iris", "1"), async {
        sleep(Duration::from_millis(1)).await;
        let started = Instant::now();
        (rig.post("iris", "2").await, started.elapsed())
    });
    assert_eq!(first.status, StatusCode::OK);
    let (second, waited) = second;
    assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(second.text().contains("iris") && second.text().contains("overloaded"));
    assert_eq!(second.header("retry-after"), None);
    assert_eq!(second.header("cache-control"), Some("max-age=0, private, must-revalidate"));
    assert_eq!(second.header("azureml-model-deployment"), Some("blue"));
    assert_eq!(waited.as_millis() / 10, 50);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_2_documented_says_503_at_once_where_there_is_no_replica() {
    let rig = Rig::new().await.with_keys("iris").await;
    rig.put(&documented(iris())).await;
    let started = Instant::now();
    let reply = rig.post("iris", "").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.text().contains("iris") && reply.text().contains("no ready replicas"));
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_2_recommended_queues_a_hundred_and_refuses_the_next_with_429() {
    let rig = Rig::new().await.with_keys("iris").await;
    rig.put(&iris()).await;
    slow(&rig, Duration::from_millis(50)).await;
    let replies = join_all((0..102).map(|_| rig.post("iris", ""))).await;
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status != StatusCode::OK).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused[0].header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().unwrap() >= 1));
}

#[tokio::test(start_paused = true)]
async fn r_rtr_2_recommended_waits_ten_seconds_and_then_says_503_with_retry_after() {
    let rig = Rig::new().await.with_keys("iris").await;
    rig.put(&iris()).await;
    slow(&rig, Duration::from_secs(30)).await;
    let started = Instant::now();
    let (first, second) = tokio::join!(rig.post("iris", "1"), async {
        sleep(Duration::from_millis(1)).await;
        let reply = rig.post("iris", "2").await;
        assert_eq!(started.elapsed().as_secs(), 10);
        reply
    });
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(second.header("retry-after").is_some());
}

#[tokio::test(start_paused = true)]
async fn r_rtr_2_a_replica_that_does_not_answer_in_time_is_504() {
    let rig = Rig::new().await.with_keys("iris").await;
    rig.put(&iris()).await;
    let server = slow(&rig, Duration::from_secs(1_000)).await;
    let started = Instant::now();
    let reply = rig.post("iris", "").await;
    assert_eq!((reply.status, started.elapsed().as_secs()), (StatusCode::GATEWAY_TIMEOUT, 60));
    settle(|| server.inside.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn r_rtr_2_documented_limits_the_whole_exchange_and_recommended_the_pauses() {
    let rig = Rig::new().await.with_keys("iris").await;
    let server =
        rig.pipes.add(|_, _| async { http::Response::new(common::stream(10, Duration::from_secs(10))) });
    rig.show("iris", "blue", &[&server]).await;
    rig.put(&iris()).await;
    assert_eq!(rig.post("iris", "").await.text().len(), 10 * "data: 0\n\n".len());
    rig.put(&documented(iris())).await;
    settle(|| true).await;
    sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    let cut = rig.post("iris", "").await;
    assert!(cut.body.is_err());
    assert_eq!(started.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_10_a_stream_that_falls_silent_is_cut() {
    let rig = Rig::new().await.with_keys("iris").await;
    let mut spec = iris();
    spec.limits.idle = Some(Duration::from_secs(7));
    rig.put(&spec).await;
    let server =
        rig.pipes.add(|_, _| async { http::Response::new(common::stream(3, Duration::from_secs(8))) });
    rig.show("iris", "blue", &[&server]).await;
    let started = Instant::now();
    assert!(rig.post("iris", "").await.body.is_err());
    assert_eq!(started.elapsed().as_secs(), 7);
    settle(|| server.inside.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn r_rtr_2_a_body_above_the_limit_is_413_whether_announced_or_not() {
    let rig = Rig::new().await.with_keys("iris").await;
    let mut spec = iris();
    spec.limits.max_body_bytes = Some(10);
    rig.put(&spec).await;
    let server = rig.pipes.add(|request: Request<_>, _| async move {
        let body: hyper::body::Incoming = request.into_body();
        let read = body.collect().await;
        ok(read.map_or_else(|_| Bytes::from("broken"), |body| body.to_bytes()))
    });
    rig.show("iris", "blue", &[&server]).await;
    assert_eq!(rig.post("iris", "0123456789").await.text(), "0123456789");
    assert_eq!(rig.post("iris", "0123456789a").await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let streamed = rig.request("iris", "").map(|_| common::stream(2, Duration::ZERO));
    let reply = rig.send(streamed).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(rig.post("iris", "again").await.text(), "again");
}

#[tokio::test(start_paused = true)]
async fn r_rtr_2_a_replica_that_breaks_off_is_502_and_only_for_the_request_inside() {
    let rig = Rig::new().await.with_keys("iris").await;
    rig.put(&iris()).await;
    let one = rig.pipes.add(|_, _| async {
        sleep(Duration::from_secs(3)).await;
        ok("one")
    });
    let two = rig.pipes.add(|_, _| async {
        sleep(Duration::from_secs(3)).await;
        ok("two")
    });
    rig.show("iris", "blue", &[&one, &two]).await;
    let (replies, ()) = tokio::join!(join_all((0..4).map(|_| rig.post("iris", "x"))), async {
        sleep(Duration::from_secs(1)).await;
        one.kill();
    });
    let failed: Vec<_> = replies.iter().filter(|reply| reply.status != StatusCode::OK).collect();
    assert_eq!(failed.len(), 1, "{replies:?}");
    assert_eq!(failed[0].status, StatusCode::BAD_GATEWAY);
    assert!(failed[0].text().contains("closed the connection early"));
    assert_eq!(failed[0].header("azureml-model-deployment"), Some("blue"));
}

#[tokio::test(start_paused = true)]
async fn r_rtr_9_a_replica_killed_in_mid_request_costs_an_idempotent_endpoint_nothing() {
    let rig = Rig::new().await.with_keys("iris").await;
    let mut spec = iris();
    spec.idempotent = true;
    rig.put(&spec).await;
    let echo = |request: Request<hyper::body::Incoming>, _| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        sleep(Duration::from_secs(3)).await;
        ok(body)
    };
    let (one, two) = (rig.pipes.add(echo), rig.pipes.add(echo));
    rig.show("iris", "blue", &[&one, &two]).await;
    let (replies, ()) =
        tokio::join!(join_all((0..4).map(|at| rig.post("iris", format!("body {at}")))), async {
            sleep(Duration::from_secs(1)).await;
            one.kill();
        });
    for (at, reply) in replies.iter().enumerate() {
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, format!("body {at}").as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn r_rtr_9_the_only_replica_killed_is_waited_for() {
    let rig = Rig::new().await.with_keys("iris").await;
    let mut spec = iris();
    spec.idempotent = true;
    rig.put(&spec).await;
    let server = slow(&rig, Duration::from_secs(3)).await;
    let ((), reply) = tokio::join!(
        async {
            sleep(Duration::from_secs(1)).await;
            server.kill();
            sleep(Duration::from_secs(5)).await;
            // The backend starts another in its place.
            let next = rig.pipes.add(|_, _| async { ok("next") });
            rig.show("iris", "blue", &[&next]).await;
        },
        rig.post("iris", "x")
    );
    assert_eq!((reply.status, reply.text()), (StatusCode::OK, "next"));
}

#[tokio::test(start_paused = true)]
async fn r_rtr_9_a_request_that_was_never_read_goes_elsewhere_whatever_it_is() {
    let rig = Rig::new().await.with_keys("iris").await;
    rig.put(&iris()).await;
    let (dead, live) =
        (rig.pipes.add(|_, _| async { ok("dead") }), rig.pipes.add(|_, _| async { ok("live") }));
    rig.show("iris", "blue", &[&dead, &live]).await;
    dead.kill();
    for _ in 0..20 {
        let reply = rig.post("iris", "x").await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, "live"));
    }
    dead.revive();
    sleep(Duration::from_secs(10)).await;
    let served = |server: &Server| server.served.load(Ordering::SeqCst);
    let before = served(&dead);
    for _ in 0..20 {
        rig.post("iris", "x").await;
    }
    assert!(served(&dead) > before, "it was probed back");
}

#[tokio::test(start_paused = true)]
async fn r_rtr_9_a_request_is_never_sent_to_the_same_replica_twice() {
    let rig = Rig::new().await.with_keys("iris").await;
    let mut spec = iris();
    spec.idempotent = true;
    rig.put(&spec).await;
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let server = rig.pipes.add(move |_, server: Arc<Server>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            // Breaks off each time, and is there again soon after.
            server.kill();
            tokio::spawn(async move {
                sleep(Duration::from_millis(10)).await;
                server.revive();
            });
            std::future::pending().await
        }
    });
    rig.show("iris", "blue", &[&server]).await;
    let reply = rig.post("iris", "x").await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_10_a_client_that_leaves_is_told_to_the_replica_and_its_slot_comes_back() {
    let rig = Rig::new().await.with_keys("iris").await;
    rig.put(&iris()).await;
    let server =
        rig.pipes.add(|_, _| async { http::Response::new(common::stream(1_000, Duration::from_secs(1))) });
    rig.show("iris", "blue", &[&server]).await;
    let mut client = rig.client().await;
    let response = client.send_request(rig.request("iris", "x")).await.unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(server.inside.load(Ordering::SeqCst), 1);
    drop((body, client));
    settle(|| server.inside.load(Ordering::SeqCst) == 0).await;
    settle(|| rig.gateway.snapshot().version("iris", "blue").unwrap().in_flight == 0).await;
    // One that leaves while it waits for the head of its answer.
    let waiting = slow(&rig, Duration::from_secs(50)).await;
    let mut client = rig.client().await;
    let pending = tokio::spawn(async move { client.send_request(Request::new(full(""))).await });
    pending.abort();
    let mut client = rig.client().await;
    let request = rig.request("iris", "x");
    let pending = tokio::spawn(async move {
        let _ = client.send_request(request).await;
    });
    settle(|| waiting.inside.load(Ordering::SeqCst) == 1).await;
    pending.abort();
    settle(|| waiting.inside.load(Ordering::SeqCst) == 0).await;
    settle(|| rig.gateway.snapshot().version("iris", "blue").unwrap().in_flight == 0).await;
}

#[tokio::test(start_paused = true)]
async fn r_rtr_6_a_client_that_leaves_the_queue_leaves_its_place() {
    let rig = Rig::new().await.with_keys("iris").await;
    rig.put(&iris()).await;
    let server = slow(&rig, Duration::from_secs(5)).await;
    let queued = || rig.gateway.snapshot().version("iris", "blue").unwrap().queued;
    let first = rig.post("iris", "1");
    let rest = async {
        settle(|| server.inside.load(Ordering::SeqCst) == 1).await;
        let mut client = rig.client().await;
        let request = rig.request("iris", "2");
        let leaver = tokio::spawn(async move {
            let _ = client.send_request(request).await;
        });
        settle(|| queued() == 1).await;
        leaver.abort();
        settle(|| queued() == 0).await;
        rig.post("iris", "3").await
    };
    let (first, third) = tokio::join!(first, rest);
    assert_eq!((first.status, third.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(server.served.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_6_a_replica_never_holds_more_than_its_cap_and_waiters_are_served_in_order() {
    let rig = Rig::new().await.with_keys("iris").await;
    let mut spec = iris();
    spec.versions[0].max_concurrent = 2.try_into().unwrap();
    rig.put(&spec).await;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let server = rig.pipes.add(move |request: Request<hyper::body::Incoming>, _| {
        let seen = Arc::clone(&seen);
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            seen.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap().parse::<u32>().unwrap());
            sleep(Duration::from_millis(100)).await;
            ok("")
        }
    });
    rig.show("iris", "blue", &[&server]).await;
    let replies = join_all((0..40_u32).map(|at| {
        let rig = &rig;
        async move {
            sleep(Duration::from_millis(u64::from(at))).await;
            rig.post("iris", at.to_string()).await
        }
    }))
    .await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK));
    assert_eq!(server.most_inside.load(Ordering::SeqCst), 2);
    assert_eq!(*order.lock().unwrap(), (0..40).collect::<Vec<_>>());
}
