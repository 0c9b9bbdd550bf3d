//! What the embedded log must never do, each test named for it; and the tools these tests share.
//!
//! Not the conformance suite of the port, which runs on real Kafka too: here are also the rules
//! that only a log that can be bent shows. Invariant: no test sleeps or looks at a clock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledger::units::{Millis, Offset};
use wire::outputs::{self, Outputs};
use wire::record::NoHeaders;

use super::faults::{Call, Caller, Faults, Verdict};
use super::*;
use crate::log::{CommitOutcome, Committed, Event, Log, Offsets, PartitionCommit};

mod faults_and_stragglers;
mod groups;
mod reading;
mod threads;
mod transactions;

const GROUP: &str = "settle";
const SETTLED: Topic = Topic::Output(outputs::Topic::Settled);

/// An event that outlives its poll.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Assigned(Vec<Partition>),
    Revoked(Vec<Partition>),
    Lost(Vec<Partition>),
    Records(Partition, Vec<(u64, String)>),
    End(Partition, u64),
    OutOfRange(Partition, u64),
}

impl Told {
    fn of(event: Event<'_>) -> Told {
        match event {
            Event::Assigned(partitions) => Told::Assigned(partitions.to_vec()),
            Event::Revoked(partitions) => Told::Revoked(partitions.to_vec()),
            Event::Lost(partitions) => Told::Lost(partitions.to_vec()),
            Event::Records { partition, records } => {
                Told::Records(partition, records.iter().map(offset_and_value).collect())
            }
            Event::End { partition, position } => Told::End(partition, position.0),
            Event::OutOfRange { partition, oldest } => Told::OutOfRange(partition, oldest.0),
        }
    }
}

fn offset_and_value(record: &Record<'_>) -> (u64, String) {
    let value = record.value.unwrap_or_default();
    (record.offset.0, String::from_utf8(value.to_vec()).unwrap())
}

fn broker(partitions: u32) -> Arc<EmbeddedBroker> {
    EmbeddedBroker::new(Settings { partitions, ..Settings::default() })
}

fn new_record(value: &str) -> NewRecord<'_> {
    NewRecord { timestamp: 0, key: None, value: Some(value.as_bytes()), headers: &NoHeaders }
}

fn append(broker: &EmbeddedBroker, partition: Partition, values: &[&str]) {
    let records: Vec<NewRecord<'_>> = values.iter().map(|value| new_record(value)).collect();
    broker.append(partition, &records);
}

/// A worker that has a producer and has joined the group.
fn worker(broker: &Arc<EmbeddedBroker>, transactional_id: &str) -> EmbeddedLog {
    let mut log = broker.member(GROUP, transactional_id);
    log.replace_producer(Duration::ZERO).unwrap();
    log.join().unwrap();
    log
}

/// A worker on a log of its own with one partition, which it owns and reads from the beginning.
fn reader_of(broker: &Arc<EmbeddedBroker>) -> EmbeddedLog {
    let mut log = worker(broker, "worker-0");
    assert_eq!(poll(&mut log), [Told::Assigned(vec![0])]);
    log.start(0, Offset(0)).unwrap();
    log
}

fn poll(log: &mut EmbeddedLog) -> Vec<Told> {
    let mut told = Vec::new();
    log.poll(Duration::ZERO, &mut |event| told.push(Told::of(event))).unwrap();
    told
}

fn records(partition: Partition, records: &[(u64, &str)]) -> Told {
    let owned = records.iter().map(|&(offset, value)| (offset, value.to_owned()));
    Told::Records(partition, owned.collect())
}

fn settled(partition: Partition, values: &[&str]) -> Outputs {
    let mut outputs = Outputs::new();
    for value in values {
        let topic = outputs::Topic::Settled;
        outputs.push(topic, partition, Millis(7), Some(b"key"), Some(value.as_bytes()));
    }
    outputs
}

fn up_to(partition: Partition, offset: u64) -> PartitionCommit {
    let metadata = format!("metadata of {offset}");
    PartitionCommit { partition, offset: Offset(offset), metadata }
}

/// One whole transaction.
fn transact(log: &mut EmbeddedLog, values: &[&str], commit: PartitionCommit) -> CommitOutcome {
    log.begin().unwrap();
    log.produce(&settled(commit.partition, values), 0).unwrap();
    log.commit(&[commit])
}

/// The values that a reader finds in `orders.settled`.
fn shown(broker: &EmbeddedBroker, partition: Partition) -> Vec<String> {
    let mut values = Vec::new();
    broker.read(SETTLED, partition, Offset(0), Isolation::ReadCommitted, &mut |record| {
        values.push(offset_and_value(record).1);
    });
    values
}

fn committed(
    broker: &Arc<EmbeddedBroker>,
    partition: Partition,
) -> Result<Option<Offset>, LogError> {
    let answers = broker.offsets(GROUP).committed(&[partition], Duration::ZERO)?;
    let [Committed { offset, metadata }] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(*metadata, offset.map_or_else(String::new, |offset| up_to(0, offset.0).metadata));
    Ok(*offset)
}

fn retry(error: &str) -> LogError {
    LogError::Retry(error.to_owned())
}

/// Faults by script: each entry waits for its call and is used up by it; other calls pass.
#[derive(Debug, Clone, Default)]
struct Script(Arc<Mutex<VecDeque<(&'static str, Verdict)>>>);

impl Script {
    fn expect(&self, call: &'static str, verdict: Verdict) {
        self.0.lock().unwrap().push_back((call, verdict));
    }

    fn is_used_up(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    fn broker(&self) -> Arc<EmbeddedBroker> {
        EmbeddedBroker::with_faults(Settings::default(), Box::new(self.clone()))
    }
}

impl Faults for Script {
    fn verdict(&self, _caller: Caller<'_>, call: Call<'_>) -> Verdict {
        let mut script = self.0.lock().unwrap();
        let is_meant =
            script.front().is_some_and(|(name, _)| format!("{call:?}").starts_with(name));
        if is_meant { script.pop_front().unwrap().1 } else { Verdict::Pass }
    }
}
