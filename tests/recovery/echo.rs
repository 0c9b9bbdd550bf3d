//! The embedded log, which can be made to hand on every record twice, to seem to end early, or to tell
//! late what became of a transaction.
//!
//! Nothing else is added to it. Invariant: without an echo, and at full height, it is the embedded log.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ledger::units::Offset;
use pipeline::embedded::{EmbeddedLog, MemberId};
use pipeline::log::{CommitOutcome, Event, Log, LogError, Partition, PartitionCommit};
use wire::{Outputs, Record};

/// See the module's documentation.
pub(crate) struct Echo {
    pub(crate) log: EmbeddedLog,
    pub(crate) is_on: bool,
    /// Where the input seems to end while this is set, as behind a broker that has just started and does
    /// not know yet how far the others are.
    pub(crate) ebb: Rc<Cell<Option<Offset>>>,
    /// How often it does not know yet what became of a transaction.
    pub(crate) delay: Rc<Cell<u32>>,
    /// How often it has said so of the transaction that is ending.
    pub(crate) delayed: u32,
}

impl Echo {
    pub(crate) fn id(&self) -> MemberId {
        self.log.id()
    }
}

fn ends_in(ebb: Offset, records: &[Record<'_>]) -> bool {
    records.last().is_some_and(|last| last.offset >= ebb)
}

impl Log for Echo {
    fn poll(
        &mut self,
        wait: Duration,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError> {
        let is_on = self.is_on;
        let ebb = self.ebb.get().unwrap_or(Offset(u64::MAX));
        self.log.poll(wait, &mut |event| match event {
            Event::Records { partition, records } if ends_in(ebb, records) => {
                let seen = records.partition_point(|record| record.offset < ebb);
                on_event(Event::Records { partition, records: &records[..seen] });
                on_event(Event::End { partition, position: ebb });
            }
            Event::End { partition, position } => {
                on_event(Event::End { partition, position: position.min(ebb) });
            }
            Event::Records { partition, records } if is_on => {
                let half = records.len().div_ceil(2);
                on_event(Event::Records { partition, records: &records[..half] });
                // The rest comes together with what was handed on before.
                on_event(Event::Records { partition, records });
            }
            event => on_event(event),
        })
    }

    fn start(&mut self, partition: Partition, offset: Offset) -> Result<(), LogError> {
        self.log.start(partition, offset)
    }

    fn stop(&mut self, partition: Partition) -> Result<(), LogError> {
        self.log.stop(partition)
    }

    fn release(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        self.log.release(partitions)
    }

    fn join(&mut self) -> Result<(), LogError> {
        self.log.join()
    }

    fn leave(&mut self) -> Result<(), LogError> {
        self.log.leave()
    }

    fn replace_producer(&mut self, wait: Duration) -> Result<(), LogError> {
        self.log.replace_producer(wait)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.log.begin()
    }

    fn produce(&mut self, outputs: &Outputs, first: usize) -> Result<(), LogError> {
        self.log.produce(outputs, first)
    }

    fn end(&mut self, commits: &[PartitionCommit]) {
        self.delayed = 0;
        self.log.end(commits);
    }

    fn ended(&mut self, wait: Duration) -> Option<CommitOutcome> {
        // Whoever waits is told.
        if wait.is_zero() && self.delayed < self.delay.get() {
            self.delayed += 1;
            return None;
        }
        self.log.ended(wait)
    }

    fn append_tick(&mut self, partition: Partition) -> Result<(), LogError> {
        self.log.append_tick(partition)
    }

    fn readable_end(&self, partition: Partition) -> Option<Offset> {
        self.log.readable_end(partition)
    }
}
