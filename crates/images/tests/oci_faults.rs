//! A registry that fails in every way known: never a “not there”, always the right kind of error.
#![cfg(feature = "oci")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hyper::Method;
use portway_hashing::resolve::{
    BuildError, BuildErrorKind, BuildLog, ImageBuilder, MemoryLock, Registry, RegistryErrorKind as Kind,
    ResolveError, Resolver,
};
use portway_hashing::{ImageInputs, ImageKey, ImageRef, Platform, Recipe};
use portway_images::{Access, OciRegistry};

use support::double::{Double, Reply};
use support::suite::{finds_what_was_pushed_and_nothing_else, key};

#[tokio::test]
async fn the_double_does_what_a_registry_does() {
    let double = Double::start().await;
    let registry = OciRegistry::new(double.settings("a/b")).unwrap();
    finds_what_was_pushed_and_nothing_else(&registry, &double.pusher("a/b")).await;
}

const UNKNOWN: &str = r#"{"errors": [{"code": "MANIFEST_UNKNOWN"}]}"#;

/// Each answer to the look-up of a manifest, and what it has to be for us.
fn answers() -> Vec<(Reply, Kind)> {
    use Reply::{Hangs, HangsHalfWay, OtherDigest, Redirects, Says, Truncated};
    vec![
        (Says(500, ""), Kind::Unavailable),
        (Says(503, "<html>back soon</html>"), Kind::Unavailable),
        (Says(503, UNKNOWN), Kind::Unavailable),
        (Says(429, "slow down"), Kind::Unavailable),
        (
            Says(429, r#"{"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]}"#),
            Kind::Unavailable,
        ),
        (Says(401, UNKNOWN), Kind::Refused),
        (Says(403, r#"{"errors": [{"code": "DENIED"}]}"#), Kind::Refused),
        (Says(403, "<html>no</html>"), Kind::Refused),
        (Says(400, r#"{"errors": [{"code": "NAME_INVALID"}]}"#), Kind::Refused),
        (Says(404, "<html>no such page</html>"), Kind::Invalid),
        (Says(404, ""), Kind::Invalid),
        (Says(404, r#"{"errors": []}"#), Kind::Invalid),
        (Says(404, r#"{"errors": [{"code": "MANIFEST_UNKNOWN"}, {"code": "DENIED"}]}"#), Kind::Refused),
        (Says(200, "<html>please log in to this network</html>"), Kind::Invalid),
        (Says(200, ""), Kind::Invalid),
        (Says(200, "{}"), Kind::Invalid),
        (Says(200, r#"{"schemaVersion": 1, "name": "a/b"}"#), Kind::Invalid),
        (Says(200, r#"{"schemaVersion": 2, "mediaType": "application/x", "config": null}"#), Kind::Invalid),
        (Says(204, ""), Kind::Invalid),
        (OtherDigest, Kind::Invalid),
        (Redirects("/v2/a/b/manifests/round".to_owned()), Kind::Invalid),
        (Truncated(r#"{"schemaVersion": 2"#), Kind::Unavailable),
        (Hangs, Kind::TimedOut),
        (HangsHalfWay(r#"{"schemaVersion": 2"#), Kind::TimedOut),
    ]
}

#[tokio::test]
async fn r_img_2_no_failure_of_a_registry_is_a_not_there_or_starts_a_build() {
    let double = Double::start().await;
    let key = inputs().key();
    double.pusher("a/b").image(&key, "one").await;
    for (reply, kind) in answers() {
        let broken = reply.clone();
        double.break_with(move |_, path| path.contains("/manifests/").then(|| broken.clone()));
        // Only what hangs waits for it; the others answer long before.
        let hangs = matches!(reply, Reply::Hangs | Reply::HangsHalfWay(_));
        let silence = if hangs { Duration::from_millis(300) } else { Duration::from_secs(60) };
        let registry = OciRegistry::new(double.settings("a/b").silence(silence)).unwrap();
        let error = registry.find(&key).await.expect_err(&format!("{reply:?}"));
        assert_eq!(error.kind(), kind, "{reply:?}: {error}");
        builds_nothing(registry, kind, &reply).await;
    }
    double.heal();
    let registry = OciRegistry::new(double.settings("a/b")).unwrap();
    assert!(registry.find(&key).await.unwrap().is_some());
}

#[tokio::test]
async fn r_img_2_a_registry_says_not_there_in_its_own_words() {
    let double = Double::start().await;
    let registry = OciRegistry::new(double.settings("a/b")).unwrap();
    for words in [
        UNKNOWN,
        r#"{"errors": [{"code": "NAME_UNKNOWN", "message": "repository name not known", "detail": {"name": "a/b"}}]}"#,
        r#"{"errors": [{"code": "NOT_FOUND", "message": "artifact a/b:v1 not found"}]}"#,
    ] {
        double.break_with(move |_, path| path.contains("/manifests/").then_some(Reply::Says(404, words)));
        assert_eq!(registry.find(&key(1)).await.unwrap(), None, "{words}");
    }
}

#[tokio::test]
async fn r_img_2_a_registry_that_is_not_there_is_unavailable() {
    let double = Double::start().await;
    let settings = double.settings("a/b");
    drop(double);
    let error = OciRegistry::new(settings).unwrap().find(&key(1)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.is_retryable());
}

/// Fails the test if it is asked.
struct NeverBuilds;

#[async_trait]
impl ImageBuilder for NeverBuilds {
    async fn build(
        &self,
        _: &ImageKey,
        _: &ImageInputs,
        _: Arc<dyn BuildLog>,
    ) -> Result<ImageRef, BuildError> {
        Err(BuildError::new(BuildErrorKind::Failed, "a build was started"))
    }
}

fn inputs() -> ImageInputs {
    ImageInputs::new(Platform::host(), "debian".parse().unwrap(), Recipe::new("test-1").unwrap())
}

async fn builds_nothing(registry: OciRegistry, kind: Kind, reply: &Reply) {
    let resolver = Resolver::new(registry, NeverBuilds, MemoryLock::default());
    let inputs =
        ImageInputs::new(Platform::host(), "debian".parse().unwrap(), Recipe::new("test-1").unwrap());
    match resolver.resolve(&inputs, Arc::new(|_: &str| {})).await.unwrap_err() {
        ResolveError::Registry { source, .. } => assert_eq!(source.kind(), kind),
        other => panic!("{reply:?}: {other:?}"),
    }
}

#[tokio::test]
async fn what_a_registry_says_is_quoted_but_never_what_it_was_sent() {
    let double = Double::start().await;
    let settings = double.settings("a/b").access(Access::password("robot", "hunter2"));
    let registry = OciRegistry::new(settings).unwrap();
    double.break_with(|_, _| Some(Reply::Says(500, "the disk is full")));
    let error = registry.find(&key(1)).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.to_string().contains("the disk is full"), "{source}");
    double.break_with(|_, _| Some(Reply::Says(500, "no place for hunter2")));
    let error = registry.find(&key(1)).await.unwrap_err();
    assert!(std::error::Error::source(&error).is_none());
    assert!(!format!("{error} {error:?} {registry:?}").contains("hunter2"));
}

/// A registry that wants a password and keeps its blobs somewhere else.
#[tokio::test]
async fn credentials_are_not_sent_to_another_host() {
    let (first, elsewhere, target) = (Double::start().await, Double::start().await, Double::start().await);
    first.pusher("a/b").image(&key(1), "one").await;
    elsewhere.pusher("a/b").image(&key(1), "one").await;
    elsewhere.asked();
    let far = elsewhere.host().to_owned();
    demand_password(&first, move |method, path| {
        let blob = *method == Method::GET && path.contains("/blobs/");
        blob.then(|| Reply::Redirects(format!("http://{far}{path}?signature=s3cret")))
    });
    let access = || Access::password("robot", "hunter2");
    let source = OciRegistry::new(first.settings("a/b").access(access())).unwrap();
    let image = source.find(&key(1)).await.unwrap().unwrap();
    let workspace = OciRegistry::new(target.settings("ws")).unwrap().adopting_from(&source);
    workspace.adopt(&key(1), &image).await.unwrap();
    let asked = elsewhere.asked();
    assert!(asked.len() >= 2, "the blobs came from there: {asked:?}");
    assert!(asked.iter().all(|(_, _, sent)| sent.is_none()), "{asked:?}");
    assert!(first.asked().iter().any(|(_, _, sent)| sent.is_some()), "the registry itself was told who asks");

    // An address that is signed is as good as a password.
    elsewhere.break_with(|_, _| Some(Reply::Says(403, "expired")));
    let other = OciRegistry::new(target.settings("ws2")).unwrap().adopting_from(&source);
    let error = other.adopt(&key(1), &image).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    elsewhere.break_with(|_, _| Some(Reply::Truncated("x")));
    let error = other.adopt(&key(1), &image).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn an_upload_that_is_taken_elsewhere_is_sent_there_without_credentials() {
    let (from, to, elsewhere) = (Double::start().await, Double::start().await, Double::start().await);
    from.pusher("a/b").image(&key(1), "one").await;
    from.asked();
    let far = elsewhere.host().to_owned();
    demand_password(&to, move |method, path| {
        let begins = *method == Method::POST && path.ends_with("/blobs/uploads/");
        begins.then(|| Reply::UploadsTo(format!("http://{far}{path}1")))
    });
    let source = OciRegistry::new(from.settings("a/b")).unwrap();
    let image = source.find(&key(1)).await.unwrap().unwrap();
    let settings = to.settings("ws").access(Access::password("robot", "hunter2"));
    let target = OciRegistry::new(settings).unwrap().adopting_from(&source);
    target.adopt(&key(1), &image).await.unwrap();
    let asked = elsewhere.asked();
    let sent =
        |(method, _, sent): &(Method, String, Option<String>)| *method == Method::PUT && sent.is_none();
    assert!(asked.len() == 2 && asked.iter().all(sent), "{asked:?}");
    assert!(to.asked().iter().any(|(_, _, sent)| sent.is_some()));
    assert!(from.asked().iter().all(|(_, _, sent)| sent.is_none()), "nor to where the image came from");
}

/// 401 with a challenge for whoever does not say who asks.
fn demand_password(double: &Double, fault: impl Fn(&Method, &str) -> Option<Reply> + Send + 'static) {
    double.break_with(move |method, path| {
        if path == "/v2/" {
            Some(Reply::Challenges("Basic realm=\"test\"".to_owned()))
        } else {
            fault(method, path)
        }
    });
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_renewed_wherever_it_is_noticed() {
    const TOKENS: [&str; 3] = [r#"{"token": "t0"}"#, r#"{"token": "t1"}"#, r#"{"access_token": "t2"}"#];
    let (from, to) = (Double::start().await, Double::start().await);
    let source = OciRegistry::new(from.settings("a/b")).unwrap();
    let target = OciRegistry::new(to.settings("ws")).unwrap().adopting_from(&source);
    let taken = Arc::new(AtomicUsize::new(0));
    let (now, host) = (Arc::clone(&taken), to.host().to_owned());
    to.break_for(move |_, path, sent| {
        let number = now.load(Ordering::SeqCst);
        let challenge = || Reply::Challenges(format!("Bearer realm=\"http://{host}/token\",service=\"s\""));
        match path {
            "/token" => Some(Reply::Says(200, TOKENS[number])),
            _ => (sent != Some(format!("Bearer t{number}").as_str())).then(challenge),
        }
    });
    for (number, content) in ["one", "two", "three"].into_iter().enumerate() {
        taken.store(number, Ordering::SeqCst);
        let key = key(u8::try_from(number).unwrap());
        from.pusher("a/b").image(&key, content).await;
        let image = source.find(&key).await.unwrap().unwrap();
        let adopted = target.adopt(&key, &image).await.unwrap();
        assert_eq!(target.find(&key).await.unwrap(), Some(adopted));
    }
}

#[tokio::test]
async fn an_adoption_that_breaks_off_leaves_no_tag_and_can_be_repeated() {
    let (from, to) = (Double::start().await, Double::start().await);
    from.pusher("a/b").image(&key(1), "one").await;
    let silence = Duration::from_secs(60);
    let source = OciRegistry::new(from.settings("a/b").silence(silence)).unwrap();
    let image = source.find(&key(1)).await.unwrap().unwrap();
    for (reply, kind) in [
        (Reply::Truncated("cut"), Kind::Unavailable),
        (Reply::Says(200, "other bytes"), Kind::Invalid),
        (Reply::Says(500, ""), Kind::Unavailable),
        (Reply::Says(404, UNKNOWN), Kind::Refused),
        (Reply::Hangs, Kind::TimedOut),
        (Reply::HangsHalfWay("x"), Kind::TimedOut),
    ] {
        let hangs = matches!(reply, Reply::Hangs | Reply::HangsHalfWay(_));
        let silence = if hangs { Duration::from_millis(300) } else { silence };
        let source = OciRegistry::new(from.settings("a/b").silence(silence)).unwrap();
        let target = OciRegistry::new(to.settings("ws").silence(silence)).unwrap().adopting_from(&source);
        let broken = reply.clone();
        from.break_with(move |method, path| {
            (*method == Method::GET && path.contains("/blobs/")).then(|| broken.clone())
        });
        let error = target.adopt(&key(1), &image).await.expect_err(&format!("{reply:?}"));
        assert_eq!(error.kind(), kind, "{reply:?}: {error} {error:?}");
        from.heal();
        let target = OciRegistry::new(to.settings("ws")).unwrap();
        assert_eq!(target.find(&key(1)).await.unwrap(), None, "{reply:?}");
    }
    for (path, reply, kind) in [
        ("/blobs/", Reply::Says(507, "disk full"), Kind::Unavailable),
        ("/manifests/", Reply::Says(403, ""), Kind::Refused),
        ("/manifests/", Reply::Says(200, ""), Kind::Invalid),
    ] {
        let broken = reply.clone();
        to.break_with(move |method, asked| {
            (*method != Method::GET && *method != Method::HEAD && asked.contains(path))
                .then(|| broken.clone())
        });
        let target = OciRegistry::new(to.settings("ws")).unwrap().adopting_from(&source);
        let error = target.adopt(&key(1), &image).await.expect_err(&format!("{reply:?}"));
        assert_eq!(error.kind(), kind, "{reply:?}: {error} {error:?}");
        to.heal();
        assert_eq!(target.find(&key(1)).await.unwrap(), None, "{reply:?}");
    }
    let target = OciRegistry::new(to.settings("ws")).unwrap().adopting_from(&source);
    assert_eq!(target.adopt(&key(1), &image).await.unwrap().digest(), image.digest());
}
