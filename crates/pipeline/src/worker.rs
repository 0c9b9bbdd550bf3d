//! The worker: one member of the group, one transactional producer, one loop.
//!
//! A turn of the loop takes finished jobs, polls, hands outputs to the producer, commits when it
//! is time, and moves partitions through their lives. It never waits for anything but the log:
//! what takes long is a job. There is no lock on an order's way.
//! Invariant: outputs reach the log only in a transaction that also commits the offsets of the
//! records that caused them; while its outcome is uncertain, no further record is applied.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ledger::units::Offset;
use wire::outputs::Outputs;

use crate::background::{Background, Done, Job, Publication, SnapshotSlot};
use crate::clock::Clock;
use crate::intake::{Intake, Membership};
use crate::log::{CommitOutcome, Committed, Log, LogError, Partition, PartitionCommit};
use crate::metadata::RulesHash;
use crate::opening::{NotOpened, Opened, Pipeline, Refusal};
use crate::partition::{Drain, DrainStep, Owned, Phase, Working};
use crate::settings::WorkerSettings;
use crate::snapshot::Header;
use crate::status::{Producing, Shared};
use crate::transaction::{Outcome, Transaction};

/// Longest wait for records in one poll; short enough for a prompt stop.
const POLL_WAIT_MAX: Duration = Duration::from_millis(50);
/// Longest wait for a new producer in one turn, so that the group is still served.
const PRODUCER_WAIT: Duration = Duration::from_millis(500);
/// The same before the group is joined, when only a stop has to be noticed: a cluster that has
/// just started takes a second or two to find its transaction coordinator.
const FIRST_PRODUCER_WAIT: Duration = Duration::from_secs(3);
/// Pause before a partition that could not be opened in passing is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Being fenced this often within [`FENCED_WITHIN`] means that somebody else uses our name.
const FENCED_MAX: usize = 3;
const FENCED_WITHIN: Duration = Duration::from_secs(60);

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
    transaction: Transaction,
    replayed: Outputs,
    producing: Producing,
    members: Vec<Membership>,
    fenced_at: VecDeque<Duration>,
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
            transaction: Transaction::default(),
            replayed: Outputs::default(),
            producing: Producing::Starting,
            members: Vec::new(),
            fenced_at: VecDeque::new(),
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

    // Joining and leaving.

    fn begin_leaving(&mut self) -> Result<Turn, WorkerError> {
        if !self.leaving && self.shared.stop_requested() {
            if self.producing == Producing::Starting {
                return Ok(Turn::Left);
            }
            self.leaving = self.tolerate("leaving the group", |log| log.leave())?;
        }
        Ok(Turn::Again)
    }

    fn make_producer(&mut self) -> Result<(), WorkerError> {
        let replacing = matches!(self.producing, Producing::Starting | Producing::Replacing);
        if !replacing {
            return Ok(());
        }
        let starting = self.producing == Producing::Starting;
        let wait = if starting { FIRST_PRODUCER_WAIT } else { PRODUCER_WAIT };
        match self.log.replace_producer(wait) {
            Ok(()) => {
                self.shared.no_trouble();
                if starting {
                    if self.tolerate("joining the group", |log| log.join())? {
                        self.producing = Producing::Ready;
                    }
                } else {
                    self.ask_for_outcome();
                }
                Ok(())
            }
            Err(LogError::Fatal(why)) => Err(WorkerError::Log(why)),
            Err(LogError::Fenced(why)) => self.count_fence(&why),
            Err(error) => {
                self.shared.trouble("initialising transactions", &error.to_string());
                Ok(())
            }
        }
    }

    /// Makes a call on the log that may fail in passing; says whether it worked.
    fn tolerate(
        &mut self,
        doing: &str,
        call: impl FnOnce(&mut L) -> Result<(), LogError>,
    ) -> Result<bool, WorkerError> {
        match call(&mut self.log) {
            Ok(()) => Ok(true),
            Err(LogError::Fatal(why)) => Err(WorkerError::Log(why)),
            Err(error) => {
                self.shared.trouble(doing, &error.to_string());
                Ok(false)
            }
        }
    }

    // Polling and membership.

    fn poll(&mut self) -> Result<(), WorkerError> {
        let age = self.transaction.age(self.clock.now());
        let wait = match self.transaction.is_empty() {
            true => POLL_WAIT_MAX,
            false => self.settings.commit_interval.saturating_sub(age).min(POLL_WAIT_MAX),
        };
        let Worker { log, partitions, transaction, replayed, members, clock, shared, .. } = self;
        let mut intake = Intake { partitions, transaction, replayed, members, clock, shared };
        match log.poll(wait, &mut |event| intake.on_event(event)) {
            Ok(_) => Ok(()),
            Err(LogError::Fatal(why)) => Err(WorkerError::Log(why)),
            Err(error) => {
                self.shared.trouble("reading", &error.to_string());
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
                Membership::Refused(partition, refusal) => self.refuse(partition, refusal)?,
            }
        }
        Ok(())
    }

    fn open(&mut self, partition: Partition) {
        tracing::info!(partition, "assigned, opening");
        let attempt = self.next_attempt();
        self.partitions.insert(partition, Owned::opening(attempt));
        self.background.submit(Job::Open(partition, attempt));
    }

    fn next_attempt(&mut self) -> u64 {
        self.attempts += 1;
        self.attempts
    }

    fn on_opened(
        &mut self,
        partition: Partition,
        attempt: u64,
        outcome: Result<Box<Opened>, NotOpened>,
    ) -> Result<(), WorkerError> {
        let now = self.clock.now();
        let Some(owned) = self.partitions.get_mut(&partition) else {
            return Ok(()); // Given up in the meantime.
        };
        // The partition may have been given up and assigned again since this answer was asked for:
        // it then tells of offsets that somebody else has moved.
        if !matches!(owned.phase, Phase::Opening { attempt: awaited } if awaited == attempt) {
            return Ok(());
        }
        match outcome {
            Ok(opened) => {
                let start = opened.engine.next();
                let Opened { replay, skipped, .. } = &*opened;
                for skipped in skipped {
                    tracing::warn!(partition, "snapshot passed over: {skipped}");
                }
                let until = replay.map(|replay| replay.until.0);
                tracing::info!(partition, start = start.0, replay_until = until, "opened");
                self.shared.no_trouble();
                self.shared.views().insert(partition, Arc::clone(&opened.view));
                owned.phase = Phase::Working(Box::new(Working::new(*opened, now)));
                Ok(())
            }
            Err(NotOpened::Trouble(trouble)) => {
                self.shared.trouble("opening a partition", &trouble);
                owned.phase = Phase::Waiting { retry_at: now + RETRY_PAUSE, trouble };
                Ok(())
            }
            Err(NotOpened::Refused(refusal)) => self.refuse(partition, refusal),
        }
    }

    fn retry_openings(&mut self) {
        let now = self.clock.now();
        let Worker { partitions, background, attempts, .. } = self;
        for (partition, owned) in partitions {
            if let Phase::Waiting { retry_at, .. } = owned.phase
                && retry_at <= now
            {
                *attempts += 1;
                owned.phase = Phase::Opening { attempt: *attempts };
                background.submit(Job::Open(*partition, *attempts));
            }
        }
    }

    fn refuse(&mut self, partition: Partition, refusal: Refusal) -> Result<(), WorkerError> {
        tracing::error!(partition, "refused: {refusal}");
        self.shared.views().remove(partition);
        if refusal.is_configuration() {
            return Err(WorkerError::Configuration(refusal));
        }
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.phase = Phase::Refused(refusal);
        }
        self.tolerate("giving a refused partition up", |log| log.release(&[partition]))?;
        Ok(())
    }

    fn lose(&mut self, partition: Partition) {
        if self.partitions.get(&partition).is_some_and(Owned::is_refused) {
            tracing::info!(partition, "the group took the refused partition away");
        } else {
            tracing::warn!(partition, "lost to the group");
        }
        self.forget(partition);
        if self.transaction.touches(partition) && self.producing == Producing::Ready {
            self.unsettle(&format!("partition {partition} was lost"));
        }
    }

    fn forget(&mut self, partition: Partition) {
        self.partitions.remove(&partition);
        self.transaction.disown(partition);
        self.shared.views().remove(partition);
    }

    // The transaction.

    fn write_due_counters(&mut self) {
        let now = self.clock.now();
        let Worker { partitions, transaction, settings, .. } = self;
        for (partition, owned) in partitions {
            if let Some(working) = owned.live_mut() {
                let before = transaction.outputs.len();
                working.write_due_counters(settings, now, &mut transaction.outputs);
                if transaction.outputs.len() > before {
                    transaction.touch(*partition, working.committed, now);
                }
            }
        }
    }

    /// Hands new outputs to the producer while more is being read.
    fn hand_on(&mut self) -> Result<(), WorkerError> {
        let Worker { log, transaction, .. } = self;
        if transaction.is_empty() {
            return Ok(());
        }
        let mut handed = Ok(());
        if !transaction.begun {
            handed = log.begin();
            transaction.begun = handed.is_ok();
        }
        if handed.is_ok() && transaction.produced < transaction.outputs.len() {
            handed = log.produce(&transaction.outputs, transaction.produced);
            transaction.produced = transaction.outputs.len();
        }
        match handed {
            Ok(()) => Ok(()),
            Err(LogError::Fatal(why)) => Err(WorkerError::Log(why)),
            Err(LogError::Fenced(why)) => self.on_fenced(&why),
            Err(error) => {
                self.unsettle(&error.to_string());
                Ok(())
            }
        }
    }

    fn commit_if_due(&mut self) -> Result<(), WorkerError> {
        if self.producing != Producing::Ready || self.transaction.is_empty() {
            return Ok(());
        }
        let WorkerSettings { commit_interval, commit_outputs_max, commit_bytes_max, .. } =
            self.settings;
        let due = self.transaction.age(self.clock.now()) >= commit_interval
            || self.transaction.outputs.len() >= commit_outputs_max
            || self.transaction.outputs.bytes() >= commit_bytes_max
            || self.partitions.values().any(Owned::is_draining_into_commit);
        if due { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), WorkerError> {
        let commits = match self.commits() {
            Ok(commits) => commits,
            Err(partition) => {
                self.transaction.disown(partition);
                self.unsettle(&format!("partition {partition} is not worked on any more"));
                return Ok(());
            }
        };
        let began = self.clock.now();
        let outcome = self.log.commit(&commits);
        self.shared.count_commit(&outcome, self.clock.now().saturating_sub(began));
        match outcome {
            CommitOutcome::Committed => {
                self.on_committed();
                Ok(())
            }
            CommitOutcome::CommittedSuspect(why) | CommitOutcome::Unknown(why) => {
                self.unsettle(&why);
                Ok(())
            }
            CommitOutcome::Fenced(why) => self.on_fenced(&why),
        }
    }

    /// The offsets of every partition in the transaction, or one whose offset nobody knows any more:
    /// its outputs must not be committed, since they would be without their input's offset.
    fn commits(&self) -> Result<Vec<PartitionCommit>, Partition> {
        let commit_of = |partition| {
            let working = self.partitions.get(&partition).and_then(Owned::working);
            let working = working.ok_or(partition)?;
            Ok(PartitionCommit {
                partition,
                offset: working.engine.next(),
                metadata: working.metadata(self.rules).to_string(),
            })
        };
        self.transaction.partitions().into_iter().map(commit_of).collect()
    }

    fn on_committed(&mut self) {
        self.shared.no_trouble();
        for partition in self.transaction.partitions() {
            if let Some(working) = self.partitions.get_mut(&partition).and_then(Owned::working_mut)
            {
                working.committed = Some(working.engine.next());
            }
        }
        self.shared.count_committed(self.transaction.records, &self.transaction.outputs);
        self.transaction.clear();
    }

    /// The outcome of the transaction is no longer certain: nothing is read until it is.
    fn unsettle(&mut self, why: &str) {
        tracing::warn!("transaction unsettled, replacing the producer: {why}");
        self.shared.trouble("committing", why);
        self.producing = Producing::Replacing;
        self.transaction.rewind();
        for (partition, owned) in &mut self.partitions {
            let Some(working) = owned.working_mut() else { continue };
            working.is_read = false;
            if let Err(error) = self.log.stop(*partition) {
                self.shared.trouble("stopping to read", &error.to_string());
            }
        }
    }

    fn on_fenced(&mut self, why: &str) -> Result<(), WorkerError> {
        self.unsettle(why);
        self.count_fence(why)
    }

    fn count_fence(&mut self, why: &str) -> Result<(), WorkerError> {
        let now = self.clock.now();
        self.fenced_at.push_back(now);
        self.fenced_at.retain(|at| now.saturating_sub(*at) < FENCED_WITHIN);
        if self.fenced_at.len() >= FENCED_MAX {
            return Err(WorkerError::FencedByNamesake(why.to_owned()));
        }
        Ok(())
    }

    fn ask_for_outcome(&mut self) {
        self.producing = Producing::Asking;
        let touched = self.transaction.partitions();
        if touched.is_empty() {
            self.settled();
        } else {
            self.background.submit(Job::Committed(touched));
        }
    }

    fn on_outcome(&mut self, answer: Result<Vec<Committed>, LogError>) -> Result<(), WorkerError> {
        let committed = match answer {
            Ok(committed) => committed,
            Err(LogError::Fatal(why)) => return Err(WorkerError::Log(why)),
            Err(error) => {
                self.shared.trouble("asking for committed offsets", &error.to_string());
                self.background.submit(Job::Committed(self.transaction.partitions()));
                return Ok(());
            }
        };
        let offsets: Vec<Option<Offset>> =
            committed.into_iter().map(|found| found.offset).collect();
        let end_of =
            |partition: Partition| Some(self.partitions.get(&partition)?.working()?.engine.next());
        let all_ours = !self.transaction.is_disowned()
            && self.transaction.partitions().into_iter().all(|it| end_of(it).is_some());
        match self.transaction.outcome(&offsets, end_of) {
            Outcome::Committed if all_ours => self.on_committed(),
            Outcome::Aborted if all_ours => {
                tracing::info!("transaction was aborted, producing its outputs again");
                self.settled();
                self.hand_on()?;
                return if self.producing == Producing::Ready { self.commit() } else { Ok(()) };
            }
            _ => self.reopen_touched(),
        }
        self.settled();
        Ok(())
    }

    /// The log stands where neither our beginning nor our end is: the snapshot and a replay tell.
    fn reopen_touched(&mut self) {
        for partition in self.transaction.partitions() {
            let attempt = self.next_attempt();
            if let Some(owned) = self.partitions.get_mut(&partition)
                && !owned.is_refused()
            {
                tracing::warn!(partition, "opening again from its snapshot");
                owned.phase = Phase::Opening { attempt };
                self.background.submit(Job::Open(partition, attempt));
            }
        }
        self.transaction.clear();
    }

    /// The outcome is certain: reading goes on where each partition stands.
    fn settled(&mut self) {
        self.producing = Producing::Ready;
        self.shared.no_trouble();
    }

    /// Has every partition read that is worked on and is not being read.
    fn start_reading(&mut self) -> Result<(), WorkerError> {
        if self.producing != Producing::Ready {
            return Ok(());
        }
        let Worker { partitions, log, shared, .. } = self;
        for (partition, owned) in partitions.iter_mut().filter(|(_, owned)| owned.drain.is_none()) {
            let Some(working) = owned.working_mut().filter(|working| !working.is_read) else {
                continue;
            };
            match log.start(*partition, working.engine.next()) {
                Ok(()) => working.is_read = true,
                Err(LogError::Fatal(why)) => return Err(WorkerError::Log(why)),
                Err(error) => shared.trouble("starting to read", &error.to_string()),
            }
        }
        Ok(())
    }

    // Jobs, snapshots, drains, ticks.

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
                    working.snapshot.under_way = None;
                    if outcome.is_ok() {
                        working.snapshot.newest = Some(offset);
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
        let now = self.clock.now();
        let Worker { partitions, transaction, settings, .. } = &*self;
        let due = partitions
            .iter()
            .filter(|(partition, _)| !transaction.touches(**partition))
            .filter_map(|(partition, owned)| Some((*partition, owned.working()?)))
            .filter(|(_, working)| working.publishable().is_some())
            .filter(|(_, working)| working.snapshot_is_due(settings, now))
            .max_by_key(|(_, working)| working.snapshot.records_since);
        let Some((partition, _)) = due else { return };
        if let Some(guard) = self.slot.take() {
            self.publish(partition, Some(guard));
        }
    }

    fn publish(&mut self, partition: Partition, slot: Option<crate::background::SlotGuard>) {
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

    fn begin_drain(&mut self, partition: Partition) -> Result<(), WorkerError> {
        let deadline = self.clock.now() + self.settings.drain;
        let Some(owned) = self.partitions.get_mut(&partition) else {
            self.tolerate("giving a partition up", |log| log.release(&[partition]))?;
            return Ok(());
        };
        tracing::info!(partition, "revoked, draining");
        let live = owned.live_mut().is_some();
        let step = if live { DrainStep::Committing } else { DrainStep::Over };
        owned.drain = Some(Drain { deadline, step });
        if live {
            self.tolerate("stopping to read", |log| log.stop(partition))?;
        }
        Ok(())
    }

    /// Writes what revoked partitions still owe into the transaction that is about to be committed.
    fn begin_drains(&mut self) {
        let now = self.clock.now();
        let Worker { partitions, transaction, .. } = self;
        for (partition, owned) in partitions {
            let draining = owned.is_draining_into_commit();
            if let Some(working) = owned.live_mut().filter(|_| draining)
                && working.engine.ledger().counters_changed()
            {
                working.engine.write_all_counters(&mut transaction.outputs);
                transaction.touch(*partition, working.committed, now);
            }
        }
    }

    fn finish_drains(&mut self) {
        let now = self.clock.now();
        let draining: Vec<Partition> = self
            .partitions
            .iter()
            .filter(|(_, owned)| owned.drain.is_some())
            .map(|(partition, _)| *partition)
            .collect();
        for partition in draining {
            self.advance_drain(partition);
            let over = self.partitions.get(&partition).is_some_and(|owned| {
                owned
                    .drain
                    .is_some_and(|drain| drain.step == DrainStep::Over || drain.deadline <= now)
            });
            if over {
                self.give_up(partition);
            }
        }
    }

    /// From committed to published: the next owner then starts without a replay.
    fn advance_drain(&mut self, partition: Partition) {
        let touched = self.transaction.touches(partition);
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        if !owned.is_draining_into_commit() || touched || self.producing != Producing::Ready {
            return;
        }
        let unpublished = owned.working().and_then(|working| {
            working.publishable().filter(|offset| working.snapshot.newest != Some(*offset))
        });
        let step = unpublished.map_or(DrainStep::Over, DrainStep::Publishing);
        owned.drain.iter_mut().for_each(|drain| drain.step = step);
        if unpublished.is_some() {
            self.publish(partition, None);
        }
    }

    /// Once the log has taken it back the partition is forgotten; until then it is tried again.
    fn give_up(&mut self, partition: Partition) {
        let Some(owned) = self.partitions.get(&partition) else { return };
        let finished = owned.drain.is_some_and(|drain| drain.step == DrainStep::Over);
        if self.transaction.touches(partition) && self.producing == Producing::Ready {
            self.unsettle(&format!("partition {partition} could not be drained in time"));
        }
        if let Err(error) = self.log.release(&[partition]) {
            self.shared.trouble("giving a partition up", &error.to_string());
            return;
        }
        self.forget(partition);
        if finished {
            tracing::info!(partition, "given up");
        } else {
            tracing::warn!(partition, "given up before it was drained; the next owner replays");
        }
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
            let idle = working.at_end_since.is_some() && ledger.holds_open() > 0;
            let waited = match working.ticked_at {
                Some(at) => now.saturating_sub(at) >= quiet,
                None => {
                    ledger.sweep_is_due() || now.saturating_sub(working.last_record_at) >= quiet
                }
            };
            if idle && waited {
                working.ticked_at = Some(now);
                if let Err(error) = self.log.append_tick(*partition) {
                    self.shared.trouble("appending a tick", &error.to_string());
                }
            }
        }
    }

    fn report(&mut self) {
        let Worker { partitions, log, shared, clock, producing, leaving, .. } = self;
        shared.report(clock.now(), *producing, *leaving, partitions, |partition| {
            log.readable_end(partition)
        });
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
