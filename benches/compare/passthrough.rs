//! The yardstick: a bare exactly-once pass-through over the log port, one thread.
//!
//! It decodes, decides and counts nothing: for each order it writes as many records of the same length
//! to the same topics as Floodgate does, cut from the order's own bytes, with its offset in the same
//! transaction. Invariant: what it writes is told by its arguments, not by what it reads.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka::{KafkaLog, Settings, TopicNames};
use ledger::units::{Millis, Offset};
use pipeline::log::{CommitOutcome, Event, Log, LogError, Partition, PartitionCommit};
use wire::{Outputs, Record, Topic};

use crate::arguments;

/// A transaction ends earlier after so many outputs, as Floodgate's.
const COMMIT_OUTPUTS_MAX: usize = 100_000;
const VALUE_BYTES_MAX: usize = 4_096;

/// Runs until it is ended.
pub(crate) fn run(arguments: &arguments::PassThrough) -> anyhow::Result<()> {
    let prefix = &arguments.prefix;
    let mut settings =
        Settings::new(&arguments.brokers, &format!("{prefix}group"), &format!("{prefix}0"));
    settings.topics = TopicNames::with_prefix(prefix);
    settings.topics.orders.clone_from(&arguments.input);
    let answers = [
        Answers::parse(Topic::Settled, &arguments.settled)?,
        Answers::parse(Topic::Status, &arguments.status)?,
        Answers::parse(Topic::Gmv, &arguments.gmv)?,
    ];
    let interval = Duration::from_millis(arguments.commit_ms);
    let mut pass = PassThrough::new(settings, answers, interval)?;
    loop {
        pass.poll()?;
    }
}

/// What is written to one topic.
#[derive(Debug)]
struct Answers {
    topic: Topic,
    /// Records for each order; a fraction adds up.
    each: f64,
    owed: f64,
    value_bytes: usize,
}

impl Answers {
    fn parse(topic: Topic, text: &str) -> anyhow::Result<Answers> {
        let (each, bytes) =
            text.split_once(':').ok_or_else(|| anyhow::anyhow!("`{text}` is not RECORDS:BYTES"))?;
        let value_bytes = bytes.parse::<usize>()?.min(VALUE_BYTES_MAX);
        Ok(Answers { topic, each: each.parse()?, owed: 0.0, value_bytes })
    }

    fn answer(&mut self, outputs: &mut Outputs, record: &Record<'_>, padded: &mut Vec<u8>) {
        self.owed += self.each;
        while self.owed >= 1.0 {
            self.owed -= 1.0;
            let value = record.value.unwrap_or_default();
            let value = match value.get(..self.value_bytes) {
                Some(value) => value,
                None => {
                    padded.clear();
                    while padded.len() < self.value_bytes {
                        padded.extend_from_slice(value);
                    }
                    &padded[..self.value_bytes]
                }
            };
            let timestamp = Millis(u64::try_from(record.timestamp).unwrap_or(0));
            outputs.push(self.topic, record.partition, timestamp, record.key, Some(value));
        }
    }
}

/// A worker that answers each order with its own bytes.
struct PassThrough {
    log: KafkaLog,
    answers: [Answers; 3],
    interval: Duration,
    outputs: Outputs,
    padded: Vec<u8>,
    produced: usize,
    next: BTreeMap<Partition, Offset>,
    begun: Option<Instant>,
}

impl PassThrough {
    fn new(
        settings: Settings,
        answers: [Answers; 3],
        interval: Duration,
    ) -> Result<PassThrough, LogError> {
        let mut log = KafkaLog::new(settings)?;
        while let Err(error) = log.replace_producer(Duration::from_secs(1)) {
            if !matches!(error, LogError::Retry(_)) {
                return Err(error);
            }
        }
        log.join()?;
        Ok(PassThrough {
            log,
            answers,
            interval,
            outputs: Outputs::new(),
            padded: Vec::new(),
            produced: 0,
            next: BTreeMap::new(),
            begun: None,
        })
    }

    fn poll(&mut self) -> Result<(), LogError> {
        let (outputs, next, answers) = (&mut self.outputs, &mut self.next, &mut self.answers);
        let padded = &mut self.padded;
        let mut assigned = Vec::new();
        let polled = self.log.poll(Duration::from_millis(5), &mut |event| match event {
            Event::Assigned(partitions) => assigned = partitions.to_vec(),
            Event::Records { partition, records } => {
                for record in records.iter().filter(|record| is_order(record)) {
                    answers.iter_mut().for_each(|answer| answer.answer(outputs, record, padded));
                }
                next.insert(partition, Offset(records[records.len() - 1].offset.0 + 1));
            }
            _ => {}
        });
        match polled {
            Ok(_) | Err(LogError::Retry(_)) => {}
            Err(error) => return Err(error),
        }
        for partition in assigned {
            self.log.start(partition, Offset(0))?;
        }
        self.produce()?;
        let is_due = |begun: Instant| begun.elapsed() >= self.interval;
        if self.begun.is_some_and(is_due) || self.outputs.len() >= COMMIT_OUTPUTS_MAX {
            self.commit()?;
        }
        Ok(())
    }

    fn produce(&mut self) -> Result<(), LogError> {
        if self.next.is_empty() {
            return Ok(());
        }
        if self.begun.is_none() {
            self.log.begin()?;
            self.begun = Some(Instant::now());
        }
        if self.produced < self.outputs.len() {
            self.log.produce(&self.outputs, self.produced)?;
            self.produced = self.outputs.len();
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LogError> {
        if self.begun.take().is_none() {
            return Ok(());
        }
        let next = std::mem::take(&mut self.next).into_iter();
        let of = |(partition, offset)| {
            let metadata = String::new();
            PartitionCommit { partition, offset, metadata }
        };
        match self.log.commit(&next.map(of).collect::<Vec<_>>()) {
            CommitOutcome::Committed => {}
            outcome => return Err(LogError::Fatal(format!("{outcome:?}"))),
        }
        self.outputs.clear();
        self.produced = 0;
        Ok(())
    }
}

fn is_order(record: &Record<'_>) -> bool {
    record.value.is_some_and(|value| value.starts_with(br#"{"type":"order.placed""#))
}
