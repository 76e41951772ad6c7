mod file;

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use portway_hashing::resolve::RegistryError;

use super::Repository;

/// How a registry learns who asks.
///
/// The secret is shown by neither `Debug` nor any error. A registry that gives tokens (most do) is sent the user and the password once
/// per token, at the place that the registry names for that.
///
/// ```
/// use portway_images::Access;
///
/// let access = Access::password("robot", "hunter2");
/// assert!(!format!("{access:?}").contains("hunter2"));
/// ```
#[derive(Clone, Default)]
pub struct Access(Way);

#[derive(Clone, Default)]
enum Way {
    #[default]
    Anonymous,
    Password {
        user: String,
        password: String,
    },
    File(PathBuf),
}

/// Who asks, now that it is known for one repository.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    None,
    Password {
        user: String,
        password: String,
    },
    /// A token that the registry takes as it is.
    Token(String),
}

impl Access {
    /// Nobody in particular; the default.
    #[must_use]
    pub const fn anonymous() -> Self {
        Self(Way::Anonymous)
    }

    /// A user and a password, or a token that stands for one.
    #[must_use]
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self(Way::Password { user: user.into(), password: password.into() })
    }

    /// What the file `path` says of the registry: a `config.json` of docker or an `auth.json` of podman, as their logins write it.
    ///
    /// It is read once, by [`OciRegistry::new`](super::OciRegistry::new); the entry with the longest matching name counts. Names of
    /// credential helpers and tokens for another exchange (`identitytoken`) are refused, with the remedy: nothing is run to get at a
    /// secret.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Way::File(path.into()))
    }

    /// The file that was named, for a program that reads the same one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Way::File(path) => Some(path),
            _ => None,
        }
    }

    /// Whether nobody in particular asks.
    #[must_use]
    pub const fn is_anonymous(&self) -> bool {
        matches!(self.0, Way::Anonymous)
    }

    pub(super) fn credentials(&self, repository: &Repository) -> Result<Credentials, RegistryError> {
        match &self.0 {
            Way::Anonymous => Ok(Credentials::None),
            Way::Password { user, password } => {
                Ok(Credentials::Password { user: user.clone(), password: password.clone() })
            }
            Way::File(path) => file::read(path, repository),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Anonymous => f.write_str("Anonymous"),
            Way::Password { user, .. } => {
                f.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
            Way::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Credentials {
    pub(super) fn for_client(&self) -> RegistryAuth {
        match self {
            Self::None => RegistryAuth::Anonymous,
            Self::Password { user, password } => RegistryAuth::Basic(user.clone(), password.clone()),
            Self::Token(token) => RegistryAuth::Bearer(token.clone()),
        }
    }

    /// The same as a file of docker's form that names this one host; `None` if there is nothing to tell.
    pub(super) fn as_file(&self, host: &str) -> Option<String> {
        let entry = match self {
            Self::None => return None,
            Self::Password { user, password } => {
                serde_json::json!({"auth": STANDARD.encode(format!("{user}:{password}"))})
            }
            Self::Token(token) => serde_json::json!({"registrytoken": token}),
        };
        Some(serde_json::json!({"auths": {host: entry}}).to_string())
    }

    /// Whether `text`, which somebody else wrote, repeats what must not be shown.
    pub(super) fn are_in(&self, text: &str) -> bool {
        match self {
            Self::None => false,
            Self::Password { user, password } => {
                text.contains(password.as_str())
                    || text.contains(&STANDARD.encode(format!("{user}:{password}")))
            }
            Self::Token(token) => text.contains(token.as_str()),
        }
    }
}
