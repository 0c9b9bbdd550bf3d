//! How the partitions stand that a follower reads, as its client's statistics tell once a second.
//!
//! Not a question to the brokers: every answer to a fetch says how far a partition can be read and how far
//! it is written, so nothing is asked for it and nobody waits. Invariant: a partition whose broker has
//! fallen silent is told as one that is out of reach, since what was last heard of it is no longer known.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::statistics::{Broker, Partition};
use rdkafka::{ClientContext, Statistics};

use crate::logging::Logging;
use crate::settings::Settings;

/// How often the client tells, in milliseconds.
pub(crate) const INTERVAL_MS: &str = "1000";
/// A broker that is read from answers a fetch at least ten times a second. In microseconds.
const SILENCE_MAX_US: i64 = 5_000_000;

/// How a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Its number.
    pub partition: u32,
    /// Offset at which reading goes on.
    pub next: u64,
    /// Offset up to which it can be read (the last stable offset): its end, or the first record of the
    /// oldest transaction that is still open.
    pub readable: u64,
    /// Offset that the next record will get.
    pub written: u64,
    /// Whether its broker answers, so that the three are of this moment.
    pub reached: bool,
}

/// Context of a client that follows a topic.
#[derive(Debug)]
pub(crate) struct Watching {
    logging: Logging,
    topic: String,
    /// What was told last and not taken yet. Written and read by the thread that polls.
    ends: Mutex<Option<Vec<End>>>,
}

impl Watching {
    pub(crate) fn new(client: &'static str, topic: &str, settings: &Settings) -> Watching {
        let ends = Mutex::new(None);
        Watching { logging: Logging::new(client, settings), topic: topic.to_owned(), ends }
    }

    /// How the partitions stand, if that was told since this was asked last.
    pub(crate) fn take(&self) -> Option<Vec<End>> {
        self.ends().take()
    }

    fn ends(&self) -> MutexGuard<'_, Option<Vec<End>>> {
        // It is replaced as a whole.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<Logging> for Watching {
    fn as_ref(&self) -> &Logging {
        &self.logging
    }
}

impl ClientContext for Watching {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.logging.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.logging.count_callback();
        *self.ends() = Some(ends(&statistics, &self.topic));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.logging.error(error, reason);
    }
}

impl ConsumerContext for Watching {}

/// By partition, ascending.
fn ends(statistics: &Statistics, topic: &str) -> Vec<End> {
    let partitions = statistics.topics.get(topic).map(|topic| topic.partitions.values());
    let end = |it: &Partition| end(it, statistics.brokers.values().find(|b| b.nodeid == it.broker));
    let mut ends: Vec<End> = partitions.into_iter().flatten().filter_map(end).collect();
    ends.sort_unstable_by_key(|end| end.partition);
    ends
}

/// None for what librdkafka keeps beside the real partitions, numbered -1.
fn end(partition: &Partition, broker: Option<&Broker>) -> Option<End> {
    let Partition { partition: number, next_offset, ls_offset, hi_offset, .. } = *partition;
    let answers =
        |broker: &Broker| broker.state == "UP" && (0..SILENCE_MAX_US).contains(&broker.rxidle);
    // An offset that was never told is negative.
    let is_known = next_offset >= 0 && ls_offset >= 0 && hi_offset >= 0;
    let offset = |offset: i64| u64::try_from(offset).unwrap_or_default();
    Some(End {
        partition: u32::try_from(number).ok()?,
        next: offset(next_offset),
        readable: offset(ls_offset),
        written: offset(hi_offset),
        reached: is_known && broker.is_some_and(answers),
    })
}
