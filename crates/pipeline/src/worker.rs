//! The worker: one member of the group, one transactional producer, one loop.
//!
//! A turn of the loop takes finished jobs, polls, hands outputs to the producer, commits when it
//! is time, and moves partitions through their lives. It never waits for anything but the log:
//! what takes long is a job. There is no lock on an order's way. Here are the loop itself, snapshots
//! and ticks; a transaction's life is in [`commits`], a partition's in [`moves`].
//! Invariant: outputs reach the log only in a transaction that also commits the offsets of the
//! records that caused them. Between its end and the word of it the next one is gathered, which waits for
//! that word; once an outcome is uncertain, no further record is applied until it is certain.

mod commits;
mod moves;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use wire::outputs::Outputs;

use self::commits::FENCED_MAX;
use crate::background::{Background, Done, Job, Publication, SlotGuard, SnapshotSlot};
use crate::clock::Clock;
use crate::intake::{Intake, Membership};
use crate::log::{Log, LogError, Partition};
use crate::metadata::RulesHash;
use crate::opening::{Pipeline, Refusal};
use crate::partition::{DrainStep, Owned, Working};
use crate::settings::WorkerSettings;
use crate::snapshot::Header;
use crate::status::{Producing, Seen, Shared};
use crate::transaction::Transaction;

/// What a worker does that appends a tick, should it fail.
const TICKING: &str = "appending a tick";
/// Longest wait for records in one poll; short enough for a prompt stop.
const POLL_WAIT_MAX: Duration = Duration::from_millis(50);

/// Why a worker ended other than by leaving.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// What a partition was decided with does not fit this configuration or program: exit code 78.
    #[error("{0}")]
    Configuration(Refusal),
    /// Another process uses the same name.
    #[error(
        "fenced {FENCED_MAX} times within a minute: another process uses the transactional id of \
         this one ({0}). Give each process its own --instance"
    )]
    FencedByNamesake(String),
    /// The log refuses for good.
    #[error("the log refuses: {0}")]
    Log(String),
}

/// What a turn of the loop found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Go on.
    Again,
    /// The group is left and every partition given up.
    Left,
}

/// See the module's documentation.
pub struct Worker<L, B, C> {
    pub(crate) log: L,
    background: B,
    clock: C,
    pipeline: Pipeline,
    rules: RulesHash,
    settings: WorkerSettings,
    slot: SnapshotSlot,
    shared: Arc<Shared>,
    partitions: BTreeMap<Partition, Owned>,
    /// Asked to end, with its outcome not known yet; empty if there is none.
    ending: Transaction,
    /// What is gathered behind it. Nothing of it is begun before the outcome is known.
    transaction: Transaction,
    replayed: Outputs,
    producing: Producing,
    members: Vec<Membership>,
    fenced_at: VecDeque<Duration>,
    /// When the group last took a partition away without asking.
    lost_at: Option<Duration>,
    leaving: bool,
    attempts: u64,
}

impl<L: Log, B: Background, C: Clock> Worker<L, B, C> {
    /// A worker that has not joined the group yet.
    pub fn new(
        log: L,
        background: B,
        clock: C,
        pipeline: Pipeline,
        settings: WorkerSettings,
        slot: SnapshotSlot,
        shared: Arc<Shared>,
    ) -> Worker<L, B, C> {
        Worker {
            log,
            background,
            clock,
            rules: RulesHash::of(&pipeline.rules),
            pipeline,
            settings,
            slot,
            shared,
            partitions: BTreeMap::new(),
            ending: Transaction::default(),
            transaction: Transaction::default(),
            replayed: Outputs::default(),
            producing: Producing::Starting,
            members: Vec::new(),
            fenced_at: VecDeque::new(),
            lost_at: None,
            leaving: false,
            attempts: 0,
        }
    }

    /// Turns until the group is left.
    pub fn run(&mut self) -> Result<(), WorkerError> {
        while self.turn()? == Turn::Again {}
        Ok(())
    }

    /// One turn of the loop.
    pub fn turn(&mut self) -> Result<Turn, WorkerError> {
        self.shared.beat();
        if self.begin_leaving()? == Turn::Left {
            return Ok(Turn::Left);
        }
        while let Some(done) = self.background.finished() {
            self.on_done(done)?;
        }
        self.make_producer()?;
        self.start_reading()?;
        self.poll()?;
        // What is known counts, even of a partition that was lost since.
        self.hear_outcome(Duration::ZERO)?;
        self.on_members()?;
        self.retry_openings();
        if self.producing == Producing::Ready {
            self.write_due_counters();
            self.begin_drains();
            self.hand_on()?;
            self.commit_if_due()?;
            self.take_due_snapshot();
            self.append_due_ticks();
        }
        self.finish_drains();
        self.report();
        // A refused partition was released when it was refused, so that nobody asks it back.
        let owes_nothing = self.partitions.values().all(Owned::is_refused);
        Ok(if self.leaving && owes_nothing { Turn::Left } else { Turn::Again })
    }

    fn begin_leaving(&mut self) -> Result<Turn, WorkerError> {
        if !self.leaving && self.shared.stop_requested() {
            if self.producing == Producing::Starting {
                return Ok(Turn::Left);
            }
            self.leaving = self.tolerate("leaving the group", |log| log.leave())?;
        }
        Ok(Turn::Again)
    }

    /// Makes a call on the log that may fail in passing; says whether it worked.
    fn tolerate(
        &mut self,
        doing: &'static str,
        call: impl FnOnce(&mut L) -> Result<(), LogError>,
    ) -> Result<bool, WorkerError> {
        match call(&mut self.log) {
            Ok(()) => {
                self.shared.works(doing);
                Ok(true)
            }
            Err(LogError::Fatal(why)) => Err(WorkerError::Log(why)),
            Err(error) => {
                self.shared.trouble(doing, &error.to_string());
                Ok(false)
            }
        }
    }

    fn poll(&mut self) -> Result<(), WorkerError> {
        const DOING: &str = "reading";
        let age = self.transaction.age(self.clock.now());
        // Nothing is committed before a producer is there.
        let wait = match self.transaction.is_empty() || self.producing != Producing::Ready {
            true => POLL_WAIT_MAX,
            false => self.settings.commit_interval.saturating_sub(age).min(POLL_WAIT_MAX),
        };
        let Worker {
            log, partitions, transaction, ending, replayed, members, clock, shared, ..
        } = self;
        let mut intake =
            Intake { partitions, transaction, ending, replayed, members, clock, shared };
        match log.poll(wait, &mut |event| intake.on_event(event)) {
            Ok(_) => {
                // On a quiet input no commit would tell so.
                self.shared.works(DOING);
                Ok(())
            }
            Err(LogError::Fatal(why)) => Err(WorkerError::Log(why)),
            Err(error) => {
                self.shared.trouble(DOING, &error.to_string());
                Ok(())
            }
        }
    }

    fn on_members(&mut self) -> Result<(), WorkerError> {
        for member in std::mem::take(&mut self.members) {
            match member {
                Membership::Assigned(partition) => self.open(partition),
                Membership::Revoked(partition) => self.begin_drain(partition)?,
                Membership::Lost(partition) => self.lose(partition),
                Membership::Replayed(partition) => {
                    tracing::info!(partition, "replay reached the committed digest, going live");
                }
                Membership::CutShort(partition) => self.stop_replay(partition)?,
                Membership::Refused(partition, refusal) => self.refuse(partition, refusal)?,
            }
        }
        Ok(())
    }

    fn on_done(&mut self, done: Done) -> Result<(), WorkerError> {
        match done {
            Done::Opened(partition, attempt, outcome) => {
                self.on_opened(partition, attempt, outcome)
            }
            Done::Committed(answer) => self.on_outcome(answer),
            Done::Published { partition, offset, outcome } => {
                self.shared.count_snapshot(partition, &outcome);
                let Some(owned) = self.partitions.get_mut(&partition) else { return Ok(()) };
                if let Some(working) = owned.working_mut()
                    && working.snapshot.under_way == Some(offset)
                {
                    let snapshot = &mut working.snapshot;
                    snapshot.under_way = None;
                    snapshot.trouble = outcome.as_ref().err().map(ToString::to_string);
                    if let Ok(published) = outcome {
                        snapshot.newest = Some(offset);
                        snapshot.newest_at = self.clock.now();
                        snapshot.newest_bytes = Some(published.bytes);
                    }
                }
                if let Some(drain) = &mut owned.drain
                    && drain.step == DrainStep::Publishing(offset)
                {
                    drain.step = DrainStep::Over;
                }
                Ok(())
            }
        }
    }

    /// Right after a commit, so that a snapshot never holds more than what is committed.
    fn take_due_snapshot(&mut self) {
        let due = self
            .due_for_snapshots()
            .filter(|(partition, _)| !self.is_uncommitted(*partition))
            .filter(|(_, working)| working.publishable().is_some())
            .max_by_key(|(_, working)| working.snapshot.records_since);
        let Some((partition, _)) = due else { return };
        if let Some(guard) = self.slot.take() {
            self.publish(partition, Some(guard));
        }
    }

    fn due_for_snapshots(&self) -> impl Iterator<Item = (Partition, &Working)> {
        let now = self.clock.now();
        self.partitions
            .iter()
            .filter_map(|(partition, owned)| Some((*partition, owned.working()?)))
            .filter(|(_, working)| working.replay.is_none())
            .filter(move |(_, working)| working.snapshot_is_due(&self.settings, now))
    }

    fn publish(&mut self, partition: Partition, slot: Option<SlotGuard>) {
        let now = self.clock.now();
        let place = self.pipeline.place(partition);
        let Some(working) = self.partitions.get_mut(&partition).and_then(Owned::working_mut) else {
            return;
        };
        let Some(offset) = working.publishable() else { return };
        let header = Header {
            offset,
            rules: self.pipeline.rules,
            digest: working.engine.digest().to_bits(),
            state_version: ledger::STATE_VERSION,
        };
        let state = working.engine.freeze();
        let previous = working.snapshot.newest;
        working.snapshot.under_way = Some(offset);
        working.snapshot.taken_at = now;
        working.snapshot.records_since = 0;
        working.snapshot.work_since = Duration::ZERO;
        self.background.submit(Job::Publish(Publication { place, header, state, previous, slot }));
    }

    fn append_due_ticks(&mut self) {
        if !self.settings.ticks {
            return;
        }
        let now = self.clock.now();
        let quiet = self.settings.tick_quiet;
        for (partition, owned) in &mut self.partitions {
            let Some(working) = owned.live_mut() else { continue };
            let ledger = working.engine.ledger();
            let since = |at: Duration| now.saturating_sub(at);
            let waited = match working.ticked_at {
                Some(at) => since(at) >= quiet,
                None => ledger.sweep_is_due() || since(working.last_record_at) >= quiet,
            };
            let due = ledger.holds_open() > 0 && waited;
            let silent = since(working.last_record_at.max(working.ticked_at.unwrap_or_default()));
            let heartbeat = self.settings.heartbeat.is_some_and(|heartbeat| silent >= heartbeat);
            if working.at_end_since.is_some() && (due || heartbeat) {
                working.ticked_at = Some(now);
                self.shared.count_tick();
                match self.log.append_tick(*partition) {
                    Ok(()) => self.shared.works(TICKING),
                    Err(error) => self.shared.trouble(TICKING, &error.to_string()),
                }
            }
        }
    }

    fn report(&mut self) {
        let Worker { partitions, ending, transaction, log, shared, clock, .. } = self;
        let (producing, leaving) = (self.producing, self.leaving);
        let uncommitted = ending.outputs.len() + transaction.outputs.len();
        let seen = Seen { now: clock.now(), producing, leaving, partitions, uncommitted };
        shared.report(&seen, log);
    }
}

impl<L, B, C> std::fmt::Debug for Worker<L, B, C> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Worker")
            .field("producing", &self.producing)
            .field("partitions", &self.partitions.keys())
            .field("leaving", &self.leaving)
            .finish_non_exhaustive()
    }
}
