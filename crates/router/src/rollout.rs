//! The versions of an endpoint and the rules that hold among them.

use thiserror::Error;

use crate::share::Share;
use crate::shares::{MAX_VERSIONS, Shares, SharesError};
use crate::split::Split;
use crate::sticky::Buckets;

/// The versions of one endpoint: one to six, exactly one default, exactly one control, shares of at most 100 % together.
///
/// A roll-out that exists is valid: every change is checked first and refused whole. It keeps the sticky buckets from change to
/// change, so store it (feature `serde`), or its [`buckets`](Self::buckets), with the endpoint.
///
/// ```
/// use portway_router::{Change, Rollout, Share, Tag, Version};
///
/// let mut rollout = Rollout::new(Version::new("v1", Share::ZERO));
/// rollout.create(Version::new("v2", Share::percent(10)?))?;
/// assert_eq!(rollout.shares().share(&"v1"), Share::percent(90)?);
///
/// rollout.update(&"v2", Change::new().tag(Tag::Default))?;
/// assert!(rollout.delete(&"v2", None).is_err()); // the default needs a successor
/// rollout.delete(&"v2", Some(&"v1"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(try_from = "crate::stored::Rollout<K>", into = "crate::stored::Rollout<K>")
)]
#[cfg_attr(feature = "serde", serde(bound(serialize = "K: Clone + Eq + serde::Serialize")))]
#[cfg_attr(feature = "serde", serde(bound(deserialize = "K: Clone + Eq + serde::Deserialize<'de>")))]
pub struct Rollout<K> {
    versions: Vec<Version<K>>,
    default: usize,
    control: usize,
    buckets: Buckets<K>,
}

/// A version and its configured share; the unassigned rest is on top for the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Version<K> {
    /// What the version is called; unique in its endpoint.
    pub key: K,
    /// The configured share.
    pub share: Share,
}

impl<K> Version<K> {
    /// A version with a configured share.
    pub const fn new(key: K, share: Share) -> Self {
        Self { key, share }
    }
}

/// A mark that exactly one version of an endpoint has; giving it to one takes it from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Gets the unassigned rest of the traffic.
    Default,
    /// The version that others (the treatments) are compared with.
    Control,
}

/// What is to change about a version; nothing, to begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Change {
    share: Option<Share>,
    default: bool,
    control: bool,
}

impl Change {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the configured share.
    pub fn share(self, share: Share) -> Self {
        Self { share: Some(share), ..self }
    }

    /// Moves a tag here.
    pub fn tag(self, tag: Tag) -> Self {
        match tag {
            Tag::Default => Self { default: true, ..self },
            Tag::Control => Self { control: true, ..self },
        }
    }
}

impl<K: Clone + Eq> Rollout<K> {
    /// An endpoint with its first version, which is default and control until another takes the tag.
    #[must_use]
    pub fn new(first: Version<K>) -> Self {
        let buckets = Buckets::deal(&Shares::all_to(first.key.clone()));
        Self { versions: vec![first], default: 0, control: 0, buckets }
    }

    /// An endpoint as a document describes it.
    ///
    /// `buckets` are those of the document, fitted to the shares; `None` deals new ones.
    ///
    /// # Errors
    /// [`RolloutError`] for the first rule that the document breaks; `Unknown` when default or control is not a version.
    pub fn from_parts(
        versions: Vec<Version<K>>,
        default: &K,
        control: &K,
        buckets: Option<Buckets<K>>,
    ) -> Result<Self, RolloutError> {
        let find =
            |key: &K| versions.iter().position(|version| version.key == *key).ok_or(RolloutError::Unknown);
        let (default, control) = (find(default)?, find(control)?);
        let shares = effective(&versions, default)?;
        let buckets = buckets.map_or_else(|| Buckets::deal(&shares), |kept| kept.redeal(&shares));
        Ok(Self { versions, default, control, buckets })
    }

    /// Adds a version, as a treatment that is not the default.
    ///
    /// # Errors
    /// [`RolloutError`]: `Exists`, `TooMany`, or `OverWhole`.
    pub fn create(&mut self, version: Version<K>) -> Result<(), RolloutError> {
        self.create_tagged(version, Change::new())
    }

    /// Adds a version and moves tags to it in the same step; a share in `change` replaces that of the version.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_tagged(&mut self, version: Version<K>, change: Change) -> Result<(), RolloutError> {
        if self.position(&version.key).is_some() {
            return Err(RolloutError::Exists);
        }
        let mut versions = self.versions.clone();
        versions.push(version);
        self.apply(versions, self.versions.len(), change)
    }

    /// Changes a version's share and moves tags to it.
    ///
    /// # Errors
    /// [`RolloutError`]: `Unknown` or `OverWhole`.
    pub fn update(&mut self, key: &K, change: Change) -> Result<(), RolloutError> {
        let at = self.position(key).ok_or(RolloutError::Unknown)?;
        self.apply(self.versions.clone(), at, change)
    }

    /// Removes a version and returns it; `successor` inherits the tags it had. Without tags a successor is not needed and not looked at.
    ///
    /// The oldest of the remaining ones is the first in [`versions`](Self::versions), for callers that cannot ask anybody.
    ///
    /// # Errors
    /// [`RolloutError`]: `Unknown`, `Last`, `NeedsSuccessor`, or `BadSuccessor`.
    pub fn delete(&mut self, key: &K, successor: Option<&K>) -> Result<Version<K>, RolloutError> {
        let at = self.position(key).ok_or(RolloutError::Unknown)?;
        if self.versions.len() == 1 {
            return Err(RolloutError::Last);
        }
        let heir = match successor {
            _ if at != self.default && at != self.control => None,
            None => return Err(RolloutError::NeedsSuccessor { tags: self.tags_of(at) }),
            Some(named) => {
                Some(self.position(named).filter(|heir| *heir != at).ok_or(RolloutError::BadSuccessor)?)
            }
        };
        let after = |tagged: usize| {
            let holder = heir.filter(|_| tagged == at).unwrap_or(tagged);
            if holder > at { holder - 1 } else { holder }
        };
        (self.default, self.control) = (after(self.default), after(self.control));
        let removed = self.versions.remove(at);
        self.buckets = self.buckets.redeal(&self.shares());
        Ok(removed)
    }

    /// The versions, oldest first.
    #[must_use]
    pub fn versions(&self) -> &[Version<K>] {
        &self.versions
    }

    /// The version that gets the unassigned rest.
    #[must_use]
    pub fn default_version(&self) -> &K {
        &self.versions[self.default].key
    }

    /// The version that the others are compared with.
    #[must_use]
    pub fn control_version(&self) -> &K {
        &self.versions[self.control].key
    }

    /// The effective shares.
    #[must_use]
    pub fn shares(&self) -> Shares<K> {
        effective(&self.versions, self.default).expect("every change was checked")
    }

    /// The sticky buckets.
    #[must_use]
    pub fn buckets(&self) -> &Buckets<K> {
        &self.buckets
    }

    /// A split without history; [`Split::next`] with [`shares`](Self::shares) continues one that is in use.
    #[must_use]
    pub fn split(&self) -> Split<K> {
        Split::new(self.shares()).with_buckets(&self.buckets)
    }

    fn position(&self, key: &K) -> Option<usize> {
        self.versions.iter().position(|version| version.key == *key)
    }

    fn tags_of(&self, at: usize) -> &'static str {
        match (at == self.default, at == self.control) {
            (true, true) => "default and control",
            (true, false) => "default",
            _ => "control",
        }
    }

    fn apply(
        &mut self,
        mut versions: Vec<Version<K>>,
        at: usize,
        change: Change,
    ) -> Result<(), RolloutError> {
        if let Some(share) = change.share {
            versions[at].share = share;
        }
        let default = if change.default { at } else { self.default };
        let shares = effective(&versions, default)?;
        self.buckets = self.buckets.redeal(&shares);
        self.control = if change.control { at } else { self.control };
        self.default = default;
        self.versions = versions;
        Ok(())
    }
}

fn effective<K: Clone + Eq>(versions: &[Version<K>], default: usize) -> Result<Shares<K>, RolloutError> {
    let configured = versions.iter().map(|version| (version.key.clone(), version.share));
    Ok(Shares::new(versions[default].key.clone(), configured)?)
}

/// Why a change of a roll-out is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RolloutError {
    /// The endpoint is full.
    #[error("an endpoint has at most {MAX_VERSIONS} versions; delete one first")]
    TooMany,
    /// There is such a version already.
    #[error("a version of this name exists; update it, or choose another name")]
    Exists,
    /// There is no such version.
    #[error("there is no version of this name")]
    Unknown,
    /// The configured shares would be more than all of the traffic.
    #[error("shares would sum to {}.{:02} %, at most 100 % are allowed; lower another version first", total / 100, total % 100)]
    OverWhole {
        /// The sum, in basis points.
        total: u32,
    },
    /// The version is the default or the control, and others remain.
    #[error(
        "the version is the endpoint's {tags}; name the version that takes over, or update that one first"
    )]
    NeedsSuccessor {
        /// What it is: `default`, `control`, or `default and control`.
        tags: &'static str,
    },
    /// The successor is the version itself or does not exist.
    #[error("the successor must be another version of this endpoint")]
    BadSuccessor,
    /// The endpoint would be left without a version.
    #[error(
        "this is the endpoint's last version; delete the endpoint instead, or create another version first"
    )]
    Last,
}

impl From<SharesError> for RolloutError {
    fn from(error: SharesError) -> Self {
        match error {
            SharesError::OverWhole { total } => Self::OverWhole { total },
            SharesError::Duplicate => Self::Exists,
            SharesError::TooMany => Self::TooMany,
        }
    }
}
