//! Replicas in the simulator: the least busy takes the next request, idle ones go first.

/// A simulated replica by its number.
pub(super) type Id = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    Draining,
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Replica {
    phase: Phase,
    inside: u32,
    /// Where it stands in the list of its level, while ready.
    place: usize,
}

/// The replicas, ready ones listed by how many requests are inside.
#[derive(Debug)]
pub(super) struct Fleet {
    replicas: Vec<Replica>,
    levels: Vec<Vec<Id>>,
    starting: Vec<Id>,
    pub(super) ready: u32,
    pub(super) draining: u32,
    pub(super) in_flight: u64,
    pub(super) busy: u32,
}

impl Fleet {
    pub(super) fn new(max_concurrent: u32) -> Self {
        Self {
            replicas: Vec::new(),
            levels: vec![Vec::new(); max_concurrent as usize + 1],
            starting: Vec::new(),
            ready: 0,
            draining: 0,
            in_flight: 0,
            busy: 0,
        }
    }

    pub(super) fn starting(&self) -> u32 {
        self.starting.len() as u32
    }

    /// Replicas that somebody pays for.
    pub(super) fn paid(&self) -> u32 {
        self.ready + self.starting() + self.draining
    }

    pub(super) fn start(&mut self) -> Id {
        let id = self.replicas.len();
        self.replicas.push(Replica { phase: Phase::Starting, inside: 0, place: 0 });
        self.starting.push(id);
        id
    }

    /// A replica has started; `false` if it was cancelled in the meantime.
    pub(super) fn ready(&mut self, id: Id) -> bool {
        if self.replicas[id].phase != Phase::Starting {
            return false;
        }
        self.starting.retain(|&other| other != id);
        self.replicas[id].phase = Phase::Ready;
        self.ready += 1;
        self.enlist(id);
        true
    }

    /// Puts a request into the least busy replica with room.
    pub(super) fn assign(&mut self) -> Option<Id> {
        let room = self.levels.len() - 1;
        let level = (0..room).find(|&level| !self.levels[level].is_empty())?;
        let id = self.levels[level].pop()?;
        self.replicas[id].inside += 1;
        self.in_flight += 1;
        self.busy += u32::from(level == 0);
        self.enlist(id);
        Some(id)
    }

    pub(super) fn finish(&mut self, id: Id) {
        let replica = self.replicas[id];
        if replica.phase == Phase::Ready {
            self.delist(id);
        }
        self.replicas[id].inside -= 1;
        self.in_flight -= 1;
        self.busy -= u32::from(replica.inside == 1);
        match replica.phase {
            Phase::Ready => self.enlist(id),
            _ if replica.inside == 1 => {
                self.replicas[id].phase = Phase::Gone;
                self.draining -= 1;
            }
            _ => {}
        }
    }

    /// Takes one replica out: the youngest that still starts, else the least busy, which drains.
    pub(super) fn retire(&mut self) {
        if let Some(id) = self.starting.pop() {
            self.replicas[id].phase = Phase::Gone;
            return;
        }
        let Some(id) = self.levels.iter().find_map(|level| level.last().copied()) else { return };
        self.delist(id);
        self.ready -= 1;
        let idle = self.replicas[id].inside == 0;
        self.replicas[id].phase = if idle { Phase::Gone } else { Phase::Draining };
        self.draining += u32::from(!idle);
    }

    fn enlist(&mut self, id: Id) {
        let level = &mut self.levels[self.replicas[id].inside as usize];
        self.replicas[id].place = level.len();
        level.push(id);
    }

    fn delist(&mut self, id: Id) {
        let Replica { inside, place, .. } = self.replicas[id];
        let level = &mut self.levels[inside as usize];
        level.swap_remove(place);
        if let Some(&moved) = level.get(place) {
            self.replicas[moved].place = place;
        }
    }
}
