//! The command line of the bench.
//!
//! Only its shape. Invariant: what is left out has the value with which the published figures were
//! measured.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Floodgate beside what a user could pick instead, on this machine, with one command.
///
/// Builds and starts everything it needs (Kafka, Kafka Streams and Flink come from Maven), measures,
/// prints a table, and writes a page with plots and all raw figures.
#[derive(Debug, Parser)]
#[command(
    after_help = "Example:\n  cargo run --release -p benches --bin compare -- --records 600000 \
                        --rounds 1 --only settle50,passthrough"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Orders in the log.
    #[arg(long, default_value_t = 6_000_000)]
    pub(crate) records: u64,
    /// Orders in the log of Kafka Streams and Flink, whose rounds take minutes otherwise
    /// (a sixth of --records if not given).
    #[arg(long)]
    pub(crate) peer_records: Option<u64>,
    /// How often each is measured, in alternating order.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Who takes part, separated by commas (all if not given).
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<Contender>,
    /// Active merchants, each with ten SKUs.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) merchants: u64,
    /// Partitions of every topic.
    #[arg(long, default_value_t = 4)]
    pub(crate) partitions: u32,
    /// Workers of Floodgate, threads of Kafka Streams, parallelism of Flink.
    #[arg(long, default_value_t = 2)]
    pub(crate) workers: u32,
    /// Also the latency at 10, 50 and 80 % of the highest rate that holds.
    #[arg(long)]
    pub(crate) latency: bool,
    /// Seconds for which each rate is held when latency is measured.
    #[arg(long, default_value_t = 15)]
    pub(crate) latency_seconds: u64,
    /// Leave throughput out.
    #[arg(long)]
    pub(crate) no_throughput: bool,
    /// Also latency, and the programs that measure parts of Floodgate (half an hour more).
    #[arg(long)]
    pub(crate) all: bool,
    /// Take `floodgate` as it lies beside this program instead of building it.
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Where the page (`compare.html`) and the raw figures (`compare.json`) go.
    #[arg(long, default_value = "target/compare")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The yardstick alone: a bare exactly-once pass-through of a topic that exists.
    Passthrough(PassThrough),
}

/// The yardstick's command line.
#[derive(Debug, Args)]
pub(crate) struct PassThrough {
    /// Where the broker is.
    #[arg(long)]
    pub(crate) brokers: String,
    /// The topic that is read.
    #[arg(long)]
    pub(crate) input: String,
    /// What the written topics and the group begin with.
    #[arg(long)]
    pub(crate) prefix: String,
    /// Milliseconds from a transaction's first record to its commit.
    #[arg(long, default_value_t = 50)]
    pub(crate) commit_ms: u64,
    /// Records written to `orders.settled` for each order, and the mean length of their values.
    #[arg(long, default_value = "1:330")]
    pub(crate) settled: String,
    /// The same of `orders.status`.
    #[arg(long, default_value = "0:160")]
    pub(crate) status: String,
    /// The same of `gmv`.
    #[arg(long, default_value = "0:260")]
    pub(crate) gmv: String,
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Contender {
    /// A bare exactly-once pass-through.
    Passthrough,
    /// Floodgate, commit every 20 ms.
    Settle20,
    /// Floodgate, commit every 50 ms.
    Settle50,
    /// Kafka Streams, `exactly_once_v2`, commit every 50 ms.
    Streams,
    /// Flink, exactly-once sink.
    Flink,
    /// A Lua script in Redis; throughput only.
    Redis,
}

impl Contender {
    /// All, in the order of the table.
    pub(crate) const ALL: [Contender; 6] = [
        Contender::Passthrough,
        Contender::Settle50,
        Contender::Settle20,
        Contender::Streams,
        Contender::Flink,
        Contender::Redis,
    ];

    /// What the table calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Contender::Passthrough => "bare pass-through",
            Contender::Settle20 => "Floodgate, commit 20 ms",
            Contender::Settle50 => "Floodgate, commit 50 ms",
            Contender::Streams => "Kafka Streams, exactly_once_v2",
            Contender::Flink => "Flink, exactly-once sink",
            Contender::Redis => "Redis, Lua script (no Kafka)",
        }
    }

    /// In names of topics and directories.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Contender::Passthrough => "passthrough",
            Contender::Settle20 => "settle20",
            Contender::Settle50 => "settle50",
            Contender::Streams => "streams",
            Contender::Flink => "flink",
            Contender::Redis => "redis",
        }
    }

    pub(crate) fn is_floodgate(self) -> bool {
        matches!(self, Contender::Settle20 | Contender::Settle50)
    }

    pub(crate) fn is_java(self) -> bool {
        matches!(self, Contender::Streams | Contender::Flink)
    }
}

impl Arguments {
    /// Who takes part, in the order of the table.
    pub(crate) fn contenders(&self) -> Vec<Contender> {
        let is_in = |contender: &Contender| self.only.is_empty() || self.only.contains(contender);
        Contender::ALL.into_iter().filter(is_in).collect()
    }

    pub(crate) fn peer_records(&self) -> u64 {
        self.peer_records.unwrap_or((self.records / 6).max(1)).min(self.records)
    }
}
