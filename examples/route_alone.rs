//! The router's decisions without a server: a thousand requests through two versions and five replicas, in simulated time.
//!
//! Uses `portway-router` alone; nothing here knows of HTTP, sockets or clocks.
//!
//! `cargo run --example route_alone`

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use portway_router::{Admit, Outcome, Pool, Profile, Rollout, Route, Share, Slot, Version};

fn main() -> anyhow::Result<()> {
    let route = Route::parse("/api/v1/service/flowers/score").expect("a path of the documented form");
    println!("{route:?}");

    let mut rollout = Rollout::new(Version::new("stable", Share::ZERO));
    rollout.create(Version::new("canary", Share::percent(10)?))?;
    let split = rollout.split();

    let mut pools = BTreeMap::from([("stable", 4_u32), ("canary", 1)].map(|(version, replicas)| {
        let mut pool = Pool::new(Profile::Recommended.limits());
        (0..replicas).for_each(|replica| pool.add(Duration::ZERO, replica, NonZeroU32::MIN));
        (version, pool)
    }));

    // A request comes every 10 ms and takes 43 ms inside a replica: four replicas are just enough for nine in ten.
    let (mut counts, mut longest) = (BTreeMap::new(), 0);
    let mut inside: Vec<(Duration, &str, Slot<u32>)> = Vec::new();
    for now in (0..10_000).map(Duration::from_millis) {
        let until = now + Duration::from_millis(43);
        let done: Vec<_> = inside.extract_if(.., |(until, ..)| *until == now).collect();
        for (_, version, slot) in done {
            let pool = pools.get_mut(version).expect("every version has a pool");
            pool.finish(now, slot, Outcome::Success);
            inside.extend(pool.poll_assigned().map(|(_ticket, slot)| (until, version, slot)));
        }
        if now.subsec_millis() % 10 != 0 {
            continue;
        }
        let ticket = now.as_millis() as u64 / 10;
        let version = *split.at(ticket);
        *counts.entry(version).or_insert(0) += 1;
        let pool = pools.get_mut(version).expect("every version has a pool");
        match pool.offer(now, ticket.wrapping_mul(0x9E37_79B9_7F4A_7C15), ticket) {
            Admit::Assigned(slot, _) => inside.push((until, version, slot)),
            Admit::Queued(_) => longest = longest.max(pool.load().queued),
            Admit::Refused(_, refusal) => anyhow::bail!("the queue is long enough: {refusal:?}"),
        }
    }

    println!("{counts:?}, at most {longest} waited");
    for (version, pool) in &pools {
        println!("{version}: {:?}", pool.load());
    }
    anyhow::ensure!(counts == BTreeMap::from([("canary", 100), ("stable", 900)]), "the split is exact");
    Ok(())
}
