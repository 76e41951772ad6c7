//! What a document looks like as an object, and what an object says. Pure.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ByteString, NamespaceResourceScope};
use portway_backend::{DocKey, DocKind, Document, Revision, Versioned};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kept::{Kept, Standing, text};
use crate::names::{DOCUMENT, FULL_NAME, OWNER, owner_label};

/// An object that can hold a document.
pub(super) trait Sheet:
    kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// What `kubectl` calls it.
    const RESOURCE: &'static str;

    fn new(metadata: ObjectMeta, text: &str) -> Self;

    /// Its text, or what is wrong with it.
    fn into_text(self) -> Result<String, &'static str>;
}

impl Sheet for ConfigMap {
    const RESOURCE: &'static str = "configmap";

    fn new(metadata: ObjectMeta, text: &str) -> Self {
        let data = BTreeMap::from([(ENTRY.to_owned(), text.to_owned())]);
        Self { metadata, data: Some(data), ..Self::default() }
    }

    fn into_text(self) -> Result<String, &'static str> {
        self.data.and_then(|mut data| data.remove(ENTRY)).ok_or(NO_ENTRY)
    }
}

impl Sheet for Secret {
    const RESOURCE: &'static str = "secret";

    fn new(metadata: ObjectMeta, text: &str) -> Self {
        let data = BTreeMap::from([(ENTRY.to_owned(), ByteString(text.as_bytes().to_vec()))]);
        Self { metadata, data: Some(data), type_: Some("portway.dev/document".to_owned()), ..Self::default() }
    }

    fn into_text(self) -> Result<String, &'static str> {
        let bytes = self.data.and_then(|mut data| data.remove(ENTRY)).ok_or(NO_ENTRY)?;
        String::from_utf8(bytes.0).map_err(|_| "its document is not text")
    }
}

/// What is where a document belongs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Content {
    Document(Versioned<Document>),
    /// Deleted, but held up by somebody's finalizer.
    Leaving,
    /// Ours, and unreadable.
    Damaged {
        revision: Revision,
        why: String,
    },
    /// Another document of ours.
    Other(String),
    /// Not ours; the text says whose.
    Foreign(String),
}

pub(super) fn kept<'a>(owner: &'a str, key: &'a DocKey) -> Kept<'a> {
    Kept { component: "document", kind: key.kind().as_str(), owner, name: key.name() }
}

/// The object that holds a document.
pub(super) fn sheet<K: Sheet>(owner: &str, key: &DocKey, document: &Document) -> K {
    let labels = labels(owner, key.kind());
    K::new(
        kept(owner, key).metadata(labels.each_ref().map(|(label, value)| (*label, value.as_str()))),
        document.as_json(),
    )
}

/// What an object says that was found where `key` belongs.
pub(super) fn content<K: Sheet>(owner: &str, key: &DocKey, object: K) -> Content {
    let metadata = object.meta();
    let revision = Revision::new(metadata.resource_version.as_deref().unwrap_or_default());
    let damaged = |why: &str| Content::Damaged { revision: revision.clone(), why: why.to_owned() };
    match kept(owner, key).standing(metadata) {
        Standing::Foreign(whose) => return Content::Foreign(whose),
        Standing::Other(name) => return Content::Other(name),
        _ if metadata.deletion_timestamp.is_some() => return Content::Leaving,
        Standing::Damaged => {
            return damaged("its annotation with the full name is missing or cannot be right");
        }
        Standing::Ours => {}
    }
    let mut labels = labels(owner, key.kind()).into_iter();
    if !labels.all(|(label, value)| text(metadata.labels.as_ref(), label) == Some(&value)) {
        return damaged("its labels have been changed, so that no watch shows it");
    }
    match object.into_text() {
        Err(why) => damaged(why),
        // The cause is dropped: it might quote a secret.
        Ok(json) => match Document::from_json(json) {
            Ok(value) => Content::Document(Versioned { value, revision }),
            Err(error) => damaged(&error.to_string()),
        },
    }
}

/// The document that an object claims to be; `None` if it cannot be.
pub(super) fn key_of(owner: &str, kind: DocKind, metadata: &ObjectMeta) -> Option<DocKey> {
    let key = DocKey::new(kind, text(metadata.annotations.as_ref(), FULL_NAME)?).ok()?;
    (metadata.name.as_deref() == Some(&kept(owner, &key).object_name())).then_some(key)
}

/// Selects the documents of a kind.
pub(super) fn selector(owner: &str, kind: DocKind) -> String {
    labels(owner, kind).map(|(label, value)| format!("{label}={value}")).join(",")
}

fn labels(owner: &str, kind: DocKind) -> [(&'static str, String); 2] {
    [(DOCUMENT, kind.as_str().to_owned()), (OWNER, owner_label(owner))]
}

/// The entry of an object that is the document.
const ENTRY: &str = "document";
const NO_ENTRY: &str = "it has no entry \"document\"";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(kind: DocKind, name: &str) -> DocKey {
        DocKey::new(kind, name).unwrap()
    }

    fn stored<K: Sheet>(mut object: K) -> K {
        object.meta_mut().resource_version = Some("7".to_owned());
        object
    }

    fn iris() -> (DocKey, ConfigMap) {
        let key = key(DocKind::Endpoint, "iris");
        let object = stored(sheet("portway", &key, &Document::from_json("{}").unwrap()));
        (key, object)
    }

    #[test]
    fn an_object_is_marked_so_that_people_can_find_it() {
        let (_, object) = iris();
        let object = serde_json::to_value(object).unwrap();
        assert_eq!(
            object,
            serde_json::json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": "portway-endpoint-iris-7f0e349a",
                    "labels": {
                        "app.kubernetes.io/component": "document",
                        "app.kubernetes.io/managed-by": "portway",
                        "portway.dev/document": "endpoint",
                        "portway.dev/owner": "portway",
                    },
                    "annotations": {"portway.dev/name": "iris", "portway.dev/owner": "portway"},
                    "resourceVersion": "7",
                },
                "data": {"document": "{}"},
            })
        );
    }

    #[test]
    fn r_k8s_4_credentials_are_in_secrets_and_never_in_errors() {
        let key = key(DocKind::Credentials, "iris");
        let document = Document::from_json("{\"primary\":\"hush\"}").unwrap();
        let mut object = stored(sheet::<Secret>("portway", &key, &document));
        assert!(
            matches!(content("portway", &key, object.clone()), Content::Document(found) if found.value == document)
        );
        let broken = ByteString(b"{\"primary\":\"hush\"".to_vec());
        object.data = Some(BTreeMap::from([(ENTRY.to_owned(), broken)]));
        let damaged = format!("{:?}", content("portway", &key, object.clone()));
        assert!(damaged.contains("is no JSON") && !damaged.contains("hush"), "{damaged}");
        object.data = Some(BTreeMap::from([(ENTRY.to_owned(), ByteString(vec![0xff]))]));
        assert!(matches!(content("portway", &key, object), Content::Damaged { .. }));
    }

    #[test]
    fn r_k8s_4_whatever_makes_a_document_unreadable_is_told() {
        let says = |change: fn(&mut ConfigMap)| {
            let (key, mut object) = iris();
            change(&mut object);
            match content("portway", &key, object) {
                Content::Damaged { why, revision } => {
                    assert_eq!(revision.as_str(), "7");
                    why
                }
                other => panic!("{other:?}"),
            }
        };
        assert!(says(|object| object.data = None).contains("no entry"));
        assert!(
            says(|object| object
                .data
                .as_mut()
                .unwrap()
                .insert(ENTRY.into(), "{".into())
                .into_iter()
                .for_each(drop))
            .contains("no JSON")
        );
        assert!(says(|object| object.metadata.annotations = None).contains("full name"));
        assert!(
            says(|object| drop(object.metadata.labels.as_mut().unwrap().remove(DOCUMENT))).contains("labels")
        );
    }

    #[test]
    fn a_document_that_is_being_deleted_is_none_any_more() {
        let (key, mut object) = iris();
        object.metadata.deletion_timestamp = serde_json::from_str("\"2026-01-01T00:00:00Z\"").unwrap();
        assert_eq!(content("portway", &key, object), Content::Leaving);
    }

    #[test]
    fn a_copy_under_another_name_claims_nothing() {
        let (key, mut object) = iris();
        assert_eq!(key_of("portway", DocKind::Endpoint, &object.metadata), Some(key));
        assert_eq!(key_of("portway", DocKind::Verifier, &object.metadata), None);
        assert_eq!(key_of("blue", DocKind::Endpoint, &object.metadata), None);
        object.metadata.name = Some("copy".to_owned());
        assert_eq!(key_of("portway", DocKind::Endpoint, &object.metadata), None);
    }

    #[test]
    fn owners_that_no_label_can_say_have_a_digest() {
        assert_eq!(owner_label("team-a.blue"), "team-a.blue");
        for owner in ["", "-a", "a_", "a b", "ü", &"a".repeat(64)] {
            let label = owner_label(owner);
            assert!(label.starts_with("owner-") && label.len() == 14, "{label}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn r_k8s_4_what_is_written_is_read(
            kind in prop::sample::select(&DocKind::ALL[..]),
            owner in "[ -~]{1,70}",
            name in "[a-zA-Z0-9][-_.:a-zA-Z0-9]{0,279}",
            text in ".{0,40}",
        ) {
            let key = key(kind, &name);
            let document = Document::of(&text).unwrap();
            let object: ConfigMap = stored(sheet(&owner, &key, &document));
            prop_assert_eq!(key_of(&owner, kind, &object.metadata), Some(key.clone()));
            let object: ConfigMap = serde_json::from_str(&serde_json::to_string(&object).unwrap()).unwrap();
            let read = Content::Document(Versioned { value: document.clone(), revision: Revision::new("7") });
            prop_assert_eq!(content(&owner, &key, object), read.clone());
            let secret: Secret = stored(sheet(&owner, &key, &document));
            let secret: Secret = serde_json::from_str(&serde_json::to_string(&secret).unwrap()).unwrap();
            prop_assert_eq!(content(&owner, &key, secret), read);
        }
    }
}
