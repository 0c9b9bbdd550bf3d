//! Who settles in a rehearsal: started, killed and started again by it.
//!
//! The trait alone; the processes on Kafka are in [`processes`], the workers on the embedded log in
//! [`workers`]. Invariant: nobody of a crew outlives it.

pub(super) mod processes;
pub(super) mod workers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use pipeline::log::Partition;

const LOOK: Duration = Duration::from_millis(50);

/// See the module's documentation.
pub(super) trait Crew: Send {
    fn size(&self) -> usize;

    /// What one is called.
    fn name(&self, number: usize) -> String;

    /// What [`Crew::kill`] does.
    fn fault(&self) -> &'static str;

    /// The partitions that one works on; none while it does not answer.
    fn live(&mut self, number: usize) -> Vec<Partition>;

    /// Ends one without a chance to clean up.
    fn kill(&mut self, number: usize) -> anyhow::Result<()>;

    /// Starts one again that has ended.
    fn restart(&mut self, number: usize) -> anyhow::Result<()>;

    /// How one ended, if it has.
    fn ended(&mut self, number: usize) -> Option<String>;

    /// What each tells Prometheus, with a name for it.
    fn metrics(&mut self) -> Vec<(String, String)>;

    /// Where to look for why one has ended.
    fn log(&self, number: usize) -> String;

    /// Where to look for the cause if something goes wrong.
    fn logs(&self) -> String;
}

/// Waits until all partitions are worked on and nobody is idle.
pub(super) fn await_ready(
    crew: &mut dyn Crew,
    partitions: u32,
    patience: Duration,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let live: Vec<usize> = (0..crew.size()).map(|number| crew.live(number).len()).collect();
        if live.iter().sum::<usize>() == partitions as usize && live.iter().all(|live| *live > 0) {
            return Ok(());
        }
        for number in 0..crew.size() {
            if let Some(how) = crew.ended(number) {
                bail!("{} did not start: {how}; {}", crew.name(number), crew.logs());
            }
        }
        ensure!(
            began.elapsed() < patience,
            "after {} s still not every partition is worked on; {}",
            patience.as_secs(),
            crew.logs()
        );
        // Relaxed: nothing is handed over with the flag.
        ensure!(!stop.load(Ordering::Relaxed), "stopped before the rehearsal began");
        std::thread::sleep(LOOK);
    }
}
