//! The life of a partition in a worker's hands: opened, read, and given up, lost or refused.
//!
//! Not what is written for it: see [`super::commits`]. Invariant: a partition leaves the worker
//! through `forget` alone, which disowns what the transactions hold of it.

use std::sync::Arc;

use super::{Worker, WorkerError};
use crate::background::{Background, Job};
use crate::clock::Clock;
use crate::log::{Log, LogError, Partition};
use crate::opening::{NotOpened, Opened, Refusal};
use crate::partition::{Drain, DrainStep, Owned, Phase, RETRY_PAUSE, Working};
use crate::status::Producing;

impl<L: Log, B: Background, C: Clock> Worker<L, B, C> {
    pub(super) fn open(&mut self, partition: Partition) {
        tracing::info!(partition, "assigned, opening");
        let attempt = self.next_attempt();
        self.partitions.insert(partition, Owned::opening(attempt));
        self.background.submit(Job::Open(partition, attempt));
    }

    fn next_attempt(&mut self) -> u64 {
        self.attempts += 1;
        self.attempts
    }

    pub(super) fn on_opened(
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
                if self.producing == Producing::Ready {
                    // The log has answered, and a quiet partition has no commit that would tell so.
                    self.shared.no_trouble();
                }
                self.shared.show_stock(partition, Arc::clone(&opened.view));
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

    pub(super) fn retry_openings(&mut self) {
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

    /// Nothing is read of a partition that waits to be opened again.
    pub(super) fn stop_replay(&mut self, partition: Partition) -> Result<(), WorkerError> {
        if let Some(Owned { phase: Phase::Waiting { trouble, .. }, .. }) =
            self.partitions.get(&partition)
        {
            self.shared.trouble("replaying", trouble);
        }
        self.tolerate("stopping to read", |log| log.stop(partition))?;
        Ok(())
    }

    /// The log stands where neither our beginning nor our end is: the snapshot and a replay tell.
    pub(super) fn reopen_touched(&mut self) {
        let mut touched = self.ending.partitions();
        touched.extend(self.transaction.partitions());
        touched.sort_unstable();
        touched.dedup();
        for partition in touched {
            let attempt = self.next_attempt();
            if let Some(owned) = self.partitions.get_mut(&partition)
                && !owned.is_refused()
            {
                tracing::warn!(partition, "opening again from its snapshot");
                owned.phase = Phase::Opening { attempt };
                self.background.submit(Job::Open(partition, attempt));
            }
        }
        self.ending.clear();
        self.transaction.clear();
    }

    /// Has every partition read that is worked on and is not being read.
    pub(super) fn start_reading(&mut self) -> Result<(), WorkerError> {
        const DOING: &str = "starting to read";
        if self.producing != Producing::Ready {
            return Ok(());
        }
        let Worker { partitions, log, shared, .. } = self;
        for (partition, owned) in partitions.iter_mut().filter(|(_, owned)| owned.drain.is_none()) {
            let Some(working) = owned.working_mut().filter(|working| !working.is_read) else {
                continue;
            };
            match log.start(*partition, working.engine.next()) {
                Ok(()) => {
                    working.is_read = true;
                    shared.works(DOING);
                }
                Err(LogError::Fatal(why)) => return Err(WorkerError::Log(why)),
                Err(error) => shared.trouble(DOING, &error.to_string()),
            }
        }
        Ok(())
    }

    pub(super) fn refuse(
        &mut self,
        partition: Partition,
        refusal: Refusal,
    ) -> Result<(), WorkerError> {
        tracing::error!(partition, "refused: {refusal}");
        self.shared.count_refusal(&refusal);
        self.shared.hide_stock(partition);
        if refusal.is_configuration() {
            return Err(WorkerError::Configuration(refusal));
        }
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.phase = Phase::Refused(refusal);
        }
        self.tolerate("giving a refused partition up", |log| log.release(&[partition]))?;
        Ok(())
    }

    pub(super) fn lose(&mut self, partition: Partition) {
        self.lost_at = Some(self.clock.now());
        if self.partitions.get(&partition).is_some_and(Owned::is_refused) {
            tracing::info!(partition, "the group took the refused partition away");
        } else {
            tracing::warn!(partition, "lost to the group");
        }
        self.forget(partition);
        if self.is_uncommitted(partition) && self.producing == Producing::Ready {
            self.unsettle(&format!("partition {partition} was lost"));
        }
    }

    /// Whether a transaction holds something of a partition, and is not certainly committed.
    pub(super) fn is_uncommitted(&self, partition: Partition) -> bool {
        self.ending.touches(partition) || self.transaction.touches(partition)
    }

    fn forget(&mut self, partition: Partition) {
        self.partitions.remove(&partition);
        self.ending.disown(partition);
        self.transaction.disown(partition);
        self.shared.hide_stock(partition);
    }

    pub(super) fn begin_drain(&mut self, partition: Partition) -> Result<(), WorkerError> {
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
    pub(super) fn begin_drains(&mut self) {
        let now = self.clock.now();
        let Worker { partitions, ending, transaction, .. } = self;
        for (partition, owned) in partitions {
            let draining = owned.is_draining_into_commit();
            if let Some(working) = owned.live_mut().filter(|_| draining)
                && working.engine.ledger().counters_changed()
            {
                working.engine.write_all_counters(&mut transaction.outputs);
                let base = ending.base_behind(*partition, working.committed);
                transaction.touch(*partition, base, now);
            }
        }
    }

    pub(super) fn finish_drains(&mut self) {
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
        let uncommitted = self.is_uncommitted(partition);
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        if !owned.is_draining_into_commit() || uncommitted || self.producing != Producing::Ready {
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
        if self.is_uncommitted(partition) && self.producing == Producing::Ready {
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
}
