//! Everything that was measured, as it stands in the raw figures.
//!
//! Shapes only. Invariant: every figure of the table and of the page comes from here.

use serde::Serialize;

use crate::workload::Expected;

/// All of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) conditions: Vec<(String, String)>,
    pub(crate) throughput: Vec<Contended>,
    pub(crate) latency: Vec<Latencies>,
    /// What the programs that measure parts have printed.
    pub(crate) parts: Vec<Part>,
}

/// All rounds of one contender.
#[derive(Debug, Serialize)]
pub(crate) struct Contended {
    pub(crate) contender: String,
    pub(crate) title: String,
    pub(crate) rounds: Vec<Round>,
}

/// One run through the log.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Round {
    /// Orders in the log.
    pub(crate) orders: u64,
    /// Orders a second from the first commit that held outputs to the last.
    pub(crate) orders_per_second: f64,
    /// The same of the second half of the outputs, when everything is warm.
    pub(crate) second_half_per_second: f64,
    /// Processor seconds of the contender (without the broker) for a million orders, start-up included.
    pub(crate) cpu_seconds_per_million: f64,
    /// Largest resident memory.
    pub(crate) resident_bytes: u64,
    /// What came of the log.
    pub(crate) came: Came,
    pub(crate) written: Written,
    /// Seconds since the first commit, and share of the outputs that was committed then.
    pub(crate) progress: Vec<(f64, f64)>,
}

/// What came of a log, counted by a reader with `read_committed`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Came {
    /// Of orders settled, rejected and repeated by the `all` counters; settled amount in fen.
    pub(crate) counted: Expected,
    /// The same by the answers themselves, as far as they tell (not of repeated ones).
    pub(crate) answered: Expected,
    /// Orders that were settled more than once.
    pub(crate) settled_twice: u64,
}

/// Records and bytes of values that were written.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Written {
    /// Orders that they are for.
    pub(crate) orders: u64,
    pub(crate) settled: Volume,
    pub(crate) status: Volume,
    pub(crate) gmv: Volume,
}

/// Records of one topic.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Volume {
    pub(crate) records: u64,
    pub(crate) value_bytes: u64,
}

/// Latencies of one contender.
#[derive(Debug, Serialize)]
pub(crate) struct Latencies {
    pub(crate) contender: String,
    pub(crate) title: String,
    pub(crate) commit_ms: u64,
    /// Orders a second of the highest rate that held.
    pub(crate) highest: f64,
    pub(crate) steps: Vec<Step>,
}

/// One rate that was held.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    /// Percent of the highest rate.
    pub(crate) percent: u64,
    pub(crate) orders_per_second: f64,
    pub(crate) orders: u64,
    /// Share of the orders that were sent more than 10 ms after they were due.
    pub(crate) late: f64,
    pub(crate) p50_ms: u64,
    pub(crate) p99_ms: u64,
    pub(crate) p999_ms: u64,
    pub(crate) max_ms: u64,
    /// Latency in milliseconds at each of [`QUANTILES`].
    pub(crate) quantiles: Vec<u64>,
}

/// Where the curve of a latency is told.
pub(crate) const QUANTILES: [f64; 12] =
    [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0];

/// What another program has measured.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) title: String,
    pub(crate) command: String,
    pub(crate) output: String,
}

impl Written {
    /// What the yardstick writes when Floodgate does not run beside it: what it writes to an
    /// ordinary log of the workload's.
    pub(crate) fn ordinary(orders: u64) -> Written {
        let of = |per_mille: u64, bytes: u64| {
            let records = orders * per_mille / 1_000;
            Volume { records, value_bytes: records * bytes }
        };
        Written { orders, settled: of(985, 345), status: of(10, 160), gmv: of(10, 265) }
    }

    /// The same if every order settles, so that each can be waited for.
    pub(crate) fn one_answer_each(&self) -> Written {
        let value_bytes = self.settled.value_bytes / self.settled.records.max(1) * self.orders;
        let settled = Volume { records: self.orders, value_bytes };
        Written { settled, status: Volume::default(), ..*self }
    }
}

impl Contended {
    pub(crate) fn rates(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| round.orders_per_second).collect()
    }

    pub(crate) fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }
}

/// The middle one; of two the mean.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}
