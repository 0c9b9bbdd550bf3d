//! A worker's process: hired, given its turns, killed, stopped, started again.
//!
//! Not the worker, which is the pipeline's. Invariant: a process that is dead gets no turn, and what
//! it left behind (its transaction, its session, its late writes) is for others to deal with.

use std::sync::Arc;

use pipeline::background::SnapshotSlot;
use pipeline::embedded::MemberId;
use pipeline::log::Partition;
use pipeline::opening::{NotOpened, Opened, Opener};
use pipeline::status::{PartitionStatus, Shared};
use pipeline::stock_view::StockViews;
use pipeline::store::SnapshotStore;
use pipeline::worker::{Turn, Worker, WorkerError};

use super::connection::Connection;
use super::desk::Desk;
use super::fault::Fault;
use super::plan::WORKERS_MAX;
use super::shelf::Door;
use super::stage::{GROUP, SimulatedClock, Stage, Standing, lock};
use super::trace::{Event, Gone};

/// Longest until a dead worker is started again.
const RESTART_MS_MAX: u64 = 1_500;

type SimulatedWorker = Worker<Connection, Desk, SimulatedClock>;

/// See the module's documentation.
pub(super) struct Process {
    pub(super) who: u64,
    /// Its place among the workers, from 0; a successor has the same.
    pub(super) slot: u32,
    name: String,
    /// None while it has its turn.
    worker: Option<Box<SimulatedWorker>>,
    desk: Desk,
    shared: Arc<Shared>,
    /// It gets no turn before.
    stands_until: u64,
    is_leaving: bool,
}

impl Stage {
    /// Starts a worker in a slot.
    pub(super) fn hire(self: &Arc<Self>, slot: u32) {
        let name = match self.plan.names_are_stable {
            true => format!("settle-{slot}"),
            false => format!("settle-{slot}-{}", self.now()),
        };
        self.hire_as(slot, name);
    }

    fn hire_as(self: &Arc<Self>, slot: u32, name: String) {
        let log = self.broker.member(GROUP, &name);
        let who = log.id().0;
        self.state().standings.insert(who, Standing::default());
        let store: Arc<dyn SnapshotStore> = Arc::new(Door::new(who, self));
        let offsets = Box::new(self.broker.offsets(GROUP));
        let opener = Opener::new(self.pipeline(), offsets, Arc::clone(&store));
        let desk = Desk::new(who, self, opener, store);
        let shared = Arc::new(Shared::new(0, Arc::new(StockViews::default())));
        let worker = Worker::new(
            Connection::new(log, self),
            desk.clone(),
            self.clock.clone(),
            self.pipeline(),
            self.plan.worker.clone(),
            SnapshotSlot::default(),
            Arc::clone(&shared),
        );
        let worker = Some(Box::new(worker));
        let process =
            Process { who, slot, name, worker, desk, shared, stands_until: 0, is_leaving: false };
        lock(&self.processes).push(process);
        self.note(who, Event::Hired { name: slot });
    }

    /// Gives a process its turn: its jobs that are due, then its loop.
    pub(super) fn give_turn(self: &Arc<Self>, who: u64) {
        let Some(desk) = self.desk_of(who) else { return };
        desk.work(self);
        let Some(mut worker) = self.take_worker(who) else { return };
        let turned = worker.turn();
        if !self.is_alive(who) {
            // Whatever a dead process says is not heard.
            drop(worker);
            return;
        }
        match turned {
            Ok(Turn::Again) => {
                self.put_back(who, worker);
                self.judge_refusals();
            }
            Ok(Turn::Left) => self.dismiss(who, Gone::Left),
            Err(WorkerError::FencedByNamesake(_)) => {
                self.dismiss(who, Gone::FencedByNamesake);
            }
            Err(error) => self.violate(|| format!("worker {who} gave up: {error}")),
        }
    }

    fn desk_of(&self, who: u64) -> Option<Desk> {
        let processes = lock(&self.processes);
        let process = processes.iter().find(|process| process.who == who)?;
        (process.stands_until <= self.now()).then(|| process.desk.clone())
    }

    fn take_worker(&self, who: u64) -> Option<Box<SimulatedWorker>> {
        let mut processes = lock(&self.processes);
        processes.iter_mut().find(|process| process.who == who)?.worker.take()
    }

    fn put_back(&self, who: u64, worker: Box<SimulatedWorker>) {
        let mut processes = lock(&self.processes);
        if let Some(process) = processes.iter_mut().find(|process| process.who == who) {
            process.worker = Some(worker);
        }
    }

    /// A process ends by itself.
    fn dismiss(&self, who: u64, how: Gone) {
        self.note(who, Event::Gone { how });
        let slot = self.remove(who);
        let mut state = self.state();
        if how == Gone::FencedByNamesake {
            let due = self.now() + state.chance.below(RESTART_MS_MAX);
            state.vacancies.extend(slot.map(|slot| (due, slot)));
        }
    }

    /// Takes a process out of the world; tells its slot, unless a namesake holds it too.
    fn remove(&self, who: u64) -> Option<u32> {
        self.kill(who);
        let mut processes = lock(&self.processes);
        let number = processes.iter().position(|process| process.who == who)?;
        let gone = processes.remove(number);
        let has_namesake = processes.iter().any(|other| other.slot == gone.slot);
        drop(processes);
        (!has_namesake).then_some(gone.slot)
    }

    /// `kill -9`; it is started again some time later.
    pub(super) fn crash(&self, who: u64) {
        self.strike(who, Fault::Crash);
        self.note(who, Event::Gone { how: Gone::Crashed });
        if let Some(slot) = self.remove(who) {
            let mut state = self.state();
            let due = self.now() + state.chance.below(RESTART_MS_MAX);
            state.vacancies.push((due, slot));
        }
    }

    /// Ends a process without starting it again.
    pub(super) fn bury(&self, who: u64) {
        self.note(who, Event::Gone { how: Gone::Crashed });
        self.remove(who);
    }

    /// Somebody else initialises a worker's transactional id.
    pub(super) fn fence(&self, who: u64) {
        let name = {
            let processes = lock(&self.processes);
            let found = processes.iter().find(|process| process.who == who);
            found.map(|process| process.name.clone())
        };
        name.into_iter().for_each(|name| drop(self.broker.publisher(&name)));
    }

    /// A process stands still between two turns; sometimes a second one of its name is started
    /// meanwhile, as a supervisor does that takes it for dead.
    pub(super) fn stand_still(self: &Arc<Self>, who: u64, ms: u64) {
        let until = self.now() + ms;
        let mut twin = None;
        for process in lock(&self.processes).iter_mut().filter(|process| process.who == who) {
            process.stands_until = until;
            twin = Some((process.slot, process.name.clone()));
        }
        let doubles = self.below(3) == 0 && lock(&self.processes).len() < WORKERS_MAX as usize;
        if let Some((slot, name)) = twin.filter(|_| doubles) {
            self.hire_as(slot, name);
        }
    }

    /// Asks a process to leave, as SIGTERM does; says whether it was not leaving yet.
    pub(super) fn stop(&self, who: u64) -> bool {
        let mut processes = lock(&self.processes);
        let Some(process) = processes.iter_mut().find(|process| process.who == who) else {
            return false;
        };
        let was_staying = !process.is_leaving;
        process.is_leaving = true;
        process.shared.stop();
        drop(processes);
        self.note(who, Event::Stopped);
        was_staying
    }

    /// Wakes whoever stands still.
    pub(super) fn wake_all(&self) {
        lock(&self.processes).iter_mut().for_each(|process| process.stands_until = 0);
    }

    /// The numbers of all processes.
    pub(super) fn everybody(&self) -> Vec<u64> {
        lock(&self.processes).iter().map(|process| process.who).collect()
    }

    /// The lowest slot that nobody has or will have.
    pub(super) fn free_slot(&self) -> Option<u32> {
        let processes = lock(&self.processes);
        let state = self.state();
        (0..WORKERS_MAX).find(|slot| {
            processes.iter().all(|process| process.slot != *slot)
                && state.vacancies.iter().all(|(_, vacant)| vacant != slot)
        })
    }

    /// What every worker says of its partitions, and the shortest time for which one has been idle.
    pub(super) fn statuses(&self) -> (Vec<PartitionStatus>, Option<u64>) {
        let mut all = Vec::new();
        let mut idle_ms = Some(u64::MAX);
        for process in lock(&self.processes).iter() {
            let status = process.shared.status();
            if !status.partitions.is_empty() {
                idle_ms = idle_ms.zip(status.idle_ms).map(|(idle, its)| idle.min(its));
            }
            all.extend(status.partitions);
        }
        (all, idle_ms)
    }

    /// What an opener found; the worker may have lost the partition meanwhile and not listen.
    pub(super) fn note_opening(
        &self,
        who: u64,
        partition: Partition,
        outcome: &Result<Opened, NotOpened>,
    ) {
        match outcome {
            Ok(opened) => {
                let replay_until = opened.replay.map(|replay| replay.until.0);
                let at = opened.engine.next().0;
                self.note(who, Event::Opened { partition, at, replay_until });
                if self.state().lost.contains(&partition) {
                    self.violate(|| {
                        format!("partition {partition} was opened though its offsets are lost")
                    });
                }
            }
            Err(why) => {
                let refused = matches!(why, NotOpened::Refused(_));
                self.note(who, Event::NotOpened { partition, refused });
            }
        }
    }

    /// A worker gives up a partition that nobody asked back: it refuses it, which is right only when
    /// its offsets are lost, or name another history.
    pub(super) fn note_refused(&self, who: u64, partition: Partition) {
        let mut state = self.state();
        let is_right = state.lost.contains(&partition) || state.doubted.contains(&partition);
        if !is_right && state.standings.contains_key(&who) {
            state.refused.push((who, partition));
        }
    }

    /// A refusal is wrong; its reason is in the worker's next report.
    fn judge_refusals(&self) {
        let refused = self.state().refused.clone();
        if refused.is_empty() {
            return;
        }
        let (statuses, _) = self.statuses();
        for (who, partition) in refused.into_iter().filter(|(who, _)| self.is_alive(*who)) {
            let is_it = |it: &&PartitionStatus| it.partition == partition && it.phase == "refused";
            if let Some(reason) = statuses.iter().find(is_it).and_then(|it| it.reason.clone()) {
                self.violate(|| format!("worker {who} refuses: {reason}"));
            }
        }
    }

    /// The group takes a process out as if nothing had been heard of it.
    pub(super) fn expire(&self, who: u64) {
        self.broker.expire_session(MemberId(who));
    }
}
