//! What an operation is to do, as the catalog keeps it while the operation runs.

use portway_deploy_config::{EndpointSpec, Replicas, Share, VersionName, VersionSpec};
use serde::{Deserialize, Serialize};

use crate::Source;
use crate::record::RequestKind;

/// A request that was checked. It holds no keys: those go into the credentials document before anything else happens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant)] // one a running operation
pub(crate) enum Request {
    /// An endpoint with its first version.
    Create { endpoint: EndpointSpec, source: Source, keys_chosen: bool },
    /// One more version.
    CreateVersion {
        #[serde(with = "version_document")]
        version: VersionSpec,
        source: Source,
        tags: Tags,
    },
    /// A version as it shall be; without a source, only its routing changes.
    UpdateVersion {
        #[serde(with = "version_document")]
        version: VersionSpec,
        source: Option<Source>,
        tags: Tags,
    },
    /// A version less.
    DeleteVersion { version: VersionName, successor: Option<VersionName> },
    /// The endpoint's own settings as they shall be; its versions are not looked at.
    Update { settings: EndpointSpec },
    /// The endpoint and all of its versions.
    Delete,
}

impl Request {
    pub(crate) fn kind(&self) -> RequestKind {
        if matches!(self, Self::Delete) { RequestKind::Delete } else { RequestKind::Other }
    }
}

/// The marks that a version takes from the one that has them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tags {
    /// It gets what no share assigns.
    pub default: bool,
    /// It is the one that the others are compared with.
    pub control: bool,
}

/// What is to change about a version; nothing, to begin with.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::Share;
/// use portway_deployer::VersionChange;
///
/// let mut change = VersionChange::default();
/// change.share = Share::percent(40);
/// change.tags.default = true;
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VersionChange {
    /// Another configured share.
    pub share: Option<Share>,
    /// The marks to take.
    pub tags: Tags,
    /// Other replicas. The gateway follows the new bounds.
    pub replicas: Option<Replicas>,
    /// Another time for a replica to answer.
    pub scoring_timeout: Option<std::time::Duration>,
    /// Another source: replicas are replaced one by one, and on failure the old ones come back.
    pub source: Option<Source>,
}

impl VersionChange {
    pub(crate) fn is_empty(&self) -> bool {
        self.share.is_none()
            && self.tags == Tags::default()
            && self.replicas.is_none()
            && self.scoring_timeout.is_none()
            && self.source.is_none()
    }

    pub(crate) fn apply_to(&self, version: &mut VersionSpec) {
        version.share = self.share.unwrap_or(version.share);
        version.replicas = self.replicas.unwrap_or(version.replicas);
        version.scoring_timeout = self.scoring_timeout.unwrap_or(version.scoring_timeout);
    }
}

/// A version is written as the only one of an endpoint, because the endpoint's document is the one wire form it has.
mod version_document {
    use portway_deploy_config::{EndpointSpec, VersionSpec};
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de};

    pub(super) fn serialize<S: Serializer>(version: &VersionSpec, to: S) -> Result<S::Ok, S::Error> {
        let carrier = CARRIER.parse().expect("a good name");
        EndpointSpec::new(carrier, version.clone()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<VersionSpec, D::Error> {
        let carrier = EndpointSpec::deserialize(from)?;
        carrier.versions.into_iter().next().ok_or_else(|| de::Error::custom("a version is missing"))
    }

    const CARRIER: &str = "one-version";
}
