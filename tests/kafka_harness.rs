//! Topics and a group of its own for each test, on the broker that the tests of a binary share.
//!
//! Not the client under test: publishing and reading back go through the safe wrapper's own
//! clients. Invariant: no two tests share a topic, a group or a transactional id.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kafka::admin::{Timestamps, create_topics};
use kafka::{KafkaLog, KafkaOffsets, Settings, TopicNames};
use ledger::units::Offset;
use pipeline::log::{Partition, PartitionCommit};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};
use wire::Topic;

use crate::conformance::{Harness, NewRecord, Publisher, Seen};

const WAIT: Duration = Duration::from_secs(30);
/// Longest wait of one that only wants to know how things are.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct KafkaHarness {
    brokers: String,
    prefix: String,
}

impl KafkaHarness {
    /// With two partitions; `None` where there is no Kafka.
    pub(crate) fn new() -> Option<KafkaHarness> {
        Some(KafkaHarness::on(e2e::shared()?.bootstrap()))
    }

    /// On a broker of the test's own.
    pub(crate) fn on(brokers: &str) -> KafkaHarness {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only uniqueness matters.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let harness =
            KafkaHarness { brokers: brokers.to_owned(), prefix: format!("test{number}.") };
        let created = create_topics(&harness.settings("admin"), 2, 1, Timestamps::Create).unwrap();
        assert_eq!(created.len(), 5);
        harness
    }

    pub(crate) fn settings(&self, transactional_id: &str) -> Settings {
        let id = format!("{}{transactional_id}", self.prefix);
        let mut settings = Settings::new(&self.brokers, &format!("{}group", self.prefix), &id);
        settings.topics = self.topics();
        settings
    }

    fn topics(&self) -> TopicNames {
        TopicNames::with_prefix(&self.prefix)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    fn transactional_producer(&self, id: &str) -> BaseProducer {
        let id = format!("{}{id}", self.prefix);
        let producer: BaseProducer = self.client().set("transactional.id", id).create().unwrap();
        producer.init_transactions(WAIT).unwrap();
        producer
    }
}

impl Harness for KafkaHarness {
    type Log = KafkaLog;
    type Offsets = KafkaOffsets;
    type Publisher = KafkaPublisher;

    fn log(&self, transactional_id: &str) -> KafkaLog {
        KafkaLog::new(self.settings(transactional_id)).unwrap()
    }

    fn offsets(&self) -> KafkaOffsets {
        KafkaOffsets::new(&self.settings("offsets")).unwrap()
    }

    fn publisher(&self) -> KafkaPublisher {
        let producer = self.transactional_producer("publisher");
        KafkaPublisher { producer, topic: self.topics().orders }
    }

    fn append(&self, partition: Partition, records: &[NewRecord]) {
        let producer: BaseProducer = self.client().create().unwrap();
        append(&producer, &self.topics().orders, partition, records);
    }

    fn trim_input(&self, partition: Partition, before: Offset) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let mut list = TopicPartitionList::new();
        let offset = NativeOffset::Offset(before.0 as i64);
        list.add_partition_offset(&self.topics().orders, partition as i32, offset).unwrap();
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        let trimmed = futures_executor::block_on(admin.delete_records(&list, &options)).unwrap();
        trimmed.elements()[0].error().unwrap();
    }

    fn outputs(&self, topic: Topic, partition: Partition) -> Vec<Seen> {
        let mut config = self.client();
        config.set("group.id", format!("{}reader", self.prefix));
        config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
        let reader: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        let topic = self.topics().output(topic).to_owned();
        list.add_partition_offset(&topic, partition as i32, NativeOffset::Beginning).unwrap();
        reader.assign(&list).unwrap();
        let mut seen = Vec::new();
        loop {
            match reader.poll(WAIT).expect("the end comes") {
                Ok(message) => seen.push(copy(&message)),
                Err(KafkaError::PartitionEOF(_)) => return seen,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn pending_commit(&self, commit: PartitionCommit) -> Box<dyn FnOnce() + '_> {
        let producer = self.transactional_producer("pending");
        let group = self.settings("pending").group;
        let member: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.topics().orders, commit.partition as i32);
        element.set_offset(NativeOffset::Offset(commit.offset.0 as i64)).unwrap();
        element.set_metadata(&commit.metadata);
        producer.begin_transaction().unwrap();
        let metadata = member.group_metadata().unwrap();
        producer.send_offsets_to_transaction(&list, &metadata, WAIT).unwrap();
        Box::new(move || producer.commit_transaction(WAIT).unwrap())
    }
}

/// See the module's documentation.
pub(crate) struct KafkaPublisher {
    producer: BaseProducer,
    topic: String,
}

impl Publisher for KafkaPublisher {
    fn begin(&mut self) {
        self.producer.begin_transaction().unwrap();
    }

    fn append(&mut self, partition: Partition, records: &[NewRecord]) {
        append(&self.producer, &self.topic, partition, records);
    }

    fn commit(&mut self) {
        self.producer.commit_transaction(WAIT).unwrap();
    }

    fn abort(&mut self) {
        self.producer.abort_transaction(WAIT).unwrap();
    }
}

/// How many brokers a client is told of that has not asked before; none if nobody answers.
pub(crate) fn brokers_told(address: &str) -> Option<usize> {
    let mut config = ClientConfig::new();
    let consumer: BaseConsumer = config.set("bootstrap.servers", address).create().unwrap();
    // An answer without topics and brokers would not count as one.
    let metadata = consumer.fetch_metadata(Some("any"), PROBE_WAIT);
    Some(metadata.ok()?.brokers().len())
}

/// Appends and waits for the acknowledgement.
fn append(producer: &BaseProducer, topic: &str, partition: Partition, records: &[NewRecord]) {
    for record in records {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: value.as_deref() })
        });
        let mut sent: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic)
            .partition(partition as i32)
            .timestamp(record.timestamp)
            .headers(headers);
        sent.key = record.key.as_deref();
        sent.payload = record.value.as_deref();
        producer.send(sent).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(WAIT).unwrap();
}

fn copy(message: &rdkafka::message::BorrowedMessage<'_>) -> Seen {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let copy =
            |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
        headers.iter().map(copy).collect()
    });
    Seen {
        partition: message.partition() as u32,
        offset: message.offset() as u64,
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}
