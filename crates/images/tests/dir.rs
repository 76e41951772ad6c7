//! A folder as registry.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![cfg(feature = "dir")]

use std::fs;
use std::path::Path;

use portway_hashing::resolve::{Registry, RegistryErrorKind};
use portway_hashing::{Digest, ImageKey, ImageRef};
use portway_images::{DirRegistry, Environment, Interpreter};

fn key(number: u8) -> ImageKey {
    format!("v1-{}", Digest::of(&[number]).hex()).parse().unwrap()
}

fn environment(folder: &Path, name: &str) -> Environment {
    let python = folder.join(name);
    fs::write(&python, name).unwrap();
    Environment {
        image: ImageRef::new("venv", Digest::of(name.as_bytes())).unwrap(),
        interpreter: Interpreter::read(&python, "3.11.7").unwrap(),
        python,
        packages: vec!["numpy==1.10".to_owned()],
    }
}

#[tokio::test]
async fn r_img_8_finds_what_was_stored_and_where_its_interpreter_is() {
    let folder = tempfile::tempdir().unwrap();
    let registry = DirRegistry::open(folder.path().join("images")).unwrap();
    let environment = environment(folder.path(), "python");
    assert_eq!(registry.find(&key(1)).await.unwrap(), None);
    registry.put(&key(1), &environment).unwrap();
    let again = DirRegistry::open(folder.path().join("images")).unwrap();
    let image = again.find(&key(1)).await.unwrap().unwrap();
    assert_eq!(image, environment.image);
    assert_eq!(again.environment(&image).unwrap().unwrap(), environment);
    assert_eq!(again.find(&key(2)).await.unwrap(), None);
}

#[tokio::test]
async fn an_interpreter_that_is_gone_or_replaced_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let registry = DirRegistry::open(folder.path().join("images")).unwrap();
    for (number, name) in [(1, "gone"), (2, "replaced")] {
        registry.put(&key(number), &environment(folder.path(), name)).unwrap();
        assert!(registry.find(&key(number)).await.unwrap().is_some());
    }
    fs::remove_file(folder.path().join("gone")).unwrap();
    fs::write(folder.path().join("replaced"), "another interpreter").unwrap();
    assert_eq!(registry.find(&key(1)).await.unwrap(), None);
    assert_eq!(registry.find(&key(2)).await.unwrap(), None);
}

#[tokio::test]
async fn r_img_2_a_damaged_or_missing_folder_is_an_error_and_not_a_miss() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("images");
    let registry = DirRegistry::open(&root).unwrap();
    fs::write(root.join("keys").join(format!("{}.json", key(1))), "{").unwrap();
    let error = registry.find(&key(1)).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Invalid);
    assert!(error.to_string().contains("remove it"), "{error}");
    fs::remove_dir_all(&root).unwrap();
    let error = registry.find(&key(2)).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Unavailable);
    assert!(registry.put(&key(2), &environment(folder.path(), "python")).is_err());
}

#[tokio::test]
async fn adopts_from_another_folder_by_digest() {
    let folder = tempfile::tempdir().unwrap();
    let global = DirRegistry::open(folder.path().join("global")).unwrap();
    let environment = environment(folder.path(), "python");
    global.put(&key(1), &environment).unwrap();
    let alone = DirRegistry::open(folder.path().join("workspace")).unwrap();
    assert_eq!(
        alone.adopt(&key(1), &environment.image).await.unwrap_err().kind(),
        RegistryErrorKind::Refused
    );
    let workspace = alone.adopting_from(&global);
    assert_eq!(workspace.adopt(&key(1), &environment.image).await.unwrap(), environment.image);
    assert_eq!(workspace.find(&key(1)).await.unwrap(), Some(environment.image));
}

#[tokio::test]
async fn leaves_no_unfinished_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("images");
    let registry = DirRegistry::open(&root).unwrap();
    registry.put(&key(1), &environment(folder.path(), "python")).unwrap();
    let names: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}
