//! The control side: follows the catalog and the fleet, and turns the traffic of each second into replicas.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::StreamExt as _;
use portway_auth::{PublishedIssuer, Verifier};
use portway_autoscale::Policy;
use portway_backend::{Catalog, Change, DocKind, Document, ErrorKind, Fleet, Leases, Status, WorkloadId};
use portway_deploy_config::{EndpointSpec, VersionSpec};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::choice::{Endpoint, Live};
use crate::inner::{Inner, Routes};
use crate::lane::Lane;
use crate::leadership::Leadership;
use crate::limits;
use crate::orders::{Answer, Orders};
use crate::scaling::{Scaling, TICK};

/// What the control side was given.
#[derive(Clone)]
pub(crate) struct Seams {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) fleet: Arc<dyn Fleet>,
    pub(crate) leases: Option<Arc<dyn Leases>>,
    pub(crate) holder: String,
    pub(crate) policy: Policy,
}

/// Runs until `shutdown`, then gives the lease back.
pub(crate) async fn run(inner: Arc<Inner>, seams: Seams, shutdown: impl Future<Output = ()>) {
    let (sender, mut events) = mpsc::channel(64);
    let mut watchers = JoinSet::new();
    for kind in [DocKind::Endpoint, DocKind::Verifier] {
        watchers.spawn(watch(Arc::clone(&seams.catalog), kind, sender.clone()));
    }
    let mut control = Control::new(inner, seams);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(shutdown);
    let commons = Arc::clone(&control.inner.commons);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(event) = events.recv() => control.take(event).await,
            answer = control.orders.answer() => control.heed(&answer),
            () = commons.hungry.notified() => control.scale().await,
            _ = tick.tick() => control.tick().await,
        }
    }
    // What was ordered under the lease is done before somebody else can hold it.
    control.orders.settle().await;
    control.leadership.release().await;
}

/// What a watch of one kind of document says.
enum Event {
    /// It begins anew: everything that exists will be told.
    Begun(DocKind),
    Told(DocKind, Change),
}

/// Follows one kind of document, again and again: a catalog may go and come.
async fn watch(catalog: Arc<dyn Catalog>, kind: DocKind, events: mpsc::Sender<Event>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match catalog.watch(kind).await {
            Ok(mut changes) => {
                if events.send(Event::Begun(kind)).await.is_err() {
                    return;
                }
                while let Some(change) = changes.next().await {
                    pause = FIRST_PAUSE;
                    if events.send(Event::Told(kind, change)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!(kind = kind.as_str(), %error, "cannot watch the catalog"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

struct Control {
    inner: Arc<Inner>,
    seams: Seams,
    leadership: Leadership,
    orders: Orders,
    endpoints: BTreeMap<Arc<str>, Known>,
    verifiers: HashMap<Arc<str>, Arc<Verifier>>,
    /// The documents that a watch has told of since it began.
    told: HashMap<DocKind, HashSet<Arc<str>>>,
    synced: HashSet<DocKind>,
}

/// An endpoint that is routed to.
struct Known {
    endpoint: Arc<Endpoint>,
    versions: Vec<Running>,
}

/// A version of it.
struct Running {
    spec: VersionSpec,
    lane: Arc<Lane>,
    status: Arc<ArcSwapOption<Status>>,
    scaling: Scaling,
    /// The last order to the backend.
    ordered: Option<AbortHandle>,
    /// Ends with the version.
    _follower: JoinSet<()>,
}

impl Control {
    fn new(inner: Arc<Inner>, seams: Seams) -> Self {
        let leadership = Leadership::new(seams.leases.clone(), seams.holder.clone());
        Self {
            inner,
            seams,
            leadership,
            orders: Orders::default(),
            endpoints: BTreeMap::new(),
            verifiers: HashMap::new(),
            told: HashMap::new(),
            synced: HashSet::new(),
        }
    }

    // === documents ===

    async fn take(&mut self, event: Event) {
        match event {
            Event::Begun(kind) => {
                self.told.insert(kind, HashSet::new());
            }
            Event::Told(kind, Change::Put(key, found)) => {
                self.told.entry(kind).or_default().insert(key.name().into());
                match kind {
                    DocKind::Verifier if key.name() == PublishedIssuer::DOCUMENT => {
                        self.put_issuer(&found.value);
                    }
                    DocKind::Verifier => self.put_verifier(key.name(), &found.value),
                    _ => self.put_endpoint(key.name(), &found.value).await,
                }
            }
            Event::Told(kind, Change::Deleted(key)) => self.delete(kind, key.name()),
            Event::Told(kind, Change::Synced) => self.sync(kind),
        }
    }

    /// Everything that exists was told; the rest is gone.
    fn sync(&mut self, kind: DocKind) {
        let told = self.told.entry(kind).or_default().clone();
        let known: Vec<Arc<str>> = match kind {
            DocKind::Verifier => {
                let issuer: Arc<str> = PublishedIssuer::DOCUMENT.into();
                self.verifiers.keys().cloned().chain([issuer]).collect()
            }
            _ => self.endpoints.keys().cloned().collect(),
        };
        for name in known.into_iter().filter(|name| !told.contains(name)) {
            self.delete(kind, &name);
        }
        self.synced.insert(kind);
        if self.synced.len() == 2 && !self.inner.is_synced() {
            tracing::info!(endpoints = self.endpoints.len(), "the catalog has been read");
            self.inner.set_synced();
        }
    }

    fn put_issuer(&self, document: &Document) {
        match PublishedIssuer::from_json(document.as_json()) {
            Ok(issuer) => self.inner.tokens.put(&issuer),
            Err(error) => tracing::error!(%error, "issuer of tokens kept as it was"),
        }
    }

    fn put_verifier(&mut self, name: &str, document: &Document) {
        match Verifier::from_json(document.as_json()) {
            Ok(verifier) => {
                let verifier = Arc::new(verifier);
                if let Some(known) = self.endpoints.get(name) {
                    known.endpoint.verifier.store(Some(Arc::clone(&verifier)));
                }
                self.verifiers.insert(name.into(), verifier);
            }
            Err(error) => tracing::error!(endpoint = name, %error, "verifier kept as it was"),
        }
    }

    async fn put_endpoint(&mut self, name: &str, document: &Document) {
        match EndpointSpec::from_json(document.as_json()) {
            Ok(spec) if spec.name.as_ref() == name => self.publish(spec).await,
            Ok(spec) => {
                tracing::error!(endpoint = name, found = %spec.name, "document names another endpoint")
            }
            Err(report) => tracing::error!(endpoint = name, %report, "endpoint kept as it was"),
        }
    }

    fn delete(&mut self, kind: DocKind, name: &str) {
        match kind {
            DocKind::Verifier if name == PublishedIssuer::DOCUMENT => self.inner.tokens.remove(),
            DocKind::Verifier => {
                self.verifiers.remove(name);
                if let Some(known) = self.endpoints.get(name) {
                    known.endpoint.verifier.store(None);
                }
            }
            _ => {
                if let Some(known) = self.endpoints.remove(name) {
                    self.publish_routes();
                    for version in known.versions {
                        version.lane.retire();
                    }
                }
            }
        }
    }

    /// Puts a document in force. Requests see the old state or the new one, never something between; those that wait for
    /// a version that is gone choose again.
    async fn publish(&mut self, spec: EndpointSpec) {
        let name: Arc<str> = spec.name.as_ref().into();
        let (endpoint, mut old) = match self.endpoints.remove(&name) {
            Some(Known { endpoint, versions }) => (Some(endpoint), versions),
            None => (None, Vec::new()),
        };
        let mut versions = Vec::with_capacity(spec.versions.len());
        for version in &spec.versions {
            match old.iter().position(|running| running.spec.name == version.name) {
                Some(at) => {
                    let mut running = old.swap_remove(at);
                    running.lane.configure(version.max_concurrent, limits::waiting(&spec, version));
                    running.spec = version.clone();
                    versions.push(running);
                }
                None => versions.push(self.start(&spec, version).await),
            }
        }
        let lanes: Vec<Arc<Lane>> = versions.iter().map(|running| Arc::clone(&running.lane)).collect();
        let metrics = &self.inner.metrics;
        let endpoint = match endpoint {
            Some(endpoint) => {
                let next = endpoint.live.load().next(spec, &lanes, metrics);
                endpoint.live.store(Arc::new(next));
                endpoint
            }
            None => Arc::new(Endpoint {
                name: Arc::clone(&name),
                live: ArcSwap::from_pointee(Live::new(spec, &lanes, metrics)),
                verifier: ArcSwapOption::new(self.verifiers.get(&name).cloned()),
            }),
        };
        self.endpoints.insert(name, Known { endpoint, versions });
        self.publish_routes();
        for gone in old {
            gone.lane.retire();
        }
    }

    fn publish_routes(&self) {
        let routes: Routes = self
            .endpoints
            .iter()
            .map(|(name, known)| (Arc::clone(name), Arc::clone(&known.endpoint)))
            .collect();
        self.inner.routes.store(Arc::new(routes));
    }

    /// Starts a version. Where the fleet answers in time, its replicas are there before the first request is.
    async fn start(&self, spec: &EndpointSpec, version: &VersionSpec) -> Running {
        let id = WorkloadId::new(spec.name.clone(), version.name.clone());
        let limits = limits::waiting(spec, version);
        let lane = Lane::start(id, version.max_concurrent, limits, Arc::clone(&self.inner.commons));
        let status = Arc::new(ArcSwapOption::empty());
        let (first, seen) = tokio::sync::oneshot::channel();
        let mut follower = JoinSet::new();
        follower.spawn(follow(
            Arc::clone(&self.seams.fleet),
            Arc::clone(&lane),
            Arc::clone(&status),
            Some(first),
        ));
        let _ = tokio::time::timeout(FIRST_STATUS, seen).await;
        let scaling = Scaling::new(self.inner.commons.clock.now());
        Running { spec: version.clone(), lane, status, scaling, ordered: None, _follower: follower }
    }

    // === replicas ===

    async fn tick(&mut self) {
        self.scale().await;
        let now = self.inner.commons.clock.now();
        for running in self.endpoints.values_mut().flat_map(|known| &mut known.versions) {
            running.lane.prune();
            let status = running.status.load();
            let status = status.as_deref().cloned().unwrap_or_default();
            running.scaling.window(now, &running.lane, &status);
        }
    }

    async fn scale(&mut self) {
        let now = self.inner.commons.clock.now();
        let fence = self.leadership.fence(now).await;
        self.inner.scales.store(fence.is_some(), Ordering::Relaxed);
        let Some(fence) = fence else { return };
        for running in self.endpoints.values_mut().flat_map(|known| &mut known.versions) {
            // One order at a time for a version: the next depends on what becomes of this one.
            if running.ordered.as_ref().is_some_and(|ordered| !ordered.is_finished()) {
                continue;
            }
            // Without a status nothing is known, and nothing is done.
            let Some(status) = running.status.load_full() else { continue };
            let order = running.scaling.step(now, &running.lane, &running.spec, &status, &self.seams.policy);
            running.ordered = order.map(|order| {
                let (fleet, lane) = (Arc::clone(&self.seams.fleet), Arc::clone(&running.lane));
                self.orders.ask(fleet, lane, status.wanted, order, fence)
            });
        }
    }

    /// Takes in what the backend said to an order; nothing, if its version has gone meanwhile.
    fn heed(&mut self, answer: &Answer) {
        let mut versions = self.endpoints.values_mut().flat_map(|known| &mut known.versions);
        let Some(running) = versions.find(|running| Arc::ptr_eq(&running.lane, &answer.lane)) else { return };
        let Answer { lane, from, order, said } = answer;
        let (id, to) = (&lane.id, order.to);
        match said {
            Some(Ok(())) => {
                tracing::info!(workload = %id, from, to, "scaled");
                running.scaling.clear_trouble();
                lane.named(&order.drained);
            }
            Some(Err(error)) => {
                tracing::warn!(workload = %id, from, to, %error, "not scaled");
                match error.kind() {
                    ErrorKind::Capacity => {
                        let now = self.inner.commons.clock.now();
                        running.scaling.capacity_reached(now, *from, error.to_string());
                    }
                    _ => running.scaling.set_trouble(error.to_string()),
                }
                if error.kind() == ErrorKind::Conflict {
                    // Somebody else scales: those that were to leave are needed until that one says otherwise.
                    lane.drain(0);
                }
            }
            None => {
                tracing::warn!(workload = %id, to, "the backend does not answer");
                running.scaling.set_trouble("the backend does not answer".into());
            }
        }
    }
}

/// Follows the replicas of one version, again and again.
async fn follow(
    fleet: Arc<dyn Fleet>,
    lane: Arc<Lane>,
    seen: Arc<ArcSwapOption<Status>>,
    mut first: Option<tokio::sync::oneshot::Sender<()>>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        match fleet.watch(&lane.id).await {
            Ok(mut statuses) => loop {
                let status = Arc::clone(&statuses.borrow_and_update());
                lane.follow(&status);
                seen.store(Some(status));
                if let Some(first) = first.take() {
                    let _ = first.send(());
                }
                pause = FIRST_PAUSE;
                if statuses.changed().await.is_err() {
                    break;
                }
            },
            Err(error) => tracing::warn!(workload = %lane.id, %error, "cannot watch the replicas"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

const FIRST_STATUS: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
