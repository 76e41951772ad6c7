//! What to do next so that a workload has the replicas it is to have. Pure.

use portway_backend::ReplicaId;

/// A place for a replica as the plan sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// Whether it runs what is now desired, or something older.
    pub(crate) is_current: bool,
    /// How far it is.
    pub(crate) stage: Stage,
    /// The replica in it, if there is one.
    pub(crate) replica: Option<ReplicaId>,
}

/// How far a place is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Not ready, whether for the first time or again.
    Coming,
    /// Ready.
    Ready,
    /// Told to stop; it counts no longer.
    Going,
}

/// What is to be done now.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Plan {
    /// How many places to add.
    pub(crate) start: usize,
    /// The indices of the places to stop, in no particular order.
    pub(crate) stop: Vec<usize>,
}

/// How many replicas an update may have beyond those that are wanted.
const SURGE: usize = 1;

/// Decides what to start and stop, when gateways have just drained the replicas `drained`. Asked again after each change, it ends with `wanted` current places and no others,
/// and on the way there are never fewer ready ones than there were or are wanted, unless they fail by themselves.
pub(crate) fn plan(wanted: usize, places: &[Place], drained: &[ReplicaId]) -> Plan {
    let serves = |index: &usize| places[*index].serves(drained);
    let mut stop = by_dispensability(places, true, drained);
    let current = stop.split_off(stop.len().saturating_sub(wanted));
    // Old ones that serve nobody go; the others as far as enough serve without them.
    let (mut serving, idle): (Vec<usize>, Vec<usize>) =
        by_dispensability(places, false, drained).into_iter().partition(serves);
    let enough = wanted.saturating_sub(current.iter().filter(|index| serves(index)).count());
    let old = serving.split_off(serving.len().saturating_sub(enough));
    stop.extend(idle);
    stop.extend(serving);
    let surge = if old.is_empty() { 0 } else { SURGE };
    let room = wanted.saturating_add(surge).saturating_sub(current.len() + old.len());
    Plan { start: room.min(wanted - current.len()), stop }
}

impl Place {
    fn serves(&self, drained: &[ReplicaId]) -> bool {
        self.stage == Stage::Ready && !self.is_drained(drained)
    }

    fn is_drained(&self, drained: &[ReplicaId]) -> bool {
        self.replica.as_ref().is_some_and(|replica| drained.contains(replica))
    }
}

/// The places that stay until now, current ones or old ones: first what its gateway has drained, then what is not ready,
/// then the youngest.
fn by_dispensability(places: &[Place], is_current: bool, drained: &[ReplicaId]) -> Vec<usize> {
    let stays =
        |index: &usize| places[*index].is_current == is_current && places[*index].stage != Stage::Going;
    let mut indices: Vec<usize> = (0..places.len()).filter(stays).collect();
    indices.sort_by_key(|index| {
        let place = &places[*index];
        (!place.is_drained(drained), place.stage == Stage::Ready, std::cmp::Reverse(*index))
    });
    indices
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(is_current: bool, stage: Stage, name: &str) -> Place {
        Place { is_current, stage, replica: Some(ReplicaId::new(name)) }
    }

    #[test]
    fn drained_replicas_go_before_those_that_are_coming_and_those_before_the_youngest() {
        let places = [
            place(true, Stage::Ready, "a"),
            place(true, Stage::Ready, "b"),
            place(true, Stage::Coming, "c"),
            place(true, Stage::Ready, "d"),
        ];
        let drained = [ReplicaId::new("a")];
        for (wanted, stop) in [(4, &[][..]), (3, &[0]), (2, &[0, 2]), (1, &[0, 2, 3]), (0, &[0, 2, 3, 1])] {
            assert_eq!(plan(wanted, &places, &drained), Plan { start: 0, stop: stop.to_vec() });
        }
    }

    #[test]
    fn an_update_brings_a_new_replica_before_an_old_one_goes() {
        let old = || place(false, Stage::Ready, "old");
        assert_eq!(plan(2, &[old(), old()], &[]), Plan { start: 1, stop: vec![] });
        let coming = [old(), old(), place(true, Stage::Coming, "new")];
        assert_eq!(plan(2, &coming, &[]), Plan::default());
        let ready = [old(), old(), place(true, Stage::Ready, "new")];
        assert_eq!(plan(2, &ready, &[]), Plan { start: 1, stop: vec![1] });
    }

    #[test]
    fn an_update_that_fails_keeps_what_serves() {
        let failing = [place(false, Stage::Ready, "old"), place(true, Stage::Coming, "new")];
        assert_eq!(plan(1, &failing, &[]), Plan::default());
        // An old one that does not serve anybody is in the way.
        let broken = [place(false, Stage::Coming, "old")];
        assert_eq!(plan(1, &broken, &[]), Plan { start: 1, stop: vec![0] });
    }

    fn places() -> impl Strategy<Value = Vec<Place>> {
        let stage = prop_oneof![Just(Stage::Coming), Just(Stage::Ready), Just(Stage::Going)];
        proptest::collection::vec((any::<bool>(), stage), 0..8).prop_map(|places| {
            let named =
                |(index, (is_current, stage)): (usize, _)| place(is_current, stage, &index.to_string());
            places.into_iter().enumerate().map(named).collect()
        })
    }

    /// How many serve: what its gateway has drained does not.
    fn serving(places: &[Place], drained: &[ReplicaId]) -> usize {
        places.iter().filter(|place| place.serves(drained)).count()
    }

    proptest! {
        #[test]
        fn following_the_plan_ends_with_what_is_wanted_and_never_serves_less(
            mut places in places(),
            wanted in 0_usize..6,
            drained in proptest::collection::vec("[0-7]", 0..3),
        ) {
            // Only the first plan knows of them: what stays is given requests again.
            let mut drained: Vec<ReplicaId> = drained.into_iter().map(ReplicaId::new).collect();
            for _ in 0..40 {
                let before = serving(&places, &drained);
                let plan = plan(wanted, &places, &drained);
                for index in &plan.stop {
                    prop_assert_ne!(places[*index].stage, Stage::Going, "stopped twice");
                    places[*index].stage = Stage::Going;
                }
                prop_assert!(serving(&places, &drained) >= before.min(wanted), "{:?}", places);
                let staying = places.iter().filter(|place| place.stage != Stage::Going).count();
                let limit = places.len().max(wanted + SURGE);
                if plan.start > 0 {
                    prop_assert!(staying + plan.start <= limit, "{:?} {:?}", plan, places);
                }
                drained.clear();
                // What goes is gone, one of those that are coming comes.
                places.retain(|place| place.stage != Stage::Going);
                places.extend((0..plan.start).map(|_| place(true, Stage::Coming, "new")));
                if let Some(coming) = places.iter_mut().find(|place| place.stage == Stage::Coming) {
                    coming.stage = Stage::Ready;
                }
            }
            prop_assert_eq!(places.len(), wanted);
            prop_assert!(places.iter().all(|place| place.is_current && place.stage == Stage::Ready));
        }
    }
}
