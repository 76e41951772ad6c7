//! The server as a test sees it.

use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use serde_json::Value;
use tokio::sync::watch;

use super::access::{Access, Start};
use super::clock::Clock;
use super::controllers::{Controllers, Outcome, Which};
use super::counts::Counts;
use super::faults::{Fault, Faults, Gate, On};
use super::request::Verb;
use super::resources::{Kind, Profile};
use super::service::{Caller, Connection};
use super::store::{Key, Store};
use super::watch::Expiry;

/// An API server; clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct ApiServer {
    state: Arc<Mutex<State>>,
    /// Told after everything that happens.
    ticks: watch::Sender<()>,
}

/// All that the server knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) profile: Profile,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) faults: Faults,
    pub(super) counts: Counts,
    pub(super) access: Access,
    pub(super) controllers: Controllers,
    /// How many names and uids were given.
    pub(super) given: u64,
}

impl ApiServer {
    /// A server with the namespace `default` and nothing that works on its objects: no controller, no kubelet.
    pub fn new(profile: Profile) -> Self {
        let (clock, store) = (Clock::new(), Store::default());
        let (faults, counts, access) = (Faults::default(), Counts::default(), Access::default());
        let controllers = Controllers::default();
        let mut state = State { profile, clock, store, faults, counts, access, controllers, given: 0 };
        state.create_namespace("default");
        Self { state: Arc::new(Mutex::new(state)), ticks: watch::Sender::new(()) }
    }

    /// The same with controllers for Deployments, ReplicaSets and garbage, and a kubelet that makes pods ready.
    pub fn with_controllers(profile: Profile) -> Self {
        let server = Self::new(profile);
        server.change(|state| state.controllers.on = true);
        server
    }

    /// The client under test.
    pub fn client(&self, namespace: &str) -> Client {
        self.connect(Caller::Tested, namespace)
    }

    /// A client for the test itself and for strangers that it plays: never counted, never met by a fault.
    pub fn bystander(&self, namespace: &str) -> Client {
        self.connect(Caller::Bystander, namespace)
    }

    fn connect(&self, caller: Caller, namespace: &str) -> Client {
        Client::new(Connection::new(self.clone(), caller), namespace)
    }

    /// Makes a namespace.
    pub fn create_namespace(&self, name: &str) {
        self.change(|state| state.create_namespace(name));
    }

    /// Looks at the state or changes it, and tells those who wait.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut state);
        state.settle();
        drop(state);
        self.ticks.send_replace(());
        result
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a test learns.
impl ApiServer {
    /// Waits until this holds; it is asked again after everything that happens.
    pub async fn until(&self, mut holds: impl FnMut(&Self) -> bool) {
        let mut ticks = self.ticks.subscribe();
        loop {
            ticks.mark_unchanged();
            if holds(self) {
                return;
            }
            // An error means that the server is gone, but `self` keeps it.
            let _ = ticks.changed().await;
        }
    }

    /// Waits until so many watch a kind (`pods`).
    pub async fn until_watched(&self, plural: &str, count: usize) {
        self.until(|server| server.open_watches(plural) >= count).await;
    }

    /// How many watch a kind now.
    pub fn open_watches(&self, plural: &str) -> usize {
        self.look(|state| state.store.watches.open(plural))
    }

    /// How often what was asked since the start or the last [`reset_counts`](Self::reset_counts).
    pub fn counts(&self) -> Counts {
        self.look(|state| state.counts.clone())
    }

    /// Counts from nothing again.
    pub fn reset_counts(&self) {
        self.change(|state| state.counts = Counts::default());
    }

    /// An object as it is stored.
    pub fn object(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = Key::new(Kind::named(plural), namespace, name);
        self.look(|state| state.store.get(&key).map(|object| Value::clone(object)))
    }

    /// All objects of a kind in a namespace (in all, if it is empty).
    pub fn objects(&self, plural: &str, namespace: &str) -> Vec<Value> {
        let kind = Kind::named(plural);
        self.look(|state| state.store.list(kind, namespace).map(|(_, object)| Value::clone(object)).collect())
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.look(|state| state.store.revision())
    }
}

/// What a test does to the server.
impl ApiServer {
    /// Ends all watches as the server does when their time is over: clients resume.
    pub fn end_watches(&self) {
        self.change(|state| state.store.watches.end_all());
    }

    /// Breaks the connections of all watches.
    pub fn drop_watches(&self) {
        self.change(|state| state.store.watches.break_all());
    }

    /// The next watch of a kind is told 410.
    pub fn expire_next_watch(&self, plural: &str, expiry: Expiry) {
        self.change(|state| state.store.watches.expire_next(plural, expiry));
    }

    /// The running watches of a kind are told 410 and end.
    pub fn expire_watches(&self, plural: &str) {
        self.change(|state| state.store.watches.expire_running(plural));
    }

    /// Forgets the history: watches and pages that go on from before now are told 410.
    pub fn compact(&self) {
        self.change(|state| state.store.compact());
    }

    /// Tells every event twice from now on, or no longer.
    pub fn duplicate_events(&self, duplicates: bool) {
        self.change(|state| state.store.watches.duplicates = duplicates);
    }

    /// Sends a bookmark with the current revision to all who take them.
    pub fn send_bookmarks(&self) {
        self.change(|state| {
            let revision = state.store.revision();
            state.store.watches.send_bookmarks(revision);
        });
    }

    /// Keeps bookmarks back, also the one that ends initial events.
    pub fn hold_bookmarks(&self) {
        self.change(|state| state.store.watches.holds_bookmarks = true);
    }

    /// Sends the bookmarks that were kept back, with the revisions of then.
    pub fn release_bookmarks(&self) {
        self.change(|state| state.store.watches.release_bookmarks());
    }

    /// Takes no connections and breaks those that watch; nothing stored is lost.
    pub fn go_down(&self) {
        self.change(|state| {
            state.faults.down = true;
            state.store.watches.break_all();
        });
    }

    /// Takes connections again.
    pub fn go_up(&self) {
        self.change(|state| state.faults.down = false);
    }

    /// Makes a fault befall requests of the client under test.
    pub fn fail(&self, on: On, fault: Fault) {
        self.change(|state| state.faults.add(on, fault));
    }

    /// Holds requests until the gate is opened.
    pub fn hold(&self, on: On) -> Gate {
        let (gate, held) = Gate::new();
        self.fail(on, Fault::Held(held));
        gate
    }

    /// Forgets the faults that have not befallen anybody yet.
    pub fn lift_faults(&self) {
        self.change(|state| state.faults.lift());
    }

    /// Takes the credentials of the client under test no longer, or again.
    pub fn expire_credentials(&self, expired: bool) {
        self.change(|state| state.faults.credentials_expired = expired);
    }
}

/// What a test lets become of pods, and what it lets nobody do.
impl ApiServer {
    /// Decides what becomes of pods, those that stand included. The last word about a pod counts.
    pub fn stage(&self, which: Which, outcome: Outcome) {
        self.change(|state| {
            state.controllers.kubelet.stage(which, outcome);
            state.requeue("pods");
        });
    }

    /// Lets pods that are deleted stay, terminating, until they are let go.
    pub fn hold_terminating(&self, holds: bool) {
        self.change(|state| {
            state.controllers.kubelet.holds_terminating = holds;
            state.requeue("pods");
        });
    }

    /// Lets a Deployment's progress deadline pass.
    pub fn pass_deadline(&self, namespace: &str, name: &str) {
        self.change(|state| state.pass_deadline(namespace, name));
    }

    /// Lets at most so many objects of a kind (`pods`) be in each namespace; `None` lifts it.
    pub fn set_quota(&self, plural: &str, hard: Option<usize>) {
        self.change(|state| {
            state.access.set_quota(plural, hard);
            state.requeue("replicasets");
        });
    }

    /// Lets a webhook refuse new objects of a kind; `None` takes it away.
    pub fn deny(&self, plural: &str, why: Option<&str>) {
        self.change(|state| {
            state.access.set_denial(plural, why);
            state.requeue("replicasets");
        });
    }

    /// Allows the client under test just what these `Role`s and `ClusterRole`s grant.
    pub fn grant_only(&self, roles: Vec<Value>) {
        self.change(|state| state.access.grant_only(roles));
    }

    /// How far it has come since it was started, as the client under test is told.
    pub fn set_start(&self, start: Start) {
        self.change(|state| state.access.start = start);
    }

    /// Forbids the client under test one thing: `Verb::Update`, `deployments/scale`.
    pub fn forbid(&self, verb: Verb, resource: &str) {
        self.change(|state| state.access.forbid(verb, resource));
    }

    /// Allows the client under test everything again.
    pub fn grant_all(&self) {
        self.change(|state| state.access.grant_all());
    }
}
