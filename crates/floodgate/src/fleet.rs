//! The workers of one process: started, watched, stopped, joined.
//!
//! `settle` runs them on Kafka, `demo` on the embedded log; here is what both have in common.
//! Invariant: a worker that ends in error, or whose loop no longer turns, ends the process.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use pipeline::background::{SnapshotSlot, Threads};
use pipeline::clock::SystemClock;
use pipeline::log::{Log, LogError, Offsets};
use pipeline::opening::{Opener, Pipeline};
use pipeline::settings::WorkerSettings;
use pipeline::status::Shared;
use pipeline::stock_view::StockViews;
use pipeline::store::SnapshotStore;
use pipeline::worker::{Worker, WorkerError};

/// How often the fleet is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Makes a worker's member of the group and its way to ask for offsets, on the worker's own thread.
pub(crate) trait Connect: Send + Sync + 'static {
    type Log: Log;
    type Offsets: Offsets + 'static;

    fn connect(&self, worker: usize) -> Result<(Self::Log, Self::Offsets), LogError>;
}

/// What all workers of a process share.
pub(crate) struct Plan {
    pub(crate) pipeline: Pipeline,
    pub(crate) settings: WorkerSettings,
    pub(crate) store: Arc<dyn SnapshotStore>,
    pub(crate) views: Arc<StockViews>,
}

pub(crate) struct Fleet {
    workers: Vec<Member>,
    /// When it was last looked whether loops turn.
    looked_at: Instant,
}

struct Member {
    shared: Arc<Shared>,
    thread: JoinHandle<anyhow::Result<()>>,
    turns: u64,
    /// How long its loop has not turned.
    stood: Duration,
}

impl Fleet {
    /// Starts `workers` threads.
    pub(crate) fn start(
        plan: &Plan,
        workers: usize,
        connect: impl Connect,
    ) -> anyhow::Result<Fleet> {
        let connect = Arc::new(connect);
        let slot = SnapshotSlot::default();
        let started: anyhow::Result<Vec<Member>> = (0..workers)
            .map(|number| {
                let shared = Arc::new(Shared::new(number, Arc::clone(&plan.views)));
                let thread = start_worker(plan, number, &connect, &slot, &shared)?;
                Ok(Member { shared, thread, turns: 0, stood: Duration::ZERO })
            })
            .collect();
        Ok(Fleet { workers: started?, looked_at: Instant::now() })
    }

    /// What each worker shares.
    pub(crate) fn shared(&self) -> Vec<Arc<Shared>> {
        self.workers.iter().map(|member| Arc::clone(&member.shared)).collect()
    }

    /// Asks every worker to drain its partitions and to leave.
    pub(crate) fn stop(&self) {
        self.workers.iter().for_each(|member| member.shared.stop());
    }

    /// Whether some worker's thread has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.workers.iter().any(|member| member.thread.is_finished())
    }

    /// Whether all workers' threads have ended.
    pub(crate) fn have_all_ended(&self) -> bool {
        self.workers.iter().all(|member| member.thread.is_finished())
    }

    /// Whether some partition is assigned to this process.
    pub(crate) fn has_partitions(&self) -> bool {
        self.workers.iter().any(|member| !member.shared.status().partitions.is_empty())
    }

    /// Why some partition assigned to this process is not worked on before somebody does something.
    pub(crate) fn refusal(&self) -> Option<String> {
        let statuses = self.workers.iter().map(|member| member.shared.status());
        let mut partitions = statuses.flat_map(|status| status.partitions);
        partitions.find(|partition| partition.phase == "refused")?.reason
    }

    /// For how long everything assigned to this process has been at its end.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let statuses = self.workers.iter().map(|member| member.shared.status());
        let assigned: Vec<_> = statuses.filter(|status| !status.partitions.is_empty()).collect();
        let all: Option<Vec<u64>> = assigned.iter().map(|status| status.idle_ms).collect();
        all?.into_iter().min().map(Duration::from_millis)
    }

    /// Records whose effects are committed.
    pub(crate) fn records(&self) -> u64 {
        self.workers.iter().map(|member| member.shared.progress().records).sum()
    }

    /// From the first record to the last commit of any worker.
    pub(crate) fn busy(&self) -> Duration {
        let progress = || self.workers.iter().map(|member| member.shared.progress());
        let first = progress().filter_map(|progress| progress.first_record).min();
        let last = progress().filter_map(|progress| progress.last_commit).max();
        match (first, last) {
            (Some(first), Some(last)) => last.saturating_duration_since(first),
            _ => Duration::ZERO,
        }
    }

    /// The number of a worker whose loop has not turned for `stall`, if there is one. To be asked every
    /// [`LOOK`]: of a longer pause only a second counts, since the whole process stood still.
    pub(crate) fn stalled(&mut self, stall: Duration) -> Option<usize> {
        const PAUSE_MAX: Duration = Duration::from_secs(1);
        let passed = self.looked_at.elapsed().min(PAUSE_MAX);
        self.looked_at = Instant::now();
        for (number, member) in self.workers.iter_mut().enumerate() {
            let turns = member.shared.turns();
            if turns != member.turns || member.thread.is_finished() {
                (member.turns, member.stood) = (turns, Duration::ZERO);
                continue;
            }
            member.stood += passed;
            if member.stood >= stall {
                return Some(number);
            }
        }
        None
    }

    /// Waits for the workers to end; the first error is the fleet's.
    pub(crate) fn join(self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for member in self.workers {
            let ended = match member.thread.join() {
                Ok(ended) => ended,
                Err(_) => Err(anyhow::anyhow!("a worker panicked")),
            };
            outcome = outcome.and(ended);
        }
        outcome
    }
}

fn start_worker<C: Connect>(
    plan: &Plan,
    number: usize,
    connect: &Arc<C>,
    slot: &SnapshotSlot,
    shared: &Arc<Shared>,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let Plan { pipeline, settings, store, .. } = plan;
    let (pipeline, settings, store) = (pipeline.clone(), settings.clone(), Arc::clone(store));
    let (connect, slot, shared) = (Arc::clone(connect), slot.clone(), Arc::clone(shared));
    let work = move || {
        let (log, offsets) = connect.connect(number)?;
        let opener = Opener::new(pipeline.clone(), Box::new(offsets), Arc::clone(&store));
        let background = Threads::start(opener, store).context("threads of a worker")?;
        let clock = SystemClock::start();
        let mut worker = Worker::new(log, background, clock, pipeline, settings, slot, shared);
        worker.run().map_err(|error: WorkerError| error.into())
    };
    let thread = std::thread::Builder::new().name(format!("worker-{number}"));
    thread.spawn(work).context("thread of a worker")
}
