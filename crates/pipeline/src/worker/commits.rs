//! The life of a transaction: outputs are handed on, committed with their offsets while those of the
//! next one are gathered, and, where the outcome is uncertain, brought to a certain one.
//!
//! Not which partitions there are: see [`super::moves`]. Invariant: a commit holds the offset of every
//! partition in the transaction; and from an uncertain outcome only one way leads back: a new
//! producer, then the committed offsets, then the kept outputs again, or none, or the snapshots.

use std::time::Duration;

use ledger::units::Offset;

use super::{Worker, WorkerError};
use crate::background::{Background, Job};
use crate::clock::Clock;
use crate::log::{
    CommitOutcome, Committed, Log, LogError, OUTCOME_WAIT, Partition, PartitionCommit,
};
use crate::partition::Owned;
use crate::settings::WorkerSettings;
use crate::status::Producing;
use crate::transaction::{Outcome, Transaction};

/// Longest wait for a new producer in one turn, so that the group is still served.
const PRODUCER_WAIT: Duration = Duration::from_millis(500);
/// The same before the group is joined, when only a stop has to be noticed: a cluster that has
/// just started takes a second or two to find its transaction coordinator.
const FIRST_PRODUCER_WAIT: Duration = Duration::from_secs(3);
/// Most aborts of one transaction that are answered by producing it again.
const ABORTS_MAX: u32 = 3;
/// Being fenced this often within [`FENCED_WITHIN`] means that somebody else uses our name.
pub(super) const FENCED_MAX: usize = 3;
const FENCED_WITHIN: Duration = Duration::from_secs(60);

impl<L: Log, B: Background, C: Clock> Worker<L, B, C> {
    pub(super) fn make_producer(&mut self) -> Result<(), WorkerError> {
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

    pub(super) fn write_due_counters(&mut self) {
        let now = self.clock.now();
        let Worker { partitions, ending, transaction, settings, .. } = self;
        for (partition, owned) in partitions {
            if let Some(working) = owned.live_mut() {
                let before = transaction.outputs.len();
                working.write_due_counters(settings, now, &mut transaction.outputs);
                if transaction.outputs.len() > before {
                    let base = ending.base_behind(*partition, working.committed);
                    transaction.touch(*partition, base, now);
                }
            }
        }
    }

    /// Hands new outputs to the producer while more is being read, once the transaction before has
    /// ended.
    pub(super) fn hand_on(&mut self) -> Result<(), WorkerError> {
        let Worker { log, ending, transaction, .. } = self;
        if transaction.is_empty() || !ending.is_empty() {
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

    /// Ends the transaction that is gathered if it is time. Only one can end at a time: while the outcome
    /// of the one before is not known, that is what is waited for.
    pub(super) fn commit_if_due(&mut self) -> Result<(), WorkerError> {
        if self.producing != Producing::Ready || !self.commit_is_due() {
            return Ok(());
        }
        if self.ending.is_empty() { self.end() } else { self.await_outcome() }
    }

    fn commit_is_due(&self) -> bool {
        let WorkerSettings { commit_interval, commit_outputs_max, commit_bytes_max, .. } =
            self.settings;
        let Transaction { outputs, .. } = &self.transaction;
        let due = self.transaction.age(self.clock.now()) >= commit_interval
            || outputs.len() >= commit_outputs_max
            || outputs.bytes() >= commit_bytes_max
            || self.partitions.values().any(Owned::is_draining_into_commit);
        due && !self.transaction.is_empty()
    }

    /// Whether nothing may be applied before the outcome is known: a snapshot is taken of what is
    /// committed and nothing beyond, a partition that goes is not read any more, and what does not get
    /// through must not grow.
    fn outcome_comes_first(&self) -> bool {
        self.ending.is_reopened()
            || self.partitions.values().any(Owned::is_draining_into_commit)
            || (self.slot.is_free() && self.due_for_snapshots().next().is_some())
    }

    /// Seals what was gathered and has it end.
    fn end(&mut self) -> Result<(), WorkerError> {
        self.seal();
        match self.commits() {
            Ok(commits) => self.log.end(&commits),
            Err(partition) => {
                self.unsettle(&format!("partition {partition} is not worked on any more"));
            }
        }
        if self.outcome_comes_first() {
            self.await_outcome()
        } else {
            self.hear_outcome(Duration::ZERO)
        }
    }

    /// From here on the next transaction is gathered.
    fn seal(&mut self) {
        let Worker { partitions, ending, transaction, clock, .. } = self;
        std::mem::swap(ending, transaction);
        ending.seal(clock.now(), |partition| {
            Some(partitions.get_mut(&partition)?.working_mut()?.take_position())
        });
    }

    fn await_outcome(&mut self) -> Result<(), WorkerError> {
        while !self.ending.is_empty() && self.producing == Producing::Ready {
            self.hear_outcome(OUTCOME_WAIT)?;
        }
        Ok(())
    }

    /// Takes in what became of the transaction that is ending, if that becomes known within `wait`.
    pub(super) fn hear_outcome(&mut self, wait: Duration) -> Result<(), WorkerError> {
        if self.ending.is_empty() || self.producing != Producing::Ready {
            return Ok(());
        }
        let Some(outcome) = self.log.ended(wait) else { return Ok(()) };
        self.shared.count_commit(&outcome, self.ending.ending_for(self.clock.now()));
        match outcome {
            CommitOutcome::Committed => {
                self.on_committed();
                Ok(())
            }
            CommitOutcome::CommittedSuspect(why) | CommitOutcome::Unknown(why) => {
                self.unsettle(&why);
                Ok(())
            }
            CommitOutcome::Aborted(why) => {
                self.on_aborted(&why);
                Ok(())
            }
            CommitOutcome::Fenced(why) => self.on_fenced(&why),
        }
    }

    /// Nothing of the transaction counts, and nothing of it is under way: its outputs are produced
    /// again once the group was heard, and what was gathered behind it with them.
    /// Whom the group turns down time after time gets a new producer and asks, as after everything else
    /// that is not understood.
    fn on_aborted(&mut self, why: &str) {
        if self.ending.count_abort() > ABORTS_MAX {
            self.unsettle(why);
        } else {
            tracing::info!("transaction aborted, its outputs are produced again: {why}");
            self.reopen();
        }
    }

    /// What was ending is gathered still, and comes before what was gathered behind it.
    fn reopen(&mut self) {
        self.ending.reopen(&mut self.transaction);
        std::mem::swap(&mut self.ending, &mut self.transaction);
    }

    /// The offsets of every partition in the transaction that ends, or one whose offset nobody knows
    /// any more: its outputs must not be committed, since they would be without their input's offset.
    fn commits(&self) -> Result<Vec<PartitionCommit>, Partition> {
        let commit_of = |partition| {
            let working = self.partitions.get(&partition).and_then(Owned::working);
            let (working, end) = working.zip(self.ending.end(partition)).ok_or(partition)?;
            let metadata = working.metadata(self.rules).to_string();
            Ok(PartitionCommit { partition, offset: end.offset, metadata })
        };
        self.ending.partitions().into_iter().map(commit_of).collect()
    }

    fn on_committed(&mut self) {
        self.shared.no_trouble();
        for partition in self.ending.partitions() {
            let owned = self.partitions.get_mut(&partition);
            let working = owned.and_then(Owned::working_mut);
            if let Some((working, end)) = working.zip(self.ending.end(partition)) {
                working.note_committed(end);
            }
        }
        self.shared.count_committed(&self.ending);
        self.ending.clear();
    }

    /// The outcome of the transaction is no longer certain, of the one that was ending or, without
    /// one, of the one that was handed on: nothing is read until it is.
    pub(super) fn unsettle(&mut self, why: &str) {
        tracing::warn!("transaction unsettled, replacing the producer: {why}");
        self.shared.trouble("committing", why);
        self.producing = Producing::Replacing;
        if self.ending.is_empty() {
            self.seal();
        }
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

    /// Of two processes with one name either may have the newest producer while the other has the newest
    /// place in the group. So a worker that lost partitions lately goes on: the group settles which of the
    /// two ends.
    fn count_fence(&mut self, why: &str) -> Result<(), WorkerError> {
        let now = self.clock.now();
        let is_recent = |at: &Duration| now.saturating_sub(*at) < FENCED_WITHIN;
        self.fenced_at.push_back(now);
        self.fenced_at.retain(is_recent);
        if self.fenced_at.len() >= FENCED_MAX && !self.lost_at.as_ref().is_some_and(is_recent) {
            return Err(WorkerError::FencedByNamesake(why.to_owned()));
        }
        Ok(())
    }

    fn ask_for_outcome(&mut self) {
        self.producing = Producing::Asking;
        let touched = self.ending.partitions();
        if touched.is_empty() {
            self.settled();
        } else {
            self.background.submit(Job::Committed(touched));
        }
    }

    pub(super) fn on_outcome(
        &mut self,
        answer: Result<Vec<Committed>, LogError>,
    ) -> Result<(), WorkerError> {
        let committed = match answer {
            Ok(committed) => committed,
            Err(LogError::Fatal(why)) => return Err(WorkerError::Log(why)),
            Err(error) => {
                self.shared.trouble("asking for committed offsets", &error.to_string());
                self.background.submit(Job::Committed(self.ending.partitions()));
                return Ok(());
            }
        };
        let offsets: Vec<Option<Offset>> =
            committed.into_iter().map(|found| found.offset).collect();
        let is_ours = |it: &Partition| self.partitions.get(it).and_then(Owned::working).is_some();
        let ours = |it: &Transaction| !it.is_disowned() && it.partitions().iter().all(is_ours);
        let (ending_is_ours, next_is_ours) = (ours(&self.ending), ours(&self.transaction));
        match self.ending.outcome(&offsets) {
            Outcome::Committed if ending_is_ours => {
                self.on_committed();
                if !next_is_ours {
                    self.reopen_touched();
                }
            }
            Outcome::Aborted if ending_is_ours && next_is_ours => {
                tracing::info!("transaction was aborted, producing its outputs again");
                self.reopen();
                self.settled();
                self.hand_on()?;
                return if self.producing == Producing::Ready { self.end() } else { Ok(()) };
            }
            _ => self.reopen_touched(),
        }
        self.settled();
        Ok(())
    }

    /// The outcome is certain: reading goes on where each partition stands.
    fn settled(&mut self) {
        self.producing = Producing::Ready;
        self.shared.no_trouble();
    }
}
