//! A load's ground on the embedded log.
//!
//! Only the publisher's and the readers' side: the workers are started by whoever rehearses.
//! Invariant: answers are read as `read_committed` shows them, each partition's in their order.

use std::sync::Arc;
use std::time::Duration;

use board::{Looked, OnRecord, Source, SourceError};
use drill::load::{self, Answer, Answers, DeadLetter, LoadError};
use drill::traffic::Sent;
use ledger::rules::Rules;
use ledger::units::Offset;
use model::AuditReport;
use pipeline::embedded::{EmbeddedBroker, EmbeddedOffsets, Isolation, Topic};
use pipeline::log::{LogError, Offsets, Partition};
use wire::Record;

use super::ground::Ground;
use super::sale::COMMITTED_WAIT;
use crate::embedded;

/// Pause of a reader that has found nothing.
const PAUSE: Duration = Duration::from_millis(1);

/// See the module's documentation.
pub(super) struct Embedded {
    broker: Arc<EmbeddedBroker>,
    offsets: EmbeddedOffsets,
    rules: Rules,
}

impl Embedded {
    pub(super) fn new(broker: Arc<EmbeddedBroker>, rules: Rules) -> Embedded {
        let offsets = broker.offsets(embedded::GROUP);
        Embedded { broker, offsets, rules }
    }

    /// The counters, for a board.
    pub(super) fn counters(&self) -> CountersOnEmbedded {
        let topics = &[wire::Topic::Gmv];
        CountersOnEmbedded(Reading::from_beginning(&self.broker, topics, self.rules.partitions))
    }
}

impl Ground for Embedded {
    type Publisher = OnEmbedded;
    type Answers = AnswersOnEmbedded;

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn input(&self) -> &str {
        embedded::INPUT
    }

    fn offsets(&mut self) -> &mut dyn Offsets {
        &mut self.offsets
    }

    /// The log is as old as the rehearsal, and holds nothing but its load.
    fn input_is_beyond(&self, _: i64) -> Result<bool, LogError> {
        Ok(false)
    }

    fn counters_end(&self) -> Result<Vec<Offset>, LogError> {
        let gmv = Topic::Output(wire::Topic::Gmv);
        let end = |partition| self.broker.bounds(gmv, partition).next;
        Ok((0..self.rules.partitions).map(end).collect())
    }

    fn publisher(&self) -> Result<OnEmbedded, LogError> {
        Ok(OnEmbedded(Arc::clone(&self.broker)))
    }

    fn answers(&self) -> Result<AnswersOnEmbedded, LogError> {
        let topics = &[wire::Topic::Status, wire::Topic::Settled, wire::Topic::DeadLetters];
        let mut reading = Reading::from_beginning(&self.broker, topics, self.rules.partitions);
        for (topic, partition, next) in &mut reading.places {
            *next = self.broker.bounds(Topic::Output(*topic), *partition).next;
        }
        Ok(AnswersOnEmbedded(reading))
    }

    fn audit(&mut self) -> anyhow::Result<AuditReport> {
        let all: Vec<Partition> = (0..self.rules.partitions).collect();
        let committed = self.offsets.committed(&all, COMMITTED_WAIT)?;
        let ends: Vec<Offset> =
            committed.into_iter().map(|committed| committed.offset.unwrap_or_default()).collect();
        embedded::audit(&self.broker, self.rules, &ends)
    }
}

/// Publishes to the input.
pub(super) struct OnEmbedded(Arc<EmbeddedBroker>);

impl load::Publisher for OnEmbedded {
    fn publish(&mut self, record: &Sent) -> Result<(), LoadError> {
        embedded::append(&self.0, record);
        Ok(())
    }

    fn serve(&mut self, wait: Duration) {
        std::thread::sleep(wait);
    }

    fn flush(&mut self) -> Result<(), LoadError> {
        Ok(())
    }

    fn failed(&self) -> u64 {
        0
    }
}

/// How far some topics have been read.
struct Reading {
    broker: Arc<EmbeddedBroker>,
    places: Vec<(wire::Topic, Partition, Offset)>,
}

impl Reading {
    fn from_beginning(
        broker: &Arc<EmbeddedBroker>,
        topics: &[wire::Topic],
        partitions: u32,
    ) -> Reading {
        let of = |topic| (0..partitions).map(move |partition| (topic, partition, Offset(0)));
        let places = topics.iter().copied().flat_map(of).collect();
        Reading { broker: Arc::clone(broker), places }
    }

    /// Hands on what has come, or pauses; says how many records that were.
    fn look(
        &mut self,
        wait: Duration,
        on_record: &mut dyn FnMut(wire::Topic, Partition, &Record<'_>),
    ) -> usize {
        let mut records = 0;
        for (topic, partition, next) in &mut self.places {
            let place = Topic::Output(*topic);
            let committed = Isolation::ReadCommitted;
            *next = self.broker.read(place, *partition, *next, committed, &mut |record| {
                records += 1;
                on_record(*topic, *partition, record);
            });
        }
        if records == 0 {
            std::thread::sleep(wait.min(PAUSE));
        }
        records
    }
}

/// Reads the outputs.
pub(super) struct AnswersOnEmbedded(Reading);

impl Answers for AnswersOnEmbedded {
    fn look(&mut self, wait: Duration, on: &mut dyn FnMut(&Answer<'_>)) -> Result<(), LoadError> {
        self.0.look(wait, &mut |topic, partition, record| {
            let (mut code, mut offset) = (None, None);
            if topic == wire::Topic::DeadLetters {
                record.headers.each(&mut |name, value| {
                    let text = value.and_then(|value| std::str::from_utf8(value).ok());
                    match name {
                        "__connect.errors.exception.class.name" => {
                            code = text.map(str::to_owned);
                        }
                        "__connect.errors.offset" => {
                            offset = text.and_then(|text| text.parse().ok());
                        }
                        _ => {}
                    }
                });
            }
            let dead_letter =
                code.as_deref().zip(offset).map(|(code, offset)| DeadLetter { code, offset });
            on(&Answer {
                partition,
                timestamp_ms: record.timestamp,
                value: record.value,
                dead_letter,
            });
        });
        Ok(())
    }
}

/// Reads the counters from their beginning.
pub(super) struct CountersOnEmbedded(Reading);

impl Source for CountersOnEmbedded {
    fn look(
        &mut self,
        wait: Duration,
        on_record: &mut OnRecord<'_>,
    ) -> Result<Looked, SourceError> {
        let mut each = |_: wire::Topic, _: Partition, record: &Record<'_>| {
            on_record(record.key, record.value);
        };
        // All that was there has been read by the first look.
        Ok(Looked { records: self.0.look(wait, &mut each), caught_up: true })
    }
}
