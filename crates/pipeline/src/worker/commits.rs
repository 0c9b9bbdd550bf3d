//! The life of a transaction: outputs are handed on, committed with their offsets, and, where the
//! outcome is uncertain, brought to a certain one.
//!
//! Not which partitions there are: see [`super::moves`]. Invariant: a commit holds the offset of every
//! partition in the transaction; and from an uncertain outcome only one way leads back: a new
//! producer, then the committed offsets, then the kept outputs again, or none, or the snapshots.

use std::time::Duration;

use ledger::units::Offset;

use super::{Worker, WorkerError};
use crate::background::{Background, Job};
use crate::clock::Clock;
use crate::log::{CommitOutcome, Committed, Log, LogError, Partition, PartitionCommit};
use crate::partition::Owned;
use crate::settings::WorkerSettings;
use crate::status::Producing;
use crate::transaction::Outcome;

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
    pub(super) fn hand_on(&mut self) -> Result<(), WorkerError> {
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

    pub(super) fn commit_if_due(&mut self) -> Result<(), WorkerError> {
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
            CommitOutcome::Aborted(why) => {
                self.on_aborted(&why);
                Ok(())
            }
            CommitOutcome::Fenced(why) => self.on_fenced(&why),
        }
    }

    /// Nothing of the transaction counts, and nothing of it is under way: its outputs are produced
    /// again in the next turn, after the group was heard. Whom the group turns down time after time
    /// gets a new producer and asks, as after everything else that is not understood.
    fn on_aborted(&mut self, why: &str) {
        if self.transaction.rewind_after_abort() > ABORTS_MAX {
            self.unsettle(why);
        } else {
            tracing::info!("transaction aborted, its outputs are produced again: {why}");
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
                self.shared.count_effects(&working.note_committed());
            }
        }
        self.shared.count_committed(&self.transaction);
        self.transaction.clear();
    }

    /// The outcome of the transaction is no longer certain: nothing is read until it is.
    pub(super) fn unsettle(&mut self, why: &str) {
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

    pub(super) fn on_outcome(
        &mut self,
        answer: Result<Vec<Committed>, LogError>,
    ) -> Result<(), WorkerError> {
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

    /// The outcome is certain: reading goes on where each partition stands.
    fn settled(&mut self) {
        self.producing = Producing::Ready;
        self.shared.no_trouble();
    }
}
