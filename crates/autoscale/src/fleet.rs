//! Whose fleet it is, and who leaves it first.

/// Something else in the cluster that sets the replica count of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rival {
    /// A horizontal pod autoscaler, by name.
    HorizontalPodAutoscaler(String),
    /// A KEDA scaled object, by name; it brings a horizontal pod autoscaler with it.
    ScaledObject(String),
}

/// A refusal to scale a workload that something else scales already: the two would undo each other's work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("replicas of {workload} are already set by {}; remove it, or use fixed replicas", describe(.rival))]
pub struct ScaledTwice {
    /// The workload.
    pub workload: String,
    /// The first of the others.
    pub rival: Rival,
}

/// Whether a workload may be scaled here: only if nothing else does. Finding the others is the backend's.
///
/// ```
/// use portway_autoscale::{Rival, sole_scaler};
/// let found = [Rival::HorizontalPodAutoscaler("iris-hpa".to_owned())];
/// assert!(sole_scaler("iris", &found).is_err());
/// assert!(sole_scaler("iris", &[]).is_ok());
/// ```
///
/// # Errors
/// [`ScaledTwice`] names the first of the others.
pub fn sole_scaler(workload: &str, others: &[Rival]) -> Result<(), ScaledTwice> {
    match others.first() {
        None => Ok(()),
        Some(rival) => Err(ScaledTwice { workload: workload.to_owned(), rival: rival.clone() }),
    }
}

/// The `count` replicas that go first when a fleet shrinks: those with the fewest requests, the later in the slice among equals.
///
/// The slice is sorted on the way, so nothing is allocated: what goes is its first part. Pass `(requests inside, replica)`, the longest
/// serving first.
///
/// ```
/// use portway_autoscale::idle_first;
/// let mut fleet = [(2, "a"), (0, "b"), (1, "c"), (0, "d")];
/// assert_eq!(idle_first(3, &mut fleet), [(0, "d"), (0, "b"), (1, "c")]);
/// ```
#[must_use]
pub fn idle_first<R>(count: usize, fleet: &mut [(u32, R)]) -> &[(u32, R)] {
    fleet.reverse();
    fleet.sort_by_key(|&(inside, _)| inside);
    &fleet[..count.min(fleet.len())]
}

fn describe(rival: &Rival) -> String {
    match rival {
        Rival::HorizontalPodAutoscaler(name) => format!("the horizontal pod autoscaler {name}"),
        Rival::ScaledObject(name) => format!("the scaled object {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_scl_5_a_second_scaler_is_refused_by_name() {
        let scaled = Rival::ScaledObject("queue".to_owned());
        let refusal = sole_scaler("iris", &[scaled]).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "replicas of iris are already set by the scaled object queue; remove it, or use fixed replicas"
        );
    }

    #[test]
    fn r_scl_6_idle_replicas_go_first_the_youngest_of_them_before_the_others() {
        let mut fleet = [(1, 'a'), (0, 'b'), (0, 'c'), (3, 'd')];
        assert_eq!(idle_first(1, &mut fleet), [(0, 'c')]);
        assert_eq!(idle_first::<char>(5, &mut []), []);
    }
}
