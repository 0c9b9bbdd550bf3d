//! A bare exactly-once pass-through over the log port: the yardstick for everything that is done
//! with a record in between.
//!
//! It creates topics behind a prefix of its own and copies each record of its input to the settled
//! topic, with its offset in the same transaction, one commit every 50 ms. The input is a topic that
//! exists, all of it, or one that it fills itself:
//!
//! ```text
//! cargo run --release -p kafka --example passthrough -- HOST:PORT TOPIC
//! cargo run --release -p kafka --example passthrough -- HOST:PORT [RECORDS [PARTITIONS]]
//! ```
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use kafka::admin::{Timestamps, create_topics};
use kafka::{KafkaLog, KafkaOffsets, Settings, TopicNames};
use ledger::units::{Millis, Offset};
use pipeline::log::{
    CommitOutcome, Event, Log, LogError, Offsets as _, Partition, PartitionCommit,
};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use wire::{Outputs, Record, Topic};

const COMMIT_INTERVAL: Duration = Duration::from_millis(50);
const RECORD_BYTES: usize = 240;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let brokers =
        arguments.next().ok_or("usage: passthrough HOST:PORT [TOPIC | RECORDS [PARTITIONS]]")?;
    let input = arguments.next().unwrap_or_else(|| "2000000".to_owned());

    let prefix = format!("passthrough{}.", std::process::id());
    let mut settings = Settings::new(&brokers, &format!("{prefix}group"), &prefix);
    settings.topics = TopicNames::with_prefix(&prefix);
    let records = match input.parse::<u64>() {
        Ok(records) => {
            let partitions = arguments.next().map_or(Ok(4), |number| number.parse())?;
            create_topics(&settings, partitions, 1, Timestamps::Create)?;
            fill(&settings, records, partitions)?;
            records
        }
        Err(_) => {
            let (partitions, records) = size_of(&settings, &input)?;
            create_topics(&settings, partitions, 1, Timestamps::Create)?;
            settings.topics.orders = input;
            records
        }
    };

    let mut pass = PassThrough::new(settings)?;
    let mut started = None;
    while pass.records < records {
        pass.poll()?;
        if pass.records > 0 {
            started.get_or_insert_with(Instant::now);
        }
    }
    pass.commit()?;
    let seconds = started.ok_or("no record came")?.elapsed().as_secs_f64();
    println!(
        "{records} records in {seconds:.2} s: {:.0} records/s; {} commits of {:.1} ms",
        records as f64 / seconds,
        pass.commits,
        pass.committing.as_secs_f64() * 1_000.0 / f64::from(pass.commits),
    );
    Ok(())
}

/// Partitions and records of a topic that holds no transactions.
fn size_of(settings: &Settings, topic: &str) -> Result<(u32, u64), Box<dyn Error>> {
    let mut settings = settings.clone();
    topic.clone_into(&mut settings.topics.orders);
    let mut offsets = KafkaOffsets::new(&settings)?;
    let partitions = offsets.partition_count()?;
    let bounds = (0..partitions).map(|partition| offsets.input_bounds(partition));
    let records = bounds.map(|bounds| bounds.map(|bounds| bounds.next.0 - bounds.oldest.0));
    Ok((partitions, records.sum::<Result<u64, LogError>>()?))
}

/// A worker that answers each record with itself.
struct PassThrough {
    log: KafkaLog,
    outputs: Outputs,
    produced: usize,
    next: BTreeMap<Partition, Offset>,
    begun: Option<Instant>,
    records: u64,
    commits: u32,
    committing: Duration,
}

impl PassThrough {
    fn new(settings: Settings) -> Result<PassThrough, LogError> {
        let mut log = KafkaLog::new(settings)?;
        while let Err(error) = log.replace_producer(Duration::from_secs(1)) {
            if !matches!(error, LogError::Retry(_)) {
                return Err(error);
            }
        }
        log.join()?;
        Ok(PassThrough {
            log,
            outputs: Outputs::new(),
            produced: 0,
            next: BTreeMap::new(),
            begun: None,
            records: 0,
            commits: 0,
            committing: Duration::ZERO,
        })
    }

    fn poll(&mut self) -> Result<(), LogError> {
        let (outputs, next) = (&mut self.outputs, &mut self.next);
        let mut assigned = Vec::new();
        let polled = self.log.poll(Duration::from_millis(5), &mut |event| match event {
            Event::Assigned(partitions) => assigned = partitions.to_vec(),
            Event::Records { partition, records } => {
                records.iter().for_each(|record| answer(outputs, record));
                next.insert(partition, Offset(records[records.len() - 1].offset.0 + 1));
            }
            _ => {}
        });
        match polled {
            Ok(records) => self.records += records as u64,
            Err(LogError::Retry(_)) => {}
            Err(error) => return Err(error),
        }
        for partition in assigned {
            self.log.start(partition, Offset(0))?;
        }
        self.produce()?;
        match self.begun {
            Some(begun) if begun.elapsed() >= COMMIT_INTERVAL => self.commit(),
            _ => Ok(()),
        }
    }

    fn produce(&mut self) -> Result<(), LogError> {
        if self.produced == self.outputs.len() {
            return Ok(());
        }
        if self.begun.is_none() {
            self.log.begin()?;
            self.begun = Some(Instant::now());
        }
        self.log.produce(&self.outputs, self.produced)?;
        self.produced = self.outputs.len();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LogError> {
        if self.begun.take().is_none() {
            return Ok(());
        }
        let started = Instant::now();
        let commits: Vec<PartitionCommit> = std::mem::take(&mut self.next)
            .into_iter()
            .map(|(partition, offset)| PartitionCommit {
                partition,
                offset,
                metadata: String::new(),
            })
            .collect();
        match self.log.commit(&commits) {
            CommitOutcome::Committed => {}
            outcome => return Err(LogError::Fatal(format!("{outcome:?}"))),
        }
        self.committing += started.elapsed();
        self.commits += 1;
        self.outputs.clear();
        self.produced = 0;
        Ok(())
    }
}

fn answer(outputs: &mut Outputs, record: &Record<'_>) {
    let timestamp = Millis(u64::try_from(record.timestamp).unwrap_or(0));
    outputs.push(Topic::Settled, record.partition, timestamp, record.key, record.value);
}

/// Fills the input with JSON-like records, some of whose text differs from one to the next.
fn fill(settings: &Settings, records: u64, partitions: u32) -> Result<(), Box<dyn Error>> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "500000")
        .create()?;
    for number in 0..records {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut value = format!(
            r#"{{"type":"order.placed","order_id":"{mixed:016x}","merchant_id":{},"buyer_id":{},"#,
            mixed % 20_000,
            mixed >> 40
        );
        while value.len() < RECORD_BYTES {
            value.push_str(r#""lines":[{"sku":1,"qty":1}],"#);
        }
        value.truncate(RECORD_BYTES);
        let key = (mixed % 20_000).to_string();
        let partition = i32::try_from(number % u64::from(partitions))?;
        let mut record =
            BaseRecord::to(&settings.topics.orders).partition(partition).key(&key).payload(&value);
        while let Err((_, refused)) = producer.send(record) {
            record = refused;
            producer.poll(Duration::from_millis(10));
        }
        if number % 10_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    Ok(producer.flush(Duration::from_secs(60))?)
}
