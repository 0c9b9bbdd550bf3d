//! What a deployment says about its Kafka, and the client properties that follow from it.
//!
//! Not the configuration file: `floodgate` reads that one and fills [`Settings`]. Invariant: the
//! properties on which exactly-once rests cannot be overridden, and no value of a passed-through
//! property is ever printed, since it may be a password.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use wire::Topic;

/// Names of the topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicNames {
    /// Commands, the input.
    pub orders: String,
    /// Answers to checkout.
    pub status: String,
    /// Settled orders and refunds.
    pub settled: String,
    /// Records that could not be accepted.
    pub dead_letters: String,
    /// Counters, compacted.
    pub gmv: String,
}

impl TopicNames {
    /// The default names, each behind `prefix` (empty for none).
    pub fn with_prefix(prefix: &str) -> TopicNames {
        let name = |topic: Topic| format!("{prefix}{}", topic.default_name());
        TopicNames {
            orders: format!("{prefix}orders"),
            status: name(Topic::Status),
            settled: name(Topic::Settled),
            dead_letters: name(Topic::DeadLetters),
            gmv: name(Topic::Gmv),
        }
    }

    /// The name of an output topic.
    pub fn output(&self, topic: Topic) -> &str {
        match topic {
            Topic::Status => &self.status,
            Topic::Settled => &self.settled,
            Topic::DeadLetters => &self.dead_letters,
            Topic::Gmv => &self.gmv,
        }
    }

    /// All five names, the input first.
    pub fn all(&self) -> [&str; 5] {
        [&self.orders, &self.status, &self.settled, &self.dead_letters, &self.gmv]
    }
}

impl Default for TopicNames {
    fn default() -> Self {
        TopicNames::with_prefix("")
    }
}

/// How to reach Kafka, and as whom.
#[derive(Clone)]
pub struct Settings {
    /// `host:port`, comma separated.
    pub brokers: String,
    /// Names of the topics.
    pub topics: TopicNames,
    /// The consumer group, shared by all workers of a pipeline.
    pub group: String,
    /// Id of the worker's producer; no two workers that live at the same time may share one.
    pub transactional_id: String,
    /// Name of the worker in its group, if it comes back under the same one after a crash: the group
    /// then gives it back at once what it had, and need not wait until its predecessor's session has
    /// timed out. No two workers of a group that live at the same time may share one; it consists of
    /// letters, digits, `.`, `_` and `-`.
    pub member_name: Option<String>,
    /// Who this is in the broker's logs and quotas (`client.id`).
    pub client_id: String,
    /// After how long without a heartbeat the group gives a worker up, in milliseconds. Brokers
    /// refuse less than 6,000 unless configured otherwise.
    pub session_timeout_ms: u32,
    /// After how long the broker aborts an open transaction, in milliseconds.
    pub transaction_timeout_ms: u32,
    /// How long a topic that is in use may be unknown to the brokers before it counts as missing, in
    /// milliseconds.
    pub missing_topic_ms: u32,
    /// How many KiB of fetched records may wait in memory for each partition that is read. What is
    /// really in use can exceed it by one fetch of 1 MiB, times what compression saved, and by some
    /// 250 bytes of bookkeeping a record. More is no faster: it only leaves the caches.
    pub fetched_kib_max: u32,
    /// Properties passed to every client.
    pub common: BTreeMap<String, String>,
    /// Properties passed to consumers, before those of `common`.
    pub consumer: BTreeMap<String, String>,
    /// Properties passed to producers, before those of `common`.
    pub producer: BTreeMap<String, String>,
}

/// Without the values of passed-through properties, which may be secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("brokers", &self.brokers)
            .field("topics", &self.topics)
            .field("group", &self.group)
            .field("transactional_id", &self.transactional_id)
            .field("member_name", &self.member_name)
            .field("client_id", &self.client_id)
            .field("session_timeout_ms", &self.session_timeout_ms)
            .field("transaction_timeout_ms", &self.transaction_timeout_ms)
            .field("missing_topic_ms", &self.missing_topic_ms)
            .field("fetched_kib_max", &self.fetched_kib_max)
            .field("common", &self.common.keys())
            .field("consumer", &self.consumer.keys())
            .field("producer", &self.producer.keys())
            .finish()
    }
}

/// What is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The property is not the deployment's to choose.
    #[error("the property `{0}` is set by Floodgate itself; exactly-once rests on it: remove it")]
    Reserved(String),
    /// The client does not know the property, or not this value of it, which is not told: it may
    /// be a secret.
    #[error(
        "the property `{0}` is not accepted: librdkafka does not know it, or not with this value; \
         its CONFIGURATION.md lists what it knows{hint}",
        hint = if cfg!(feature = "tls") { "" } else { "; for TLS, build with `--features tls`" }
    )]
    NotAccepted(String),
}

/// Properties that carry the guarantees, or that have a setting of their own.
const RESERVED: [&str; 23] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "delivery.report.only.error",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "isolation.level",
    "log.queue",
    "log_level",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "session.timeout.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

/// Largest message that a producer sends: an output of 1,000,000 bytes and its headers.
pub(crate) const MESSAGE_BYTES_MAX: u32 = 1_048_576;

/// Longest time between two heartbeats. The answer to a heartbeat is how a member learns that the
/// group is rebalancing, so until then others wait for their partitions.
const HEARTBEAT_MS_MAX: u32 = 300;

impl Settings {
    /// Settings for this cluster and group, all else at its default.
    pub fn new(brokers: &str, group: &str, transactional_id: &str) -> Settings {
        Settings {
            brokers: brokers.to_owned(),
            topics: TopicNames::default(),
            group: group.to_owned(),
            transactional_id: transactional_id.to_owned(),
            member_name: None,
            client_id: transactional_id.to_owned(),
            session_timeout_ms: 10_000,
            transaction_timeout_ms: 10_000,
            missing_topic_ms: 60_000,
            fetched_kib_max: 8_192,
            common: BTreeMap::new(),
            consumer: BTreeMap::new(),
            producer: BTreeMap::new(),
        }
    }

    /// Whether only properties are passed through that may be, and that the client knows.
    pub fn check(&self) -> Result<(), SettingsError> {
        let passed = [&self.common, &self.consumer, &self.producer];
        let mut properties = passed.into_iter().flat_map(BTreeMap::keys);
        if let Some(property) = properties.find(|property| RESERVED.contains(&property.as_str())) {
            return Err(SettingsError::Reserved(property.clone()));
        }
        // The first has the consumers' properties, the second the producers', both the common ones.
        for config in [self.member(), self.producer()] {
            if let Err(KafkaError::ClientConfig(_, _, property, _)) = config.create_native_config()
            {
                return Err(SettingsError::NotAccepted(property));
            }
        }
        Ok(())
    }

    /// The group member: it is told what it owns and never fetches.
    pub(crate) fn member(&self) -> ClientConfig {
        let heartbeat_interval = (self.session_timeout_ms / 5).min(HEARTBEAT_MS_MAX).to_string();
        let mut config = self.consumer(&[
            ("heartbeat.interval.ms", &heartbeat_interval),
            ("fetch.message.max.bytes", "1024"),
        ]);
        set(
            &mut config,
            &[
                ("group.id", &self.group),
                ("group.protocol", "classic"),
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("isolation.level", "read_committed"),
            ],
        );
        if let Some(name) = &self.member_name {
            config.set("group.instance.id", name);
        }
        config
    }

    /// The reader of the input, in no group.
    pub(crate) fn fetcher(&self) -> ClientConfig {
        let queued = self.fetched_kib_max.to_string();
        let mut config = self.consumer(&[
            ("queued.max.messages.kbytes", &queued),
            ("queued.min.messages", "200000"),
            // The default of 1,000 makes a full partition sleep a whole second.
            ("fetch.queue.backoff.ms", "2"),
            ("fetch.message.max.bytes", "4194304"),
            // A batch unfolds into a buffer of four times its size, but at most of this one, which then
            // has to grow, and grows by copying. The default is 1 MB.
            ("message.max.bytes", "16777216"),
            // The end of a quiet partition is noticed when this long a fetch returned empty.
            ("fetch.wait.max.ms", "100"),
        ]);
        set(
            &mut config,
            &[
                ("enable.partition.eof", "true"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("isolation.level", "read_committed"),
            ],
        );
        config
    }

    /// A reader of any topic outside the workers. It names the group, because librdkafka assigns
    /// partitions only to who has one, and neither joins it nor commits in it.
    pub(crate) fn reader(&self) -> ClientConfig {
        let mut config = self.fetcher();
        config.set("group.id", &self.group);
        config
    }

    /// The transactional producer.
    pub(crate) fn producer(&self) -> ClientConfig {
        let message_bytes_max = MESSAGE_BYTES_MAX.to_string();
        let mut config = self.client(
            &[
                ("compression.type", "lz4"),
                // A commit sends what is there at once; in between, fewer and larger requests cost the
                // broker a quarter less.
                ("linger.ms", "25"),
                ("batch.num.messages", "100000"),
                ("batch.size", "1000000"),
                ("message.max.bytes", &message_bytes_max),
                ("queue.buffering.max.messages", "500000"),
                ("queue.buffering.max.kbytes", "262144"),
                // The default of 100 is paid whenever a transaction follows another at once.
                ("retry.backoff.ms", "2"),
            ],
            &self.producer,
        );
        let transaction_timeout = self.transaction_timeout_ms.to_string();
        set(
            &mut config,
            &[
                ("transactional.id", &self.transactional_id),
                ("transaction.timeout.ms", &transaction_timeout),
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("delivery.report.only.error", "true"),
            ],
        );
        config
    }

    /// A publisher's producer, for drills.
    pub(crate) fn publisher(&self) -> ClientConfig {
        let mut config = self.client(
            &[
                ("compression.type", "lz4"),
                ("linger.ms", "5"),
                ("batch.num.messages", "20000"),
                ("batch.size", "1000000"),
                ("queue.buffering.max.messages", "500000"),
                ("queue.buffering.max.kbytes", "262144"),
            ],
            &self.producer,
        );
        let message_bytes_max = MESSAGE_BYTES_MAX.to_string();
        set(
            &mut config,
            &[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("message.max.bytes", &message_bytes_max),
                ("delivery.report.only.error", "true"),
            ],
        );
        config
    }

    /// The producer of ticks: a late tick is as needless as a lost one.
    pub(crate) fn ticks(&self) -> ClientConfig {
        let mut config = self.client(
            &[
                ("linger.ms", "0"),
                ("message.timeout.ms", "5000"),
                ("queue.buffering.max.messages", "1000"),
            ],
            &self.producer,
        );
        set(&mut config, &[("acks", "1"), ("delivery.report.only.error", "true")]);
        config
    }

    /// A consumer that never subscribes, for committed offsets.
    pub(crate) fn committed(&self) -> ClientConfig {
        let mut config = self.consumer(&[]);
        set(
            &mut config,
            &[
                ("group.id", &self.group),
                ("group.protocol", "classic"),
                ("enable.auto.commit", "false"),
                ("isolation.level", "read_committed"),
            ],
        );
        config
    }

    /// A consumer without a group that also sees what is not committed yet, for offsets and
    /// metadata.
    pub(crate) fn watermarks(&self) -> ClientConfig {
        let mut config = self.consumer(&[]);
        set(&mut config, &[("isolation.level", "read_uncommitted")]);
        config
    }

    /// The administrative client.
    pub(crate) fn admin(&self) -> ClientConfig {
        self.client(&[], &BTreeMap::new())
    }

    /// As [`Self::client`]; the session timeout is there because librdkafka compares passed-through
    /// properties with it even where there is no group.
    fn consumer(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.client(defaults, &self.consumer);
        config.set("session.timeout.ms", self.session_timeout_ms.to_string());
        config
    }

    /// Defaults that may be overridden, then the passed-through properties, then what every client
    /// must have.
    fn client(&self, defaults: &[(&str, &str)], own: &BTreeMap<String, String>) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Clients that come back late after a broker's restart prolong the outage.
        set(&mut config, &[("reconnect.backoff.ms", "50"), ("reconnect.backoff.max.ms", "1000")]);
        set(&mut config, defaults);
        for (property, value) in own.iter().chain(&self.common) {
            config.set(property, value);
        }
        set(&mut config, &[("bootstrap.servers", &self.brokers), ("client.id", &self.client_id)]);
        // Who asks for librdkafka's debug contexts wants to read what they say.
        let debugged = config.get("debug").is_some();
        config.set_log_level(if debugged { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        config
    }
}

fn set(config: &mut ClientConfig, properties: &[(&str, &str)]) {
    for (property, value) in properties {
        config.set(*property, *value);
    }
}

#[cfg(test)]
mod settings_tests {
    use super::*;

    #[test]
    fn a_property_that_carries_the_guarantees_cannot_be_passed_through() {
        let mut settings = Settings::new("localhost:9092", "group", "id");
        settings.consumer.insert("isolation.level".to_owned(), "read_uncommitted".to_owned());
        assert_eq!(settings.check(), Err(SettingsError::Reserved("isolation.level".to_owned())));
        settings.consumer.clear();
        settings.common.insert("security.protocol".to_owned(), "plaintext".to_owned());
        assert_eq!(settings.check(), Ok(()));
    }

    #[test]
    fn a_property_that_the_client_does_not_accept_is_named_without_its_value() {
        let mut settings = Settings::new("localhost:9092", "group", "id");
        settings.producer.insert("lingr.ms".to_owned(), "hunter2".to_owned());
        assert_eq!(settings.check(), Err(SettingsError::NotAccepted("lingr.ms".to_owned())));
        settings.producer.clear();
        settings.consumer.insert("fetch.min.bytes".to_owned(), "hunter2".to_owned());
        let error = settings.check().unwrap_err();
        assert_eq!(error, SettingsError::NotAccepted("fetch.min.bytes".to_owned()));
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut settings = Settings::new("localhost:9092", "group", "id");
        settings.common.insert("sasl.password".to_owned(), "hunter2".to_owned());
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn a_prefix_puts_a_second_pipeline_beside_the_real_one() {
        let names = TopicNames::with_prefix("shadow.");
        assert_eq!(names.orders, "shadow.orders");
        assert_eq!(names.output(Topic::Gmv), "shadow.gmv");
    }
}
