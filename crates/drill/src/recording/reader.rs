//! A recording as it is read: its manifest, the records of a partition, and those of all of them in the
//! order of time.
//!
//! Invariant: what is handed on is what the manifest counts, each partition's in its order; anything
//! else is an error that names the file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::vec;

use ledger::units::MONEY_AND_TIME_MAX;
use pipeline::objects::{ObjectPath, Objects};

use super::chunk::{self, Damage, Header, Record};
use super::manifest::{Manifest, Part};
use super::writer::has_chunks;
use super::{MANIFEST, RecordingError, chunk_path};

/// See the module's documentation.
#[derive(Debug)]
pub struct Recording {
    objects: Objects,
    place: String,
    manifest: Manifest,
}

impl Recording {
    /// The recording in a store. `place` is what `objects` is called in errors.
    ///
    /// # Errors
    /// If there is none, or its manifest cannot be believed.
    pub fn open(objects: Objects, place: &str) -> Result<Recording, RecordingError> {
        let path = ObjectPath::from(MANIFEST);
        let file = format!("{place}/{path}");
        let read = objects.read(&path);
        let found = read.map_err(|error| RecordingError::Store { file: file.clone(), error })?;
        let Some(bytes) = found else {
            let place = place.to_owned();
            return Err(match has_chunks(&objects, &place)? {
                true => RecordingError::Unfinished(place),
                false => RecordingError::Nothing(place),
            });
        };
        let manifest =
            Manifest::read(&bytes).map_err(|damage| RecordingError::Damaged { file, damage })?;
        Ok(Recording { objects, place: place.to_owned(), manifest })
    }

    /// What it holds.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The records of a partition; none of one that was not recorded.
    #[must_use]
    pub fn records(&self, partition: u32) -> Records<'_> {
        let part = self.manifest.partitions.get(partition as usize).copied().unwrap_or_default();
        Records {
            recording: self,
            partition,
            part,
            next: 0,
            left: part.records,
            chunk: Vec::new().into_iter(),
        }
    }

    /// All records, by T: the largest valid timestamp of their partition so far.
    ///
    /// # Errors
    /// As the iteration's.
    pub fn by_time(&self) -> Result<ByTime<'_>, RecordingError> {
        let partitions = self.manifest.partitions.len() as u32;
        let mut all = ByTime {
            partitions: (0..partitions).map(|partition| self.records(partition)).collect(),
            first: BinaryHeap::with_capacity(partitions as usize),
        };
        // Before its first timestamp a partition's T counts as the earliest of all.
        let t_ms = self.manifest.first_t_ms.unwrap_or(0);
        for partition in 0..partitions {
            all.advance(partition, t_ms)?;
        }
        Ok(all)
    }

    /// The records of a chunk that must be there.
    fn chunk(&self, partition: u32, number: u32) -> Result<Vec<Record>, RecordingError> {
        let path = chunk_path(partition, number);
        let file = format!("{}/{path}", self.place);
        let bytes = self
            .objects
            .read(&path)
            .map_err(|error| RecordingError::Store { file: file.clone(), error })?
            .ok_or_else(|| RecordingError::Missing(file.clone()))?;
        chunk::open(&bytes)
            .and_then(|(header, records)| {
                self.is_ours(&header, partition, number).map(|()| records)
            })
            .map_err(|damage| RecordingError::Damaged { file, damage })
    }

    fn is_ours(&self, header: &Header, partition: u32, number: u32) -> Result<(), Damage> {
        let place = (self.manifest.id(), partition, number);
        if (Some(header.recording), header.partition, header.number) == place {
            return Ok(());
        }
        Err(Damage::Elsewhere(format!(
            "chunk {} of partition {} in the recording {:032x} of {}",
            header.number, header.partition, header.recording, header.topic
        )))
    }
}

/// See [`Recording::records`].
#[derive(Debug)]
pub struct Records<'r> {
    recording: &'r Recording,
    partition: u32,
    part: Part,
    /// Number of the chunk that is read next.
    next: u32,
    /// Records that the manifest still counts.
    left: u64,
    chunk: vec::IntoIter<Record>,
}

impl Records<'_> {
    fn read(&mut self) -> Result<Option<Record>, RecordingError> {
        loop {
            if let Some(record) = self.chunk.next() {
                self.left = self.left.checked_sub(1).ok_or_else(|| self.miscounted())?;
                return Ok(Some(record));
            }
            if self.next == self.part.chunks {
                return if self.left == 0 { Ok(None) } else { Err(self.miscounted()) };
            }
            self.chunk = self.recording.chunk(self.partition, self.next)?.into_iter();
            self.next += 1;
        }
    }

    fn miscounted(&self) -> RecordingError {
        let path = chunk_path(self.partition, self.next.saturating_sub(1));
        let file = format!("{}/{path}", self.recording.place);
        RecordingError::Damaged { file, damage: Damage::Content }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// A record among those of all partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its partition.
    pub partition: u32,
    /// The largest valid timestamp of its partition up to it, in milliseconds since 1970.
    pub t_ms: u64,
    /// The record.
    pub record: Record,
}

/// See [`Recording::by_time`].
#[derive(Debug)]
pub struct ByTime<'r> {
    partitions: Vec<Records<'r>>,
    /// The first record of each partition that has one left.
    first: BinaryHeap<Reverse<First>>,
}

#[derive(Debug)]
struct First {
    t_ms: u64,
    partition: u32,
    record: Record,
}

impl First {
    fn rank(&self) -> (u64, u32) {
        (self.t_ms, self.partition)
    }
}

impl PartialEq for First {
    fn eq(&self, other: &First) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for First {}

impl PartialOrd for First {
    fn partial_cmp(&self, other: &First) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for First {
    fn cmp(&self, other: &First) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl ByTime<'_> {
    /// Brings a partition's next record in, behind one at `t_ms`.
    fn advance(&mut self, partition: u32, t_ms: u64) -> Result<(), RecordingError> {
        if let Some(record) = self.partitions[partition as usize].next().transpose()? {
            let own =
                u64::try_from(record.timestamp_ms).ok().filter(|own| *own <= MONEY_AND_TIME_MAX);
            let t_ms = own.map_or(t_ms, |own| own.max(t_ms));
            self.first.push(Reverse(First { t_ms, partition, record }));
        }
        Ok(())
    }
}

impl Iterator for ByTime<'_> {
    type Item = Result<Recorded, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse(First { t_ms, partition, record }) = self.first.pop()?;
        if let Err(error) = self.advance(partition, t_ms) {
            // What was read goes with it: an error ends the reading.
            self.first.clear();
            return Some(Err(error));
        }
        Some(Ok(Recorded { partition, t_ms, record }))
    }
}
