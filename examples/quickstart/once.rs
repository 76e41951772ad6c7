//! The script of `--once`. It waits for conditions, never for durations; the one limit only ends a run that is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use portway_deployer::Tags;
use portway_gateway::VersionSnapshot;

use crate::client::{Client, Load, Tally, Target};
use crate::house::{House, SHORTENED_HOLD};
use crate::iris::flowers;
use crate::options::Options;
use crate::{source, version, watch};

pub(crate) async fn check(house: &House, target: &Target, options: &Options) -> anyhow::Result<()> {
    println!();
    for version in ["softmax", "bayes"] {
        every_flower(target, version).await?;
    }
    exact_split(house, target).await?;
    wrong_key(target).await?;
    burst_and_kill(house, target).await?;
    new_default_under_traffic(house, target, options).await?;
    println!("\nall of it held");
    Ok(())
}

/// All 150 rows scored by one version, more than 90 % of them right.
async fn every_flower(target: &Target, version: &str) -> anyhow::Result<()> {
    let (mut client, flowers) = (Client::new(target.clone()), flowers());
    let mut right = 0;
    for flower in &flowers {
        let answer = client.score(flower.body(), Some(version)).await?;
        let answered = answer.version.as_deref();
        ensure!(
            answer.status == 200 && answered == Some(version),
            "{version}: {} from {answered:?}",
            answer.status
        );
        right += usize::from(answer.species().as_ref() == Some(&flower.species));
    }
    ensure!(flowers.len() == 150 && right * 10 > flowers.len() * 9, "{version} is right about {right} only");
    held(&format!("{version} scored all {} flowers and is right about {right}", flowers.len()));
    Ok(())
}

/// Every version got its share of the requests that chose none, within two requests.
async fn exact_split(house: &House, target: &Target) -> anyhow::Result<()> {
    let (mut client, mut seen) = (Client::new(target.clone()), BTreeMap::<String, f64>::new());
    let flowers = flowers();
    for flower in &flowers {
        let answer = client.score(flower.body(), None).await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        *seen.entry(answer.version.context("the answer names no version")?).or_default() += 1.0;
    }
    let snapshot = house.gateway.snapshot();
    let versions = snapshot.endpoints.iter().flat_map(|endpoint| &endpoint.versions);
    let mut words = Vec::new();
    for VersionSnapshot { name, share_percent, .. } in versions {
        let (got, due) =
            (seen.get(name).copied().unwrap_or_default(), share_percent / 100.0 * flowers.len() as f64);
        ensure!((got - due).abs() <= 2.0, "{name} got {got} requests of {}, due were {due}", flowers.len());
        words.push(format!("{name} {got} (due {due})"));
    }
    held(&format!("the split of {} requests is exact: {}", flowers.len(), words.join(", ")));
    Ok(())
}

async fn wrong_key(target: &Target) -> anyhow::Result<()> {
    let mut client = Client::new(Target { key: "not-the-key".into(), ..target.clone() });
    let answer = client.score(flowers()[0].body(), None).await?;
    ensure!(answer.status == 401, "a wrong key is answered {}", answer.status);
    held("a wrong key is answered 401");
    Ok(())
}

/// A burst scales one replica to four; one of them is killed while all are busy; when the burst is over, one stays.
async fn burst_and_kill(house: &House, target: &Target) -> anyhow::Result<()> {
    until(house, "softmax", "one replica", |seen| seen.ready == 1 && seen.wanted == 1).await?;
    let load = Load::start(target, 12, Duration::ZERO);
    until(house, "softmax", "four replicas", |seen| seen.ready == 4).await?;
    held("a burst of 12 clients scaled softmax from 1 replica to 4");

    let process = a_process_of(target, "softmax").await?;
    until(house, "softmax", "all busy, and more waiting", |seen| seen.busy == seen.ready && seen.queued > 0)
        .await?;
    kill(process)?;
    let before = load.tally().answered;
    until(house, "softmax", "four replicas again", |seen| seen.ready == 4).await?;
    let tally = no_failure(load.stop().await, "a replica was killed")?;
    ensure!(tally.answered > before, "nothing was answered after the kill");
    held(&format!("a busy replica was killed (-9) and none of {} requests failed", tally.answered));

    until(house, "softmax", "one replica again", |seen| seen.ready == 1 && seen.wanted == 1).await?;
    let hold = SHORTENED_HOLD.as_secs();
    held(&format!(
        "the burst over, softmax went back to 1 replica (after {hold} s here; the default is 60 s)"
    ));
    Ok(())
}

/// A third version is added and made default while traffic runs.
async fn new_default_under_traffic(house: &House, target: &Target, options: &Options) -> anyhow::Result<()> {
    let load = Load::start(target, 2, Duration::ZERO);
    println!("\nadding version next and making it the default, under traffic");
    let tags = Tags { default: true, control: false };
    let source = source(options, "softmax", "score.py");
    let service = "iris".parse()?;
    watch(&house.deployer.create_version(&service, version("next", 0)?, tags, source).await?).await?;
    waiting("answers of the new default", async || {
        load.tally().by_version.get("next").is_some_and(|n| *n > 20)
    })
    .await?;
    let tally = no_failure(load.stop().await, "the default changed")?;
    held(&format!("a version was added and made default, and none of {} requests failed", tally.answered));
    Ok(())
}

fn no_failure(tally: Tally, while_what: &str) -> anyhow::Result<Tally> {
    if let Some(first) = &tally.first_failure {
        bail!(
            "{} of {} requests failed while {while_what}; the first: {first}",
            tally.failures,
            tally.answered
        );
    }
    Ok(tally)
}

async fn a_process_of(target: &Target, version: &str) -> anyhow::Result<u64> {
    let answer = Client::new(target.clone()).score(flowers()[0].body(), Some(version)).await?;
    answer.process().context("the answer names no process")
}

/// `kill` is built into every shell; a program of that name is not everywhere.
fn kill(process: u64) -> anyhow::Result<()> {
    let status = std::process::Command::new("sh").args(["-c", &format!("kill -9 {process}")]).status()?;
    ensure!(status.success(), "process {process} could not be killed");
    Ok(())
}

async fn until(
    house: &House,
    version: &str,
    what: &str,
    condition: impl Fn(&VersionSnapshot) -> bool,
) -> anyhow::Result<()> {
    let seen = async || house.gateway.snapshot().version("iris", version).is_some_and(&condition);
    waiting(what, seen)
        .await
        .with_context(|| format!("{:?}", house.gateway.snapshot().version("iris", version)))
}

async fn waiting(what: &str, condition: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(LOST, poll).await.with_context(|| format!("waited for {what} in vain"))
}

fn held(what: &str) {
    println!("✓ {what}");
}

const POLL: Duration = Duration::from_millis(20);
const LOST: Duration = Duration::from_secs(120);
