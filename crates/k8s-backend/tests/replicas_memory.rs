//! How much memory the watch of replicas takes when all workloads are watched, each with 10 replicas.
//!
//! The bar is 40 MB for 1 000 workloads: `cargo test -p portway-k8s-backend --test replicas_memory -- --ignored
//! --nocapture` takes that many and prints what was measured; a twentieth of them and of the bar is always checked. All
//! runs in the test's own thread with an allocator that counts; the API server's double fills itself before that.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod double;
#[path = "support/scene.rs"]
mod scene;

use double::Verb;
use portway_backend::Phase;
use scene::Scene;

/// The bar for one of the workloads.
const MOST_BYTES: i64 = 40_000;

#[test]
fn r_k8s_2_five_hundred_replicas_take_less_than_2_megabytes() {
    check(50);
}

#[test]
#[ignore = "takes half a minute to set up"]
fn r_k8s_2_ten_thousand_replicas_take_less_than_40_megabytes() {
    check(1_000);
}

fn check(workloads: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let endpoint = |number: u32| format!("an-endpoint-with-a-name-{number:04}");
    let scene = runtime.block_on(async {
        let scene = Scene::new().await;
        for number in 0..workloads {
            scene.healthy(&endpoint(number), 10).await;
        }
        scene
    });
    let mut watched = Vec::new();
    let taken = allocation_counter::measure(|| {
        runtime.block_on(async {
            for number in 0..workloads {
                watched.push(scene.watch(&endpoint(number)).await);
            }
        });
    });
    assert!(watched.iter().all(|status| status.borrow().phase == Phase::Healthy));
    let counts = scene.server.counts();
    let lists = counts.of(Verb::List, "pods") + counts.of(Verb::List, "deployments");
    assert_eq!(lists, 2, "one list of each kind: {counts}");
    println!("{workloads} workloads: {} bytes kept, {} at most", taken.bytes_current, taken.bytes_max);
    assert!(
        taken.bytes_current < MOST_BYTES * i64::from(workloads),
        "{} bytes are kept",
        taken.bytes_current
    );
}
