//! A backend that does not answer holds up nothing but the replicas that it was asked for.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{Rig, endpoint, id, ok, settle, version};
use portway_backend::memory::MemoryBackend;
use portway_backend::{BackendError, Fence, Fleet, ReplicaId, Status, WorkloadId};
use portway_deploy_config::Replicas;
use portway_gateway::Gateway;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Shows what there is, and never answers when it is asked to scale.
struct Silent {
    shown: Arc<MemoryBackend>,
    asked: Mutex<Vec<WorkloadId>>,
}

#[async_trait]
impl Fleet for Silent {
    async fn watch(&self, id: &WorkloadId) -> Result<watch::Receiver<Arc<Status>>, BackendError> {
        self.shown.watch(id).await
    }

    async fn scale(&self, id: &WorkloadId, _: u32, _: &[ReplicaId], _: Fence) -> Result<(), BackendError> {
        self.asked.lock().unwrap().push(id.clone());
        std::future::pending().await
    }
}

impl Silent {
    fn times(&self, version: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| **asked == id("iris", version)).count()
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_answer_holds_up_neither_documents_nor_other_versions() {
    let mut rig = Rig::new().await.with_keys("iris").await;
    let backend = Arc::new(Silent { shown: Arc::clone(&rig.backend), asked: Mutex::default() });
    rig.gateway = Gateway::builder(Arc::clone(&rig.catalog) as _, Arc::clone(&backend) as _)
        .leases(Arc::clone(&rig.leases) as _)
        .connector(Arc::clone(&rig.pipes) as _)
        .build();
    rig.control = Some(rig.gateway.start());
    rig.gateway.ready().await;
    let replica = rig.pipes.add(|_, _| async { ok("") });
    rig.show("iris", "blue", &[&replica]).await;
    rig.show("iris", "green", &[&replica]).await;
    let mut spec = endpoint("iris", vec![version("blue", 50), version("green", 50)]);
    for version in &mut spec.versions {
        version.replicas = Replicas::Fixed(3.try_into().unwrap());
    }
    rig.put(&spec).await;
    while backend.times("blue") == 0 {
        sleep(Duration::from_millis(50)).await;
    }

    // No time passes from here on: whoever waited for an answer would wait for ever.
    let asked = Instant::now();
    settle(|| backend.times("green") == 1).await;
    spec.versions[1].share = portway_deploy_config::Share::from_basis_points(1_000).unwrap();
    rig.put(&spec).await;
    assert_eq!(rig.post("iris", "").await.status, 200);
    assert_eq!(asked.elapsed(), Duration::ZERO);

    // Nobody is asked again before the answer is given up, after 3 s; then the status tells of it.
    sleep(Duration::from_millis(2_900)).await;
    assert_eq!((backend.times("blue"), backend.times("green")), (1, 1));
    sleep(Duration::from_secs(2)).await;
    let snapshot = rig.gateway.snapshot();
    assert_eq!(snapshot.version("iris", "blue").unwrap().trouble, "the backend does not answer");
    assert_eq!((backend.times("blue"), backend.times("green")), (2, 2));
}
