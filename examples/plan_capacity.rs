//! What would my configuration do? Simulates a deployment configuration under a workload, all presets side by side.
//!
//! `cargo run --example plan_capacity -- --config deploymentconfig.json --workload trace.csv --service-ms 300 --startup-s 20 --svg plan.svg`
//!
//! Everything is optional. A workload is a CSV file (`requests` or `second,requests`, one line a second) or one of: constant, step,
//! ramp, sine, spikes, on-off, flash-crowd, bursts, at `--rate` requests per second for `--minutes`. `--cluster` is the number of replicas
//! that the cluster can hold. Prints requests started in time, cost, and moves; draws load, replicas, queue and refusals as SVG.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;
use lexopt::prelude::*;
use portway_autoscale::sim::{
    Outcome, Scenario, Second, Service, Shape, Workload, clairvoyant_seconds, simulate,
};
use portway_autoscale::{Autoscaler, Bounds, Fixed, Policy, Preset, Scaler, Target};
use portway_deploy_config::{DeploymentConfig, Replicas, ServiceSpec};

const SAMPLE: &str = r#"{"computeType": "aks", "autoScaler": {"autoscaleEnabled": true, "minReplicas": 1, "maxReplicas": 20}}"#;

struct Plan {
    config: String,
    workload: String,
    rate: f64,
    minutes: u64,
    service_ms: u64,
    startup_s: u64,
    cluster: Option<u32>,
    seed: u64,
    svg: std::path::PathBuf,
}

fn main() -> anyhow::Result<()> {
    let plan = arguments()?;
    let config = DeploymentConfig::from_json(&plan.config)
        .into_result()
        .map_err(|report| anyhow::anyhow!("{report}"))?;
    let (spec, workload) = (config.spec(), plan.workload()?);
    let scenario = plan.scenario(spec);
    let ideal = clairvoyant_seconds(&scenario, &workload);
    println!(
        "{:12} {:>9} {:>9} {:>14} {:>12} {:>7}",
        "policy", "in time", "refused", "replica hours", "cost factor", "moves"
    );
    let mut outcomes = Vec::new();
    for (name, mut scaler) in contenders(spec, &scenario)? {
        let outcome = simulate(&scenario, &workload, &mut *scaler);
        let (hours, factor) = (outcome.replica_seconds / 3_600.0, outcome.replica_seconds / ideal);
        let (in_time, refused) = (outcome.in_time() * 100.0, outcome.refused_share() * 100.0);
        println!(
            "{name:12} {in_time:8.2}% {refused:8.2}% {hours:14.2} {factor:12.2} {:7}",
            outcome.raises + outcome.cuts
        );
        if outcome.capacity_bound > 0 {
            println!("{:12} held back by the cluster's size in {} decisions", "", outcome.capacity_bound);
        }
        outcomes.push((name, outcome));
    }
    println!("cost factor: replica time over that of a provisioner who knows every request beforehand");
    std::fs::write(&plan.svg, draw(&outcomes)).with_context(|| format!("writing {}", plan.svg.display()))?;
    println!("drawn to {}", plan.svg.display());
    Ok(())
}

/// The presets for an autoscaled service; the fixed number for one that is not.
fn contenders(
    spec: &ServiceSpec,
    scenario: &Scenario,
) -> anyhow::Result<Vec<(&'static str, Box<dyn Scaler>)>> {
    let Replicas::Auto(auto) = &spec.replicas else {
        return Ok(vec![("fixed", Box::new(Fixed(spec.replicas.initial())))]);
    };
    let target = Target::percent(auto.target_percent().into())?;
    let policy = |preset| Policy {
        target,
        max_concurrent: spec.max_concurrent,
        max_wait: scenario.service.max_wait,
        wait_slo: scenario.service.wait_slo,
        ..Policy::preset(preset)
    };
    let scaler = |preset| Box::new(Autoscaler::new(policy(preset), Duration::ZERO, scenario.initial));
    Ok(Preset::ALL.map(|preset| (preset.as_str(), scaler(preset) as Box<dyn Scaler>)).into())
}

impl Plan {
    fn scenario(&self, spec: &ServiceSpec) -> Scenario {
        let (bounds, refresh) = match &spec.replicas {
            Replicas::Auto(auto) => (Bounds::new(auto.min(), auto.max()), auto.refresh()),
            Replicas::Fixed(count) => (Bounds::new(count.get(), count.get()), Duration::from_secs(1)),
        };
        let service = Service {
            shape: Shape::Lognormal(0.5),
            mean: Duration::from_millis(self.service_ms),
            startup: Duration::from_secs(self.startup_s),
            max_concurrent: spec.max_concurrent,
            max_wait: spec.max_queue_wait.unwrap_or(Duration::from_millis(500)),
            ..Service::default()
        };
        let bounds = Bounds { capacity: self.cluster, ..bounds };
        Scenario {
            bounds,
            initial: spec.replicas.initial(),
            refresh,
            seed: self.seed,
            ..Scenario::new(service)
        }
    }

    fn workload(&self) -> anyhow::Result<Workload> {
        let (length, rate, secs) = (Duration::from_secs(self.minutes * 60), self.rate, Duration::from_secs);
        Ok(match self.workload.as_str() {
            "constant" => Workload::constant(length, rate),
            "step" => Workload::step(length, length / 3, rate * 0.3, rate),
            "ramp" => Workload::ramp(length, length / 4, length / 2, rate * 0.2, rate),
            "sine" => Workload::sine(length, length / 4, rate * 0.6, rate * 0.4),
            "spikes" => Workload::spikes(length, secs(240), secs(40), rate * 0.3, rate),
            "on-off" => Workload::on_off(length, secs(120), secs(150), rate),
            "flash-crowd" => Workload::flash_crowd(length, length / 4, secs(120), rate * 0.2, rate),
            "bursts" => Workload::bursts(length, secs(180), rate * 0.4, self.seed),
            file => Workload::from_csv(
                &std::fs::read_to_string(file).with_context(|| format!("reading {file}"))?,
            )?,
        })
    }
}

fn arguments() -> anyhow::Result<Plan> {
    let svg = std::env::temp_dir().join("plan_capacity.svg");
    let (config, workload) = (SAMPLE.to_owned(), "flash-crowd".to_owned());
    let mut plan = Plan {
        config,
        workload,
        rate: 30.0,
        minutes: 30,
        service_ms: 250,
        startup_s: 15,
        cluster: None,
        seed: 1,
        svg,
    };
    let mut given = lexopt::Parser::from_env();
    while let Some(argument) = given.next()? {
        match argument {
            Long("config") => {
                plan.config = std::fs::read_to_string(given.value()?).context("reading the configuration")?
            }
            Long("workload") => plan.workload = given.value()?.string()?,
            Long("rate") => plan.rate = given.value()?.parse()?,
            Long("minutes") => plan.minutes = given.value()?.parse()?,
            Long("service-ms") => plan.service_ms = given.value()?.parse()?,
            Long("startup-s") => plan.startup_s = given.value()?.parse()?,
            Long("cluster") => plan.cluster = Some(given.value()?.parse()?),
            Long("seed") => plan.seed = given.value()?.parse()?,
            Long("svg") => plan.svg = given.value()?.into(),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(plan)
}

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 90.0;
/// A figure to draw, and how a simulated second shows it.
type Panel = (&'static str, fn(&Second) -> f64);

const PANELS: [Panel; 4] = [
    ("requests/s", |second| second.arrivals as f64),
    ("replicas ready", |second| f64::from(second.ready)),
    ("requests waiting", |second| second.waiting as f64),
    ("refused/s", |second| second.refused as f64),
];

/// A column for each policy, a row for each figure, the rows on one scale so that columns compare.
fn draw(outcomes: &[(&str, Outcome)]) -> String {
    let (columns, rows) = (outcomes.len() as f64, PANELS.len() as f64);
    let (width, height) = (columns * (WIDTH + 20.0) + 20.0, rows * (HEIGHT + 30.0) + 40.0);
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">"#
    );
    svg += r#"<rect width="100%" height="100%" fill="white"/>"#;
    for (row, (label, of)) in PANELS.into_iter().enumerate() {
        let all = outcomes.iter().flat_map(|(_, outcome)| &outcome.seconds).map(of);
        let top = all.fold(1.0, f64::max);
        for (column, (name, outcome)) in outcomes.iter().enumerate() {
            let (x, y) = (20.0 + column as f64 * (WIDTH + 20.0), 40.0 + row as f64 * (HEIGHT + 30.0));
            let points = line(outcome.seconds.iter().map(of), top);
            let _ = write!(
                svg,
                r##"<g transform="translate({x},{y})"><rect width="{WIDTH}" height="{HEIGHT}" fill="#f6f6f6"/><text y="-6">{name}: {label}, up to {top}</text><polyline points="{points}" fill="none" stroke="#1f6fb2"/></g>"##
            );
        }
    }
    svg + "</svg>\n"
}

/// The peaks of at most one stretch of time a pixel, so that a short peak stays visible.
fn line(values: impl Iterator<Item = f64>, top: f64) -> String {
    let values: Vec<f64> = values.collect();
    let stretch = values.len().div_ceil(WIDTH as usize).max(1);
    let mut points = String::new();
    for (index, chunk) in values.chunks(stretch).enumerate() {
        let peak = chunk.iter().copied().fold(0.0, f64::max);
        let (x, y) =
            (index as f64 * stretch as f64 / values.len() as f64 * WIDTH, HEIGHT * (1.0 - peak / top));
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    points
}
