//! Twelve kinds of workload and five kinds of service.

use std::num::NonZeroU32;
use std::time::Duration;

use portway_autoscale::sim::{Random, Service, Shape, Workload};

/// The kinds that constants were tuned on.
pub(crate) const TUNED: [&str; 7] = ["constant", "steps", "sine", "spikes", "on-off", "bursts", "drift"];
/// The kinds that were looked at only when everything was settled.
pub(crate) const HELD_BACK: [&str; 5] = ["low", "ramp", "flash-crowd", "random-on-off", "batch"];

/// The seeds that constants were tuned on.
pub(crate) const TUNING_SEEDS: std::ops::Range<u64> = 1..3;
/// The seeds of the final figures.
pub(crate) const FINAL_SEEDS: std::ops::Range<u64> = 101..103;

/// An hour of a kind of traffic around `erlangs` of load for a service; positions and heights depend on the seed.
pub(crate) fn workload(kind: &str, erlangs: f64, service: &Service, length: Duration, seed: u64) -> Workload {
    let mut random = Random::new(seed ^ 0x0DDB_A115);
    let rate = erlangs / service.mean.as_secs_f64();
    let secs = Duration::from_secs_f64;
    match kind {
        "constant" => Workload::constant(length, rate * random.between(0.6, 1.4)),
        "low" => Workload::constant(length, random.between(0.2, 2.0) / service.mean.as_secs_f64()),
        "steps" => levels(length, rate, &mut random),
        "ramp" => ramps(length, rate, &mut random),
        "sine" => {
            let (period, phase) = (random.between(480.0, 1_200.0), random.unit() * std::f64::consts::TAU);
            Workload::from_rate(length, |t| {
                rate * (1.0 + 0.8 * (std::f64::consts::TAU * t / period + phase).sin())
            })
        }
        "spikes" => spikes(length, rate, &mut random),
        "on-off" => {
            let (on, off) = (random.between(90.0, 200.0), random.between(90.0, 200.0));
            Workload::on_off(length, secs(on), secs(off), rate * 1.5)
        }
        "random-on-off" => random_on_off(length, rate, &mut random),
        "bursts" => Workload::bursts(length, secs(180.0), rate * 0.6, random.bits()),
        "flash-crowd" => flash_crowds(length, rate, &mut random),
        "batch" => {
            let (period, width) = (random.between(240.0, 420.0), random.between(25.0, 60.0));
            Workload::spikes(length, secs(period), secs(width), rate * 0.4, rate * 2.0)
        }
        "drift" => drift(length, rate, &mut random),
        other => panic!("no workload is called {other}"),
    }
}

/// Levels that hold for some minutes each.
fn levels(length: Duration, rate: f64, random: &mut Random) -> Workload {
    let (mut until, mut level) = (0.0, 1.0);
    Workload::from_rate(length, |t| {
        if t >= until {
            until = t + random.between(180.0, 600.0);
            level = random.between(0.2, 2.0);
        }
        rate * level
    })
}

/// Straight lines between levels, some steep and some gentle.
fn ramps(length: Duration, rate: f64, random: &mut Random) -> Workload {
    let (mut from, mut until, mut before, mut after) = (0.0, 0.0, 1.0, 1.0);
    Workload::from_rate(length, |t| {
        if t >= until {
            (from, until) = (t, t + random.between(60.0, 600.0));
            (before, after) = (after, random.between(0.2, 2.0));
        }
        rate * (before + (after - before) * (t - from) / (until - from))
    })
}

/// A base with spikes of three times as much, at no fixed time.
fn spikes(length: Duration, rate: f64, random: &mut Random) -> Workload {
    let (mut begin, mut end) = (random.exponential(200.0), 0.0);
    end += begin + random.between(20.0, 60.0);
    Workload::from_rate(length, |t| {
        if t >= end {
            begin = t + 30.0 + random.exponential(200.0);
            end = begin + random.between(20.0, 60.0);
        }
        if t >= begin { rate * 1.8 } else { rate * 0.6 }
    })
}

/// On and off for times that cannot be foreseen.
fn random_on_off(length: Duration, rate: f64, random: &mut Random) -> Workload {
    let (mut until, mut on) = (0.0, false);
    Workload::from_rate(length, |t| {
        if t >= until {
            on = !on;
            until = t + 20.0 + random.exponential(120.0);
        }
        if on { rate * 1.5 } else { 0.0 }
    })
}

/// Now and then a crowd of up to five times the usual, which comes within ten seconds and leaves over minutes.
fn flash_crowds(length: Duration, rate: f64, random: &mut Random) -> Workload {
    let (mut at, mut height, mut half_life) =
        (random.between(120.0, 900.0), random.between(2.0, 5.0), random.between(60.0, 180.0));
    Workload::from_rate(length, |t| {
        if t > at + 6.0 * half_life {
            at = t + random.exponential(600.0);
            (height, half_life) = (random.between(2.0, 5.0), random.between(60.0, 180.0));
        }
        let since = t - at;
        let rush = if since < 0.0 {
            0.0
        } else {
            (since / 10.0).min(1.0) * 0.5_f64.powf((since - 10.0).max(0.0) / half_life)
        };
        rate * 0.6 * (1.0 + (height - 1.0) * rush)
    })
}

/// A level that wanders (a geometric random walk pulled back to the middle).
fn drift(length: Duration, rate: f64, random: &mut Random) -> Workload {
    let mut level = 0.0_f64;
    Workload::from_rate(length, |_| {
        level += -level / 400.0 + 0.04 * random.normal();
        rate * level.exp()
    })
}

/// Five services, from short requests with a short patience to long ones with a long queue; with each, its usual load in erlangs.
pub(crate) fn services() -> [(&'static str, Service, f64); 5] {
    let ms = Duration::from_millis;
    let service = |shape, mean, startup, concurrent, max_wait, wait_slo| Service {
        shape,
        mean: ms(mean),
        startup: ms(startup),
        max_concurrent: NonZeroU32::new(concurrent).expect("a constant above zero"),
        max_wait: ms(max_wait),
        wait_slo: ms(wait_slo),
    };
    [
        ("short", service(Shape::Exponential, 100, 5_000, 1, 500, 200), 7.0),
        ("paired", service(Shape::Lognormal(1.5), 300, 10_000, 2, 500, 200), 14.0),
        ("queued", service(Shape::Exponential, 1_000, 10_000, 1, 30_000, 500), 10.0),
        ("batched", service(Shape::Constant, 2_000, 30_000, 4, 30_000, 1_000), 30.0),
        ("slow-start", service(Shape::Lognormal(0.5), 500, 30_000, 4, 500, 200), 20.0),
    ]
}
