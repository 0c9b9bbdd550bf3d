//! What a worker shows of itself to other threads: status, figures, a sign of life; and the one
//! thing it takes from them, the wish to stop.
//!
//! The worker writes once a turn or once a commit, never once an order, and passes over a report
//! when a reader holds it just then. Invariant: no reader makes the worker wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::background::Published;
use crate::figures::{Figures, wall_clock_ms};
use crate::log::{CommitOutcome, Log, Partition};
use crate::opening::Refusal;
use crate::partition::{Owned, Phase, Working};
use crate::stock_view::{PartitionView, StockViews};
use crate::store::StoreError;
use crate::transaction::Transaction;

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
    /// What waits.
    pub queues: QueueStatus,
}

/// What waits in a worker's hands, in numbers of items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct QueueStatus {
    /// Records that were fetched and not applied yet.
    pub fetched: u64,
    /// Outputs that the log has not acknowledged yet.
    pub unacknowledged: u64,
    /// Outputs that were gathered and are not certainly committed.
    pub uncommitted: u64,
    /// Partitions that are being opened, and snapshots that are being published.
    pub jobs: u64,
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
#[derive(Debug, Clone, Default, Serialize)]
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
    /// For how long the oldest record that is not committed has been waiting, at most, in
    /// milliseconds.
    pub lag_ms: Option<u64>,
    /// End of the input as of the last fetch, records of undecided transactions included.
    pub log_end: Option<u64>,
    /// Log time, in milliseconds since 1970-01-01 UTC.
    pub time_ms: Option<u64>,
    /// The same of the newest committed record.
    pub committed_time_ms: Option<u64>,
    /// When everything readable was committed last, by this machine's clock, since it was opened.
    pub caught_up_ms: Option<u64>,
    /// Open holds, expired ones that wait for their sweep included.
    pub holds_open: Option<u64>,
    /// Offset of the newest snapshot.
    pub snapshot: Option<u64>,
    /// For how long the newest snapshot has been the newest although more has been applied since.
    pub snapshot_age_ms: Option<u64>,
    /// Its size in the store, if this worker has published it.
    pub snapshot_bytes: Option<u64>,
    /// Why the last attempt to publish a snapshot failed; none once one has worked. Work goes on.
    pub snapshot_trouble: Option<String>,
    /// The running digest.
    pub digest: Option<String>,
}

impl PartitionStatus {
    /// What `lag_ms` is at this time: since the newest committed one was written, or since none was
    /// waiting, whichever came later. None while that is not known.
    fn lag_ms_at(&self, now_ms: u64) -> Option<u64> {
        if self.lag_records? == 0 {
            return Some(0);
        }
        let reached =
            if self.replay_until.is_some() { self.time_ms } else { self.committed_time_ms };
        let since = reached.filter(|at| *at > 0).max(self.caught_up_ms)?;
        Some(now_ms.saturating_sub(since))
    }

    /// Records at the input's end that nobody can read before their transaction is decided.
    pub fn undecided_records(&self) -> Option<u64> {
        Some(self.log_end?.saturating_sub(self.end?))
    }
}

/// What a worker reports of: its own parts, looked at for a moment.
pub(crate) struct Seen<'a> {
    pub(crate) now: Duration,
    pub(crate) producing: Producing,
    pub(crate) leaving: bool,
    pub(crate) partitions: &'a BTreeMap<Partition, Owned>,
    /// Outputs that are not committed.
    pub(crate) uncommitted: usize,
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
    /// What does not work.
    doing: &'static str,
    text: Option<String>,
    /// What was logged last, and when.
    logged: Option<(String, Instant)>,
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
        let now_ms = wall_clock_ms();
        for partition in &mut status.partitions {
            partition.lag_ms = partition.lag_ms_at(now_ms);
        }
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
    pub(crate) fn trouble(&self, doing: &'static str, what: &str) {
        let text = format!("{doing}: {what}");
        let mut trouble = lock(&self.trouble);
        let is_old =
            |(logged, at): &(String, Instant)| *logged == text && at.elapsed() < TROUBLE_PAUSE;
        if !trouble.logged.as_ref().is_some_and(is_old) {
            tracing::warn!(worker = self.worker, "{text}; trying again");
            trouble.logged = Some((text.clone(), Instant::now()));
        }
        trouble.doing = doing;
        trouble.text = Some(text);
        // Relaxed: only the worker reads it, see `no_trouble`.
        self.troubled.store(true, Ordering::Relaxed);
    }

    /// Notes that this works, which ends the trouble if it was what did not.
    pub(crate) fn works(&self, doing: &str) {
        // Relaxed: written by the worker alone.
        if self.troubled.load(Ordering::Relaxed) && lock(&self.trouble).doing == doing {
            self.no_trouble();
        }
    }

    /// Notes that everything works again.
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
    pub(crate) fn count_committed(&self, transaction: &Transaction) {
        // Relaxed: written by the worker alone, see `progress`.
        self.records.fetch_add(transaction.records, Ordering::Relaxed);
        if transaction.records > 0 {
            self.last_commit_us.store(self.elapsed_us(), Ordering::Relaxed);
        }
        self.figures.count_committed(transaction);
        transaction.tallies().iter().for_each(|tally| self.figures.count_effects(tally));
    }

    pub(crate) fn count_replayed(&self, records: usize) {
        self.figures.count_replayed(records);
    }

    pub(crate) fn count_tick(&self) {
        self.figures.count_tick();
    }

    pub(crate) fn count_refusal(&self, refusal: &Refusal) {
        self.figures.count_refusal(refusal);
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1
    }

    pub(crate) fn count_commit(&self, outcome: &CommitOutcome, took: Duration) {
        self.figures.count_commit(outcome, took);
    }

    pub(crate) fn count_snapshot(
        &self,
        partition: Partition,
        outcome: &Result<Published, StoreError>,
    ) {
        self.figures.count_snapshot(outcome.as_ref().ok().map(|published| published.took));
        match outcome {
            Ok(Published { bytes, took }) => {
                tracing::info!(partition, bytes, took_ms = took.as_millis(), "snapshot published");
            }
            Err(error) => {
                tracing::error!(partition, "snapshot not published, work goes on: {error}");
            }
        }
    }

    pub(crate) fn report(&self, seen: &Seen<'_>, log: &impl Log) {
        let (Ok(mut reported_at), Ok(mut status)) =
            (self.reported_at.try_lock(), self.status.try_lock())
        else {
            return;
        };
        let Seen { now, producing, leaving, partitions, uncommitted } = *seen;
        let unchanged = status.producing == Some(producing) && status.leaving == leaving;
        if unchanged && now.saturating_sub(*reported_at) < REPORT_PAUSE {
            return;
        }
        *reported_at = now;
        status.producing = Some(producing);
        status.leaving = leaving;
        status.idle_ms = idle_for(now, partitions).map(milliseconds);
        status.queues = queues(partitions, uncommitted, log);
        let before = std::mem::take(&mut status.partitions);
        status.partitions.extend(partitions.iter().map(|(partition, owned)| {
            let mut described = describe(*partition, owned, now, log);
            described.caught_up_ms = match described.lag_records {
                Some(0) => Some(wall_clock_ms()),
                _ => before
                    .iter()
                    .find(|old| old.partition == *partition)
                    .and_then(|old| old.caught_up_ms),
            };
            described
        }));
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("worker", &self.worker).finish_non_exhaustive()
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

fn queues(
    partitions: &BTreeMap<Partition, Owned>,
    uncommitted: usize,
    log: &impl Log,
) -> QueueStatus {
    let at_work = |owned: &&Owned| match &owned.phase {
        Phase::Opening { .. } => true,
        Phase::Working(working) => working.snapshot.under_way.is_some(),
        Phase::Waiting { .. } | Phase::Refused(_) => false,
    };
    let in_client = log.queues();
    QueueStatus {
        fetched: in_client.fetched,
        unacknowledged: in_client.unacknowledged,
        uncommitted: uncommitted as u64,
        jobs: partitions.values().filter(at_work).count() as u64,
    }
}

fn describe(partition: Partition, owned: &Owned, now: Duration, log: &impl Log) -> PartitionStatus {
    let (phase, reason) = match &owned.phase {
        _ if owned.drain.is_some() => ("draining", None),
        Phase::Opening { .. } => ("opening", None),
        Phase::Waiting { trouble, .. } => ("waiting", Some(trouble.clone())),
        Phase::Working(working) if working.replay.is_some() => ("replaying", None),
        Phase::Working(_) => ("live", None),
        Phase::Refused(refusal) => ("refused", Some(refusal.to_string())),
    };
    let working = owned.working();
    let end = log.readable_end(partition).map(|offset| offset.0);
    PartitionStatus {
        partition,
        phase,
        reason,
        next: working.map(|working| working.engine.next().0),
        committed: working.and_then(|working| Some(working.committed?.0)),
        replay_until: working.and_then(|working| Some(working.replay?.until.0)),
        end,
        lag_records: end.map(|end| lag_records(working, end)),
        lag_ms: None,
        log_end: log.log_end(partition).map(|offset| offset.0),
        time_ms: working.map(|working| working.engine.time().0),
        committed_time_ms: working.map(|working| working.committed_time.0),
        caught_up_ms: None,
        holds_open: working.map(|working| working.engine.ledger().holds_open()),
        snapshot: working.and_then(|working| Some(working.snapshot.newest?.0)),
        snapshot_age_ms: working.map(|working| milliseconds(working.snapshot_age(now))),
        snapshot_bytes: working.and_then(|working| working.snapshot.newest_bytes),
        snapshot_trouble: working.and_then(|working| working.snapshot.trouble.clone()),
        digest: working.map(|working| working.engine.digest().to_string()),
    }
}

/// Records between what is committed and the end of the input. At the end, markers of transactions
/// may lie in between, which are no records.
fn lag_records(working: Option<&Working>, end: u64) -> u64 {
    let Some(working) = working else { return end };
    let committed = working.committed.map_or(0, |offset| offset.0);
    if working.at_end_since.is_some() && committed == working.engine.next().0 {
        return 0;
    }
    end.saturating_sub(committed)
}

/// A lock whose holder panicked still holds a whole value: every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_neither_negative_nor_older_than_the_quiet_before_it() {
        let lag = |records, committed_time_ms, caught_up_ms, replay_until| {
            let status = PartitionStatus {
                lag_records: records,
                committed_time_ms: Some(committed_time_ms),
                time_ms: Some(950),
                caught_up_ms,
                replay_until,
                ..PartitionStatus::default()
            };
            status.lag_ms_at(1_000)
        };
        let cases = [
            ("the end of the input is not known", lag(None, 10, None, None), None),
            ("nothing waits", lag(Some(0), 10, None, None), Some(0)),
            ("an hour was quiet, then one came", lag(Some(1), 10, Some(990), None), Some(10)),
            ("work on a backlog", lag(Some(9), 400, Some(200), None), Some(600)),
            ("a backlog from before the start", lag(Some(9), 400, None, None), Some(600)),
            ("nothing was ever committed", lag(Some(9), 0, None, None), None),
            ("a replay tells by what it has reached", lag(Some(9), 400, None, Some(7)), Some(50)),
            ("the log's clock is ahead of ours", lag(Some(1), 1_500, None, None), Some(0)),
        ];
        for (what, found, expected) in cases {
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn an_end_that_grew_since_is_not_negative() {
        let status = |end, log_end| PartitionStatus { end, log_end, ..PartitionStatus::default() };
        assert_eq!(status(Some(7), Some(9)).undecided_records(), Some(2));
        assert_eq!(status(Some(9), Some(7)).undecided_records(), Some(0));
        assert_eq!(status(None, Some(7)).undecided_records(), None);
    }
}
