//! The digest by which a change that needs new replicas is seen.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{PodTemplateSpec, Secret};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::names;

/// What the digest of a workload's configuration is keyed with; it lies on the workload's Secret.
///
/// Never shown by `Debug`.
#[derive(Clone, Eq, PartialEq)]
pub struct Salt(String);

impl Salt {
    /// A new one.
    ///
    /// # Panics
    ///
    /// When the system has no random numbers.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).expect("the system has random numbers");
        Self(names::hex(&bytes))
    }

    /// One that was chosen, for printing objects that stay the same. It is no secret then.
    pub fn fixed(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// That of a Secret which is in place; `None` if it has lost it.
    pub(crate) fn of(secret: &Secret) -> Option<Self> {
        let salt = secret.metadata.annotations.as_ref()?.get(names::SALT)?;
        (!salt.is_empty()).then(|| Self(salt.clone()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(…)")
    }
}

/// The digest of a pod template, which must not yet bear it, and of the variables.
pub(super) fn of(pod: &PodTemplateSpec, secret: &Secret, salt: &Salt) -> String {
    // Maps are ordered and structs are written field by field, so equal values are equal text; neither text can hold a
    // zero byte, so the border between them is certain.
    let parts = [serde_json::to_vec(pod), serde_json::to_vec(&secret.data)];
    let mut digest = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt.as_str().as_bytes()));
    for part in parts {
        digest.update(&part.expect("objects of Kubernetes have text as keys"));
        digest.update(b"\0");
    }
    format!("hmac-sha256:{}", names::hex(digest.sign().as_ref()))
}

/// The annotation with the digest.
pub(super) fn annotation(digest: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(names::CONFIG_DIGEST.to_owned(), digest.to_owned())])
}
