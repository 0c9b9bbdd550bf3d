//! A load's ground on Kafka.
//!
//! Only the clients: who settles is somebody else. Invariant: the topics that a pipeline uses in
//! earnest are never written to without being asked for.

use std::time::Duration;

use anyhow::{bail, ensure};
use drill::load::{self, Answer, Answers, DeadLetter, LoadError};
use drill::recording::Replayed;
use drill::traffic::Sent;
use kafka::admin::{self, Timestamps};
use kafka::answers::{AnswerReader, Answered};
use kafka::publisher::{NewRecord, Publisher};
use ledger::rules::Rules;
use ledger::units::Offset;
use model::AuditReport;
use pipeline::log::{LogError, Offsets};

use super::ground::Ground;
use crate::configuration::Configuration;
use crate::tools::Tools;
use crate::{audit, connection};

impl Ground for Tools {
    type Publisher = OnKafka;
    type Answers = AnswersOnKafka;

    fn rules(&self) -> &Rules {
        &self.pipeline.rules
    }

    fn input(&self) -> &str {
        &self.settings.topics.orders
    }

    fn offsets(&mut self) -> &mut dyn Offsets {
        &mut self.offsets
    }

    fn input_is_beyond(&self, time_ms: i64) -> Result<bool, LogError> {
        for partition in 0..self.partitions {
            if self.offsets.input_holds_since(partition, time_ms.saturating_add(1))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn counters_end(&self) -> Result<Vec<Offset>, LogError> {
        let end = |partition| self.offsets.output_end(wire::Topic::Gmv, partition);
        (0..self.partitions).map(end).collect()
    }

    fn publisher(&self) -> Result<OnKafka, LogError> {
        Ok(OnKafka(Publisher::new(&self.settings)?))
    }

    fn answers(&self) -> Result<AnswersOnKafka, LogError> {
        Ok(AnswersOnKafka(AnswerReader::start(&self.settings, self.partitions)?))
    }

    fn audit(&mut self) -> anyhow::Result<AuditReport> {
        Ok(audit::judge(self, false, |_| {})?.audit)
    }
}

/// Without a prefix the topics are those that a pipeline uses in earnest.
pub(super) fn refuse_production(configuration: &Configuration, yes: bool) -> anyhow::Result<()> {
    ensure!(
        yes || !configuration.kafka.topic_prefix.is_empty(),
        "this would publish a drill's orders into the topics without a prefix; name a prefix of the \
         drill's own with --topic-prefix, or say --yes-into-production"
    );
    Ok(())
}

/// Creates what is missing, and refuses an input whose timestamps are not the publisher's.
pub(super) fn prepare_topics(configuration: &Configuration, partitions: u32) -> anyhow::Result<()> {
    let settings = connection::settings(configuration, "floodgate-drill")?;
    let created = admin::create_topics(&settings, partitions, 1, Timestamps::Create)?;
    let input_is_new = created.contains(&settings.topics.orders);
    if !input_is_new && admin::input_timestamps(&settings)? == Timestamps::Append {
        bail!(
            "{} has the broker's timestamps, but a drill tells latency by its own; use a prefix whose \
             topics were made with `floodgate topics create --timestamps create`, or a new one",
            settings.topics.orders
        );
    }
    Ok(())
}

/// Publishes to the input.
pub(super) struct OnKafka(Publisher);

fn load_error(error: LogError) -> LoadError {
    LoadError(error.to_string())
}

/// What can be published to the input.
pub(super) trait Publishable {
    /// The record and its headers.
    fn parts(&self) -> (NewRecord<'_>, &[Header]);
}

type Header = (String, Option<Vec<u8>>);

impl Publishable for Sent {
    fn parts(&self) -> (NewRecord<'_>, &[Header]) {
        let record = NewRecord {
            partition: self.partition,
            timestamp_ms: self.timestamp_ms,
            key: self.key(),
            value: self.value(),
        };
        (record, &[])
    }
}

impl Publishable for Replayed {
    fn parts(&self) -> (NewRecord<'_>, &[Header]) {
        let record = NewRecord {
            partition: self.partition,
            timestamp_ms: self.record.timestamp_ms,
            key: self.record.key.as_deref(),
            value: self.record.value.as_deref(),
        };
        (record, &self.record.headers)
    }
}

impl<Record: Publishable> load::Publisher<Record> for OnKafka {
    fn publish(&mut self, record: &Record) -> Result<(), LoadError> {
        let (record, headers) = record.parts();
        self.0.publish_with_headers(&record, headers).map_err(load_error)
    }

    fn serve(&mut self, wait: Duration) {
        self.0.serve(wait);
    }

    fn flush(&mut self) -> Result<(), LoadError> {
        self.0.flush().map_err(load_error)
    }

    fn failed(&self) -> u64 {
        self.0.failed()
    }
}

/// Reads the outputs.
pub(super) struct AnswersOnKafka(AnswerReader);

impl Answers for AnswersOnKafka {
    fn look(&mut self, wait: Duration, on: &mut dyn FnMut(&Answer<'_>)) -> Result<(), LoadError> {
        let mut on_answer = |answered: &Answered<'_>| {
            let number = |name| answered.header(name)?.parse().ok();
            let code = answered.header("__connect.errors.exception.class.name");
            let offset = number("__connect.errors.offset");
            let dead_letter = code.zip(offset).map(|(code, offset)| DeadLetter { code, offset });
            on(&Answer {
                partition: answered.partition(),
                timestamp_ms: answered.timestamp_ms(),
                value: answered.value(),
                dead_letter,
            });
        };
        self.0.look(wait, &mut on_answer).map_err(load_error)
    }
}
