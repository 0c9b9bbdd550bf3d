//! The configuration: one file, its defaults, the environment, the command line.
//!
//! `config/floodgate.toml` is the lowest layer itself, so that a default cannot differ from what is
//! documented. Invariant: whatever leaves this file has been checked; a wrong key or value is an
//! error that says what to write instead, and the process exits with code 78.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use ledger::rules::{Partitioner, Rules};
use pipeline::settings::WorkerSettings;
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::security::Security;

/// Every key with its default and its documentation.
pub(crate) const DEFAULTS: &str = include_str!("../../../config/floodgate.toml");

/// Longest name of a process.
const INSTANCE_BYTES_MAX: usize = 200;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Configuration {
    pub(crate) kafka: Kafka,
    pub(crate) rules: RulesSection,
    pub(crate) settle: Settle,
    pub(crate) counters: Counters,
    pub(crate) snapshots: Snapshots,
    pub(crate) board: Board,
    pub(crate) log: Log,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    pub(crate) brokers: String,
    pub(crate) topic_prefix: String,
    pub(crate) group: String,
    pub(crate) instance: String,
    pub(crate) session_timeout_ms: u64,
    pub(crate) transaction_timeout_ms: u64,
    pub(crate) topics: Topics,
    pub(crate) properties: BTreeMap<String, Scalar>,
    pub(crate) consumer_properties: BTreeMap<String, Scalar>,
    pub(crate) producer_properties: BTreeMap<String, Scalar>,
    pub(crate) secret_files: BTreeMap<String, PathBuf>,
    pub(crate) security: Security,
}

/// A librdkafka property's value, however it is written.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Text(String),
    Integer(i64),
    Float(f64),
    Truth(bool),
}

/// Not the value: it may be a secret.
impl std::fmt::Debug for Scalar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("...")
    }
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scalar::Text(text) => text.fmt(formatter),
            Scalar::Integer(integer) => integer.fmt(formatter),
            Scalar::Float(float) => float.fmt(formatter),
            Scalar::Truth(truth) => truth.fmt(formatter),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Topics {
    pub(crate) orders: String,
    pub(crate) status: String,
    pub(crate) settled: String,
    pub(crate) dead_letters: String,
    pub(crate) gmv: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulesSection {
    order_window_ms: u64,
    receipt_window_ms: u64,
    skew_ms: u64,
    hold_ttl_ms: u64,
    day_offset_ms: u64,
    partitioner: PartitionerName,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PartitionerName {
    Murmur2,
    Any,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settle {
    pub(crate) workers: usize,
    commit_interval_ms: u64,
    commit_outputs_max: usize,
    commit_bytes_max: usize,
    drain_ms: u64,
    heartbeat_ms: u64,
    pub(crate) stall_ms: u64,
    pub(crate) listen: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counters {
    fast_ms: u64,
    slow_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Snapshots {
    pub(crate) directory: PathBuf,
    interval_ms: u64,
    replay_ms: u64,
    pause_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Board {
    pub(crate) listen: String,
    pub(crate) days: usize,
    pub(crate) stale_ms: u64,
    pub(crate) rehearsal: bool,
    pub(crate) compare: PathBuf,
    pub(crate) token_file: PathBuf,
    pub(crate) users_file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// The configuration cannot be used; the process exits with code 78.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// Keys that the command line sets.
#[derive(Debug, Default)]
pub(crate) struct Overrides(BTreeMap<&'static str, serde_json::Value>);

impl Overrides {
    /// Sets a key, if there is a value for it.
    pub(crate) fn set(&mut self, key: &'static str, value: Option<impl Serialize>) -> &mut Self {
        if let Some(value) = value {
            // A flag's value is text or a number, which JSON always holds.
            let value = serde_json::to_value(value).unwrap_or(serde_json::Value::Null);
            self.0.insert(key, value);
        }
        self
    }
}

impl Configuration {
    /// Defaults, then the file, then the environment, then the command line.
    pub(crate) fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Configuration, Wrong> {
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        if let Some(file) = file {
            if !file.is_file() {
                let file = file.display();
                return Err(Wrong(format!(
                    "configuration file {file} is not there; --config names one"
                )));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        figment = figment.merge(environment::layer()?);
        for (key, value) in &overrides.0 {
            figment = figment.merge(Serialized::default(key, value));
        }
        let configuration: Configuration =
            figment.extract().map_err(|errors| Wrong(describe(errors)))?;
        configuration.check()?;
        Ok(configuration)
    }

    /// Times that hang together.
    fn check_times(&self) -> Result<(), Wrong> {
        let Configuration { kafka, settle, .. } = self;
        if kafka.session_timeout_ms < 6_000 {
            return Err(Wrong(format!(
                "kafka.session_timeout_ms is {}; brokers refuse less than 6000",
                kafka.session_timeout_ms
            )));
        }
        if settle.commit_interval_ms >= kafka.transaction_timeout_ms {
            return Err(Wrong(format!(
                "settle.commit_interval_ms is {}; it must be well below \
                 kafka.transaction_timeout_ms ({})",
                settle.commit_interval_ms, kafka.transaction_timeout_ms
            )));
        }
        // A commit waits as long for its offsets, and once more for its end.
        let turn_ms = kafka.transaction_timeout_ms.saturating_mul(2);
        if settle.stall_ms <= turn_ms {
            return Err(Wrong(format!(
                "settle.stall_ms is {}; write more than {turn_ms}, twice \
                 kafka.transaction_timeout_ms, which a commit may take",
                settle.stall_ms
            )));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Wrong> {
        let Configuration { kafka, settle, board, .. } = self;
        let positive = [
            ("settle.workers", settle.workers as u64),
            ("settle.commit_interval_ms", settle.commit_interval_ms),
            ("settle.commit_outputs_max", settle.commit_outputs_max as u64),
            ("settle.commit_bytes_max", settle.commit_bytes_max as u64),
            ("settle.stall_ms", settle.stall_ms),
            ("counters.fast_ms", self.counters.fast_ms),
            ("counters.slow_ms", self.counters.slow_ms),
            ("kafka.transaction_timeout_ms", kafka.transaction_timeout_ms),
            ("board.days", board.days as u64),
            ("board.stale_ms", board.stale_ms),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(Wrong(format!("{key} is 0; write a number of at least 1")));
        }
        self.check_times()?;
        if !is_name(&kafka.instance) {
            return Err(Wrong(format!(
                "kafka.instance is {:?}; write at most {INSTANCE_BYTES_MAX} letters, digits, dots, \
                 underscores and hyphens",
                kafka.instance
            )));
        }
        if !self.rules(1).are_valid() {
            let most = Rules::MILLIS_MAX;
            return Err(Wrong(format!("a time in [rules] is over {most} ms; write less")));
        }
        let mut brokers = kafka.brokers.split(',').map(str::trim);
        if let Some(wrong) = brokers.find(|broker| !is_host_and_port(broker)) {
            return Err(Wrong(format!("kafka.brokers has {wrong:?}; write host:port")));
        }
        if !settle.listen.is_empty() && !is_host_and_port(&settle.listen) {
            let listen = &settle.listen;
            return Err(Wrong(format!("settle.listen is {listen:?}; write host:port, or nothing")));
        }
        if !is_host_and_port(&board.listen) {
            let listen = &board.listen;
            return Err(Wrong(format!("board.listen is {listen:?}; write host:port")));
        }
        Ok(())
    }

    /// The rules for topics of so many partitions.
    pub(crate) fn rules(&self, partitions: u32) -> Rules {
        let RulesSection { order_window_ms, receipt_window_ms, skew_ms, hold_ttl_ms, .. } =
            self.rules;
        Rules {
            order_window_ms,
            receipt_window_ms,
            skew_ms,
            hold_ttl_ms,
            day_offset_ms: self.rules.day_offset_ms,
            partitioner: match self.rules.partitioner {
                PartitionerName::Murmur2 => Partitioner::Murmur2,
                PartitionerName::Any => Partitioner::Any,
            },
            partitions,
        }
    }

    /// The worker's rhythm and bounds.
    pub(crate) fn worker(&self, ticks: bool) -> WorkerSettings {
        let ms = Duration::from_millis;
        WorkerSettings {
            commit_interval: ms(self.settle.commit_interval_ms),
            commit_outputs_max: self.settle.commit_outputs_max,
            commit_bytes_max: self.settle.commit_bytes_max,
            counters_fast: ms(self.counters.fast_ms),
            counters_slow: ms(self.counters.slow_ms),
            snapshot_interval: ms(self.snapshots.interval_ms),
            snapshot_replay: ms(self.snapshots.replay_ms),
            snapshot_pause: ms(self.snapshots.pause_ms),
            drain: ms(self.settle.drain_ms),
            ticks,
            heartbeat: (self.settle.heartbeat_ms > 0).then(|| ms(self.settle.heartbeat_ms)),
            ..WorkerSettings::default()
        }
    }

    /// The name of the consumer group.
    pub(crate) fn group(&self) -> String {
        format!("{}{}", self.kafka.topic_prefix, self.kafka.group)
    }
}

/// Whether a process may be called so, or has no name: its workers' names, with a number behind, are
/// Kafka's `group.instance.id`, of at most 249 such characters.
fn is_name(instance: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    instance.len() <= INSTANCE_BYTES_MAX && instance.bytes().all(is_fit)
}

/// Without this look a misspelt address would be waited for, as one that is away for a while is.
fn is_host_and_port(address: &str) -> bool {
    let parts = address.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// One sentence for each thing that is wrong, with where it came from.
fn describe(errors: figment::Error) -> String {
    let sentences: Vec<String> = errors
        .into_iter()
        .map(|error| {
            let key = error.path.join(".");
            let source = error.metadata.as_ref().map_or_else(String::new, |metadata| {
                let place = metadata.source.as_ref().map(|source| format!(" {source}"));
                format!(" (in {}{})", metadata.name, place.unwrap_or_default())
            });
            let key = if key.is_empty() { key } else { format!("{key}: ") };
            format!("{key}{}{source}", error.kind)
        })
        .collect();
    format!("{}; config/floodgate.toml documents every key", sentences.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Configuration, Wrong> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("floodgate.toml");
        std::fs::write(&file, text).unwrap();
        Configuration::load(Some(&file), &Overrides::default())
    }

    #[test]
    fn the_documented_file_is_the_default() {
        let configuration = load("").unwrap();
        assert_eq!(configuration.rules(1), Rules::default());
        assert_eq!(configuration.kafka.topics.dead_letters, "orders.dlq");
        let worker = configuration.worker(true);
        let heartbeat = Some(Duration::from_secs(10));
        let default = WorkerSettings { heartbeat, ..WorkerSettings::default() };
        assert_eq!(format!("{worker:?}"), format!("{default:?}"));
    }

    #[test]
    fn a_wrong_configuration_says_where_and_what_to_write() {
        let cases = [
            ("[kafka]\nbrokrs = 'x'", "brokrs"),
            ("[kafka]\nbrokrs = 'x'", "brokers"),
            ("[settle]\nworkers = 'two'", "settle.workers"),
            ("[settle]\nworkers = 0", "at least 1"),
            ("[rules]\npartitioner = 'crc32'", "murmur2"),
            ("[settle]\ncommit_interval_ms = 20000", "transaction_timeout_ms"),
            ("[kafka]\nsession_timeout_ms = 100", "6000"),
            ("[kafka]\ntransaction_timeout_ms = 15000", "more than 30000"),
            ("[log]\nformat = 'xml'", "json"),
            ("[kafka]\nbrokers = 'a:1, b'", "\"b\""),
            ("[settle]\nlisten = ':9464'", "host:port"),
            ("[kafka]\ninstance = 'pod/0'", "hyphens"),
            ("[board]\nlisten = ''", "host:port"),
            ("[board]\ndays = 0", "at least 1"),
            ("not toml", "expected"),
        ];
        for (text, hint) in cases {
            let wrong = load(text).unwrap_err().to_string();
            assert!(wrong.contains(hint), "{text:?} gave {wrong:?}, which lacks {hint:?}");
        }
    }

    #[test]
    fn flags_override_the_file() {
        let mut overrides = Overrides::default();
        overrides.set("kafka.brokers", Some("b:1")).set("settle.workers", Some(7));
        overrides.set("kafka.group", None::<String>);
        let configuration = Configuration::load(None, &overrides).unwrap();
        assert_eq!(configuration.kafka.brokers, "b:1");
        assert_eq!(configuration.settle.workers, 7);
        assert_eq!(configuration.kafka.group, "floodgate");
    }
}
