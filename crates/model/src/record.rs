//! Records as they come from the input topic and as they stand in the output topics.
//!
//! Plain owned data. Nothing here knows how records are read or written.

/// Header names and values in the order of the record; a Kafka header value may be null.
pub type Headers = Vec<(String, Option<Vec<u8>>)>;

/// One record of the input topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRecord {
    /// Its offset in the input partition.
    pub offset: u64,
    /// Its Kafka timestamp in milliseconds, as the record has it; below 0 when it has none.
    pub timestamp: i64,
    /// Its key, absent when null.
    pub key: Option<Vec<u8>>,
    /// Its value, absent when null.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Headers,
}

/// The four output topics (contract section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// `orders.status`: answers to checkout.
    Status,
    /// `orders.settled`: settled orders and refunds.
    Settled,
    /// `orders.dlq`: records that could not be accepted.
    DeadLetters,
    /// `gmv`: absolute counters.
    Gmv,
}

impl Topic {
    /// The topic's default name.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Status => "orders.status",
            Topic::Settled => "orders.settled",
            Topic::DeadLetters => "orders.dlq",
            Topic::Gmv => "gmv",
        }
    }
}

/// What is to be written to one of the output topics, in the partition of the input record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The topic it belongs to.
    pub topic: Topic,
    /// The record key; only a dead letter can be without.
    pub key: Option<Vec<u8>>,
    /// The record value; only a dead letter can be without.
    pub value: Option<Vec<u8>>,
    /// The Kafka timestamp: the partition's time, in milliseconds.
    pub timestamp: i64,
    /// The headers; only dead letters have any.
    pub headers: Headers,
}

/// A record that was found in an output topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputRecord {
    /// Its offset in the output partition.
    pub offset: u64,
    /// The topic it was found in.
    pub topic: Topic,
    /// Its key, absent when null.
    pub key: Option<Vec<u8>>,
    /// Its value, absent when null.
    pub value: Option<Vec<u8>>,
    /// Its Kafka timestamp in milliseconds.
    pub timestamp: i64,
    /// Its headers.
    pub headers: Headers,
}

impl OutputRecord {
    /// `output` as it stands in its topic partition at `offset`.
    pub fn at_offset(offset: u64, output: Output) -> OutputRecord {
        let Output { topic, key, value, timestamp, headers } = output;
        OutputRecord { offset, topic, key, value, timestamp, headers }
    }
}

/// When an output or an event happens: the input record that causes it and the partition's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The input record's offset.
    pub(crate) offset: u64,
    /// The partition's time T, in milliseconds.
    pub(crate) at: u64,
}
