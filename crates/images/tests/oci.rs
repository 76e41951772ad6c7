//! A repository of a real registry, behind each kind of door.
#![cfg(feature = "oci")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portway_hashing::ImageRef;
use portway_hashing::resolve::{Registry, RegistryErrorKind};
use portway_images::{Access, KEY_ANNOTATION, OciRegistry, OciSettings};
use serde_json::json;

use support::push::{DOCKER, OCI, Pusher};
use support::registry::{DockerRegistry, Door, USER};
use support::suite::{finds_what_was_pushed_and_nothing_else, key};
use support::tokens::TokenServer;

#[tokio::test(flavor = "multi_thread")]
async fn r_img_8_r_img_2_an_open_registry() {
    let Some(server) = DockerRegistry::start(&Door::Open) else { return };
    finds_what_was_pushed_and_nothing_else(&server.repository("a/b"), &Pusher::new(&server, "a/b")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_8_r_img_2_a_registry_with_passwords() {
    let Some(server) = DockerRegistry::start(&Door::Password) else { return };
    finds_what_was_pushed_and_nothing_else(&server.repository("a/b"), &Pusher::new(&server, "a/b")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_8_r_img_2_a_registry_with_a_certificate_of_its_own() {
    let Some(server) = DockerRegistry::start(&Door::Tls) else { return };
    finds_what_was_pushed_and_nothing_else(&server.repository("a/b"), &Pusher::new(&server, "a/b")).await;

    let untrusted = OciSettings::new(format!("{}/a/b", server.host()).parse().unwrap());
    let error = OciRegistry::new(untrusted.clone()).unwrap().find(&key(1)).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("`ca_file`"), "{error}");
    let error = OciRegistry::new(untrusted.plain_http()).unwrap().find(&key(1)).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Refused, "a TLS server answers 400 to plain HTTP: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_8_r_img_2_a_registry_that_takes_tokens() {
    let tokens = TokenServer::start().await;
    let Some(server) = DockerRegistry::start(&Door::Tokens(&tokens)) else { return };
    let pusher = Pusher::new(&server, "a/b").with_token(tokens.token("repository:a/b:pull,push,delete"));
    finds_what_was_pushed_and_nothing_else(&server.repository("a/b"), &pusher).await;

    let registry = server.repository("a/b");
    pusher.image(&key(1), "one").await;
    let before = tokens.given();
    registry.find(&key(1)).await.unwrap().unwrap();
    registry.find(&key(1)).await.unwrap().unwrap();
    assert_eq!(tokens.given() - before, 1, "a token is used until it ends");
    let copied = server.repository("c/d").adopting_from(&registry);
    let image = registry.find(&key(1)).await.unwrap().unwrap();
    let adopted = copied.adopt(&key(1), &image).await.unwrap();
    assert_eq!(adopted.digest(), image.digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_2_a_server_of_tokens_that_fails_is_no_refusal_and_no_miss() {
    let tokens = TokenServer::start().await;
    let Some(server) = DockerRegistry::start(&Door::Tokens(&tokens)) else { return };
    for (status, kind) in [
        (503, RegistryErrorKind::Unavailable),
        (429, RegistryErrorKind::Unavailable),
        (403, RegistryErrorKind::Refused),
        (404, RegistryErrorKind::Invalid),
        (200, RegistryErrorKind::Invalid),
    ] {
        tokens.fail_with(status);
        let error = server.repository("a/b").find(&key(1)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
    }
    tokens.fail_with(0);
    assert_eq!(server.repository("a/b").find(&key(1)).await.unwrap(), None);
    drop(tokens);
    let error = server.repository("a/b").find(&key(1)).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_2_wrong_credentials_are_refused_and_never_repeated() {
    let tokens = TokenServer::start().await;
    for door in [Door::Password, Door::Tokens(&tokens)] {
        let Some(server) = DockerRegistry::start(&door) else { return };
        for access in [Access::anonymous(), Access::password(USER, "wr0ng-secret")] {
            let registry = OciRegistry::new(server.settings_as("a/b", access)).unwrap();
            let error = registry.find(&key(1)).await.unwrap_err();
            assert_eq!(error.kind(), RegistryErrorKind::Refused, "{error}");
            assert!(error.to_string().contains("user and password"), "{error}");
            let shown = format!("{error} {error:?} {registry:?}");
            for secret in ["wr0ng-secret", &STANDARD.encode(format!("{USER}:wr0ng-secret"))] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_8_credentials_come_from_a_file_and_go_into_one() {
    let Some(server) = DockerRegistry::start(&Door::Password) else { return };
    let digest = Pusher::new(&server, "a/b").image(&key(1), "one").await;
    let written = server.folder().join("auth.json");
    assert!(server.repository("a/b").write_auth_file(&written).unwrap());
    assert!(server.repository("a/b").write_auth_file(&written).is_err(), "what is there is not overwritten");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&written).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let registry = OciRegistry::new(server.settings_as("a/b", Access::file(&written))).unwrap();
    assert_eq!(registry.find(&key(1)).await.unwrap().unwrap().digest(), digest);

    let missing = OciRegistry::new(server.settings_as("a/b", Access::file(server.folder().join("none"))));
    assert_eq!(missing.unwrap_err().kind(), RegistryErrorKind::Refused);
    let anonymous = OciRegistry::new(server.settings_as("a/b", Access::anonymous())).unwrap();
    assert!(!anonymous.write_auth_file(&server.folder().join("nobody")).unwrap());
    assert!(!server.folder().join("nobody").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_4_a_tag_that_was_moved_to_another_image_is_an_error() {
    let Some(server) = DockerRegistry::start(&Door::Open) else { return };
    let (registry, pusher) = (server.repository("a/b"), Pusher::new(&server, "a/b"));
    let tag = key(1).to_string();
    for (annotations, found) in [
        (json!({KEY_ANNOTATION: key(2).to_string()}), key(2).to_string()),
        (json!({}), "names no key".to_owned()),
    ] {
        let manifest = pusher.image_manifest("other", annotations).await;
        let digest = pusher.manifest(&tag, OCI, &manifest).await;
        let error = registry.find(&key(1)).await.unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Invalid);
        let text = error.to_string();
        assert!(text.contains(&found) && text.contains(&digest.to_string()), "{text}");
        assert!(text.contains("delete that tag"), "{text}");
        let image = ImageRef::new(&format!("{}/a/b", server.host()), digest).unwrap();
        assert_eq!(registry.adopt(&key(1), &image).await.unwrap_err().kind(), RegistryErrorKind::Invalid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_2_adopts_within_a_registry_and_from_another_as_often_as_one_likes() {
    let Some(global) = DockerRegistry::start(&Door::Password) else { return };
    let Some(here) = DockerRegistry::start(&Door::Open) else { return };
    let source = global.repository("global/envs");
    Pusher::new(&global, "global/envs").image(&key(1), "one").await;
    let image = source.find(&key(1)).await.unwrap().unwrap();

    let alone = here.repository("ws");
    let error = alone.adopt(&key(1), &image).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Refused);
    assert!(error.to_string().contains("adopting_from"), "{error}");

    for workspace in [here.repository("ws"), global.repository("other/ws")] {
        let workspace = workspace.adopting_from(&source);
        for _ in 0..2 {
            let adopted = workspace.adopt(&key(1), &image).await.unwrap();
            assert_eq!(adopted.digest(), image.digest());
            assert_eq!(workspace.find(&key(1)).await.unwrap(), Some(adopted));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn adopts_images_of_docker_s_form_and_for_several_platforms() {
    let Some(server) = DockerRegistry::start(&Door::Open) else { return };
    let (source, pusher) = (server.repository("from"), Pusher::new(&server, "from"));
    let annotations = json!({KEY_ANNOTATION: key(1).to_string()});
    let mut docker = pusher.image_manifest("docker", annotations.clone()).await;
    docker["mediaType"] = DOCKER.into();
    docker["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
    docker["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip".into();
    let inner = pusher.manifest("docker", DOCKER, &docker).await;
    let size = docker.to_string().len();
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX, "annotations": annotations,
        "manifests": [{"mediaType": DOCKER, "digest": inner, "size": size,
            "platform": {"os": "linux", "architecture": "amd64"}}],
    });
    let index = pusher.manifest("index", INDEX, &index).await;
    let Some(other) = DockerRegistry::start(&Door::Open) else { return };
    for (path, digest) in [("docker", inner), ("index", index)] {
        let workspace = other.repository(path).adopting_from(&source);
        let image = source.settings().repository().image(digest);
        assert_eq!(workspace.adopt(&key(1), &image).await.unwrap().digest(), digest);
        assert_eq!(workspace.find(&key(1)).await.unwrap().unwrap().digest(), digest);
    }
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// In a process of its own: what a machine trusts is read from its environment.
#[test]
fn a_machine_without_authorities_is_told_what_to_install() {
    const NAME: &str = "a_machine_without_authorities_is_told_what_to_install";
    const NONE: &str = "/nonexistent";
    if std::env::var("SSL_CERT_FILE").is_ok_and(|file| file == NONE) {
        let settings = OciSettings::new("registry.test/a".parse().unwrap());
        let error = OciRegistry::new(settings).unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Refused);
        assert!(error.to_string().contains("ca-certificates"), "{error}");
        return;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", NAME]).env("SSL_CERT_FILE", NONE).env("SSL_CERT_DIR", NONE);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
