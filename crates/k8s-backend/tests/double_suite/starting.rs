//! A server that is still starting, and what it forbids.

use portway_backend::{Backend as _, BackendError, Catalog as _, DocKey, DocKind, ErrorKind, Fleet};
use portway_k8s_backend::{K8sBackend, Options};

use super::seams::{backend, iris, workload};
use crate::double::{ApiServer, Profile, Start, Verb};

fn passes(error: &BackendError) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("the API server is still starting"), "{error}");
}

#[tokio::test]
async fn r_k8s_6_what_a_server_forbids_while_it_starts_is_no_finding_about_rights() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    let key = DocKey::new(DocKind::Endpoint, "iris").unwrap();
    for forbidden in [Start::Blind, Start::Unready] {
        server.set_start(forbidden);
        // A server that knows the rights and is not ready has still not read all that admission needs.
        if forbidden == Start::Unready {
            server.forbid(Verb::Get, "leases");
            server.forbid(Verb::Get, "configmaps");
            server.forbid(Verb::List, "pods");
        }
        passes(&backend.get(&key).await.unwrap_err());
        passes(&backend.apply(&workload(iris())).await.unwrap_err());
        passes(&Fleet::watch(&backend, &iris()).await.unwrap_err());
        server.grant_all();
    }
    server.set_start(Start::Blind);
    passes(&K8sBackend::from_client(server.client("default"), Options::new()).await.unwrap_err());
    server.set_start(Start::Over);
    assert!(backend.get(&key).await.unwrap().is_none());
    backend.apply(&workload(iris())).await.unwrap();
    Fleet::watch(&backend, &iris()).await.unwrap().wait_for(|status| status.ready() == 1).await.unwrap();
}

#[tokio::test]
async fn r_k8s_6_what_a_server_that_is_ready_forbids_is_a_finding_at_once() {
    let server = ApiServer::with_controllers(Profile::new());
    let backend = backend(&server).await;
    for start in [Start::Over, Start::Hidden] {
        server.set_start(start);
        server.forbid(Verb::Patch, "services");
        let error = backend.apply(&workload(iris())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{start:?}: {error}");
        assert!(error.to_string().contains("has no right to patch services"), "{start:?}: {error}");
        server.grant_all();
        // What is forbidden for another reason is none of rights.
        server.set_quota("services", Some(0));
        let error = backend.apply(&workload(iris())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Capacity, "{start:?}: {error}");
        server.set_quota("services", None);
    }
}
