//! Scaling on a real API server.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use kube::ResourceExt as _;
use kube::api::PostParams;
use portway_backend::{Backend as _, BackendError, ErrorKind, Fence, Fleet as _};
use serde_json::json;

use crate::apply::{api, backend, only, until, workload};
use crate::kubelet::Fate;
use crate::patience::{in_time, until_gone};
use crate::site::{Site, on_a_cluster};

async fn replicas(site: &Site) -> Option<i32> {
    only::<Deployment>(site).await.spec.unwrap().replicas
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_5_a_deposed_leaders_scale_is_refused() {
    on_a_cluster(async |site| {
        let deployer = backend(site, site.options()).await;
        let (old, new) = (backend(site, site.options()).await, backend(site, site.options()).await);
        let workload = workload(site, "iris");
        deployer.apply(&workload).await.unwrap();
        old.scale(&workload.id, 2, &[], Fence::new(7)).await.unwrap();
        new.scale(&workload.id, 3, &[], Fence::new(8)).await.unwrap();
        let error = old.scale(&workload.id, 1, &[], Fence::new(7)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("scaled under fence 8, 7 is out of date"), "{error}");
        assert_eq!(replicas(site).await, Some(3));
        new.scale(&workload.id, 3, &[], Fence::new(9)).await.unwrap();
        let again = old.scale(&workload.id, 3, &[], Fence::new(8)).await;
        assert_eq!(
            again.unwrap_err().kind(),
            ErrorKind::Conflict,
            "a fence counts also where the number stays"
        );
        deployer.apply(&workload).await.unwrap();
        let after = new.scale(&workload.id, 2, &[], Fence::new(8)).await;
        assert_eq!(after.unwrap_err().kind(), ErrorKind::Conflict, "an apply does not forget the fence");
        deployer.shut_down().await.unwrap();
    })
    .await;
}

/// Whoever was deposed between reading and writing meets the precondition.
#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_5_of_many_leaders_at_once_the_last_one_has_its_way() {
    on_a_cluster(async |site| {
        let deployer = backend(site, site.options()).await;
        let workload = workload(site, "iris");
        deployer.apply(&workload).await.unwrap();
        let mut leaders = tokio::task::JoinSet::new();
        for fence in 1..=8_u64 {
            let (leader, id) = (backend(site, site.options()).await, workload.id.clone());
            leaders.spawn(async move {
                let to = u32::try_from(fence).unwrap();
                let outcome = async {
                    loop {
                        match leader.scale(&id, to, &[], Fence::new(fence)).await {
                            Err(error) if error.is_retryable() => {}
                            outcome => return outcome,
                        }
                    }
                };
                (fence, in_time("it is scaled", outcome).await)
            });
        }
        while let Some(ended) = leaders.join_next().await {
            let (fence, outcome) = ended.unwrap();
            match outcome {
                Ok(()) => {}
                Err(error) => assert!(error.kind() == ErrorKind::Conflict && fence < 8, "{fence}: {error}"),
            }
        }
        assert_eq!(replicas(site).await, Some(8));
        deployer.shut_down().await.unwrap();
    })
    .await;
}

/// Tries until the other autoscaler is forgotten.
async fn freed(tries: impl AsyncFn() -> Result<(), BackendError>) {
    let freed = async {
        while let Err(error) = tries().await {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            tokio::task::yield_now().await;
        }
    };
    in_time("it is forgotten", freed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_scl_5_an_hpa_of_the_same_deployment_is_refused_with_its_name() {
    on_a_cluster(async |site| {
        let deployer = backend(site, site.options()).await;
        let workload = workload(site, "iris");
        deployer.apply(&workload).await.unwrap();
        let name = only::<Deployment>(site).await.name_any();
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
        let hpa: HorizontalPodAutoscaler = serde_json::from_value(json!({
            "metadata": {"name": "theirs"},
            "spec": {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": target},
        }))
        .unwrap();
        let hpas = api::<HorizontalPodAutoscaler>(site);
        hpas.create(&PostParams::default(), &hpa).await.unwrap();

        let gateway = backend(site, site.options()).await;
        let error = gateway.scale(&workload.id, 2, &[], Fence::new(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(
            error.to_string().contains("the HorizontalPodAutoscaler theirs scales the Deployment"),
            "{error}"
        );
        assert_eq!(replicas(site).await, Some(1));
        deployer.shut_down().await.unwrap();

        let other = backend(site, site.options()).await;
        assert_eq!(other.apply(&workload).await.unwrap_err().kind(), ErrorKind::Conflict);

        hpas.delete("theirs", &Default::default()).await.unwrap();
        until_gone(&hpas, "theirs").await;
        // Each learns of it by a watch of its own, a moment later.
        freed(async || gateway.scale(&workload.id, 2, &[], Fence::new(1)).await).await;
        freed(async || other.apply(&workload).await).await;
        other.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_3_of_two_times_drained_the_later_ones_go() {
    on_a_cluster(async |site| {
        let backend = backend(site, site.options()).await;
        let workload = workload(site, "iris");
        backend.apply(&workload).await.unwrap();
        backend.scale(&workload.id, 4, &[], Fence::new(1)).await.unwrap();
        until(&backend, &workload.id, |status| status.ready() == 4).await;
        let status = backend.watch(&workload.id).await.unwrap();
        let names: Vec<_> = status.borrow().replicas.iter().map(|replica| replica.id.clone()).collect();
        if let Some(kubelet) = &site.kubelet {
            // A server without deletion cost starts others for those that it is told to delete, and within one second
            // cannot tell which is the youngest.
            names.iter().for_each(|name| kubelet.one(name.as_str(), Fate::Ready));
            kubelet.all(Fate::NeverReady);
        }
        // More are drained than need go: the others stay, and are given requests again.
        backend.scale(&workload.id, 3, &[names[2].clone(), names[0].clone()], Fence::new(1)).await.unwrap();
        until(&backend, &workload.id, |status| status.ready() == 3 && status.replicas.len() == 3).await;
        let left: Vec<_> = status.borrow().replicas.iter().map(|replica| replica.id.clone()).collect();
        assert_eq!(left, [names[0].clone(), names[1].clone(), names[3].clone()]);
        backend.scale(&workload.id, 2, &[names[1].clone()], Fence::new(1)).await.unwrap();
        until(&backend, &workload.id, |status| status.ready() == 2 && status.replicas.len() == 2).await;
        let left: Vec<_> = status.borrow().replicas.iter().map(|replica| replica.id.clone()).collect();
        assert_eq!(left, [names[0].clone(), names[3].clone()]);
        backend.shut_down().await.unwrap();
    })
    .await;
}
