use std::time::Duration;

use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::{accepted, assert_refused};
use crate::{Catalog, Change, DocKey, DocKind, Document, ErrorKind, Expected, Revision};

/// How long a change may take to be told; far above what any implementation needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks the promises of a [`Catalog`].
pub async fn catalog(catalog: &dyn Catalog) {
    for kind in DocKind::ALL {
        writes_are_compare_and_swap(catalog, kind).await;
    }
    kinds_are_apart(catalog).await;
    legal_names_do_not_collide(catalog).await;
    a_watch_begins_with_what_stands(catalog).await;
    a_watch_tells_every_last_state_in_order(catalog).await;
    one_of_many_racing_writers_wins(catalog).await;
}

fn key(kind: DocKind, name: &str) -> DocKey {
    accepted(DocKey::new(kind, name), "a legal name")
}

fn document(text: &str) -> Document {
    accepted(Document::from_json(text), "a JSON document")
}

async fn read(catalog: &dyn Catalog, key: &DocKey) -> Option<(String, Revision)> {
    let found = accepted(catalog.get(key).await, "reading");
    found.map(|found| (found.value.as_json().to_owned(), found.revision))
}

async fn clear(catalog: &dyn Catalog, keys: &[&DocKey]) {
    for key in keys {
        accepted(catalog.delete(key, Expected::Any).await, "deleting without expectation");
    }
}

async fn writes_are_compare_and_swap(catalog: &dyn Catalog, kind: DocKind) {
    let key = key(kind, "conformance-cas");
    clear(catalog, &[&key]).await;
    assert_eq!(read(catalog, &key).await, None, "a document that was deleted does not exist");

    let first = accepted(catalog.put(&key, &document("{\"n\":1}"), Expected::Absent).await, "creating");
    assert_eq!(
        read(catalog, &key).await,
        Some(("{\"n\":1}".into(), first.clone())),
        "what was written is read"
    );
    let again = catalog.put(&key, &document("{\"n\":9}"), Expected::Absent).await;
    assert_refused(again, ErrorKind::Conflict, "creating what exists");

    let second = catalog.put(&key, &document("{\"n\":2}"), Expected::At(first.clone())).await;
    let second = accepted(second, "replacing what was read");
    assert_ne!(first, second, "every write has a revision of its own");
    let late = catalog.put(&key, &document("{\"n\":9}"), Expected::At(first.clone())).await;
    assert_refused(late, ErrorKind::Conflict, "replacing an older revision");
    let late = catalog.delete(&key, Expected::At(first)).await;
    assert_refused(late, ErrorKind::Conflict, "deleting an older revision");
    assert_eq!(
        read(catalog, &key).await,
        Some(("{\"n\":2}".into(), second)),
        "a refused write changes nothing"
    );

    let third = accepted(
        catalog.put(&key, &document("{\"n\":3}"), Expected::Any).await,
        "writing without expectation",
    );
    accepted(catalog.delete(&key, Expected::At(third.clone())).await, "deleting what was read");
    let gone = catalog.put(&key, &document("{\"n\":9}"), Expected::At(third.clone())).await;
    assert_refused(gone, ErrorKind::Conflict, "replacing what was deleted");
    let gone = catalog.delete(&key, Expected::At(third)).await;
    assert_refused(gone, ErrorKind::Conflict, "deleting a revision that is gone");
    accepted(catalog.delete(&key, Expected::Absent).await, "deleting what is expected to be absent");
    assert_eq!(read(catalog, &key).await, None, "a deleted document stays deleted");
}

async fn kinds_are_apart(catalog: &dyn Catalog) {
    let endpoint = key(DocKind::Endpoint, "conformance-kinds");
    let verifier = key(DocKind::Verifier, "conformance-kinds");
    clear(catalog, &[&endpoint, &verifier]).await;
    accepted(catalog.put(&endpoint, &document("1"), Expected::Absent).await, "creating");
    assert_eq!(read(catalog, &verifier).await, None, "one name in two kinds is two documents");
    clear(catalog, &[&endpoint, &verifier]).await;
}

async fn legal_names_do_not_collide(catalog: &dyn Catalog) {
    let long = format!("conformance{}", "x".repeat(crate::MAX_DOC_NAME - "conformance".len()));
    let names =
        ["conformance-a", "conformance.a", "conformance_a", "conformance:a", "Conformance-a", long.as_str()];
    let keys = names.map(|name| key(DocKind::Model, name));
    for (number, key) in keys.iter().enumerate() {
        let written = catalog.put(key, &document(&number.to_string()), Expected::Any).await;
        accepted(written, "writing under any legal name");
    }
    for (number, key) in keys.iter().enumerate() {
        let text = read(catalog, key).await.map(|(text, _)| text);
        assert_eq!(text, Some(number.to_string()), "two legal names must not share a document: {key}");
    }
    clear(catalog, &keys.each_ref()).await;
}

async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    let next = timeout(PATIENCE, changes.next()).await.expect("a change must be told in time");
    next.expect("a watch must go on while its catalog does")
}

/// The next change of one of this suite's documents: a shared catalog may hold others.
async fn next_of(changes: &mut BoxStream<'static, Change>, name: &str) -> Change {
    loop {
        match next(changes).await {
            Change::Put(key, _) | Change::Deleted(key) if key.name() != name => {}
            change => return change,
        }
    }
}

async fn a_watch_begins_with_what_stands(catalog: &dyn Catalog) {
    let name = "conformance-stands";
    let here = key(DocKind::Endpoint, name);
    let other = key(DocKind::Verifier, name);
    let revision = accepted(catalog.put(&here, &document("1"), Expected::Any).await, "writing");
    accepted(catalog.put(&other, &document("2"), Expected::Any).await, "writing");

    let mut changes = accepted(catalog.watch(DocKind::Endpoint).await, "watching");
    match next_of(&mut changes, name).await {
        Change::Put(key, found) => {
            assert_eq!(
                (&key, found.value.as_json(), &found.revision),
                (&here, "1", &revision),
                "what stands is told"
            );
        }
        change => panic!("what stands is told before {change:?}"),
    }
    assert_eq!(next_of(&mut changes, name).await, Change::Synced, "after what stands comes Synced");
    accepted(catalog.put(&other, &document("3"), Expected::Any).await, "writing");
    accepted(catalog.delete(&here, Expected::At(revision)).await, "deleting");
    let gone = next_of(&mut changes, name).await;
    assert_eq!(gone, Change::Deleted(here), "a deletion is told, and another kind's changes are not");
    clear(catalog, &[&other]).await;
}

async fn a_watch_tells_every_last_state_in_order(catalog: &dyn Catalog) {
    let name = "conformance-order";
    let key = key(DocKind::Endpoint, name);
    clear(catalog, &[&key]).await;
    let mut changes = accepted(catalog.watch(DocKind::Endpoint).await, "watching");
    while next(&mut changes).await != Change::Synced {}
    for number in 0..20 {
        accepted(catalog.put(&key, &document(&number.to_string()), Expected::Any).await, "writing");
    }
    let mut last = -1;
    while last < 19 {
        let Change::Put(_, found) = next_of(&mut changes, name).await else { continue };
        let number: i64 = accepted(found.value.parse(), "reading a number");
        assert!(number > last, "an older state ({number}) was told after a newer one ({last})");
        last = number;
    }
    clear(catalog, &[&key]).await;
}

async fn one_of_many_racing_writers_wins(catalog: &dyn Catalog) {
    let key = key(DocKind::Endpoint, "conformance-race");
    clear(catalog, &[&key]).await;
    let start = accepted(catalog.put(&key, &document("0"), Expected::Absent).await, "creating");
    let racers = (1..=8).map(|number| {
        let (key, start) = (&key, start.clone());
        async move { catalog.put(key, &document(&number.to_string()), Expected::At(start)).await }
    });
    let outcomes = futures_util::future::join_all(racers).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1, "of several writers that read the same revision exactly one may win");
    for lost in outcomes.into_iter().filter(Result::is_err) {
        assert_refused(lost, ErrorKind::Conflict, "the others must be told of the conflict");
    }
    clear(catalog, &[&key]).await;
}
