//! The exact split: prefixes, windows, live changes, threads.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use portway_router::{MAX_VERSIONS, Share, Shares, Split, Tickets};
use proptest::prelude::*;

/// Basis points of one request.
const ONE: i64 = 10_000;

/// Shares of up to six versions, often coarse, sometimes zero; version 0 is the default.
fn shares() -> impl Strategy<Value = Shares<usize>> {
    let parts = prop::collection::vec(prop_oneof![Just(0), 1..5_u32, 1..1_000_u32], 1..=MAX_VERSIONS);
    (parts, prop::sample::select(vec![20_u32, 100, 1_000, 10_000])).prop_map(|(parts, grain)| {
        let sum = parts.iter().sum::<u32>().max(1);
        let share = |part: u32| Share::new((part * grain / sum * (10_000 / grain)) as u16).unwrap();
        Shares::new(0, parts.iter().map(|part| share(*part)).enumerate()).unwrap()
    })
}

/// What each version is owed after a ticket, from the shares in force.
#[derive(Default)]
struct Ledger([i64; MAX_VERSIONS]);

impl Ledger {
    fn ticket(&mut self, split: &Split<usize>, served: usize) {
        for (version, share) in split.shares().iter() {
            self.0[*version] += i64::from(share.basis_points());
        }
        self.0[served] -= ONE;
    }

    fn worst(&self) -> i64 {
        self.0.iter().map(|owed| owed.abs()).max().unwrap_or(0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The worst that is known: all but a crumb to those that are owed most, ever fewer of them, sometimes without one of them.
    #[test]
    fn r_rtr_4_below_eleven_sixths_against_an_adversary(attack in prop::collection::vec((1..=6_usize, 0..8_usize, 1..4_u64), 1..30)) {
        let mut split = Split::new(Shares::new(0, (0..6).map(|version| (version, Share::new(1).unwrap()))).unwrap());
        let (mut ledger, mut used) = (Ledger::default(), 0);
        for (favoured, spared, tickets) in attack {
            let mut versions: Vec<usize> = (0..6).collect();
            versions.sort_by_key(|version| -ledger.0[*version]);
            let gets = |rank: &usize| *rank < favoured && *rank != spared;
            let each = 9_994 / (0..6).filter(gets).count().max(1) as u16;
            let share = |rank| Share::new(if gets(&rank) { each } else { 1 }).unwrap();
            let shares = versions.iter().enumerate().map(|(rank, version)| (*version, share(rank)));
            split = split.next(used, Shares::new(versions[0], shares).unwrap());
            for ticket in 0..tickets {
                ledger.ticket(&split, *split.at(ticket));
                prop_assert!(ledger.0.iter().all(|owed| -ONE < *owed && owed * 6 < 11 * ONE), "{:?}", ledger.0);
            }
            used = tickets;
        }
    }

    #[test]
    fn r_rtr_4_every_prefix_within_tijdemans_bound_and_every_window_within_two(shares in shares()) {
        let split = Split::new(shares);
        let versions = split.shares().iter().filter(|(_, share)| *share > Share::ZERO).count() as i64;
        let (mut ledger, mut low, mut high) = (Ledger::default(), [0; MAX_VERSIONS], [0; MAX_VERSIONS]);
        for ticket in 0..20_001 {
            ledger.ticket(&split, *split.at(ticket));
            // 1 - 1/(2k-2), and nothing at all with one version.
            let scale = 2 * versions - 2;
            prop_assert!(ledger.worst() * scale.max(1) <= (scale - 1).max(0) * ONE, "ticket {}: {:?}", ticket, ledger.0);
            for (version, owed) in ledger.0.iter().enumerate() {
                low[version] = *owed.min(&low[version]);
                high[version] = *owed.max(&high[version]);
            }
        }
        // The error over a window is the difference of two prefix errors.
        prop_assert!((0..MAX_VERSIONS).all(|version| high[version] - low[version] < 2 * ONE));
    }

    #[test]
    fn r_rtr_4_error_stays_below_two_through_live_changes(changes in prop::collection::vec((shares(), 0..40_u64), 1..60)) {
        let mut split = Split::new(Shares::all_to(0));
        let mut ledger = Ledger::default();
        for (shares, tickets) in changes {
            for ticket in 0..tickets {
                ledger.ticket(&split, *split.at(ticket));
                prop_assert!(ledger.worst() < 2 * ONE, "{:?}", ledger.0);
            }
            // Versions that are not listed now are deleted: what they were owed is gone.
            split = split.next(tickets, shares);
            for version in split.shares().iter().len()..MAX_VERSIONS {
                ledger.0[version] = 0;
            }
        }
    }

    #[test]
    fn r_rtr_4_a_change_to_the_same_shares_changes_nothing(shares in shares(), used in 0..25_000_u64) {
        let split = Split::new(shares);
        let next = split.next(used, split.shares().clone());
        prop_assert!((0..10_001).all(|ticket| next.at(ticket) == split.at(used + ticket)));
    }

    #[test]
    fn a_version_without_share_gets_nothing(before in shares(), after in shares(), used in 0..200_u64) {
        let split = Split::new(before).next(used, after);
        prop_assert!((0..1_000).all(|ticket| split.share(split.at(ticket)) > Share::ZERO));
    }
}

#[test]
fn r_rtr_4_the_shares_that_break_largest_credit() {
    // 3:5:29:9:1:29 in basis points; serving the largest credit drifts to 1.026 requests here.
    let parts = [3_u32, 5, 29, 9, 1, 29];
    let shares = parts.map(|part| Share::new((part * 10_000 / 76) as u16).unwrap());
    let split = Split::new(Shares::new(2, shares.into_iter().enumerate()).unwrap());
    let mut ledger = Ledger::default();
    for ticket in 0..10_000 {
        ledger.ticket(&split, *split.at(ticket));
        assert!(ledger.worst() <= 9 * ONE / 10, "{:?}", ledger.0);
    }
    assert_eq!(ledger.worst(), 0, "a whole period leaves no debt");
}

#[test]
fn r_rtr_4_small_shares_survive_constant_change() {
    // Starting the schedule anew at each change would starve a version whose turn never comes.
    let shares = |bp| Shares::new("a", [("b", Share::new(bp).unwrap())]).unwrap();
    let mut split = Split::new(shares(100));
    let mut served = 0;
    for round in 0..1_000 {
        served += (0..5).filter(|ticket| *split.at(*ticket) == "b").count();
        split = split.next(5, shares(100 + round % 2));
    }
    assert!((49..=52).contains(&served), "{served} of 5000 at about 1 %");
}

#[test]
fn r_rtr_4_any_number_of_threads_and_live_changes() {
    struct Snapshot {
        split: Split<usize>,
        tickets: Tickets,
    }
    let live =
        RwLock::new(Arc::new(Snapshot { split: Split::new(Shares::all_to(0)), tickets: Tickets::new() }));
    let counts = [(); 3].map(|()| AtomicU64::new(0));
    let mut ledger = Ledger::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let (now, ticket) = loop {
                        let now = live.read().unwrap().clone();
                        if let Some(ticket) = now.tickets.take() {
                            break (now, ticket);
                        }
                        std::thread::yield_now();
                    };
                    counts[*now.split.at(ticket)].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // The ledger follows the tickets that were used, in their order, whichever thread took them.
        let mut close = |old: &Snapshot| {
            let used = old.tickets.close();
            for ticket in 0..used {
                ledger.ticket(&old.split, *old.split.at(ticket));
                assert!(ledger.worst() < 2 * ONE);
            }
            used
        };
        for percent in (1..50).cycle().take(150) {
            let shares = [(1, Share::percent(percent).unwrap()), (2, Share::percent(50 - percent).unwrap())];
            let old = live.read().unwrap().clone();
            let split = old.split.next(close(&old), Shares::new(0, shares).unwrap());
            *live.write().unwrap() = Arc::new(Snapshot { split, tickets: Tickets::new() });
            std::thread::yield_now();
        }
    });
    let last = live.into_inner().unwrap();
    let used = last.tickets.close();
    (0..used).for_each(|ticket| ledger.ticket(&last.split, *last.split.at(ticket)));
    assert!(ledger.worst() < 2 * ONE);
    assert_eq!(counts.into_iter().map(AtomicU64::into_inner).sum::<u64>(), 20_000);
}

#[test]
fn a_closed_counter_gives_no_ticket_and_remembers_what_it_gave() {
    let tickets = Tickets::new();
    assert_eq!([tickets.take(), tickets.take()], [Some(0), Some(1)]);
    assert_eq!(tickets.close(), 2);
    assert_eq!(tickets.take(), None);
    assert_eq!(tickets.close(), 2);
}
#[test]
fn r_rtr_4_any_number_of_threads() {
    let split = Split::new(
        Shares::new(0, [(1, Share::percent(23).unwrap()), (2, Share::percent(7).unwrap())]).unwrap(),
    );
    let (tickets, counts) = (AtomicU64::new(0), [(); 3].map(|()| AtomicU64::new(0)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_525 {
                    let version = split.at(tickets.fetch_add(1, Ordering::Relaxed));
                    counts[*version].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    // 10 100 requests: 7 070, 2 323 and 707.
    assert_eq!(counts.map(AtomicU64::into_inner), [7_070, 2_323, 707]);
}
