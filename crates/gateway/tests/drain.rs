//! Replicas come and go and versions change while short and long requests run, and no client sees anything of it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::{Rig, Server, endpoint, ok, version};
use futures_util::future::join_all;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use portway_deploy_config::EndpointSpec;
use tokio::time::{Instant, sleep};

/// Ten minutes that pass in a few seconds.
#[tokio::test(start_paused = true)]
async fn r_rtr_8_ten_simulated_minutes_of_change_without_a_visible_error() {
    let counted = run(Rig::new().await, Duration::from_secs(600)).await;
    assert!(counted.short > 3_000 && counted.long > 60 && counted.changes > 100, "{counted:?}");
}

/// `cargo test -p portway-gateway --test drain -- --ignored real_minute`: over real sockets, in real time.
/// `PORTWAY_DRAIN_SECONDS` sets another duration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute"]
async fn r_rtr_8_one_real_minute_of_change_without_a_visible_error() {
    let seconds = std::env::var("PORTWAY_DRAIN_SECONDS").ok().and_then(|text| text.parse().ok());
    let counted = run(Rig::over_tcp().await, Duration::from_secs(seconds.unwrap_or(60))).await;
    println!("{counted:?}");
    assert!(counted.short > 0 && counted.long > 0 && counted.changes > 0, "{counted:?}");
}

#[derive(Debug, Default)]
struct Counted {
    short: u32,
    long: u32,
    changes: u32,
}

const LONG_PIECES: u32 = 20;

async fn run(rig: Rig, time: Duration) -> Counted {
    let rig = Arc::new(rig.with_keys("iris").await);
    let mut fleet = Fleet { rig: Arc::clone(&rig), versions: BTreeMap::new() };
    for name in ["blue", "green"] {
        fleet.grow(name).await;
        fleet.grow(name).await;
    }
    rig.put(&spec(&["blue", "green"], 30, false)).await;
    let until = Instant::now() + time;
    let short = (0..4).map(|number| tokio::spawn(short(Arc::clone(&rig), until, number)));
    let long = (0..3).map(|number| tokio::spawn(long(Arc::clone(&rig), until, number)));
    let (short, long): (Vec<_>, Vec<_>) = (short.collect(), long.collect());
    let changes = fleet.change_until(until).await;
    let sum = async |tasks: Vec<tokio::task::JoinHandle<u32>>| {
        join_all(tasks).await.into_iter().map(|count| count.unwrap()).sum()
    };
    Counted { short: sum(short).await, long: sum(long).await, changes }
}

async fn short(rig: Arc<Rig>, until: Instant, number: u64) -> u32 {
    let (mut sent, mut client) = (0, rig.client().await);
    while Instant::now() < until {
        client.ready().await.unwrap();
        let response = client.send_request(rig.request("iris", "[1]")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "short {number}, request {sent}");
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert_eq!(body, "short");
        sent += 1;
        sleep(Duration::from_millis(400 + 37 * number)).await;
    }
    sent
}

async fn long(rig: Arc<Rig>, until: Instant, number: u32) -> u32 {
    let mut sent = 0;
    while Instant::now() < until {
        let mut request = rig.request("iris", "[1]");
        request.headers_mut().insert("x-long", "1".parse().unwrap());
        let reply = rig.send(request).await;
        assert_eq!(reply.status, StatusCode::OK, "long {number}, request {sent}");
        assert_eq!(reply.text().matches("data: ").count(), LONG_PIECES as usize);
        sent += 1;
    }
    sent
}

async fn serve(request: Request<Incoming>, _: Arc<Server>) -> http::Response<common::Body> {
    if request.headers().contains_key("x-long") {
        // Five seconds in all.
        return http::Response::new(common::stream(LONG_PIECES, Duration::from_millis(250)));
    }
    sleep(Duration::from_millis(40)).await;
    ok("short")
}

/// The replicas of each version, the oldest first.
struct Fleet {
    rig: Arc<Rig>,
    versions: BTreeMap<&'static str, Vec<Arc<Server>>>,
}

impl Fleet {
    async fn grow(&mut self, version: &'static str) {
        let server = self.rig.pipes.add(serve);
        self.versions.entry(version).or_default().push(server);
        self.show(version).await;
    }

    /// The oldest goes; what is inside it goes on.
    async fn shrink(&mut self, version: &'static str) {
        self.versions.get_mut(version).unwrap().remove(0);
        self.show(version).await;
    }

    async fn show(&self, version: &str) {
        let servers: Vec<&Arc<Server>> = self.versions[version].iter().collect();
        self.rig.show("iris", version, &servers).await;
    }

    async fn change_until(&mut self, until: Instant) -> u32 {
        let mut changes = 0;
        let mut names = vec!["blue", "green"];
        while Instant::now() < until {
            sleep(Duration::from_secs(2)).await;
            changes += 1;
            match changes % 7 {
                // A rolling update: a new replica is ready before an old one is told to go.
                1 | 4 => {
                    let name = names[changes as usize % names.len()];
                    self.grow(name).await;
                    sleep(Duration::from_millis(500)).await;
                    self.shrink(name).await;
                }
                2 => self.rig.put(&spec(&names, 10 + (changes % 40) as u16, changes % 2 == 0)).await,
                3 if names.len() == 2 => {
                    names.push("red");
                    self.grow("red").await;
                    self.rig.put(&spec(&names, 25, false)).await;
                }
                3 => {
                    names.pop();
                    self.rig.put(&spec(&names, 25, true)).await;
                    self.versions.remove("red");
                }
                5 => self.grow(names[0]).await,
                6 => self.shrink(names[0]).await,
                _ => self.rig.catalog.drop_watches(),
            }
        }
        changes
    }
}

/// The versions, each but the default with `percent`; the default is the first or the last.
fn spec(names: &[&str], percent: u16, last: bool) -> EndpointSpec {
    let versions = names.iter().enumerate().map(|(at, name)| {
        let mut version = version(name, if at == 0 { 0 } else { percent });
        version.max_concurrent = 4.try_into().unwrap();
        version
    });
    let mut spec = endpoint("iris", versions.collect());
    if last {
        spec.default = spec.versions[names.len() - 1].name.clone();
    }
    spec
}
