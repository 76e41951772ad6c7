//! Whatever happens to pods and to watches, and in whichever order: in the end what is shown is what stands, and
//! nobody who was shown to go is ever shown as ready again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt as _;
use kube::api::ListParams;
use portway_backend::{ReplicaState, Status};
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::sync::watch;

use crate::double::{Expiry, Fault, On, Verb};
use crate::scene::Scene;
use crate::until;

#[derive(Clone, Debug)]
enum Step {
    Start,
    Ready(Index),
    Terminate(Index),
    Kill(Index),
    Down,
    Up,
    Drop,
    End,
    Expire(bool),
    Compact,
    Bookmark,
    Duplicates(bool),
    Fail,
    /// Lets the backend take in what has happened.
    Pause,
}

fn step() -> impl Strategy<Value = Step> {
    let pod = any::<Index>;
    prop_oneof![
        4 => Just(Step::Start),
        4 => pod().prop_map(Step::Ready),
        2 => pod().prop_map(Step::Terminate),
        2 => pod().prop_map(Step::Kill),
        1 => Just(Step::Down),
        2 => Just(Step::Up),
        1 => Just(Step::Drop),
        1 => Just(Step::End),
        1 => any::<bool>().prop_map(Step::Expire),
        1 => Just(Step::Compact),
        1 => Just(Step::Bookmark),
        1 => any::<bool>().prop_map(Step::Duplicates),
        1 => Just(Step::Fail),
        3 => Just(Step::Pause),
    ]
}

/// The pods that the test has made, by name, and whether they were told to go.
#[derive(Default)]
struct Pods {
    made: usize,
    standing: BTreeMap<String, bool>,
}

impl Pods {
    fn pick(&self, index: Index) -> Option<(String, bool)> {
        let all: Vec<_> = self.standing.iter().collect();
        (!all.is_empty()).then(|| index.get(&all)).map(|&(name, is_leaving)| (name.clone(), *is_leaving))
    }

    async fn start(&mut self, scene: &Scene) -> String {
        let name = format!("iris-{:03}", self.made);
        self.made += 1;
        scene.pod("iris", &name).await;
        self.standing.insert(name.clone(), false);
        name
    }
}

async fn perform(scene: &Scene, pods: &mut Pods, step: Step) {
    let server = &scene.server;
    match step {
        Step::Start => drop(pods.start(scene).await),
        Step::Ready(index) => {
            if let Some((name, false)) = pods.pick(index) {
                scene.ready(&name).await;
            }
        }
        Step::Terminate(index) => {
            if let Some((name, false)) = pods.pick(index) {
                scene.terminate(&name).await;
                pods.standing.insert(name, true);
            }
        }
        Step::Kill(index) => {
            if let Some((name, _)) = pods.pick(index) {
                scene.kill(&name).await;
                pods.standing.remove(&name);
            }
        }
        Step::Down => server.go_down(),
        Step::Up => server.go_up(),
        Step::Drop => server.drop_watches(),
        Step::End => server.end_watches(),
        Step::Expire(is_answer) => {
            let expiry = if is_answer { Expiry::Answer } else { Expiry::Event };
            server.expire_next_watch("pods", expiry);
            server.expire_watches("deployments");
        }
        Step::Compact => server.compact(),
        Step::Bookmark => server.send_bookmarks(),
        Step::Duplicates(duplicates) => server.duplicate_events(duplicates),
        Step::Fail => server.fail(On::next(Verb::List, "pods"), Fault::internal()),
        Step::Pause => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
    }
}

/// Those who were shown as ready after they had been shown to go, or as gone.
async fn record(mut status: watch::Receiver<Arc<Status>>) -> BTreeSet<String> {
    let (mut over, mut known, mut risen) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    loop {
        let seen = Arc::clone(&status.borrow_and_update());
        let shown = |replica: &portway_backend::Replica| replica.id.as_str().to_owned();
        let names: BTreeSet<String> = seen.replicas.iter().map(shown).collect();
        over.extend(known.difference(&names).cloned());
        for replica in &seen.replicas {
            let name = shown(replica);
            match replica.state {
                ReplicaState::Terminating => drop(over.insert(name)),
                ReplicaState::Ready(_) if over.contains(&name) => drop(risen.insert(name)),
                _ => {}
            }
        }
        known = names;
        if status.changed().await.is_err() {
            return risen;
        }
    }
}

async fn run(steps: Vec<Step>) {
    let scene = Scene::new().await;
    scene.deploy("iris", 1).await;
    let mut status = scene.watch("iris").await;
    let risen = tokio::spawn(record(status.clone()));
    let mut pods = Pods::default();
    for step in steps {
        perform(&scene, &mut pods, step).await;
    }
    scene.server.go_up();
    scene.server.lift_faults();
    scene.scale("iris", 77).await;
    let last = pods.start(&scene).await;
    let is_last = |status: &Status| status.replicas.iter().any(|replica| replica.id.as_str() == last);
    let seen = until(&mut status, |status| status.wanted == 77 && is_last(status)).await;

    let stands = scene.pods.list(&ListParams::default()).await.unwrap().items;
    let expected: Vec<(String, &str)> = stands
        .iter()
        .map(|pod| {
            let is_ready = pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some());
            let state = match (pod.metadata.deletion_timestamp.is_some(), is_ready) {
                (true, _) => "going",
                (false, true) => "ready",
                (false, false) => "starting",
            };
            (pod.name_any(), state)
        })
        .collect();
    let shown = seen.replicas.iter().map(|replica| {
        let state = match replica.state {
            ReplicaState::Terminating => "going",
            ReplicaState::Ready(_) => "ready",
            ReplicaState::Starting => "starting",
        };
        (replica.id.as_str().to_owned(), state)
    });
    assert_eq!(shown.collect::<Vec<_>>(), expected);
    drop(scene);
    assert_eq!(risen.await.unwrap(), BTreeSet::new(), "who goes is never ready again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn r_k8s_2_whatever_happens_what_is_shown_in_the_end_is_what_stands(
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(steps));
    }
}
