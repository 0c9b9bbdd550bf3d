//! Many seeds, one after the other on each thread, added up.
//!
//! The worlds know nothing of each other and each has one thread, so that it does not matter how many
//! there are. Invariant: a campaign of given seeds has one outcome, but for the time it takes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{Matrix, Run, run};

/// Which seeds are to be played, and how.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first one; the others follow it.
    pub first_seed: u64,
    /// How many at least.
    pub seeds: u64,
    /// For how long at least, by the wall clock.
    pub time: Duration,
    /// Threads.
    pub threads: usize,
}

/// What came of a campaign.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Seeds that were played.
    pub seeds: u64,
    /// All faults.
    pub matrix: Matrix,
    /// Stands for all traces, whatever their order.
    pub trace_hash: u64,
    /// Events in all traces.
    pub events: u64,
    /// Input records that were judged.
    pub inputs: u64,
    /// Output records that were judged.
    pub outputs: u64,
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    /// Time of all threads together.
    pub busy: Duration,
    /// Seeds that failed, by number. Playing ends with the first.
    pub failed: Vec<Run>,
}

impl Tally {
    /// Takes a seed's run in.
    fn add(&mut self, run: Run, took: Duration) {
        self.seeds += 1;
        self.matrix.add(&run.matrix);
        self.trace_hash = self.trace_hash.wrapping_add(run.trace_hash);
        self.events += run.events;
        self.inputs += run.inputs;
        self.outputs += run.outputs;
        self.simulated_ms += run.simulated_ms;
        self.busy += took;
        if run.failure.is_some() {
            self.failed.push(run);
            self.failed.sort_by_key(|failed| failed.seed);
        }
    }

    /// Faults in a second of one core.
    #[must_use]
    pub fn faults_per_second(&self) -> f64 {
        self.matrix.faults() as f64 / self.busy.as_secs_f64().max(1e-9)
    }
}

impl Campaign {
    /// Plays the seeds; calls `on_progress` after each.
    pub fn play(&self, mut on_progress: impl FnMut(&Tally)) -> Tally {
        let began = Instant::now();
        // Relaxed, both: seeds are only counted, and one that is played too many does no harm.
        let (next, has_failed) = (AtomicU64::new(0), AtomicBool::new(false));
        let (runs, played) = mpsc::channel();
        let take = || {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let goes_on = number < self.seeds || began.elapsed() < self.time;
            (goes_on && !has_failed.load(Ordering::Relaxed)).then_some(number)
        };
        let mut tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                let (runs, take, has_failed) = (runs.clone(), &take, &has_failed);
                scope.spawn(move || {
                    while let Some(number) = take() {
                        let began = Instant::now();
                        let run = run(self.first_seed.wrapping_add(number));
                        if run.failure.is_some() {
                            has_failed.store(true, Ordering::Relaxed);
                        }
                        if runs.send((run, began.elapsed())).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(runs);
            for (run, took) in played {
                tally.add(run, took);
                on_progress(&tally);
            }
        });
        tally
    }
}
