//! Everything that `settle` tells Prometheus: the recorder's families, and those of partitions and
//! workers, which are looked up when they are asked for, so that a series ends with its ownership.
//!
//! `docs/metrics.md` lists the same names, and a test compares it with a running `settle`.
//! Invariant: a lag is never negative, and nothing is told of a partition that is not owned.

use std::time::Duration;

use anyhow::Context;
use board::exposition::{CONTENT_TYPE, Exposition, Family};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use pipeline::status::{PartitionStatus, WorkerStatus};

use crate::http::Shown;

/// How often the recorder folds histogram samples together: until then it keeps every one, whether
/// somebody asks for them or not.
const UPKEEP: Duration = Duration::from_secs(5);

pub(crate) const PAGE_TYPE: &str = CONTENT_TYPE;

/// Added to by the workers, once a commit.
pub(crate) const RECORDED: [Family; 19] = [
    Family::counter(
        "floodgate_records_total",
        &["worker"],
        "Input records whose effects are committed.",
    ),
    Family::counter(
        "floodgate_replayed_records_total",
        &["worker"],
        "Input records that were applied again after a start, without outputs.",
    ),
    Family::counter("floodgate_outputs_total", &["worker", "topic"], "Committed output records."),
    Family::counter("floodgate_commits_total", &["worker", "outcome"], "Ends of transactions."),
    Family::histogram(
        "floodgate_commit_duration_seconds",
        "Time from asking for the end of a transaction to the word of it.",
    ),
    Family::histogram(
        "floodgate_end_to_end_duration_seconds",
        "From a record's timestamp to its commit: the oldest record of each batch of up to 512.",
    ),
    Family::counter(
        "floodgate_snapshots_total",
        &["worker", "outcome"],
        "Snapshots that were published, and that could not be.",
    ),
    Family::histogram(
        "floodgate_snapshot_duration_seconds",
        "Time to serialise and store a snapshot.",
    ),
    Family::counter("floodgate_ticks_total", &["worker"], "Ticks appended, heartbeats included."),
    Family::counter(
        "floodgate_partition_refusals_total",
        &["reason"],
        "Times that a partition was refused; digest_differs is a replay that did not reach the \
         committed digest.",
    ),
    Family::counter("floodgate_holds_placed_total", &[], "hold.placed committed."),
    Family::counter(
        "floodgate_holds_rejected_total",
        &["reason"],
        "hold.rejected committed; out_of_stock is a stock-out.",
    ),
    Family::counter(
        "floodgate_holds_released_total",
        &["reason"],
        "hold.released committed; expired is a hold that nobody paid in time.",
    ),
    Family::counter("floodgate_holds_extended_total", &[], "hold.extended committed."),
    Family::counter("floodgate_payments_refused_total", &["reason"], "payment.refused committed."),
    Family::counter("floodgate_orders_settled_total", &[], "order.settled committed."),
    Family::counter("floodgate_settled_fen_total", &[], "Amount of the settled orders: GMV."),
    Family::counter("floodgate_orders_refunded_total", &[], "order.refunded committed."),
    Family::counter("floodgate_refunded_fen_total", &[], "Amount of the refunds."),
];

/// The last of the recorder's.
pub(crate) const DEAD_LETTERS: Family =
    Family::counter("floodgate_dead_letters_total", &["code"], "Dead letters committed.");

const PARTITION: &[&str] = &["partition"];

/// Of each owned partition.
pub(crate) const OWNED: [Family; 12] = [
    Family::gauge(
        "floodgate_lag_records",
        PARTITION,
        "Records between the committed offset and the end of the readable input.",
    ),
    Family::gauge(
        "floodgate_lag_seconds",
        PARTITION,
        "For how long the oldest record that is not committed has been waiting, at most.",
    ),
    Family::gauge(
        "floodgate_committed_offset",
        PARTITION,
        "The first offset that is not committed.",
    ),
    Family::gauge(
        "floodgate_last_stable_offset",
        PARTITION,
        "End of the readable input, as of the last fetch.",
    ),
    Family::gauge(
        "floodgate_log_end_offset",
        PARTITION,
        "End of the input, records of undecided transactions included, as of the last fetch.",
    ),
    Family::gauge(
        "floodgate_undecided_records",
        PARTITION,
        "Records at the end that nobody can read before their transaction is decided.",
    ),
    Family::gauge(
        "floodgate_committed_timestamp_seconds",
        PARTITION,
        "Log time at the committed offset: the heartbeat of the whole path.",
    ),
    Family::gauge("floodgate_holds_open", PARTITION, "Open holds."),
    Family::gauge(
        "floodgate_replay_remaining_records",
        PARTITION,
        "Records that a recovery has yet to replay.",
    ),
    Family::gauge(
        "floodgate_snapshot_age_seconds",
        PARTITION,
        "For how long the newest snapshot has been the newest although more was applied since.",
    ),
    Family::gauge(
        "floodgate_snapshot_bytes",
        PARTITION,
        "Size of the newest snapshot, if this process has published it.",
    ),
    Family::gauge(
        "floodgate_snapshot_failing",
        PARTITION,
        "1 while the last attempt to publish a snapshot failed.",
    ),
];

/// Of each worker.
pub(crate) const WORKERS: [Family; 5] = [
    Family::gauge("floodgate_worker_ready", &["worker"], "1 while everything it has is worked on."),
    Family::gauge("floodgate_worker_trouble", &["worker"], "1 while something does not work."),
    Family::counter("floodgate_worker_turns_total", &["worker"], "Turns of its loop."),
    Family::gauge("floodgate_partitions", &["worker", "phase"], "Its partitions, by phase."),
    Family::gauge("floodgate_queue_depth", &["worker", "queue"], "What waits, in items."),
];

/// Of the process.
pub(crate) const SETTINGS: [Family; 5] = [
    Family::gauge("floodgate_build_info", &["version"], "Always 1."),
    Family::gauge("floodgate_input_partitions", &[], "Partitions of the input, whoever owns them."),
    Family::gauge("floodgate_hold_ttl_seconds", &[], "How long a hold without pay_by lasts."),
    Family::gauge(
        "floodgate_heartbeat_seconds",
        &[],
        "Longest pause between two heartbeats; 0: none.",
    ),
    Family::gauge("floodgate_commit_interval_seconds", &[], "Longest time to a commit."),
];

const PHASES: [&str; 6] = ["opening", "waiting", "replaying", "live", "draining", "refused"];

/// Everything that `settle` tells.
#[cfg(test)]
pub(crate) fn families() -> Vec<Family> {
    let mut all = RECORDED.to_vec();
    all.push(DEAD_LETTERS);
    all.extend(OWNED);
    all.extend(WORKERS);
    all.extend(SETTINGS);
    all.extend(board::exposition::PROCESS);
    all
}

/// Makes the process-wide recorder; call it before any metric handle is made.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new().set_buckets(&buckets()).context("metric buckets")?;
    let handle = builder.install_recorder().context("the recorder was installed before")?;
    for Family { name, kind, help, .. } in RECORDED.iter().chain([&DEAD_LETTERS]) {
        match *kind {
            "histogram" => metrics::describe_histogram!(*name, *help),
            _ => metrics::describe_counter!(*name, *help),
        }
    }
    let upkeep = handle.clone();
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(UPKEEP);
                upkeep.run_upkeep();
            }
        })
        .context("metrics thread")?;
    Ok(handle)
}

/// Bounds in seconds, two for each doubling from 1/1024 to 64: those of a native histogram of schema
/// 1, into which such buckets can be converted without loss.
fn buckets() -> Vec<f64> {
    (-20..=12).map(|half_steps| 2f64.powf(f64::from(half_steps) / 2.0)).collect()
}

/// The page of a process whose workers may not have been started yet.
pub(crate) fn page(recorded: &PrometheusHandle, shown: Option<&Shown>) -> String {
    let mut page = Exposition::default();
    if let Some(Shown { workers, rules, settings, .. }) = shown {
        let statuses: Vec<WorkerStatus> = workers.iter().map(|worker| worker.status()).collect();
        let turns: Vec<u64> = workers.iter().map(|worker| worker.turns()).collect();
        let heartbeat = settings.heartbeat.filter(|_| settings.ticks).unwrap_or_default();
        let values = [
            f64::from(rules.partitions),
            rules.hold_ttl_ms as f64 / 1_000.0,
            heartbeat.as_secs_f64(),
            settings.commit_interval.as_secs_f64(),
        ];
        page.add(&SETTINGS[0], [([env!("CARGO_PKG_VERSION")].as_slice(), 1.0)]);
        SETTINGS[1..].iter().zip(values).for_each(|(family, value)| page.add_one(family, value));
        add_partitions(&mut page, &statuses);
        add_workers(&mut page, &statuses, &turns);
    }
    page.add_process();
    recorded.render() + &page.into_text()
}

fn add_partitions(page: &mut Exposition, statuses: &[WorkerStatus]) {
    let owned: Vec<(String, [Option<f64>; OWNED.len()])> = statuses
        .iter()
        .flat_map(|status| &status.partitions)
        .map(|partition| (partition.partition.to_string(), values(partition)))
        .collect();
    let labels: Vec<[&str; 1]> = owned.iter().map(|(name, _)| [name.as_str()]).collect();
    for (number, family) in OWNED.iter().enumerate() {
        let samples = labels.iter().zip(&owned);
        let samples = samples.filter_map(|(labels, (_, values))| Some((labels, values[number]?)));
        page.add(family, samples.map(|(labels, value)| (labels.as_slice(), value)));
    }
}

/// In the order of [`OWNED`]; what is not known has no sample.
fn values(partition: &PartitionStatus) -> [Option<f64>; OWNED.len()] {
    let count = |value: Option<u64>| value.map(|value| value as f64);
    let seconds = |ms: Option<u64>| ms.map(|ms| ms as f64 / 1_000.0);
    let remaining = match (partition.replay_until, partition.next) {
        (Some(until), Some(next)) => until.saturating_sub(next),
        _ => 0,
    };
    [
        count(partition.lag_records),
        seconds(partition.lag_ms),
        count(partition.committed),
        count(partition.end),
        count(partition.log_end),
        count(partition.undecided_records()),
        // Before the first record there is no time.
        seconds(partition.committed_time_ms.filter(|at| *at > 0)),
        count(partition.holds_open),
        Some(remaining as f64),
        seconds(partition.snapshot_age_ms),
        count(partition.snapshot_bytes),
        Some(f64::from(u8::from(partition.snapshot_trouble.is_some()))),
    ]
}

fn add_workers(page: &mut Exposition, statuses: &[WorkerStatus], turns: &[u64]) {
    let names: Vec<String> = (0..statuses.len()).map(|number| number.to_string()).collect();
    let labels: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
    let truth = |holds: bool| f64::from(u8::from(holds));
    let ready = statuses.iter().map(|status| truth(status.is_ready()));
    let trouble = statuses.iter().map(|status| truth(status.trouble.is_some()));
    let turns = turns.iter().map(|turns| *turns as f64);
    page.add(&WORKERS[0], labels.iter().map(<[&str; 1]>::as_slice).zip(ready));
    page.add(&WORKERS[1], labels.iter().map(<[&str; 1]>::as_slice).zip(trouble));
    page.add(&WORKERS[2], labels.iter().map(<[&str; 1]>::as_slice).zip(turns));
    let (mut phases, mut queues) = (Vec::new(), Vec::new());
    for (name, status) in names.iter().zip(statuses) {
        for phase in PHASES {
            let found = status.partitions.iter().filter(|partition| partition.phase == phase);
            phases.push(([name.as_str(), phase], found.count() as f64));
        }
        let waiting = status.queues;
        let of_queues = [
            ("fetched", waiting.fetched),
            ("unacknowledged", waiting.unacknowledged),
            ("uncommitted", waiting.uncommitted),
            ("jobs", waiting.jobs),
        ];
        queues.extend(of_queues.map(|(queue, depth)| ([name.as_str(), queue], depth as f64)));
    }
    page.add(&WORKERS[3], phases.iter().map(|(labels, value)| (labels.as_slice(), *value)));
    page.add(&WORKERS[4], queues.iter().map(|(labels, value)| (labels.as_slice(), *value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for Family { name, kind, labels, help } in
            families().into_iter().chain(board::metrics::families())
        {
            let prefixed = name.starts_with("floodgate_") || name.starts_with("process_");
            let snake = name.chars().all(|it| it.is_ascii_lowercase() || it == '_');
            assert!(prefixed && snake, "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
            assert!(labels.len() <= 2 && help.ends_with('.'), "{name}: {help}");
        }
    }

    #[test]
    fn buckets_are_those_of_a_native_histogram() {
        let buckets = buckets();
        assert_eq!((buckets[0], buckets[20], *buckets.last().unwrap()), (1.0 / 1024.0, 1.0, 64.0));
        assert!(buckets.windows(2).all(|pair| (pair[1] / pair[0] - 2f64.sqrt()).abs() < 1e-9));
    }
}
