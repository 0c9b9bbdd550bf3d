//! Between the log's types and the plain model's, which share nothing on purpose.

use ledger::rules::{Partitioner, Rules};
use serde::Deserialize;
use wire::Record;

/// The rules as the model knows them.
pub(crate) fn rules(rules: &Rules) -> model::Rules {
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
pub(crate) fn input(record: &Record<'_>) -> model::InputRecord {
    model::InputRecord {
        offset: record.offset.0,
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: headers(record),
    }
}

/// An output record as the model reads it.
pub(crate) fn output(topic: wire::Topic, record: &Record<'_>) -> model::OutputRecord {
    model::OutputRecord {
        offset: record.offset.0,
        topic: self::topic(topic),
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        timestamp: record.timestamp,
        headers: headers(record),
    }
}

/// A topic as the model names it.
pub(crate) fn topic(topic: wire::Topic) -> model::Topic {
    match topic {
        wire::Topic::Status => model::Topic::Status,
        wire::Topic::Settled => model::Topic::Settled,
        wire::Topic::DeadLetters => model::Topic::DeadLetters,
        wire::Topic::Gmv => model::Topic::Gmv,
    }
}

fn headers(record: &Record<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    let mut headers = Vec::new();
    record.headers.each(&mut |name, value| {
        headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
    });
    headers
}

/// A counter record of the dimension `all`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Totals {
    pub(crate) day: String,
    dimension: String,
    pub(crate) orders_settled: u64,
    pub(crate) settled: u128,
    pub(crate) orders_refunded: u64,
    pub(crate) refunded: u128,
    pub(crate) orders_rejected: u64,
    pub(crate) orders_released: u64,
    pub(crate) dead_letters: u64,
    pub(crate) duplicates: u64,
}

/// The totals in a gmv record, if it is one of the dimension `all`.
pub(crate) fn totals_of_all(value: &[u8]) -> Option<Totals> {
    serde_json::from_slice(value).ok().filter(|totals: &Totals| totals.dimension == "all")
}
