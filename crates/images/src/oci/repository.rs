use std::fmt;
use std::str::FromStr;

use portway_hashing::{Digest, ImageRef};

/// A repository of a registry: `host[:port]/path`, without a tag and without a digest.
///
/// The host is always written out, so that nobody has to know which registry a short name means. It holds letters, digits, `.` and
/// `-`, and is a name or an IPv4 address; each part of the path holds `a-z`, `0-9`, `.`, `_` and `-` and begins and ends with a letter
/// or a digit. 255 characters at most.
///
/// ```
/// use portway_images::Repository;
///
/// let repository: Repository = "registry.test:5000/team/environments".parse()?;
/// assert_eq!(repository.host(), "registry.test:5000");
/// assert_eq!(repository.path(), "team/environments");
/// assert!("environments".parse::<Repository>().is_err());
/// # Ok::<(), portway_images::InvalidRepository>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    host: String,
    path: String,
}

/// A text that names no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a repository: expected `host/path` or `host:port/path` with a path in lower case and no tag, found {found:?}"
)]
pub struct InvalidRepository {
    /// What stood there, cut to 300 characters.
    pub found: String,
}

impl Repository {
    /// The registry's host, with its port if one was named.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The part after the host.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The image in this repository with that digest.
    #[must_use]
    pub fn image(&self, digest: Digest) -> ImageRef {
        ImageRef::new(&self.to_string(), digest).expect("a repository of ours is stricter than a reference's")
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl FromStr for Repository {
    type Err = InvalidRepository;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidRepository { found: text.chars().take(300).collect() };
        let (host, path) = text.split_once('/').ok_or_else(invalid)?;
        if text.len() <= 255 && is_host(host) && path.split('/').all(is_part) {
            Ok(Self { host: host.to_owned(), path: path.to_owned() })
        } else {
            Err(invalid())
        }
    }
}

/// A first part without a dot or a port is somebody's short name (`library/debian`), unless it is this machine.
fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "443"));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let names_a_host = host.contains(['.', ':']) || name == "localhost";
    names_a_host
        && name.split('.').all(|label| !label.is_empty() && label.bytes().all(allowed))
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_part(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.iter().all(|byte| plain(*byte) || matches!(byte, b'.' | b'_' | b'-'))
        && bytes.first().is_some_and(|byte| plain(*byte))
        && bytes.last().is_some_and(|byte| plain(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_never_guessed_and_a_tag_is_no_repository() {
        for good in ["localhost/a", "127.0.0.1:5000/envs", "r.test/a/b_c/d--e", "registry:5000/a"] {
            let repository: Repository = good.parse().unwrap();
            assert_eq!(repository.to_string(), good);
            assert_eq!(repository.image(Digest::of(b"x")).repository(), good);
        }
        for bad in [
            "",
            "a",
            "library/debian",
            "r.test",
            "r.test/",
            "/a",
            "r.test/A",
            "r.test/a:tag",
            "r.test/a@b",
            "r.test:0/a",
            "r.test:70000/a",
            "r.test:+5/a",
            "user@r.test/a",
            "r..test/a",
            "r.test/a//b",
            "r.test/../a",
            "r.test/a?b",
            "r.test/-a",
            "http://r.test/a",
        ] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
        assert!(format!("r.test/{}", "a".repeat(249)).parse::<Repository>().is_err());
    }
}
