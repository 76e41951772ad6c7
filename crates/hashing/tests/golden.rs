//! Keys and digests against vectors that a second implementation computed (`golden/golden.py`).
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::process::Command;

use portway_hashing::{BaseImage, CondaDocument, ImageInputs, Recipe};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("golden/vectors.json")).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

fn inputs(vector: &Value) -> ImageInputs {
    let base = match vector["base"].get("pinned") {
        Some(image) => BaseImage::Pinned(image.as_str().unwrap().parse().unwrap()),
        None => BaseImage::as_written(text(&vector["base"], "as_written")).unwrap(),
    };
    let inputs = ImageInputs::new(
        text(vector, "platform").parse().unwrap(),
        base,
        Recipe::new(text(vector, "recipe")).unwrap(),
    );
    let steps = vector["steps"].as_array().unwrap().iter();
    let inputs = steps.fold(inputs, |inputs, step| inputs.step(step.as_str().unwrap()));
    match vector["conda"].get("yaml") {
        Some(yaml) => inputs.conda(CondaDocument::parse(yaml.as_str().unwrap()).unwrap()),
        None => inputs,
    }
}

/// What is in the key, in a form that neither implementation uses.
fn meaning(vector: &Value) -> String {
    let mut conda = vector["conda"].get("meaning").cloned();
    if let Some(Value::Object(entries)) = &mut conda {
        entries.remove("name");
        entries.remove("prefix");
    }
    let base = match vector["base"].get("pinned") {
        Some(image) => image.as_str().unwrap().split_once('@').unwrap().1.to_owned(),
        None => format!("as written {}", vector["base"]),
    };
    format!("{} {base} {} {conda:?} {}", vector["platform"], vector["steps"], vector["recipe"])
}

#[test]
fn r_img_4_keys_are_those_of_the_second_implementation() {
    let vectors = vectors();
    let images = vectors["images"].as_array().unwrap();
    assert!(images.len() >= 40, "{}", images.len());
    for vector in images {
        assert_eq!(inputs(vector).key().to_string(), text(vector, "key"), "{}", vector["name"]);
    }
}

#[test]
fn r_img_1_keys_are_equal_exactly_where_the_meaning_is() {
    let vectors = vectors();
    let images = vectors["images"].as_array().unwrap();
    for left in images {
        for right in images {
            let same_key = left["key"] == right["key"];
            assert_eq!(same_key, meaning(left) == meaning(right), "{} and {}", left["name"], right["name"]);
            let explanation = inputs(left).explain(&inputs(right));
            assert_eq!(same_key, explanation.is_empty(), "{} and {}", left["name"], right["name"]);
        }
    }
    let keys: BTreeSet<_> = images.iter().map(|vector| text(vector, "key")).collect();
    assert!(keys.len() >= 40, "{}", keys.len());
}

#[test]
fn r_img_4_the_second_implementation_still_computes_the_vectors() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/golden.py");
    match Command::new("python3").args(["-B", script, "--check"]).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            let required = std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_some_and(|value| value == "1");
            assert!(!required, "python3 is missing ({error})");
            eprintln!("skipped: python3 is missing ({error}); install it to check the vectors");
        }
    }
}

#[cfg(all(feature = "fs", unix))]
mod trees {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use portway_hashing::fs::Project;
    use serde_json::Value;

    use super::{text, vectors};

    fn write(folder: &Path, content: &Value) {
        fs::create_dir(folder).unwrap();
        for (name, child) in content.as_object().unwrap() {
            let path = folder.join(name);
            if let Some(target) = child.get("link") {
                symlink(target.as_str().unwrap(), path).unwrap();
            } else if let Some(text) = child.get("text") {
                fs::write(&path, text.as_str().unwrap()).unwrap();
                let mode = if child.get("executable").is_some() { 0o700 } else { 0o600 };
                fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            } else {
                write(&path, &child["folder"]);
            }
        }
    }

    #[test]
    fn r_img_4_trees_are_those_of_the_second_implementation() {
        for vector in vectors()["trees"].as_array().unwrap() {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join("root");
            write(&root, &vector["content"]);
            let digest = Project::new(&root).digest().unwrap().digest;
            assert_eq!(digest.to_string(), text(vector, "digest"), "{}", vector["name"]);
        }
    }
}
