//! The laws of the workspace, read from `cargo metadata`: who may depend on whom, and what every crate must have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Every crate and the crates of the workspace that it may use, tests aside. Arrows point down only; leaves have none.
const MAY_USE: &[(&str, &[&str])] = &[
    ("deploy-config", &[]),
    ("router", &[]),
    ("autoscale", &[]),
    ("auth", &[]),
    ("hashing", &[]),
    ("backend", &["deploy-config"]),
    ("images", &["hashing"]),
    ("local-backend", &["backend", "deploy-config"]),
    ("k8s-backend", &["backend", "deploy-config"]),
    ("deployer", &["backend", "deploy-config", "router", "hashing", "auth"]),
    ("gateway", &["backend", "deploy-config", "router", "autoscale", "auth"]),
];

/// What a leaf never needs, unless by a feature that is off by default.
const NOT_IN_LEAVES: &[&str] =
    &["tokio", "hyper", "hyper-util", "rustls", "tracing", "async-trait", "rustix"];

/// What the quickstart must not compile.
const NOT_IN_QUICKSTART: &[&str] = &["kube", "oci-client", "axum", "tonic", "openssl", "reqwest"];

fn metadata() -> Value {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

struct Package {
    manifest: String,
    value: Value,
}

impl Package {
    fn text(&self, field: &str) -> &str {
        self.value[field].as_str().unwrap_or_default()
    }

    /// The names of its dependencies that are not for tests only: all, or those that are not optional.
    fn uses(&self, optional_too: bool) -> BTreeSet<&str> {
        let all = self.value["dependencies"].as_array().expect("a list");
        let kept = all.iter().filter(|dependency| {
            dependency["kind"].as_str() != Some("dev") && (optional_too || dependency["optional"] == false)
        });
        kept.filter_map(|dependency| dependency["name"].as_str()).collect()
    }
}

/// The packages under `crates/` by the name of their folder, and `examples` and `benches`.
fn packages() -> BTreeMap<String, Package> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list").clone();
    let named = packages.into_iter().map(|value| {
        let manifest = value["manifest_path"].as_str().expect("a path").to_owned();
        let folder = Path::new(&manifest).parent().and_then(Path::file_name).expect("a folder");
        (folder.to_string_lossy().into_owned(), Package { manifest, value })
    });
    named.collect()
}

#[test]
fn arrows_point_down_only() {
    let packages = packages();
    let crates: BTreeSet<_> =
        packages.keys().filter(|name| !matches!(name.as_str(), "examples" | "benches")).collect();
    let known: BTreeSet<_> = MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(crates, known.iter().collect(), "each crate has a row in MAY_USE");
    for (name, may_use) in MAY_USE {
        for used in packages[*name].uses(true) {
            if let Some(used) = used.strip_prefix("portway-") {
                assert!(may_use.contains(&used), "{name} must not depend on {used}");
            }
        }
    }
}

#[test]
fn leaves_bring_no_runtime() {
    let packages = packages();
    for (name, _) in MAY_USE.iter().filter(|(_, uses)| uses.is_empty()) {
        let uses = packages[*name].uses(false);
        for heavy in NOT_IN_LEAVES {
            assert!(!uses.contains(heavy), "{name} must not depend on {heavy} unless a feature asks for it");
        }
        assert_eq!(
            packages[*name].value["features"]["default"],
            serde_json::json!([]),
            "{name} has no default features"
        );
    }
}

#[test]
fn every_crate_is_dressed_alike() {
    for (name, package) in packages() {
        let manifest = std::fs::read_to_string(&package.manifest).expect("a manifest");
        assert_eq!(package.text("version"), env!("CARGO_PKG_VERSION"), "{name}: one common version");
        assert_eq!(package.text("license"), "MIT OR Apache-2.0", "{name}");
        assert_eq!(package.text("edition"), "2024", "{name}");
        assert_eq!(package.text("rust_version"), env!("CARGO_PKG_RUST_VERSION"), "{name}: one rust-version");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name}: the workspace's lints");
        if name != "examples" {
            let default = &package.value["features"]["default"];
            assert!(default.is_null() || *default == serde_json::json!([]), "{name}: no default features");
        }
        if !matches!(name.as_str(), "examples" | "benches") {
            assert_eq!(package.text("name"), format!("portway-{name}"));
            let readme = Path::new(&package.manifest).with_file_name("README.md");
            assert!(readme.exists(), "{name}: a README of its own");
            assert!(package.text("description").len() > 40, "{name}: a description");
        }
    }
}

#[test]
fn the_quickstart_compiles_only_what_it_uses() {
    let packages = packages();
    let examples = &packages["examples"];
    let uses = examples.uses(false);
    for heavy in NOT_IN_QUICKSTART {
        assert!(!uses.contains(heavy), "examples must not depend on {heavy} unless a feature asks for it");
    }
    let targets = examples.value["targets"].as_array().expect("a list");
    let quickstart =
        targets.iter().find(|target| target["name"] == "quickstart").expect("the quickstart stands");
    assert!(quickstart.get("required-features").is_none(), "the quickstart needs no feature");
}
