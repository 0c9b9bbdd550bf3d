//! The recorded settings that decide what a partition does (contract section 4, its introduction).
//!
//! Not the configuration of a process: nothing here concerns brokers, threads or rhythm. Two
//! partitions with equal rules and equal records write equal outputs.

/// The settings that can change an output byte. `Rules::default()` holds the contract's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long orders and payments are told apart from their repetitions, in milliseconds.
    pub order_window_ms: u64,
    /// The same for refunds and both kinds of receipt, in milliseconds.
    pub receipt_window_ms: u64,
    /// How far ahead of the partition's time a command's own time may be, in milliseconds.
    pub skew_ms: u64,
    /// How long a hold without `pay_by` lives, in milliseconds.
    pub hold_ttl_ms: u64,
    /// What is added to the partition's time to find the business day, in milliseconds.
    pub day_offset_ms: i64,
    /// The number of partitions, the same for all topics. At least 1.
    pub partitions: u32,
    /// How a key finds its partition.
    pub partitioner: Partitioner,
}

/// How a merchant's partition is found from the record key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// Java's default: `(murmur2(key) & 0x7fffffff) mod partitions`.
    Murmur2,
    /// The partition is not checked.
    Any,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            order_window_ms: 900_000,
            receipt_window_ms: 86_400_000,
            skew_ms: 60_000,
            hold_ttl_ms: 900_000,
            day_offset_ms: 28_800_000,
            partitions: 1,
            partitioner: Partitioner::Murmur2,
        }
    }
}
