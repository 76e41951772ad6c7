//! One task for each workload: takes orders and news, and keeps as many places as there are to be.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use portway_backend::{BackendError, Fence, Project, ReplicaId, Status, Workload};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::keeper::{Event, Generation, Keeper, News};
use super::order::{Order, What};
use super::plan::{Place, plan};
use super::slot::Slot;
use super::status::{self, View, ViewState};
use crate::host::Host;
use crate::process::replica::Stop;
use crate::state::records::Record;

/// How often a workload without room looks for some.
const ROOM_INTERVAL: Duration = Duration::from_millis(500);

/// A workload and its places.
pub(crate) struct Supervisor {
    host: Arc<Host>,
    record: Record,
    generation: Option<Arc<Generation>>,
    /// Why there is none although there was one.
    damage: Option<String>,
    slots: Vec<Slot>,
    next_place: u64,
    status: watch::Sender<Arc<Status>>,
    events: mpsc::UnboundedSender<Event>,
    keepers: JoinSet<()>,
    /// What the last order named as drained, until it has been carried out.
    drained: Vec<ReplicaId>,
    /// The room that it has: one for each replica that can be.
    seats: Vec<OwnedSemaphorePermit>,
    /// Set once everything is to end, for good.
    is_ending: bool,
    /// Who waits for that.
    ending: Vec<oneshot::Sender<Result<(), BackendError>>>,
}

impl Supervisor {
    /// Starts the task for `record`, which shows its state through `status` and ends when `orders` is closed.
    pub(crate) fn start(
        host: Arc<Host>,
        record: Record,
        damage: Option<String>,
        status: watch::Sender<Arc<Status>>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) {
        let (events, news) = mpsc::unbounded_channel();
        let generation = record.workload.clone().map(new_generation);
        let supervisor = Self {
            host,
            record,
            generation,
            damage,
            slots: Vec::new(),
            next_place: 0,
            status,
            events,
            keepers: JoinSet::new(),
            drained: Vec::new(),
            seats: Vec::new(),
            is_ending: false,
            ending: Vec::new(),
        };
        tokio::spawn(supervisor.work(orders, news));
    }

    async fn work(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut news: mpsc::UnboundedReceiver<Event>,
    ) {
        self.settle();
        while !(self.is_ending && self.slots.is_empty()) {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    // Nobody has the backend any more. The guards end what still runs.
                    None => return,
                },
                Some(event) = news.recv() => self.hear(event),
                Some(_) = self.keepers.join_next() => {}
                () = sleep(ROOM_INTERVAL), if self.missing() > 0 => {}
            }
            self.settle();
        }
        while self.keepers.join_next().await.is_some() {}
        let answers = std::mem::take(&mut self.ending);
        // Whoever hears that it has ended can have the folder.
        drop((self, orders));
        for answer in answers {
            let _ = answer.send(Ok(()));
        }
    }

    // === orders ===

    async fn obey(&mut self, Order { what, answer }: Order) {
        let result = match what {
            What::ShutDown => {
                self.is_ending = true;
                return self.ending.push(answer);
            }
            _ if self.is_ending => Err(BackendError::unavailable("the backend is shutting down")),
            What::Apply(workload) => self.apply(*workload).await,
            What::Scale { to, drained, fence } => self.scale(to, drained, fence).await,
            What::Remove => self.remove().await,
        };
        // Whoever has the answer must not see a status from before the order.
        self.settle();
        // Whoever asked may have gone; the order is carried out all the same.
        let _ = answer.send(result);
    }

    async fn apply(&mut self, workload: Workload) -> Result<(), BackendError> {
        let before = self.record.workload.as_ref();
        let runs_the_same = before.is_some_and(|before| is_same_program(before, &workload));
        if before != Some(&workload) {
            let wanted = if before.is_some() { self.record.wanted } else { workload.initial_replicas };
            self.check_room(wanted)?;
            self.replace_record(Record { workload: Some(workload.clone()), wanted, ..self.record.clone() })
                .await?;
        }
        self.damage = None;
        self.give_another_chance();
        if !runs_the_same {
            tracing::info!(workload = %self.record.id, replicas = self.record.wanted, "applied");
            self.generation = Some(new_generation(workload));
        }
        Ok(())
    }

    async fn scale(&mut self, to: u32, drained: Vec<ReplicaId>, fence: Fence) -> Result<(), BackendError> {
        let id = &self.record.id;
        if self.record.workload.is_none() {
            return Err(BackendError::not_found(format!("there is no workload {id}; apply it first")));
        }
        if let Some(younger) = self.record.fence.filter(|known| *known > fence) {
            return Err(BackendError::conflict(format!(
                "{id} is scaled under fence {younger}, {fence} is out of date; acquire the lease again"
            )));
        }
        self.check_room(to)?;
        let record = Record { wanted: to, fence: Some(fence), ..self.record.clone() };
        if record != self.record {
            tracing::info!(workload = %id, from = self.record.wanted, to, "scaled");
            self.host.write(&record).await?;
            self.record = record;
        }
        // Those that went already are told once more: now they are known to be idle.
        for slot in &self.slots {
            if slot.view.state == ViewState::Going
                && slot.view.replica.as_ref().is_some_and(|id| drained.contains(id))
            {
                slot.tell(Stop::Now);
            }
        }
        self.drained = drained;
        self.give_another_chance();
        Ok(())
    }

    async fn remove(&mut self) -> Result<(), BackendError> {
        if self.record.workload.is_some() {
            tracing::info!(workload = %self.record.id, "removed");
            self.replace_record(Record { workload: None, wanted: 0, ..self.record.clone() }).await?;
        } else if self.damage.take().is_some() {
            // The damaged file goes.
            self.host.write(&self.record).await?;
        }
        self.generation = None;
        Ok(())
    }

    /// Writes down what is now wanted and keeps the project that it needs.
    async fn replace_record(&mut self, record: Record) -> Result<(), BackendError> {
        let (new, old) = (project(&record), project(&self.record));
        // Bytes that it has already stay, even if their name is gone.
        let is_new = new != old;
        if let Some(new) = new.as_ref().filter(|_| is_new) {
            self.host.artifacts.pin(&new.artifact, &new.digest)?;
        }
        let written = self.host.write(&record).await;
        let obsolete = if written.is_ok() { old } else { new };
        if let Some(obsolete) = obsolete.filter(|_| is_new) {
            self.host.artifacts.unpin(&obsolete.digest);
        }
        if written.is_ok() {
            self.record = record;
        }
        written
    }

    fn check_room(&self, wanted: u32) -> Result<(), BackendError> {
        let room = self.host.options.max_replicas;
        if wanted <= room {
            return Ok(());
        }
        Err(BackendError::capacity(format!(
            "{} cannot have {wanted} replicas: this backend holds {room} at most; ask for fewer, or raise max_replicas",
            self.record.id
        )))
    }

    /// Forgets the places that were given up, so that others are started.
    fn give_another_chance(&mut self) {
        self.slots.retain(|slot| slot.view.state != ViewState::GaveUp);
    }

    // === news ===

    fn hear(&mut self, Event { place, news }: Event) {
        let Some(index) = self.slots.iter().position(|slot| slot.place == place) else { return };
        if matches!(news, News::Ended) {
            self.slots.remove(index);
            return;
        }
        self.slots[index].hear(news);
    }

    // === what follows from them ===

    /// Starts and stops what the plan says and shows the result.
    fn settle(&mut self) {
        self.take_seats();
        let places: Vec<Place> = self.slots.iter().map(|slot| slot.place(self.generation.as_ref())).collect();
        let plan = plan(self.seats.len(), &places, &self.drained);
        let stop = if self.is_ending { Stop::Now } else { Stop::Drain };
        for _ in 0..plan.start {
            self.add_slot();
        }
        for index in &plan.stop {
            self.slots[*index].view.state = ViewState::Going;
        }
        // Shown first, told afterwards: a gateway gets all the time there is.
        self.show();
        for index in plan.stop {
            let slot = &self.slots[index];
            let is_drained = slot.view.replica.as_ref().is_some_and(|replica| self.drained.contains(replica));
            slot.tell(if is_drained { Stop::Now } else { stop });
        }
        // Those that were not needed are given requests again.
        self.drained.clear();
    }

    fn wanted(&self) -> u32 {
        if self.record.workload.is_none() || self.is_ending { 0 } else { self.record.wanted }
    }

    /// How many replicas have no room.
    fn missing(&self) -> u32 {
        self.wanted().saturating_sub(u32::try_from(self.seats.len()).unwrap_or(u32::MAX))
    }

    /// Takes as much room as is wanted and there is.
    fn take_seats(&mut self) {
        let wanted = usize::try_from(self.wanted()).unwrap_or(usize::MAX);
        self.seats.truncate(wanted);
        while self.seats.len() < wanted {
            let Ok(seat) = Arc::clone(&self.host.seats).try_acquire_owned() else { break };
            self.seats.push(seat);
        }
    }

    /// Makes a place and starts its keeper.
    fn add_slot(&mut self) {
        let Some(generation) = self.generation.clone() else { return };
        let (stop, told) = watch::channel(Stop::No);
        let place = self.next_place;
        self.next_place += 1;
        let keeper = Keeper {
            host: Arc::clone(&self.host),
            generation: Arc::clone(&generation),
            place,
            stop: told,
            events: self.events.clone(),
        };
        self.keepers.spawn(keeper.work());
        self.slots.push(Slot { place, generation, stop, view: View::default() });
    }

    fn show(&self) {
        let current = self.generation.as_ref();
        let views: Vec<View> = self.slots.iter().map(|slot| slot.view(current)).collect();
        let shown = match (&self.damage, &self.record.workload) {
            (Some(damage), _) => status::damaged(damage),
            (None, None) => status::removed(&views),
            (None, Some(_)) => status::status(self.record.wanted, self.missing(), &views),
        };
        self.status.send_if_modified(|status| {
            let differs = **status != shown;
            if differs {
                *status = Arc::new(shown);
            }
            differs
        });
    }
}

fn new_generation(workload: Workload) -> Arc<Generation> {
    Arc::new(Generation { workload, was_ready: AtomicBool::new(false) })
}

fn project(record: &Record) -> Option<Project> {
    record.workload.as_ref()?.program.project.clone()
}

/// Whether replicas of the one need not be replaced by replicas of the other.
fn is_same_program(one: &Workload, other: &Workload) -> bool {
    let mut same = other.clone();
    same.initial_replicas = one.initial_replicas;
    same == *one
}
