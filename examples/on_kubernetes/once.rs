//! The script of `--once`. It waits for conditions, never for durations; the one limit only ends a run that is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use portway_backend::{Fleet as _, WorkloadId};

use crate::client::{Client, Load, Target};
use crate::house::House;
use crate::inside;
use crate::iris::flowers;
use crate::options::Options;

pub(crate) async fn check(house: &House, target: &Target, options: &Options) -> anyhow::Result<()> {
    println!();
    both_answer(target).await?;
    exact_split(target).await?;
    a_killed_pod(house, target, options).await?;
    println!("\nall of it held");
    Ok(())
}

async fn both_answer(target: &Target) -> anyhow::Result<()> {
    let (mut client, mut said) = (Client::new(target.clone()), Vec::new());
    for version in ["stable", "canary"] {
        let answer = client.score(flowers()[0].body(), Some(version)).await?;
        let answered = answer.version.as_deref();
        ensure!(
            answer.status == 200 && answered == Some(version),
            "{version}: {} from {answered:?}",
            answer.status
        );
        said.extend(answer.species());
    }
    let said = if said.is_empty() { String::new() } else { format!(", of a setosa: {}", said.join(", ")) };
    held(&format!("both versions answer{said}"));
    Ok(())
}

/// 100 requests that choose no version: 90 and 10, within two.
async fn exact_split(target: &Target) -> anyhow::Result<()> {
    let (mut client, mut seen) = (Client::new(target.clone()), BTreeMap::<String, i32>::new());
    for flower in flowers().iter().take(100) {
        let answer = client.score(flower.body(), None).await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        *seen.entry(answer.version.context("the answer names no version")?).or_default() += 1;
    }
    let canary = seen.get("canary").copied().unwrap_or_default();
    ensure!((canary - 10).abs() <= 2, "{seen:?} of 100 requests, due were 90 and 10");
    held(&format!("the split of 100 requests is exact: canary {canary} (due 10)"));
    Ok(())
}

/// A pod is deleted without grace while requests run: nobody sees it, and another one takes its place.
async fn a_killed_pod(house: &House, target: &Target, options: &Options) -> anyhow::Result<()> {
    let id = WorkloadId::new(options.service.clone(), "stable".parse()?);
    let mut status = house.backend.watch(&id).await?;
    let before = status.borrow_and_update().clone();
    let victim = before.replicas.first().context("stable has no replica")?.id.clone();
    let load = Load::start(target, 4, Duration::ZERO);
    waiting("requests before the kill", async || load.tally().answered > 50).await?;

    let pods = Api::<Pod>::namespaced(inside::client(options).await?, &options.cluster.namespace);
    pods.delete(victim.as_str(), &DeleteParams::default().grace_period(0)).await?;

    let replaced = status.wait_for(|status| {
        status.ready() == options.replicas.get() && status.replicas.iter().all(|replica| replica.id != victim)
    });
    tokio::time::timeout(LOST, replaced).await.context("no other pod took its place")??;
    let after = load.tally().answered;
    waiting("requests after the kill", async || load.tally().answered > after + 50).await?;
    let tally = load.stop().await;
    if let Some(first) = &tally.first_failure {
        bail!(
            "{} of {} requests failed while a pod was killed; the first: {first}",
            tally.failures,
            tally.answered
        );
    }
    held(&format!("a pod was killed and none of {} requests failed; another took its place", tally.answered));
    Ok(())
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
