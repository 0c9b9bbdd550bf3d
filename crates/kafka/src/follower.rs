//! Follows all partitions of a topic from their oldest record on, as the board does, and never ends.
//!
//! Not the workers' way to read and no member of any group: every follower reads everything. Records
//! are lent, not copied. Invariant: what it hands on is committed, each partition's in its order.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use pipeline::log::LogError;

use crate::bootstrap::remind;
use crate::ends::{End, INTERVAL_MS, Watching};
use crate::errors::{Rights, log_error};
use crate::logging::{Logging, serve};
use crate::offsets::refused;
use crate::reader::is_about_the_group;
use crate::settings::Settings;

/// Records that one look hands on at most.
const RECORDS_MAX: usize = 1_000;
/// Longest wait for an answer about the topic or a partition.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// After so long without a record it is asked whether the brokers are there ...
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// ... and while they are away so often ...
const AWAY_PAUSE: Duration = Duration::from_secs(1);
/// ... waiting so long for each answer.
const PROBE_WAIT: Duration = Duration::from_millis(300);
/// Fetched records that may wait in memory for each partition, in KiB.
const FETCHED_KIB_MAX: u32 = 1_024;

/// Takes a record's key and value.
pub type OnRecord<'a> = dyn FnMut(Option<&[u8]>, Option<&[u8]>) + 'a;

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Records that were handed on.
    pub records: usize,
    /// Whether everything has been handed on that was there at the start.
    pub caught_up: bool,
}

/// See the module's documentation.
pub struct Follower {
    topic: String,
    consumer: BaseConsumer<Watching>,
    rights: Rights,
    /// By partition, the offset at which it ended at the start, until that is reached. A partition that
    /// is written to all the time is never seen to be at its end.
    ends: Vec<Option<i64>>,
    away: Option<Away>,
    /// When the brokers were last heard of, by a record or an answer.
    heard_at: Instant,
}

/// Brokers that cannot be reached.
#[derive(Debug, Clone)]
struct Away {
    error: LogError,
    asked_at: Instant,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Follower { topic, ends, away, .. } = self;
        let mut shown = formatter.debug_struct("Follower");
        shown.field("topic", topic).field("ends", ends).field("away", away);
        shown.finish_non_exhaustive()
    }
}

impl Follower {
    /// Starts at the oldest record of every partition; fails while the brokers cannot be asked which
    /// partitions there are.
    pub fn start(settings: &Settings, topic: &str) -> Result<Follower, LogError> {
        let failed = |doing: &str, error: &KafkaError| log_error(doing, error);
        let rights = Rights::of(settings);
        let settings = Settings { fetched_kib_max: FETCHED_KIB_MAX, ..settings.clone() };
        let consumer = client(&settings, topic)?;
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WAIT);
        serve(&consumer);
        let metadata = metadata
            .map_err(|error| failed("asking for the topic's partitions", &error))
            .map_err(|error| logging(&consumer).explained(error))?;
        refused(&rights, metadata.topics().first())?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        if partitions == 0 {
            return Err(LogError::Retry(format!("the brokers know no topic {topic}")));
        }
        let end = |number: i32| {
            let bounds = consumer.fetch_watermarks(topic, number, ANSWER_WAIT);
            let (oldest, end) = bounds.map_err(|error| {
                rights.log_error("Read", topic, "asking for a partition's bounds", &error)
            })?;
            Ok((oldest < end).then_some(end))
        };
        let ends: Vec<Option<i64>> =
            (0..).take(partitions).map(end).collect::<Result<_, LogError>>()?;
        assign(&consumer, topic, partitions)?;
        let topic = topic.to_owned();
        Ok(Follower { topic, consumer, rights, ends, away: None, heard_at: Instant::now() })
    }

    /// Hands on keys and values of what has come; waits at most `wait` for the first, longer only to find
    /// out whether silence means that the brokers are away.
    ///
    /// A [`LogError::Fatal`] says that records which should follow are not there any more: the topic
    /// was made anew, or somebody deleted them. Then only a new follower can go on. A
    /// [`LogError::Retry`] comes for as long as the brokers are away.
    pub fn look(
        &mut self,
        wait: Duration,
        on_record: &mut OnRecord<'_>,
    ) -> Result<Followed, LogError> {
        let mut records = 0;
        let mut wait = wait;
        while records < RECORDS_MAX {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    on_record(message.key(), message.payload());
                    records += 1;
                    let (at, next) = (index(message.partition()), message.offset() + 1);
                    self.ends[at] = self.ends[at].filter(|end| next < *end);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.ends[index(partition)] = None;
                }
                Some(Err(error)) if is_about_the_group(&error) => {}
                Some(Err(error)) => return Err(self.note(self.trouble(&error))),
            }
            wait = Duration::ZERO;
        }
        remind(&self.consumer);
        if records > 0 {
            self.hear();
        } else {
            self.look_for_brokers()?;
        }
        Ok(Followed { records, caught_up: self.ends.iter().all(Option::is_none) })
    }

    /// How the partitions stand, if that was told since it was asked for last: about once a second.
    pub fn ends(&self) -> Option<Vec<End>> {
        self.consumer.context().take()
    }

    /// The brokers are there.
    fn hear(&mut self) {
        self.away = None;
        self.heard_at = Instant::now();
        logging(&self.consumer).reached();
    }

    fn note(&mut self, error: LogError) -> LogError {
        let now = Instant::now();
        if let (LogError::Retry(_), None) = (&error, &self.away) {
            self.away = Some(Away { error: error.clone(), asked_at: now });
        }
        error
    }

    /// A client tells once that its brokers are away, and not when they are back, so they are asked.
    fn look_for_brokers(&mut self) -> Result<(), LogError> {
        let asked_at = self.away.as_ref().map_or(self.heard_at, |away| away.asked_at);
        let pause = if self.away.is_some() { AWAY_PAUSE } else { SILENCE_MAX };
        if asked_at.elapsed() >= pause {
            let answer = self.consumer.fetch_metadata(Some(&self.topic), PROBE_WAIT);
            match answer {
                Ok(_) => self.hear(),
                Err(error) => {
                    let error = log_error("asking whether the brokers are there", &error);
                    let error = logging(&self.consumer).explained_in_passing(error);
                    drop(self.note(error));
                    if let Some(away) = &mut self.away {
                        away.asked_at = Instant::now();
                    }
                }
            }
        }
        self.away.as_ref().map_or(Ok(()), |away| Err(away.error.clone()))
    }

    fn trouble(&self, error: &KafkaError) -> LogError {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
            return LogError::Fatal(format!(
                "{}: records that were to follow are not there any more; the topic was made anew, \
                 or somebody deleted them",
                self.topic
            ));
        }
        let error = self.rights.log_error("Read", &self.topic, "following", error);
        logging(&self.consumer).explained(error)
    }
}

fn client(settings: &Settings, topic: &str) -> Result<BaseConsumer<Watching>, LogError> {
    let mut config = settings.reader();
    config.set("statistics.interval.ms", INTERVAL_MS);
    let client = config.create_with_context(Watching::new("follower", topic, settings));
    client.map_err(|error| log_error("making the client that follows", &error))
}

fn logging(consumer: &BaseConsumer<Watching>) -> &Logging {
    (**consumer.context()).as_ref()
}

/// From the oldest record of every partition on.
fn assign(
    consumer: &BaseConsumer<Watching>,
    topic: &str,
    partitions: usize,
) -> Result<(), LogError> {
    let mut list = TopicPartitionList::with_capacity(partitions);
    for number in (0..).take(partitions) {
        list.add_partition_offset(topic, number, NativeOffset::Beginning)
            .map_err(|error| log_error("starting to follow", &error))?;
    }
    consumer.assign(&list).map_err(|error| log_error("starting to follow", &error))
}

/// Index of a partition that was assigned.
fn index(partition: i32) -> usize {
    usize::try_from(partition).expect("an assigned partition has a number")
}
