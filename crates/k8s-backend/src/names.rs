//! What our objects are called and how they are marked.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use portway_backend::WorkloadId;
use ring::digest::{SHA256, digest};

/// The label by which all our objects are found, with [`MANAGER`] as its value.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Who manages our objects.
pub(crate) const MANAGER: &str = "portway";
/// The label that says which part an object is of.
pub(crate) const COMPONENT: &str = "app.kubernetes.io/component";
/// The label that tells two gateways or deployers of one namespace apart.
pub(crate) const INSTANCE: &str = "app.kubernetes.io/instance";
/// [`COMPONENT`] of everything that belongs to a workload.
pub(crate) const REPLICA: &str = "replica";
/// [`COMPONENT`] of a gateway that runs in the cluster.
pub(crate) const GATEWAY: &str = "gateway";
/// The label with the name of the objects of a workload; replicas are selected by it.
pub(crate) const WORKLOAD: &str = "portway.dev/workload";
/// The label with the name of the endpoint.
pub(crate) const ENDPOINT: &str = "portway.dev/endpoint";
/// The label with the name of the version.
pub(crate) const VERSION: &str = "portway.dev/version";
/// The annotation with the digest of what was applied.
pub(crate) const CONFIG_DIGEST: &str = "portway.dev/config-digest";
/// The annotation of a workload's Secret with the salt of [`CONFIG_DIGEST`].
pub(crate) const SALT: &str = "portway.dev/config-salt";
/// The label with the kind of document that an object holds.
pub(crate) const DOCUMENT: &str = "portway.dev/document";
/// The annotation with the full name of a document or lease, which the object's own name shortens.
pub(crate) const FULL_NAME: &str = "portway.dev/name";
/// The annotation that says which deployer owns an object; of documents, and of what belongs to a workload, a label as well.
pub(crate) const OWNER: &str = "portway.dev/owner";
/// The annotation with the number of the highest fence that scaled a workload or held a lease.
pub(crate) const FENCE: &str = "portway.dev/fence";
/// The annotation of a pod that tells the ReplicaSet controller whom to delete first.
pub(crate) const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The container of a replica.
pub(crate) const CONTAINER: &str = "replica";
/// Where every replica listens; the program finds it in `$PORT`.
pub(crate) const PORT: u16 = 8080;

/// Bytes of the readable part of a name: pods get `-<10>-<5>` behind it and are to stay within 63.
const READABLE: usize = 37;

/// The name of the objects of a workload.
///
/// `a-b` with version `c` and `a` with version `b-c` read alike and are told apart by eight digits of a digest.
pub(crate) fn object_name(id: &WorkloadId) -> String {
    let (endpoint, version) = (id.endpoint.as_ref(), id.version.as_ref());
    let mut readable = format!("{endpoint}-{version}");
    readable.truncate(READABLE);
    let readable = readable.trim_end_matches('-');
    format!("{readable}-{}", short_digest(&[endpoint.as_bytes(), b"\0", version.as_bytes()].concat()))
}

/// Eight hexadecimal digits of the SHA-256 of `bytes`.
pub(crate) fn short_digest(bytes: &[u8]) -> String {
    hex(&digest(&SHA256, bytes).as_ref()[..4])
}

/// The SHA-256 of `bytes` as `sha256:<hex>`.
pub(crate) fn full_digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(digest(&SHA256, bytes).as_ref()))
}

/// Two hexadecimal digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Selects the replicas of the workload whose objects are called `name`.
pub(crate) fn replicas_of(name: &str, owner: &str) -> String {
    format!("{WORKLOAD}={name},{OWNER}={}", owner_label(owner))
}

/// The owner, if a label can say it; a digest otherwise.
pub(crate) fn owner_label(owner: &str) -> String {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = owner.as_bytes();
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if bytes.len() <= 63
        && alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(legal)
    {
        return owner.to_owned();
    }
    format!("owner-{}", short_digest(bytes))
}

/// The labels of everything that belongs to a workload.
pub(crate) fn labels(id: &WorkloadId, owner: &str) -> BTreeMap<String, String> {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    BTreeMap::from([
        label(MANAGED_BY, MANAGER),
        label(COMPONENT, REPLICA),
        label(WORKLOAD, &object_name(id)),
        label(ENDPOINT, id.endpoint.as_ref()),
        label(VERSION, id.version.as_ref()),
        label(OWNER, &owner_label(owner)),
    ])
}

/// The workload that an object's labels name; `None` if it is none of ours.
pub(crate) fn workload_of(labels: &BTreeMap<String, String>) -> Option<WorkloadId> {
    if labels.get(MANAGED_BY)? != MANAGER || labels.get(COMPONENT)? != REPLICA {
        return None;
    }
    Some(WorkloadId::new(labels.get(ENDPOINT)?.parse().ok()?, labels.get(VERSION)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(endpoint: &str, version: &str) -> WorkloadId {
        WorkloadId::new(endpoint.parse().unwrap(), version.parse().unwrap())
    }

    #[test]
    fn names_that_read_alike_are_told_apart() {
        let (one, other) = (object_name(&id("a-bb", "ccc")), object_name(&id("a-bb-ccc", "ddd")));
        assert!(one.starts_with("a-bb-ccc-") && one != other, "{one} {other}");
        assert_ne!(object_name(&id("aaa-bbb", "ccc")), object_name(&id("aaa", "bbb-ccc")));
    }

    #[test]
    fn the_longest_names_leave_room_for_those_of_pods() {
        let long = "a".repeat(32);
        let name = object_name(&id(&long, &long));
        assert_eq!(name.len() + "-0123456789-01234".len(), 63);
        let hyphen = object_name(&id(&format!("{}-", "a".repeat(31)).replace("a-", "ab"), "bbbb-cc"));
        assert!(!hyphen.contains("--"), "{hyphen}");
    }

    #[test]
    fn labels_name_the_workload() {
        let id = id("iris", "first");
        assert_eq!(workload_of(&labels(&id, "portway")), Some(id.clone()));
        let mut foreign = labels(&id, "portway");
        foreign.insert(MANAGED_BY.to_owned(), "helm".to_owned());
        assert_eq!(workload_of(&foreign), None);
    }
}
