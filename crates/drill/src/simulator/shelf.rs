//! The snapshot store of a world: in memory, and as bad as an object store or a disk can be.
//!
//! Not a real store, of which it promises less: what it acknowledges can be lost, cut off or late,
//! and what it gives back can be wrong. Invariant: what lies there under a name becomes another
//! snapshot only where somebody asked for it to be replaced; else it is spoilt at most.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use ledger::units::Offset;
use pipeline::log::Partition;
use pipeline::store::{Created, Place, SnapshotStore, StoreError};

use super::fault::Fault;
use super::stage::{Stage, lock};
use super::trace::{Event, StoreCall};

/// Longest that a late write is under way.
const LATE_MS_MAX: u64 = 4_000;

/// What lies in the store, and what is on its way there.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    snapshots: BTreeMap<(Partition, u64), Vec<u8>>,
    late: Vec<(u64, Write)>,
}

/// A snapshot on its way to the shelf.
#[derive(Debug)]
struct Write {
    partition: Partition,
    offset: u64,
    bytes: Vec<u8>,
    /// Whether it takes the place of what lies there.
    replaces: bool,
}

impl Shelf {
    fn put(&mut self, write: Write) -> Created {
        let name = (write.partition, write.offset);
        if !write.replaces && self.snapshots.contains_key(&name) {
            return Created::Existed;
        }
        self.snapshots.insert(name, write.bytes);
        Created::New
    }

    /// Offsets of a partition's snapshots, newest first.
    pub(super) fn list(&self, partition: Partition) -> Vec<Offset> {
        let here = self.snapshots.range((partition, 0)..=(partition, u64::MAX));
        here.rev().map(|((_, offset), _)| Offset(*offset)).collect()
    }

    /// The bytes of a snapshot as they lie there.
    pub(super) fn at_rest(&self, partition: Partition, offset: Offset) -> Option<&Vec<u8>> {
        self.snapshots.get(&(partition, offset.0))
    }

    /// Writes that have been under way long enough arrive.
    pub(super) fn deliver_late(&mut self, now: u64) {
        for (due, write) in std::mem::take(&mut self.late) {
            if due <= now {
                self.put(write);
            } else {
                self.late.push((due, write));
            }
        }
    }
}

/// One process's way to the store.
pub(super) struct Door {
    who: u64,
    stage: Weak<Stage>,
}

impl Door {
    pub(super) fn new(who: u64, stage: &Arc<Stage>) -> Door {
        Door { who, stage: Arc::downgrade(stage) }
    }

    fn stage(&self) -> Arc<Stage> {
        self.stage.upgrade().expect("the stage outlives its workers")
    }

    /// Lets others go first, and the process die or the store be down.
    fn enter(&self, stage: &Arc<Stage>) -> Result<(), StoreError> {
        stage.let_others_go_first(4);
        self.check_alive(stage)?;
        if stage.draw_fault(&[Fault::Crash], 4).is_some() {
            stage.crash(self.who);
        }
        self.check_alive(stage)?;
        if stage.state().store_down_until > stage.now() {
            return Err(StoreError("it is down".to_owned()));
        }
        Ok(())
    }

    fn check_alive(&self, stage: &Stage) -> Result<(), StoreError> {
        if stage.is_alive(self.who) {
            Ok(())
        } else {
            Err(StoreError("the process has died".to_owned()))
        }
    }

    fn note<T>(
        &self,
        stage: &Stage,
        call: StoreCall,
        partition: Partition,
        offset: u64,
        outcome: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let well = outcome.is_ok();
        stage.note(self.who, Event::Store { call, partition, offset, well });
        outcome
    }

    fn write_or_spoil(&self, stage: &Arc<Stage>, mut write: Write) -> Result<Created, StoreError> {
        self.enter(stage)?;
        let faults = [Fault::WriteTorn, Fault::WriteLost, Fault::WriteLate, Fault::WriteUnanswered];
        let Some(fault) = stage.draw_fault(&faults, stage.favour_of_depth()) else {
            return Ok(lock(&stage.shelf).put(write));
        };
        stage.strike(self.who, fault);
        let mut is_told_well = stage.below(2) == 0;
        match fault {
            Fault::WriteTorn => {
                write.bytes.truncate(stage.below(write.bytes.len() as u64) as usize);
                lock(&stage.shelf).put(write);
            }
            Fault::WriteLost => is_told_well = true,
            Fault::WriteLate => {
                let due = stage.now() + stage.between(1, LATE_MS_MAX);
                lock(&stage.shelf).late.push((due, write));
            }
            _ => {
                lock(&stage.shelf).put(write);
                is_told_well = false;
            }
        }
        if is_told_well {
            Ok(Created::New)
        } else {
            Err(StoreError("no answer in time".to_owned()))
        }
    }

    fn read_or_spoil(
        &self,
        stage: &Arc<Stage>,
        partition: Partition,
        offset: Offset,
    ) -> Result<Vec<u8>, StoreError> {
        self.enter(stage)?;
        let found = lock(&stage.shelf).at_rest(partition, offset).cloned();
        let mut bytes = found.ok_or_else(|| StoreError("there is no such snapshot".to_owned()))?;
        if !bytes.is_empty()
            && stage.draw_fault(&[Fault::ReadDamaged], stage.favour_of_depth()).is_some()
        {
            stage.strike(self.who, Fault::ReadDamaged);
            let at = stage.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << stage.below(8);
        }
        Ok(bytes)
    }
}

impl SnapshotStore for Door {
    fn list(&self, place: &Place) -> Result<Vec<Offset>, StoreError> {
        let (stage, partition) = (self.stage(), place.partition);
        let listed = self.enter(&stage).map(|()| lock(&stage.shelf).list(partition));
        let newest = listed.as_ref().ok().and_then(|listed| listed.first()).map_or(0, |it| it.0);
        self.note(&stage, StoreCall::List, partition, newest, listed)
    }

    fn read(&self, place: &Place, offset: Offset) -> Result<Vec<u8>, StoreError> {
        let (stage, partition) = (self.stage(), place.partition);
        let read = self.read_or_spoil(&stage, partition, offset);
        self.note(&stage, StoreCall::Read, partition, offset.0, read)
    }

    fn create(&self, place: &Place, offset: Offset, bytes: Vec<u8>) -> Result<Created, StoreError> {
        let (stage, partition) = (self.stage(), place.partition);
        let write = Write { partition, offset: offset.0, bytes, replaces: false };
        let created = self.write_or_spoil(&stage, write);
        self.note(&stage, StoreCall::Create, partition, offset.0, created)
    }

    fn replace(&self, place: &Place, offset: Offset, bytes: Vec<u8>) -> Result<(), StoreError> {
        let (stage, partition) = (self.stage(), place.partition);
        let write = Write { partition, offset: offset.0, bytes, replaces: true };
        let replaced = self.write_or_spoil(&stage, write).map(drop);
        self.note(&stage, StoreCall::Replace, partition, offset.0, replaced)
    }

    fn delete(&self, place: &Place, offset: Offset) -> Result<(), StoreError> {
        let (stage, partition) = (self.stage(), place.partition);
        let deleted = self.enter(&stage).map(|()| {
            lock(&stage.shelf).snapshots.remove(&(partition, offset.0));
        });
        self.note(&stage, StoreCall::Delete, partition, offset.0, deleted)
    }
}
