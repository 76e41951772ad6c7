//! Documents as a real API server keeps them.

use std::collections::HashMap;

use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use portway_backend::{
    Catalog as _, Change, DocKey, DocKind, Document, ErrorKind, Expected, MAX_DOC_BYTES, conformance,
};
use portway_k8s_backend::K8sBackend;
use serde_json::{Value, json};

use crate::patience::in_time;
use crate::site::{Site, without_pods};

async fn backend(site: &Site) -> K8sBackend {
    K8sBackend::from_client(site.client.clone(), site.options()).await.unwrap()
}

async fn of_owner(site: &Site, owner: &str) -> K8sBackend {
    let mut options = site.options();
    options.owner = owner.to_owned();
    K8sBackend::from_client(site.client.clone(), options).await.unwrap()
}

fn key(name: &str) -> DocKey {
    DocKey::new(DocKind::Endpoint, name).unwrap()
}

fn document(text: &str) -> Document {
    Document::from_json(text).unwrap()
}

fn maps(site: &Site) -> Api<ConfigMap> {
    Api::namespaced(site.client.clone(), &site.namespace)
}

/// The name of the one object that holds a document.
async fn object_of(site: &Site, kind: &str) -> String {
    let only = ListParams::default().labels(&format!("portway.dev/document={kind}"));
    let found = maps(site).list(&only).await.unwrap().items;
    assert_eq!(found.len(), 1);
    found[0].metadata.name.clone().unwrap()
}

async fn change(site: &Site, object: &str, patch: Value) {
    maps(site).patch(object, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    in_time("a change is told", changes.next()).await.expect("a watch goes on")
}

fn put_of(change: &Change) -> (&str, &str) {
    match change {
        Change::Put(key, found) => (key.name(), found.value.as_json()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn r_k8s_4_the_catalog_keeps_its_promises() {
    without_pods(async |site| {
        let backend = backend(site).await;
        conformance::catalog(&backend).await;
        assert_eq!(
            maps(site).list(&ListParams::default().labels("portway.dev/document")).await.unwrap().items,
            []
        );
    })
    .await;
}

#[tokio::test]
async fn r_k8s_4_twenty_writers_lose_no_update() {
    without_pods(async |site| {
        let (first, key) = (backend(site).await, key("counter"));
        first.put(&key, &document("0"), Expected::Absent).await.unwrap();
        let writers = (0..20).map(async |_| {
            let backend = backend(site).await;
            loop {
                let found = backend.get(&key).await.unwrap().unwrap();
                let next = document(&(found.value.parse::<u32>().unwrap() + 1).to_string());
                match backend.put(&key, &next, Expected::At(found.revision)).await {
                    Ok(_) => return,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
            }
        });
        in_time("all have written", join_all(writers)).await;
        assert_eq!(first.get(&key).await.unwrap().unwrap().value.as_json(), "20");
    })
    .await;
}

#[tokio::test]
async fn r_k8s_4_writers_without_expectation_all_come_through() {
    without_pods(async |site| {
        let (backend, key) = (backend(site).await, key("iris"));
        let steps = (0..20).map(async |number: u32| {
            let (key, text) = (&key, document(&number.to_string()));
            match number % 4 {
                0 => backend.delete(key, Expected::Any).await.unwrap(),
                _ => drop(backend.put(key, &text, Expected::Any).await.unwrap()),
            }
        });
        join_all(steps).await;
    })
    .await;
}

#[tokio::test]
async fn r_k8s_4_the_largest_document_fits() {
    without_pods(async |site| {
        let backend = backend(site).await;
        // Half of it quotes: it is largest on its way.
        let texts = format!("[{}\"\"]", "\"\",".repeat((MAX_DOC_BYTES - 4) / 3));
        let padding = " ".repeat(MAX_DOC_BYTES - texts.len());
        let document = document(&format!("{texts}{padding}"));
        assert_eq!(document.as_json().len(), MAX_DOC_BYTES);
        for kind in [DocKind::Model, DocKind::Credentials] {
            let key = DocKey::new(kind, "large").unwrap();
            backend.put(&key, &document, Expected::Absent).await.unwrap();
            assert_eq!(backend.get(&key).await.unwrap().unwrap().value, document);
            backend.put(&key, &self::document("1"), Expected::Any).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn r_k8s_4_what_may_be_secret_is_in_secrets_and_all_else_in_config_maps() {
    without_pods(async |site| {
        let backend = backend(site).await;
        for kind in DocKind::ALL {
            let key = DocKey::new(kind, "iris").unwrap();
            backend.put(&key, &document("\"hush\""), Expected::Absent).await.unwrap();
        }
        let ours = ListParams::default().labels("app.kubernetes.io/component=document");
        let secrets: Api<Secret> = Api::namespaced(site.client.clone(), &site.namespace);
        let secrets = secrets.list(&ours).await.unwrap().items;
        let kinds: Vec<_> = secrets
            .iter()
            .map(|secret| &secret.metadata.labels.as_ref().unwrap()["portway.dev/document"])
            .collect();
        assert_eq!(kinds, ["credentials", "operation"]);
        assert_eq!(maps(site).list(&ours).await.unwrap().items.len(), DocKind::ALL.len() - 2);
    })
    .await;
}

#[tokio::test]
async fn r_k8s_4_a_revision_never_comes_back() {
    without_pods(async |site| {
        let (backend, key) = (backend(site).await, key("iris"));
        let old = backend.put(&key, &document("1"), Expected::Absent).await.unwrap();
        backend.delete(&key, Expected::At(old.clone())).await.unwrap();
        let new = backend.put(&key, &document("1"), Expected::Absent).await.unwrap();
        assert_ne!(old, new);
        for error in [
            backend.put(&key, &document("2"), Expected::At(old.clone())).await.unwrap_err(),
            backend.delete(&key, Expected::At(old)).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        }
        assert_eq!(backend.get(&key).await.unwrap().unwrap().revision, new);
    })
    .await;
}

#[tokio::test]
async fn r_k8s_4_what_others_put_in_the_way_is_named_and_left_alone() {
    without_pods(async |site| {
        let (backend, key) = (backend(site).await, key("iris"));
        backend.put(&key, &document("1"), Expected::Absent).await.unwrap();
        let object = object_of(site, "endpoint").await;
        change(site, &object, json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "helm"}}}))
            .await;
        for error in [
            backend.get(&key).await.unwrap_err(),
            backend.put(&key, &document("2"), Expected::Absent).await.unwrap_err(),
            backend.put(&key, &document("2"), Expected::Any).await.unwrap_err(),
            backend.delete(&key, Expected::Any).await.unwrap_err(),
            backend.delete(&key, Expected::Absent).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            assert!(error.to_string().contains(&object) && error.to_string().contains("helm"), "{error}");
        }
        let standing = maps(site).get(&object).await.unwrap();
        assert_eq!(standing.data.unwrap()["document"], "1");
    })
    .await;
}

/// Two names whose objects would have the same name, by the documented rule.
fn names_that_shorten_alike() -> (String, String) {
    let start = "a".repeat(40);
    let mut seen = HashMap::new();
    let found = (0_u32..).find_map(|number| {
        let name = format!("{start}{number}");
        let digest =
            ring::digest::digest(&ring::digest::SHA256, format!("portway\0endpoint\0{name}").as_bytes());
        let short: [u8; 4] = digest.as_ref()[..4].try_into().unwrap();
        seen.insert(short, name.clone()).map(|earlier| (earlier, name))
    });
    found.unwrap()
}

#[tokio::test]
async fn r_k8s_4_names_that_shorten_alike_never_share_a_document() {
    without_pods(async |site| {
        let backend = backend(site).await;
        let (one, other) = names_that_shorten_alike();
        backend.put(&key(&one), &document("1"), Expected::Absent).await.unwrap();
        for error in [
            backend.get(&key(&other)).await.unwrap_err(),
            backend.put(&key(&other), &document("2"), Expected::Any).await.unwrap_err(),
            backend.put(&key(&other), &document("2"), Expected::Absent).await.unwrap_err(),
            backend.delete(&key(&other), Expected::Any).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            assert!(error.to_string().contains(&one) && error.to_string().contains(&other), "{error}");
        }
        assert_eq!(backend.get(&key(&one)).await.unwrap().unwrap().value.as_json(), "1");
    })
    .await;
}

#[tokio::test]
async fn r_k8s_4_a_damaged_document_is_reported_mended_and_hides_no_other() {
    without_pods(async |site| {
        let (backend, iris) = (backend(site).await, key("iris"));
        let first = backend.put(&iris, &document("1"), Expected::Absent).await.unwrap();
        let object = object_of(site, "endpoint").await;
        let mut changes = backend.watch(DocKind::Endpoint).await.unwrap();
        assert_eq!(put_of(&next(&mut changes).await), ("iris", "1"));
        assert_eq!(next(&mut changes).await, Change::Synced);

        change(site, &object, json!({"data": {"document": "{"}})).await;
        let error = backend.get(&iris).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(&format!("{}/{object}", site.namespace)), "{error}");
        let kinds = [
            backend.put(&iris, &document("2"), Expected::Absent).await.unwrap_err().kind(),
            backend.put(&iris, &document("2"), Expected::At(first)).await.unwrap_err().kind(),
            backend.delete(&iris, Expected::Absent).await.unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::Invalid, ErrorKind::Conflict, ErrorKind::Invalid]);

        backend.put(&key("tulip"), &document("3"), Expected::Absent).await.unwrap();
        assert_eq!(put_of(&next(&mut changes).await), ("tulip", "3"), "nothing is said of the damaged one");
        let mut fresh = backend.watch(DocKind::Endpoint).await.unwrap();
        assert_eq!(put_of(&next(&mut fresh).await), ("tulip", "3"));
        assert_eq!(next(&mut fresh).await, Change::Synced);

        backend.put(&iris, &document("4"), Expected::Any).await.unwrap();
        for changes in [&mut changes, &mut fresh] {
            assert_eq!(put_of(&next(changes).await), ("iris", "4"));
        }
    })
    .await;
}

#[tokio::test]
async fn r_k8s_4_lost_marks_are_damage_and_mended() {
    without_pods(async |site| {
        let (backend, iris) = (backend(site).await, key("iris"));
        backend.put(&iris, &document("1"), Expected::Absent).await.unwrap();
        let object = object_of(site, "endpoint").await;
        let mut changes = backend.watch(DocKind::Endpoint).await.unwrap();
        assert_eq!((put_of(&next(&mut changes).await), next(&mut changes).await), (("iris", "1"), Change::Synced));
        let marks = json!({"labels": {"portway.dev/document": null, "team": "blue"}, "annotations": {"portway.dev/name": null}});
        change(site, &object, json!({"metadata": marks})).await;
        assert_eq!(next(&mut changes).await, Change::Deleted(iris.clone()), "no watch can show it any more");
        assert_eq!(backend.get(&iris).await.unwrap_err().kind(), ErrorKind::Invalid);

        backend.put(&iris, &document("2"), Expected::Any).await.unwrap();
        assert_eq!(put_of(&next(&mut changes).await), ("iris", "2"));
        let labels = maps(site).get(&object).await.unwrap().metadata.labels.unwrap();
        assert_eq!(labels["team"], "blue", "labels of others stay");
    })
    .await;
}

#[tokio::test]
async fn owners_in_one_namespace_do_not_see_each_other() {
    without_pods(async |site| {
        let (ours, theirs) = (backend(site).await, of_owner(site, "Team Blue").await);
        let iris = key("iris");
        ours.put(&iris, &document("1"), Expected::Absent).await.unwrap();
        theirs.put(&iris, &document("2"), Expected::Absent).await.unwrap();
        for (backend, text) in [(&ours, "1"), (&theirs, "2")] {
            assert_eq!(backend.get(&iris).await.unwrap().unwrap().value.as_json(), text);
            let mut changes = backend.watch(DocKind::Endpoint).await.unwrap();
            assert_eq!(
                (put_of(&next(&mut changes).await), next(&mut changes).await),
                (("iris", text), Change::Synced)
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_copy_of_a_document_under_another_name_is_no_document() {
    without_pods(async |site| {
        let backend = backend(site).await;
        backend.put(&key("iris"), &document("1"), Expected::Absent).await.unwrap();
        let mut copy = maps(site).get(&object_of(site, "endpoint").await).await.unwrap();
        copy.metadata.name = Some("copy".to_owned());
        copy.metadata.resource_version = None;
        copy.data.as_mut().unwrap().insert("document".to_owned(), "666".to_owned());
        maps(site).create(&PostParams::default(), &copy).await.unwrap();
        let mut changes = backend.watch(DocKind::Endpoint).await.unwrap();
        assert_eq!(
            (put_of(&next(&mut changes).await), next(&mut changes).await),
            (("iris", "1"), Change::Synced)
        );
        maps(site).delete("copy", &DeleteParams::default()).await.unwrap();
        backend.put(&key("tulip"), &document("2"), Expected::Absent).await.unwrap();
        assert_eq!(put_of(&next(&mut changes).await), ("tulip", "2"));
    })
    .await;
}
