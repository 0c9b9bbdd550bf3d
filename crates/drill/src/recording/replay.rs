//! A recording into a topic, record by record: with fresh ids and shifted times, each when it is due.
//!
//! One thread reads, rewrites and routes ahead, the caller's publishes: so neither the store nor the
//! rewriting makes a record late. Open loop, as every load. Invariant: records of one partition, and
//! those of one key, keep their order.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use wire::partition::partition_of;

use super::RecordingError;
use super::chunk::Record;
use super::fresh::Fresh;
use super::reader::{Recorded, Recording};
use super::rewrite::{Checker, Kind};
use super::timeline::{Speed, Timeline};
use crate::load::{LoadError, Meter, Pace, Publisher, WallClock};

/// Records that are handed on together.
const BATCH: usize = 512;
/// A batch ends with the record by which it has so many bytes of values: what waits for the publisher
/// takes memory by bytes, not by records.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that wait for the publisher.
const BATCHES: usize = 32;

/// A record as it is published again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Where it goes.
    pub partition: u32,
    /// T once it has come, in milliseconds since 1970.
    pub t_ms: i64,
    /// What is published; its offset is the recorded one.
    pub record: Record,
}

/// What is replayed, and how.
#[derive(Debug)]
pub struct Replay<'r> {
    recording: &'r Recording,
    fresh: &'r Fresh,
    /// Of the topic that is written to.
    partitions: u32,
    speed: Speed,
    timeline: &'r Timeline,
    orders: AtomicU64,
}

/// Why a replay ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Nothing more can be published.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl<'r> Replay<'r> {
    /// A replay into a topic of so many partitions.
    #[must_use]
    pub fn new(
        recording: &'r Recording,
        fresh: &'r Fresh,
        partitions: u32,
        speed: Speed,
        timeline: &'r Timeline,
    ) -> Replay<'r> {
        Replay { recording, fresh, partitions, speed, timeline, orders: AtomicU64::new(0) }
    }

    /// Commands that place an order, so far; repetitions count each time.
    #[must_use]
    pub fn orders(&self) -> u64 {
        // Relaxed: a figure for itself.
        self.orders.load(Ordering::Relaxed)
    }

    /// Hands all records on in batches, until nobody takes them any more.
    pub(super) fn prepare(&self, to: &SyncSender<Vec<Replayed>>) -> Result<(), RecordingError> {
        let mut checker = Checker::new();
        let (mut batch, mut bytes) = (Vec::with_capacity(BATCH), 0);
        for recorded in self.recording.by_time()? {
            let replayed = self.renew(recorded?, &mut checker);
            bytes += replayed.record.value.as_ref().map_or(0, Vec::len);
            batch.push(replayed);
            if batch.len() == BATCH || bytes >= BATCH_BYTES {
                bytes = 0;
                if to.send(std::mem::take(&mut batch)).is_err() {
                    return Ok(());
                }
            }
        }
        // Whoever took the others may have gone: then it has no use for the last ones.
        drop(to.send(batch));
        Ok(())
    }

    fn renew(&self, recorded: Recorded, checker: &mut Checker) -> Replayed {
        let Recorded { partition, t_ms, mut record } = recorded;
        let kind = checker.kind_of(&record);
        if kind == (Kind::Command { places: true }) {
            // Relaxed: a figure for itself, which only this thread writes.
            self.orders.fetch_add(1, Ordering::Relaxed);
        }
        self.fresh.apply(&mut record, !matches!(kind, Kind::Invalid | Kind::TooLarge));
        let t_ms = self.fresh.timestamp_ms(t_ms.cast_signed());
        Replayed { partition: self.route(partition, &record), t_ms, record }
    }

    /// The partition that it had; where the topic has another number of them, its key's.
    fn route(&self, partition: u32, record: &Record) -> u32 {
        if self.recording.manifest().partitions.len() == self.partitions as usize {
            return partition;
        }
        match &record.key {
            Some(key) => partition_of(key, self.partitions),
            None => partition % self.partitions,
        }
    }
}

/// Publishes a recording, each record when it is due. Ends early when `stop` is set.
///
/// # Errors
/// If the recording cannot be read any further, or the publisher's.
pub fn drive(
    replay: &Replay<'_>,
    publisher: &mut impl Publisher<Replayed>,
    clock: &WallClock,
    meter: &Meter,
    stop: &AtomicBool,
) -> Result<(), ReplayError> {
    let (sender, batches) = sync_channel(BATCHES);
    std::thread::scope(|threads| {
        let reader = threads.spawn(move || replay.prepare(&sender));
        let mut pace = Pace::new(clock, meter);
        let (mut t_ms, mut due_ms) = (i64::MIN, clock.now_ms());
        'all: for batch in batches {
            // Relaxed: nothing is handed over with the flag.
            if stop.load(Ordering::Relaxed) {
                break;
            }
            for replayed in batch {
                if replay.speed == Speed::Unpaced {
                    due_ms = clock.now_ms();
                } else if replayed.t_ms != t_ms {
                    due_ms = replay.timeline.advance(replayed.t_ms, due_ms);
                }
                t_ms = replayed.t_ms;
                if pace.is_behind(due_ms) {
                    pace.begin(due_ms, publisher);
                    // Relaxed: nothing is handed over with the flag.
                    if stop.load(Ordering::Relaxed) {
                        break 'all;
                    }
                }
                pace.publish(&replayed, replayed.partition, publisher)?;
            }
        }
        pace.end(publisher)?;
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(())
    })
}
