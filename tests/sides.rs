//! Between the two sides that the tests hold against each other, the pipeline and the plain model,
//! beyond what `drill::translation` carries over; and an embedded log read back and audited.
//!
//! Not a judge of its own. Invariant: what is compared is every byte that a reader of the topics
//! sees, but for the free text of a dead letter, which the contract leaves open.

use std::convert::Infallible;

use drill::translation::{input_of, output_of};
use ledger::effect::DeadLetter;
use ledger::rules::Rules;
use ledger::units::Offset;
use model::{InputRecord, Output, OutputRecord, PartitionLog, PlainPartition};
use pipeline::digest::Digest;
use pipeline::embedded::{EmbeddedBroker, EmbeddedPublisher, Isolation, NewRecord, Topic};
use pipeline::log::Partition;
use wire::{Outputs, Record};

pub(crate) use drill::translation::{model_rules, topic_of};

/// The input topic's name everywhere in these tests.
pub(crate) const INPUT: &str = "orders";
/// The header whose text the contract leaves open.
const MESSAGE: &str = "__connect.errors.exception.message";

/// A record's headers, as the wire reads them.
#[derive(Debug)]
struct HeadersOf<'a>(&'a model::Headers);

impl wire::Headers for HeadersOf<'_> {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.iter().for_each(|(name, value)| visit(name, value.as_deref()));
    }
}

/// Calls `use_them` with the records as the pipeline reads them.
pub(crate) fn with_records<T>(
    partition: Partition,
    inputs: &[InputRecord],
    use_them: impl FnOnce(&[Record<'_>]) -> T,
) -> T {
    let headers: Vec<HeadersOf<'_>> =
        inputs.iter().map(|input| HeadersOf(&input.headers)).collect();
    let records: Vec<Record<'_>> = inputs
        .iter()
        .zip(&headers)
        .map(|(input, headers)| Record {
            partition,
            offset: Offset(input.offset),
            timestamp: input.timestamp,
            key: input.key.as_deref(),
            value: input.value.as_deref(),
            headers,
        })
        .collect();
    use_them(&records)
}

/// Encoded outputs as the model would give them.
pub(crate) fn outputs_of(outputs: &Outputs) -> Vec<Output> {
    let owned = |output: wire::Output<'_>| Output {
        topic: topic_of(output.topic),
        key: output.key.map(<[u8]>::to_vec),
        value: output.value.map(<[u8]>::to_vec),
        timestamp: output.timestamp.0.cast_signed(),
        headers: output
            .headers
            .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
            .collect(),
    };
    outputs.iter().map(owned).collect()
}

/// An output without what the contract leaves open: the text of a dead letter's message.
pub(crate) fn comparable(mut output: Output) -> Output {
    if let Some(message) = output.headers.iter_mut().rfind(|(name, _)| name == MESSAGE) {
        message.1 = None;
    }
    output
}

/// The text of a dead letter's error header.
pub(crate) fn error_header(headers: &model::Headers, name: &str) -> String {
    let name = format!("__connect.errors.{name}");
    let found = headers.iter().rfind(|(known, _)| *known == name);
    let value = found.and_then(|(_, value)| value.clone()).expect("a dead letter has it");
    String::from_utf8(value).expect("error headers are text")
}

/// The code of a dead letter.
pub(crate) fn code_of(headers: &model::Headers) -> String {
    error_header(headers, "exception.class.name")
}

/// The digest of outputs, folded one by one.
pub(crate) fn digest_of<'a>(outputs: impl IntoIterator<Item = &'a Output>) -> Digest {
    let mut digest = Digest::default();
    for output in outputs {
        let topic = wire::Topic::ALL.into_iter().find(|topic| topic_of(*topic) == output.topic);
        let topic = topic.expect("both sides have the same topics");
        let code = (topic == wire::Topic::DeadLetters).then(|| dead_letter_of(&output.headers));
        digest.fold_one(topic, code, output.key.as_deref(), output.value.as_deref());
    }
    digest
}

/// The code of a dead letter, as the ledger has it.
pub(crate) fn dead_letter_of(headers: &model::Headers) -> DeadLetter {
    let code = code_of(headers);
    let found = DeadLetter::ALL.into_iter().find(|known| known.code() == code);
    found.expect("both sides have the same codes")
}

/// An output as one reads it in a failed test.
pub(crate) fn shown(output: &Output) -> String {
    let text = |bytes: &Option<Vec<u8>>| {
        bytes
            .as_deref()
            .map(|bytes| String::from_utf8_lossy(&bytes[..bytes.len().min(1_000)]))
            .map_or_else(|| "null".to_owned(), std::borrow::Cow::into_owned)
    };
    let headers: Vec<String> =
        output.headers.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    let Output { topic, timestamp, .. } = output;
    let (key, value) = (text(&output.key), text(&output.value));
    format!("{} @{timestamp} {key}: {value} {}", topic.name(), headers.join(" "))
}

/// Appends input records to a partition of an embedded log; their offsets are the log's affair.
pub(crate) fn append(broker: &EmbeddedBroker, partition: Partition, inputs: &[InputRecord]) {
    with_new_records(partition, inputs, |new| {
        broker.append(partition, new);
    });
}

/// The same in a transaction of a publisher's.
pub(crate) fn append_in_transaction(
    publisher: &mut EmbeddedPublisher,
    partition: Partition,
    inputs: &[InputRecord],
) {
    with_new_records(partition, inputs, |new| {
        publisher.append(partition, new).expect("the publisher has begun a transaction");
    });
}

fn with_new_records(
    partition: Partition,
    inputs: &[InputRecord],
    use_them: impl FnOnce(&[NewRecord<'_>]),
) {
    with_records(partition, inputs, |records| {
        let new: Vec<NewRecord<'_>> = records
            .iter()
            .map(|record| NewRecord {
                timestamp: record.timestamp,
                key: record.key,
                value: record.value,
                headers: record.headers,
            })
            .collect();
        use_them(&new);
    });
}

/// What readers of committed records find in an output topic's partition.
pub(crate) fn committed_outputs(
    broker: &EmbeddedBroker,
    topic: wire::Topic,
    partition: Partition,
) -> Vec<OutputRecord> {
    let mut outputs = Vec::new();
    let mut keep = |record: &Record<'_>| outputs.push(output_of(topic, record));
    let place = Topic::Output(topic);
    broker.read(place, partition, Offset(0), Isolation::ReadCommitted, &mut keep);
    outputs
}

/// What readers of committed records find in a partition of the input.
pub(crate) fn committed_inputs(broker: &EmbeddedBroker, partition: Partition) -> Vec<InputRecord> {
    let mut inputs = Vec::new();
    let mut keep = |record: &Record<'_>| inputs.push(input_of(record));
    broker.read(Topic::Input, partition, Offset(0), Isolation::ReadCommitted, &mut keep);
    inputs
}

/// Has the plain model judge a partition whose input is settled to its end.
pub(crate) fn audit_partition(
    broker: &EmbeddedBroker,
    rules: &Rules,
    partition: Partition,
) -> model::PartitionVerdict {
    let sound = |records: Vec<OutputRecord>| records.into_iter().map(Ok::<_, Infallible>);
    let outputs = |topic| sound(committed_outputs(broker, topic, partition));
    let log = PartitionLog {
        partition,
        input_topic: INPUT.to_owned(),
        starts_at: 0,
        committed: broker.bounds(Topic::Input, partition).next.0,
        inputs: committed_inputs(broker, partition).into_iter().map(Ok),
        status: outputs(wire::Topic::Status),
        settled: outputs(wire::Topic::Settled),
        dead_letters: outputs(wire::Topic::DeadLetters),
        gmv: outputs(wire::Topic::Gmv),
    };
    match model::audit_partition(&model_rules(rules), log) {
        Ok(verdict) => verdict,
        Err(error) => panic!("the audit came to no verdict: {error}"),
    }
}

/// What the counters stand at: the last record of every key, without offset and time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals(std::collections::BTreeMap<String, String>);

impl Totals {
    /// Every counter of the model.
    pub(crate) fn of_model(partition: &PlainPartition) -> Totals {
        let counters = partition.counters();
        let mut totals = Totals::default();
        for (key, _) in counters.iter() {
            totals.note(&counters.record(key, 0, 0).expect("it was just listed"));
        }
        totals
    }

    /// Takes in an output, if it is a counter's.
    pub(crate) fn note(&mut self, output: &Output) {
        if output.topic == model::Topic::Gmv {
            let text = |bytes: &Option<Vec<u8>>| {
                String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
            };
            let value = text(&output.value);
            let figures = value.split(",\"offset\":").next().unwrap_or_default();
            self.0.insert(text(&output.key), figures.to_owned());
        }
    }

    /// Panics with what differs, if something does.
    pub(crate) fn assert_equal(&self, expected: &Totals, what: &str) {
        for (key, figures) in &expected.0 {
            assert_eq!(self.0.get(key), Some(figures), "{what}: counter {key}");
        }
        for key in self.0.keys() {
            assert!(expected.0.contains_key(key), "{what}: counter {key} should not be");
        }
    }

    /// Those of them that `others` do not have like this.
    pub(crate) fn without(mut self, others: &Totals) -> Totals {
        self.0.retain(|key, figures| others.0.get(key) != Some(figures));
        self
    }

    /// The key of one of them, if there is one.
    pub(crate) fn first_key(&self) -> Option<String> {
        self.0.keys().next().cloned()
    }

    /// The figures of each counter, in the order of their keys.
    pub(crate) fn figures(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }
}
