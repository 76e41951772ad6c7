//! What a build starts from.

use std::fmt;

use portway_hashing::resolve::BuildError;
use portway_hashing::{BaseImage, Digest};
use serde::Deserialize;

use crate::Repository;
use crate::packages::refused;

/// The name of a base image, host included: a short name is docker's (`debian:12` is `docker.io/library/debian:12`), whatever the
/// machine's own settings make of short names, so that one key means one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BaseName {
    pub(super) repository: Repository,
    version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Version {
    Tag(String),
    Digest(Digest),
}

impl BaseName {
    pub(super) fn of(base: &BaseImage) -> Result<Self, BuildError> {
        Self::parse(&base.to_string()).map_err(|why| refused(format!("the base image `{base}` {why}")))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "scratch" {
            return Err("has no digest that could be named; start from an image");
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                (name, Some(digest.parse().map_err(|_| "has a digest that can't be read")?))
            }
            None => (text, None),
        };
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (name, "latest"),
        };
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_tag = (1..=128).contains(&tag.len())
            && tag.bytes().next().is_some_and(word)
            && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'));
        let repository = qualified(repository).parse().ok().filter(|_| is_tag);
        let repository =
            repository.ok_or("is no image's name; write `host/path:tag` or `host/path@sha256:…`")?;
        // A digest beside a tag says all.
        let version = digest.map_or_else(|| Version::Tag(tag.to_owned()), Version::Digest);
        Ok(Self { repository, version })
    }
}

impl fmt::Display for BaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{}:{tag}", self.repository),
            Version::Digest(digest) => write!(f, "{}@{digest}", self.repository),
        }
    }
}

fn qualified(repository: &str) -> String {
    match repository.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => repository.to_owned(),
        Some(_) => format!("docker.io/{repository}"),
        None => format!("docker.io/library/{repository}"),
    }
}

/// A base image as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) name: BaseName,
    /// Of the manifest for the platform, also where the name pins an index of several.
    pub(super) digest: Digest,
    /// As whom its programs run; empty for root.
    pub(super) user: String,
}

impl Base {
    /// Reads what `buildah inspect --type image` says of it.
    pub(super) fn read(name: BaseName, inspected: &str) -> Result<Self, BuildError> {
        #[derive(Deserialize)]
        struct Inspected {
            #[serde(rename = "FromImageDigest")]
            digest: Digest,
            #[serde(rename = "OCIv1")]
            image: Image,
        }
        #[derive(Deserialize)]
        struct Image {
            #[serde(default)]
            config: Config,
        }
        #[derive(Default, Deserialize)]
        struct Config {
            #[serde(default, rename = "User")]
            user: String,
        }
        let inspected: Inspected = serde_json::from_str(inspected).map_err(|error| {
            refused(format!("could not read what buildah says of the base image {name}")).with_source(error)
        })?;
        let user = inspected.image.config.user;
        if user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte)) {
            Ok(Self { name, digest: inspected.digest, user })
        } else {
            Err(refused(format!("the base image {name} runs as {user:?}, which is no user's name")))
        }
    }

    /// Its name by digest: what the build starts from, whatever a tag means meanwhile.
    pub(super) fn pinned(&self) -> String {
        format!("{}@{}", self.name.repository, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_dockers_and_a_digest_beats_a_tag() {
        let digest = Digest::of(b"x");
        let pinned = format!("r.test/a:1@{digest}");
        for (written, read) in [
            ("debian", "docker.io/library/debian:latest".to_owned()),
            ("python:3.11-slim", "docker.io/library/python:3.11-slim".to_owned()),
            ("team/envs", "docker.io/team/envs:latest".to_owned()),
            ("r.test:5000/a/b:1.2", "r.test:5000/a/b:1.2".to_owned()),
            ("localhost/a", "localhost/a:latest".to_owned()),
            (&pinned, format!("r.test/a@{digest}")),
        ] {
            assert_eq!(BaseName::parse(written).unwrap().to_string(), read);
        }
    }

    #[test]
    fn what_is_no_name_of_an_image_is_refused() {
        for text in [
            "scratch",
            "$BASE",
            "--platform=linux/arm64",
            "docker-archive:/tmp/a.tar",
            "oci:/tmp/a",
            "a:",
            "a:b:c",
            "Debian",
            "a@sha256:0",
            "r.test/a:-x",
            "https://r.test/a",
            "a\\",
        ] {
            assert!(BaseName::parse(text).is_err(), "{text}");
        }
        // What a builder takes for a file elsewhere is a repository here.
        assert_eq!(BaseName::parse("dir:x").unwrap().to_string(), "docker.io/library/dir:x");
    }

    #[test]
    fn reads_what_buildah_says() {
        let digest = Digest::of(b"x");
        let name = BaseName::parse("debian:12").unwrap();
        let text = format!(
            r#"{{"FromImageDigest": "{digest}", "OCIv1": {{"config": {{"User": "app"}}}}, "More": 1}}"#
        );
        let base = Base::read(name.clone(), &text).unwrap();
        assert_eq!(
            (base.user.as_str(), base.pinned()),
            ("app", format!("docker.io/library/debian@{digest}"))
        );
        assert!(Base::read(name.clone(), &text.replace("app", "a\\nFROM b")).is_err());
        assert!(Base::read(name, "{}").is_err());
    }
}
