//! Reads a partition of any topic from an offset to its present stable end, as the audit and the
//! tools do.
//!
//! Not the workers' way to read: it copies each record and takes its time. Invariant: it ends, and
//! what it hands on is committed.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use pipeline::log::{LogError, Partition};

use crate::bootstrap::remind;
use crate::errors::{Rights, log_error};
use crate::logging::Logging;
use crate::offsets::refused;
use crate::settings::Settings;

/// After so long without anything it is asked whether the topic may be seen at all: the client waits for
/// one that may not, and says nothing.
const RIGHTS_AFTER: Duration = Duration::from_secs(1);
/// Without anything new for this long, the brokers are taken for unreachable.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const POLL_WAIT: Duration = Duration::from_millis(100);

/// A record with its own memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Its offset.
    pub offset: u64,
    /// Its timestamp in milliseconds; -1 if it has none.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Iterates over the records of a partition up to its stable end.
pub struct PartitionReader {
    consumer: BaseConsumer<Logging>,
    rights: Rights,
    topic: String,
    /// Topic and partition, to be named in errors.
    place: String,
    heard_at: Instant,
    /// Whether the topic is known to be one that may be seen.
    may_see: bool,
    /// What went wrong since.
    trouble: Option<String>,
    ended: bool,
}

impl std::fmt::Debug for PartitionReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PartitionReader")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl PartitionReader {
    /// Starts to read `partition` of `topic` at `from`; that it is not there any more is a
    /// [`LogError::Fatal`] of the iteration.
    pub fn start(
        settings: &Settings,
        topic: &str,
        partition: Partition,
        from: u64,
    ) -> Result<PartitionReader, LogError> {
        let from = i64::try_from(from)
            .map_err(|_| LogError::Fatal(format!("there is no offset {from}")))?;
        PartitionReader::start_at(settings, topic, partition, NativeOffset::Offset(from))
    }

    /// Starts to read `partition` of `topic` at the oldest record that is still there.
    pub fn start_at_oldest(
        settings: &Settings,
        topic: &str,
        partition: Partition,
    ) -> Result<PartitionReader, LogError> {
        PartitionReader::start_at(settings, topic, partition, NativeOffset::Beginning)
    }

    fn start_at(
        settings: &Settings,
        topic: &str,
        partition: Partition,
        from: NativeOffset,
    ) -> Result<PartitionReader, LogError> {
        let failed = |doing: &str, error: &KafkaError| log_error(doing, error);
        let consumer: BaseConsumer<Logging> = settings
            .reader()
            .create_with_context(Logging::new("reader", settings))
            .map_err(|error| failed("making the client that reads", &error))?;
        let number = i32::try_from(partition)
            .map_err(|_| LogError::Fatal(format!("there is no partition {partition}")))?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, number, from)
            .and_then(|()| consumer.assign(&list))
            .map_err(|error| failed("starting to read", &error))?;
        let place = format!("{topic} {partition}");
        let heard_at = Instant::now();
        Ok(PartitionReader {
            consumer,
            rights: Rights::of(settings),
            topic: topic.to_owned(),
            place,
            heard_at,
            may_see: false,
            trouble: None,
            ended: false,
        })
    }

    fn look_at_rights(&mut self) -> Result<(), LogError> {
        if self.may_see || self.heard_at.elapsed() < RIGHTS_AFTER {
            return Ok(());
        }
        let Ok(metadata) = self.consumer.fetch_metadata(Some(&self.topic), RIGHTS_AFTER) else {
            return Ok(());
        };
        self.may_see = true;
        refused(&self.rights, metadata.topics().first())
    }

    /// Polls once; none if nothing came.
    fn poll(&mut self) -> Result<Option<OwnedRecord>, LogError> {
        remind(&self.consumer);
        match self.consumer.poll(POLL_WAIT) {
            Some(Ok(message)) => {
                self.heard_at = Instant::now();
                self.may_see = true;
                self.trouble = None;
                return Ok(Some(owned(&message)));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => self.ended = true,
            Some(Err(error))
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) =>
            {
                return Err(LogError::Fatal(format!(
                    "{}: the records to be read are not there any more; retention, or somebody, \
                     deleted them",
                    self.place
                )));
            }
            Some(Err(error)) if is_about_the_group(&error) => {}
            Some(Err(error)) => {
                let error = self.rights.log_error("Read", &self.topic, "reading", &error);
                let error = self.consumer.context().explained(error);
                if matches!(error, LogError::Fatal(_)) {
                    return Err(error);
                }
                self.trouble = Some(error.to_string());
            }
            None => self.look_at_rights()?,
        }
        if self.heard_at.elapsed() >= SILENCE_MAX {
            let (place, waited) = (&self.place, SILENCE_MAX.as_secs());
            let why = self.trouble.take().map(|why| format!(": {why}")).unwrap_or_default();
            return Err(LogError::Retry(format!("{place}: no answer for {waited} s{why}")));
        }
        Ok(None)
    }
}

impl Iterator for PartitionReader {
    type Item = Result<OwnedRecord, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.poll() {
                Ok(None) => {}
                Ok(Some(record)) => return Some(Ok(record)),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// A client that names a group asks for its coordinator, though it only reads: that it may not is none
/// of the reader's business.
pub(crate) fn is_about_the_group(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}

pub(crate) fn owned(message: &BorrowedMessage<'_>) -> OwnedRecord {
    let mut headers = Vec::new();
    if let Some(found) = message.headers() {
        for header in found.iter() {
            headers.push((header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
        }
    }
    OwnedRecord {
        // A record that was handed on has an offset of 0 or more.
        offset: message.offset().unsigned_abs(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}
