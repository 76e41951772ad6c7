use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{accepted, assert_refused};
use crate::{ArtifactName, Artifacts, BackendError, ByteStream, Digest, ErrorKind};

/// Checks the promises of [`Artifacts`].
pub async fn artifacts(artifacts: &dyn Artifacts) {
    bytes_come_back_as_they_went(artifacts).await;
    a_failed_put_changes_nothing(artifacts).await;
    a_prefix_ends_at_a_slash(artifacts).await;
}

fn name(text: &str) -> ArtifactName {
    accepted(text.parse(), "a legal name")
}

fn in_parts(bytes: &[u8]) -> ByteStream {
    let parts: Vec<_> = bytes.chunks(1000).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
    stream::iter(parts).boxed()
}

async fn read(artifacts: &dyn Artifacts, name: &ArtifactName) -> Option<Vec<u8>> {
    let artifact = accepted(artifacts.get(name).await, "opening")?;
    let bytes = accepted(artifact.bytes.try_concat_bytes().await, "reading");
    assert_eq!(artifact.info.digest, Digest::of(&bytes), "the digest is that of the bytes");
    assert_eq!(artifact.info.size, bytes.len() as u64, "the size is that of the bytes");
    Some(bytes)
}

trait ConcatBytes {
    async fn try_concat_bytes(self) -> Result<Vec<u8>, BackendError>;
}

impl ConcatBytes for ByteStream {
    async fn try_concat_bytes(self) -> Result<Vec<u8>, BackendError> {
        self.try_fold(Vec::new(), async |mut all, part| {
            all.extend_from_slice(&part);
            Ok(all)
        })
        .await
    }
}

async fn bytes_come_back_as_they_went(artifacts: &dyn Artifacts) {
    let large: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let name = name("conformance/deep/er/Ünïcode and spaces.bin");
    for bytes in [&large[..], b"", b"short"] {
        let digest = Digest::of(bytes);
        let info = accepted(artifacts.put(&name, in_parts(bytes), Some(&digest)).await, "storing");
        assert_eq!((&info.name, &info.digest), (&name, &digest), "what was stored is told");
        assert_eq!(read(artifacts, &name).await.as_deref(), Some(bytes), "bytes come back as they went");
    }
    accepted(artifacts.delete(&name).await, "deleting");
    accepted(artifacts.delete(&name).await, "deleting what does not exist");
    assert_eq!(read(artifacts, &name).await, None, "a deleted artifact does not exist");
}

async fn a_failed_put_changes_nothing(artifacts: &dyn Artifacts) {
    let name = name("conformance/kept");
    accepted(artifacts.put(&name, in_parts(b"old"), None).await, "storing");
    let wrong = artifacts.put(&name, in_parts(b"new"), Some(&Digest::of(b"other"))).await;
    assert_refused(wrong, ErrorKind::Invalid, "storing bytes that do not hash to what was expected");
    let torn = stream::iter([Ok(Bytes::from_static(b"ne")), Err(BackendError::unavailable("torn"))]).boxed();
    assert_refused(
        artifacts.put(&name, torn, None).await,
        ErrorKind::Unavailable,
        "storing bytes that break off",
    );
    assert_eq!(read(artifacts, &name).await.as_deref(), Some(&b"old"[..]), "a failed put changes nothing");
    accepted(artifacts.delete(&name).await, "deleting");
}

async fn a_prefix_ends_at_a_slash(artifacts: &dyn Artifacts) {
    let names = ["conformance/list/a", "conformance/list/b/c", "conformance/list-not"].map(name);
    for name in &names {
        accepted(artifacts.put(name, in_parts(b"x"), None).await, "storing");
    }
    for prefix in ["conformance/list", "conformance/list/"] {
        let listed = accepted(artifacts.list(prefix).await, "listing");
        let listed: Vec<_> = listed.into_iter().map(|info| info.name).collect();
        assert_eq!(listed, names[..2], "{prefix:?} lists what lies below it, ordered");
    }
    let exact = accepted(artifacts.list("conformance/list-not").await, "listing");
    assert_eq!(exact.len(), 1, "a whole name lists itself");
    for name in &names {
        accepted(artifacts.delete(name).await, "deleting");
    }
}
