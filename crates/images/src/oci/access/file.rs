//! A file of docker's form that says who asks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use portway_hashing::resolve::{RegistryError, RegistryErrorKind};
use serde::Deserialize;

use super::super::Repository;
use super::Credentials;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

pub(super) fn read(path: &Path, repository: &Repository) -> Result<Credentials, RegistryError> {
    let refused = |message: String| RegistryError::new(RegistryErrorKind::Refused, message);
    let text = fs::read(path).map_err(|error| {
        refused(format!("could not read {}, which should say who asks", path.display())).with_source(error)
    })?;
    // The parser's words could quote a secret: they are left out.
    let file: File = serde_json::from_slice(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        refused(format!(
            "{} is no file of docker's form, `{{\"auths\": {{…}}}}` (line {line}, column {column}); log in anew",
            path.display()
        ))
    })?;
    choose(file, repository).map_err(|problem| refused(format!("{} {problem}", path.display())))
}

fn choose(file: File, repository: &Repository) -> Result<Credentials, String> {
    let host = repository.host();
    for name in names(repository) {
        let Some(entry) = file.auths.get(&name) else { continue };
        // A helper leaves an empty entry behind, as a note that it knows the host.
        if let Some(known) = entry.credentials(&name)? {
            return Ok(known);
        }
    }
    match file.helpers.get(host).or(file.store.as_ref()) {
        Some(helper) => Err(format!(
            "leaves {host} to the credential helper `{helper}`, and none is run; give the user and the password, \
             or a file that holds them (`buildah login --authfile FILE {host}` writes one)"
        )),
        None => Err(format!(
            "holds nothing for {host}; log in (`buildah login --authfile FILE {host}`) or ask as nobody in particular"
        )),
    }
}

impl Entry {
    /// `None` if it says nothing; otherwise what it says, or what is wrong with it.
    fn credentials(&self, name: &str) -> Result<Option<Credentials>, String> {
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credentials::Token(self.registrytoken.clone())));
        }
        if !self.identitytoken.is_empty() {
            let remedy = "give a user and a password, or an access token in place of the password";
            return Err(format!(
                "has an `identitytoken` for {name}, whose exchange is not spoken here; {remedy}"
            ));
        }
        if !self.auth.is_empty() {
            let pair = LENIENT.decode(self.auth.trim_end_matches('\0')).ok();
            let pair = pair.and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = pair.as_deref().and_then(|pair| pair.trim_end_matches('\0').split_once(':'));
            return match pair {
                Some((user, password)) => {
                    Ok(Some(Credentials::Password { user: user.to_owned(), password: password.to_owned() }))
                }
                None => Err(format!(
                    "has an `auth` for {name} that is not `user:password` in base64; log in anew"
                )),
            };
        }
        if self.username.is_empty() {
            return Ok(None);
        }
        Ok(Some(Credentials::Password { user: self.username.clone(), password: self.password.clone() }))
    }
}

/// The names under which a login may stand, the longest first.
fn names(repository: &Repository) -> Vec<String> {
    let (host, whole) = (repository.host(), repository.to_string());
    let mut names = Vec::new();
    let mut name = whole.as_str();
    while name.len() > host.len() {
        names.push(name.to_owned());
        name = name.rsplit_once('/').map_or(host, |(start, _)| start);
    }
    let hosts: &[&str] = if matches!(host, "docker.io" | "index.docker.io") {
        &["docker.io", "index.docker.io"]
    } else {
        &[host]
    };
    for host in hosts {
        names.push((*host).to_owned());
        for form in
            ["https://{}", "https://{}/", "https://{}/v1/", "https://{}/v2/", "http://{}", "http://{}/"]
        {
            names.push(form.replace("{}", host));
        }
    }
    names
}

/// Padded or not: both are about.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str, repository: &str) -> Result<Credentials, String> {
        choose(serde_json::from_str(text).unwrap(), &repository.parse().unwrap())
    }

    fn password(user: &str, password: &str) -> Result<Credentials, String> {
        Ok(Credentials::Password { user: user.to_owned(), password: password.to_owned() })
    }

    impl std::fmt::Debug for Credentials {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Credentials")
        }
    }

    #[test]
    fn the_longest_name_counts_and_every_form_of_entry_is_read() {
        let text = r#"{"auths": {
            "r.test": {"auth": "YTpi"},
            "r.test/team/envs": {"username": "team", "password": "c:d"},
            "https://old.test/v1/": {"auth": "YTpiOmM"},
            "https://index.docker.io/v1/": {"auth": "YTpi"},
            "t.test:5000": {"registrytoken": "abc"}
        }}"#;
        assert_eq!(chosen(text, "r.test/other"), password("a", "b"));
        assert_eq!(chosen(text, "r.test/team"), password("a", "b"));
        assert_eq!(chosen(text, "r.test/team/envs"), password("team", "c:d"));
        assert_eq!(chosen(text, "old.test/a"), password("a", "b:c"));
        assert_eq!(chosen(text, "docker.io/library/debian"), password("a", "b"));
        assert_eq!(chosen(text, "t.test:5000/a"), Ok(Credentials::Token("abc".to_owned())));
    }

    #[test]
    fn what_is_not_read_is_refused_with_the_remedy() {
        for (text, remedy) in [
            ("{}", "buildah login"),
            (r#"{"auths": {"r.test": {}}, "credsStore": "desktop"}"#, "`desktop`"),
            (r#"{"credHelpers": {"r.test": "ecr-login"}}"#, "`ecr-login`"),
            (r#"{"auths": {"r.test": {"identitytoken": "s3cret"}}}"#, "access token"),
            (r#"{"auths": {"r.test": {"auth": "s3cret"}}}"#, "log in anew"),
            (r#"{"auths": {"other.test": {"auth": "YTpi"}}}"#, "nothing for r.test"),
        ] {
            let error = chosen(text, "r.test/a").unwrap_err();
            assert!(error.contains(remedy) && !error.contains("s3cret"), "{error}");
        }
    }
}
