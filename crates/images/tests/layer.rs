//! A project on top of an image: at a real registry, and as another program sees it.
#![cfg(all(feature = "layer", unix))]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use portway_hashing::fs::{Limits, Project, unpack};
use portway_hashing::resolve::{Registry, RegistryErrorKind};
use portway_hashing::{Digest, ImageRef};
use portway_images::{
    KEY_ANNOTATION, LayerError, Layered, OciRegistry, PROJECT_ANNOTATION, PROJECT_FOLDER, ProjectLayer,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use support::push::{DOCKER, OCI, Pusher};
use support::registry::{DockerRegistry, Door, is_there};
use support::suite::key;

/// A project with what projects have: folders, a program, a link, a long name.
fn project() -> (TempDir, Vec<u8>, Digest) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("models/deep")).unwrap();
    fs::write(at("score.py"), "print('scored')\n").unwrap();
    fs::write(at("models/deep/weights"), [7; 5000]).unwrap();
    fs::write(at(&format!("models/{}", "long-".repeat(40))), "long").unwrap();
    fs::write(at("run.sh"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(at("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink("models/deep/weights", at("weights")).unwrap();
    let mut pack = Vec::new();
    let digest = Project::new(folder.path()).pack(&mut pack).unwrap().digest;
    (folder, pack, digest)
}

fn layer() -> ProjectLayer {
    let (_folder, pack, digest) = project();
    ProjectLayer::builder(digest).file(SERVER, "print('serving')\n").build(pack.as_slice()).unwrap()
}

const SERVER: &str = "/srv/portway/serve.py";

async fn environment(registry: &OciRegistry, pusher: &Pusher) -> ImageRef {
    pusher.image(&key(1), "environment").await;
    registry.find(&key(1)).await.unwrap().unwrap()
}

#[test]
fn the_same_files_are_the_same_layer_and_unpack_to_the_same_project() {
    let (one, other) = (layer(), layer());
    assert_eq!((one.digest(), one.bytes()), (other.digest(), other.bytes()));
    let (_folder, pack, digest) = project();
    let another = ProjectLayer::builder(digest).build(pack.as_slice()).unwrap();
    assert_ne!(another.digest(), one.digest(), "the file beside the project counts");
    assert!(!format!("{one:?}").is_empty());
}

#[test]
fn what_has_no_place_in_a_layer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let digest = Digest::of(b"");
    let refused = |builder: portway_images::ProjectLayerBuilder, pack: &[u8]| match builder.build(pack) {
        Err(LayerError::Entry { entry, problem }) => format!("{entry} {problem}"),
        other => panic!("{other:?}"),
    };
    fs::write(folder.path().join(".wh.score.py"), "").unwrap();
    let mut pack = Vec::new();
    Project::new(folder.path()).pack(&mut pack).unwrap();
    assert!(refused(ProjectLayer::builder(digest), &pack).contains("rename it"));
    for path in
        ["/etc/passwd", "/srv/portway", "/srv/portwayx/a", "/srv/portway/../../etc/passwd", "srv/portway/a"]
    {
        refused(ProjectLayer::builder(digest).file(path, ""), &[0; 1024]);
    }
    let below = ProjectLayer::builder(digest).file("/srv/portway/a", "").file("/srv/portway/a/b", "");
    assert!(refused(below, &[0; 1024]).contains("no folder"));
    for (name, kind) in
        [("../up", tar::EntryType::Regular), ("/abs", tar::EntryType::Regular), ("a", tar::EntryType::Link)]
    {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        refused(ProjectLayer::builder(digest), &[header.as_bytes().as_slice(), &[0; 1024]].concat());
    }
    let damaged = ProjectLayer::builder(digest).build([1_u8; 700].as_slice());
    assert!(matches!(damaged, Err(LayerError::Pack(_))), "{damaged:?}");
    let cut = ProjectLayer::builder(digest).build(&project().1[..3000]);
    assert!(matches!(cut, Err(LayerError::Pack(_))), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_1_a_project_is_one_more_layer_and_its_image_says_what_it_was_built_on() {
    let Some(server) = DockerRegistry::start(&Door::Password) else { return };
    let (registry, pusher) = (server.repository("envs"), Pusher::new(&server, "envs"));
    let environment = environment(&registry, &pusher).await;
    let layered = registry.with_project(&environment, &layer()).await.unwrap();
    assert!(layered.new && layered.bytes == layer().bytes());
    assert_ne!(layered.image, environment);

    let says = registry.annotations(&layered.image).await.unwrap();
    assert_eq!(says.key(), Some(key(1)));
    assert_eq!(says.base_digest(), Some(environment.digest()));
    assert_eq!(says.base_name(), Some(format!("{}/envs:{}", server.host(), key(1)).as_str()));
    assert_eq!(says.project(), Some(layer().project()));

    let (old, new) =
        (pusher.get_manifest(environment.digest()).await, pusher.get_manifest(layered.image.digest()).await);
    assert_eq!(new["layers"][0], old["layers"][0], "what was below is as it was");
    assert_eq!(new["layers"][1]["digest"], layer().digest().to_string());
    let config: Value = serde_json::from_slice(&pusher.get_blob(&new["config"]["digest"]).await).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][1], layer().digest().to_string());
    assert_eq!(config["config"], json!({"Env": ["A=b"], "WorkingDir": PROJECT_FOLDER}));
    assert_eq!(config["architecture"], "amd64");

    let again = registry.with_project(&environment, &layer()).await.unwrap();
    assert_eq!(again, Layered { new: false, ..layered.clone() });
    pusher.delete(layered.image.digest()).await;
    assert_eq!(
        registry.with_project(&environment, &layer()).await.unwrap(),
        layered,
        "the same digest once more"
    );

    let error = registry.with_project(&layered.image, &layer()).await.unwrap_err();
    assert!(
        error.kind() == RegistryErrorKind::Refused && error.to_string().contains("without one"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_layer_s_archive_is_the_project_with_modes_for_any_user() {
    let Some(server) = DockerRegistry::start(&Door::Open) else { return };
    let (registry, pusher) = (server.repository("envs"), Pusher::new(&server, "envs"));
    let environment = environment(&registry, &pusher).await;
    registry.with_project(&environment, &layer()).await.unwrap();
    let bytes = pusher.get_blob(&json!(layer().digest())).await;
    assert_eq!(bytes.len() as u64, layer().bytes());
    let mut modes = Vec::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(
            (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()),
            (0, 0, 315_532_800)
        );
        modes.push((entry.path().unwrap().display().to_string(), header.mode().unwrap()));
    }
    for expected in [
        ("srv/", 0o755),
        ("srv/portway/", 0o755),
        ("srv/portway/serve.py", 0o644),
        ("srv/portway/project/", 0o755),
        ("srv/portway/project/models/deep/", 0o755),
        ("srv/portway/project/score.py", 0o644),
        ("srv/portway/project/run.sh", 0o755),
        ("srv/portway/project/weights", 0o777),
    ] {
        assert!(modes.contains(&(expected.0.to_owned(), expected.1)), "{expected:?} in {modes:?}");
    }
    let into = tempfile::tempdir().unwrap();
    unpack(bytes.as_slice(), into.path(), Limits::default()).unwrap();
    let project = Project::new(into.path().join(PROJECT_FOLDER.trim_start_matches('/')));
    assert_eq!(project.digest().unwrap().digest, layer().project());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_docker_s_form_becomes_one_of_oci_s_with_the_same_layers() {
    let Some(server) = DockerRegistry::start(&Door::Open) else { return };
    let (registry, pusher) = (server.repository("envs"), Pusher::new(&server, "envs"));
    let annotations = json!({KEY_ANNOTATION: key(1).to_string()});
    let mut docker = pusher.image_manifest("docker", annotations).await;
    docker["mediaType"] = DOCKER.into();
    docker["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
    docker["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar".into();
    let environment =
        registry.settings().repository().image(pusher.manifest("docker", DOCKER, &docker).await);
    let layered = registry.with_project(&environment, &layer()).await.unwrap();
    let new = pusher.get_manifest(layered.image.digest()).await;
    assert_eq!(new["mediaType"], OCI);
    assert_eq!(new["layers"][0]["digest"], docker["layers"][0]["digest"]);
    assert_eq!(new["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar");

    docker["layers"][0]["mediaType"] = "application/x-strange".into();
    let strange = registry.settings().repository().image(pusher.manifest("docker", DOCKER, &docker).await);
    let error = registry.with_project(&strange, &layer()).await.unwrap_err();
    assert!(error.to_string().contains("application/x-strange"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_for_several_platforms_is_refused_with_what_it_lists() {
    let Some(server) = DockerRegistry::start(&Door::Open) else { return };
    let (registry, pusher) = (server.repository("envs"), Pusher::new(&server, "envs"));
    let inner = environment(&registry, &pusher).await;
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{"mediaType": OCI, "digest": inner.digest(), "size": pusher.get_manifest_bytes(inner.digest()).await.len(),
            "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}],
    });
    let index = registry.settings().repository().image(pusher.manifest("index", INDEX, &index).await);
    let error = registry.with_project(&index, &layer()).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Refused);
    assert!(error.to_string().contains(&format!("{} for linux/arm64/v8", inner.digest())), "{error}");
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_of_another_registry_is_brought_along() {
    let Some(global) = DockerRegistry::start(&Door::Password) else { return };
    let Some(here) = DockerRegistry::start(&Door::Open) else { return };
    let source = global.repository("global");
    let environment = environment(&source, &Pusher::new(&global, "global")).await;
    let error = here.repository("ws").with_project(&environment, &layer()).await.unwrap_err();
    assert!(error.to_string().contains("adopting_from"), "{error}");
    let registry = here.repository("ws").adopting_from(&source);
    let layered = registry.with_project(&environment, &layer()).await.unwrap();
    assert_eq!(layered.image.repository(), format!("{}/ws", here.host()));
    let new = Pusher::new(&here, "ws").get_manifest(layered.image.digest()).await;
    for layer in new["layers"].as_array().unwrap() {
        Pusher::new(&here, "ws").get_blob(&layer["digest"]).await;
    }
    assert_eq!(registry.annotations(&layered.image).await.unwrap().base_digest(), Some(environment.digest()));
    assert_eq!(new["annotations"][PROJECT_ANNOTATION], layer().project().to_string());
}

/// Runs `buildah` with a store of its own, without a daemon, an overlay file system or control groups.
fn buildah(store: &Path, arguments: &[&str]) -> String {
    let output = Command::new("buildah")
        .arg("--root")
        .arg(store.join("root"))
        .arg("--runroot")
        .arg(store.join("run"))
        .args(["--storage-driver", "vfs"])
        .args(arguments)
        .env("BUILDAH_ISOLATION", "chroot")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "buildah {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// This machine's shell and a few programs with what they are linked to.
fn base(folder: &Path) -> String {
    let archive = folder.join("base.tar").display().to_string();
    let script = r#"
        programs="/bin/sh /bin/cat /bin/ls /usr/bin/id"
        libraries=$(for program in $programs; do ldd "$program"; done | grep -o '/[^ ]*' | sort -u)
        tar -chPf "$1" --transform 's,^/,,' $programs $libraries"#;
    let done = Command::new("sh").args(["-c", script, "sh", &archive]).status().unwrap();
    assert!(done.success());
    archive
}

#[tokio::test(flavor = "multi_thread")]
async fn r_img_8_another_program_sees_the_project_and_runs_in_it_as_nobody_in_particular() {
    let Some(server) = DockerRegistry::start(&Door::Open) else { return };
    if !is_there("buildah") {
        return;
    }
    let store = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| buildah(store.path(), arguments);
    let container = run(&["from", "scratch"]);
    run(&["add", "-q", &container, &base(store.path()), "/"]);
    run(&[
        "config",
        "--annotation",
        &format!("{KEY_ANNOTATION}={}", key(1)),
        "--env",
        "GREETING=hello",
        &container,
    ]);
    run(&["commit", "-q", "--rm", &container, "localhost/base"]);
    let registry = server.repository("envs");
    let place = format!("docker://{}:{}", registry.settings().repository(), key(1));
    run(&["push", "-q", "--tls-verify=false", "localhost/base", &place]);

    let environment = registry.find(&key(1)).await.unwrap().unwrap();
    let layered = registry.with_project(&environment, &layer()).await.unwrap();
    let container = run(&["from", "-q", "--tls-verify=false", &format!("docker://{}", layered.image)]);
    let script = "id -u; echo $GREETING; pwd; cat score.py; ls /srv/portway; cat /srv/portway/serve.py; ./run.sh; \
                  cat weights >/dev/null && ls models/deep";
    let seen = run(&["run", "--user", "65532", &container, "--", "sh", "-c", script]);
    let expected = "65532\nhello\n/srv/portway/project\nprint('scored')\nproject\nserve.py\nprint('serving')\nran\nweights";
    assert_eq!(seen, expected);
}
