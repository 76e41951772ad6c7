//! What a proxied request allocates: no more than it did, once everything is warm.
//!
//! Time stands still, and all parties share one thread, so that the count is the same in every run.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;

use common::{Body, Rig, Server, endpoint, ok, version};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use portway_gateway::Connector as _;
use tokio::runtime::{Builder, Runtime};

/// What passing the gateway costs in allocations beyond asking the replica itself: 30 with the room that a new release of
/// hyper may need. About half are those of a second HTTP/1 exchange, a few those of the parsers at both ends, which see
/// more fields.
const MOST: u64 = 30;
const REQUESTS: u64 = 200;

#[test]
fn a_proxied_request_allocates_no_more_than_it_did() {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (rig, replica) = runtime.block_on(rig());
    let mut through = runtime.block_on(rig.client());
    let mut direct = runtime.block_on(client(&rig, &replica));
    let through = allocations(&runtime, &rig, &mut through);
    let direct = allocations(&runtime, &rig, &mut direct);
    let more = (through - direct).div_ceil(REQUESTS);
    println!("{more} allocations a request more than without a gateway");
    assert!(more <= MOST, "{more} allocations, {MOST} were enough");
}

async fn rig() -> (Rig, Arc<Server>) {
    let rig = Rig::new().await.with_keys("iris").await;
    rig.put(&endpoint("iris", vec![version("blue", 100)])).await;
    let replica = rig.pipes.add(|request, _| async {
        request.into_body().collect().await.unwrap();
        ok(vec![b'x'; 200])
    });
    rig.show("iris", "blue", &[&replica]).await;
    (rig, replica)
}

/// A client of the replica itself.
async fn client(rig: &Rig, replica: &Server) -> SendRequest<Body> {
    let stream = rig.pipes.connect(replica.address).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn allocations(runtime: &Runtime, rig: &Rig, client: &mut SendRequest<Body>) -> u64 {
    runtime.block_on(send(rig, client));
    allocation_counter::measure(|| runtime.block_on(send(rig, client))).count_total
}

async fn send(rig: &Rig, client: &mut SendRequest<Body>) {
    for _ in 0..REQUESTS {
        client.ready().await.unwrap();
        let response = client.send_request(rig.request("iris", vec![b'x'; 1_024])).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
    }
}
