//! Leases as a real API server keeps them.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use portway_backend::{ErrorKind, Leases as _, conformance};
use portway_k8s_backend::{K8sBackend, Options};
use serde_json::json;

use crate::site::{Site, without_pods};

const LONG: Duration = Duration::from_secs(3600);

/// A program of its own: what it has seen of leases is not shared.
async fn program(site: &Site) -> K8sBackend {
    of(site, site.options()).await
}

async fn of(site: &Site, options: Options) -> K8sBackend {
    K8sBackend::from_client(site.client.clone(), options).await.unwrap()
}

async fn objects(site: &Site) -> (Api<Object>, Vec<String>) {
    let api: Api<Object> = Api::namespaced(site.client.clone(), &site.namespace);
    let all = api.list(&ListParams::default()).await.unwrap().items;
    let names = all.into_iter().filter_map(|object| object.metadata.name).collect();
    (api, names)
}

#[tokio::test]
async fn r_k8s_5_leases_keep_their_promises() {
    without_pods(async |site| {
        let backend = program(site).await;
        conformance::leases(&backend).await;
    })
    .await;
}

#[tokio::test]
async fn r_k8s_5_one_of_two_contenders_gets_the_lease() {
    without_pods(async |site| {
        let (one, other) = (program(site).await, program(site).await);
        for round in 0..10 {
            let name = format!("scaler-{}", round % 2);
            let (first, second) =
                tokio::join!(one.acquire(&name, "one", LONG), other.acquire(&name, "other", LONG));
            let given: Vec<_> = [first.unwrap(), second.unwrap()].into_iter().flatten().collect();
            assert_eq!(given.len(), 1, "{given:?}");
            for lease in given {
                one.release(lease).await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn r_k8s_5_a_successor_fences_a_deposed_holder_off() {
    without_pods(async |site| {
        let (one, other) = (program(site).await, program(site).await);
        // Others wait for a whole second.
        let ttl = Duration::from_millis(200);
        let deposed = one.acquire("scaler", "one", ttl).await.unwrap().unwrap();
        assert_eq!(other.acquire("scaler", "other", ttl).await.unwrap(), None);
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let lease = other.acquire("scaler", "other", LONG).await.unwrap();
        let lease = lease.expect("it has not changed for a second");
        assert!(lease.fence > deposed.fence);
        assert_eq!(one.renew(&deposed, ttl).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(one.acquire("scaler", "one", ttl).await.unwrap(), None);
        one.release(deposed).await.unwrap();
        other.renew(&lease, LONG).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn r_k8s_5_fences_grow_even_when_somebody_deletes_the_lease() {
    without_pods(async |site| {
        let (one, other) = (program(site).await, program(site).await);
        let first = one.acquire("scaler", "one", LONG).await.unwrap().unwrap();
        let (api, names) = objects(site).await;
        api.delete(&names[0], &DeleteParams::default()).await.unwrap();
        let error = one.renew(&first, LONG).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "what is gone is held by nobody");
        let second = other.acquire("scaler", "other", LONG).await.unwrap().unwrap();
        assert!(second.fence > first.fence, "{first:?} {second:?}");
    })
    .await;
}

#[tokio::test]
async fn a_lease_of_long_ago_is_free_at_first_sight_and_a_fresh_one_is_not() {
    without_pods(async |site| {
        let ttl = Duration::from_secs(15);
        program(site).await.acquire("scaler", "gone", ttl).await.unwrap().unwrap();
        let (api, names) = objects(site).await;
        assert_eq!(program(site).await.acquire("scaler", "new", ttl).await.unwrap(), None);
        let old = json!({"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}});
        api.patch(&names[0], &PatchParams::default(), &Patch::Merge(old)).await.unwrap();
        program(site).await.acquire("scaler", "new", ttl).await.unwrap().expect("years have passed");
    })
    .await;
}

#[tokio::test]
async fn owners_share_no_lease_and_foreign_objects_are_left_alone() {
    without_pods(async |site| {
        let mut options = site.options();
        options.owner = "blue".into();
        let (ours, blue) = (program(site).await, of(site, options).await);
        ours.acquire("scaler", "a", LONG).await.unwrap().unwrap();
        let (api, names) = objects(site).await;
        blue.acquire("scaler", "b", LONG).await.unwrap().expect("another owner's lease is another one");

        let foreign = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "helm"}}});
        api.patch(&names[0], &PatchParams::default(), &Patch::Merge(foreign)).await.unwrap();
        let error = ours.acquire("scaler", "a", LONG).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(
            error.to_string().contains("managed by helm") && error.to_string().contains(&names[0]),
            "{error}"
        );
    })
    .await;
}
