//! The deterministic simulator: the pipeline's own worker loop, recovery, snapshots and state machine
//! on the embedded log and a simulated store and clock, one thread, everything drawn from one seed.
//!
//! After TigerBeetle's VOPR and FoundationDB's simulation. Whatever went wrong in a run, in the end
//! the outputs are those of the plain model, record for record, the state is that of a machine which
//! was never disturbed, and a fresh order is answered. Not a test of Kafka or of a client: those are
//! run for real elsewhere. Invariant: the same seed and the same code give the same trace hash, in
//! any process, on any machine.
//!
//! | file | what |
//! |---|---|
//! | `plan` | what a seed stands for |
//! | `world` | the steps of a run, what strikes between turns, how it comes to rest |
//! | `process`, `connection`, `desk` | a worker, its log, its background jobs |
//! | `calls`, `shelf` | what becomes of calls on the log and on the snapshot store |
//! | `input`, `probe` | what is published |
//! | `operator` | adoption after lost offsets |
//! | `judge` | the verdict |
//! | `fault`, `trace` | what is counted and kept |
//! | `campaign` | many seeds |

mod calls;
mod campaign;
mod connection;
mod desk;
mod fault;
mod input;
mod judge;
mod operator;
mod plan;
mod probe;
mod process;
mod shelf;
mod stage;
mod trace;
mod world;

#[cfg(test)]
mod tests;

pub use campaign::{Campaign, Tally};
pub use fault::{Fault, Matrix, Phase, impossible};

use std::cell::Cell;
use std::sync::Once;

use plan::Plan;
use stage::{Stage, lock};

/// What came of one seed.
#[derive(Debug, Clone)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// Stands for everything that happened, in its order, and for every output.
    pub trace_hash: u64,
    /// Events in the trace.
    pub events: u64,
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    /// Which faults struck in the midst of what.
    pub matrix: Matrix,
    /// Input records that were judged.
    pub inputs: u64,
    /// Output records that were judged, counters included.
    pub outputs: u64,
    /// What should not have been, if something.
    pub failure: Option<Failure>,
    /// The whole trace in words, if it was asked for.
    pub trace: Vec<String>,
}

/// The first thing that should not have been.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What it is.
    pub what: String,
    /// What happened last, oldest first.
    pub last_events: Vec<String>,
}

/// Plays one seed.
#[must_use]
pub fn run(seed: u64) -> Run {
    play(seed, false)
}

/// Plays one seed and keeps its whole trace.
#[must_use]
pub fn run_traced(seed: u64) -> Run {
    play(seed, true)
}

fn play(seed: u64, is_traced: bool) -> Run {
    SEED.set(Some(seed));
    let stage = Stage::of(Plan::of(seed), is_traced);
    stage.play();
    let judged = if stage.has_failed() { judge::Judged::default() } else { stage.judge() };
    // Workers refer to the stage, and the stage to them.
    let processes = std::mem::take(&mut *lock(&stage.processes));
    drop(processes);
    let simulated_ms = stage.now();
    SEED.set(None);
    let mut state = stage.state();
    let violation = state.violation.take();
    let failure = violation.map(|what| Failure { what, last_events: state.trace.last_lines() });
    Run {
        seed,
        trace_hash: state.trace.hash(),
        events: state.trace.events(),
        simulated_ms,
        matrix: state.matrix.clone(),
        inputs: judged.inputs,
        outputs: judged.outputs,
        failure,
        trace: if is_traced { state.trace.lines() } else { Vec::new() },
    }
}

thread_local! {
    /// What this thread plays.
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on a broken assertion of this process also says which seed broke it, even where a panic
/// ends the process at once.
#[allow(clippy::print_stderr, reason = "the last word of a process that dies")]
pub fn name_seed_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            usual(panic);
            if let Some(seed) = SEED.get() {
                eprintln!("while simulating seed {seed}; again with: {}", command(seed));
            }
        }));
    });
}

/// What to type to see a seed's run again, event by event.
#[must_use]
pub fn command(seed: u64) -> String {
    format!("floodgate simulate --seed {seed} --trace")
}
