//! The rules of admission, one by one.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use portway_router::{
    Admit, Cause, Limits, Outcome, OutlierPolicy, Pool, Profile, Refusal, Slot, Waiter, Waiting,
};

type P = Pool<u32, &'static str>;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn cap(cap: u32) -> NonZeroU32 {
    NonZeroU32::new(cap).unwrap()
}

fn pool(replicas: u32, each: u32) -> P {
    let mut pool = Pool::new(Profile::Recommended.limits());
    (0..replicas).for_each(|replica| pool.add(at(0), replica, cap(each)));
    pool
}

#[track_caller]
fn assigned(admit: Admit<u32, &'static str>) -> Slot<u32> {
    match admit {
        Admit::Assigned(slot, _) => slot,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn queued(admit: Admit<u32, &'static str>) -> Waiter {
    match admit {
        Admit::Queued(waiter) => waiter,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(admit: Admit<u32, &'static str>) -> Refusal {
    match admit {
        Admit::Refused(_, refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// The next assignment, as request and replica.
fn next(pool: &mut P) -> Option<(&'static str, Slot<u32>)> {
    pool.poll_assigned()
}

#[test]
fn r_rtr_2_one_request_inside_a_replica_and_the_rest_in_order() {
    let mut pool = pool(1, 1);
    let slot = assigned(pool.offer(at(1), 0, "a"));
    let _b = queued(pool.offer(at(2), 0, "b"));
    let _c = queued(pool.offer(at(3), 0, "c"));
    assert!(next(&mut pool).is_none());

    pool.finish(at(4), slot, Outcome::Success);
    let (request, slot) = next(&mut pool).unwrap();
    assert_eq!((request, slot.since()), ("b", at(4)));
    assert!(next(&mut pool).is_none());
    pool.finish(at(5), slot, Outcome::Success);
    assert_eq!(next(&mut pool).unwrap().0, "c");
}

#[test]
fn r_rtr_6_nobody_overtakes_those_who_wait() {
    let mut pool = pool(1, 1);
    let slot = assigned(pool.offer(at(1), 0, "a"));
    let _b = queued(pool.offer(at(2), 0, "b"));
    pool.finish(at(3), slot, Outcome::Success);
    // The slot is free and nobody has asked for it yet.
    let _c = queued(pool.offer(at(3), 0, "c"));
    assert_eq!(next(&mut pool).unwrap().0, "b");
}

#[test]
fn what_waits_can_be_changed_and_expelled() {
    let mut pool = pool(0, 1);
    let waiter = queued(pool.offer(at(0), 0, "a"));
    *pool.parked_mut(&waiter).unwrap() = "a, with a channel";
    let _b = queued(pool.offer(at(0), 0, "b"));
    assert_eq!([pool.expel(), pool.expel(), pool.expel()], [Some("a, with a channel"), Some("b"), None]);
    assert_eq!(pool.parked_mut(&waiter), None);
    let _c = queued(pool.offer(at(0), 0, "c"));
    assert_eq!((pool.cancel(waiter), pool.load().queued), (None, 1), "its place is another's by now");
}

#[test]
fn r_rtr_6_exactly_the_least_busy_and_ties_spread() {
    let mut pool = pool(3, 2);
    let first: Vec<_> = (0..3).map(|_| assigned(pool.offer(at(1), u64::MAX / 2, "x"))).collect();
    let mut replicas: Vec<_> = first.iter().map(|slot| *slot.replica()).collect();
    replicas.sort_unstable();
    assert_eq!(replicas, [0, 1, 2], "nobody gets a second before all have one");

    let mut seen = [0; 10];
    for n in 0..10_000_u64 {
        let mut pool = self::pool(10, 1);
        // A Weyl sequence: even over the whole range.
        let slot = assigned(pool.offer(at(1), n.wrapping_mul(0x9E37_79B9_7F4A_7C15), "x"));
        seen[*slot.replica() as usize] += 1;
    }
    assert!(seen.iter().all(|n| (990..=1_010).contains(n)), "{seen:?}");
}

#[test]
fn r_rtr_6_large_and_mixed_caps() {
    let caps = [1, 70, 200, 300, 1_000];
    let mut pool: P = Pool::new(Profile::Recommended.limits());
    (0..5).for_each(|replica| pool.add(at(0), replica, cap(caps[replica as usize])));
    let (mut inside, mut busy, mut bits) = (Vec::new(), [0; 5], 7_u64);
    for step in 0..20_000_u64 {
        bits = bits.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        // Fills up to 1 400 and empties again, again and again.
        let filling = (step / 1_400) % 2 == 0;
        if filling && inside.len() < 1_500 {
            let slot = assigned(pool.offer(at(0), bits, "x"));
            let chosen = *slot.replica() as usize;
            let with_room = (0..5).filter(|replica| busy[*replica] < caps[*replica]);
            assert_eq!(Some(busy[chosen]), with_room.map(|replica| busy[replica]).min());
            assert!(busy[chosen] < caps[chosen]);
            busy[chosen] += 1;
            inside.push(slot);
        } else if !inside.is_empty() {
            let slot = inside.swap_remove((bits >> 33) as usize % inside.len());
            busy[*slot.replica() as usize] -= 1;
            pool.finish(at(0), slot, Outcome::Success);
        }
    }
}

#[test]
fn r_rtr_2_the_queue_is_bounded_and_timed() {
    let mut pool = pool(1, 1);
    let _slot = assigned(pool.offer(at(0), 0, "inside"));
    let waiters: Vec<_> = (0..100).map(|_| queued(pool.offer(at(1), 0, "waits"))).collect();
    assert_eq!(refused(pool.offer(at(1), 0, "one too many")).cause, Cause::QueueFull);
    assert_eq!(pool.poll_timeout(), Some(at(11)));
    assert!(pool.handle_timeout(at(10)).is_none());

    let (_, refusal) = pool.handle_timeout(at(11)).unwrap();
    assert_eq!(refusal.cause, Cause::QueueWait);
    assert_eq!(std::iter::from_fn(|| pool.handle_timeout(at(11))).count(), 99);
    assert_eq!((pool.load().queued, pool.poll_timeout()), (0, None));
    assert!(waiters.into_iter().all(|waiter| pool.cancel(waiter).is_none()), "they are gone");
}

#[test]
fn r_rtr_6_a_cancelled_request_leaves_and_gives_way() {
    let mut pool = pool(1, 1);
    let slot = assigned(pool.offer(at(0), 0, "a"));
    let b = queued(pool.offer(at(0), 0, "b"));
    let _c = queued(pool.offer(at(0), 0, "c"));
    assert_eq!(pool.cancel(b), Some("b"));
    assert_eq!(pool.load().queued, 1);
    pool.finish(at(1), slot, Outcome::Neutral);
    assert_eq!(next(&mut pool).unwrap().0, "c");
}

#[test]
fn r_rtr_6_a_waiter_of_the_past_cancels_nobody() {
    let mut pool = pool(1, 1);
    let slot = assigned(pool.offer(at(0), 0, "a"));
    let b = queued(pool.offer(at(0), 0, "b"));
    pool.finish(at(1), slot, Outcome::Success);
    let (_, _slot) = next(&mut pool).unwrap();
    let _c = queued(pool.offer(at(1), 0, "c"));
    assert_eq!(pool.cancel(b), None, "the same place in memory, another request");
    assert_eq!(pool.load().queued, 1);
}

#[test]
fn r_rtr_7_requests_wait_for_the_first_replica() {
    let mut pool = pool(0, 1);
    let _a = queued(pool.offer(at(0), 0, "a"));
    let _b = queued(pool.offer(at(50), 0, "b"));
    assert_eq!(pool.poll_timeout(), Some(at(60)));
    pool.add(at(55), 7, cap(1));
    assert_eq!(next(&mut pool).unwrap().0, "a");
    // From now on it waits in a queue, for 10 seconds.
    assert_eq!(pool.poll_timeout(), Some(at(65)));
    assert_eq!(pool.handle_timeout(at(65)).unwrap().1.cause, Cause::QueueWait);
}

#[test]
fn r_rtr_7_the_waiting_room_has_limits_of_its_own() {
    let mut pool = pool(0, 1);
    let _waiting: Vec<_> = (0..1_000).map(|_| queued(pool.offer(at(0), 0, "waits"))).collect();
    assert_eq!(refused(pool.offer(at(0), 0, "one too many")).cause, Cause::RoomFull);
    let (_, refusal) = pool.handle_timeout(at(60)).unwrap();
    assert_eq!(refusal.cause, Cause::RoomWait);
}

#[test]
fn r_rtr_7_replicas_that_come_and_go_do_not_keep_a_request_for_ever() {
    let mut pool = pool(1, 1);
    let _slot = assigned(pool.offer(at(0), 0, "inside"));
    let _w = queued(pool.offer(at(0), 0, "waits"));
    for second in (0..60).step_by(2) {
        pool.remove(at(second), &0);
        pool.add(at(second + 1), 0, cap(1));
    }
    assert_eq!(pool.poll_timeout(), Some(at(69)), "ten seconds from the last turn");
    pool.remove(at(60), &0);
    assert_eq!(pool.poll_timeout(), Some(at(70)), "both limits together, counted from its arrival");
}

#[test]
fn r_rtr_2_documented_profile_refuses_at_once_without_replicas_and_queues_by_time_alone() {
    let mut pool: P = Pool::new(Profile::Documented.limits());
    assert_eq!(refused(pool.offer(at(0), 0, "a")).cause, Cause::RoomFull);
    pool.add(at(0), 0, cap(1));
    let _slot = assigned(pool.offer(at(0), 0, "inside"));
    let waiters: Vec<_> = (0..5_000).map(|_| queued(pool.offer(at(0), 0, "waits"))).collect();
    assert_eq!(pool.poll_timeout(), Some(Duration::from_millis(500)));
    pool.remove(at(0), &0);
    assert_eq!(pool.handle_timeout(at(0)).unwrap().1.cause, Cause::RoomWait, "the room is closed");
    assert_eq!(waiters.len(), 5_000);
}

#[test]
fn r_rtr_2_limits_and_caps_change_live() {
    let mut pool = pool(1, 1);
    let _slot = assigned(pool.offer(at(0), 0, "inside"));
    let _w = queued(pool.offer(at(0), 0, "waits"));
    pool.set_limits(Limits { queue: Waiting::at_most(1, at(2)), ..Profile::Recommended.limits() });
    assert_eq!(pool.poll_timeout(), Some(at(2)), "those who wait already, too");
    assert_eq!(refused(pool.offer(at(0), 0, "no")).cause, Cause::QueueFull);

    pool.add(at(1), 0, cap(3));
    let (_, second) = next(&mut pool).unwrap();
    let third = assigned(pool.offer(at(1), 0, "third"));
    pool.add(at(1), 0, cap(1));
    pool.finish(at(1), second, Outcome::Success);
    pool.finish(at(1), third, Outcome::Success);
    assert_eq!((pool.load().busy, pool.load().slots), (1, 1));
    let _parked = queued(pool.offer(at(1), 0, "one is inside already"));
}

#[test]
fn r_rtr_8_a_removed_replica_finishes_what_it_has() {
    let mut pool = pool(2, 2);
    let slots = [0, 0, 0, 0].map(|bits| assigned(pool.offer(at(0), bits, "long stream")));
    pool.remove(at(1), &0);
    let load = pool.load();
    assert_eq!((load.replicas, load.draining, load.busy, load.slots), (1, 1, 4, 2));
    let _w = queued(pool.offer(at(1), 0, "waits for the other"));
    assert_eq!(pool.poll_drained(), None);
    for slot in slots {
        pool.finish(at(3_600), slot, Outcome::Success);
        if let Some((request, slot)) = next(&mut pool) {
            assert_eq!((request, *slot.replica()), ("waits for the other", 1));
        }
    }
    assert_eq!(pool.poll_drained(), Some(0));
    assert_eq!(pool.poll_drained(), None);
    assert_eq!(pool.load().draining, 0);
}

#[test]
fn r_rtr_8_a_replica_that_comes_back_keeps_its_requests_in_mind() {
    let mut pool = pool(1, 1);
    let slot = assigned(pool.offer(at(0), 0, "inside"));
    pool.remove(at(1), &0);
    pool.add(at(2), 0, cap(1));
    let _w = queued(pool.offer(at(2), 0, "waits"));
    assert!(next(&mut pool).is_none(), "the request from before is still inside");
    pool.finish(at(3), slot, Outcome::Success);
    assert!(next(&mut pool).is_some());
    assert_eq!(pool.poll_drained(), None);
}

#[test]
fn r_rtr_6_retry_after_is_learned_from_service_times() {
    let limits = Limits { queue: Waiting::at_most(3, at(60)), waiting_room: Waiting::NONE };
    let mut pool: P = Pool::new(limits);
    pool.add(at(0), 0, cap(1));
    for second in 0..50 {
        let slot = assigned(pool.offer(at(second * 10), 0, "takes 4 s"));
        pool.finish(at(second * 10 + 4), slot, Outcome::Success);
    }
    let _slot = assigned(pool.offer(at(600), 0, "inside"));
    let _waiting = [(); 3].map(|()| queued(pool.offer(at(600), 0, "waits")));
    assert_eq!(
        refused(pool.offer(at(600), 0, "no")).retry_after.seconds(),
        16,
        "three before it, and itself"
    );
    // Another replica halves it.
    pool.add(at(600), 1, cap(1));
    let (_, _slot) = next(&mut pool).unwrap();
    let _w = queued(pool.offer(at(600), 0, "waits"));
    assert_eq!(refused(pool.offer(at(600), 0, "no")).retry_after.seconds(), 8);
}

#[test]
fn r_rtr_6_retry_after_is_learned_from_cold_starts() {
    let limits = Limits { queue: Waiting::NONE, waiting_room: Waiting::at_most(1, at(60)) };
    let mut pool: P = Pool::new(limits);
    let _w = queued(pool.offer(at(0), 0, "wakes the service"));
    assert_eq!(refused(pool.offer(at(0), 0, "no")).retry_after.seconds(), 60, "nothing is known yet");
    pool.add(at(12), 0, cap(1));
    let (_, slot) = next(&mut pool).unwrap();
    pool.finish(at(13), slot, Outcome::Success);
    pool.remove(at(100), &0);
    let _w = queued(pool.offer(at(100), 0, "wakes it again"));
    assert_eq!(refused(pool.offer(at(105), 0, "no")).retry_after.seconds(), 7, "it took 12 s the last time");
}

#[test]
fn r_rtr_6_a_cold_start_counts_from_when_the_last_replica_went() {
    let limits = Limits { queue: Waiting::at_most(1, at(500)), waiting_room: Waiting::at_most(1, at(60)) };
    let mut pool: P = Pool::new(limits);
    pool.add(at(0), 0, cap(1));
    let slot = assigned(pool.offer(at(0), 0, "inside"));
    let _w = queued(pool.offer(at(0), 0, "waits in the queue"));
    pool.remove(at(100), &0);
    pool.finish(at(101), slot, Outcome::Success);
    pool.add(at(104), 1, cap(1));
    let (_, slot) = next(&mut pool).unwrap();
    pool.finish(at(105), slot, Outcome::Success);
    pool.remove(at(200), &1);
    let _w = queued(pool.offer(at(200), 0, "waits in the room"));
    assert_eq!(refused(pool.offer(at(200), 0, "no")).retry_after.seconds(), 4);
}

#[test]
fn r_rtr_9_failing_replicas_are_left_out_and_probed_back() {
    let mut pool = pool(2, 4);
    let to = |pool: &mut P, replica: u32| loop {
        let slot = assigned(pool.offer(at(0), 0, "x"));
        if *slot.replica() == replica {
            return slot;
        }
    };
    for _ in 0..5 {
        let slot = to(&mut pool, 0);
        pool.finish(at(0), slot, Outcome::Failure);
        let load = pool.load();
        assert!(load.busy < 8);
    }
    assert_eq!(pool.load().ejected, 1);
    assert_eq!(pool.load().replicas, 2);
    while let Admit::Assigned(slot, _) = pool.offer(at(0), 0, "y") {
        assert_eq!(*slot.replica(), 1, "replica 0 is out");
    }
    // Those that wait get the probe as soon as it is due.
    assert_eq!(pool.poll_timeout(), Some(at(1)));
    assert!(pool.handle_timeout(at(1)).is_none());
    let (_, probe) = next(&mut pool).unwrap();
    assert_eq!(*probe.replica(), 0);
    let _w = queued(pool.offer(at(1), 0, "one probe at a time"));
    pool.finish(at(1), probe, Outcome::Failure);
    assert_eq!(pool.poll_timeout(), Some(at(3)), "out for twice the time");
    assert!(pool.handle_timeout(at(3)).is_none());
    let (_, probe) = next(&mut pool).unwrap();
    pool.finish(at(3), probe, Outcome::Success);
    assert_eq!(pool.load().ejected, 0);
}

#[test]
fn r_rtr_9_the_last_replica_is_never_left_out() {
    let mut pool = pool(2, 1);
    for n in 0..20 {
        let slot = assigned(pool.offer(at(0), n, "x"));
        pool.finish(at(0), slot, Outcome::Unreachable);
    }
    assert_eq!(pool.load().ejected, 1);
    // Not even when the only good one is removed.
    let good = pool.replicas().find(|replica| !replica.ejected).map(|replica| *replica.replica).unwrap();
    pool.remove(at(0), &good);
    assert_eq!((pool.load().replicas, pool.load().ejected), (1, 0));
    let _slot = assigned(pool.offer(at(0), 0, "better than nothing"));
}

#[test]
fn r_rtr_9_an_unreachable_replica_is_left_out_at_once_and_the_request_goes_elsewhere() {
    let mut pool = pool(2, 1);
    let slot = assigned(pool.offer(at(0), 0, "x"));
    let failed = *slot.replica();
    pool.finish(at(0), slot, Outcome::Unreachable);
    let slot = assigned(pool.offer_again(at(0), 0, "x", &failed));
    assert_ne!(*slot.replica(), failed);
}

#[test]
fn r_rtr_9_a_request_offered_again_goes_before_those_that_wait() {
    let mut pool = pool(1, 1);
    let slot = assigned(pool.offer(at(0), 0, "first"));
    let _w = queued(pool.offer(at(1), 0, "second"));
    pool.finish(at(2), slot, Outcome::Failure);
    let (_, slot) = next(&mut pool).unwrap();
    let _w = queued(pool.offer_again(at(2), 0, "first", &0));
    pool.finish(at(3), slot, Outcome::Success);
    let (request, _slot) = next(&mut pool).unwrap();
    assert_eq!(request, "first", "there is no other replica, so it gets the same");
}

#[test]
fn time_that_goes_back_is_taken_as_standing_still() {
    let mut pool = Pool::with_outliers(Profile::Recommended.limits(), OutlierPolicy::default());
    pool.add(at(10), 0_u32, cap(1));
    let slot = assigned(pool.offer(at(20), 0, "a"));
    let _w = queued(pool.offer(at(5), 0, "b"));
    assert_eq!(pool.poll_timeout(), Some(at(30)));
    pool.finish(at(1), slot, Outcome::Success);
    assert!(next(&mut pool).is_some());
}
