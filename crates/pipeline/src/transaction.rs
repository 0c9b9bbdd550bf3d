//! A transaction: its outputs, kept until its outcome is certain, and for each partition in it from
//! where to where it moves the committed offset.
//!
//! Not the calls on the log: the worker makes them. It is open while outputs are gathered, and sealed
//! when it is asked to end: then the next one is gathered behind it. Invariant: the outputs are exactly
//! what the records between the bases and the ends caused (in an open one, the partitions' present
//! positions), plus counters.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use ledger::units::{Millis, Offset};
use wire::outputs::Outputs;

use crate::log::Partition;
use crate::tally::Tally;

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
    spans: BTreeMap<Partition, Span>,
    /// What is counted once it is committed.
    tallies: Vec<Tally>,
    disowned: bool,
    /// Whether it has ended before, and not with a commit.
    reopened: bool,
    aborts: u32,
    started_at: Duration,
    sealed_at: Duration,
}

/// From where to where a partition's committed offset moves.
#[derive(Debug)]
struct Span {
    base: Option<Offset>,
    /// Once it is sealed, unless the partition was not worked on any more.
    end: Option<Position>,
}

/// Where a partition stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// Of the next record.
    pub(crate) offset: Offset,
    /// Log time there.
    pub(crate) time: Millis,
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
    /// Takes a partition in; `base` is its committed offset once all earlier transactions are.
    pub(crate) fn touch(&mut self, partition: Partition, base: Option<Offset>, now: Duration) {
        if self.spans.is_empty() {
            self.started_at = now;
        }
        self.spans.entry(partition).or_insert(Span { base, end: None });
    }

    pub(crate) fn touches(&self, partition: Partition) -> bool {
        self.spans.contains_key(&partition)
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
        self.spans.keys().copied().collect()
    }

    /// Whether there is nothing to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(crate) fn age(&self, now: Duration) -> Duration {
        if self.is_empty() { Duration::ZERO } else { now.saturating_sub(self.started_at) }
    }

    /// Notes where each partition stands and what is to be counted; what is applied from now on belongs
    /// to the next transaction. A partition that `take` does not know is disowned.
    pub(crate) fn seal(
        &mut self,
        now: Duration,
        mut take: impl FnMut(Partition) -> Option<(Position, Tally)>,
    ) {
        self.sealed_at = now;
        for (partition, span) in &mut self.spans {
            match take(*partition) {
                Some((position, tally)) => {
                    span.end = Some(position);
                    self.tallies.push(tally);
                }
                None => self.disowned = true,
            }
        }
    }

    /// For how long it has been sealed.
    pub(crate) fn ending_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.sealed_at)
    }

    /// Where the transaction behind it begins in a partition of which `committed` is committed.
    pub(crate) fn base_behind(
        &self,
        partition: Partition,
        committed: Option<Offset>,
    ) -> Option<Offset> {
        self.end(partition).map(|end| end.offset).or(committed)
    }

    /// Where it ends in a partition; none without it, or before it is sealed.
    pub(crate) fn end(&self, partition: Partition) -> Option<Position> {
        self.spans.get(&partition)?.end
    }

    /// What is counted once it is committed.
    pub(crate) fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// Judges a sealed one by the committed offsets, in the order of [`Transaction::partitions`].
    pub(crate) fn outcome(&self, committed: &[Option<Offset>]) -> Outcome {
        let all = |expected: fn(&Span) -> Option<Offset>| {
            self.spans.values().zip(committed).all(|(span, found)| *found == expected(span))
        };
        // A transaction of counters alone moves no offset and looks both ways; writing absolute
        // totals again changes nothing, so it counts as aborted.
        if all(|span| span.base) {
            Outcome::Aborted
        } else if all(|span| span.end.map(|end| end.offset)) {
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
        self.spans.clear();
        self.tallies.clear();
        self.disowned = false;
        self.reopened = false;
        self.aborts = 0;
    }

    /// Opens one that is certainly aborted again, to be produced once more, together with what was
    /// gathered behind it, which is moved out of `next`.
    pub(crate) fn reopen(&mut self, next: &mut Transaction) {
        self.reopened = true;
        self.produced = 0;
        self.begun = false;
        self.outputs.extend_from(&next.outputs, 0);
        self.records += next.records;
        self.arrivals.append(&mut next.arrivals);
        self.disowned |= next.disowned;
        self.spans.values_mut().for_each(|span| span.end = None);
        for (partition, span) in mem::take(&mut next.spans) {
            self.spans.entry(partition).or_insert(span);
        }
        next.clear();
    }

    /// Whether it has ended before, and not with a commit.
    pub(crate) fn is_reopened(&self) -> bool {
        self.reopened
    }

    /// Notes that the log has aborted it; how often that happened to these outputs.
    pub(crate) fn count_abort(&mut self) -> u32 {
        self.aborts += 1;
        self.aborts
    }
}
