//! What the server remembers: objects, the revision of the whole, and the history from which watches resume.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::resources::Kind;
use super::watch::Watches;

/// Which object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Key {
    pub kind: &'static Kind,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(kind: &'static Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn parts(&self) -> (&str, &str, &str, &str) {
        (self.kind.group, self.kind.plural, &self.namespace, &self.name)
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What happened to one object.
#[derive(Clone, Debug)]
pub struct Event {
    pub revision: u64,
    pub key: Key,
    pub change: Change,
}

/// A change of an object.
#[derive(Clone, Debug)]
pub enum Change {
    Added(Arc<Value>),
    Modified {
        old: Arc<Value>,
        new: Arc<Value>,
    },
    /// The last state, with the revision of the deletion.
    Deleted(Arc<Value>),
}

/// All objects, their history, and those who watch them.
#[derive(Debug, Default)]
pub struct Store {
    revision: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    history: Vec<Event>,
    compacted: u64,
    pub watches: Watches,
}

impl Store {
    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Changes up to this revision are forgotten.
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// The objects of a kind in a namespace (or in all, if it is empty), ordered by namespace and name.
    pub fn list(&self, kind: &'static Kind, namespace: &str) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let all = self.objects.range(Key::new(kind, namespace, "")..);
        let within = namespace.to_owned();
        all.take_while(move |(key, _)| key.kind == kind && (within.is_empty() || key.namespace == within))
    }

    /// The objects of a kind in a namespace whose names begin with this.
    pub fn beginning(
        &self,
        kind: &'static Kind,
        namespace: &str,
        prefix: &str,
    ) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let all = self.objects.range(Key::new(kind, namespace, prefix)..);
        let (within, prefix) = (namespace.to_owned(), prefix.to_owned());
        all.take_while(move |(key, _)| {
            key.kind == kind && key.namespace == within && key.name.starts_with(&prefix)
        })
    }

    /// All objects of all kinds in a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Key> {
        self.objects.keys().filter(|key| key.namespace == namespace).cloned().collect()
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// Stores an object, gives it its revision, and tells the watches.
    pub fn put(&mut self, key: &Key, object: Value) -> Arc<Value> {
        let new = self.stamped(object);
        let change = match self.objects.insert(key.clone(), Arc::clone(&new)) {
            Some(old) => Change::Modified { old, new: Arc::clone(&new) },
            None => Change::Added(Arc::clone(&new)),
        };
        self.record(key, change);
        new
    }

    /// Forgets an object and tells the watches.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let last = self.objects.remove(key)?;
        let last = self.stamped(Value::clone(&last));
        self.record(key, Change::Deleted(Arc::clone(&last)));
        Some(last)
    }

    /// The changes after a revision, oldest first.
    pub fn since(&self, revision: u64) -> impl Iterator<Item = &Event> {
        let start = self.history.partition_point(|event| event.revision <= revision);
        self.history[start..].iter()
    }

    /// Forgets the history up to now: nobody can resume from before.
    pub fn compact(&mut self) {
        // A revision of its own, so that even the last change seen by a watcher is too old.
        self.revision += 1;
        self.compacted = self.revision;
        self.history.clear();
    }

    fn stamped(&mut self, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        Arc::new(object)
    }

    fn record(&mut self, key: &Key, change: Change) {
        let event = Event { revision: self.revision, key: key.clone(), change };
        self.watches.tell(&event);
        self.history.push(event);
    }
}
