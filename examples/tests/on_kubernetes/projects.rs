//! Project folders on real nodes: built, layered, pulled, scored. The base is made of this machine's own Python.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::site::{Site, on_a_cluster, say};
use super::{ended, iris, nothing_is_left, on_kubernetes, says};

/// The first run builds the environment and pushes two layers; the second one finds all of it.
#[tokio::test(flavor = "multi_thread")]
async fn r_run_1_project_folders_become_images_that_serve_and_are_found_again() {
    on_a_cluster(async |site| {
        let Some(registry) = registry(site) else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let repository = format!("{registry}/{}", site.namespace);
        let base = push_base(&folder, &repository);
        let run = async || {
            let mut command = on_kubernetes(site);
            command.args(["--once", "--plain-http", "--registry", &repository, "--base", &base]);
            command.arg("--builds").arg(folder.path().join("builds"));
            command.arg("--stable").arg(iris::project("softmax").join("score.py"));
            command.arg("--canary").arg(iris::project("bayes").join("serve.py"));
            let output = ended(command).await;
            let served = ["✓ both versions answer, of a setosa: setosa, setosa", "all of it held"];
            says(&output, &served);
            assert!(output.status.success());
            nothing_is_left(site).await;
            output
        };
        says(
            &run().await,
            &["image built:", "image found in the workspace registry:", "pushed as a layer of"],
        );
        let again = run().await;
        says(&again, &["already a layer of"]);
        let said = String::from_utf8_lossy(&again.stdout).into_owned();
        assert!(!said.contains("image built") && !said.contains("pushed as a layer"), "{said}");
    })
    .await;
}

/// A registry that this machine pushes to and the nodes pull from; says in a line why there is none.
fn registry(site: &Site) -> Option<String> {
    let what = "project folders that become images";
    if !site.real_node(what) {
        return None;
    }
    let registry = std::env::var("PORTWAY_CLUSTER_REGISTRY").ok();
    let missing = ["buildah", "python3"].into_iter().find(|program| !is_there(program));
    let lacks = match (&registry, missing) {
        (None, _) => {
            "PORTWAY_CLUSTER_REGISTRY names no registry that speaks plain HTTP; `.ci/cluster node` prints one"
                .into()
        }
        (_, Some(program)) => format!("no `{program}` on this machine: apt-get install {program}"),
        _ => return registry,
    };
    assert!(std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_none(), "{what} are required: {lacks}");
    say(&format!("skipped: {what}: {lacks}"));
    None
}

fn is_there(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Makes a root with Python and pushes it; its name.
fn push_base(folder: &TempDir, repository: &str) -> String {
    let root = folder.path().join("root");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/images/tests/support/base.py");
    // The system's one if there is one: it is smaller than what people install beside it.
    let system = Path::new("/usr/bin/python3");
    let python = if system.exists() { system } else { Path::new("python3") };
    said(Command::new(python).arg(script).arg(&root).arg("python"));
    let buildah = |arguments: &[&str]| {
        let mut command = Command::new("buildah");
        command
            .arg("--root")
            .arg(folder.path().join("storage"))
            .arg("--runroot")
            .arg(folder.path().join("run"));
        said(command.args(["--storage-driver", "vfs"]).args(arguments))
    };
    let base = format!("{repository}/python:1");
    let container = buildah(&["from", "scratch"]);
    buildah(&["copy", "-q", &container, &root.display().to_string(), "/"]);
    let image = buildah(&["commit", "-q", "--rm", &container]);
    buildah(&["push", "-q", "--tls-verify=false", &image, &format!("docker://{base}")]);
    base
}

/// What it says; it has to go well.
fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it is there");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).trim().to_owned()
}
