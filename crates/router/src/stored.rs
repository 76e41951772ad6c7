//! The stored form of splits and roll-outs: what a file holds, checked on the way in.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::rollout::{RolloutError, Version};
use crate::share::WHOLE;
use crate::shares::{MAX_VERSIONS, SharesError};
use crate::sticky::Buckets;

/// Effective shares; what sums to less than everything gives the rest to the default once more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shares<K> {
    versions: Vec<Version<K>>,
    default: K,
}

impl<K: Clone + Eq> From<crate::Shares<K>> for Shares<K> {
    fn from(shares: crate::Shares<K>) -> Self {
        let versions = shares.iter().map(|(key, share)| Version::new(key.clone(), share)).collect();
        Self { versions, default: shares.default_version().clone() }
    }
}

impl<K: Clone + Eq> TryFrom<Shares<K>> for crate::Shares<K> {
    type Error = SharesError;

    fn try_from(stored: Shares<K>) -> Result<Self, SharesError> {
        Self::new(stored.default, stored.versions.into_iter().map(|version| (version.key, version.share)))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(serialize = "K: Clone + Eq + Serialize", deserialize = "K: Clone + Eq + Deserialize<'de>"))]
pub(crate) struct Split<K> {
    shares: crate::Shares<K>,
    /// What each version is owed, in basis points of a request, in the order of the shares.
    owed: Vec<i64>,
    buckets: Buckets<K>,
}

impl<K: Clone + Eq> From<crate::Split<K>> for Split<K> {
    fn from(split: crate::Split<K>) -> Self {
        Self { owed: split.owed(), buckets: split.buckets(), shares: split.shares().clone() }
    }
}

impl<K: Clone + Eq> TryFrom<Split<K>> for crate::Split<K> {
    type Error = InvalidSplit;

    fn try_from(stored: Split<K>) -> Result<Self, InvalidSplit> {
        let versions = stored.shares.iter().len();
        if stored.owed.len() != versions {
            return Err(InvalidSplit::Length { owed: stored.owed.len(), versions });
        }
        if let Some(owed) = stored.owed.iter().copied().find(|owed| owed.unsigned_abs() > MOST_OWED) {
            return Err(InvalidSplit::Owed { owed });
        }
        Ok(Self::resume(stored.shares, &stored.owed, &stored.buckets))
    }
}

/// Why a stored split is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum InvalidSplit {
    #[error("{owed} debts for {versions} versions")]
    Length { owed: usize, versions: usize },
    #[error("a version is owed at most {MOST_OWED} basis points of a request either way, found {owed}")]
    Owed { owed: i64 },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(serialize = "K: Clone + Serialize", deserialize = "K: Deserialize<'de>"))]
pub(crate) struct Rollout<K> {
    versions: Vec<Version<K>>,
    default: K,
    control: K,
    buckets: Buckets<K>,
}

impl<K: Clone + Eq> From<crate::Rollout<K>> for Rollout<K> {
    fn from(rollout: crate::Rollout<K>) -> Self {
        Self {
            default: rollout.default_version().clone(),
            control: rollout.control_version().clone(),
            buckets: rollout.buckets().clone(),
            versions: rollout.versions().to_vec(),
        }
    }
}

impl<K: Clone + Eq> TryFrom<Rollout<K>> for crate::Rollout<K> {
    type Error = RolloutError;

    fn try_from(stored: Rollout<K>) -> Result<Self, RolloutError> {
        Self::from_parts(stored.versions, &stored.default, &stored.control, Some(stored.buckets))
    }
}

/// One request for each version that there can be: more than any sequence of changes leads to.
const MOST_OWED: u64 = MAX_VERSIONS as u64 * WHOLE as u64;
