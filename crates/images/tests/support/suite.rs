//! What holds for every registry, real or not.

use portway_hashing::resolve::{Registry, RegistryErrorKind};
use portway_hashing::{Digest, ImageKey};
use portway_images::OciRegistry;

use super::push::Pusher;

pub(crate) fn key(number: u8) -> ImageKey {
    format!("v1-{}", Digest::of(&[number]).hex()).parse().unwrap()
}

pub(crate) async fn finds_what_was_pushed_and_nothing_else(registry: &OciRegistry, pusher: &Pusher) {
    assert_eq!(registry.find(&key(1)).await.unwrap(), None, "the repository does not exist yet");
    let digest = pusher.image(&key(1), "one").await;
    let image = registry.find(&key(1)).await.unwrap().unwrap();
    assert_eq!(image.digest(), digest);
    assert_eq!(image.repository(), registry.settings().repository().to_string());
    assert_eq!(registry.annotations(&image).await.unwrap().key(), Some(key(1)));
    assert_eq!(registry.find(&key(2)).await.unwrap(), None, "the repository exists, the tag does not");
    pusher.delete(digest).await;
    assert_eq!(registry.find(&key(1)).await.unwrap(), None, "deleted");
    assert_eq!(registry.annotations(&image).await.unwrap_err().kind(), RegistryErrorKind::Refused);
}
