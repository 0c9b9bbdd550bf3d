//! What a worker shows of itself to other threads: status, figures, a sign of life; and the one
//! thing it takes from them, the wish to stop.
//!
//! The worker writes once a turn or once a commit, never once an order, and passes over a report
//! when a reader holds it just then. Invariant: no reader makes the worker wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ledger::units::Offset;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use serde::Serialize;
use wire::outputs::{Outputs, Topic};

use crate::background::Published;
use crate::log::{CommitOutcome, Partition};
use crate::partition::{Owned, Phase};
use crate::stock_view::{PartitionView, StockViews};
use crate::store::StoreError;

/// Shortest time between two reports, and between two log lines on the same trouble.
const REPORT_PAUSE: Duration = Duration::from_millis(200);
const TROUBLE_PAUSE: Duration = Duration::from_secs(10);

/// How a worker stands towards its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Producing {
    /// The first producer is not initialised yet; the group is not joined.
    Starting,
    /// Records are applied and committed.
    Ready,
    /// The outcome of a transaction is uncertain; a new producer is being initialised.
    Replacing,
    /// The new producer is there; the committed offsets are being read.
    Asking,
}

/// A worker as its readers see it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct WorkerStatus {
    /// How it stands towards its transactions; none before its first report.
    pub producing: Option<Producing>,
    /// Whether it is on its way out.
    pub leaving: bool,
    /// What it cannot do at the moment, if there is something.
    pub trouble: Option<String>,
    /// Its partitions.
    pub partitions: Vec<PartitionStatus>,
    /// For how many milliseconds every assigned partition has been at its end; none if one is not,
    /// or if no partition is assigned.
    pub idle_ms: Option<u64>,
}

impl WorkerStatus {
    /// Whether everything assigned is worked on.
    pub fn is_ready(&self) -> bool {
        self.producing == Some(Producing::Ready)
            && !self.leaving
            && self.trouble.is_none()
            && self.partitions.iter().all(|partition| partition.phase == "live")
    }
}

/// A partition as its readers see it.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionStatus {
    /// Which partition.
    pub partition: Partition,
    /// `opening`, `waiting`, `replaying`, `live`, `draining` or `refused`.
    pub phase: &'static str,
    /// What is wrong and what to do about it.
    pub reason: Option<String>,
    /// The first offset that is not applied.
    pub next: Option<u64>,
    /// The first offset that is not committed as answered.
    pub committed: Option<u64>,
    /// Where a replay ends.
    pub replay_until: Option<u64>,
    /// End of the readable input as of the last fetch.
    pub end: Option<u64>,
    /// Records between `committed` and `end`.
    pub lag_records: Option<u64>,
    /// Log time, in milliseconds since 1970-01-01 UTC.
    pub time_ms: Option<u64>,
    /// Open holds, expired ones that wait for their sweep included.
    pub holds_open: Option<u64>,
    /// Offset of the newest snapshot.
    pub snapshot: Option<u64>,
    /// The running digest.
    pub digest: Option<String>,
}

/// Handles made once; added to once a batch or once a commit.
struct Figures {
    records: Counter,
    outputs: [Counter; 4],
    commits: [Counter; 5],
    commit_seconds: Histogram,
    snapshots: [Counter; 2],
    snapshot_bytes: Gauge,
    snapshot_seconds: Histogram,
}

/// See the module's documentation. The worker writes; other threads read, except for `stop`.
pub struct Shared {
    worker: usize,
    turns: AtomicU64,
    stop: AtomicBool,
    status: Mutex<WorkerStatus>,
    started: Instant,
    records: AtomicU64,
    /// Microseconds after `started`, plus one; 0 before the first record.
    first_record_us: AtomicU64,
    /// Microseconds after `started`, plus one; 0 before the first commit.
    last_commit_us: AtomicU64,
    trouble: Mutex<Trouble>,
    troubled: AtomicBool,
    views: Arc<StockViews>,
    figures: Figures,
    reported_at: Mutex<Duration>,
}

/// How far a worker has come since its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Records whose effects are committed.
    pub records: u64,
    /// When the first of them was applied.
    pub first_record: Option<Instant>,
    /// When the last commit of records was done; later ones hold counters only.
    pub last_commit: Option<Instant>,
}

#[derive(Debug, Default)]
struct Trouble {
    text: Option<String>,
    logged: Option<Instant>,
}

impl Shared {
    /// What worker number `worker` of this process shares.
    pub fn new(worker: usize, views: Arc<StockViews>) -> Shared {
        Shared {
            worker,
            turns: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            status: Mutex::default(),
            started: Instant::now(),
            records: AtomicU64::new(0),
            first_record_us: AtomicU64::new(0),
            last_commit_us: AtomicU64::new(0),
            trouble: Mutex::default(),
            troubled: AtomicBool::new(false),
            views,
            figures: Figures::of(worker),
            reported_at: Mutex::default(),
        }
    }

    /// Asks the worker to drain its partitions and to leave the group.
    pub fn stop(&self) {
        // Relaxed: nothing else is handed over with the wish.
        self.stop.store(true, Ordering::Relaxed);
    }

    /// How often the worker's loop has turned: a watchdog looks whether it still does.
    pub fn turns(&self) -> u64 {
        // Relaxed: only whether the number changes is looked at.
        self.turns.load(Ordering::Relaxed)
    }

    /// The worker's last report.
    pub fn status(&self) -> WorkerStatus {
        let mut status = lock(&self.status).clone();
        status.trouble.clone_from(&lock(&self.trouble).text);
        status
    }

    /// How far the worker has come.
    pub fn progress(&self) -> Progress {
        // Relaxed: three figures to look at, which need not be of one moment.
        let at = |us: &AtomicU64| match us.load(Ordering::Relaxed) {
            0 => None,
            us => Some(self.started + Duration::from_micros(us - 1)),
        };
        Progress {
            records: self.records.load(Ordering::Relaxed),
            first_record: at(&self.first_record_us),
            last_commit: at(&self.last_commit_us),
        }
    }

    /// Makes the stock of a partition of the worker's readable in its process.
    pub(crate) fn show_stock(&self, partition: Partition, view: Arc<PartitionView>) {
        self.views.insert(partition, self.worker, view);
    }

    /// Ends that.
    pub(crate) fn hide_stock(&self, partition: Partition) {
        self.views.remove(partition, self.worker);
    }

    pub(crate) fn beat(&self) {
        // Relaxed: see `turns`.
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stop_requested(&self) -> bool {
        // Relaxed: see `stop`.
        self.stop.load(Ordering::Relaxed)
    }

    /// Notes something that does not work at the moment; logs it, but not over and over.
    pub(crate) fn trouble(&self, doing: &str, what: &str) {
        let text = format!("{doing}: {what}");
        let mut trouble = lock(&self.trouble);
        let fresh = trouble.logged.is_none_or(|logged| logged.elapsed() >= TROUBLE_PAUSE);
        if fresh || trouble.text.as_deref() != Some(&text) {
            tracing::warn!(worker = self.worker, "{text}; trying again");
            trouble.logged = Some(Instant::now());
        }
        trouble.text = Some(text);
        // Relaxed: only the worker reads it, see `no_trouble`.
        self.troubled.store(true, Ordering::Relaxed);
    }

    /// Notes that it works again.
    pub(crate) fn no_trouble(&self) {
        // Relaxed: written by the worker alone.
        if self.troubled.swap(false, Ordering::Relaxed) {
            let text = lock(&self.trouble).text.take();
            tracing::info!(worker = self.worker, "works again: {}", text.unwrap_or_default());
        }
    }

    /// Notes that records of a new transaction are being applied.
    pub(crate) fn note_first_record(&self) {
        // Relaxed: written by the worker alone, see `progress`.
        if self.first_record_us.load(Ordering::Relaxed) == 0 {
            self.first_record_us.store(self.elapsed_us(), Ordering::Relaxed);
        }
    }

    /// Counts a committed transaction.
    pub(crate) fn count_committed(&self, records: u64, outputs: &Outputs) {
        // Relaxed: written by the worker alone, see `progress`.
        self.records.fetch_add(records, Ordering::Relaxed);
        if records > 0 {
            self.last_commit_us.store(self.elapsed_us(), Ordering::Relaxed);
        }
        self.figures.records.increment(records);
        let mut counts = [0; Topic::ALL.len()];
        outputs.iter().for_each(|output| counts[output.topic as usize] += 1);
        for (figure, count) in self.figures.outputs.iter().zip(counts) {
            figure.increment(count);
        }
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1
    }

    pub(crate) fn count_commit(&self, outcome: &CommitOutcome, took: Duration) {
        let outcome = match outcome {
            CommitOutcome::Committed => 0,
            CommitOutcome::CommittedSuspect(_) => 1,
            CommitOutcome::Unknown(_) => 2,
            CommitOutcome::Fenced(_) => 3,
            CommitOutcome::Aborted(_) => 4,
        };
        self.figures.commits[outcome].increment(1);
        self.figures.commit_seconds.record(took);
    }

    pub(crate) fn count_snapshot(
        &self,
        partition: Partition,
        outcome: &Result<Published, StoreError>,
    ) {
        match outcome {
            Ok(published) => {
                self.figures.snapshots[0].increment(1);
                #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
                self.figures.snapshot_bytes.set(published.bytes as f64);
                self.figures.snapshot_seconds.record(published.took);
                let Published { bytes, took } = published;
                tracing::info!(partition, bytes, took_ms = took.as_millis(), "snapshot published");
            }
            Err(error) => {
                self.figures.snapshots[1].increment(1);
                tracing::error!(partition, "snapshot not published, work goes on: {error}");
            }
        }
    }

    pub(crate) fn report(
        &self,
        now: Duration,
        producing: Producing,
        leaving: bool,
        partitions: &BTreeMap<Partition, Owned>,
        end_of: impl Fn(Partition) -> Option<Offset>,
    ) {
        let (Ok(mut reported_at), Ok(mut status)) =
            (self.reported_at.try_lock(), self.status.try_lock())
        else {
            return;
        };
        let unchanged = status.producing == Some(producing) && status.leaving == leaving;
        if unchanged && now.saturating_sub(*reported_at) < REPORT_PAUSE {
            return;
        }
        *reported_at = now;
        status.producing = Some(producing);
        status.leaving = leaving;
        status.idle_ms = idle_for(now, partitions).map(milliseconds);
        status.partitions.clear();
        status.partitions.extend(
            partitions
                .iter()
                .map(|(partition, owned)| describe(*partition, owned, end_of(*partition))),
        );
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl Figures {
    fn of(worker: usize) -> Figures {
        let worker = worker.to_string();
        let outputs = |topic: &'static str| counter!("floodgate_outputs_total", "worker" => worker.clone(), "topic" => topic);
        let commits = |outcome: &'static str| counter!("floodgate_commits_total", "worker" => worker.clone(), "outcome" => outcome);
        let snapshots = |outcome: &'static str| counter!("floodgate_snapshots_total", "worker" => worker.clone(), "outcome" => outcome);
        Figures {
            records: counter!("floodgate_records_total", "worker" => worker.clone()),
            outputs: Topic::ALL.map(|topic| outputs(topic.default_name())),
            commits: ["committed", "suspect", "unknown", "fenced", "aborted"].map(commits),
            commit_seconds: histogram!("floodgate_commit_seconds", "worker" => worker.clone()),
            snapshots: ["published", "failed"].map(snapshots),
            snapshot_bytes: gauge!("floodgate_snapshot_bytes", "worker" => worker.clone()),
            snapshot_seconds: histogram!("floodgate_snapshot_seconds", "worker" => worker.clone()),
        }
    }
}

/// For how long all partitions have been at their end; none if one is not, or without partitions.
fn idle_for(now: Duration, partitions: &BTreeMap<Partition, Owned>) -> Option<Duration> {
    let mut latest = None;
    for owned in partitions.values() {
        let working = owned.working().filter(|working| working.replay.is_none())?;
        latest = latest.max(Some(working.at_end_since?));
    }
    latest.map(|latest| now.saturating_sub(latest))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn describe(partition: Partition, owned: &Owned, end: Option<Offset>) -> PartitionStatus {
    let (phase, reason) = match &owned.phase {
        _ if owned.drain.is_some() => ("draining", None),
        Phase::Opening { .. } => ("opening", None),
        Phase::Waiting { trouble, .. } => ("waiting", Some(trouble.clone())),
        Phase::Working(working) if working.replay.is_some() => ("replaying", None),
        Phase::Working(_) => ("live", None),
        Phase::Refused(refusal) => ("refused", Some(refusal.to_string())),
    };
    let working = owned.working();
    let committed = working.and_then(|working| working.committed);
    let end = end.map(|offset| offset.0);
    PartitionStatus {
        partition,
        phase,
        reason,
        next: working.map(|working| working.engine.next().0),
        committed: committed.map(|offset| offset.0),
        replay_until: working.and_then(|working| Some(working.replay?.until.0)),
        end,
        lag_records: end.map(|end| end.saturating_sub(committed.map_or(0, |offset| offset.0))),
        time_ms: working.map(|working| working.engine.time().0),
        holds_open: working.map(|working| working.engine.ledger().holds_open()),
        snapshot: working.and_then(|working| Some(working.snapshot.newest?.0)),
        digest: working.map(|working| working.engine.digest().to_string()),
    }
}

/// A lock whose holder panicked still holds a whole value: every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
