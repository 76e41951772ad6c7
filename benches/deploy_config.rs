//! Checking documents and fitting replicas onto nodes.
//!
//! `document/check`: parse and check a full `deploymentconfig.json`, every field given and right. To beat: 20 µs.
//! `document/serde_json`: the floor, serde_json reading the same text into a value tree without looking at it.
//! `document/faulty_rendered`: the same document with seven faults, checked and printed with its lines. To beat: 100 µs.
//! `capacity/1000_nodes_10000_pods`: first fit of 10 000 pods of 20 sizes on 1000 nodes, each with a load of its own.
//! `capacity/10000_sizes`: the same with every pod a size of its own. Interactive means well under 100 ms.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portway_deploy_config::{Amounts, Capacity, Demand, DeploymentConfig, MemoryMib, Millicores, Node};

const FULL: &str = r#"{
  "computeType": "aks",
  "autoScaler": {
    "autoscaleEnabled": true, "minReplicas": 1, "maxReplicas": 4, "refreshPeriodInSeconds": 1, "targetUtilization": 70
  },
  "dataCollection": {"storageEnabled": true},
  "authEnabled": true,
  "tokenAuthEnabled": false,
  "containerResourceRequirements": {"cpu": 0.5, "cpuLimit": 1, "memoryInGB": 1.0, "memoryInGBLimit": 2.5},
  "gpuCores": 0,
  "appInsightsEnabled": true,
  "scoringTimeoutMs": 60000,
  "maxConcurrentRequestsPerContainer": 2,
  "maxQueueWaitMs": 500,
  "namespace": "models",
  "keys": {"primaryKey": "first", "secondaryKey": "second"},
  "livenessProbeRequirements": {
    "periodSeconds": 10, "initialDelaySeconds": 310, "timeoutSeconds": 2, "successThreshold": 1, "failureThreshold": 3
  },
  "computeTargetName": "cluster"
}"#;

fn documents(c: &mut Criterion) {
    let mut group = c.benchmark_group("document");
    group.throughput(Throughput::Elements(1));
    assert!(DeploymentConfig::from_json(FULL).report().is_empty());
    group.bench_function("check", |b| b.iter(|| DeploymentConfig::from_json(black_box(FULL))));
    group.bench_function("serde_json", |b| {
        b.iter(|| serde_json::from_str::<serde_json::Value>(black_box(FULL)));
    });
    let faulty = FULL
        .replace("\"minReplicas\": 1", "\"minReplicas\": 5")
        .replace("\"cpuLimit\": 1", "\"cpuLimit\": 0.25")
        .replace("\"memoryInGB\": 1.0", "\"memoryInGB\": 0")
        .replace("\"tokenAuthEnabled\": false", "\"tokenAuthEnabled\": true")
        .replace("\"gpuCores\": 0", "\"gpuCores\": 0.5")
        .replace("\"namespace\": \"models\"", "\"namespace\": \"Models\"")
        .replace("\"maxQueueWaitMs\"", "\"maxQueueWaitMsec\"");
    assert_eq!(DeploymentConfig::from_json(&faulty).report().len(), 7);
    group.bench_function("faulty_rendered", |b| {
        b.iter(|| {
            DeploymentConfig::from_json(black_box(&faulty)).report().render("deploymentconfig.json", &faulty)
        });
    });
    group.finish();
}

fn cluster() -> Capacity {
    let node = |index: u32| Node {
        name: format!("node-{index}"),
        allocatable: Amounts::new(Millicores(31_580), MemoryMib(120_000)).with_gpu(index % 4),
        max_pods: 110,
        used: Amounts::new(Millicores(500 + index % 7 * 900), MemoryMib(1000 + index % 11 * 2000)),
        used_pods: 9 + index % 5,
        ..Node::default()
    };
    Capacity::new((0..1000).map(node).collect())
}

fn demand(index: u32, replicas: u32) -> Demand {
    Demand {
        name: format!("service-{index}"),
        request: Amounts::new(Millicores(500 + index % 97 * 20), MemoryMib(1024 + index % 89 * 70)),
        overhead: Amounts::replica_overhead(),
        replicas,
        ..Demand::default()
    }
}

fn capacity(c: &mut Criterion) {
    let mut group = c.benchmark_group("capacity");
    group.sample_size(20);
    let cluster = cluster();
    let sizes: Vec<_> = (0..20).map(|index| demand(index * 5, 500)).collect();
    group.bench_function("1000_nodes_10000_pods", |b| b.iter(|| cluster.fit(black_box(&sizes))));
    let pods: Vec<_> = (0..10_000).map(|index| demand(index, 1)).collect();
    group.bench_function("10000_sizes", |b| b.iter(|| cluster.fit(black_box(&pods))));
    group.finish();
}

criterion_group!(benches, documents, capacity);
criterion_main!(benches);
