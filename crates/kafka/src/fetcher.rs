//! Reads the started partitions, in turn.
//!
//! Not the group: which partitions may be started is for [`crate::member`] to say. Invariant:
//! between two batches of a partition every other one has had its turn, so that none starves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ledger::units::Offset;
use pipeline::log::{Event, LogError, Partition};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;
use wire::Record;

use crate::batch::{FetchTopic, Message, News, Reader};
use crate::bootstrap::remind;
use crate::errors::{Class, Rights, class, log_error};
use crate::logging::Logging;
use crate::settings::Settings;
use crate::wake::Wake;

/// Longest wait for the bounds of a partition whose offset is out of range.
const BOUNDS_WAIT_MAX: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub(crate) struct Fetcher {
    name: String,
    rights: Rights,
    started: Vec<Started>,
    /// Index of the partition whose turn it is.
    turn: usize,
    /// A partition of which its reader was told that the brokers do not know it.
    missed: Option<Partition>,
    topic: Arc<FetchTopic>,
    wake: Arc<Wake>,
    client: Arc<BaseConsumer<Logging>>,
}

#[derive(Debug)]
struct Started {
    partition: Partition,
    reader: Reader,
    /// Offset of the next record, or beyond it where markers lie in between.
    position: Offset,
    /// Whether `position` was found to be the end of what is readable.
    at_end: bool,
    /// Whether the partition does not hold `position`; then nothing more comes of it.
    out_of_range: bool,
}

impl Fetcher {
    pub(crate) fn new(settings: &Settings, wake: Arc<Wake>) -> Result<Fetcher, LogError> {
        let client = settings
            .fetcher()
            .create_with_context(Logging::new("fetcher", settings))
            .map_err(|error| log_error("making the fetching client", &error))?;
        let client: Arc<BaseConsumer<Logging>> = Arc::new(client);
        let topic = Arc::new(FetchTopic::new(client.clone(), &settings.topics.orders)?);
        Ok(Fetcher {
            name: settings.topics.orders.clone(),
            rights: Rights::of(settings),
            started: Vec::new(),
            turn: 0,
            missed: None,
            topic,
            wake,
            client,
        })
    }

    /// Starts, or starts again.
    pub(crate) fn start(&mut self, partition: Partition, from: Offset) -> Result<(), LogError> {
        self.stop(partition);
        let reader = Reader::start(self.topic.clone(), self.wake.clone(), partition, from)?;
        self.started.push(Started {
            partition,
            reader,
            position: from,
            at_end: false,
            out_of_range: false,
        });
        Ok(())
    }

    /// Stops; nothing of the partition comes any more. One that is not started is left alone.
    pub(crate) fn stop(&mut self, partition: Partition) {
        self.started.retain(|started| started.partition != partition);
    }

    /// Lets the client write its log, and reminds it of its brokers.
    pub(crate) fn serve(&self) {
        drop(self.client.poll(Duration::ZERO));
        remind(&self.client);
    }

    /// Hands on what has come of the next partition that has something. Returns the number of
    /// records, none if nothing has come of any.
    pub(crate) fn hand_on(
        &mut self,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<usize>, LogError> {
        for _ in 0..self.started.len() {
            self.turn = (self.turn + 1) % self.started.len();
            let started = &mut self.started[self.turn];
            if started.out_of_range {
                return out_of_range(&self.client, &self.name, started, on_event).map(Some);
            }
            let messages = started.reader.take();
            if !messages.is_empty() {
                let handed_on = started.hand_on(&messages, &mut self.missed, on_event);
                return handed_on.map(Some).map_err(|(code, message)| {
                    self.rights.with_code("Read", &self.name, code, message)
                });
            }
        }
        Ok(None)
    }

    /// A partition that the brokers did not know, if there was one since this was last asked.
    pub(crate) fn take_missed(&mut self) -> Option<Partition> {
        self.missed.take()
    }

    /// End of what is readable: exact once the end was reached, the high watermark until then, and
    /// while something waits to be handed on: that was readable.
    pub(crate) fn readable_end(&self, partition: Partition) -> Option<Offset> {
        let started = self.started.iter().find(|started| started.partition == partition)?;
        let is_exact = started.at_end && started.reader.waiting() == 0;
        if is_exact { Some(started.position) } else { started.reader.high_watermark() }
    }

    /// The offset that the next record will get, as of the last fetch.
    pub(crate) fn log_end(&self, partition: Partition) -> Option<Offset> {
        let started = self.started.iter().find(|started| started.partition == partition)?;
        started.reader.high_watermark()
    }

    /// Records that have come and are not handed on yet.
    pub(crate) fn waiting(&self) -> u64 {
        self.started.iter().map(|started| started.reader.waiting()).sum()
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("started", &self.started).finish_non_exhaustive()
    }
}

impl Started {
    /// Hands messages on in their order, runs of records as one event.
    fn hand_on(
        &mut self,
        messages: &[Message],
        missed: &mut Option<Partition>,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, (RDKafkaErrorCode, String)> {
        let partition = self.partition;
        let mut handed_on = 0;
        let mut records: Vec<Record<'_>> = Vec::with_capacity(messages.len());
        let mut trouble = Ok(());
        let mut flush = |records: &mut Vec<Record<'_>>, on_event: &mut dyn FnMut(Event<'_>)| {
            if !records.is_empty() {
                on_event(Event::Records { partition, records });
                handed_on += records.len();
                records.clear();
            }
        };
        for message in messages {
            match message.news() {
                News::Record(record) => {
                    self.position = Offset(record.offset.0 + 1);
                    self.at_end = false;
                    records.push(record);
                }
                News::End(position) => {
                    flush(&mut records, on_event);
                    self.position = position;
                    self.at_end = true;
                    on_event(Event::End { partition, position });
                }
                News::OffsetOutOfRange => self.out_of_range = true,
                News::Trouble(code, why) => {
                    if class(code) == Class::Missing {
                        *missed = Some(partition);
                    }
                    trouble = Err((code, format!("reading partition {partition}: {why}")));
                }
            }
        }
        flush(&mut records, on_event);
        trouble.map(|()| handed_on)
    }
}

/// Says where the partition begins; fails while that cannot be found out.
fn out_of_range(
    client: &BaseConsumer<Logging>,
    topic: &str,
    started: &mut Started,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<usize, LogError> {
    let Started { partition, position, .. } = *started;
    let number = i32::try_from(partition).expect("a started partition has a number");
    let (oldest, next) = client
        .fetch_watermarks(topic, number, BOUNDS_WAIT_MAX)
        .map_err(|error| log_error("asking for a partition's bounds", &error))?;
    let oldest = u64::try_from(oldest).unwrap_or(0);
    if position.0 < oldest {
        started.out_of_range = false;
        on_event(Event::OutOfRange { partition, oldest: Offset(oldest) });
        return Ok(0);
    }
    Err(LogError::Fatal(format!(
        "partition {partition} of {topic} ends at {next}, before offset {}: records that were there \
         are gone, or the topic was made anew",
        position.0
    )))
}
