//! Creates the five topics with what the guarantees need, and compares existing ones with it.
//!
//! Not a general tool: it changes no topic that exists. Invariant: topics made by [`create_topics`]
//! pass [`check_topics`].

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use pipeline::log::LogError;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;

use crate::errors::{Rights, log_error};
use crate::logging::{Logging, each_event, serve, write_event};
use crate::offsets::refused;
use crate::settings::{MESSAGE_BYTES_MAX, Settings};

/// Longest wait for the brokers' answer to one request.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// After so long of it, it is looked whether there is a use in waiting longer.
const ANSWER_SLICE: Duration = Duration::from_secs(2);
/// Milliseconds for which input and outputs are kept: a week. Snapshots, from which the input is
/// read again, are a minute old as a rule.
const RETENTION_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Least retention of the input that a check accepts: a day, for snapshots of a worker that stood
/// still over night.
const INPUT_RETENTION_MS_MIN: i64 = 24 * 60 * 60 * 1_000;
/// Pause between two looks whether brokers know what was created.
const KNOWN_PAUSE: Duration = Duration::from_millis(20);
/// Kafka's "no limit" for retention.
const FOREVER: i64 = -1;

/// Whose time the input's records have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// The broker's, `LogAppendTime`: the rule.
    Append,
    /// The publisher's, `CreateTime`: for rehearsals and tests. Such an input and what comes of it
    /// are kept for ever, because retention goes by the records' timestamps, which the outputs
    /// take over, and would delete old ones at once.
    Create,
}

/// Something about the topics that endangers a guarantee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The topic does not exist.
    Missing {
        /// Its name.
        topic: String,
    },
    /// The topic has another number of partitions than the input.
    Partitions {
        /// Its name.
        topic: String,
        /// How many it has.
        partitions: usize,
        /// The input's name.
        input: String,
        /// How many the input has.
        wanted: usize,
    },
    /// A setting of the topic is not what it has to be.
    Setting {
        /// Its name.
        topic: String,
        /// The setting.
        setting: &'static str,
        /// What it is.
        value: String,
        /// A value that would do.
        wanted: String,
        /// What goes wrong otherwise.
        because: &'static str,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Missing { topic } => {
                write!(f, "topic {topic} does not exist; create it with `floodgate topics create`")
            }
            Finding::Partitions { topic, partitions, input, wanted } => write!(
                f,
                "topic {topic} has {partitions} partitions, but {input} has {wanted}; make {topic} \
                 anew with `floodgate topics create --partitions {wanted}`: the number is fixed for \
                 life, because a record's partition is its merchant's"
            ),
            Finding::Setting { topic, setting, value, wanted, because } => write!(
                f,
                "topic {topic} has {setting}={value}: {because}; mend it with `kafka-configs.sh \
                 --alter --entity-type topics --entity-name {topic} --add-config \
                 {setting}={wanted}`"
            ),
        }
    }
}

/// Which of a topic's settings have to be how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Input(Timestamps),
    Output(Timestamps),
    Counters,
}

/// A condition on the value of a setting.
#[derive(Debug, Clone, Copy)]
enum Condition {
    Is(&'static str),
    AtLeast(i64),
    /// At least so much, or [`FOREVER`].
    KeptAtLeast(i64),
}

impl Condition {
    fn holds(self, value: &str) -> bool {
        let number = || value.parse::<i64>().ok();
        match self {
            Condition::Is(wanted) => value == wanted,
            Condition::AtLeast(least) => number().is_some_and(|number| number >= least),
            Condition::KeptAtLeast(least) => {
                number().is_some_and(|number| number == FOREVER || number >= least)
            }
        }
    }
}

/// A setting that a topic of some role must have.
#[derive(Debug)]
struct Rule {
    setting: &'static str,
    /// What a new topic gets.
    value: String,
    condition: Condition,
    because: &'static str,
}

fn rule(
    setting: &'static str,
    value: impl ToString,
    condition: Condition,
    because: &'static str,
) -> Rule {
    Rule { setting, value: value.to_string(), condition, because }
}

fn rules(role: Role, replication: usize) -> Vec<Rule> {
    let bytes = i64::from(MESSAGE_BYTES_MAX);
    let copies = if replication >= 3 { 2 } else { 1 };
    let mut rules = vec![
        rule(
            "max.message.bytes",
            bytes,
            Condition::AtLeast(bytes),
            "a large record would stop its partition",
        ),
        rule(
            "min.insync.replicas",
            copies,
            Condition::AtLeast(copies),
            "an acknowledged record could be lost with one broker",
        ),
        rule(
            "unclean.leader.election.enable",
            "false",
            Condition::Is("false"),
            "committed records and transaction markers could be lost",
        ),
    ];
    match role {
        Role::Input(timestamps) => rules.extend(input_rules(timestamps)),
        Role::Output(timestamps) => {
            rules.extend(own_time_rules());
            rules.push(delete_rule());
            rules.push(match timestamps {
                Timestamps::Append => rule(
                    "retention.ms",
                    RETENTION_MS,
                    Condition::KeptAtLeast(INPUT_RETENTION_MS_MIN),
                    "answers could be deleted before they are read",
                ),
                Timestamps::Create => kept_for_ever_rule(),
            });
        }
        Role::Counters => {
            rules.extend(own_time_rules());
            rules.push(rule(
                "cleanup.policy",
                "compact",
                Condition::Is("compact"),
                "the last record of a counter could be deleted, or none ever",
            ));
        }
    }
    rules
}

fn input_rules(timestamps: Timestamps) -> Vec<Rule> {
    let mut rules = vec![delete_rule()];
    match timestamps {
        Timestamps::Append => rules.extend([
            rule(
                "message.timestamp.type",
                "LogAppendTime",
                Condition::Is("LogAppendTime"),
                "time would be what a publisher's clock says, and one wrong clock expires holds",
            ),
            rule(
                "retention.ms",
                RETENTION_MS,
                Condition::KeptAtLeast(INPUT_RETENTION_MS_MIN),
                "it must be kept for at least as long as snapshots are, to recover from them",
            ),
        ]),
        Timestamps::Create => {
            rules.extend(own_time_rules());
            rules.push(kept_for_ever_rule());
        }
    }
    rules
}

/// Records come with timestamps of their own, however far these are from the broker's clock.
fn own_time_rules() -> [Rule; 3] {
    const NO_BOUND: i64 = i64::MAX;
    let bound = "a record whose timestamp is far from the broker's clock would be refused";
    [
        rule(
            "message.timestamp.type",
            "CreateTime",
            Condition::Is("CreateTime"),
            "the timestamp is part of the record, and the broker would replace it",
        ),
        rule("message.timestamp.before.max.ms", NO_BOUND, Condition::AtLeast(NO_BOUND), bound),
        rule("message.timestamp.after.max.ms", NO_BOUND, Condition::AtLeast(NO_BOUND), bound),
    ]
}

fn kept_for_ever_rule() -> Rule {
    rule(
        "retention.ms",
        FOREVER,
        Condition::Is("-1"),
        "retention goes by the records' own timestamps and may delete them at once",
    )
}

fn delete_rule() -> Rule {
    rule(
        "cleanup.policy",
        "delete",
        Condition::Is("delete"),
        "compaction drops all but the last record of a key",
    )
}

/// The topics with their roles, the input first.
fn roles(settings: &Settings, timestamps: Timestamps) -> [(&str, Role); 5] {
    let names = &settings.topics;
    [
        (&names.orders, Role::Input(timestamps)),
        (&names.status, Role::Output(timestamps)),
        (&names.settled, Role::Output(timestamps)),
        (&names.dead_letters, Role::Output(timestamps)),
        (&names.gmv, Role::Counters),
    ]
}

/// Creates the topics that do not exist, and waits until a broker knows them: the answer is the
/// controller's, and who asks a broker right after it may hear that there is no such topic. Returns
/// their names.
pub fn create_topics(
    settings: &Settings,
    partitions: u32,
    replication: u32,
    timestamps: Timestamps,
) -> Result<Vec<String>, LogError> {
    let invalid = |what: &str| LogError::Fatal(format!("that many {what} cannot be"));
    let partitions = i32::try_from(partitions).map_err(|_| invalid("partitions"))?;
    let copies = i32::try_from(replication).map_err(|_| invalid("replicas"))?;
    let described = roles(settings, timestamps)
        .map(|(topic, role)| (topic, rules(role, usize::try_from(replication).unwrap_or(0))));
    // Who may not create topics may well ask for those that are there.
    let metadata = metadata_client(settings)?;
    let present = counts(settings, &metadata)?;
    let missing = described.iter().zip(present).filter(|(_, count)| *count == 0);
    let topics: Vec<NewTopic<'_>> = missing
        .map(|((topic, rules), _)| {
            let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(copies));
            rules.iter().fold(topic, |topic, rule| topic.set(rule.setting, &rule.value))
        })
        .collect();
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let options = AdminOptions::new()
        .request_timeout(Some(ANSWER_WAIT_MAX))
        .operation_timeout(Some(ANSWER_WAIT_MAX));
    let client = client(settings)?;
    let results = answer(&client, client.create_topics(&topics, &options))
        .map_err(|error| log_error("creating the topics", &error))?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(topic) => created.push(topic),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                let doing = format!("creating the topic {topic}: {code}");
                return Err(Rights::of(settings).with_code("Create", &topic, code, doing));
            }
        }
    }
    await_known(|| Ok(counts(settings, &metadata)?.iter().all(|count| *count > 0)))?;
    Ok(created)
}

/// Looks until brokers know what was created, for as long as an answer may take.
fn await_known(mut is_known: impl FnMut() -> Result<bool, LogError>) -> Result<(), LogError> {
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    while !is_known()? {
        if Instant::now() >= deadline {
            let wait = ANSWER_WAIT_MAX.as_secs();
            let why = format!("the topics were created, but {wait} s later no broker knows them");
            return Err(LogError::Retry(why));
        }
        thread::sleep(KNOWN_PAUSE);
    }
    Ok(())
}

/// Compares the topics with what the guarantees need; nothing is found when all is well.
pub fn check_topics(settings: &Settings, timestamps: Timestamps) -> Result<Vec<Finding>, LogError> {
    let client = client(settings)?;
    let metadata = metadata_client(settings)?;
    let mut findings = Vec::new();
    let mut input_partitions = None;
    for (topic, role) in roles(settings, timestamps) {
        let Some(shape) = shape(settings, &metadata, topic)? else {
            findings.push(Finding::Missing { topic: topic.to_owned() });
            continue;
        };
        let wanted = *input_partitions.get_or_insert(shape.partitions);
        if shape.partitions != wanted {
            findings.push(Finding::Partitions {
                topic: topic.to_owned(),
                partitions: shape.partitions,
                input: settings.topics.orders.clone(),
                wanted,
            });
        }
        let present = describe(settings, &client, topic)?;
        findings.extend(broken(topic, &present, rules(role, shape.replicas)));
    }
    Ok(findings)
}

/// Whose clock stamps the input's records, as its topic is set.
pub fn input_timestamps(settings: &Settings) -> Result<Timestamps, LogError> {
    let present = describe(settings, &client(settings)?, &settings.topics.orders)?;
    let value = present.get("message.timestamp.type").and_then(|entry| entry.value.clone());
    Ok(match value.as_deref() {
        Some("LogAppendTime") => Timestamps::Append,
        _ => Timestamps::Create,
    })
}

fn broken(topic: &str, present: &ConfigResource, rules: Vec<Rule>) -> Vec<Finding> {
    let value = |rule: &Rule| {
        let entry = present.get(rule.setting)?;
        entry.value.clone()
    };
    rules
        .into_iter()
        .filter_map(|rule| {
            // A broker that does not know a setting does not enforce it either.
            let value = value(&rule).filter(|value| !rule.condition.holds(value))?;
            Some(Finding::Setting {
                topic: topic.to_owned(),
                setting: rule.setting,
                value,
                wanted: rule.value,
                because: rule.because,
            })
        })
        .collect()
}

#[derive(Debug)]
struct Shape {
    partitions: usize,
    replicas: usize,
}

/// Partitions of each of the topics, in the order of their names' list; 0 of one that does not exist.
pub fn partition_counts(settings: &Settings) -> Result<Vec<usize>, LogError> {
    counts(settings, &metadata_client(settings)?)
}

fn counts(settings: &Settings, client: &BaseConsumer<Logging>) -> Result<Vec<usize>, LogError> {
    let count = |topic| Ok(shape(settings, client, topic)?.map_or(0, |shape| shape.partitions));
    settings.topics.all().into_iter().map(count).collect()
}

/// A consumer, because asking a producer's way could create a topic that does not exist.
fn metadata_client(settings: &Settings) -> Result<BaseConsumer<Logging>, LogError> {
    settings
        .watermarks()
        .create_with_context(Logging::new("metadata", settings))
        .map_err(|error| log_error("making the client for metadata", &error))
}

/// The topic's shape; none if it does not exist.
fn shape(
    settings: &Settings,
    client: &BaseConsumer<Logging>,
    topic: &str,
) -> Result<Option<Shape>, LogError> {
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    let metadata = loop {
        let metadata = client.fetch_metadata(Some(topic), ANSWER_SLICE);
        serve(client);
        if metadata.is_ok() || client.context().is_hopeless() || Instant::now() >= deadline {
            break metadata;
        }
    };
    let metadata = metadata
        .map_err(|error| log_error("asking for a topic", &error))
        .map_err(|error| client.context().explained(error))?;
    client.context().reached();
    refused(&Rights::of(settings), metadata.topics().first())?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.filter(|topic| !topic.partitions().is_empty()).map(|topic| Shape {
        partitions: topic.partitions().len(),
        replicas: topic.partitions().iter().map(|part| part.replicas().len()).min().unwrap_or(0),
    }))
}

fn describe(
    settings: &Settings,
    client: &AdminClient<Logging>,
    topic: &str,
) -> Result<ConfigResource, LogError> {
    let options = AdminOptions::new().request_timeout(Some(ANSWER_WAIT_MAX));
    let resources = [ResourceSpecifier::Topic(topic)];
    let mut described = answer(client, client.describe_configs(&resources, &options))
        .map_err(|error| log_error("asking for a topic's settings", &error))?
        .into_iter();
    match described.next() {
        // A refusal comes as a topic without settings: `rdkafka` drops what is said beside it.
        Some(Ok(resource)) if resource.entries.is_empty() => {
            let code = RDKafkaErrorCode::TopicAuthorizationFailed;
            let doing = format!("asking for settings of {topic}");
            Err(Rights::of(settings).with_code("DescribeConfigs", topic, code, doing))
        }
        Some(Ok(resource)) => {
            debug_assert_eq!(resource.specifier, OwnedResourceSpecifier::Topic(topic.to_owned()));
            Ok(resource)
        }
        Some(Err(code)) => {
            let doing = format!("asking for settings of {topic}: {code}");
            Err(Rights::of(settings).with_code("DescribeConfigs", topic, code, doing))
        }
        None => Err(LogError::Retry(format!("no answer about the settings of {topic}"))),
    }
}

fn client(settings: &Settings) -> Result<AdminClient<Logging>, LogError> {
    settings
        .admin()
        .create_with_context(Logging::new("admin", settings))
        .map_err(|error| log_error("making the administrative client", &error))
}

/// Waits for an answer; whatever the client has to say besides comes into the log first.
fn answer<T>(client: &AdminClient<Logging>, future: impl Future<Output = T>) -> T {
    let answer = wait_for(future);
    // SAFETY: the client is alive, and each event while it is written. Its own thread serves another
    // queue than the main one.
    unsafe {
        each_event(client.inner().native_ptr(), |event| drop(write_event("admin", event)));
    }
    answer
}

/// Waits for a future of the administrative client, which has a thread of its own.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod admin_tests {
    use super::*;

    #[test]
    fn every_role_accepts_what_it_creates() {
        let roles = [
            Role::Input(Timestamps::Append),
            Role::Input(Timestamps::Create),
            Role::Output(Timestamps::Append),
            Role::Output(Timestamps::Create),
            Role::Counters,
        ];
        for (role, replication) in roles.into_iter().flat_map(|role| [(role, 1), (role, 3)]) {
            for rule in rules(role, replication) {
                assert!(rule.condition.holds(&rule.value), "{role:?}: {rule:?}");
            }
        }
    }

    #[test]
    fn topics_count_as_created_once_a_broker_knows_them() {
        let mut answers = [Ok(false), Ok(false), Ok(true)].into_iter();
        assert_eq!(
            await_known(|| answers.next().expect("it stops at the first that is true")),
            Ok(())
        );
        assert_eq!(answers.next(), None, "it was looked too few times");
        let denied = LogError::Fatal("may not be seen".to_owned());
        assert_eq!(await_known(|| Err(denied.clone())), Err(denied));
    }

    #[test]
    fn a_finding_says_what_to_do() {
        let finding = Finding::Setting {
            topic: "gmv".to_owned(),
            setting: "cleanup.policy",
            value: "delete".to_owned(),
            wanted: "compact".to_owned(),
            because: "the last record of a counter could be deleted",
        };
        let text = finding.to_string();
        assert!(text.contains("--entity-name gmv --add-config cleanup.policy=compact"), "{text}");
    }
}
