//! The simulator itself: that seeds reproduce, that they hold, and that every cell of the matrix is
//! reached. Seeds of today's date are fresh every day; a failure names its seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;

/// Fresh seeds in every run of the tests.
const FRESH_SEEDS: u64 = 2_000;
/// Seeds within which every cell of the matrix has to be reached.
const SEEDS_TO_REACH_ALL: u64 = 12_000;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The first seed of today, or of the environment.
fn fresh_seed() -> u64 {
    const SEEDS_A_DAY: u64 = 1_000_000;
    if let Some(given) = std::env::var("FLOODGATE_SEED").ok().and_then(|it| it.parse().ok()) {
        return given;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    since.as_secs() / 86_400 * SEEDS_A_DAY
}

fn explain(run: &Run) -> String {
    let Some(failure) = &run.failure else { return String::new() };
    let Failure { what, last_events } = failure;
    format!("seed {}: {what}\n{}\nagain: {}", run.seed, last_events.join("\n"), command(run.seed))
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    name_seed_on_panic();
    for seed in 0..40 {
        let (first, second) = (run(seed), run_traced(seed));
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.events, second.trace.len() as u64, "seed {seed}");
        assert_eq!(first.matrix, second.matrix, "seed {seed}");
    }
}

#[test]
fn two_seeds_give_two_traces() {
    assert_ne!(run(1).trace_hash, run(2).trace_hash);
}

#[test]
fn seeds_that_once_failed_hold() {
    name_seed_on_panic();
    let list = include_str!("seeds_that_failed.txt");
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let seed = line.split_whitespace().next().expect("a line begins with a seed");
        let run = run(seed.parse().expect("a seed is a number"));
        assert!(run.failure.is_none(), "{line}\n{}", explain(&run));
    }
}

/// At least [`FRESH_SEEDS`], and on until every fault was seen in every phase in which it can be.
#[test]
fn fresh_seeds_hold_and_every_fault_strikes_in_every_phase() {
    name_seed_on_panic();
    let first_seed = fresh_seed();
    println!("fresh seeds from {first_seed} on; FLOODGATE_SEED={first_seed} plays them again");
    let mut matrix = Matrix::default();
    let campaigns = SEEDS_TO_REACH_ALL / FRESH_SEEDS;
    for number in 0..campaigns {
        let first_seed = first_seed + number * FRESH_SEEDS;
        let (seeds, threads) = (FRESH_SEEDS, threads());
        let campaign = Campaign { first_seed, seeds, time: Duration::ZERO, threads };
        let tally = campaign.play(|_| {});
        assert!(tally.failed.is_empty(), "{}", explain(&tally.failed[0]));
        matrix.add(&tally.matrix);
        if matrix.missing().is_empty() {
            break;
        }
    }
    println!("{matrix}");
    assert_eq!(matrix.missing(), [], "never reached within {SEEDS_TO_REACH_ALL} seeds");
    assert_eq!(matrix.contradictions(), [], "reached, though said to be impossible");
}
