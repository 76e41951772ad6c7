//! The decisions of the request path in `portway-router`, each beside its floor, so that a run compares within itself.
//!
//! - `split`: one ticket from the shared counter and the version it goes to, six versions with a schedule of 10 000 cells, tickets
//!   in order. Floor: the counter alone. `next` is a change of shares, off the request path.
//! - `sticky`: the version of a key, keys at random. Floor: a load from a table of 10 000 bytes at random.
//! - `admit`: offer and finish of one request, at 10, 1 000 and 10 000 replicas with four slots each, half of them busy. Floor: a
//!   stack of free slots, which knows neither load nor queue. Peer: the least busy found by looking at every replica.
//! - `queued`: a request that finds all replicas busy, waits, and gets the slot that another gives back.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portway_router::{Admit, Outcome, Pool, Profile, Share, Shares, Slot, Split, Tickets};

fn shares() -> Shares<u32> {
    let share = |basis_points| Share::new(basis_points).expect("below 10 000");
    let treatments = [(1, 501), (2, 2_903), (3, 907), (4, 101), (5, 2_901)];
    Shares::new(0, treatments.map(|(version, part)| (version, share(part))))
        .expect("they sum to less than 10 000")
}

fn split(c: &mut Criterion) {
    let mut group = c.benchmark_group("split");
    let (split, tickets, counter) = (Split::new(shares()), Tickets::new(), AtomicU64::new(0));
    group.bench_function("floor: counter", |b| b.iter(|| counter.fetch_add(1, Ordering::Relaxed)));
    group.bench_function("ticket", |b| b.iter(|| tickets.take().map(|ticket| *split.at(ticket))));
    group.bench_function("next", |b| b.iter(|| split.next(black_box(1_234), shares())));
    group.finish();
}

fn sticky(c: &mut Criterion) {
    let mut group = c.benchmark_group("sticky");
    let (split, table) = (Split::new(shares()), vec![7_u8; 10_000]);
    let mut bits = random();
    group.bench_function("floor: table", |b| b.iter(|| table[(bits() % 10_000) as usize]));
    group.bench_function("key", |b| b.iter(|| *split.for_key(bits())));
    group.finish();
}

fn admit(c: &mut Criterion) {
    let mut group = c.benchmark_group("admit");
    for replicas in [10, 1_000, 10_000_u32] {
        let mut bits = random();
        let mut free: Vec<u32> = (0..replicas).collect();
        group.bench_function(BenchmarkId::new("floor: stack", replicas), |b| {
            b.iter(|| {
                let slot = black_box(free.pop());
                free.extend(slot);
            });
        });

        let mut busy = vec![2_u32; replicas as usize];
        group.bench_function(BenchmarkId::new("peer: scan", replicas), |b| {
            b.iter(|| {
                let least = (0..busy.len()).min_by_key(|at| busy[*at]).expect("there are replicas");
                busy[least] += 1;
                busy[black_box(least)] -= 1;
            });
        });

        let mut pool = pool(replicas, 4);
        let _held: Vec<_> = (0..replicas * 2).map(|_| granted(&mut pool, bits())).collect();
        group.bench_function(BenchmarkId::new("pool", replicas), |b| {
            b.iter(|| {
                let slot = granted(&mut pool, bits());
                pool.finish(Duration::ZERO, black_box(slot), Outcome::Success);
            });
        });
    }
    group.finish();
}

fn queued(c: &mut Criterion) {
    let mut group = c.benchmark_group("queued");
    for replicas in [10, 1_000, 10_000_u32] {
        let mut pool = pool(replicas, 1);
        let mut inside: Vec<_> = (0..replicas).map(|_| granted(&mut pool, 0)).collect();
        group.bench_function(BenchmarkId::new("pool", replicas), |b| {
            b.iter(|| {
                let waiter = pool.offer(Duration::ZERO, 0, 7);
                assert!(matches!(black_box(waiter), Admit::Queued(_)));
                pool.finish(Duration::ZERO, inside.pop().expect("all are busy"), Outcome::Success);
                inside.extend(pool.poll_assigned().map(|(_, slot)| slot));
            });
        });
    }
    group.finish();
}

fn pool(replicas: u32, cap: u32) -> Pool<u32, u64> {
    let mut pool = Pool::new(Profile::Recommended.limits());
    let cap = NonZeroU32::new(cap).expect("not zero");
    (0..replicas).for_each(|replica| pool.add(Duration::ZERO, replica, cap));
    pool
}

fn granted(pool: &mut Pool<u32, u64>, bits: u64) -> Slot<u32> {
    match pool.offer(Duration::ZERO, bits, 7) {
        Admit::Assigned(slot, _) => slot,
        other => panic!("there are free slots: {other:?}"),
    }
}

/// SplitMix64.
fn random() -> impl FnMut() -> u64 {
    let mut state = 7_u64;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

criterion_group!(benches, split, sticky, admit, queued);
criterion_main!(benches);
