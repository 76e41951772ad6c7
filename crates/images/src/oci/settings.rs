use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Access, Repository};

/// What an [`OciRegistry`](super::OciRegistry) is: a repository, and how to speak to its registry.
///
/// ```
/// use portway_images::{Access, OciSettings};
///
/// let settings = OciSettings::new("registry.test/environments".parse()?)
///     .access(Access::file("/etc/portway/auth.json"))
///     .ca_file("/etc/portway/ca.pem");
/// assert!(!settings.is_plain_http());
/// # Ok::<(), portway_images::InvalidRepository>(())
/// ```
#[derive(Debug, Clone)]
pub struct OciSettings {
    pub(super) repository: Repository,
    pub(super) access: Access,
    plain_http: bool,
    ca_file: Option<PathBuf>,
    pub(super) silence: Duration,
}

impl OciSettings {
    /// This repository, over HTTPS, as nobody in particular.
    #[must_use]
    pub const fn new(repository: Repository) -> Self {
        let silence = Duration::from_secs(30);
        Self { repository, access: Access::anonymous(), plain_http: false, ca_file: None, silence }
    }

    /// Sets who asks; nobody in particular by default.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Speaks HTTP without TLS. It is never tried by itself, not even on this machine: what falls back can be made to fall back. What
    /// is sent, passwords included, can then be read on the way.
    #[must_use]
    pub const fn plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Trusts the certificates in the file `path` (PEM, one or more) besides those that this machine trusts.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Sets for how long the registry may be silent: 30 s by default. A look-up takes no longer altogether; a transfer may last, as long
    /// as something moves.
    #[must_use]
    pub const fn silence(mut self, limit: Duration) -> Self {
        self.silence = limit;
        self
    }

    /// The repository.
    #[must_use]
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Whether HTTP is spoken without TLS.
    #[must_use]
    pub const fn is_plain_http(&self) -> bool {
        self.plain_http
    }

    /// The file of certificates that are trusted besides the machine's own.
    #[must_use]
    pub fn trusted(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }
}
