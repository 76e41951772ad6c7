//! The implementations in memory pass the suites that every implementation must pass.

use std::time::Duration;

use portway_backend::memory::{MemoryArtifacts, MemoryBackend, MemoryCatalog, MemoryLeases};
use portway_backend::{
    Catalog, Change, DocKind, Environment, ErrorKind, Fence, Fleet as _, Leases as _, Program, Workload,
    WorkloadId, conformance,
};

#[tokio::test]
async fn the_catalog_conforms() {
    conformance::catalog(&MemoryCatalog::new()).await;
}

#[tokio::test(start_paused = true)]
async fn the_leases_conform() {
    conformance::leases(&MemoryLeases::new()).await;
}

#[tokio::test]
async fn the_artifacts_conform() {
    conformance::artifacts(&MemoryArtifacts::new()).await;
}

#[tokio::test]
async fn r_run_2_the_backend_conforms() {
    let python = || Environment::Interpreter { python: "/usr/bin/python3".into() };
    let subject = conformance::Subject {
        backend: &MemoryBackend::unreachable(),
        workload: &|id| Workload::new(id, Program::script("score.py"), python()),
        patience: Duration::from_secs(5),
    };
    conformance::backend(&subject).await;
    conformance::fences(&subject, &MemoryLeases::new()).await;
}

#[tokio::test]
async fn failures_come_as_ordered_and_then_stop() {
    let backend = MemoryBackend::unreachable();
    let id = WorkloadId::new("iris".parse().unwrap(), "first".parse().unwrap());
    backend.faults().fail_next(ErrorKind::Capacity, 2);
    for _ in 0..2 {
        let refused = backend.scale(&id, 1, &[], Fence::new(1)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Capacity);
    }
    assert!(backend.watch(&id).await.is_ok());
}

#[tokio::test]
async fn a_dropped_watch_ends_so_that_its_reader_watches_again() {
    use futures_util::StreamExt as _;
    let catalog = MemoryCatalog::new();
    let mut changes = catalog.watch(DocKind::Endpoint).await.unwrap();
    assert_eq!(changes.next().await, Some(Change::Synced));
    catalog.drop_watches();
    assert_eq!(changes.next().await, None);
}

#[tokio::test]
async fn fences_go_on_where_an_earlier_run_ended() {
    let leases = MemoryLeases::after(Fence::new(41));
    let lease = leases.acquire("scaler", "a", Duration::from_secs(1)).await.unwrap().unwrap();
    assert_eq!(lease.fence, Fence::new(42));
}
