//! A real API server takes every object that is made for it.

use kube::ResourceExt as _;
use kube::api::{DynamicObject, Patch, PatchParams};
use portway_backend::{EntryStyle, Workload};
use portway_deploy_config::{MemoryMib, Millicores};
use portway_k8s_backend::manifest::{Gateway, Manifests, Reach, Salt, Setting, Surge};
use portway_k8s_backend::rbac::{Features, Role};
use portway_k8s_backend::{K8sBackend, Options, Toleration};
use serde_json::Value;

use crate::apply::workload;
use crate::rbac::api_of;
use crate::site::{Site, without_pods};

/// An apply refuses fields that the server does not know, so a dry run is enough.
async fn is_taken(site: &Site, list: &str) {
    let list: Value = serde_json::from_str(list).unwrap();
    let objects: Vec<DynamicObject> = serde_json::from_value(list["items"].clone()).unwrap();
    for object in objects {
        let params = PatchParams { dry_run: true, ..PatchParams::apply("test") };
        let taken = api_of(site, &object).patch(&object.name_any(), &params, &Patch::Apply(&object)).await;
        if let Err(error) = taken {
            panic!("{:?} {}: {error}", object.types, object.name_any());
        }
    }
}

fn all_options(site: &Site) -> Options {
    let mut options = site.options();
    options.pull_secrets.push("registry".to_owned());
    options.node_selector.insert("pool".to_owned(), "inference".to_owned());
    options.tolerations.push(Toleration::of("spot"));
    options.read_only_root = true;
    options.writable.push("/app/outputs".to_owned());
    options.run_as_user = Some(1000);
    options
}

fn everything(site: &Site) -> Workload {
    let mut workload = workload(site, "iris");
    workload.program.script = Some("score.py".to_owned());
    workload.program.style = EntryStyle::InitRun;
    workload.resources.cpu_limit = Some(Millicores(1500));
    workload.resources.memory_limit = Some(MemoryMib(2048));
    workload.resources.gpu = 1;
    workload.resources.accelerators.insert("xilinx.com/fpga".to_owned(), 2);
    workload.variables.insert("a.b-c".to_owned(), "hush".to_owned());
    workload
}

#[tokio::test]
async fn r_k8s_1_the_objects_of_workloads_are_taken() {
    without_pods(async |site| {
        let backend = K8sBackend::from_client(site.client.clone(), site.options()).await.unwrap();
        let (server, salt) = (backend.server(), Salt::random());
        for (workload, options, surge) in [
            (workload(site, "iris"), site.options(), Surge::Beside),
            (everything(site), all_options(site), Surge::InPlace),
        ] {
            let setting = Setting { options: &options, server, surge, salt: &salt };
            is_taken(site, &Manifests::of(&workload, setting).unwrap().to_json()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn r_k8s_8_the_objects_of_a_gateway_are_taken() {
    without_pods(async |site| {
        let backend = K8sBackend::from_client(site.client.clone(), site.options()).await.unwrap();
        let mut gateway = Gateway::new("example.invalid/gateway:1");
        is_taken(site, &gateway.to_json(&site.options(), backend.server()).unwrap()).await;
        gateway.reach = Reach::LoadBalancer;
        gateway.features.keda = true;
        is_taken(site, &gateway.to_json(&all_options(site), backend.server()).unwrap()).await;
    })
    .await;
}

#[tokio::test]
async fn r_k8s_6_the_roles_are_taken() {
    without_pods(async |site| {
        let mut features = Features::new();
        features.keda = true;
        features.accelerators = true;
        for role in [Role::Gateway, Role::Deployer] {
            is_taken(site, &role.to_json(&site.options(), features).unwrap()).await;
        }
    })
    .await;
}
