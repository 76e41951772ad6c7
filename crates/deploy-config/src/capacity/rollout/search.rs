//! Every order of steps, for small cases.

use std::collections::HashSet;

use super::super::pack::{count, give, take};
use super::State;

/// Old and new replicas by node.
type Seen = (Vec<u64>, Vec<u64>);

/// Cases above these are not searched.
const MOST_NODES: usize = 8;
const MOST_STATES: usize = 20_000;

/// Whether some order of starts and stops finishes; `None` where there are too many to try.
pub(super) fn finishes(start: &State<'_>) -> Option<bool> {
    if start.capacity.nodes.len() > MOST_NODES {
        return None;
    }
    let wanted = u64::from(start.plan.new.replicas);
    let most = wanted + u64::from(start.plan.surge);
    let fewest = wanted.saturating_sub(u64::from(start.plan.unavailable));
    let first: Seen = (start.old.clone(), vec![0; start.old.len()]);
    let (mut seen, mut stack) = (HashSet::from([first.clone()]), vec![first]);
    while let Some((olds, news)) = stack.pop() {
        if news.iter().sum::<u64>() >= wanted {
            return Some(true);
        }
        if seen.len() > MOST_STATES {
            return None;
        }
        let total: u64 = olds.iter().chain(&news).sum();
        let mut visit = |next: Seen| {
            if seen.insert(next.clone()) {
                stack.push(next);
            }
        };
        for &node in start.allowed.iter().filter(|_| total < most) {
            let mut free = start.free[node].clone();
            give(&mut free, &start.old_request, start.old[node] - olds[node]);
            // What was started there fitted when it was, so it can be taken away again.
            take(&mut free, &start.request, news[node]);
            if count(&free, &start.request) > 0 {
                let mut next = (olds.clone(), news.clone());
                next.1[node] += 1;
                visit(next);
            }
        }
        for node in (0..olds.len()).filter(|&node| total > fewest && olds[node] > 0) {
            let mut next = (olds.clone(), news.clone());
            next.0[node] -= 1;
            visit(next);
        }
    }
    Some(false)
}
