//! Settings of a worker that change its rhythm and bounds, but no output byte (those are the rules).

use std::time::Duration;

/// See the module's documentation; the defaults are those of `config/floodgate.toml`.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Longest time from a transaction's first record to asking for its commit, if the one before has
    /// ended by then.
    pub commit_interval: Duration,
    /// Outputs after which a transaction is committed early.
    pub commit_outputs_max: usize,
    /// Bytes of outputs after which a transaction is committed early.
    pub commit_bytes_max: usize,
    /// Within which changed counters of the small dimensions are written again.
    pub counters_fast: Duration,
    /// Within which changed counters of merchants and locations are written again.
    pub counters_slow: Duration,
    /// Without records for this long, every changed counter is written.
    pub counters_quiet: Duration,
    /// Longest time between two snapshots of a partition that gets records.
    pub snapshot_interval: Duration,
    /// A snapshot is taken earlier when applying what came since the last one took this long.
    pub snapshot_replay: Duration,
    /// Shortest time between two snapshots of a partition.
    pub snapshot_pause: Duration,
    /// How long a revoked partition may take to be committed and to publish its last snapshot.
    pub drain: Duration,
    /// Whether ticks are appended (the input's timestamps are LogAppendTime).
    pub ticks: bool,
    /// How long nothing must have come before a tick is appended.
    pub tick_quiet: Duration,
    /// How long nothing must have come before a tick is appended even though nothing waits for it: a
    /// heartbeat, whose commit shows that the whole way is open. None: never. Only with `ticks`.
    pub heartbeat: Option<Duration>,
}

impl Default for WorkerSettings {
    fn default() -> WorkerSettings {
        WorkerSettings {
            commit_interval: Duration::from_millis(50),
            commit_outputs_max: 100_000,
            commit_bytes_max: 32 << 20,
            counters_fast: Duration::from_secs(1),
            counters_slow: Duration::from_secs(10),
            counters_quiet: Duration::from_secs(1),
            snapshot_interval: Duration::from_secs(60),
            snapshot_replay: Duration::from_secs(2),
            snapshot_pause: Duration::from_secs(5),
            drain: Duration::from_secs(10),
            ticks: true,
            tick_quiet: Duration::from_secs(1),
            heartbeat: None,
        }
    }
}
