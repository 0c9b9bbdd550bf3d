//! What one order costs in each stage of a worker, without the log: decode, decide, encode, digest.
//!
//! Each stage is measured as what it adds to the ones before it, on the same records, so that the
//! stages add up to the whole. Not a test: it prints nanoseconds, which mean something only beside
//! each other and on a quiet machine.
//!
//! ```text
//! cargo run --release -p benches --bin stages -- [ORDERS [MERCHANTS]]
//! ```
//! Under `valgrind --tool=callgrind` with few orders it shows where the instructions go.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

mod stage;

use std::time::{Duration, Instant};

use stage::Input;
use wire::Record;

const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let orders = arguments.next().map_or(Ok(500_000), |text| text.parse())?;
    let merchants = arguments.next().map_or(Ok(2_000), |text| text.parse())?;
    let input = Input::new(orders, merchants);
    let records = input.records();
    let stages = [stage::decode, stage::decide, stage::work, stage::fold_again];
    let mut best = [Duration::MAX; 4];
    for _ in 0..ROUNDS {
        let times = stages.map(|stage| timed(stage, &records));
        best = std::array::from_fn(|stage| best[stage].min(times[stage]));
    }
    let each = |time: Duration| time.as_secs_f64() * 1e9 / records.len() as f64;
    let [decoded, decided, worked, folded] = best.map(each);
    let digested = folded - worked;
    println!("{orders} orders of two lines, {merchants} merchants; nanoseconds for each record");
    for (stage, time) in [
        ("decode", decoded),
        ("decide", decided - decoded),
        ("encode", worked - decided - digested),
        ("digest", digested),
        ("all", worked),
    ] {
        println!("{stage:>8} {time:7.1}");
    }
    Ok(())
}

fn timed(stage: fn(&[Record<'_>]), records: &[Record<'_>]) -> Duration {
    let started = Instant::now();
    stage(records);
    started.elapsed()
}
