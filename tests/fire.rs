//! The whole pipeline on a real Kafka under fire: load, processes, faults, a reader, a judge.
//!
//! Not a simulator: nothing here can be had again event for event, only the order of the faults and
//! what is drawn for them follow from the seed. Publishers, reader and judge talk to the broker
//! directly, `settle` through a proxy. Invariant: a run ends with everything that was published
//! answered and judged, or with an error that shows what every process said last.
//!
//! **Recovery** is the time from a fault until a reader with `read_committed` has seen, in every
//! partition, an answer to a record that the broker took in after that moment. (An answer's timestamp
//! is the log time of the record it answers, so the reader can tell.) It counts from the fault's last
//! strike, or, for faults that last and leave nobody to answer (broker, network, snapshot store),
//! from its end.

mod battle;
mod fault;
mod fleet;
mod ground;
pub mod load;
pub mod reader;
mod report;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use crate::{KafkaServer, Options, Unavailable, proxy::Proxy};
use battle::Battle;
use ground::Ground;

pub use fault::Fault;
pub use report::{Report, Verdict};

/// What is to be played.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Decides the order of the faults and all that is drawn for them.
    pub seed: u64,
    /// On how many occasions each is played.
    pub faults: Vec<(Fault, u32)>,
    /// All of them are played again and again until so much time has passed.
    pub at_least: Duration,
    /// Fewest and most processes.
    pub processes: RangeInclusive<usize>,
    /// Of every topic.
    pub partitions: u32,
    /// Orders placed in a second; twice as many records.
    pub orders_per_second: u64,
    /// Configuration of `settle` beside what every run has.
    pub configuration: String,
    /// Where what each process logged is left, if anywhere.
    pub logs: Option<PathBuf>,
}

/// Why a run came to no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no broker to play with.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Something that had to come did not, within a wait that is never too short.
    #[error("waited {waited:?} in vain: {what}\n{said}")]
    InVain {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The last that every process said.
        said: String,
    },
    /// Something broke that must not.
    #[error("{0}")]
    Broken(String),
}

/// Plays the scenario to its end and has it judged. `say` is told what happens, line by line.
pub fn play(scenario: &Scenario, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    let proxy = Proxy::start().map_err(|error| Failure::Broken(format!("proxy: {error}")))?;
    let server = KafkaServer::start(&Options::default().behind(&proxy))?;
    let began = Instant::now();
    let mut say = |text: &str| say(&format!("{:>6.1} s  {text}", began.elapsed().as_secs_f64()));
    let ground = Ground::prepare(scenario, server, proxy);
    let mut battle = Battle::begin(scenario, ground, &mut say)?;
    let mut draw = StdRng::seed_from_u64(scenario.seed);
    loop {
        for fault in shuffled(scenario, &mut draw) {
            battle.play(fault, &mut draw, &mut say)?;
        }
        if began.elapsed() >= scenario.at_least {
            break;
        }
    }
    battle.end(&mut say)
}

/// The faults of one round, in an order of their own.
fn shuffled(scenario: &Scenario, draw: &mut StdRng) -> Vec<Fault> {
    let of_a_kind = |(fault, count): &(Fault, u32)| vec![*fault; *count as usize];
    let mut faults: Vec<Fault> = scenario.faults.iter().flat_map(of_a_kind).collect();
    faults.shuffle(draw);
    faults
}
