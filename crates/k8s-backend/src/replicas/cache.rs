//! What the watches have told of all workloads. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};
use portway_backend::WorkloadId;

use super::view::{PodView, Standing};
use crate::names::workload_of;

/// The views of all objects of one kind, by workload and name.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    workloads: HashMap<Arc<WorkloadId>, BTreeMap<Arc<str>, V>>,
    /// Which workload an object belongs to.
    homes: HashMap<Arc<str>, Arc<WorkloadId>>,
    /// While a list is being read: what it has named so far.
    listed: Option<HashSet<Arc<str>>>,
    /// The newest resource version seen; events up to it are repetitions.
    newest: u64,
    is_complete: bool,
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        let (workloads, homes) = Default::default();
        Self { workloads, homes, listed: None, newest: 0, is_complete: false }
    }
}

/// A view that can tell what it must not unsay.
pub(crate) trait Settled {
    /// Carries over from an older view what never changes back.
    fn follow(&mut self, _older: &Self) {}
}

impl Settled for super::view::DeploymentView {}

impl Settled for PodView {
    /// Who was told to go stays told.
    fn follow(&mut self, older: &Self) {
        let goes = older.standing == Standing::Terminating && older.uid == self.uid;
        if goes && self.standing != Standing::Ended {
            (self.standing, self.ready_since, self.finding) = (Standing::Terminating, None, None);
        }
    }
}

impl<V: Settled + PartialEq> Cache<V> {
    /// Whether a list has been read to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The objects of a workload, by name.
    pub(crate) fn of(&self, id: &WorkloadId) -> Option<&BTreeMap<Arc<str>, V>> {
        self.workloads.get(id)
    }

    /// Takes an event in; the answer names the workloads of which something has changed.
    pub(crate) fn take<K>(&mut self, event: Event<K>, view: impl FnOnce(&K) -> V) -> Vec<Arc<WorkloadId>>
    where
        K: Resource,
    {
        match event {
            Event::Init => {
                self.listed = Some(HashSet::new());
                self.newest = 0;
                Vec::new()
            }
            Event::InitApply(object) => {
                self.newest = self.newest.max(revision(&object).unwrap_or(0));
                let name = Arc::from(object.name_any());
                let changed = self.put(&name, &object, view);
                self.listed.get_or_insert_default().insert(name);
                changed
            }
            Event::InitDone => {
                self.is_complete = true;
                self.keep_listed()
            }
            Event::Apply(object) if self.is_news(&object) => {
                self.put(&object.name_any().into(), &object, view)
            }
            Event::Delete(object) if self.is_news(&object) => {
                self.remove(&object.name_any()).into_iter().collect()
            }
            Event::Apply(_) | Event::Delete(_) => Vec::new(),
        }
    }

    /// Revisions only grow within a watch, so what is not newer has been told before. One that is no number passes.
    fn is_news<K: Resource>(&mut self, object: &K) -> bool {
        let Some(revision) = revision(object) else { return true };
        let is_news = revision > self.newest;
        self.newest = self.newest.max(revision);
        is_news
    }

    fn put<K>(&mut self, name: &Arc<str>, object: &K, view: impl FnOnce(&K) -> V) -> Vec<Arc<WorkloadId>>
    where
        K: Resource,
    {
        let mut changed = Vec::new();
        let Some(id) = workload_of(object.labels()) else { return self.remove(name).into_iter().collect() };
        if self.homes.get(name).is_some_and(|home| **home != id) {
            changed.extend(self.remove(name));
        }
        let (id, name) = match self.workloads.get_key_value(&id) {
            Some((id, objects)) => {
                let known = objects.get_key_value(name).map(|(name, _)| Arc::clone(name));
                (Arc::clone(id), known.unwrap_or_else(|| Arc::clone(name)))
            }
            None => (Arc::new(id), Arc::clone(name)),
        };
        let objects = self.workloads.entry(Arc::clone(&id)).or_default();
        let mut new = view(object);
        let old = objects.get(&name);
        if let Some(old) = old {
            new.follow(old);
        }
        if old != Some(&new) {
            objects.insert(Arc::clone(&name), new);
            self.homes.insert(name, Arc::clone(&id));
            changed.push(id);
        }
        changed
    }

    fn remove(&mut self, name: &str) -> Option<Arc<WorkloadId>> {
        let id = self.homes.remove(name)?;
        if let Some(objects) = self.workloads.get_mut(&id) {
            objects.remove(name);
            if objects.is_empty() {
                self.workloads.remove(&id);
            }
        }
        Some(id)
    }

    /// Forgets what the list that has just ended did not name.
    fn keep_listed(&mut self) -> Vec<Arc<WorkloadId>> {
        let Some(listed) = self.listed.take() else { return Vec::new() };
        let gone: Vec<Arc<str>> = self.homes.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        gone.iter().filter_map(|name| self.remove(name)).collect()
    }
}

pub(super) fn revision<K: Resource>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::names::labels;
    use crate::status::status;

    /// What happens to a pod, in the order in which it happens.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    enum Life {
        Absent,
        Starting,
        Ready,
        Unready,
        Terminating,
    }

    /// A cluster in miniature: what stands, and everything that was ever told.
    #[derive(Default)]
    struct Cluster {
        revision: u64,
        lives: BTreeMap<u8, (u32, Life)>,
        history: Vec<Event<Pod>>,
    }

    fn id(number: u8) -> WorkloadId {
        let endpoint = format!("endpoint-{}", number % 2);
        WorkloadId::new(endpoint.parse().unwrap(), "first".parse().unwrap())
    }

    fn pod(number: u8, incarnation: u32, life: Life, revision: u64) -> Pod {
        let is_ready = matches!(life, Life::Ready | Life::Terminating);
        let mut pod = json!({
            "metadata": {
                "name": format!("pod-{number}-{incarnation}"), "uid": format!("{number}-{incarnation}"),
                "resourceVersion": revision.to_string(), "labels": labels(&id(number), "portway"),
            },
            "status": {"podIP": format!("10.0.0.{number}"), "phase": "Running", "conditions": [
                {"type": "Ready", "status": if is_ready { "True" } else { "False" }},
            ]},
        });
        if life == Life::Terminating {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(pod).unwrap()
    }

    impl Cluster {
        fn change(&mut self, number: u8, step: u8) {
            let (incarnation, life) = self.lives.get(&number).copied().unwrap_or((0, Life::Absent));
            let next = match (life, step % 4) {
                (Life::Absent, _) => Life::Starting,
                (Life::Terminating, _) => Life::Absent,
                (_, 0) => Life::Terminating,
                (Life::Ready, 1) => Life::Unready,
                (_, _) => Life::Ready,
            };
            let incarnation = incarnation + u32::from(life == Life::Absent);
            self.revision += 1;
            self.history.push(match next {
                Life::Absent => Event::Delete(pod(number, incarnation, life, self.revision)),
                next => Event::Apply(pod(number, incarnation, next, self.revision)),
            });
            self.lives.insert(number, (incarnation, next));
        }

        fn list(&self, backwards: bool) -> Vec<Event<Pod>> {
            let standing = self.lives.iter().filter(|(_, (_, life))| *life != Life::Absent);
            let mut pods: Vec<_> = standing
                .map(|(number, (incarnation, life))| {
                    Event::InitApply(pod(*number, *incarnation, *life, self.revision))
                })
                .collect();
            if backwards {
                pods.reverse();
            }
            pods.insert(0, Event::Init);
            pods.push(Event::InitDone);
            pods
        }
    }

    fn told(events: impl IntoIterator<Item = Event<Pod>>) -> Cache<PodView> {
        let mut cache = Cache::default();
        for event in events {
            cache.take(event, PodView::of);
        }
        cache
    }

    fn all(cache: &Cache<PodView>) -> Vec<portway_backend::Status> {
        let none = BTreeMap::new();
        (0..2).map(|number| status(None, cache.of(&id(number)).unwrap_or(&none))).collect()
    }

    /// What a watch may do to a client: tell something again, break off and go on from an earlier event, list anew.
    #[derive(Clone, Debug)]
    enum Watch {
        Change(u8, u8),
        Again(usize),
        List { backwards: bool, broken: bool },
    }

    fn anything() -> impl Strategy<Value = Watch> {
        prop_oneof![
            6 => (0_u8..6, any::<u8>()).prop_map(|(pod, step)| Watch::Change(pod, step)),
            2 => (1_usize..8).prop_map(Watch::Again),
            1 => any::<(bool, bool)>().prop_map(|(backwards, broken)| Watch::List { backwards, broken }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn r_k8s_2_however_it_is_told_the_same_is_known(steps in prop::collection::vec(anything(), 0..60)) {
            let mut cluster = Cluster::default();
            let mut cache = told(cluster.list(false));
            for step in steps {
                let events = match step {
                    Watch::Change(number, step) => {
                        cluster.change(number, step);
                        cluster.history.last().cloned().into_iter().collect()
                    }
                    Watch::Again(count) => {
                        cluster.history[cluster.history.len().saturating_sub(count)..].to_vec()
                    }
                    Watch::List { backwards, broken } => {
                        let list = cluster.list(backwards);
                        let half = list[..list.len() / 2].to_vec();
                        if broken { [half, list].concat() } else { list }
                    }
                };
                for event in events {
                    cache.take(event, PodView::of);
                    for (number, (incarnation, life)) in &cluster.lives {
                        let name = format!("pod-{number}-{incarnation}");
                        let known = cache.of(&id(*number)).and_then(|pods| pods.get(name.as_str()));
                        let is_ready = known.is_some_and(|pod| matches!(pod.standing, Standing::Ready(_)));
                        prop_assert!(!is_ready || *life == Life::Ready, "{} is {:?} and shown as ready", name, life);
                    }
                }
                prop_assert_eq!(all(&cache), all(&told(cluster.list(false))), "known is what stands");
            }
        }
    }

    #[test]
    fn r_k8s_2_who_was_told_to_go_stays_told_even_without_revisions() {
        let unnumbered = |life| {
            let mut pod = pod(0, 1, life, 1);
            pod.metadata.resource_version = Some("opaque".into());
            pod
        };
        let mut cache = told([Event::Init, Event::InitApply(unnumbered(Life::Terminating)), Event::InitDone]);
        assert!(cache.take(Event::Apply(unnumbered(Life::Ready)), PodView::of).is_empty());
        assert_eq!(all(&cache)[0].ready(), 0);
    }

    #[test]
    fn r_k8s_2_a_server_that_was_restored_counts_from_where_it_stands() {
        let mut cache = told([Event::Init, Event::InitApply(pod(0, 1, Life::Ready, 900)), Event::InitDone]);
        for event in [Event::Init, Event::InitApply(pod(0, 1, Life::Ready, 7)), Event::InitDone] {
            cache.take(event, PodView::of);
        }
        cache.take(Event::Apply(pod(0, 1, Life::Terminating, 8)), PodView::of);
        assert_eq!(all(&cache)[0].ready(), 0);
    }

    #[test]
    fn nothing_is_kept_of_what_is_gone() {
        let mut cache = told([Event::Init, Event::InitApply(pod(0, 1, Life::Ready, 1)), Event::InitDone]);
        cache.take(Event::Delete(pod(0, 1, Life::Ready, 2)), PodView::of);
        assert!(cache.homes.is_empty() && cache.workloads.is_empty());
    }
}
