//! What all parts of a simulated world share: the log, the clock, chance, the trace, and what is
//! known of every process.
//!
//! Not what happens in it: that is `world`. One thread does everything, but a call on the log or the
//! store can let others have their turns before it returns, so that every lock here is taken for a
//! moment and never while somebody else may run. Invariant: chance is drawn from in one place, in the
//! order in which things happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline::clock::Clock;
use pipeline::embedded::{EmbeddedBroker, MemberId};
use pipeline::log::Partition;
use pipeline::opening::Pipeline;

use super::fault::{Fault, Matrix, Phase, Phases};
use super::input::Input;
use super::plan::{ODDS_OF, Plan};
use super::process::Process;
use super::shelf::Shelf;
use super::trace::{Event, Trace, WORLD};
use crate::traffic::draw::{Domain, Draw};

/// The consumer group of every world.
pub(super) const GROUP: &str = "settle";
/// Its input topic.
pub(super) const INPUT: &str = "orders";
/// Log time at the beginning: a minute before the midnight of Double 11 in China.
pub(super) const STARTS_AT_MS: u64 = 1_762_790_340_000;

/// See the module's documentation.
pub(super) struct Stage {
    pub(super) plan: Plan,
    pub(super) broker: Arc<EmbeddedBroker>,
    pub(super) clock: SimulatedClock,
    pub(super) input: Mutex<Input>,
    pub(super) shelf: Mutex<Shelf>,
    pub(super) processes: Mutex<Vec<Process>>,
    state: Mutex<State>,
}

/// The part of a stage that changes with everything that happens.
pub(super) struct State {
    pub(super) chance: Draw,
    pub(super) trace: Trace,
    pub(super) matrix: Matrix,
    /// Of every living process, by its member's number.
    pub(super) standings: BTreeMap<u64, Standing>,
    /// Whose jobs are being done, innermost last.
    pub(super) at_work: Vec<u64>,
    /// How many calls wait while others have their turns.
    pub(super) depth: u32,
    /// Nothing goes wrong any more.
    pub(super) calm: bool,
    pub(super) store_down_until: u64,
    /// Until when each partition cannot be read.
    pub(super) stalled_until: Vec<u64>,
    /// Slots of workers to be started again, and when.
    pub(super) vacancies: Vec<(u64, u32)>,
    /// Partitions whose offsets were lost: refused until they are adopted.
    pub(super) lost: BTreeSet<Partition>,
    /// Partitions whose commits name another history: refused until they are put right.
    pub(super) doubted: BTreeSet<Partition>,
    /// Partitions that a worker has just refused, until it says why.
    pub(super) refused: Vec<(u64, Partition)>,
    /// The first thing that should never be.
    pub(super) violation: Option<String>,
}

/// What a process is in the midst of.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) transaction: Transaction,
    /// Openings that are not answered.
    pub(super) opening: u32,
    /// Snapshots that are not published.
    pub(super) publishing: u32,
    pub(super) revoking: BTreeSet<Partition>,
    /// Where the replay of each partition ends.
    pub(super) replaying: BTreeMap<Partition, u64>,
}

/// How far a process is with its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Transaction {
    #[default]
    None,
    Open,
    OffsetsSent,
    Ending,
}

impl Standing {
    pub(super) fn phases(&self) -> Phases {
        let mut phases = Phases::default();
        match self.transaction {
            Transaction::None => {}
            Transaction::Open => phases.add(Phase::OpenTransaction),
            Transaction::OffsetsSent => phases.add(Phase::OffsetsSent),
            Transaction::Ending => phases.add(Phase::Ending),
        }
        let others = [
            (self.opening > 0, Phase::Opening),
            (!self.replaying.is_empty(), Phase::Replaying),
            (!self.revoking.is_empty(), Phase::Revoking),
            (self.publishing > 0, Phase::Snapshotting),
        ];
        others.into_iter().filter(|(is_in, _)| *is_in).for_each(|(_, phase)| phases.add(phase));
        phases
    }
}

impl Stage {
    pub(super) fn new(
        plan: Plan,
        broker: Arc<EmbeddedBroker>,
        input: Input,
        trace: Trace,
    ) -> Stage {
        let state = State {
            chance: Draw::of(plan.seed, Domain::Simulation, 1),
            trace,
            matrix: Matrix::default(),
            standings: BTreeMap::new(),
            at_work: Vec::new(),
            depth: 0,
            calm: false,
            store_down_until: 0,
            stalled_until: vec![0; plan.partitions as usize],
            vacancies: Vec::new(),
            lost: BTreeSet::new(),
            doubted: BTreeSet::new(),
            refused: Vec::new(),
            violation: None,
        };
        Stage {
            plan,
            broker,
            clock: SimulatedClock::default(),
            input: Mutex::new(input),
            shelf: Mutex::default(),
            processes: Mutex::default(),
            state: Mutex::new(state),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Milliseconds since the world began.
    pub(super) fn now(&self) -> u64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    /// Lets time pass, for workers and broker.
    pub(super) fn pass(&self, ms: u64) {
        let now = self.clock.0.fetch_add(ms, Ordering::Relaxed) + ms;
        self.broker.set_now((STARTS_AT_MS + now).cast_signed());
    }

    pub(super) fn note(&self, who: u64, event: Event) {
        let now = self.now();
        self.state().trace.note(now, who, event);
    }

    /// A fault that takes effect on one process.
    pub(super) fn strike(&self, who: u64, fault: Fault) {
        let now = self.now();
        self.state().strike(now, who, fault);
    }

    /// A fault that takes effect on all processes.
    pub(super) fn strike_all(&self, fault: Fault) {
        let now = self.now();
        let mut state = self.state();
        let all = state.standings.values().map(Standing::phases);
        let phases = all.fold(Phases::default(), Phases::union);
        state.matrix.note(fault, phases);
        state.trace.note(now, WORLD, Event::Struck { fault, phases });
    }

    /// Which of these faults strikes here, if one does; `favour` multiplies the odds.
    pub(super) fn draw_fault(&self, faults: &[Fault], favour: u64) -> Option<Fault> {
        self.state().draw_fault(&self.plan, faults, favour)
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        self.state().chance.below(bound)
    }

    pub(super) fn between(&self, first: u64, last: u64) -> u64 {
        self.state().chance.between(first, last)
    }

    /// Something that should never be; the first one counts.
    pub(super) fn violate(&self, what: impl FnOnce() -> String) {
        let mut state = self.state();
        if state.violation.is_none() {
            state.violation = Some(what());
        }
    }

    /// Whether a process of this number lives.
    pub(super) fn is_alive(&self, who: u64) -> bool {
        self.state().standings.contains_key(&who)
    }

    /// Changes what is known of a process, if it lives.
    pub(super) fn stand(&self, who: u64, change: impl FnOnce(&mut Standing)) {
        if let Some(standing) = self.state().standings.get_mut(&who) {
            change(standing);
        }
    }

    /// Ends a process as `kill -9` does: from its next call on there is nobody who could make it.
    pub(super) fn kill(&self, who: u64) {
        self.broker.vanish(MemberId(who));
        self.state().standings.remove(&who);
    }

    pub(super) fn pipeline(&self) -> Pipeline {
        Pipeline {
            cluster: "simulated".to_owned(),
            group: GROUP.to_owned(),
            topic: INPUT.to_owned(),
            rules: self.plan.rules,
        }
    }
}

impl State {
    pub(super) fn strike(&mut self, now: u64, who: u64, fault: Fault) {
        let phases = self.standings.get(&who).map(Standing::phases).unwrap_or_default();
        self.matrix.note(fault, phases);
        self.trace.note(now, who, Event::Struck { fault, phases });
    }

    pub(super) fn draw_fault(
        &mut self,
        plan: &Plan,
        faults: &[Fault],
        favour: u64,
    ) -> Option<Fault> {
        if self.calm {
            return None;
        }
        let mut point = self.chance.below(ODDS_OF);
        faults.iter().copied().find(|fault| {
            let odds = plan.odds(*fault) * favour;
            let strikes = point < odds;
            point = point.saturating_sub(odds);
            strikes
        })
    }

    /// Whether something of these odds happens now.
    pub(super) fn happens(&mut self, odds: u64) -> bool {
        !self.calm && self.chance.below(ODDS_OF) < odds
    }
}

/// The workers' clock.
#[derive(Debug, Clone, Default)]
pub(super) struct SimulatedClock(Arc<AtomicU64>);

impl Clock for SimulatedClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Locks what is only ever held for a moment, by the one thread that there is.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
