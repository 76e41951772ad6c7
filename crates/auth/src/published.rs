//! An issuer as those who verify get to know it.

use serde::Serialize;

use crate::json::Object;
use crate::key_set::PublicSet;
use crate::{KeySet, MalformedDocument};

/// An issuer's name and its public keys: the document that whoever issues writes and whoever verifies reads.
///
/// Its text is a JWK set with one more member, `issuer`. There is nothing secret in it.
///
/// # Examples
/// ```
/// use portway_auth::{Issuer, PublishedIssuer, SigningKey, SigningKeyKind, UnixSeconds};
///
/// let issuer = Issuer::new("portway", SigningKey::generate(SigningKeyKind::Ed25519)?);
/// let text = issuer.published(UnixSeconds(1_700_000_000)).to_json();
/// assert_eq!(PublishedIssuer::from_json(&text)?.name(), "portway");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct PublishedIssuer {
    name: Box<str>,
    keys: KeySet,
}

impl PublishedIssuer {
    /// What the document of the issuer inside an installation is called among those of the services. The dot makes it a
    /// name that no service can have.
    pub const DOCUMENT: &str = "issuer.portway";

    /// An issuer by name and keys.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>, keys: KeySet) -> Self {
        Self { name: name.into(), keys }
    }

    /// Reads what [`PublishedIssuer::to_json`] wrote.
    ///
    /// # Errors
    /// [`MalformedDocument`] without a name, and without a single usable public key.
    pub fn from_json(text: &str) -> Result<Self, MalformedDocument> {
        const MALFORMED: MalformedDocument = MalformedDocument("published issuer");
        let keys = KeySet::from_json(text).map_err(|_| MALFORMED)?;
        let members = Object::parse(text.as_bytes()).ok_or(MALFORMED)?;
        match members.text("issuer") {
            Ok(Some(name)) if !name.is_empty() && !keys.is_secret() => Ok(Self::new(name, keys)),
            _ => Err(MALFORMED),
        }
    }

    /// The document's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let PublicSet { keys } = self.keys.public();
        serde_json::to_string(&Text { issuer: &self.name, keys }).expect("text always serialises")
    }

    /// The name in `iss`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its tokens are verified with.
    #[must_use]
    pub const fn keys(&self) -> &KeySet {
        &self.keys
    }
}

#[derive(Serialize)]
struct Text<'a> {
    issuer: &'a str,
    keys: Vec<crate::jwk::PublicJwk>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Issuer, SigningKey, SigningKeyKind, UnixSeconds};

    #[test]
    fn r_auth_4_what_is_published_is_read_back_and_holds_no_secret() {
        let now = UnixSeconds(1_700_000_000);
        let mut issuer = Issuer::new("portway", SigningKey::generate(SigningKeyKind::Ed25519).unwrap());
        issuer.adopt(SigningKey::generate(SigningKeyKind::P256).unwrap(), now);
        let text = issuer.published(now).to_json();
        let read = PublishedIssuer::from_json(&text).unwrap();
        assert_eq!((read.name(), read.keys().len()), ("portway", 2));
        assert_eq!(read.to_json(), text);
        assert!(!text.contains("\"d\"") && !text.contains("PRIVATE"));
    }

    #[test]
    fn r_auth_4_half_a_document_is_none() {
        let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        for text in [
            format!(r#"{{"keys":[{key}]}}"#),
            format!(r#"{{"issuer":"","keys":[{key}]}}"#),
            format!(r#"{{"issuer":7,"keys":[{key}]}}"#),
            r#"{"issuer":"portway","keys":[]}"#.to_owned(),
            r#"{"issuer":"portway"}"#.to_owned(),
            r#"{"issuer":"portway","keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U"}]}"#.to_owned(),
            String::new(),
        ] {
            assert!(PublishedIssuer::from_json(&text).is_err(), "{text}");
        }
    }
}
