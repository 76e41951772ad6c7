//! The table of profiles: what holds where an endpoint's document says nothing.

use std::time::Duration;

use portway_deploy_config::{EndpointSpec, Pinning, Profile, VersionSpec};
use portway_router::{Limits, TimeoutSpan, Waiting};

/// Largest request body where nothing else is said: 100 MB.
pub(crate) const MAX_BODY_BYTES: u64 = 100 * 1024 * 1024;

/// The profile in the router's words.
pub(crate) const fn table(profile: Profile) -> portway_router::Profile {
    match profile {
        Profile::Documented => portway_router::Profile::Documented,
        Profile::Recommended => portway_router::Profile::Recommended,
    }
}

/// What limits a request to one version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RequestLimits {
    /// Until the head of the answer, from the last piece of the request's body on.
    pub(crate) first_byte: Duration,
    /// Between two pieces of the answer.
    pub(crate) idle: Option<Duration>,
    /// For the whole exchange with the replica.
    pub(crate) total: Option<Duration>,
    pub(crate) body: u64,
}

impl RequestLimits {
    pub(crate) fn of(spec: &EndpointSpec, version: &VersionSpec) -> Self {
        let table = table(spec.profile);
        let longest = table.longest_scoring_timeout().unwrap_or(Duration::MAX);
        let scoring = version.scoring_timeout.min(longest);
        let (idle, total) = match table.timeout_span() {
            TimeoutSpan::Exchange => (None, Some(scoring)),
            TimeoutSpan::FirstByte => (Some(IDLE), None),
        };
        let limits = &spec.limits;
        Self {
            first_byte: limits.first_byte.unwrap_or(scoring),
            idle: limits.idle.or(idle),
            total: limits.total.or(total),
            body: limits.max_body_bytes.unwrap_or(MAX_BODY_BYTES),
        }
    }
}

/// How many requests may wait for a version, and for how long.
pub(crate) fn waiting(spec: &EndpointSpec, version: &VersionSpec) -> Limits {
    let table = table(spec.profile).limits();
    let limits = &spec.limits;
    Limits {
        queue: Waiting {
            most: limits.queue.or(table.queue.most),
            wait: version.max_queue_wait.or(limits.queue_wait).unwrap_or(table.queue.wait),
        },
        waiting_room: Waiting {
            most: limits.waiting_room.or(table.waiting_room.most),
            wait: limits.waiting_room_wait.unwrap_or(table.waiting_room.wait),
        },
    }
}

/// Whether requests may choose their version.
pub(crate) fn pinning(spec: &EndpointSpec) -> Pinning {
    let default = if table(spec.profile).pins_by_header() { Pinning::Any } else { Pinning::Off };
    spec.pinning.unwrap_or(default)
}

/// How long an answer may pause where nothing else is said.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(profile: Profile) -> EndpointSpec {
        let version = VersionSpec::new("first".parse().unwrap());
        EndpointSpec { profile, ..EndpointSpec::new("iris".parse().unwrap(), version) }
    }

    #[test]
    fn r_rtr_2_each_profile_has_the_numbers_of_the_table() {
        let documented = spec(Profile::Documented);
        let limits = waiting(&documented, &documented.versions[0]);
        assert_eq!(limits.queue, Waiting::for_at_most(Duration::from_millis(500)));
        assert_eq!(limits.waiting_room, Waiting::NONE);
        let request = RequestLimits::of(&documented, &documented.versions[0]);
        assert_eq!((request.total, request.idle), (Some(Duration::from_secs(60)), None));
        assert_eq!(pinning(&documented), Pinning::Off);

        let recommended = spec(Profile::Recommended);
        let limits = waiting(&recommended, &recommended.versions[0]);
        assert_eq!(limits.queue, Waiting::at_most(100, Duration::from_secs(10)));
        assert_eq!(limits.waiting_room, Waiting::at_most(1_000, Duration::from_secs(60)));
        let request = RequestLimits::of(&recommended, &recommended.versions[0]);
        assert_eq!((request.first_byte, request.total), (Duration::from_secs(60), None));
        assert_eq!(request.body, 104_857_600);
        assert_eq!(pinning(&recommended), Pinning::Any);
    }

    #[test]
    fn r_rtr_2_a_field_of_the_document_beats_the_profile() {
        let mut spec = spec(Profile::Documented);
        spec.limits.queue = Some(7);
        spec.limits.queue_wait = Some(Duration::from_secs(2));
        spec.limits.waiting_room = Some(3);
        spec.limits.waiting_room_wait = Some(Duration::from_secs(4));
        spec.limits.total = Some(Duration::from_secs(400));
        spec.pinning = Some(Pinning::Any);
        let limits = waiting(&spec, &spec.versions[0]);
        assert_eq!(limits.queue, Waiting::at_most(7, Duration::from_secs(2)));
        assert_eq!(limits.waiting_room, Waiting::at_most(3, Duration::from_secs(4)));
        assert_eq!(RequestLimits::of(&spec, &spec.versions[0]).total, Some(Duration::from_secs(400)));
        assert_eq!(pinning(&spec), Pinning::Any);
        spec.versions[0].max_queue_wait = Some(Duration::from_secs(1));
        assert_eq!(waiting(&spec, &spec.versions[0]).queue.wait, Duration::from_secs(1));
    }
}
