//! Records into chunks, chunks into the store, and a manifest in the end.
//!
//! Not a reader of topics. Invariant: every file that is there is whole, and nothing that was there before
//! is touched.

use pipeline::objects::{Created, ObjectPath, Objects, ObjectsError};

use super::chunk::{self, Header, Record};
use super::manifest::Manifest;
use super::pseudonyms::Pseudonyms;
use super::{MANIFEST, RecordingError, chunk_path, partition_path};
use ledger::units::MONEY_AND_TIME_MAX;

/// Bytes of records that wait in memory, over all partitions, until their chunk is full.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Bounds of a chunk's bytes before compression: a reader holds one of each partition at a time.
const CHUNK_BYTES: std::ops::RangeInclusive<usize> = (64 << 10)..=(4 << 20);

/// See the module's documentation.
#[derive(Debug)]
pub struct Recorder {
    objects: Objects,
    place: String,
    header: Header,
    manifest: Manifest,
    pseudonyms: Option<Pseudonyms>,
    chunk_bytes: usize,
    /// For each partition the chunk that is being filled.
    open: Vec<Open>,
}

#[derive(Debug, Clone, Default)]
struct Open {
    body: Vec<u8>,
    records: u32,
}

impl Recorder {
    /// A recording of a topic under an id that no other has. `place` is what `objects` is called in errors.
    ///
    /// # Errors
    /// If something was recorded there before, or the store cannot be asked.
    pub fn new(
        objects: Objects,
        place: &str,
        id: u128,
        topic: &str,
        partitions: u32,
        pseudonyms: Option<Pseudonyms>,
    ) -> Result<Recorder, RecordingError> {
        refuse_taken(&objects, place)?;
        let header = Header {
            recording: id,
            topic: topic.to_owned(),
            partitions,
            partition: 0,
            number: 0,
            records: 0,
            pseudonymised: pseudonyms.is_some(),
        };
        let share = WAITING_BYTES_MAX / (partitions as usize).max(1);
        Ok(Recorder {
            objects,
            place: place.to_owned(),
            header,
            manifest: Manifest::new(id, topic, partitions),
            pseudonyms,
            chunk_bytes: share.clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end()),
            open: vec![Open::default(); partitions as usize],
        })
    }

    /// Records taken so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.manifest.records
    }

    /// Takes the next record of a partition.
    ///
    /// # Errors
    /// If it has no room in a chunk, or a chunk cannot be stored.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn push(&mut self, partition: u32, record: Record) -> Result<(), RecordingError> {
        let offset = record.offset;
        if let Ok(time_ms) = u64::try_from(record.timestamp_ms)
            && time_ms <= MONEY_AND_TIME_MAX
        {
            let Manifest { first_t_ms, last_t_ms, .. } = &mut self.manifest;
            *first_t_ms = Some(first_t_ms.map_or(time_ms, |first| first.min(time_ms)));
            *last_t_ms = Some(last_t_ms.map_or(time_ms, |last| last.max(time_ms)));
        }
        let record = match &mut self.pseudonyms {
            Some(pseudonyms) => pseudonyms.hide(record),
            None => record,
        };
        let open = &mut self.open[partition as usize];
        let before = open.body.len();
        chunk::append(&record, &mut open.body)
            .ok_or(RecordingError::TooLarge { partition, offset })?;
        open.records += 1;
        self.manifest.records += 1;
        self.manifest.bytes += (open.body.len() - before) as u64;
        let part = &mut self.manifest.partitions[partition as usize];
        part.records += 1;
        part.first_offset.get_or_insert(offset);
        part.last_offset = Some(offset);
        if open.body.len() >= self.chunk_bytes {
            self.store(partition)?;
        }
        Ok(())
    }

    /// Stores what waits, then the manifest.
    ///
    /// # Errors
    /// If something cannot be stored.
    pub fn finish(mut self, stopped_early: bool) -> Result<Manifest, RecordingError> {
        for partition in 0..self.header.partitions {
            self.store(partition)?;
        }
        self.manifest.stopped_early = stopped_early;
        self.manifest.pseudonymised = self.pseudonyms.as_ref().map(Pseudonyms::withheld);
        let text = self.manifest.to_text();
        self.create(&ObjectPath::from(MANIFEST), text.into_bytes())?;
        Ok(self.manifest)
    }

    /// Stores the chunk that a partition fills, unless it is empty.
    fn store(&mut self, partition: u32) -> Result<(), RecordingError> {
        let open = &mut self.open[partition as usize];
        if open.records == 0 {
            return Ok(());
        }
        let part = &mut self.manifest.partitions[partition as usize];
        let path = chunk_path(partition, part.chunks);
        let header =
            Header { partition, number: part.chunks, records: open.records, ..self.header.clone() };
        let bytes = chunk::seal(&header, &open.body).map_err(|error| RecordingError::Store {
            file: format!("{}/{path}", self.place),
            error: ObjectsError(error.to_string()),
        })?;
        part.chunks += 1;
        self.manifest.bytes_compressed += bytes.len() as u64;
        open.body.clear();
        open.records = 0;
        self.create(&path, bytes)
    }

    fn create(&self, path: &ObjectPath, bytes: Vec<u8>) -> Result<(), RecordingError> {
        match self.objects.create(path, bytes) {
            Ok(Created::New) => Ok(()),
            Ok(Created::Existed) => Err(RecordingError::Taken(self.place.clone())),
            Err(error) => {
                Err(RecordingError::Store { file: format!("{}/{path}", self.place), error })
            }
        }
    }
}

/// A place with any part of a recording is taken.
fn refuse_taken(objects: &Objects, place: &str) -> Result<(), RecordingError> {
    let failed = |error| RecordingError::Store { file: place.to_owned(), error };
    let manifest = objects.read(&ObjectPath::from(MANIFEST)).map_err(failed)?;
    if manifest.is_some() || has_chunks(objects, place)? {
        return Err(RecordingError::Taken(place.to_owned()));
    }
    Ok(())
}

/// Whether some partition has chunks.
pub(super) fn has_chunks(objects: &Objects, place: &str) -> Result<bool, RecordingError> {
    let folders = objects
        .folders()
        .map_err(|error| RecordingError::Store { file: place.to_owned(), error })?;
    let is_partition = |name: &String| {
        name.parse().is_ok_and(|number| partition_path(number).as_ref() == name.as_str())
    };
    Ok(folders.iter().any(is_partition))
}
