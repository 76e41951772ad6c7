//! What each version is to get, the unassigned rest included.

use thiserror::Error;

use crate::share::{Share, WHOLE};

/// The effective shares of an endpoint's versions: they sum to 100 %, because the default takes what is left over.
///
/// ```
/// use portway_router::{Share, Shares};
///
/// let shares = Shares::new("main", [("test", Share::percent(10)?), ("prod", Share::percent(30)?)])?;
/// assert_eq!(shares.share(&"main"), Share::percent(60)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(try_from = "crate::stored::Shares<K>", into = "crate::stored::Shares<K>")
)]
#[cfg_attr(feature = "serde", serde(bound(serialize = "K: Clone + Eq + serde::Serialize")))]
#[cfg_attr(feature = "serde", serde(bound(deserialize = "K: Clone + Eq + serde::Deserialize<'de>")))]
pub struct Shares<K> {
    entries: Vec<(K, Share)>,
    default: usize,
}

impl<K: Clone + Eq> Shares<K> {
    /// Effective shares from the configured ones; `default` gets the rest in addition to its own.
    ///
    /// A `default` that is not listed is one more version, without a share of its own.
    ///
    /// # Errors
    /// [`SharesError`] when the shares sum to more than 100 %, a version is listed twice, or there are more than
    /// [`MAX_VERSIONS`].
    pub fn new(default: K, configured: impl IntoIterator<Item = (K, Share)>) -> Result<Self, SharesError> {
        let mut entries: Vec<(K, Share)> = Vec::with_capacity(MAX_VERSIONS);
        let mut total = 0_u32;
        for (key, share) in configured {
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(SharesError::Duplicate);
            }
            if entries.len() == MAX_VERSIONS {
                return Err(SharesError::TooMany);
            }
            total += u32::from(share.basis_points());
            entries.push((key, share));
        }
        let rest = u32::from(WHOLE).checked_sub(total).ok_or(SharesError::OverWhole { total })?;
        let default = match entries.iter().position(|(key, _)| *key == default) {
            Some(known) => known,
            None if entries.len() == MAX_VERSIONS => return Err(SharesError::TooMany),
            None => {
                entries.push((default, Share::ZERO));
                entries.len() - 1
            }
        };
        let own = u32::from(entries[default].1.basis_points());
        entries[default].1 = Share::from_valid((own + rest) as u16);
        Ok(Self { entries, default })
    }

    /// All traffic to one version.
    pub fn all_to(key: K) -> Self {
        Self { entries: vec![(key, Share::ALL)], default: 0 }
    }

    /// The effective share of a version; zero for one that is not listed.
    #[must_use]
    pub fn share(&self, key: &K) -> Share {
        self.position(key).map_or(Share::ZERO, |at| self.entries[at].1)
    }

    /// The version that gets the unassigned rest.
    #[must_use]
    pub fn default_version(&self) -> &K {
        &self.entries[self.default].0
    }

    /// Versions and effective shares, in the order they were listed.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, Share)> {
        self.entries.iter().map(|(key, share)| (key, *share))
    }

    pub(crate) fn position(&self, key: &K) -> Option<usize> {
        self.entries.iter().position(|(known, _)| known == key)
    }

    pub(crate) fn key(&self, at: u8) -> &K {
        &self.entries[usize::from(at)].0
    }

    pub(crate) fn basis_points(&self) -> Vec<u16> {
        self.entries.iter().map(|(_, share)| share.basis_points()).collect()
    }
}

/// Why a set of shares is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SharesError {
    /// The configured shares are more than all of the traffic.
    #[error("shares sum to {total} basis points, at most 10000 (100 %) are allowed")]
    OverWhole {
        /// The sum, in basis points.
        total: u32,
    },
    /// One version is listed twice.
    #[error("a version is listed twice")]
    Duplicate,
    /// More versions than an endpoint can have.
    #[error("an endpoint has at most {MAX_VERSIONS} versions")]
    TooMany,
}

/// The most versions an endpoint can have.
pub const MAX_VERSIONS: usize = 6;
