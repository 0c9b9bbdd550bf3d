//! Between the log's types and the plain model's, which share nothing on purpose.
//!
//! Not a judge: `model` is. Invariant: whatever a reader of the topics sees is carried over, byte for
//! byte.

use ledger::rules::{Partitioner, Rules};
use model::{InputRecord, OutputRecord};
use wire::Record;

/// The rules as the model knows them.
pub fn model_rules(rules: &Rules) -> model::Rules {
    model::Rules {
        order_window_ms: rules.order_window_ms,
        receipt_window_ms: rules.receipt_window_ms,
        skew_ms: rules.skew_ms,
        hold_ttl_ms: rules.hold_ttl_ms,
        // The configuration refuses one above `Rules::MILLIS_MAX`.
        day_offset_ms: i64::try_from(rules.day_offset_ms).unwrap_or(i64::MAX),
        partitions: rules.partitions,
        partitioner: match rules.partitioner {
            Partitioner::Murmur2 => model::Partitioner::Murmur2,
            Partitioner::Any => model::Partitioner::Any,
        },
    }
}

/// An input record as the model reads it.
pub fn input_of(record: &Record<'_>) -> InputRecord {
    InputRecord {
        offset: record.offset.0,
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: headers_of(record),
    }
}

/// An output record as the model reads it.
pub fn output_of(topic: wire::Topic, record: &Record<'_>) -> OutputRecord {
    OutputRecord {
        offset: record.offset.0,
        topic: topic_of(topic),
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        timestamp: record.timestamp,
        headers: headers_of(record),
    }
}

/// A topic as the model names it.
pub fn topic_of(topic: wire::Topic) -> model::Topic {
    match topic {
        wire::Topic::Status => model::Topic::Status,
        wire::Topic::Settled => model::Topic::Settled,
        wire::Topic::DeadLetters => model::Topic::DeadLetters,
        wire::Topic::Gmv => model::Topic::Gmv,
    }
}

fn headers_of(record: &Record<'_>) -> model::Headers {
    let mut headers = model::Headers::new();
    record.headers.each(&mut |name, value| {
        headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
    });
    headers
}
