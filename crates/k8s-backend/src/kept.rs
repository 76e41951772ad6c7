//! Small objects that keep one named thing each: a document, a lease.
//!
//! Names of things may be longer than those of objects and use more characters. So an object's name has a readable part
//! and a digest of owner, kind and name, and the full name stands in an annotation: two names that shorten alike are
//! noticed, never mixed up.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portway_backend::BackendError;

use crate::names::{COMPONENT, FULL_NAME, MANAGED_BY, MANAGER, OWNER, short_digest};

/// What an object keeps, for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    /// [`COMPONENT`]: `document` or `lease`.
    pub(crate) component: &'static str,
    /// The kind of document, or `lease`.
    pub(crate) kind: &'static str,
    /// Whose it is; see [`Options::owner`](crate::Options::owner).
    pub(crate) owner: &'a str,
    /// Its full name.
    pub(crate) name: &'a str,
}

/// What an object that bears the name of a [`Kept`] is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// The object that keeps it.
    Ours,
    /// Ours by its labels, but its full name is missing or cannot be right: somebody edited or copied it.
    Damaged,
    /// Another thing of ours whose name shortens alike.
    Other(String),
    /// Not ours; the text says whose.
    Foreign(String),
}

impl Kept<'_> {
    /// The name of the object.
    pub(crate) fn object_name(&self) -> String {
        let readable: String = self.name.chars().take(READABLE).map(readable).collect();
        let identity = [self.owner, self.kind, self.name].join("\0");
        format!("portway-{}-{}-{}", self.kind, readable.trim_matches('-'), short_digest(identity.as_bytes()))
    }

    /// The metadata of a new object, with further labels.
    pub(crate) fn metadata<const N: usize>(&self, labels: [(&str, &str); N]) -> ObjectMeta {
        let own = [(MANAGED_BY, MANAGER), (COMPONENT, self.component)];
        ObjectMeta {
            name: Some(self.object_name()),
            labels: Some(texts(own.into_iter().chain(labels))),
            annotations: Some(texts([(OWNER, self.owner), (FULL_NAME, self.name)])),
            ..ObjectMeta::default()
        }
    }

    /// What the object with this metadata is, which was found under [`object_name`](Self::object_name).
    pub(crate) fn standing(&self, found: &ObjectMeta) -> Standing {
        let label = |key| text(found.labels.as_ref(), key);
        let annotation = |key| text(found.annotations.as_ref(), key);
        match (label(MANAGED_BY), label(COMPONENT)) {
            (Some(MANAGER), Some(component)) if component == self.component => {}
            (Some(MANAGER), _) => return Standing::Foreign("another of our objects stands there".to_owned()),
            (Some(manager), _) => {
                return Standing::Foreign(format!("what stands there is managed by {manager}"));
            }
            (None, _) => {
                return Standing::Foreign(format!("what stands there has no label {MANAGED_BY}={MANAGER}"));
            }
        }
        match annotation(OWNER) {
            Some(owner) if owner != self.owner => {
                Standing::Foreign(format!("what stands there is owned by {owner}"))
            }
            _ => match annotation(FULL_NAME) {
                Some(name) if name == self.name => Standing::Ours,
                Some(name) if Kept { name, ..*self }.object_name() == self.object_name() => {
                    Standing::Other(name.to_owned())
                }
                _ => Standing::Damaged,
            },
        }
    }

    /// Why an object that stands in the way is left alone.
    pub(crate) fn occupied(&self, place: &str, whose: &str) -> BackendError {
        BackendError::conflict(format!(
            "{place} is where {} {} belongs, but {whose}; it is left alone: remove or rename it, or use another namespace",
            self.kind, self.name
        ))
    }

    /// Why two names cannot be kept side by side.
    pub(crate) fn shortens_like(&self, place: &str, other: &str) -> BackendError {
        BackendError::conflict(format!(
            "the names {} and {other} of two {}s both shorten to {place}, which keeps {other}; choose another name",
            self.name, self.kind
        ))
    }
}

pub(crate) fn text<'a>(map: Option<&'a BTreeMap<String, String>>, key: &str) -> Option<&'a str> {
    map?.get(key).map(String::as_str)
}

fn texts<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn readable(character: char) -> char {
    match character.to_ascii_lowercase() {
        legal @ ('a'..='z' | '0'..='9') => legal,
        _ => '-',
    }
}

/// Characters of a full name that can be read in that of the object.
const READABLE: usize = 34;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept<'a>(owner: &'a str, name: &'a str) -> Kept<'a> {
        Kept { component: "document", kind: "endpoint", owner, name }
    }

    #[test]
    fn names_are_readable_and_told_apart() {
        let name = kept("portway", "Iris.v2_a:b").object_name();
        assert!(name.starts_with("portway-endpoint-iris-v2-a-b-"), "{name}");
        for (owner, other) in
            [("portway", "iris.v2_a:b"), ("portway", "Iris_v2_a:b"), ("other", "Iris.v2_a:b")]
        {
            assert_ne!(kept(owner, other).object_name(), name);
        }
        let model = Kept { kind: "model", ..kept("portway", "iris") };
        assert_ne!(model.object_name(), kept("portway", "iris").object_name());
    }

    #[test]
    fn r_k8s_4_what_stands_under_a_name_is_told_apart() {
        let iris = kept("portway", "iris");
        let ours = iris.metadata([]);
        assert_eq!(iris.standing(&ours), Standing::Ours);

        let with = |key: &str, value: Option<&str>| {
            let mut found = ours.clone();
            for map in [&mut found.labels, &mut found.annotations].into_iter().flatten() {
                match value {
                    Some(value) => map.get_mut(key).into_iter().for_each(|old| value.clone_into(old)),
                    None => drop(map.remove(key)),
                }
            }
            iris.standing(&found)
        };
        assert_eq!(
            with(MANAGED_BY, Some("helm")),
            Standing::Foreign("what stands there is managed by helm".into())
        );
        assert!(matches!(with(MANAGED_BY, None), Standing::Foreign(_)));
        assert!(matches!(with(COMPONENT, Some("lease")), Standing::Foreign(_)));
        assert_eq!(with(OWNER, Some("blue")), Standing::Foreign("what stands there is owned by blue".into()));
        assert_eq!(
            with(FULL_NAME, Some("tulip")),
            Standing::Damaged,
            "no name that shortens to this object's"
        );
        assert_eq!(with(FULL_NAME, None), Standing::Damaged);
    }

    #[test]
    fn r_k8s_4_two_names_that_shorten_alike_are_never_mixed_up() {
        let start = "a".repeat(READABLE);
        let mut seen = std::collections::HashMap::new();
        let (one, other) = (0_u32..)
            .find_map(|number| {
                let name = format!("{start}{number}");
                let object = kept("portway", &name).object_name();
                seen.insert(object, name.clone()).map(|earlier| (earlier, name))
            })
            .unwrap();
        let found = kept("portway", &other).standing(&kept("portway", &one).metadata([]));
        assert_eq!(found, Standing::Other(one));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn every_name_makes_a_legal_one_of_an_object(owner in ".{0,80}", name in "[a-zA-Z0-9][-_.:a-zA-Z0-9]{0,279}") {
            let object = kept(&owner, &name).object_name();
            prop_assert!(object.len() <= 63, "{}", object);
            prop_assert!(object.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
            prop_assert!(!object.starts_with('-') && !object.ends_with('-'));
        }
    }
}
