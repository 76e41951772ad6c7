//! The cost of a scaling decision in `portway-autoscale`.
//!
//! - `decision`: one sample in, one decision out, for a service of 14 busy slots with a memory of half an hour, by preset. Floor: the
//!   closed formula alone, in integers. Bar: below 2 µs.
//! - `tick`: the same for 10 000 services of different load in a row, as a control loop with many services has it; caches do not
//!   hold them. Bar: below 25 ms.
//! - `erlang`: the floor by Erlang C, by load. Floor: the square-root rule.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use portway_autoscale::erlang::{servers_for, square_root_staffing};
use portway_autoscale::{
    Autoscaler, Bounds, Demand, FleetState, Policy, Preset, Sample, Scaler, Traffic, decide, replicas_for,
};

/// A second of a service that swings: enough to keep every part of the estimate at work.
fn second(number: u64, load: u64) -> Sample {
    let arrivals =
        load * 10 + (number * 7_919 + load) % (load * 4 + 1) + if number % 300 < 60 { load * 10 } else { 0 };
    let in_flight = arrivals as f64 * 0.1;
    let service_seconds = in_flight;
    let traffic = Traffic {
        arrivals,
        completions: arrivals,
        service_seconds,
        in_flight,
        busy: in_flight,
        ..Traffic::default()
    };
    let startup = Some(Duration::from_secs(10));
    Sample { traffic, fleet: FleetState { startup, ..FleetState::settled(load as u32 * 2) } }
}

/// A service with half an hour behind it, and its clock.
fn warm(preset: Preset, load: u64) -> (Autoscaler, u64) {
    let mut scaler = Autoscaler::new(Policy::preset(preset), Duration::ZERO, 1);
    for number in 1..1_800 {
        let _ = scaler.want(Duration::from_secs(number), &second(number, load));
    }
    (scaler, 1_800)
}

fn decision(c: &mut Criterion) {
    let mut group = c.benchmark_group("decision");
    let demand = Demand::new(140, Duration::from_millis(100));
    group.bench_function("floor: formula", |b| b.iter(|| replicas_for(black_box(&demand))));
    for preset in Preset::ALL {
        let (mut scaler, mut now) = warm(preset, 14);
        group.bench_function(preset.as_str(), |b| {
            b.iter(|| {
                now += 1;
                let sample = second(now, 14);
                let want = scaler.want(Duration::from_secs(now), &sample);
                decide(sample.fleet.desired, want, Bounds::new(1, 200))
            });
        });
    }
    group.finish();
}

fn tick(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let mut services: Vec<Autoscaler> = Vec::new();
    for load in 1..=100 {
        let (scaler, _) = warm(Preset::Default, load);
        services.extend(std::iter::repeat_n(scaler, 100));
    }
    let mut now = 1_800;
    group.bench_function("10000 services", |b| {
        b.iter(|| {
            now += 1;
            let samples = (1..=100).map(|load| second(now, load));
            let each = samples.flat_map(|sample| std::iter::repeat_n(sample, 100));
            let wants = services
                .iter_mut()
                .zip(each)
                .map(|(scaler, sample)| scaler.want(Duration::from_secs(now), &sample));
            wants.flatten().map(u64::from).sum::<u64>()
        });
    });
    group.finish();
}

fn erlang(c: &mut Criterion) {
    let mut group = c.benchmark_group("erlang");
    group.bench_function("floor: square root", |b| b.iter(|| square_root_staffing(black_box(100.0), 2.375)));
    for load in [1.0, 14.0, 100.0, 1_000.0] {
        group.bench_with_input(BenchmarkId::new("servers_for", load), &load, |b, &load| {
            b.iter_batched(
                || load,
                |load| servers_for(black_box(load), 1.0, 0.2, 0.01),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decision, tick, erlang);
criterion_main!(benches);
