//! Documents, keys and replicas change while requests are on their way.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{Rig, endpoint, full, id, ok, settle, status, version};
use futures_util::future::join_all;
use http::{Request, StatusCode};
use portway_backend::{Catalog as _, DocKey, DocKind, Document, Expected};
use portway_deploy_config::{AutoscaleSpec, Pinning, Profile, Replicas, StickyKey, StickySpec};
use portway_gateway::GatewayOptions;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn r_rtr_3_a_header_picks_the_version_where_the_document_allows_it() {
    let rig = Rig::new().await.with_keys("iris").await;
    let (a, b) = (rig.pipes.add(|_, _| async { ok("a") }), rig.pipes.add(|_, _| async { ok("b") }));
    rig.show("iris", "blue", &[&a]).await;
    rig.show("iris", "green", &[&b]).await;
    let mut spec = endpoint("iris", vec![version("blue", 100), version("green", 0)]);
    rig.put(&spec).await;
    let pinned = || {
        let mut request = rig.request("iris", "");
        request.headers_mut().insert("azureml-model-deployment", "green".parse().unwrap());
        request
    };
    let reply = rig.send(pinned()).await;
    assert_eq!((reply.text(), reply.header("azureml-model-deployment")), ("b", Some("green")));
    let mut unknown = pinned();
    unknown.headers_mut().insert("azureml-model-deployment", "red".parse().unwrap());
    assert_eq!(rig.send(unknown).await.status, StatusCode::NOT_FOUND);
    for (profile, pinning, expected) in [
        (Profile::Documented, None, "a"),
        (Profile::Documented, Some(Pinning::Any), "b"),
        (Profile::Recommended, Some(Pinning::Off), "a"),
    ] {
        (spec.profile, spec.pinning) = (profile, pinning);
        rig.put(&spec).await;
        sleep(Duration::from_millis(10)).await;
        assert_eq!(rig.send(pinned()).await.text(), expected, "{profile:?} {pinning:?}");
    }
    spec.pinning = Some(Pinning::Scope);
    rig.put(&spec).await;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(rig.send(pinned()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_4_the_split_stays_exact_over_a_change_and_pins_take_no_ticket() {
    let rig = Rig::new().await.with_keys("iris").await;
    let (a, b) = (rig.pipes.add(|_, _| async { ok("a") }), rig.pipes.add(|_, _| async { ok("b") }));
    rig.show("iris", "blue", &[&a]).await;
    rig.show("iris", "green", &[&b]).await;
    let (mut green, mut due) = (0_i64, 0_i64);
    for round in 0..30_u16 {
        let percent = [10, 35, 50][usize::from(round % 3)];
        rig.put(&endpoint("iris", vec![version("blue", 0), version("green", percent)])).await;
        for _ in 0..7 {
            let mut pinned = rig.request("iris", "");
            pinned.headers_mut().insert("azureml-model-deployment", "green".parse().unwrap());
            rig.send(pinned).await;
            green += i64::from(rig.post("iris", "").await.text() == "b");
            due += i64::from(percent);
            assert!((green * 100 - due).abs() < 200, "{green} against {due} hundredths");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r_rtr_5_a_caller_stays_with_its_version() {
    let rig = Rig::new().await.with_keys("iris").await;
    let (a, b) = (rig.pipes.add(|_, _| async { ok("a") }), rig.pipes.add(|_, _| async { ok("b") }));
    rig.show("iris", "blue", &[&a]).await;
    rig.show("iris", "green", &[&b]).await;
    let mut spec = endpoint("iris", vec![version("blue", 0), version("green", 50)]);
    spec.sticky = Some(StickySpec { key: StickyKey::Header("x-user".into()), buckets: Vec::new() });
    rig.put(&spec).await;
    let ask = async |user: usize| {
        let mut request = rig.request("iris", "");
        request.headers_mut().insert("x-user", format!("user-{user}").parse().unwrap());
        rig.send(request).await.text().to_owned()
    };
    let mut seen = Vec::new();
    for user in 0..40 {
        let first = ask(user).await;
        assert_eq!(ask(user).await, first);
        seen.push(first);
    }
    assert!(seen.iter().any(|answer| answer == "a") && seen.iter().any(|answer| answer == "b"));
}

#[tokio::test(start_paused = true)]
async fn r_rtr_7_without_a_replica_requests_wait_and_the_scaler_is_woken_at_once() {
    let rig = Rig::scaling(GatewayOptions::default()).await.with_keys("iris").await;
    let mut blue = version("blue", 0);
    blue.replicas = Replicas::Auto(AutoscaleSpec::new(0, 4).unwrap());
    apply(&rig, "iris", "blue", 0).await;
    rig.put(&endpoint("iris", vec![blue])).await;
    sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    let replies = join_all((0..3).map(|_| rig.post("iris", ""))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:?}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

async fn apply(rig: &Rig, endpoint: &str, version: &str, replicas: u32) {
    use portway_backend::{Backend as _, Environment, Program, Workload};
    let python = Environment::Interpreter { python: "/usr/bin/python3".into() };
    let mut workload = Workload::new(id(endpoint, version), Program::script("score.py"), python);
    workload.initial_replicas = replicas;
    rig.backend.apply(&workload).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r_rtr_7_the_waiting_room_has_a_limit_of_its_own() {
    let rig = Rig::new().await.with_keys("iris").await;
    let mut spec = endpoint("iris", vec![version("blue", 0)]);
    spec.limits.waiting_room = Some(2);
    spec.limits.waiting_room_wait = Some(Duration::from_secs(20));
    rig.put(&spec).await;
    let started = Instant::now();
    let replies = join_all((0..3).map(|_| rig.post("iris", ""))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::SERVICE_UNAVAILABLE));
    assert!(replies.iter().all(|reply| reply.header("retry-after").is_some()));
    assert_eq!(started.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn r_scl_1_load_brings_replicas_within_seconds_and_calm_takes_them_away_after_a_minute() {
    let rig = Rig::scaling(GatewayOptions::default()).await.with_keys("iris").await;
    let mut blue = version("blue", 0);
    blue.replicas = Replicas::Auto(AutoscaleSpec::new(1, 4).unwrap());
    apply(&rig, "iris", "blue", 1).await;
    rig.put(&endpoint("iris", vec![blue])).await;
    let seen = || rig.gateway.snapshot().version("iris", "blue").unwrap().clone();
    let load = async {
        // Four at a time for twenty seconds, each a second long.
        let replies = join_all((0..4).map(|_| async {
            let mut statuses = Vec::new();
            for _ in 0..20 {
                statuses.push(rig.post("iris", "").await.status);
            }
            statuses
        }))
        .await;
        assert!(replies.iter().flatten().all(|status| *status == StatusCode::OK), "{replies:?}");
    };
    let watch = async {
        sleep(Duration::from_secs(6)).await;
        assert_eq!(seen().ready, 4);
    };
    tokio::join!(load, watch);
    assert!(rig.gateway.snapshot().scales);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(seen().ready, 4, "a minute has not passed");
    sleep(Duration::from_secs(90)).await;
    assert_eq!(seen().ready, 1);
}

#[tokio::test(start_paused = true)]
async fn r_scl_6_without_leases_or_a_status_nothing_is_scaled() {
    let rig = Rig::new().await.with_keys("iris").await;
    let mut blue = version("blue", 0);
    blue.replicas = Replicas::Auto(AutoscaleSpec::new(1, 4).unwrap());
    apply(&rig, "iris", "blue", 3).await;
    rig.put(&endpoint("iris", vec![blue])).await;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(rig.gateway.snapshot().version("iris", "blue").unwrap().ready, 3);
    assert!(!rig.gateway.snapshot().scales);
}

#[tokio::test(start_paused = true)]
async fn r_rtr_8_a_replica_that_goes_finishes_its_stream_and_gets_nothing_new() {
    let rig = Rig::new().await.with_keys("iris").await;
    let old = rig.pipes.add(|_, _| async { http::Response::new(common::stream(30, Duration::from_secs(1))) });
    let new = rig.pipes.add(|_, _| async { ok("new") });
    rig.show("iris", "blue", &[&old]).await;
    rig.put(&endpoint("iris", vec![version("blue", 0)])).await;
    let (stream, ()) = tokio::join!(rig.post("iris", ""), async {
        settle(|| old.inside.load(Ordering::SeqCst) == 1).await;
        rig.show("iris", "blue", &[&new]).await;
        for _ in 0..5 {
            assert_eq!(rig.post("iris", "").await.text(), "new");
        }
        assert_eq!(rig.gateway.snapshot().version("iris", "blue").unwrap().draining, 1);
    });
    assert!(stream.text().ends_with("data: 29\n\n"));
    assert_eq!(old.served.load(Ordering::SeqCst), 1);
    settle(|| rig.gateway.snapshot().version("iris", "blue").unwrap().draining == 0).await;
}

#[tokio::test(start_paused = true)]
async fn r_rtr_8_those_who_wait_for_a_version_that_is_deleted_go_to_another() {
    let rig = Rig::new().await.with_keys("iris").await;
    let b = rig.pipes.add(|_, _| async { ok("b") });
    rig.show("iris", "green", &[&b]).await;
    rig.put(&endpoint("iris", vec![version("blue", 100), version("green", 0)])).await;
    let (replies, ()) = tokio::join!(join_all((0..5).map(|_| rig.post("iris", ""))), async {
        settle(|| rig.gateway.snapshot().version("iris", "blue").unwrap().queued == 5).await;
        rig.put(&endpoint("iris", vec![version("green", 0)])).await;
    });
    for reply in replies {
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, "b"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_ready_only_after_the_catalog_was_read_and_keys_change_live() {
    let rig = Rig::new().await.with_keys("iris").await;
    let a = rig.pipes.add(|_, _| async { ok("a") });
    rig.show("iris", "blue", &[&a]).await;
    rig.put(&endpoint("iris", vec![version("blue", 0)])).await;
    assert_eq!(rig.post("iris", "").await.status, StatusCode::OK);
    let old = rig.key.clone();
    let rig = rig.with_keys("iris").await;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(rig.post("iris", "").await.status, StatusCode::OK);
    let mut request = rig.request("iris", "");
    request.headers_mut().insert("authorization", format!("Bearer {old}").parse().unwrap());
    assert_eq!(rig.send(request).await.status, StatusCode::UNAUTHORIZED);
    // A store that restarts: everything is told again, and nothing was lost meanwhile.
    rig.catalog.drop_watches();
    assert_eq!(rig.post("iris", "").await.status, StatusCode::OK);
    sleep(Duration::from_secs(1)).await;
    let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
    rig.catalog.put(&key, &Document::from_json("{}").unwrap(), Expected::Any).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.post("iris", "").await.status, StatusCode::OK, "a broken document changes nothing");
    rig.catalog.delete(&key, Expected::Any).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.post("iris", "").await.status, StatusCode::UNAUTHORIZED);
    let _ = (status(&id("iris", "blue"), std::iter::empty()), Request::new(full("")));
}

#[tokio::test(start_paused = true)]
async fn r_rtr_1_the_description_is_asked_of_the_default_version_without_a_ticket() {
    let rig = Rig::new().await.with_keys("iris").await;
    let path = |name: &'static str| {
        move |request: Request<hyper::body::Incoming>, _| async move {
            ok(format!("{name} {} {}", request.method(), request.uri()))
        }
    };
    let (a, b) = (rig.pipes.add(path("a")), rig.pipes.add(path("b")));
    rig.show("iris", "blue", &[&a]).await;
    rig.show("iris", "green", &[&b]).await;
    rig.put(&endpoint("iris", vec![version("blue", 0), version("green", 50)])).await;
    let ask = async || {
        let request = Request::get("/api/v1/service/iris/swagger.json?x=1")
            .header("authorization", format!("Bearer {}", rig.key));
        rig.send(request.body(full("")).unwrap()).await
    };
    let mut tickets = Vec::new();
    for _ in 0..10 {
        assert_eq!(ask().await.text(), "a GET /swagger.json?x=1");
        tickets.push(rig.post("iris", "").await.text()[..1].to_owned());
    }
    assert_eq!(tickets.iter().filter(|name| *name == "b").count(), 5);
    let request = Request::get("/api/v1/service/iris/swagger.json").body(full("")).unwrap();
    assert_eq!(rig.send(request).await.status, StatusCode::UNAUTHORIZED);
    let request = Request::get("/api/v1/service/iris/other").body(full("")).unwrap();
    assert_eq!(rig.send(request).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn r_scl_6_idle_replicas_go_first_and_a_busy_one_goes_when_it_has_finished() {
    let rig = Rig::scaling(GatewayOptions::default()).await.with_keys("iris").await;
    let mut blue = version("blue", 0);
    blue.replicas = Replicas::Fixed(3.try_into().unwrap());
    apply(&rig, "iris", "blue", 3).await;
    rig.put(&endpoint("iris", vec![blue.clone()])).await;
    let seen = || rig.gateway.snapshot().version("iris", "blue").unwrap().clone();
    settle(|| seen().ready == 3).await;
    let stream = async |seconds: u64| {
        let mut request = rig.request("iris", "");
        request.headers_mut().insert("x-seconds", seconds.into());
        let reply = rig.send(request).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, "blue"));
    };
    tokio::join!(stream(55), stream(40), async {
        settle(|| seen().in_flight == 2).await;
        blue.replicas = Replicas::Fixed(1.try_into().unwrap());
        rig.put(&endpoint("iris", vec![blue.clone()])).await;
        sleep(Duration::from_secs(10)).await;
        assert_eq!((seen().ready + seen().draining, seen().wanted), (2, 2), "only the idle one went");
        sleep(Duration::from_secs(35)).await;
        assert_eq!((seen().ready + seen().draining, seen().wanted), (1, 1), "the other when it was done");
    });
    assert_eq!(rig.post("iris", "").await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn r_scl_5_a_full_cluster_is_reported_and_what_runs_is_kept() {
    let rig = Rig::scaling(GatewayOptions::default()).await.with_keys("iris").await;
    let mut blue = version("blue", 0);
    blue.replicas = Replicas::Fixed(1.try_into().unwrap());
    apply(&rig, "iris", "blue", 1).await;
    rig.put(&endpoint("iris", vec![blue.clone()])).await;
    rig.backend.faults().fail_next(portway_backend::ErrorKind::Capacity, 1);
    blue.replicas = Replicas::Fixed(2.try_into().unwrap());
    rig.put(&endpoint("iris", vec![blue])).await;
    sleep(Duration::from_secs(5)).await;
    let seen = rig.gateway.snapshot().version("iris", "blue").unwrap().clone();
    assert_eq!(seen.ready, 1);
    assert!(!seen.trouble.is_empty());
    assert_eq!(rig.post("iris", "").await.status, StatusCode::OK);
    sleep(Duration::from_secs(40)).await;
    let seen = rig.gateway.snapshot().version("iris", "blue").unwrap().clone();
    assert_eq!((seen.ready, seen.trouble.as_str()), (2, ""));
}

#[tokio::test(start_paused = true)]
async fn r_scl_6_only_the_holder_of_the_lease_scales_and_a_successor_takes_over() {
    use portway_backend::Leases as _;
    let mut rig = Rig::scaling(GatewayOptions::default()).await.with_keys("iris").await;
    let other = rig.leases.acquire("scaler", "another", Duration::from_secs(30)).await.unwrap();
    assert!(other.is_none(), "the gateway was first");
    rig.control.take().unwrap().stop().await;
    assert!(rig.leases.acquire("scaler", "another", Duration::from_secs(30)).await.unwrap().is_some());
    let control = rig.gateway.start();
    let mut blue = version("blue", 0);
    blue.replicas = Replicas::Fixed(2.try_into().unwrap());
    apply(&rig, "iris", "blue", 1).await;
    rig.put(&endpoint("iris", vec![blue])).await;
    sleep(Duration::from_secs(20)).await;
    assert!(!rig.gateway.snapshot().scales);
    assert_eq!(rig.gateway.snapshot().version("iris", "blue").unwrap().ready, 1);
    sleep(Duration::from_secs(20)).await;
    assert!(rig.gateway.snapshot().scales);
    assert_eq!(rig.gateway.snapshot().version("iris", "blue").unwrap().ready, 2);
    control.stop().await;
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_an_endpoint_that_is_deleted_hear_of_it_even_if_a_namesake_comes() {
    let rig = Rig::new().await.with_keys("iris").await;
    rig.put(&endpoint("iris", vec![version("blue", 0)])).await;
    let queued = || rig.gateway.snapshot().version("iris", "blue").is_some_and(|blue| blue.queued == 1);
    let (reply, ()) = tokio::join!(rig.post("iris", ""), async {
        settle(queued).await;
        let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
        rig.catalog.delete(&key, Expected::Any).await.unwrap();
        rig.write(&endpoint("iris", vec![version("green", 0)])).await;
    });
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}
