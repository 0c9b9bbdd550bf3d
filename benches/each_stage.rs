//! Each stage of a worker by itself, with criterion's statistics: decode, decide, decide and encode, digest,
//! all of it, snapshot.
//!
//! `stages` tells the same as shares of a whole and is made for valgrind; this one tells how certain a
//! figure is, and compares it with the last run's. A unit is an order, for the snapshot a whole state.
//! An effect is only lent while it is encoded, so encoding alone is the difference of two. Invariant:
//! only the stage itself is timed, and every order is a new one.
//!
//! ```text
//! cargo bench -p benches
//! ```

#[path = "compare/workload.rs"]
#[expect(dead_code, reason = "only what makes records is used here")]
mod workload;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledger::rules::Rules;
use ledger::units::Offset;
use ledger::{Ledger, LogRecord, STATE_VERSION};
use pipeline::background::{Publication, publish};
use pipeline::digest::Digest;
use pipeline::engine::{AHEAD, Engine};
use pipeline::snapshot::Header;
use pipeline::store::{ObjectSnapshots, Place};
use wire::{Decoder, Encoder, NoHeaders, Outputs, Record, Route, Scratch};
use workload::{Made, Workload};

/// Orders that are handed on at a time, as by the log.
const BATCH: usize = 512;
const WORKLOAD: Workload = Workload { merchants: 2_000, orders: 400_000 };

criterion_group!(benches, stages);
criterion_main!(benches);

fn stages(criterion: &mut Criterion) {
    let made = made();
    let records = records(&made);
    let log = Log {
        catalogue: &records[..WORKLOAD.catalogue() as usize],
        orders: &records[WORKLOAD.catalogue() as usize..],
    };
    let mut group = criterion.benchmark_group("stages");
    group.sample_size(20);
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut bench = |name: &str, run: &dyn Fn(&Log<'_>, u64) -> Duration| {
        group.bench_function(name, |bencher| bencher.iter_custom(|batches| run(&log, batches)));
    };
    bench("decode", &decode);
    bench("decide", &|log, batches| decide(log, batches, false));
    bench("decide and encode", &|log, batches| decide(log, batches, true));
    bench("digest", &digest);
    bench("all", &all);
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    let mut all = engine(&log);
    let mut outputs = Outputs::new();
    all.apply(log.orders, &mut outputs);
    group.bench_function("snapshot of 400,000 orders", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| snapshot(&mut all)).sum());
    });
    group.finish();
}

/// The records, catalogue and orders apart.
struct Log<'a> {
    catalogue: &'a [Record<'a>],
    orders: &'a [Record<'a>],
}

impl Log<'_> {
    /// Runs `step` on so many batches of new orders; it starts anew when they are used up.
    fn run<S>(
        &self,
        batches: u64,
        fresh: impl Fn() -> S,
        mut step: impl FnMut(&mut S, &[Record<'_>]) -> Duration,
    ) -> Duration {
        let mut state = fresh();
        let mut left = self.orders.chunks_exact(BATCH);
        let mut took = Duration::ZERO;
        for _ in 0..batches {
            let batch = left.next().unwrap_or_else(|| {
                state = fresh();
                left = self.orders.chunks_exact(BATCH);
                left.next().expect("there is more than a batch of orders")
            });
            took += step(&mut state, batch);
        }
        took
    }
}

/// All records of the log, in one partition.
fn made() -> Vec<Made> {
    let catalogue = (0..WORKLOAD.catalogue()).map(|number| {
        let mut made = Made::default();
        WORKLOAD.make_catalogue(number, WORKLOAD.start_ms(), &mut made);
        made
    });
    let orders = (0..WORKLOAD.orders).map(|number| {
        let mut made = Made::default();
        WORKLOAD.make_order(number, &mut made);
        made
    });
    catalogue.chain(orders).collect()
}

fn records(made: &[Made]) -> Vec<Record<'_>> {
    let numbered = (0..).map(Offset).zip(made);
    numbered
        .map(|(offset, made)| Record {
            partition: 0,
            offset,
            timestamp: made.timestamp_ms,
            key: Some(&made.key),
            value: Some(&made.value),
            headers: &NoHeaders,
        })
        .collect()
}

fn rules() -> Rules {
    Rules { partitions: 1, ..Rules::default() }
}

fn decoder() -> Decoder {
    let Rules { partitions, partitioner, .. } = rules();
    Decoder::new(Route { partition: 0, partitions, partitioner })
}

/// An engine that knows the catalogue.
fn engine(log: &Log<'_>) -> Engine {
    let mut engine = Engine::new(0, "orders", rules());
    engine.apply(log.catalogue, &mut Outputs::new());
    engine
}

/// A state machine that knows the catalogue.
fn ledger(log: &Log<'_>) -> Ledger {
    let mut ledger = Ledger::new(rules());
    let (mut decoder, scratch) = (decoder(), Scratch::new());
    for record in log.catalogue {
        let command = decoder.decode(record, &scratch).expect("it is valid");
        ledger.apply(record.offset, record.timestamp, Ok(command), &mut |_| {});
    }
    ledger
}

fn decode(log: &Log<'_>, batches: u64) -> Duration {
    let fresh = || (decoder(), Scratch::new());
    log.run(batches, fresh, |(decoder, scratch), batch| {
        scratch.clear();
        let started = Instant::now();
        for record in batch {
            black_box(decoder.decode(record, scratch)).expect("it is valid");
        }
        started.elapsed()
    })
}

fn decide(log: &Log<'_>, batches: u64, encodes: bool) -> Duration {
    let mut encoder = Encoder::new("orders");
    let fresh = || (ledger(log), decoder(), Scratch::new(), Outputs::new());
    log.run(batches, fresh, |(ledger, decoder, scratch, outputs), batch| {
        scratch.clear();
        outputs.clear();
        let decoded = batch.iter().map(|record| decoder.decode(record, scratch));
        let commands: Vec<_> = decoded.map(|command| command.expect("it is valid")).collect();
        let started = Instant::now();
        for (records, commands) in batch.chunks(AHEAD).zip(commands.chunks(AHEAD)) {
            let inputs = records.iter().zip(commands).map(|(record, command)| LogRecord {
                offset: record.offset,
                timestamp: record.timestamp,
                command: Ok(command),
            });
            ledger.apply_all(inputs, &mut |number, at, effect| {
                if encodes {
                    encoder.effect(outputs, &records[number], at, &effect);
                } else {
                    black_box(effect);
                }
            });
        }
        started.elapsed()
    })
}

fn digest(log: &Log<'_>, batches: u64) -> Duration {
    let fresh = || (engine(log), Outputs::new(), Digest::default());
    log.run(batches, fresh, |(engine, outputs, digest), batch| {
        outputs.clear();
        engine.apply(batch, outputs);
        let started = Instant::now();
        digest.fold(outputs, 0);
        black_box(&digest);
        started.elapsed()
    })
}

fn all(log: &Log<'_>, batches: u64) -> Duration {
    let fresh = || (engine(log), Outputs::new());
    log.run(batches, fresh, |(engine, outputs), batch| {
        outputs.clear();
        let started = Instant::now();
        engine.apply(batch, outputs);
        started.elapsed()
    })
}

/// Freezing a state, and writing it to a directory, synced.
fn snapshot(engine: &mut Engine) -> Duration {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let store = ObjectSnapshots::in_directory(directory.path()).expect("it can be written");
    let [cluster, group, topic] = ["cluster", "group", "orders"].map(str::to_owned);
    let place = Place { cluster, group, topic, partition: 0 };
    let header = Header {
        state_version: STATE_VERSION,
        offset: engine.next(),
        digest: engine.digest().to_bits(),
        rules: rules(),
    };
    let started = Instant::now();
    let state = engine.freeze();
    let publication = Publication { place, header, state, previous: None, slot: None };
    publish(&store, publication).expect("it can be written");
    started.elapsed()
}
