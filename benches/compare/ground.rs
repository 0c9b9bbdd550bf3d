//! The broker, the topics and the logs that are measured on.
//!
//! Nothing is measured here. Invariant: each run writes to topics of its own, which are deleted when it
//! is over; the input topics are written once and only read afterwards.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::{KafkaServer, Options};
use indicatif::{ProgressBar, ProgressStyle};
use kafka::admin::{Timestamps, create_topics};
use kafka::publisher::{NewRecord, Publisher};
use kafka::{Settings, TopicNames};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use wire::partition::partition_of;

use crate::workload::{Made, Workload};

/// Longest that the broker may take for an answer.
pub(crate) const WAIT: Duration = Duration::from_secs(30);
/// Records between two looks at what was delivered.
const SERVED_EACH: u64 = 10_000;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Ground {
    server: KafkaServer,
    pub(crate) partitions: u32,
    pub(crate) workers: u32,
    /// Where runs keep what they write; removed at the end.
    directory: PathBuf,
}

/// The five topics of one run, and its directory.
#[derive(Debug)]
pub(crate) struct Place {
    /// What the written topics begin with.
    pub(crate) prefix: String,
    pub(crate) topics: TopicNames,
    pub(crate) directory: PathBuf,
}

impl Ground {
    /// Starts a broker.
    pub(crate) fn new(partitions: u32, workers: u32, directory: &Path) -> anyhow::Result<Ground> {
        // A round's topics are gone before the next one's need the room.
        let options = Options { heap_mib: 1_024, ..Options::default() }
            .with("log.segment.delete.delay.ms", "1000")
            .with("log.retention.check.interval.ms", "600000")
            .with("transaction.max.timeout.ms", "900000");
        let server = KafkaServer::start(&options).context("starting Kafka")?;
        Ok(Ground { server, partitions, workers, directory: directory.to_owned() })
    }

    pub(crate) fn brokers(&self) -> &str {
        self.server.bootstrap()
    }

    /// Client settings for topics of these names.
    pub(crate) fn settings(&self, prefix: &str, topics: &TopicNames) -> Settings {
        let mut settings = Settings::new(self.brokers(), &format!("{prefix}bench"), prefix);
        settings.topics = topics.clone();
        settings
    }

    /// A plain client's settings.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers()).set("log_level", "0");
        config.set("group.id", "compare").set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed");
        config
    }

    /// Creates the output topics of a run, and its input if that is not there.
    pub(crate) fn place(&self, word: &str, input: Option<&str>) -> anyhow::Result<Place> {
        let prefix = format!("{word}.");
        let mut topics = TopicNames::with_prefix(&prefix);
        if let Some(input) = input {
            input.clone_into(&mut topics.orders);
        }
        let settings = self.settings(&prefix, &topics);
        create_topics(&settings, self.partitions, 1, Timestamps::Create)?;
        self.await_leaders(&topics)?;
        let directory = self.directory.join(word);
        std::fs::create_dir_all(&directory)?;
        Ok(Place { prefix, topics, directory })
    }

    /// Waits until each partition has a leader, which takes a moment after topics were created.
    fn await_leaders(&self, topics: &TopicNames) -> anyhow::Result<()> {
        let client: BaseConsumer = self.client().create()?;
        for topic in topics.all() {
            for partition in 0..self.partitions.cast_signed() {
                await_some("a partition's leader", WAIT, || {
                    Ok(client.fetch_watermarks(topic, partition, WAIT).ok())
                })?;
            }
        }
        Ok(())
    }

    /// Deletes what a run has written, and its input if it is its own.
    pub(crate) fn clear(&self, place: &Place) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let owned = admin.inner().fetch_metadata(None, WAIT)?;
        let names = owned.topics().iter().map(rdkafka::metadata::MetadataTopic::name);
        // Changelogs of Kafka Streams begin with the prefix too.
        let names: Vec<&str> = names.filter(|name| name.starts_with(&place.prefix)).collect();
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        futures_executor::block_on(admin.delete_topics(&names, &options))?;
        std::fs::remove_dir_all(&place.directory)?;
        Ok(())
    }

    /// Writes a log, unless it is there.
    pub(crate) fn prefill(&self, name: &str, workload: &Workload) -> anyhow::Result<()> {
        let prefix = format!("{name}.");
        let topics = TopicNames::with_prefix(&prefix);
        let settings = self.settings(&prefix, &topics);
        let created = create_topics(&settings, self.partitions, 1, Timestamps::Create)?;
        if created.is_empty() {
            return Ok(());
        }
        let publisher = Publisher::new(&settings)?;
        let progress = bar(workload.catalogue() + workload.orders, &format!("writing {name}"));
        let mut made = Made::default();
        let mut number = 0;
        let mut publish = |made: &Made| -> anyhow::Result<()> {
            self.publish(&publisher, made)?;
            number += 1;
            if number % SERVED_EACH == 0 {
                publisher.serve(Duration::ZERO);
                progress.set_position(number);
            }
            Ok(())
        };
        for record in 0..workload.catalogue() {
            workload.make_catalogue(record, workload.start_ms(), &mut made);
            publish(&made)?;
        }
        for order in 0..workload.orders {
            workload.make_order(order, &mut made);
            publish(&made)?;
        }
        publisher.flush()?;
        anyhow::ensure!(publisher.failed() == 0, "the broker did not take every record");
        progress.finish_and_clear();
        Ok(())
    }

    /// Publishes a record to where its merchant belongs.
    pub(crate) fn publish(&self, publisher: &Publisher, made: &Made) -> anyhow::Result<()> {
        publisher.publish(&NewRecord {
            partition: partition_of(&made.key, self.partitions),
            timestamp_ms: made.timestamp_ms,
            key: Some(&made.key),
            value: Some(&made.value),
        })?;
        Ok(())
    }
}

/// Where long work stands, on standard error.
pub(crate) fn bar(length: u64, what: &str) -> ProgressBar {
    const TEMPLATE: &str = "{msg:36} {bar:30} {human_pos}/{human_len} {per_sec}";
    let style = ProgressStyle::with_template(TEMPLATE).expect("the template is a valid one");
    ProgressBar::new(length).with_style(style).with_message(what.to_owned())
}

/// Waits for something, or says what came to nothing.
pub(crate) fn await_some<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        anyhow::ensure!(Instant::now() < deadline, "waited {patience:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
