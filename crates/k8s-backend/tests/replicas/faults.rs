//! What a watch shows while the API server does its worst. Time is tokio's and paused: waits pass by themselves.

use std::sync::Arc;

use futures_util::FutureExt as _;
use portway_backend::{ErrorKind, Fleet as _, Phase, Status};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::double::{Expiry, Fault, On, Verb};
use crate::scene::{Scene, id};
use crate::{ready, until};

/// Writes down how many were ready in each status that was shown.
fn record(mut status: watch::Receiver<Arc<Status>>) -> JoinHandle<Vec<u32>> {
    tokio::spawn(async move {
        let mut seen = vec![status.borrow_and_update().ready()];
        while status.changed().await.is_ok() {
            seen.push(status.borrow_and_update().ready());
        }
        seen
    })
}

async fn watched(scene: &Scene) {
    scene.server.until_watched("pods", 1).await;
    scene.server.until_watched("deployments", 1).await;
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_a_server_that_restarts_loses_no_replica() {
    let scene = Scene::new().await;
    scene.healthy("iris", 3).await;
    let mut status = scene.watch("iris").await;
    let seen = record(status.clone());
    watched(&scene).await;

    scene.server.go_down();
    scene.kill("iris-1").await;
    scene.terminate("iris-2").await;
    scene.ready_pod("iris", "iris-3").await;
    assert_eq!(status.borrow().ready(), 3, "while the server is away what is known stays");
    scene.server.go_up();
    until(&mut status, |status| ready(status) == ["iris-0", "iris-3"]).await;
    assert_eq!(status.borrow().replicas.len(), 3, "the one that goes is shown as such");

    drop(scene);
    let seen = seen.await.unwrap();
    assert!(seen.iter().all(|ready| *ready >= 1), "it was never shown as empty: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_a_server_that_comes_back_without_its_history_is_listed_anew() {
    for expiry in [Expiry::Answer, Expiry::Event] {
        let scene = Scene::new().await;
        scene.healthy("iris", 2).await;
        let mut status = scene.watch("iris").await;
        watched(&scene).await;
        scene.server.go_down();
        scene.kill("iris-0").await;
        scene.ready_pod("iris", "iris-2").await;
        scene.server.compact();
        for kind in ["pods", "deployments"] {
            scene.server.expire_next_watch(kind, expiry);
        }
        scene.server.go_up();
        until(&mut status, |status| ready(status) == ["iris-1", "iris-2"]).await;
        watched(&scene).await;
        assert_eq!(scene.server.counts().of(Verb::List, "pods"), 2, "{expiry:?}");
        scene.terminate("iris-1").await;
        until(&mut status, |status| ready(status) == ["iris-2"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_a_server_that_was_restored_from_a_copy_is_listed_anew() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    let mut status = scene.watch("iris").await;
    watched(&scene).await;
    // "Too large resource version": what the watch has seen, the copy has not.
    scene.server.fail(On::next(Verb::Watch, "pods"), Fault::timeout());
    scene.server.drop_watches();
    scene.ready_pod("iris", "iris-1").await;
    until(&mut status, |status| status.ready() == 2).await;
    assert_eq!(scene.server.counts().of(Verb::List, "pods"), 2);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_a_watch_that_expires_while_it_runs_is_listed_anew() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    let mut status = scene.watch("iris").await;
    for round in 1..=3 {
        watched(&scene).await;
        scene.server.expire_watches("pods");
        scene.server.expire_watches("deployments");
        let name = format!("iris-{round}");
        scene.ready_pod("iris", &name).await;
        until(&mut status, |status| status.replicas.iter().any(|replica| replica.id.as_str() == name)).await;
    }
    assert_eq!(status.borrow().ready(), 4);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_a_watch_that_breaks_off_goes_on_where_it_was() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    let mut status = scene.watch("iris").await;
    let ends: [&dyn Fn(); 2] = [&|| scene.server.drop_watches(), &|| scene.server.end_watches()];
    for (round, end) in ends.into_iter().enumerate() {
        watched(&scene).await;
        end();
        let name = format!("new-{round}");
        scene.ready_pod("iris", &name).await;
        until(&mut status, |status| ready(status).contains(&name.as_str())).await;
    }
    assert_eq!(scene.server.counts().of(Verb::List, "pods"), 1, "nothing is listed again");
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_a_bookmark_saves_the_next_list() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    let mut status = scene.watch("iris").await;
    watched(&scene).await;
    scene.server.compact();
    scene.server.send_bookmarks();
    scene.server.end_watches();
    scene.terminate("iris-0").await;
    scene.scale("iris", 2).await;
    until(&mut status, |status| status.ready() == 0 && status.wanted == 2).await;
    let counts = scene.server.counts();
    assert_eq!((counts.of(Verb::List, "pods"), counts.of(Verb::List, "deployments")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_while_a_list_takes_its_time_the_last_status_stays() {
    let scene = Scene::new().await;
    scene.healthy("iris", 2).await;
    let slow = scene.server.hold(On::next(Verb::List, "pods"));
    let first = tokio::spawn({
        let backend = scene.backend.clone();
        async move { backend.watch(&id("iris")).await }
    });
    slow.arrived(1).await;
    assert!(!first.is_finished(), "there is no status before all is known");
    slow.open();
    let mut status = first.await.unwrap().unwrap();
    assert_eq!(status.borrow_and_update().ready(), 2);

    watched(&scene).await;
    let slow = scene.server.hold(On::next(Verb::List, "pods"));
    scene.server.expire_watches("pods");
    slow.arrived(1).await;
    scene.kill("iris-0").await;
    assert!(status.changed().now_or_never().is_none(), "the last status stays");
    assert_eq!(scene.watch("iris").await.borrow().ready(), 2, "and others see it as well");
    slow.open();
    until(&mut status, |status| ready(status) == ["iris-1"]).await;
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_events_that_come_twice_change_nothing() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    let mut status = scene.watch("iris").await;
    watched(&scene).await;
    scene.server.duplicate_events(true);
    let seen = record(status.clone());
    tokio::task::yield_now().await;
    scene.ready_pod("iris", "iris-1").await;
    scene.terminate("iris-0").await;
    scene.kill("iris-0").await;
    until(&mut status, |status| ready(status) == ["iris-1"] && status.phase == Phase::Healthy).await;
    drop(scene);
    let seen = seen.await.unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 1), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_a_list_that_breaks_in_the_middle_forgets_nobody() {
    let scene = Scene::new().await;
    scene.deploy("iris", 510).await;
    for number in 0..510 {
        scene.ready_pod("iris", &format!("iris-{number}")).await;
    }
    let mut status = scene.watch("iris").await;
    assert_eq!(status.borrow_and_update().ready(), 510);
    assert_eq!(scene.server.counts().pages("pods"), 1, "a long list comes in pages");
    watched(&scene).await;
    scene.server.fail(On::next(Verb::List, "pods").after(1), Fault::internal());
    scene.server.expire_watches("pods");
    scene.ready_pod("iris", "iris-new").await;
    until(&mut status, |status| status.ready() == 511).await;
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_who_cannot_list_is_told_and_may_ask_again() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    scene.server.go_down();
    let refused = scene.backend.watch(&id("iris")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    let again = scene.backend.watch(&id("iris")).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Unavailable, "{again}");
    scene.server.go_up();
    assert_eq!(scene.watch("iris").await.borrow().ready(), 1);
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_credentials_that_expire_leave_what_is_known() {
    let scene = Scene::new().await;
    scene.healthy("iris", 2).await;
    let mut status = scene.watch("iris").await;
    watched(&scene).await;
    scene.server.expire_credentials(true);
    scene.server.drop_watches();
    scene.kill("iris-0").await;
    scene.server.until(|server| server.open_watches("pods") == 0).await;
    assert_eq!(status.borrow().ready(), 2);
    scene.server.expire_credentials(false);
    until(&mut status, |status| ready(status) == ["iris-1"]).await;
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_a_kind_that_fails_alone_does_not_stop_the_other() {
    let scene = Scene::new().await;
    scene.healthy("iris", 1).await;
    let mut status = scene.watch("iris").await;
    watched(&scene).await;
    scene.server.fail(On::next(Verb::Watch, "deployments").always(), Fault::unavailable());
    scene.server.drop_watches();
    scene.ready_pod("iris", "iris-1").await;
    until(&mut status, |status| status.ready() == 2).await;
    assert_eq!(status.borrow().wanted, 1);
    scene.scale("iris", 2).await;
    scene.server.lift_faults();
    until(&mut status, |status| status.phase == Phase::Healthy && status.wanted == 2).await;
}
