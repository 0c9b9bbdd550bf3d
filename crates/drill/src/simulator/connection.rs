//! A worker's log: the embedded one, seen by the simulator.
//!
//! What becomes of a request is decided in `calls`; here is noted what the log hands on, records are
//! handed on again, partitions stand still, and the end of a transaction reaches the log late, or its
//! outcome the worker. Invariant: whatever it does to reading, every record comes, in order, once or
//! more often.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ledger::units::Offset;
use pipeline::embedded::EmbeddedLog;
use pipeline::log::{CommitOutcome, Event, Log, LogError, Partition, PartitionCommit};
use wire::outputs::Outputs;

use super::fault::Fault;
use super::stage::{Stage, Standing, Transaction};
use super::trace::{self, Outcome};

/// What becomes of a transaction is told in one of so many turns.
const ENDING_TURNS: u64 = 4;
/// Most records that are handed on once more.
const REDELIVERED_MAX: u64 = 40;

/// See the module's documentation.
pub(super) struct Connection {
    log: EmbeddedLog,
    who: u64,
    stage: Weak<Stage>,
    readers: BTreeMap<Partition, Reader>,
    ending: Option<Ending>,
}

/// A transaction that was asked to end.
#[derive(Debug)]
struct Ending {
    /// For how many turns of its worker nothing is told of it.
    turns: u64,
    partitions: usize,
    /// The request to end it, as long as that is on its way.
    on_its_way: Option<Vec<PartitionCommit>>,
}

/// Where the reading of a partition stands.
#[derive(Debug)]
struct Reader {
    position: u64,
    is_reading: bool,
    is_stalled: bool,
}

impl Connection {
    pub(super) fn new(log: EmbeddedLog, stage: &Arc<Stage>) -> Connection {
        let who = log.id().0;
        Connection {
            log,
            who,
            stage: Arc::downgrade(stage),
            readers: BTreeMap::new(),
            ending: None,
        }
    }

    fn stage(&self) -> Arc<Stage> {
        self.stage.upgrade().expect("the stage outlives its workers")
    }

    /// The request to end a transaction reaches the log.
    fn arrive(&mut self, commits: &[PartitionCommit]) {
        self.log.end(commits);
        self.stage().stand(self.who, |standing| standing.transaction = Transaction::Ending);
    }

    /// Stops to read partitions that stand still, and goes on with those that do no longer.
    fn stall(&mut self, stage: &Stage) {
        let now = stage.now();
        let stalled_until = stage.state().stalled_until.clone();
        for (&partition, reader) in self.readers.iter_mut().filter(|(_, it)| it.is_reading) {
            let is_stalled = stalled_until[partition as usize] > now;
            if is_stalled && !reader.is_stalled {
                // A stop that failed may have taken effect all the same.
                reader.is_stalled = true;
                drop(self.log.stop(partition));
            } else if !is_stalled && reader.is_stalled {
                reader.is_stalled = self.log.start(partition, Offset(reader.position)).is_err();
            }
        }
    }

    /// Goes back in a partition, as if the answer to a fetch had come twice.
    fn redeliver(&mut self, stage: &Stage) {
        if stage.draw_fault(&[Fault::Redelivery], stage.favour_of(self.who)).is_none() {
            return;
        }
        let is_read = |it: &Reader| it.is_reading && !it.is_stalled && it.position > 0;
        let read: Vec<Partition> =
            self.readers.iter().filter(|(_, it)| is_read(it)).map(|it| *it.0).collect();
        if read.is_empty() {
            return;
        }
        let partition = read[stage.below(read.len() as u64) as usize];
        let reader = &self.readers[&partition];
        let back = stage.between(1, REDELIVERED_MAX);
        let from = Offset(reader.position.saturating_sub(back));
        if self.log.start(partition, from).is_ok() {
            stage.strike(self.who, Fault::Redelivery);
        }
    }
}

impl Log for Connection {
    fn poll(
        &mut self,
        wait: Duration,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError> {
        let stage = self.stage();
        self.stall(&stage);
        self.redeliver(&stage);
        let Connection { log, who, readers, .. } = self;
        log.poll(wait, &mut |event| {
            note_event(&stage, *who, readers, &event);
            on_event(event);
        })
    }

    fn start(&mut self, partition: Partition, offset: Offset) -> Result<(), LogError> {
        self.log.start(partition, offset)?;
        let reader = Reader { position: offset.0, is_reading: true, is_stalled: false };
        self.readers.insert(partition, reader);
        self.stage().note(self.who, trace::Event::Started { partition, at: offset.0 });
        Ok(())
    }

    fn stop(&mut self, partition: Partition) -> Result<(), LogError> {
        self.log.stop(partition)?;
        if let Some(reader) = self.readers.get_mut(&partition) {
            reader.is_reading = false;
        }
        Ok(())
    }

    fn release(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        let stage = self.stage();
        self.log.release(partitions)?;
        for &partition in partitions {
            self.readers.remove(&partition);
            let mut was_asked = false;
            stage.stand(self.who, |standing| {
                was_asked = standing.revoking.remove(&partition);
                standing.replaying.remove(&partition);
            });
            stage.note(self.who, trace::Event::Released { partition });
            if !was_asked {
                stage.note_refused(self.who, partition);
            }
        }
        Ok(())
    }

    fn join(&mut self) -> Result<(), LogError> {
        self.log.join()
    }

    fn leave(&mut self) -> Result<(), LogError> {
        self.log.leave()
    }

    fn replace_producer(&mut self, wait: Duration) -> Result<(), LogError> {
        self.ending = None;
        self.log.replace_producer(wait)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.log.begin()
    }

    fn produce(&mut self, outputs: &Outputs, first: usize) -> Result<(), LogError> {
        self.log.produce(outputs, first)
    }

    fn end(&mut self, commits: &[PartitionCommit]) {
        let stage = self.stage();
        let on_its_way = (stage.below(2) == 0).then(|| commits.to_vec());
        if on_its_way.is_none() {
            self.arrive(commits);
        }
        let turns = stage.below(ENDING_TURNS);
        self.ending = Some(Ending { turns, partitions: commits.len(), on_its_way });
    }

    fn ended(&mut self, wait: Duration) -> Option<CommitOutcome> {
        let ending = self.ending.as_mut()?;
        if wait.is_zero() && ending.turns > 0 {
            ending.turns -= 1;
            return None;
        }
        let Ending { partitions, on_its_way, .. } = self.ending.take()?;
        if let Some(commits) = on_its_way {
            self.arrive(&commits);
        }
        let stage = self.stage();
        let ended = self.log.ended(wait)?;
        let outcome = match &ended {
            CommitOutcome::Committed => Outcome::Committed,
            CommitOutcome::CommittedSuspect(_) => Outcome::Suspect,
            CommitOutcome::Unknown(_) => Outcome::Unknown,
            CommitOutcome::Fenced(_) => Outcome::Fenced,
            CommitOutcome::Aborted(_) => Outcome::Aborted,
        };
        if matches!(outcome, Outcome::Committed | Outcome::Aborted) {
            stage.stand(self.who, |standing| standing.transaction = Transaction::None);
        }
        stage.note(self.who, trace::Event::Commit { outcome, partitions });
        Some(ended)
    }

    fn append_tick(&mut self, partition: Partition) -> Result<(), LogError> {
        self.log.append_tick(partition)
    }

    fn readable_end(&self, partition: Partition) -> Option<Offset> {
        self.log.readable_end(partition)
    }
}

/// Keeps account of what the log hands on.
fn note_event(
    stage: &Stage,
    who: u64,
    readers: &mut BTreeMap<Partition, Reader>,
    event: &Event<'_>,
) {
    match *event {
        Event::Assigned(partitions) => {
            for &partition in partitions {
                stage.note(who, trace::Event::Assigned { partition });
            }
        }
        Event::Revoked(partitions) => {
            for &partition in partitions {
                stage.note(who, trace::Event::Revoked { partition });
                stage.stand(who, |standing| {
                    standing.revoking.insert(partition);
                });
            }
        }
        Event::Lost(partitions) => {
            for &partition in partitions {
                stage.note(who, trace::Event::Lost { partition });
                readers.remove(&partition);
                stage.stand(who, |standing| {
                    standing.revoking.remove(&partition);
                    standing.replaying.remove(&partition);
                });
            }
        }
        Event::Records { partition, records } => {
            let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
            let (first, records) = (first.offset.0, records.len());
            stage.note(who, trace::Event::Handed { partition, first, records });
            advance(stage, who, readers, partition, last.offset.0 + 1);
        }
        Event::End { partition, position: Offset(position) } => {
            stage.note(who, trace::Event::End { partition, position });
            advance(stage, who, readers, partition, position);
        }
        Event::OutOfRange { partition, oldest: Offset(oldest) } => {
            stage.note(who, trace::Event::OutOfRange { partition, oldest });
        }
    }
}

fn advance(
    stage: &Stage,
    who: u64,
    readers: &mut BTreeMap<Partition, Reader>,
    partition: Partition,
    position: u64,
) {
    if let Some(reader) = readers.get_mut(&partition) {
        reader.position = reader.position.max(position);
    }
    stage.stand(who, |standing: &mut Standing| {
        if standing.replaying.get(&partition).is_some_and(|until| *until <= position) {
            standing.replaying.remove(&partition);
        }
    });
}
