use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as Object;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use portway_backend::{BackendError, Fence, Lease};

use crate::kept::text;
use crate::names::FENCE;

/// How far the clocks of two machines may be apart before one takes a lease from another too early.
pub(crate) const TOLERATED_SKEW: Duration = Duration::from_secs(60);

/// What a Lease object says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Record {
    /// Who holds it; `None` for nobody.
    pub(super) holder: Option<String>,
    /// The fence of the present or last holder; `None` if it never had one, or somebody removed it.
    pub(super) fence: Option<Fence>,
    /// How long it is held after a renewal.
    pub(super) ttl: Duration,
    acquired: Option<Timestamp>,
    renewed: Option<Timestamp>,
    transitions: i32,
}

impl Record {
    pub(super) fn read(object: &Object) -> Self {
        let spec = object.spec.clone().unwrap_or_default();
        let fence = text(object.metadata.annotations.as_ref(), FENCE).and_then(|number| number.parse().ok());
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            fence: fence.map(Fence::new),
            ttl: Duration::from_secs(seconds.unwrap_or(0)),
            acquired: spec.acquire_time.map(|time| time.0),
            renewed: spec.renew_time.map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or(0),
        }
    }

    /// The record by which `holder` has the lease from `now` on, after `before`.
    pub(super) fn held(holder: &str, fence: Fence, ttl: Duration, before: &Self, now: Timestamp) -> Self {
        let renewal = before.fence == Some(fence) && before.holder.as_deref() == Some(holder);
        Self {
            holder: Some(holder.to_owned()),
            fence: Some(fence),
            ttl,
            acquired: if renewal { before.acquired } else { Some(now) },
            renewed: Some(now),
            transitions: before.transitions.saturating_add(i32::from(!renewal)),
        }
    }

    /// The same with no holder; its fence stays.
    pub(super) fn released(&self) -> Self {
        Self { holder: None, ..self.clone() }
    }

    pub(super) fn is(&self, lease: &Lease) -> bool {
        self.holder.as_deref() == Some(&lease.holder) && self.fence == Some(lease.fence)
    }

    /// Whether it ran out so long ago that no difference of clocks explains it.
    pub(super) fn is_long_gone(&self, now: Timestamp) -> bool {
        let limit =
            SignedDuration::try_from(self.ttl.saturating_add(TOLERATED_SKEW)).unwrap_or(SignedDuration::MAX);
        self.renewed.is_some_and(|renewed| now.duration_since(renewed) > limit)
    }

    /// A fence above all that were given out until the server made `version`.
    pub(super) fn next_fence(&self, version: Option<&str>) -> Result<Fence, BackendError> {
        let version = version.unwrap_or_default();
        let Ok(number) = version.parse::<u64>() else {
            return Err(BackendError::invalid(format!(
                "the API server calls the version of a lease {version:?}: fences need versions that are numbers"
            )));
        };
        let last = self.fence.map_or(0, Fence::number);
        Ok(Fence::new(number.max(last.saturating_add(1))))
    }

    pub(super) fn written_to(&self, mut object: Object) -> Object {
        let spec = object.spec.get_or_insert_default();
        spec.holder_identity.clone_from(&self.holder);
        spec.lease_duration_seconds = Some(whole_seconds(self.ttl));
        spec.acquire_time = self.acquired.map(MicroTime);
        spec.renew_time = self.renewed.map(MicroTime);
        spec.lease_transitions = Some(self.transitions);
        if let Some(fence) = self.fence {
            let annotations = object.metadata.annotations.get_or_insert_default();
            annotations.insert(FENCE.to_owned(), fence.to_string());
        }
        // What the server notes about writers is its own.
        object.metadata.managed_fields = None;
        object
    }
}

/// Rounded up, since others must not come too early; the server takes no zero.
fn whole_seconds(ttl: Duration) -> i32 {
    let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    i32::try_from(seconds.max(1)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TTL: Duration = Duration::from_secs(15);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn unheld() -> Record {
        Record::read(&Object::default())
    }

    #[test]
    fn what_is_written_is_read() {
        let record = Record::held("a", Fence::new(7), TTL, &unheld(), at(1_000));
        let object = record.written_to(Object::default());
        assert_eq!(Record::read(&object), record);
        let released = record.released().written_to(object);
        assert_eq!(Record::read(&released), Record { holder: None, ..record });
        let nobody = released.spec.unwrap().holder_identity;
        assert_eq!(nobody, None, "an empty holder is not sent");
    }

    #[test]
    fn a_renewal_is_no_change_of_hands() {
        let first = Record::held("a", Fence::new(7), TTL, &unheld(), at(1_000));
        let renewed = Record::held("a", Fence::new(7), TTL, &first, at(1_010));
        assert_eq!(
            (renewed.acquired, renewed.renewed, renewed.transitions),
            (Some(at(1_000)), Some(at(1_010)), 1)
        );
        let taken = Record::held("b", Fence::new(8), TTL, &renewed, at(1_020));
        assert_eq!((taken.acquired, taken.transitions), (Some(at(1_020)), 2));
    }

    #[test]
    fn others_wait_for_whole_seconds_rounded_up() {
        let seconds =
            [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(1_001), TTL, Duration::MAX];
        assert_eq!(seconds.map(whole_seconds), [1, 1, 2, 15, i32::MAX]);
    }

    #[test]
    fn clocks_that_differ_by_a_minute_take_nothing_early() {
        let record = Record::held("a", Fence::new(1), TTL, &unheld(), at(1_000));
        assert!(!record.is_long_gone(at(1_075)) && record.is_long_gone(at(1_076)));
        assert!(!record.is_long_gone(at(0)), "a clock that is behind");
        assert!(!unheld().is_long_gone(at(1_000)));
    }

    #[test]
    fn r_k8s_5_a_fence_that_is_ahead_of_the_server_is_passed() {
        let restored = Record::held("a", Fence::new(900), TTL, &unheld(), at(1_000)).released();
        assert_eq!(restored.next_fence(Some("12")).unwrap(), Fence::new(901));
    }

    #[test]
    fn versions_that_are_no_numbers_are_refused() {
        for version in [None, Some(""), Some("a7"), Some("-1")] {
            unheld().next_fence(version).unwrap_err();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        /// Each change of hands replaces a version above all earlier ones, whether or not somebody deleted the object before.
        #[test]
        fn r_k8s_5_fences_only_grow(steps in prop::collection::vec((1_u64..100, any::<bool>()), 1..40)) {
            let (mut version, mut record, mut last) = (0_u64, unheld(), 0);
            for (jump, deleted) in steps {
                version += jump;
                if deleted {
                    record = unheld();
                }
                let fence = record.next_fence(Some(&version.to_string())).unwrap();
                prop_assert!(fence.number() > last);
                last = fence.number();
                record = Record::held("a", fence, TTL, &record, at(1_000));
            }
        }
    }
}
