//! The cost of knowing everything beforehand.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::{Scenario, Workload};

/// Replica-seconds that a provisioner pays who knows every request beforehand and starts all of them in time.
///
/// Greedy: a request takes the lowest-numbered slot that is free, else waits for the first slot that frees within the promised
/// wait, else gets a new slot that was started just in time. A replica without requests is stopped where that is cheaper than keeping
/// it through the gap. No policy can do this; it is the measure for all.
#[must_use]
pub fn clairvoyant_seconds(scenario: &Scenario, workload: &Workload) -> f64 {
    let (service, mut times) = (&scenario.service, scenario.service_times());
    let wait = service.wait_slo.as_nanos() as u64;
    let slots = service.max_concurrent.get() as usize;
    let startup = service.startup.as_nanos() as u64;
    let mut free: BTreeSet<usize> = BTreeSet::new();
    let mut busy: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    // By replica: when it was started, and until when it has had work.
    let mut replicas: Vec<(u64, u64)> = Vec::new();
    let mut paid: u64 = 0;
    for arrival in scenario.arrivals(workload) {
        while busy.peek().is_some_and(|event| event.0.0 <= arrival) {
            free.extend(busy.pop().map(|event| event.0.1));
        }
        let (slot, start) = match free.pop_first() {
            Some(slot) => (slot, arrival),
            None => match busy.peek() {
                Some(&Reverse((at, slot))) if at <= arrival + wait => {
                    busy.pop();
                    (slot, at)
                }
                _ => {
                    let first = replicas.len() * slots;
                    free.extend(first + 1..first + slots);
                    replicas.push((arrival, arrival));
                    paid += startup;
                    (first, arrival)
                }
            },
        };
        let end = start + service.draw(&mut times);
        let replica = &mut replicas[slot / slots];
        let gap = start.saturating_sub(replica.1);
        if gap > startup {
            paid += startup + (replica.1 - replica.0);
            *replica = (start, end);
        }
        replica.1 = replica.1.max(end);
        busy.push(Reverse((end, slot)));
    }
    paid += replicas.iter().map(|replica| replica.1 - replica.0).sum::<u64>();
    paid as f64 / 1e9
}
