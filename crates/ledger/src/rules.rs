//! The recorded settings that decide outputs, besides the records themselves.
//!
//! Everything here is in every snapshot and, as a hash, in every commit: two workers with the same
//! rules and the same records write the same bytes. Invariant: no setting that can change an output
//! byte lives anywhere else.

/// How records are spread over partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Partitioner {
    /// Java's default: (murmur2(key) & 0x7fffffff) mod N; other partitions are misrouted.
    Murmur2,
    /// The partition is not checked.
    Any,
}

/// Settings of a pipeline that change what it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// How long ids of orders and payments are remembered, in milliseconds.
    pub order_window_ms: u64,
    /// How long ids of refunds and receipts are remembered, in milliseconds.
    pub receipt_window_ms: u64,
    /// How far ahead of the partition's clock a command's own time may lie, in milliseconds.
    pub skew_ms: u64,
    /// How long a hold without `pay_by` lasts, in milliseconds.
    pub hold_ttl_ms: u64,
    /// What is added to T before it is cut into business days, in milliseconds.
    pub day_offset_ms: u64,
    /// How records are spread over partitions.
    pub partitioner: Partitioner,
    /// Number of partitions, fixed for life.
    pub partitions: u32,
}

impl Rules {
    /// Longest time that a rule may name, in milliseconds (over 3,000 years). Added to the largest
    /// time of the contract it still fits where holds keep their times.
    pub const MILLIS_MAX: u64 = 100_000_000_000_000;

    /// Whether every time is within [`Rules::MILLIS_MAX`]; a ledger takes no others.
    pub fn are_valid(&self) -> bool {
        [
            self.order_window_ms,
            self.receipt_window_ms,
            self.skew_ms,
            self.hold_ttl_ms,
            self.day_offset_ms,
        ]
        .iter()
        .all(|time| *time <= Rules::MILLIS_MAX)
    }
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            order_window_ms: 900_000,
            receipt_window_ms: 86_400_000,
            skew_ms: 60_000,
            hold_ttl_ms: 900_000,
            day_offset_ms: 28_800_000,
            partitioner: Partitioner::Murmur2,
            partitions: 1,
        }
    }
}
