//! A pipeline of a test's own on a broker: topics, group, snapshot directory, configuration.
//!
//! Publishing and reading back go through the plain client, not through the code under test; the
//! judge is `floodgate audit`. Invariant: no two stages share a topic, a group or a directory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::process::{Process, await_some, floodgate, run};

/// Longest that the broker may take for an answer.
pub const WAIT: Duration = Duration::from_secs(30);
/// Snapshots of `settle` only at a clean stop, a short session so that a killed member is soon
/// given up, and a log that can be read by a test.
const CONFIGURATION: &str = "\
[kafka]
session_timeout_ms = 6000
[log]
format = 'json'
";

/// Whose clock stamps the orders.
#[derive(Debug, Clone, Copy)]
pub enum Stamps {
    /// The publisher's.
    Create,
    /// The broker's.
    Append,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Stage {
    /// Where the broker is.
    pub brokers: String,
    /// What every topic and the group begin with.
    pub prefix: String,
    /// Of every topic.
    pub partitions: u32,
    /// Where `settle` is told that the broker is.
    settled_through: String,
    directory: tempfile::TempDir,
}

/// A record to be published.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Where it goes.
    pub partition: u32,
    /// Milliseconds since 1970; −1 for none.
    pub timestamp: i64,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its value, if it has one.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A record as it stands in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where it stands.
    pub offset: i64,
    /// Milliseconds since 1970; −1 for none.
    pub timestamp: i64,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its value, if it has one.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Seen {
    /// Its value.
    pub fn json(&self) -> Value {
        let value = self.value.as_deref().expect("an answer has a value");
        serde_json::from_slice(value).expect("an answer is JSON")
    }
}

impl Stage {
    /// On the broker that all tests share; `None` where there is no Kafka.
    pub fn new(partitions: u32, stamps: Stamps) -> Option<Stage> {
        Some(Stage::on(crate::shared()?.bootstrap(), partitions, stamps))
    }

    /// On a broker of the test's own.
    pub fn on(brokers: &str, partitions: u32, stamps: Stamps) -> Stage {
        let stage = Stage::without_topics(brokers, partitions);
        let timestamps = match stamps {
            Stamps::Create => "create",
            Stamps::Append => "append",
        };
        let partitions = partitions.to_string();
        let created = run(&stage.arguments(
            &["topics", "create"],
            &["--partitions", &partitions, "--timestamps", timestamps],
        ))
        .expect_code(0);
        assert_eq!(created.stdout.matches(": created").count(), 5, "{created:#?}");
        stage
    }

    /// The same for whoever makes the topics.
    pub fn without_topics(brokers: &str, partitions: u32) -> Stage {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only uniqueness matters.
        let prefix = format!("stage{}.", NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::tempdir().expect("there is a temporary directory");
        let (brokers, settled_through) = (brokers.to_owned(), brokers.to_owned());
        let stage = Stage { brokers, prefix, partitions, settled_through, directory };
        stage.configure("");
        stage
    }

    /// Has every `settle` reach the broker by another way than the tools, publishers and readers.
    #[must_use]
    pub fn settled_through(mut self, brokers: &str) -> Stage {
        brokers.clone_into(&mut self.settled_through);
        self
    }

    /// Adds to the configuration, in place of what was added before.
    pub fn configure(&self, more: &str) {
        self.configure_as(&format!("{CONFIGURATION}{more}"));
    }

    /// Replaces the whole configuration.
    pub fn configure_as(&self, whole: &str) {
        std::fs::write(self.configuration(), whole)
            .expect("the temporary directory can be written");
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("floodgate.toml")
    }

    /// The directory of the snapshots.
    pub fn snapshots(&self) -> PathBuf {
        self.directory.path().join("snapshots")
    }

    /// The files of the snapshots of a partition, oldest first.
    pub fn snapshot_files(&self, partition: u32) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect_files(&self.snapshots(), &mut files);
        let of_partition = |file: &PathBuf| {
            let directory = file.parent().and_then(Path::file_name);
            directory.is_some_and(|name| name == partition.to_string().as_str())
        };
        files.retain(of_partition);
        files.sort();
        files
    }

    /// A command with where this pipeline is.
    pub fn arguments(&self, command: &[&str], more: &[&str]) -> Vec<String> {
        self.arguments_through(&self.brokers, command, more)
    }

    fn arguments_through(&self, brokers: &str, command: &[&str], more: &[&str]) -> Vec<String> {
        let configuration = self.configuration().display().to_string();
        let connection = ["--config", &configuration, "--brokers", brokers];
        let prefix = ["--topic-prefix", &self.prefix];
        let parts = [command, &connection, &prefix, more];
        parts.concat().into_iter().map(str::to_owned).collect()
    }

    /// The same for a command that knows snapshots.
    pub fn arguments_with_snapshots(&self, command: &[&str], more: &[&str]) -> Vec<String> {
        let snapshots = self.snapshots().display().to_string();
        self.arguments(command, &[&["--snapshots", &snapshots], more].concat())
    }

    /// Starts a `settle` with one worker under this name.
    pub fn settle(&self, instance: &str) -> Process {
        self.settle_with(&["--instance", instance])
    }

    /// The same with other flags; a port of its own and one worker unless they say otherwise.
    pub fn settle_with(&self, more: &[&str]) -> Process {
        let mut command = floodgate();
        command.args(self.settle_arguments(more));
        Process::spawn(command)
    }

    /// What [`Self::settle_with`] tells the binary.
    pub fn settle_arguments(&self, more: &[&str]) -> Vec<String> {
        let snapshots = self.snapshots().display().to_string();
        let mut flags = [&["--snapshots", &snapshots], more].concat();
        for [flag, value] in [["--listen", "127.0.0.1:0"], ["--workers", "1"]] {
            if !more.contains(&flag) {
                flags.extend([flag, value]);
            }
        }
        self.arguments_through(&self.settled_through, &["settle"], &flags)
    }

    /// Waits until everything up to these ends (by partition) is settled by somebody.
    pub fn await_settled(&self, ends: &[u64]) {
        let client = self.group_client();
        await_some(&format!("committed offsets of {ends:?}"), || {
            let committed = self.committed_by(&client)?;
            let reached = |(committed, end): (&Option<i64>, &u64)| {
                *end == 0 || committed.is_some_and(|committed| committed.unsigned_abs() >= *end)
            };
            committed.iter().zip(ends).all(reached).then_some(())
        });
    }

    /// The committed offset of each partition.
    pub fn committed(&self) -> Vec<Option<i64>> {
        let client = self.group_client();
        await_some("committed offsets", || self.committed_by(&client))
    }

    /// The same, if the broker answers; 0 where nothing is committed.
    pub fn try_committed(&self) -> Option<Vec<u64>> {
        let committed = self.committed_by(&self.group_client())?;
        Some(committed.iter().map(|offset| offset.unwrap_or_default().unsigned_abs()).collect())
    }

    /// Where each partition of a topic ends.
    pub fn ends_of(&self, topic: &str) -> Vec<u64> {
        let (client, topic) = (self.group_client(), self.topic(topic));
        let end = |partition: u32| {
            let bounds = client.fetch_watermarks(&topic, partition.cast_signed(), WAIT);
            bounds.expect("the broker answers").1.unsigned_abs()
        };
        (0..self.partitions).map(end).collect()
    }

    fn committed_by(&self, client: &BaseConsumer) -> Option<Vec<Option<i64>>> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.topic("orders"), 0, self.partitions.cast_signed() - 1);
        let list = client.committed_offsets(list, WAIT).ok()?;
        let offset = |offset: Offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Some(list.elements().iter().map(|element| offset(element.offset())).collect())
    }

    /// Makes one of the topics by hand, with this setting.
    pub fn create_topic(&self, name: &str, setting: &str, value: &str) {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("the settings are valid");
        let (name, partitions) = (self.topic(name), self.partitions.cast_signed());
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let topic = topic.set(setting, value);
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        let created = futures_executor::block_on(admin.create_topics([&topic], &options));
        created.expect("the broker answers").remove(0).expect("the topic is new");
        await_some("the topic", || {
            let metadata = self.group_client().fetch_metadata(Some(&name), WAIT).ok()?;
            metadata.topics().iter().any(|topic| !topic.partitions().is_empty()).then_some(())
        });
    }

    /// Sets the group's offset of a partition as other tools do: without metadata. The group must
    /// be without members.
    pub fn reset(&self, partition: u32, to: i64) {
        let client = self.group_client();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(
            &self.topic("orders"),
            partition.cast_signed(),
            Offset::Offset(to),
        )
        .expect("an offset can be put on a list");
        client.commit(&list, CommitMode::Sync).expect("the group has no members");
    }

    /// Deletes the oldest records of a partition, as retention does.
    pub fn delete_before(&self, topic: &str, partition: u32, offset: i64) {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("the settings are valid");
        let mut list = TopicPartitionList::new();
        let (topic, partition) = (self.topic(topic), partition.cast_signed());
        list.add_partition_offset(&topic, partition, Offset::Offset(offset))
            .expect("an offset can be put on a list");
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        let deleted = futures_executor::block_on(admin.delete_records(&list, &options));
        let deleted = deleted.expect("the broker answers");
        deleted.elements()[0].error().expect("the records are deleted");
    }

    /// The consumer group.
    pub fn group(&self) -> String {
        format!("{}floodgate", self.prefix)
    }

    /// A member of the group under this name, which has its place and works on nothing; when dropped
    /// it does not leave.
    pub fn joined_as(&self, name: &str) -> BaseConsumer {
        let mut config = self.client();
        config.set("group.id", self.group()).set("group.instance.id", name);
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("enable.auto.commit", "false");
        let member: BaseConsumer = config.create().expect("the settings are valid");
        member.subscribe(&[&self.topic("orders")]).expect("the topic has a name");
        await_some("a place in the group", || {
            drop(member.poll(Duration::from_millis(5)));
            member.assignment().ok().filter(|assignment| assignment.count() > 0).map(drop)
        });
        member
    }

    fn group_client(&self) -> BaseConsumer {
        let mut config = self.client();
        config.set("group.id", self.group()).set("isolation.level", "read_committed");
        config.create().expect("the settings are valid")
    }

    /// A plain client's settings.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("log_level", "0");
        config.set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "200");
        config
    }

    /// The full name of a topic.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Publishes to the input.
    pub fn publisher(&self) -> Publisher {
        self.publisher_to("orders")
    }

    /// Publishes where only the pipeline should.
    pub fn publisher_to(&self, topic: &str) -> Publisher {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("linger.ms", "1");
        config.set("message.max.bytes", "1048576");
        Publisher {
            producer: config.create().expect("the settings are valid"),
            topic: self.topic(topic),
            ends: vec![0; self.partitions as usize],
        }
    }

    /// A producer that has written to these partitions of the outputs, and whose transaction stays open.
    pub fn leaves_open(&self, partitions: &[(&str, i32)]) -> BaseProducer {
        let mut config = self.client();
        config.set("transactional.id", format!("{}died", self.prefix));
        let producer: BaseProducer = config.create().expect("the settings are valid");
        producer
            .init_transactions(WAIT)
            .and_then(|()| producer.begin_transaction())
            .expect("the broker answers");
        for (topic, partition) in partitions {
            let topic = self.topic(topic);
            let record = BaseRecord::to(&topic).partition(*partition).key("died").payload("");
            producer.send(record).map_err(|(error, _)| error).expect("the queue is empty");
        }
        producer.flush(WAIT).expect("the broker acknowledges");
        producer
    }

    /// Everything committed in a partition of a topic.
    pub fn read(&self, topic: &str, partition: u32) -> Vec<Seen> {
        let topic = self.topic(topic);
        let mut config = self.reader_config();
        config.set("enable.partition.eof", "true");
        let reader: BaseConsumer = config.create().expect("the settings are valid");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, partition.cast_signed(), Offset::Beginning)
            .and_then(|()| reader.assign(&list))
            .expect("the partition can be assigned");
        let mut seen = Vec::new();
        loop {
            match reader.poll(WAIT).expect("the end comes") {
                Ok(message) => seen.push(copy(&message)),
                Err(KafkaError::PartitionEOF(_)) => return seen,
                Err(error) => panic!("{topic} {partition}: {error}"),
            }
        }
    }

    /// Everything committed in a topic.
    pub fn read_all(&self, topic: &str) -> Vec<Seen> {
        (0..self.partitions).flat_map(|partition| self.read(topic, partition)).collect()
    }

    /// The last counters of each key.
    pub fn counters(&self) -> BTreeMap<String, Value> {
        let key = |seen: &Seen| String::from_utf8(seen.key.clone().expect("counters have keys"));
        let records = self.read_all("gmv").into_iter();
        records.map(|seen| (key(&seen).expect("keys are text"), seen.json())).collect()
    }

    /// A follower of a topic, as a reader downstream sees it.
    pub fn follow(&self, topic: &str) -> Follower {
        Follower { consumer: self.reader(&[topic]), seen: 0 }
    }

    /// A reader of all that is committed in these topics, from their beginning.
    pub fn reader(&self, topics: &[&str]) -> BaseConsumer {
        let consumer: BaseConsumer = self.reader_config().create().expect("the settings are valid");
        let mut list = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..self.partitions.cast_signed() {
                list.add_partition_offset(&self.topic(topic), partition, Offset::Beginning)
                    .expect("an offset can be put on a list");
            }
        }
        consumer.assign(&list).expect("the partitions can be assigned");
        consumer
    }

    fn reader_config(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("group.id", format!("{}reader", self.prefix));
        config.set("isolation.level", "read_committed").set("fetch.wait.max.ms", "20");
        config
    }

    /// The verdict of `floodgate audit`: everything published has been judged and is as it should
    /// be.
    #[track_caller]
    pub fn audit(&self, ends: &[u64]) {
        let ended = run(&self.arguments(&["audit"], &["--format", "json"]));
        let verdict = ended.json();
        for figure in ["oversold", "lost", "duplicated", "miscounted", "different"] {
            assert_eq!(verdict[figure], 0, "{figure}: {ended:#?}");
        }
        assert_eq!(verdict["inputs"], ends.iter().sum::<u64>(), "{ended:#?}");
        assert!(verdict["outputs"].as_u64() > Some(0), "{ended:#?}");
        ended.expect_code(0);
    }
}

fn collect_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect_files(&path, files) } else { files.push(path) }
    }
}

/// Publishes to a topic and knows how much; of one that nobody else publishes to, where each partition
/// ends.
pub struct Publisher {
    producer: BaseProducer,
    topic: String,
    ends: Vec<u64>,
}

impl Publisher {
    /// Publishes and waits for the acknowledgements.
    pub fn publish(&mut self, records: &[Record]) {
        for record in records {
            self.send(record);
        }
        self.producer.flush(WAIT).expect("the broker acknowledges");
    }

    fn send(&mut self, record: &Record) {
        let mut sent: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic)
            .partition(record.partition.cast_signed())
            .timestamp(record.timestamp);
        if !record.headers.is_empty() {
            let headers = record.headers.iter();
            sent = sent.headers(headers.fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            }));
        }
        sent.key = record.key.as_deref();
        sent.payload = record.value.as_deref();
        self.producer.send(sent).map_err(|(error, _)| error).expect("the queue is large enough");
        self.ends[record.partition as usize] += 1;
    }

    /// How many records each partition got: its end, as long as nobody else publishes.
    pub fn ends(&self) -> &[u64] {
        &self.ends
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Publisher { topic, ends, .. } = self;
        f.debug_struct("Publisher")
            .field("topic", topic)
            .field("ends", ends)
            .finish_non_exhaustive()
    }
}

/// See [`Stage::follow`].
pub struct Follower {
    consumer: BaseConsumer,
    seen: usize,
}

impl Follower {
    /// Waits until this many records can be read.
    pub fn await_seen(&mut self, count: usize) {
        await_some(&format!("{count} committed records"), || {
            while let Some(message) = self.consumer.poll(Duration::from_millis(5)) {
                self.seen += usize::from(message.is_ok());
                if self.seen >= count {
                    return Some(());
                }
            }
            None
        });
    }

    /// How many it has read so far.
    pub fn seen(&self) -> usize {
        self.seen
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("seen", &self.seen).finish_non_exhaustive()
    }
}

fn copy(message: &BorrowedMessage<'_>) -> Seen {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let copy =
            |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
        headers.iter().map(copy).collect()
    });
    Seen {
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}
