//! The resource id of a cluster.

use std::fmt;
use std::str::FromStr;

use crate::finding::{At, Code, Finding};
use crate::read::quoted;

/// `/subscriptions/{guid}/resourcegroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}`.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::ResourceId;
///
/// let id: ResourceId = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/models/providers/\
///     Microsoft.ContainerService/managedClusters/prod".parse()?;
/// assert_eq!((id.group(), id.cluster()), ("models", "prod"));
/// # Ok::<(), portway_deploy_config::InvalidResourceId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResourceId {
    subscription: String,
    group: String,
    cluster: String,
}

/// Why a text is no resource id of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResourceId {
    /// Not nine parts between slashes, the first of them empty.
    #[error("the resource id has {0} parts between its slashes, 9 are needed")]
    Parts(usize),
    /// A part that stands where a fixed one belongs.
    #[error("the resource id has {found:?} where {wanted:?} belongs")]
    Segment {
        /// What stands there.
        found: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// Nothing, where subscription, group or cluster belong.
    #[error("the resource id names no {0}")]
    Empty(&'static str),
}

impl ResourceId {
    pub(super) const FORM: &'static str = "/subscriptions/{guid}/resourcegroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}";

    /// Subscription.
    #[must_use]
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// Resource group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(super) fn advice(&self, at: &At) -> Option<Finding> {
        (!is_guid(&self.subscription)).then(|| {
            Finding::new(
                Code::SubscriptionForm,
                at,
                format!("subscription {} is not written as a GUID", quoted(&self.subscription)),
            )
            .found(quoted(&self.subscription))
            .allowed("00000000-0000-0000-0000-000000000000")
            .remedy("check the subscription")
        })
    }
}

fn is_guid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl FromStr for ResourceId {
    type Err = InvalidResourceId;

    fn from_str(text: &str) -> Result<Self, InvalidResourceId> {
        let parts: Vec<_> = text.split('/').collect();
        let [root, subscriptions, subscription, groups, group, providers, provider, kind, cluster] =
            parts[..]
        else {
            return Err(InvalidResourceId::Parts(parts.len()));
        };
        // The provider is compared letter by letter, as the client does; the platform's own words are not.
        let fixed = [
            (root, "", true),
            (subscriptions, "subscriptions", false),
            (groups, "resourcegroups", false),
            (providers, "providers", false),
            (provider, "Microsoft.ContainerService", true),
            (kind, "managedClusters", false),
        ];
        for (found, wanted, exact) in fixed {
            if !(found == wanted || !exact && found.eq_ignore_ascii_case(wanted)) {
                return Err(InvalidResourceId::Segment { found: found.to_owned(), wanted });
            }
        }
        for (part, what) in [(subscription, "subscription"), (group, "resource group"), (cluster, "cluster")]
        {
            if part.is_empty() {
                return Err(InvalidResourceId::Empty(what));
            }
        }
        let own = str::to_owned;
        Ok(Self { subscription: own(subscription), group: own(group), cluster: own(cluster) })
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription, group, cluster } = self;
        write!(
            f,
            "/subscriptions/{subscription}/resourcegroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}"
        )
    }
}
