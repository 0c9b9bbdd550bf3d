//! The transaction under way: its outputs, kept until its outcome is certain, and for each
//! partition in it the offset at which it began.
//!
//! Not the calls on the log: the worker makes them. Invariant: the outputs are exactly what the
//! records between the bases and the partitions' present positions caused, plus counters.

use std::collections::BTreeMap;
use std::time::Duration;

use ledger::units::Offset;
use wire::outputs::Outputs;

use crate::log::Partition;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) outputs: Outputs,
    /// How many records caused them.
    pub(crate) records: u64,
    /// When the oldest record of each batch of them was written, by the log's clock, in milliseconds.
    pub(crate) arrivals: Vec<u64>,
    /// How many of the outputs the producer has.
    pub(crate) produced: usize,
    /// Whether the log's transaction was begun.
    pub(crate) begun: bool,
    bases: BTreeMap<Partition, Option<Offset>>,
    disowned: bool,
    aborts: u32,
    started_at: Duration,
}

/// What the committed offsets say about a transaction whose outcome was unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every offset stands at the transaction's end.
    Committed,
    /// Every offset stands where the transaction began.
    Aborted,
    /// Somebody else moved them.
    Foreign,
}

impl Transaction {
    /// Takes a partition in; `base` is its committed offset.
    pub(crate) fn touch(&mut self, partition: Partition, base: Option<Offset>, now: Duration) {
        if self.bases.is_empty() {
            self.started_at = now;
        }
        self.bases.entry(partition).or_insert(base);
    }

    pub(crate) fn touches(&self, partition: Partition) -> bool {
        self.bases.contains_key(&partition)
    }

    /// A partition is not the worker's any more, though it may become so again: from a state that
    /// knows nothing of this transaction, so that its outputs must not be written again.
    pub(crate) fn disown(&mut self, partition: Partition) {
        self.disowned |= self.touches(partition);
    }

    /// Whether a partition in it was given up since it was taken in.
    pub(crate) fn is_disowned(&self) -> bool {
        self.disowned
    }

    pub(crate) fn partitions(&self) -> Vec<Partition> {
        self.bases.keys().copied().collect()
    }

    /// Whether there is nothing to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.bases.is_empty()
    }

    pub(crate) fn age(&self, now: Duration) -> Duration {
        if self.is_empty() { Duration::ZERO } else { now.saturating_sub(self.started_at) }
    }

    /// Judges by the committed offsets, in the order of [`Transaction::partitions`]; `end_of` tells
    /// where a partition stands, if it is still ours.
    pub(crate) fn outcome(
        &self,
        committed: &[Option<Offset>],
        end_of: impl Fn(Partition) -> Option<Offset>,
    ) -> Outcome {
        let all = |expected: &dyn Fn(Partition, Option<Offset>) -> Option<Offset>| {
            self.bases.iter().zip(committed).all(|((partition, base), found)| {
                let expected = expected(*partition, *base);
                *found == expected
            })
        };
        // A transaction of counters alone moves no offset and looks both ways; writing absolute
        // totals again changes nothing, so it counts as aborted.
        if all(&|_, base| base) {
            Outcome::Aborted
        } else if all(&|partition, _| end_of(partition)) {
            Outcome::Committed
        } else {
            Outcome::Foreign
        }
    }

    /// Forgets everything: the outcome is certain, or the partitions are opened again.
    pub(crate) fn clear(&mut self) {
        self.outputs.clear();
        self.records = 0;
        self.arrivals.clear();
        self.produced = 0;
        self.begun = false;
        self.bases.clear();
        self.disowned = false;
        self.aborts = 0;
    }

    /// The log's transaction is gone, the outputs are kept to be produced again.
    pub(crate) fn rewind(&mut self) {
        self.produced = 0;
        self.begun = false;
    }

    /// The same for one that the log has aborted; how often that happened to these outputs.
    pub(crate) fn rewind_after_abort(&mut self) -> u32 {
        self.rewind();
        self.aborts += 1;
        self.aborts
    }
}
