//! A scaling policy behind a pipe: one JSON line in per simulated second, one out, for comparing policies in any simulator.
//!
//! `cargo run --example autoscale_policy -- --preset slo` (documented, default, adaptive or slo; default if none is named)
//!
//! In: `{"t": 1, "dt": 1, "ready": 2, "starting": 0, "desired": 2, "arrivals": 40, "completions": 38, "mean_service": 0.1, …}`. Out:
//! `{"desired": 7}`, ready and starting ones wanted. Unknown fields are ignored; a line that is no JSON holds what was desired last.

use std::io::{BufRead, Write};
use std::time::Duration;

use lexopt::prelude::*;
use portway_autoscale::{
    Autoscaler, Bounds, FleetState, Policy, Preset, Sample, Scaler, Target, Traffic, decide,
};
use serde_json::Value as Json;

fn main() -> anyhow::Result<()> {
    let (mut preset, mut arguments) = (Preset::Default, lexopt::Parser::from_env());
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("preset") => preset = arguments.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let (mut scaler, mut desired): (Option<Autoscaler>, u32) = (None, 1);
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().split(b'\n') {
        let line: Json = serde_json::from_slice(&line?).unwrap_or_default();
        desired = whole(&line, "desired").map_or(desired, |desired| desired as u32);
        let now = seconds(&line, "t").unwrap_or_default();
        let known = scaler.as_ref().map_or_else(|| Policy::preset(preset), |scaler| scaler.policy().clone());
        let policy = policy(&line, known);
        let start = now.saturating_sub(seconds(&line, "dt").unwrap_or(Duration::from_secs(1)));
        // A promise that changes on the way changes the policy and leaves the memory.
        let this = match scaler.take() {
            Some(known) if *known.policy() == policy => known,
            Some(known) => Autoscaler::resume(policy, start, desired, &known.save()),
            None => Autoscaler::new(policy, start, desired),
        };
        let want = scaler.insert(this).want(now, &sample(&line, desired));
        let capacity = whole(&line, "capacity").map(|room| room as u32);
        let bound = |key, other| whole(&line, key).map_or(other, |bound| bound as u32);
        desired =
            decide(desired, want, Bounds { min: bound("min", 1), max: bound("max", u32::MAX), capacity })
                .target(desired);
        writeln!(out, "{{\"desired\": {desired}}}")?;
        out.flush()?;
    }
    Ok(())
}

/// The policy with what the line says about the service; what it leaves out stays.
fn policy(line: &Json, mut policy: Policy) -> Policy {
    let target = line["target"].as_f64().map(|target| if target > 1.0 { target / 100.0 } else { target });
    let target = target.and_then(|target| Target::try_from((target * 10_000.0).round() as u16).ok());
    policy.target = target.unwrap_or(policy.target);
    let concurrency = whole(line, "concurrency").and_then(|slots| u32::try_from(slots).ok()?.try_into().ok());
    policy.max_concurrent = concurrency.unwrap_or(policy.max_concurrent);
    policy.max_wait = seconds(line, "max_wait").unwrap_or(policy.max_wait);
    policy.wait_slo = seconds(line, "wait_slo").unwrap_or(policy.wait_slo);
    policy
}

fn sample(line: &Json, desired: u32) -> Sample {
    let number =
        |key: &str, otherwise: &str| line[key].as_f64().or_else(|| line[otherwise].as_f64()).unwrap_or(0.0);
    let count = |key| whole(line, key).unwrap_or(0);
    let completions = count("completions");
    let traffic = Traffic {
        arrivals: count("arrivals"),
        completions,
        rejected: count("rejected"),
        service_seconds: number("mean_service", "") * completions as f64,
        service_seconds_squared: number("mean_service_sq", "") * completions as f64,
        busy: number("avg_busy", "busy"),
        in_flight: number("avg_inflight", "inflight"),
        queued: number("avg_queued", "queued"),
        waiting: count("queued"),
    };
    let replicas = |key| count(key) as u32;
    let (ready, starting, draining) = (replicas("ready"), replicas("starting"), replicas("draining"));
    Sample {
        traffic,
        fleet: FleetState { ready, starting, draining, desired, startup: seconds(line, "startup") },
    }
}

fn whole(line: &Json, key: &str) -> Option<u64> {
    line[key].as_u64().or_else(|| line[key].as_f64().map(|number| number.max(0.0) as u64))
}

fn seconds(line: &Json, key: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(line[key].as_f64()?).ok()
}
