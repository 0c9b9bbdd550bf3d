//! One partition of one topic: records in offset order with the markers of transactions among them.
//!
//! Not the coordinator: it keeps what a Kafka partition leader keeps (the log itself, which
//! transactions are open on it, and how the others ended) and knows neither ids nor epochs.
//! Bytes lie end to end in segments, with one flat entry for each offset.
//! Invariant: every offset from `oldest` to `next` has exactly one entry, and no entry at or
//! beyond the last stable offset is shown to a reader of committed records.

use std::collections::VecDeque;

use ledger::units::Offset;
use wire::record::{Headers, Record};

use super::headers::{self, EncodedHeaders};
use crate::log::Partition;

/// Bytes of a partition's first segment; each further one is four times as long up to the largest,
/// so that thousands of small logs cost little and a big one few allocations.
const SEGMENT_BYTES_FIRST: usize = 16 * 1024;
/// Bytes of a segment, unless a single record is longer.
const SEGMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Offsets in a segment; binds where records are short, or markers, which have no bytes, many.
const SEGMENT_ENTRIES_MAX: usize = 64 * 1024;
/// Bytes after which a fetch takes no further record (`fetch.max.bytes`); the first always fits.
const FETCH_BYTES_MAX: usize = 1024 * 1024;

/// In place of a key's or a value's length where there is none.
const NULL_LENGTH: u32 = u32::MAX;

/// What a publisher or a worker appends. The offset is the log's to give.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Milliseconds since 1970-01-01 UTC; counts only where the topic has `CreateTime`.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a dyn Headers,
}

/// Which records a reader is shown (`isolation.level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Only those outside transactions and of committed ones, up to the last stable offset.
    ReadCommitted,
    /// All, those of open and of aborted transactions too.
    ReadUncommitted,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Commit,
    Abort,
}

/// First offset, last stable offset and next offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest offset that is still there (Kafka's log start offset).
    pub oldest: Offset,
    /// Where readers of committed records stop: at the first record of the oldest open transaction.
    pub last_stable: Offset,
    /// The offset that the next record will get (Kafka's high watermark, as there is one replica).
    pub next: Offset,
}

/// A partition's own number for one transaction that wrote to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TransactionNumber(u32);

/// The transaction that a record was to be part of is decided already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotOpen;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct PartitionLog {
    segments: VecDeque<Segment>,
    segments_made: u32,
    oldest: u64,
    next: u64,
    /// By number; what became of every transaction that wrote here.
    fates: Vec<Fate>,
    /// The open ones, oldest first, each with the offset of its first record.
    open: Vec<(TransactionNumber, u64)>,
}

#[derive(Debug)]
struct Segment {
    base: u64,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// What stands at one offset. The bytes are key, value and headers, one after the other.
#[derive(Debug, Clone, Copy)]
struct Entry {
    timestamp: i64,
    start: u32,
    key_length: u32,
    value_length: u32,
    headers_length: u32,
    kind: Kind,
}

const _: () = assert!(size_of::<Entry>() <= 32, "an entry is half a cache line");

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A record outside transactions.
    Plain,
    /// A record of a transaction.
    Transactional(TransactionNumber),
    /// A commit or abort marker (Kafka's control batch): takes an offset, is never handed on.
    Marker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

impl PartitionLog {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            oldest: Offset(self.oldest),
            last_stable: Offset(self.last_stable()),
            next: Offset(self.next),
        }
    }

    /// Kafka's LSO: a later transaction that is committed already stays hidden behind an older open
    /// one, so that readers see offsets grow.
    fn last_stable(&self) -> u64 {
        self.open.first().map_or(self.next, |&(_, first)| first)
    }

    /// Appends a record outside transactions.
    pub(super) fn append(&mut self, record: &NewRecord<'_>) -> Offset {
        self.push(record, Kind::Plain)
    }

    /// Opens a transaction on this partition, whose records begin at the next offset.
    pub(super) fn open_transaction(&mut self) -> TransactionNumber {
        let number =
            u32::try_from(self.fates.len()).expect("a log sees fewer than 2^32 transactions");
        self.fates.push(Fate::Open);
        self.open.push((TransactionNumber(number), self.next));
        TransactionNumber(number)
    }

    /// Whether records may still join this transaction. Kafka 4 asks its coordinator the same
    /// before it takes a transaction's first record (KIP-890 part 1): without that a straggler
    /// would open a transaction that nobody ever ends.
    pub(super) fn check_open(&self, number: TransactionNumber) -> Result<(), NotOpen> {
        match self.fates[number.0 as usize] {
            Fate::Open => Ok(()),
            Fate::Committed | Fate::Aborted => Err(NotOpen),
        }
    }

    /// Appends a record of a transaction for which [`PartitionLog::check_open`] has just held.
    pub(super) fn append_transactional(
        &mut self,
        record: &NewRecord<'_>,
        number: TransactionNumber,
    ) {
        debug_assert_eq!(self.check_open(number), Ok(()));
        self.push(record, Kind::Transactional(number));
    }

    /// Ends a transaction: its marker takes the next offset. Of an ended one nothing changes.
    pub(super) fn end_transaction(&mut self, number: TransactionNumber, decision: Decision) {
        if self.check_open(number).is_err() {
            return;
        }
        self.fates[number.0 as usize] = match decision {
            Decision::Commit => Fate::Committed,
            Decision::Abort => Fate::Aborted,
        };
        self.open.retain(|&(open, _)| open != number);
        let nothing = NewRecord { timestamp: 0, key: None, value: None, headers: &wire::NoHeaders };
        self.push(&nothing, Kind::Marker);
    }

    /// Drops whole records below `before`, as retention or `DeleteRecords` does; what is not stable
    /// yet stays.
    pub(super) fn trim(&mut self, before: Offset) {
        self.oldest = self.oldest.max(before.0.min(self.last_stable()));
        while self.segments.front().is_some_and(|segment| segment.end() <= self.oldest) {
            self.segments.pop_front();
        }
    }

    /// Copies up to `records_max` visible records from `position` on into `batch`, which is emptied
    /// first. Returns where reading goes on: beyond hidden records and markers that follow.
    pub(super) fn read(
        &self,
        position: Offset,
        isolation: Isolation,
        records_max: usize,
        batch: &mut Batch,
    ) -> Offset {
        batch.clear();
        let end = match isolation {
            Isolation::ReadCommitted => self.last_stable(),
            Isolation::ReadUncommitted => self.next,
        };
        let mut position = position.0.max(self.oldest);
        let mut index = self.segments.partition_point(|segment| segment.end() <= position);
        while position < end && batch.has_room(records_max) {
            let segment = &self.segments[index];
            position = self.read_segment(segment, position, end, isolation, records_max, batch);
            index += 1;
        }
        Offset(position)
    }

    /// The part of [`PartitionLog::read`] that lies in one segment. Neighbours are copied in one
    /// piece, hidden ones between them too: one long copy costs less than many short ones.
    fn read_segment(
        &self,
        segment: &Segment,
        position: u64,
        end: u64,
        isolation: Isolation,
        records_max: usize,
        batch: &mut Batch,
    ) -> u64 {
        let first = (position - segment.base) as usize;
        let last = ((end - segment.base) as usize).min(segment.entries.len());
        let copy_from = segment.entries[first].start as usize;
        let copied_to = batch.bytes.len();
        let mut copy_until = copy_from;
        let mut next = first;
        while next < last && batch.has_room_beside(copy_until - copy_from, records_max) {
            let entry = &segment.entries[next];
            if self.is_visible(entry, isolation) {
                copy_until = entry.end();
                batch.found.push(Found {
                    offset: segment.base + next as u64,
                    start: copied_to + (entry.start as usize - copy_from),
                    entry: *entry,
                });
            }
            next += 1;
        }
        batch.bytes.extend_from_slice(&segment.bytes[copy_from..copy_until]);
        segment.base + next as u64
    }

    fn is_visible(&self, entry: &Entry, isolation: Isolation) -> bool {
        match (entry.kind, isolation) {
            (Kind::Marker, _) => false,
            (_, Isolation::ReadUncommitted) => true,
            (_, Isolation::ReadCommitted) => self.is_committed(entry),
        }
    }

    fn is_committed(&self, entry: &Entry) -> bool {
        match entry.kind {
            Kind::Plain => true,
            Kind::Transactional(number) => self.fates[number.0 as usize] == Fate::Committed,
            Kind::Marker => false,
        }
    }

    fn push(&mut self, record: &NewRecord<'_>, kind: Kind) -> Offset {
        let headers_length = headers::encoded_length(record.headers);
        let length = length_of(record.key) + length_of(record.value) + headers_length;
        let segment = self.segment_with_room(length);
        let start = segment.bytes.len();
        segment.bytes.extend_from_slice(record.key.unwrap_or_default());
        segment.bytes.extend_from_slice(record.value.unwrap_or_default());
        if headers_length > 0 {
            headers::encode(record.headers, &mut segment.bytes);
        }
        segment.entries.push(Entry {
            timestamp: record.timestamp,
            start: small(start),
            key_length: record.key.map_or(NULL_LENGTH, |key| small(key.len())),
            value_length: record.value.map_or(NULL_LENGTH, |value| small(value.len())),
            headers_length: small(headers_length),
            kind,
        });
        let offset = Offset(self.next);
        self.next += 1;
        offset
    }

    fn segment_with_room(&mut self, length: usize) -> &mut Segment {
        let has_room = |segment: &Segment| {
            segment.bytes.len() + length <= segment.bytes.capacity()
                && segment.entries.len() < SEGMENT_ENTRIES_MAX
        };
        if !self.segments.back().is_some_and(has_room) {
            let usual =
                (SEGMENT_BYTES_FIRST << (2 * self.segments_made.min(4))).min(SEGMENT_BYTES_MAX);
            self.segments_made += 1;
            self.segments.push_back(Segment {
                base: self.next,
                entries: Vec::new(),
                bytes: Vec::with_capacity(usual.max(length)),
            });
        }
        self.segments.back_mut().expect("a segment was just made sure of")
    }
}

impl Segment {
    /// The offset after its last one.
    fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }
}

impl Entry {
    /// Where its bytes end in its segment.
    fn end(&self) -> usize {
        (self.start + present(self.key_length) + present(self.value_length) + self.headers_length)
            as usize
    }
}

fn length_of(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, <[u8]>::len)
}

fn small(length: usize) -> u32 {
    u32::try_from(length).expect("a record is far shorter than 4 GiB")
}

fn present(length: u32) -> u32 {
    if length == NULL_LENGTH { 0 } else { length }
}

/// Records copied out of a partition, so that nobody looks at them under its lock. Kept from fetch
/// to fetch, so that its memory is.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    found: Vec<Found>,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    offset: u64,
    /// Where its bytes begin in the batch.
    start: usize,
    entry: Entry,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.found.clear();
    }

    fn has_room(&self, records_max: usize) -> bool {
        self.has_room_beside(0, records_max)
    }

    fn has_room_beside(&self, bytes: usize, records_max: usize) -> bool {
        self.found.len() < records_max && self.bytes.len() + bytes < FETCH_BYTES_MAX
    }

    /// Calls `visit` with all records at once.
    pub(super) fn with_records(&self, partition: Partition, visit: impl FnOnce(&[Record<'_>])) {
        let headers: Vec<EncodedHeaders<'_>> =
            self.found.iter().filter_map(|found| self.headers(found)).collect();
        let mut headers = headers.iter();
        let records: Vec<Record<'_>> = self
            .found
            .iter()
            .map(|found| {
                let headers: &dyn Headers = match found.entry.headers_length {
                    0 => &wire::NoHeaders,
                    _ => headers.next().expect("made for every record that has some"),
                };
                let (key, value) = self.key_and_value(found);
                let offset = Offset(found.offset);
                Record { partition, offset, timestamp: found.entry.timestamp, key, value, headers }
            })
            .collect();
        visit(&records);
    }

    fn key_and_value(&self, found: &Found) -> (Option<&[u8]>, Option<&[u8]>) {
        let Entry { key_length, value_length, .. } = found.entry;
        let value_start = found.start + present(key_length) as usize;
        let value_end = value_start + present(value_length) as usize;
        let key = (key_length != NULL_LENGTH).then(|| &self.bytes[found.start..value_start]);
        let value = (value_length != NULL_LENGTH).then(|| &self.bytes[value_start..value_end]);
        (key, value)
    }

    fn headers(&self, found: &Found) -> Option<EncodedHeaders<'_>> {
        let Entry { key_length, value_length, headers_length, .. } = found.entry;
        let start = found.start + (present(key_length) + present(value_length)) as usize;
        let end = start + headers_length as usize;
        (headers_length > 0).then(|| EncodedHeaders::new(&self.bytes[start..end]))
    }
}
