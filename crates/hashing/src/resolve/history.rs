use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{BuildError, Settings};
use crate::{Explanation, ImageInputs, ImageKey};

/// What a resolver remembers: keys that were missing a moment ago, builds that failed, inputs it has seen.
pub(super) struct History {
    state: Mutex<State>,
    settings: Settings,
}

struct State {
    missing: Bounded<ImageKey, Instant>,
    failed: Bounded<ImageKey, Failure>,
    seen: Bounded<ImageKey, ImageInputs>,
}

#[derive(Clone)]
pub(super) struct Failure {
    pub(super) failures: u32,
    pub(super) retry_at: Instant,
    pub(super) error: Arc<BuildError>,
}

impl History {
    pub(super) fn new(settings: Settings) -> Self {
        let size = settings.remembered;
        let state =
            State { missing: Bounded::new(size), failed: Bounded::new(size), seen: Bounded::new(size) };
        Self { state: Mutex::new(state), settings }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn missed(&self, key: &ImageKey, now: Instant) {
        self.with(|state| state.missing.insert(*key, now + self.settings.missing_for));
    }

    pub(super) fn is_missing(&self, key: &ImageKey, now: Instant) -> bool {
        self.with(|state| state.missing.get(key).is_some_and(|until| now < *until))
    }

    /// Forgets a miss and a failure: the image stands.
    pub(super) fn found(&self, key: &ImageKey) {
        self.with(|state| {
            state.missing.remove(key);
            state.failed.remove(key);
        });
    }

    pub(super) fn failed(&self, key: &ImageKey, now: Instant, error: Arc<BuildError>) {
        self.with(|state| {
            let failures = state.failed.get(key).map_or(0, |failure| failure.failures) + 1;
            let retry_at = now + self.pause(failures);
            state.failed.insert(*key, Failure { failures, retry_at, error });
        });
    }

    /// The failure whose pause is not over.
    pub(super) fn backing_off(&self, key: &ImageKey, now: Instant) -> Option<Failure> {
        self.with(|state| state.failed.get(key).filter(|failure| now < failure.retry_at).cloned())
    }

    pub(super) fn saw(&self, key: &ImageKey, inputs: &ImageInputs) {
        self.with(|state| state.seen.insert(*key, inputs.clone()));
    }

    /// The other inputs seen that differ in the fewest fields, the latest among equals, and how they differ from `inputs`.
    pub(super) fn nearest(&self, key: &ImageKey, inputs: &ImageInputs) -> Option<(ImageKey, Explanation)> {
        self.with(|state| {
            let others = state.seen.latest_first().filter(|(other, _)| *other != key);
            others
                .map(|(other, seen)| (*other, inputs.explain(seen)))
                .min_by_key(|(_, explanation)| explanation.differences().len())
        })
    }

    fn pause(&self, failures: u32) -> Duration {
        let doubled = self.settings.backoff_first.saturating_mul(1 << (failures - 1).min(20));
        doubled.min(self.settings.backoff_most)
    }
}

/// A map that forgets the oldest entry when it is full.
struct Bounded<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
    size: usize,
}

impl<K: Hash + Eq + Clone, V> Bounded<K, V> {
    fn new(size: usize) -> Self {
        Self { map: HashMap::new(), order: VecDeque::new(), size: size.max(1) }
    }

    fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        if self.order.len() == self.size
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.map.insert(key, value);
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    fn remove(&mut self, key: &K) {
        if self.map.remove(key).is_some() {
            self.order.retain(|other| other != key);
        }
    }

    fn latest_first(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order.iter().rev().filter_map(|key| Some((key, self.map.get(key)?)))
    }
}
