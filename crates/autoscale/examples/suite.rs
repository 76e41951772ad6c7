//! Prints the tables of `RESULTS.md`: our presets and the peers' rules on the same simulated traffic, tuned and held back apart.
//! `cargo run --release -p portway-autoscale --features sim --example suite`

#[path = "../tests/suite/mod.rs"]
mod suite;

use std::time::Duration;

use portway_autoscale::Preset;
use suite::{Case, Contender, Row, cases, mean, play, shapes, worst_tenth};

const HOUR: Duration = Duration::from_secs(3_600);
const TARGETS: [u16; 5] = [50, 60, 70, 80, 90];

fn main() {
    let tuned = cases(&shapes::TUNED, shapes::TUNING_SEEDS, HOUR);
    if std::env::args().any(|argument| argument == "--tuned") {
        block("Tuned: 7 kinds, seeds of the tuning", &tuned);
        return by_kind(&tuned);
    }
    let kinds = [&shapes::TUNED[..], &shapes::HELD_BACK].concat();
    println!(
        "# Results\n\nPrinted by `cargo run --release -p portway-autoscale --features sim --example suite`.\n"
    );
    println!("{}\n", HOW_TO_READ);
    block("Tuned: 7 kinds, seeds of the tuning", &tuned);
    block("Held back: all 12 kinds, final seeds", &cases(&kinds, shapes::FINAL_SEEDS, HOUR));
    table("Of these, the 5 kinds never tuned on", &cases(&shapes::HELD_BACK, shapes::FINAL_SEEDS, HOUR));
}

const HOW_TO_READ: &str = "\
Each line is a mean over kinds of workload × 5 services × seeds, one simulated hour each, every case counting the same. *In time*: requests
that started within the promised wait. *Worst tenth*: the same over the worst tenth of the cases. *Cost*: paid replica-seconds over
those of a provisioner who knows every request beforehand. *Raises after cuts*: raises within a minute of a cut, per hour. In brackets:
against Knative's defaults in the same run, with 95 % intervals of the paired difference in points.";

fn block(title: &str, cases: &[Case]) {
    table(title, cases);
    front(cases);
}

fn contenders() -> Vec<Contender> {
    Contender::PEERS.into_iter().chain(Preset::ALL.map(Contender::Ours)).collect()
}

fn table(title: &str, cases: &[Case]) {
    println!("## {title} ({} cases)\n", cases.len());
    println!(
        "| policy, target 70 % | in time % | worst tenth % | refused % | cost | actions/h | raises after cuts/h |"
    );
    println!("|---|---|---|---|---|---|---|");
    let knative = play(cases, |scenario| Contender::Knative.scaler(70, scenario));
    for contender in contenders() {
        let rows = play(cases, |scenario| contender.scaler(70, scenario));
        println!("{}", line(contender, &rows, &knative));
    }
    println!();
}

fn line(contender: Contender, rows: &[Row], knative: &[Row]) -> String {
    let (this, base) = (mean(rows), mean(knative));
    let differences: Vec<f64> =
        rows.iter().zip(knative).map(|(one, two)| one.in_time - two.in_time).collect();
    let (middle, count) = (this.in_time - base.in_time, differences.len() as f64);
    let variance =
        differences.iter().map(|difference| (difference - middle).powi(2)).sum::<f64>() / (count - 1.0);
    let half = 1.96 * (variance / count).sqrt();
    format!(
        "| {} | {:.2} ({middle:+.2}, {:+.2}..{:+.2}) | {:.1} | {:.2} | {:.3} ({:.3} ×) | {:.0} | {:.2} ({:.3} ×) |",
        contender.name(),
        this.in_time,
        middle - half,
        middle + half,
        worst_tenth(rows),
        this.refused,
        this.cost,
        this.cost / base.cost,
        this.actions_per_hour,
        this.raises_after_cuts,
        this.raises_after_cuts / base.raises_after_cuts,
    )
}

/// In time, cost and raises after cuts of each contender by kind and service.
fn by_kind(cases: &[Case]) {
    let all = contenders()
        .into_iter()
        .map(|contender| (contender, play(cases, |scenario| contender.scaler(70, scenario))));
    for (contender, rows) in all {
        println!("{}", contender.name());
        for kind in shapes::TUNED {
            let cell = |service: &str| {
                let these =
                    cases.iter().zip(&rows).filter(|(case, _)| case.kind == kind && case.service == service);
                let row = mean(&these.map(|(_, row)| *row).collect::<Vec<_>>());
                format!("{:6.2} {:4.2} {:5.1}", row.in_time, row.cost, row.raises_after_cuts)
            };
            println!("  {kind:10} {}", shapes::services().map(|(service, _, _)| cell(service)).join(" | "));
        }
    }
}

/// Whether some setting of ours is at least as good and as cheap as each setting of a peer.
fn front(cases: &[Case]) {
    let point =
        |contender: Contender, target| mean(&play(cases, |scenario| contender.scaler(target, scenario)));
    let ours: Vec<(Preset, u16, Row)> = Preset::ALL
        .into_iter()
        .flat_map(|preset| TARGETS.map(|target| (preset, target)))
        .map(|(preset, target)| (preset, target, point(Contender::Ours(preset), target)))
        .collect();
    println!(
        "Targets swept from 50 to 90 %: each point of a peer, and the cheapest of ours that answers at least as many in time.\n"
    );
    println!("| peer | target | in time % | cost | ours | in time % | cost |\n|---|---|---|---|---|---|---|");
    let mut outside = 0;
    for (peer, target) in Contender::PEERS.into_iter().flat_map(|peer| TARGETS.map(|target| (peer, target))) {
        let theirs = point(peer, target);
        let as_good = ours.iter().filter(|(_, _, row)| row.in_time >= theirs.in_time);
        let best = as_good.min_by(|one, two| one.2.cost.total_cmp(&two.2.cost));
        outside += u32::from(best.is_none_or(|best| best.2.cost > theirs.cost));
        let answer = best.map_or_else(
            || "none | | |".to_owned(),
            |(preset, target, row)| format!("{preset} {target} | {:.2} | {:.3} |", row.in_time, row.cost),
        );
        println!("| {} | {target} | {:.2} | {:.3} | {answer}", peer.name(), theirs.in_time, theirs.cost);
    }
    println!(
        "\n{outside} of {} points of the peers lie outside the front of the presets.\n",
        8 * TARGETS.len()
    );
}
