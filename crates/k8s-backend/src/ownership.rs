//! Whose an object is: what is not ours is never touched.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portway_backend::BackendError;

use crate::names::{MANAGED_BY, MANAGER, OWNER};

/// Fails unless the object with this metadata was made by the deployer `owner`; `kind` is for the message.
pub(crate) fn check(kind: &str, metadata: &ObjectMeta, owner: &str) -> Result<(), BackendError> {
    let name = metadata.name.as_deref().unwrap_or_default();
    let value = |map: &Option<std::collections::BTreeMap<String, String>>, key| {
        map.as_ref().and_then(|map| map.get(key)).cloned()
    };
    if value(&metadata.labels, MANAGED_BY).as_deref() != Some(MANAGER) {
        return Err(BackendError::conflict(format!(
            "there is a {kind} {name} that was not made by Portway; delete it, or give the endpoint or version another name"
        )));
    }
    match value(&metadata.annotations, OWNER) {
        Some(found) if found == owner => Ok(()),
        Some(found) => Err(BackendError::conflict(format!(
            "the {kind} {name} belongs to the deployer {found:?} and this one is {owner:?}; use that name, another \
             namespace, or another name for the endpoint or version"
        ))),
        None => Err(BackendError::conflict(format!(
            "the {kind} {name} does not say which deployer owns it; if it is this one's, set its annotation {OWNER} to \
             {owner:?}, otherwise delete it"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> ObjectMeta {
        let map = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        ObjectMeta {
            name: Some("iris".to_owned()),
            labels: map(labels),
            annotations: map(annotations),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn r_k8s_1_only_what_this_deployer_made_is_its_own() {
        let ours = [(MANAGED_BY, MANAGER)];
        assert!(check("Secret", &metadata(&ours, &[(OWNER, "blue")]), "blue").is_ok());
        for (labels, annotations, says) in [
            (&[][..], &[(OWNER, "blue")][..], "a Secret iris that was not made by Portway"),
            (&[(MANAGED_BY, "Helm")], &[], "not made by Portway"),
            (&ours, &[(OWNER, "green")], r#"belongs to the deployer "green" and this one is "blue""#),
            (&ours, &[], "does not say which deployer owns it"),
        ] {
            let error = check("Secret", &metadata(labels, annotations), "blue").unwrap_err();
            assert_eq!(error.kind(), portway_backend::ErrorKind::Conflict);
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
