//! What the request path allocates: nothing, once a pool has seen its largest load.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use portway_router::{Admit, Outcome, Pool, Profile, Share, Shares, Split, Tickets};

fn allocations(of: impl FnOnce()) -> u64 {
    allocation_counter::measure(of).count_total
}

#[test]
fn r_rtr_4_a_ticket_allocates_nothing() {
    let shares = [(1, Share::percent(13).unwrap()), (2, Share::percent(7).unwrap())];
    let (split, tickets) = (Split::new(Shares::new(0, shares).unwrap()), Tickets::new());
    assert_eq!(allocations(|| (0..30_000).for_each(|_| assert!(*split.at(tickets.take().unwrap()) < 3))), 0);
    assert_eq!(allocations(|| (0..30_000).for_each(|key| assert!(*split.for_key(key * 7_919) < 3))), 0);
}

#[test]
fn r_rtr_6_admission_allocates_nothing_once_warm() {
    let mut pool = Pool::new(Profile::Recommended.limits());
    (0..100_u32).for_each(|replica| pool.add(Duration::ZERO, replica, NonZeroU32::new(2).unwrap()));
    // 200 are inside, 50 wait; then all come out again.
    let mut inside = Vec::with_capacity(250);
    let mut round = |second: u64| {
        for bits in 0..250_u64 {
            let now = Duration::from_secs(second);
            match pool.offer(now, bits.wrapping_mul(0x9E37_79B9_7F4A_7C15), bits) {
                Admit::Assigned(slot, _) => inside.push(slot),
                Admit::Queued(waiter) if bits % 3 == 0 => assert!(pool.cancel(waiter).is_some()),
                Admit::Queued(_) => {}
                Admit::Refused(_, refusal) => panic!("{refusal:?}"),
            }
        }
        while let Some(slot) = inside.pop() {
            pool.finish(Duration::from_secs(second + 1), slot, Outcome::Success);
            inside.extend(std::iter::from_fn(|| pool.poll_assigned()).map(|(_, slot)| slot));
        }
    };
    round(0);
    assert_eq!(allocations(|| (1..20).for_each(|second| round(second * 2))), 0);
}
