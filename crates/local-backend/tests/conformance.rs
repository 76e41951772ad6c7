//! The suites of the seams, run against real processes and a real folder.

mod common;

use common::{PATIENCE, Place, SERVER, id};
use portway_backend::conformance::{self, Subject};
use portway_backend::{Workload, WorkloadId};

#[tokio::test]
async fn r_run_2_replicas_conform() {
    let place = Place::new().await;
    let sample = place.workload(id("sample", "first"), &[("serve.py", SERVER)]).await;
    let workload = move |id: WorkloadId| {
        let mut workload: Workload = sample.clone();
        workload.id = id;
        workload
    };
    let subject = Subject { backend: &place.backend, workload: &workload, patience: PATIENCE };
    conformance::backend(&subject).await;
    conformance::fences(&subject, &place.backend).await;
}

#[tokio::test]
async fn documents_conform() {
    conformance::catalog(&Place::new().await.backend).await;
}

#[tokio::test]
async fn artifacts_conform() {
    conformance::artifacts(&Place::new().await.backend).await;
}

#[tokio::test]
async fn leases_conform() {
    let place = Place::new().await;
    tokio::time::pause();
    conformance::leases(&place.backend).await;
}
