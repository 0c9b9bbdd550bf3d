//! A worker's metrics: handles made once, added to once a commit.
//!
//! What a partition shows of itself is not here, since its series must end with its ownership: see
//! [`crate::status::PartitionStatus`]. `docs/metrics.md` lists every name. Invariant: what is counted
//! of records is committed, and no metric is touched for a single order.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ledger::effect::DeadLetter;
use metrics::{Counter, Histogram, counter, histogram};
use wire::outputs::Topic;

use crate::log::CommitOutcome;
use crate::opening::Refusal;
use crate::tally::{REFUSALS, REJECTIONS, RELEASES, Tally};
use crate::transaction::Transaction;

const OUTCOMES: [&str; 5] = ["committed", "suspect", "unknown", "fenced", "aborted"];

/// See the module's documentation. Those of effects are shared by the workers of a process.
pub(crate) struct Figures {
    records: Counter,
    replayed: Counter,
    outputs: [Counter; 4],
    commits: [Counter; OUTCOMES.len()],
    commit_seconds: Histogram,
    end_to_end_seconds: Histogram,
    snapshots: [Counter; 2],
    snapshot_seconds: Histogram,
    ticks: Counter,
    refusals: [Counter; Refusal::KINDS.len()],
    holds_placed: Counter,
    holds_rejected: [Counter; REJECTIONS.len()],
    holds_released: [Counter; RELEASES.len()],
    holds_extended: Counter,
    payments_refused: [Counter; REFUSALS.len()],
    orders_settled: Counter,
    settled_fen: Counter,
    orders_refunded: Counter,
    refunded_fen: Counter,
    dead_letters: [Counter; DeadLetter::ALL.len()],
}

impl Figures {
    pub(crate) fn of(worker: usize) -> Figures {
        let worker = worker.to_string();
        let own = |name: &'static str| counter!(name, "worker" => worker.clone());
        let one_of = |name: &'static str, label: &'static str, value: &'static str| counter!(name, "worker" => worker.clone(), label => value);
        let by = |name: &'static str, label: &'static str, value: &'static str| counter!(name, label => value);
        Figures {
            records: own("floodgate_records_total"),
            replayed: own("floodgate_replayed_records_total"),
            outputs: Topic::ALL
                .map(|topic| one_of("floodgate_outputs_total", "topic", topic.default_name())),
            commits: OUTCOMES.map(|outcome| one_of("floodgate_commits_total", "outcome", outcome)),
            commit_seconds: histogram!("floodgate_commit_duration_seconds"),
            end_to_end_seconds: histogram!("floodgate_end_to_end_duration_seconds"),
            snapshots: ["published", "failed"]
                .map(|outcome| one_of("floodgate_snapshots_total", "outcome", outcome)),
            snapshot_seconds: histogram!("floodgate_snapshot_duration_seconds"),
            ticks: own("floodgate_ticks_total"),
            refusals: Refusal::KINDS
                .map(|kind| by("floodgate_partition_refusals_total", "reason", kind)),
            holds_placed: counter!("floodgate_holds_placed_total"),
            holds_rejected: REJECTIONS
                .map(|reason| by("floodgate_holds_rejected_total", "reason", reason.name())),
            holds_released: RELEASES
                .map(|reason| by("floodgate_holds_released_total", "reason", reason.name())),
            holds_extended: counter!("floodgate_holds_extended_total"),
            payments_refused: REFUSALS
                .map(|reason| by("floodgate_payments_refused_total", "reason", reason.name())),
            orders_settled: counter!("floodgate_orders_settled_total"),
            settled_fen: counter!("floodgate_settled_fen_total"),
            orders_refunded: counter!("floodgate_orders_refunded_total"),
            refunded_fen: counter!("floodgate_refunded_fen_total"),
            dead_letters: DeadLetter::ALL
                .map(|code| by("floodgate_dead_letters_total", "code", code.code())),
        }
    }

    /// What a committed transaction held, and how old its records were by then.
    pub(crate) fn count_committed(&self, transaction: &Transaction) {
        self.records.increment(transaction.records);
        let mut counts = [0; Topic::ALL.len()];
        transaction.outputs.iter().for_each(|output| counts[output.topic as usize] += 1);
        add_each(&self.outputs, &counts);
        let now_ms = wall_clock_ms();
        for arrived_ms in &transaction.arrivals {
            let age_ms = now_ms.saturating_sub(*arrived_ms);
            self.end_to_end_seconds.record(Duration::from_millis(age_ms));
        }
    }

    /// What the effects in it were.
    pub(crate) fn count_effects(&self, tally: &Tally) {
        self.holds_placed.increment(tally.holds_placed);
        add_each(&self.holds_rejected, &tally.holds_rejected);
        add_each(&self.holds_released, &tally.holds_released);
        self.holds_extended.increment(tally.holds_extended);
        add_each(&self.payments_refused, &tally.payments_refused);
        self.orders_settled.increment(tally.orders_settled);
        self.settled_fen.increment(tally.settled);
        self.orders_refunded.increment(tally.orders_refunded);
        self.refunded_fen.increment(tally.refunded);
        add_each(&self.dead_letters, &tally.dead_letters);
    }

    pub(crate) fn count_commit(&self, outcome: &CommitOutcome, took: Duration) {
        let outcome = match outcome {
            CommitOutcome::Committed => 0,
            CommitOutcome::CommittedSuspect(_) => 1,
            CommitOutcome::Unknown(_) => 2,
            CommitOutcome::Fenced(_) => 3,
            CommitOutcome::Aborted(_) => 4,
        };
        self.commits[outcome].increment(1);
        self.commit_seconds.record(took);
    }

    /// A published snapshot, or one that could not be.
    pub(crate) fn count_snapshot(&self, took: Option<Duration>) {
        match took {
            Some(took) => {
                self.snapshots[0].increment(1);
                self.snapshot_seconds.record(took);
            }
            None => self.snapshots[1].increment(1),
        }
    }

    pub(crate) fn count_replayed(&self, records: usize) {
        self.replayed.increment(records as u64);
    }

    pub(crate) fn count_tick(&self) {
        self.ticks.increment(1);
    }

    pub(crate) fn count_refusal(&self, refusal: &Refusal) {
        self.refusals[refusal.number()].increment(1);
    }
}

fn add_each(figures: &[Counter], counts: &[u64]) {
    for (figure, count) in figures.iter().zip(counts) {
        figure.increment(*count);
    }
}

/// Milliseconds since 1970-01-01 UTC. Of no influence on any output: see [`crate::clock`].
pub(crate) fn wall_clock_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
