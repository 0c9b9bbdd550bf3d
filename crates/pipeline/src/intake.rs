//! What a poll brings, applied at once: the worker's half that runs inside [`Log::poll`].
//!
//! Not the calls that follow from it, since the log is busy then: changes of membership are only
//! noted. Invariant: a record is applied once, live records only into the open transaction, and
//! nothing of a partition that the worker does not want to be read, whatever the log still hands on.
//!
//! [`Log::poll`]: crate::log::Log::poll

use std::collections::BTreeMap;

use ledger::units::Offset;
use wire::outputs::Outputs;
use wire::record::Record;

use crate::clock::Clock;
use crate::log::{Event, Partition};
use crate::opening::Refusal;
use crate::partition::{Owned, Phase, ReplayStep, Working};
use crate::status::Shared;
use crate::transaction::Transaction;

/// Something that changed about which partitions the worker works on.
#[derive(Debug)]
pub(crate) enum Membership {
    Assigned(Partition),
    Revoked(Partition),
    Lost(Partition),
    /// A replay reached the committed digest.
    Replayed(Partition),
    /// The input seemed to end in the midst of a replay; the partition waits to be opened again.
    CutShort(Partition),
    /// The partition must not be worked on.
    Refused(Partition, Refusal),
}

pub(crate) struct Intake<'a, C> {
    pub(crate) partitions: &'a mut BTreeMap<Partition, Owned>,
    pub(crate) transaction: &'a mut Transaction,
    /// The transaction before, if its outcome is not known yet.
    pub(crate) ending: &'a Transaction,
    /// Outputs of replayed records, which are digested and dropped.
    pub(crate) replayed: &'a mut Outputs,
    pub(crate) members: &'a mut Vec<Membership>,
    pub(crate) clock: &'a C,
    pub(crate) shared: &'a Shared,
}

impl<C: Clock> Intake<'_, C> {
    pub(crate) fn on_event(&mut self, event: Event<'_>) {
        match event {
            Event::Assigned(partitions) => self.note(partitions, Membership::Assigned),
            Event::Revoked(partitions) => self.note(partitions, Membership::Revoked),
            Event::Lost(partitions) => self.note(partitions, Membership::Lost),
            Event::Records { partition, records } => self.on_records(partition, records),
            Event::End { partition, position } => self.on_end(partition, position),
            Event::OutOfRange { partition, oldest } => self.on_out_of_range(partition, oldest),
        }
    }

    fn note(&mut self, partitions: &[Partition], member: fn(Partition) -> Membership) {
        self.members.extend(partitions.iter().copied().map(member));
    }

    fn on_records(&mut self, partition: Partition, records: &[Record<'_>]) {
        let Some(working) = being_read(self.partitions, partition) else { return };
        // The log hands every record on once; if it ever did not, nothing is counted twice.
        let next = working.engine.next();
        let records = &records[records.partition_point(|record| record.offset < next)..];
        let replay_ends = working.replay.map_or(Offset(0), |replay| replay.until);
        let (replayed, live) =
            records.split_at(records.partition_point(|record| record.offset < replay_ends));
        let clock = self.clock;
        if !replayed.is_empty() {
            working.apply(replayed, self.replayed, clock.now(), || clock.now());
            self.replayed.clear();
            self.shared.count_replayed(replayed.len());
        }
        let position = live.first().map_or(working.engine.next(), |record| record.offset);
        if !self.advance_replay(partition, position) || live.is_empty() {
            return;
        }
        if let Some(working) = being_read(self.partitions, partition) {
            let began = clock.now();
            let base = self.ending.base_behind(partition, working.committed);
            self.transaction.touch(partition, base, began);
            working.apply(live, &mut self.transaction.outputs, began, || clock.now());
            self.transaction.records += live.len() as u64;
            self.transaction
                .arrivals
                .extend(live.first().and_then(|oldest| u64::try_from(oldest.timestamp).ok()));
            self.shared.note_first_record();
        }
    }

    fn on_end(&mut self, partition: Partition, position: Offset) {
        if !self.advance_replay(partition, position) {
            return;
        }
        let now = self.clock.now();
        let Some(working) = being_read(self.partitions, partition) else { return };
        match working.replay {
            None => _ = working.at_end_since.get_or_insert(now),
            Some(replay) => self.cut_short(partition, position, replay.until),
        }
    }

    /// At once, as [`Self::refuse`] does.
    fn cut_short(&mut self, partition: Partition, position: Offset, until: Offset) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        match owned.cut_short(partition, position, until, self.clock.now()) {
            Some(refusal) => self.refuse(partition, refusal),
            None => self.members.push(Membership::CutShort(partition)),
        }
    }

    fn on_out_of_range(&mut self, partition: Partition, oldest: Offset) {
        let Some(working) = being_read(self.partitions, partition) else { return };
        let needed = working.engine.next().0;
        self.refuse(partition, Refusal::InputTruncated { partition, needed, oldest: oldest.0 });
    }

    /// Returns whether the partition may still be worked on.
    fn advance_replay(&mut self, partition: Partition, position: Offset) -> bool {
        let Some(working) = being_read(self.partitions, partition) else { return false };
        match working.advance_replay(partition, position) {
            ReplayStep::Unchanged => true,
            ReplayStep::Finished => {
                self.partitions.entry(partition).and_modify(Owned::replayed);
                self.members.push(Membership::Replayed(partition));
                true
            }
            ReplayStep::Refused(refusal) => {
                self.refuse(partition, refusal);
                false
            }
        }
    }

    /// At once, so that no further record of this poll is applied.
    fn refuse(&mut self, partition: Partition, refusal: Refusal) {
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.phase = Phase::Refused(refusal.clone());
        }
        self.members.push(Membership::Refused(partition, refusal));
    }
}

/// A partition that is worked on, unless it is to be read anew from where its state stands.
fn being_read(
    partitions: &mut BTreeMap<Partition, Owned>,
    partition: Partition,
) -> Option<&mut Working> {
    partitions.get_mut(&partition)?.working_mut().filter(|working| working.is_read)
}
