//! From the configuration to a way to Kafka; the only file here that knows both.

use kafka::{KafkaLog, KafkaOffsets, Settings, TopicNames};
use pipeline::log::{LogError, Offsets};

use crate::arguments::Connection;
use crate::configuration::{Configuration, Overrides, Scalar, Wrong};
use crate::fleet::Connect;
use crate::logging;
use crate::security;

/// Loads the configuration with what the command line says about the connection.
pub(crate) fn configuration(
    connection: &Connection,
    overrides: &mut Overrides,
) -> Result<Configuration, Wrong> {
    overrides
        .set("kafka.brokers", connection.brokers.as_ref())
        .set("kafka.topic_prefix", connection.topic_prefix.as_ref());
    Configuration::load(connection.config.as_deref(), overrides)
}

/// The same for a tool, which from then on logs what goes wrong.
pub(crate) fn configuration_of_tool(
    connection: &Connection,
    overrides: &mut Overrides,
) -> Result<Configuration, Wrong> {
    let configuration = configuration(connection, overrides)?;
    logging::start_for_tool(&configuration.log)?;
    Ok(configuration)
}

/// Client settings of one worker or tool; `id` becomes its transactional id.
pub(crate) fn settings(configuration: &Configuration, id: &str) -> Result<Settings, Wrong> {
    let kafka = &configuration.kafka;
    let prefix = &kafka.topic_prefix;
    let names = &kafka.topics;
    let mut settings = Settings::new(&kafka.brokers, &configuration.group(), id);
    settings.topics = TopicNames {
        orders: format!("{prefix}{}", names.orders),
        status: format!("{prefix}{}", names.status),
        settled: format!("{prefix}{}", names.settled),
        dead_letters: format!("{prefix}{}", names.dead_letters),
        gmv: format!("{prefix}{}", names.gmv),
    };
    settings.session_timeout_ms =
        milliseconds("kafka.session_timeout_ms", kafka.session_timeout_ms)?;
    settings.transaction_timeout_ms =
        milliseconds("kafka.transaction_timeout_ms", kafka.transaction_timeout_ms)?;
    let text = |(key, value): (&String, &Scalar)| (key.clone(), value.to_string());
    settings.common = kafka.properties.iter().map(text).collect();
    settings.consumer = kafka.consumer_properties.iter().map(text).collect();
    settings.producer = kafka.producer_properties.iter().map(text).collect();
    let open = [
        ("kafka.properties", &settings.common),
        ("kafka.consumer_properties", &settings.consumer),
        ("kafka.producer_properties", &settings.producer),
    ];
    for (section, properties) in open {
        security::refuse_open_secrets(section, properties.keys())?;
    }
    for (key, file) in &kafka.secret_files {
        let secret = security::secret(&format!("kafka.secret_files.{key:?}"), file)?;
        settings.common.insert(key.clone(), secret);
    }
    for (property, value) in kafka.security.properties(kafka::HAS_TLS)? {
        if settings.common.insert(property.clone(), value).is_some() {
            return Err(Wrong(format!(
                "{property:?} is written as a property, and follows from kafka.security too; take \
                 one of the two out"
            )));
        }
    }
    settings.check().map_err(|error| Wrong(error.to_string()))?;
    Ok(settings)
}

fn milliseconds(key: &str, value: u64) -> Result<u32, Wrong> {
    u32::try_from(value).map_err(|_| Wrong(format!("{key} is {value}; write at most {}", u32::MAX)))
}

/// Questions to Kafka that no worker asks.
pub(crate) fn offsets(
    configuration: &Configuration,
) -> Result<(Settings, KafkaOffsets), anyhow::Error> {
    let settings = settings(configuration, "floodgate-tool")?;
    let offsets = KafkaOffsets::new(&settings)?;
    Ok((settings, offsets))
}

/// What has to be known of the cluster before any partition can be opened.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) id: String,
    pub(crate) partitions: u32,
}

/// Asks once.
pub(crate) fn cluster(offsets: &mut KafkaOffsets) -> Result<Cluster, LogError> {
    Ok(Cluster { partitions: offsets.partition_count()?, id: offsets.cluster_id()? })
}

/// Makes workers' members of the group, each with a transactional id of its own.
pub(crate) struct OnKafka {
    configuration: Configuration,
    instance: String,
}

impl OnKafka {
    pub(crate) fn new(configuration: Configuration, instance: String) -> OnKafka {
        OnKafka { configuration, instance }
    }
}

impl Connect for OnKafka {
    type Log = KafkaLog;
    type Offsets = KafkaOffsets;

    fn connect(&self, worker: usize) -> Result<(KafkaLog, KafkaOffsets), LogError> {
        let id = format!("{}-{}-{worker}", self.configuration.group(), self.instance);
        let mut settings = settings(&self.configuration, &id)
            .map_err(|wrong| LogError::Fatal(wrong.to_string()))?;
        // A random name does not come back.
        if !self.configuration.kafka.instance.is_empty() {
            settings.member_name = Some(format!("{}-{worker}", self.instance));
        }
        Ok((KafkaLog::new(settings.clone())?, KafkaOffsets::new(&settings)?))
    }
}
