//! Reads what a pipeline answers from now on: all partitions of its outputs, counters apart.
//!
//! Not the audit's way to read, which begins at the beginning. Records are lent, not copied.
//! Invariant: what it hands on is committed, each partition's in its order.

use std::time::Duration;

use pipeline::log::{LogError, Partition};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use crate::bootstrap::remind;
use crate::errors::{Rights, log_error};
use crate::logging::Logging;
use crate::reader::is_about_the_group;
use crate::settings::Settings;

/// Records that one look hands on at most.
const RECORDS_MAX: usize = 1_000;
/// All outputs but the counters.
const ANSWERS: [wire::Topic; 3] =
    [wire::Topic::Status, wire::Topic::Settled, wire::Topic::DeadLetters];
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// An output, for as long as it is lent.
pub struct Answered<'a>(&'a BorrowedMessage<'a>);

impl std::fmt::Debug for Answered<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Answered").field(&self.0.topic()).field(&self.0.offset()).finish()
    }
}

impl Answered<'_> {
    /// Its partition, which is the input's.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition::try_from(self.0.partition()).expect("a fetched partition has a number")
    }

    /// Its timestamp in milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(&self) -> i64 {
        self.0.timestamp().to_millis().unwrap_or(0)
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// The text of its header of this name, the last one if there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.0.headers()?;
        let found = headers.iter().filter(|header| header.key == name).last()?;
        std::str::from_utf8(found.value?).ok()
    }
}

/// See the module's documentation.
pub struct AnswerReader {
    consumer: BaseConsumer<Logging>,
    rights: Rights,
    topics: String,
}

impl std::fmt::Debug for AnswerReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AnswerReader").finish_non_exhaustive()
    }
}

impl AnswerReader {
    /// Starts behind what the topics hold now.
    pub fn start(settings: &Settings, partitions: u32) -> Result<AnswerReader, LogError> {
        let failed = |doing: &str, error: &KafkaError| log_error(doing, error);
        let consumer: BaseConsumer<Logging> = settings
            .reader()
            .create_with_context(Logging::new("answers", settings))
            .map_err(|error| failed("making the client that reads answers", &error))?;
        let rights = Rights::of(settings);
        let mut list = TopicPartitionList::new();
        for topic in ANSWERS {
            let name = settings.topics.output(topic);
            for number in 0..i32::try_from(partitions).expect("the topics have so many") {
                let (_, end) =
                    consumer.fetch_watermarks(name, number, ANSWER_WAIT).map_err(|error| {
                        rights.log_error("Read", name, "asking for a partition's end", &error)
                    })?;
                list.add_partition_offset(name, number, NativeOffset::Offset(end))
                    .map_err(|error| failed("starting to read answers", &error))?;
            }
        }
        consumer.assign(&list).map_err(|error| failed("starting to read answers", &error))?;
        let topics = ANSWERS.map(|topic| settings.topics.output(topic)).join(" or ");
        Ok(AnswerReader { consumer, rights, topics })
    }

    /// Hands on what has come; waits at most `wait` for the first.
    pub fn look(
        &mut self,
        wait: Duration,
        on_answer: &mut dyn FnMut(&Answered<'_>),
    ) -> Result<(), LogError> {
        let mut wait = wait;
        for _ in 0..RECORDS_MAX {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    self.consumer.context().reached();
                    on_answer(&Answered(&message));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.consumer.context().reached(),
                Some(Err(error)) if is_about_the_group(&error) => {}
                Some(Err(error)) => {
                    let error =
                        self.rights.log_error("Read", &self.topics, "reading answers", &error);
                    return Err(self.consumer.context().explained(error));
                }
            }
            wait = Duration::ZERO;
        }
        remind(&self.consumer);
        Ok(())
    }
}
