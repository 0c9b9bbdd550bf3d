//! Reads a span of all partitions of the input at once, as a recorder does: up to where it ended when
//! the reading began, up to a given end, or on and on.
//!
//! Not the workers' way to read and no member of any group. Invariant: what is handed on is committed and
//! lies in the span, each partition's records in their order.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use pipeline::log::{LogError, Partition};

use crate::bootstrap::remind;
use crate::errors::{Rights, log_error};
use crate::logging::Logging;
use crate::reader::{OwnedRecord, is_about_the_group, owned};
use crate::settings::Settings;

/// Records that one look hands on at most.
const RECORDS_MAX: usize = 10_000;
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Without anything new for this long before the end, the brokers are taken for unreachable.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// One end of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The oldest record that is there.
    Oldest,
    /// This offset in every partition.
    Offset(u64),
    /// The first record with this timestamp or a later one, in milliseconds since 1970; where there is
    /// none, the present end.
    Time(i64),
    /// Behind what is there now.
    Now,
    /// Nowhere: what comes later belongs to the span too.
    Open,
}

/// See the module's documentation.
pub struct SpanReader {
    topic: String,
    consumer: BaseConsumer<Logging>,
    rights: Rights,
    parts: Vec<Part>,
    heard_at: Instant,
    /// What went wrong since.
    trouble: Option<String>,
}

/// What is read of a partition.
#[derive(Debug, Clone, Copy)]
struct Part {
    next: u64,
    /// None if it has no end.
    end: Option<u64>,
    /// Whether all of it was read.
    is_done: bool,
}

impl std::fmt::Debug for SpanReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let SpanReader { topic, parts, .. } = self;
        let mut shown = formatter.debug_struct("SpanReader");
        shown.field("topic", topic).field("parts", parts).finish_non_exhaustive()
    }
}

impl SpanReader {
    /// Starts to read the input from `since` up to, but without, `until`.
    pub fn start(
        settings: &Settings,
        partitions: u32,
        since: Edge,
        until: Edge,
    ) -> Result<SpanReader, LogError> {
        let topic = settings.topics.orders.clone();
        let consumer: BaseConsumer<Logging> = settings
            .reader()
            .create_with_context(Logging::new("span", settings))
            .map_err(|error| log_error("making the client that reads", &error))?;
        let rights = Rights::of(settings);
        let asking = Asking { consumer: &consumer, rights: &rights, topic: &topic };
        let part = |partition| asking.part(partition, since, until);
        let parts: Vec<Part> = (0..partitions).map(part).collect::<Result<_, LogError>>()?;
        let mut list = TopicPartitionList::new();
        for (number, part) in (0..).zip(&parts) {
            if !part.is_done {
                list.add_partition_offset(&topic, number, native(part.next)?)
                    .map_err(|error| log_error("starting to read", &error))?;
            }
        }
        consumer.assign(&list).map_err(|error| log_error("starting to read", &error))?;
        Ok(SpanReader { topic, consumer, rights, parts, heard_at: Instant::now(), trouble: None })
    }

    /// Records that the span still holds, as far as it has an end; offsets without a record count too.
    #[must_use]
    pub fn left(&self) -> u64 {
        let left = |part: &Part| part.end.unwrap_or(part.next).saturating_sub(part.next);
        self.parts.iter().filter(|part| !part.is_done).map(left).sum()
    }

    /// Whether everything was handed on.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.parts.iter().all(|part| part.is_done)
    }

    /// Hands on what has come; waits at most `wait` for the first.
    ///
    /// A [`LogError::Fatal`] says that records which should follow are not there any more, a
    /// [`LogError::Retry`] that no broker has answered for half a minute.
    pub fn look<E: From<LogError>>(
        &mut self,
        wait: Duration,
        on_record: &mut dyn FnMut(Partition, OwnedRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut wait = wait;
        for _ in 0..RECORDS_MAX {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let (number, record) = (index(message.partition()), owned(&message));
                    drop(message);
                    self.hear(number);
                    if take(&mut self.parts[number], record.offset) {
                        on_record(number as Partition, record)?;
                    }
                    self.leave_if_done(number)?;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let number = index(partition);
                    self.hear(number);
                    let part = &mut self.parts[number];
                    part.is_done = part.end.is_some();
                    self.leave_if_done(number)?;
                }
                Some(Err(error)) => self.note(&error)?,
            }
            wait = Duration::ZERO;
        }
        remind(&self.consumer);
        Ok(self.refuse_silence()?)
    }

    /// Takes note of a sign of life, unless it comes from a partition that nothing is wanted of any more.
    fn hear(&mut self, number: usize) {
        if !self.parts[number].is_done {
            self.heard_at = Instant::now();
        }
        // What went wrong before is over.
        self.consumer.context().reached();
        self.trouble = None;
    }

    /// Fetches no more of a partition that has been read: it would keep others waiting for nothing.
    fn leave_if_done(&self, number: usize) -> Result<(), LogError> {
        if !self.parts[number].is_done {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, number as i32);
        self.consumer.pause(&list).map_err(|error| log_error("ending to read", &error))
    }

    /// Takes note of what the client works on by itself.
    fn note(&mut self, error: &KafkaError) -> Result<(), LogError> {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
            return Err(LogError::Fatal(format!(
                "{}: records to be read are not there any more; retention, or somebody, deleted them",
                self.topic
            )));
        }
        if is_about_the_group(error) {
            return Ok(());
        }
        let error = self.rights.log_error("Read", &self.topic, "reading", error);
        match self.consumer.context().explained(error) {
            LogError::Retry(trouble) => self.trouble = Some(trouble),
            error => return Err(error),
        }
        Ok(())
    }

    /// A quiet partition is heard of too, by its end; not so if nothing of it is left.
    fn refuse_silence(&mut self) -> Result<(), LogError> {
        let is_open = self.parts.iter().any(|part| part.end.is_none());
        if is_open || self.is_done() || self.heard_at.elapsed() < SILENCE_MAX {
            return Ok(());
        }
        let why = self.trouble.take().map(|why| format!(": {why}")).unwrap_or_default();
        let waited = SILENCE_MAX.as_secs();
        Err(LogError::Retry(format!("{}: no answer for {waited} s{why}", self.topic)))
    }
}

/// Takes note of a record of a partition; says whether it belongs to the span.
fn take(part: &mut Part, offset: u64) -> bool {
    let is_inside = !part.is_done && part.end.is_none_or(|end| offset < end);
    part.next = offset + 1;
    part.is_done |= part.end.is_some_and(|end| part.next >= end);
    is_inside
}

/// Questions about the topic's offsets.
struct Asking<'a> {
    consumer: &'a BaseConsumer<Logging>,
    rights: &'a Rights,
    topic: &'a str,
}

impl Asking<'_> {
    fn failed(&self, doing: &str, error: &KafkaError) -> LogError {
        self.rights.log_error("Read", self.topic, doing, error)
    }

    fn part(&self, number: u32, since: Edge, until: Edge) -> Result<Part, LogError> {
        let number = i32::try_from(number)
            .map_err(|_| LogError::Fatal(format!("there is no partition {number}")))?;
        let bounds = self.consumer.fetch_watermarks(self.topic, number, ANSWER_WAIT);
        let (oldest, end) =
            bounds.map_err(|error| self.failed("asking for a partition's bounds", &error))?;
        let bounds = (oldest.max(0).unsigned_abs(), end.max(0).unsigned_abs());
        let next = self.offset(number, since, bounds)?.unwrap_or(bounds.1);
        if !(bounds.0..=bounds.1).contains(&next) {
            return Err(LogError::Fatal(format!(
                "{} {number} holds offsets {} up to {}, so it cannot be read from {next} on: name a time, or \
                 leave --since out",
                self.topic, bounds.0, bounds.1
            )));
        }
        // Of what is not there yet nothing is waited for.
        let end = self.offset(number, until, bounds)?.map(|end| end.min(bounds.1));
        Ok(Part { next, end, is_done: end.is_some_and(|end| next >= end) })
    }

    /// The offset of an edge; none of an open one.
    fn offset(
        &self,
        number: i32,
        edge: Edge,
        (oldest, end): (u64, u64),
    ) -> Result<Option<u64>, LogError> {
        Ok(match edge {
            Edge::Oldest => Some(oldest),
            Edge::Offset(offset) => Some(offset),
            Edge::Now => Some(end),
            Edge::Open => None,
            Edge::Time(time_ms) => Some(self.offset_at(number, time_ms)?.unwrap_or(end)),
        })
    }

    fn offset_at(&self, number: i32, time_ms: i64) -> Result<Option<u64>, LogError> {
        let failed = |error: KafkaError| self.failed("asking for the offset of a time", &error);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic, number, NativeOffset::Offset(time_ms))
            .map_err(failed)?;
        let found = self.consumer.offsets_for_times(list, ANSWER_WAIT).map_err(failed)?;
        let elements = found.elements();
        let element = elements
            .first()
            .ok_or_else(|| LogError::Retry(format!("no answer for partition {number}")))?;
        element.error().map_err(failed)?;
        Ok(match element.offset() {
            NativeOffset::Offset(offset) => u64::try_from(offset).ok(),
            _ => None,
        })
    }
}

fn native(offset: u64) -> Result<NativeOffset, LogError> {
    let offset = i64::try_from(offset)
        .map_err(|_| LogError::Fatal(format!("there is no offset {offset}")))?;
    Ok(NativeOffset::Offset(offset))
}

/// Index of a partition that was assigned.
fn index(partition: i32) -> usize {
    usize::try_from(partition).expect("an assigned partition has a number")
}
