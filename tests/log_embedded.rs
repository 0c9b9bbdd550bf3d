//! The port's conformance suite on the embedded log.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

#[macro_use]
mod conformance;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use conformance::{Harness, NewRecord, Publisher, Seen, seen};
use ledger::units::Offset;
use pipeline::embedded::faults::{Call, Caller, Faults, Verdict};
use pipeline::embedded::{
    self, EmbeddedBroker, EmbeddedLog, EmbeddedOffsets, EmbeddedPublisher, Isolation, Settings,
    Timestamps,
};
use pipeline::log::{Event, Log as _, LogError, Partition, PartitionCommit};
use wire::{Headers, Topic};

macro_rules! conformance_tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                conformance::$name(&EmbeddedHarness::new());
            }
        )*
    };
}

for_each_conformance_test!(conformance_tests);

const GROUP: &str = "group";

/// A broker of its own for each test.
#[derive(Debug)]
struct EmbeddedHarness {
    broker: Arc<EmbeddedBroker>,
    /// Whether the end of the next transaction is under way for longer than anybody waits.
    late_end: Arc<AtomicBool>,
}

impl EmbeddedHarness {
    fn new() -> EmbeddedHarness {
        let late_end = Arc::new(AtomicBool::new(false));
        let settings = Settings {
            partitions: 2,
            input_timestamps: Timestamps::CreateTime,
            ..Settings::default()
        };
        let faults = Box::new(LateEnd(late_end.clone()));
        EmbeddedHarness { broker: EmbeddedBroker::with_faults(settings, faults), late_end }
    }
}

#[derive(Debug)]
struct LateEnd(Arc<AtomicBool>);

impl Faults for LateEnd {
    fn verdict(&self, _caller: Caller<'_>, call: Call<'_>) -> Verdict {
        if matches!(call, Call::EndTransaction) && self.0.swap(false, Ordering::Relaxed) {
            return Verdict::ApplyLate(LogError::Retry("no answer".to_owned()));
        }
        Verdict::Pass
    }
}

impl Harness for EmbeddedHarness {
    type Log = EmbeddedLog;
    type Offsets = EmbeddedOffsets;
    type Publisher = EmbeddedPublisher;

    fn log(&self, transactional_id: &str) -> EmbeddedLog {
        self.broker.member(GROUP, transactional_id)
    }

    fn offsets(&self) -> EmbeddedOffsets {
        self.broker.offsets(GROUP)
    }

    fn publisher(&self) -> EmbeddedPublisher {
        self.broker.publisher("publisher")
    }

    fn append(&self, partition: Partition, records: &[NewRecord]) {
        self.broker.append(partition, &embedded_records(records));
    }

    fn trim_input(&self, partition: Partition, before: Offset) {
        self.broker.trim(embedded::Topic::Input, partition, before);
    }

    fn outputs(&self, topic: Topic, partition: Partition) -> Vec<Seen> {
        let mut outputs = Vec::new();
        let topic = embedded::Topic::Output(topic);
        self.broker.read(topic, partition, Offset(0), Isolation::ReadCommitted, &mut |record| {
            outputs.push(seen(record));
        });
        outputs
    }

    fn pending_commit(&self, commit: PartitionCommit) -> Box<dyn FnOnce() + '_> {
        let mut member = self.broker.member(GROUP, "pending");
        member.replace_producer(std::time::Duration::ZERO).unwrap();
        member.join().unwrap();
        let mut assigned = false;
        while !assigned {
            let wait = std::time::Duration::from_millis(10);
            member
                .poll(wait, &mut |event| assigned |= matches!(event, Event::Assigned(_)))
                .unwrap();
        }
        member.begin().unwrap();
        self.late_end.store(true, Ordering::Relaxed);
        member.commit(&[commit]);
        Box::new(move || {
            assert!(self.broker.deliver_late(0), "the end of the transaction is under way");
            drop(member);
        })
    }
}

impl Publisher for EmbeddedPublisher {
    fn begin(&mut self) {
        EmbeddedPublisher::begin(self).unwrap();
    }

    fn append(&mut self, partition: Partition, records: &[NewRecord]) {
        EmbeddedPublisher::append(self, partition, &embedded_records(records)).unwrap();
    }

    fn commit(&mut self) {
        EmbeddedPublisher::commit(self).unwrap();
    }

    fn abort(&mut self) {
        EmbeddedPublisher::abort(self).unwrap();
    }
}

impl Headers for NewRecord {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.headers.iter().for_each(|(name, value)| visit(name, value.as_deref()));
    }
}

fn embedded_records(records: &[NewRecord]) -> Vec<embedded::NewRecord<'_>> {
    records.iter().map(embedded_record).collect()
}

fn embedded_record(record: &NewRecord) -> embedded::NewRecord<'_> {
    embedded::NewRecord {
        timestamp: record.timestamp,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: record,
    }
}
