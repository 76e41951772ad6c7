//! Documents and leases while things go wrong, in virtual time, against the API server double.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod double;

use std::time::Duration;

use double::{ApiServer, Expiry, Fault, On, Profile, Verb};
use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use portway_backend::{
    Backend as _, BackendError, Catalog, Change, DocKey, DocKind, Document, Environment, ErrorKind, Expected,
    Fleet as _, Lease, Leases as _, Program, Workload, WorkloadId, conformance,
};
use portway_k8s_backend::{K8sBackend, Options};
use serde_json::json;

const TTL: Duration = Duration::from_secs(15);
const SECOND: Duration = Duration::from_secs(1);

async fn backend(server: &ApiServer) -> K8sBackend {
    K8sBackend::from_client(server.client("default"), Options::new()).await.unwrap()
}

/// Somebody whom no fault befalls.
async fn stranger(server: &ApiServer) -> K8sBackend {
    K8sBackend::from_client(server.bystander("default"), Options::new()).await.unwrap()
}

fn key(name: &str) -> DocKey {
    DocKey::new(DocKind::Endpoint, name).unwrap()
}

fn document(number: u32) -> Document {
    Document::of(&number).unwrap()
}

/// Follows the endpoint documents.
async fn follow(catalog: &K8sBackend) -> Result<BoxStream<'static, Change>, BackendError> {
    Catalog::watch(catalog, DocKind::Endpoint).await
}

async fn put(catalog: &K8sBackend, name: &str, number: u32) {
    catalog.put(&key(name), &document(number), Expected::Any).await.unwrap();
}

async fn delete(catalog: &K8sBackend, name: &str) {
    catalog.delete(&key(name), Expected::Any).await.unwrap();
}

/// The next changes, in short: `a=1`, `-a`, `synced`.
async fn told(changes: &mut BoxStream<'static, Change>, count: usize) -> Vec<String> {
    let changes: Vec<_> = changes.take(count).collect().await;
    let short = |change| match change {
        Change::Put(key, found) => format!("{}={}", key.name(), found.value.as_json()),
        Change::Deleted(key) => format!("-{}", key.name()),
        Change::Synced => "synced".to_owned(),
    };
    changes.into_iter().map(short).collect()
}

/// A watch of a catalog in which `a` and `b` stand, with its list behind it.
async fn watched(server: &ApiServer) -> (K8sBackend, BoxStream<'static, Change>) {
    let stranger = stranger(server).await;
    put(&stranger, "a", 1).await;
    put(&stranger, "b", 0).await;
    let mut changes = follow(&backend(server).await).await.unwrap();
    put(&stranger, "b", 1).await;
    assert_eq!(told(&mut changes, 4).await, ["a=1", "b=0", "synced", "b=1"]);
    (stranger, changes)
}

// === documents ===

#[tokio::test(start_paused = true)]
async fn r_k8s_4_the_catalog_keeps_its_promises_on_old_and_new_servers() {
    for profile in [Profile::old(), Profile::new()] {
        let server = ApiServer::new(profile);
        conformance::catalog(&backend(&server).await).await;
        assert_eq!(server.objects("configmaps", "default"), [json!(null); 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_a_watch_that_ends_or_breaks_goes_on_without_a_new_list() {
    let server = ApiServer::new(Profile::new());
    let (stranger, mut changes) = watched(&server).await;
    for (number, interrupt) in (2..).zip([ApiServer::end_watches, ApiServer::drop_watches]) {
        server.fail(On::next(Verb::Watch, "configmaps").times(2), Fault::unavailable());
        interrupt(&server);
        put(&stranger, "a", number).await;
        delete(&stranger, "b").await;
        put(&stranger, "b", number).await;
        let expected = [format!("a={number}"), "-b".to_owned(), format!("b={number}")];
        assert_eq!(told(&mut changes, 3).await, expected);
    }
    assert_eq!(server.counts().of(Verb::List, "configmaps"), 1);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_what_happened_in_a_gap_is_told_after_a_new_list() {
    for expiry in [Expiry::Answer, Expiry::Event] {
        let server = ApiServer::new(Profile::new());
        let (stranger, mut changes) = watched(&server).await;
        put(&stranger, "c", 1).await;
        assert_eq!(told(&mut changes, 1).await, ["c=1"]);

        server.expire_next_watch("configmaps", expiry);
        server.end_watches();
        put(&stranger, "a", 2).await;
        delete(&stranger, "b").await;
        delete(&stranger, "c").await;
        put(&stranger, "c", 2).await;
        assert_eq!(told(&mut changes, 3).await, ["a=2", "c=2", "-b"]);
        put(&stranger, "b", 3).await;
        assert_eq!(told(&mut changes, 1).await, ["b=3"], "and nothing is told twice");
        assert_eq!(server.counts().of(Verb::List, "configmaps"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_a_running_watch_that_expires_is_begun_anew() {
    let server = ApiServer::new(Profile::new());
    let (stranger, mut changes) = watched(&server).await;
    server.expire_watches("configmaps");
    delete(&stranger, "a").await;
    assert_eq!(told(&mut changes, 1).await, ["-a"]);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_a_server_that_was_away_for_long_is_followed_again() {
    let server = ApiServer::new(Profile::new());
    let (stranger, mut changes) = watched(&server).await;
    server.go_down();
    let (away, _) = tokio::join!(
        async {
            tokio::time::sleep(600 * SECOND).await;
            put(&stranger, "a", 2).await;
            delete(&stranger, "b").await;
            server.compact();
            let back = tokio::time::Instant::now();
            server.go_up();
            back
        },
        async {
            assert_eq!(told(&mut changes, 2).await, ["a=2", "-b"]);
        }
    );
    assert!(away.elapsed() <= 10 * SECOND, "pauses stay short: {:?}", away.elapsed());
    put(&stranger, "c", 1).await;
    assert_eq!(told(&mut changes, 1).await, ["c=1"], "synced is told once only");
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_credentials_that_expire_and_come_back_lose_nothing() {
    let server = ApiServer::new(Profile::new());
    let (stranger, mut changes) = watched(&server).await;
    server.expire_credentials(true);
    server.end_watches();
    let change = async {
        tokio::time::sleep(100 * SECOND).await;
        put(&stranger, "a", 2).await;
        server.expire_credentials(false);
    };
    let (_, told) = tokio::join!(change, told(&mut changes, 1));
    assert_eq!(told, ["a=2"]);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_a_list_that_breaks_off_between_pages_is_begun_anew() {
    let server = ApiServer::new(Profile::new());
    let stranger = stranger(&server).await;
    for number in 0..600 {
        put(&stranger, &format!("doc-{number:03}"), number).await;
    }
    server.fail(On::next(Verb::List, "configmaps").after(1), Fault::unavailable());
    let mut changes = follow(&backend(&server).await).await.unwrap();
    let mut told = told(&mut changes, 601).await;
    assert_eq!(told.pop().as_deref(), Some("synced"));
    assert!(
        told.is_sorted() && told[599] == "doc-599=599",
        "each once, whatever was told before the failure"
    );
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_repeated_events_are_told_once() {
    let server = ApiServer::new(Profile::new());
    let (stranger, mut changes) = watched(&server).await;
    server.duplicate_events(true);
    put(&stranger, "a", 2).await;
    delete(&stranger, "a").await;
    put(&stranger, "a", 3).await;
    put(&stranger, "b", 4).await;
    assert_eq!(told(&mut changes, 4).await, ["a=2", "-a", "a=3", "b=4"]);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_bookmarks_spare_a_new_list_after_a_quiet_time() {
    let server = ApiServer::new(Profile::new());
    let (stranger, mut changes) = watched(&server).await;
    for number in 0..10 {
        let other = DocKey::new(DocKind::Verifier, "other").unwrap();
        stranger.put(&other, &document(number), Expected::Any).await.unwrap();
    }
    server.compact();
    server.send_bookmarks();
    server.end_watches();
    put(&stranger, "a", 2).await;
    assert_eq!(told(&mut changes, 1).await, ["a=2"]);
    assert_eq!(server.counts().of(Verb::List, "configmaps"), 1);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_a_version_that_the_server_never_takes_leads_to_a_new_list() {
    let server = ApiServer::new(Profile::new());
    let (stranger, mut changes) = watched(&server).await;
    // As a server does that was restored from a backup: the version is in its future.
    server.fail(On::next(Verb::Watch, "configmaps").times(6), Fault::timeout());
    server.end_watches();
    put(&stranger, "a", 2).await;
    assert_eq!(told(&mut changes, 1).await, ["a=2"]);
    assert_eq!(server.counts().of(Verb::List, "configmaps"), 2);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_a_slow_list_is_waited_for_and_tells_what_stands_then() {
    let server = ApiServer::new(Profile::new());
    let (stranger, backend) = (stranger(&server).await, backend(&server).await);
    put(&stranger, "a", 1).await;
    let gate = server.hold(On::next(Verb::List, "configmaps"));
    let change = async {
        gate.arrived(1).await;
        put(&stranger, "a", 2).await;
        gate.open();
    };
    let (_, changes) = tokio::join!(change, follow(&backend));
    assert_eq!(told(&mut changes.unwrap(), 2).await, ["a=2", "synced"]);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_a_watch_that_is_refused_says_so_at_once() {
    let server = ApiServer::new(Profile::new());
    let backend = backend(&server).await;
    server.fail(On::next(Verb::List, "configmaps"), Fault::internal());
    assert_eq!(follow(&backend).await.err().unwrap().kind(), ErrorKind::Unavailable);
    server.expire_credentials(true);
    assert_eq!(follow(&backend).await.err().unwrap().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_each_kind_is_listed_and_watched_once_and_never_polled() {
    let server = ApiServer::new(Profile::new());
    let (stranger, backend) = (stranger(&server).await, backend(&server).await);
    for number in 0..1_000 {
        put(&stranger, &format!("doc-{number}"), number).await;
    }
    server.reset_counts();
    let mut changes = follow(&backend).await.unwrap();
    assert_eq!(told(&mut changes, 1_001).await.last().map(String::as_str), Some("synced"));
    for number in 0..100 {
        put(&stranger, "doc-7", number).await;
    }
    told(&mut changes, 100).await;
    assert_eq!(server.counts().to_string(), "list configmaps: 1, watch configmaps: 1");
    assert_eq!(server.counts().pages("configmaps"), 1);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_a_write_without_expectation_is_tried_anew_when_somebody_was_faster() {
    let server = ApiServer::new(Profile::new());
    let (stranger, backend) = (stranger(&server).await, backend(&server).await);
    // What somebody does between our look and our write.
    for (verb, stands) in [(Verb::Create, false), (Verb::Patch, true)] {
        for deletes in [false, true] {
            delete(&stranger, "a").await;
            if stands {
                put(&stranger, "a", 1).await;
            }
            let gate = server.hold(On::next(verb, "configmaps"));
            let change = async {
                gate.arrived(1).await;
                put(&stranger, "a", 2).await;
                if deletes {
                    delete(&stranger, "a").await;
                }
                gate.open();
            };
            tokio::join!(change, put(&backend, "a", 3));
            assert_eq!(backend.get(&key("a")).await.unwrap().unwrap().value, document(3));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_a_write_whose_answer_is_lost_is_seen_by_the_next_look() {
    let server = ApiServer::new(Profile::new());
    let backend = backend(&server).await;
    server.fail(On::next(Verb::Create, "configmaps"), Fault::AnswerLost);
    let lost = backend.put(&key("a"), &document(1), Expected::Absent).await.unwrap_err();
    assert!(lost.is_retryable(), "{lost}");
    let again = backend.put(&key("a"), &document(1), Expected::Absent).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    let found = backend.get(&key("a")).await.unwrap().unwrap();
    server.fail(On::next(Verb::Delete, "configmaps"), Fault::AnswerLost);
    backend.delete(&key("a"), Expected::At(found.revision)).await.unwrap_err();
    backend.delete(&key("a"), Expected::Any).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r_k8s_4_no_error_shows_a_secret() {
    let server = ApiServer::new(Profile::new());
    let backend = backend(&server).await;
    let key = DocKey::new(DocKind::Credentials, "iris").unwrap();
    let secret = Document::of("hush").unwrap();
    for fault in [Fault::internal(), Fault::AnswerLost, Fault::timed_out(), Fault::timeout()] {
        server.fail(On::next(Verb::Create, "secrets"), fault);
        let error = backend.put(&key, &secret, Expected::Absent).await.unwrap_err();
        let shown = format!("{error} {error:?} {backend:?}");
        assert!(!shown.contains("hush") && !shown.contains("Imh1c2gi"), "{shown}");
        delete(&backend, "iris").await;
        backend.delete(&key, Expected::Any).await.unwrap();
    }
}

// === leases ===

#[tokio::test(start_paused = true)]
async fn r_k8s_5_leases_keep_their_promises_in_virtual_time() {
    for profile in [Profile::old(), Profile::new()] {
        let server = ApiServer::new(profile);
        conformance::leases(&backend(&server).await).await;
    }
}

async fn ask(leases: &K8sBackend, holder: &str) -> Option<Lease> {
    leases.acquire("scaler", holder, TTL).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn r_k8s_5_others_wait_for_the_whole_time_since_the_last_renewal_that_they_saw() {
    let server = ApiServer::new(Profile::new());
    let (one, other) = (backend(&server).await, backend(&server).await);
    let first = ask(&one, "one").await.unwrap();
    tokio::time::advance(10 * SECOND).await;
    assert_eq!(ask(&other, "other").await, None);
    one.renew(&first, TTL).await.unwrap();
    tokio::time::advance(14 * SECOND).await;
    // Only now is the renewal seen, so all of the time is waited for: the other one's clock may be anything.
    assert_eq!(ask(&other, "other").await, None);
    tokio::time::advance(14 * SECOND).await;
    assert_eq!(ask(&other, "other").await, None);
    tokio::time::advance(SECOND).await;
    let second = ask(&other, "other").await.unwrap();
    assert!(second.fence > first.fence);
    assert_eq!(one.renew(&first, TTL).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(ask(&one, "one").await, None);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_5_of_twenty_contenders_one_holds_at_a_time_and_fences_grow() {
    let server = ApiServer::new(Profile::new());
    let mut last = None;
    let contenders = join_all((0..20).map(|_| backend(&server))).await;
    for round in 0..5 {
        let asked = contenders.iter().enumerate().map(async |(number, leases)| {
            ask(leases, &format!("contender-{number}")).await.map(|lease| (number, lease))
        });
        let given: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        assert_eq!(given.len(), 1, "round {round}: {given:?}");
        let (number, lease) = given.into_iter().next().unwrap();
        assert!(last < Some(lease.fence));
        last = Some(lease.fence);
        if round % 2 == 0 {
            contenders[number].release(lease).await.unwrap();
        } else {
            tokio::time::advance(TTL).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_5_a_taker_who_is_overtaken_gets_nothing() {
    let server = ApiServer::new(Profile::new());
    let (stranger, slow) = (stranger(&server).await, backend(&server).await);
    for verb in [Verb::Create, Verb::Update] {
        let gate = server.hold(On::next(verb, "leases"));
        let overtake = async {
            gate.arrived(1).await;
            let lease = ask(&stranger, "fast").await;
            gate.open();
            lease.unwrap()
        };
        let (lease, nothing) = tokio::join!(overtake, ask(&slow, "slow"));
        assert_eq!(nothing, None);
        stranger.renew(&lease, TTL).await.unwrap();
        stranger.release(lease).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_5_a_lease_whose_answer_was_lost_is_found_again() {
    let server = ApiServer::new(Profile::new());
    let (one, other) = (backend(&server).await, backend(&server).await);
    server.fail(On::next(Verb::Update, "leases"), Fault::AnswerLost);
    let lost = one.acquire("scaler", "one", TTL).await.unwrap_err();
    assert!(lost.is_retryable());
    assert_eq!(ask(&other, "other").await, None);
    let lease = ask(&one, "one").await.expect("it is ours");
    one.renew(&lease, TTL).await.unwrap();
    server.go_down();
    assert_eq!(one.renew(&lease, TTL).await.unwrap_err().kind(), ErrorKind::Unavailable);
    tokio::time::advance(TTL).await;
    server.go_up();
    assert_eq!(
        one.renew(&lease, TTL).await.unwrap_err().kind(),
        ErrorKind::Conflict,
        "it has run out meanwhile"
    );
    assert!(ask(&one, "one").await.unwrap().fence > lease.fence);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_5_a_holder_that_was_asleep_scales_nothing_once_it_is_deposed() {
    let server = ApiServer::new(Profile::new());
    let (deployer, one, other) = (backend(&server).await, backend(&server).await, backend(&server).await);
    let id = WorkloadId::new("iris".parse().unwrap(), "first".parse().unwrap());
    let image = Environment::Image { reference: "registry.example/iris:1".to_owned() };
    deployer.apply(&Workload::new(id.clone(), Program::entry_point(), image)).await.unwrap();
    let number = || server.objects("deployments", "default")[0]["spec"]["replicas"].clone();

    let first = ask(&one, "one").await.unwrap();
    one.scale(&id, 2, &[], first.fence).await.unwrap();
    assert_eq!(ask(&other, "other").await, None);
    tokio::time::advance(TTL).await;
    let second = ask(&other, "other").await.unwrap();
    let deposed = async || one.scale(&id, 3, &[], first.fence).await.unwrap_err().kind();
    assert_eq!(deposed().await, ErrorKind::Conflict, "before the second one has scaled");
    other.scale(&id, 5, &[], second.fence).await.unwrap();
    assert_eq!(deposed().await, ErrorKind::Conflict, "and after it");
    assert_eq!(number(), 5);
    assert_eq!(ask(&one, "one").await, None);
}
