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

use std::time::{Duration, Instant};

use ledger::Ledger;
use ledger::rules::Rules;
use ledger::units::Offset;
use pipeline::digest::Digest;
use pipeline::engine::Engine;
use wire::{Decoder, NoHeaders, Outputs, Record, Route, Scratch};

/// Records that are handed on at a time, as by the log.
const BATCH: usize = 512;
const ROUNDS: usize = 5;
const SKUS: u64 = 10;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let orders = arguments.next().map_or(Ok(500_000), |text| text.parse())?;
    let merchants = arguments.next().map_or(Ok(2_000), |text| text.parse())?;
    let input = Input::new(orders, merchants);
    let records = input.records();
    let mut best = [Duration::MAX; 4];
    for _ in 0..ROUNDS {
        let times = [decode(&records), decide(&records), work(&records), digest(&records)];
        best = std::array::from_fn(|stage| best[stage].min(times[stage]));
    }
    let each = |time: Duration| time.as_secs_f64() * 1e9 / records.len() as f64;
    let [decoded, decided, worked, digested] = best.map(each);
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

/// Records of one partition: SKUs and stock first, then orders that settle on placement.
struct Input {
    records: Vec<(String, String, i64)>,
}

impl Input {
    fn new(orders: u64, merchants: u64) -> Input {
        const START: i64 = 1_762_790_400_000;
        let mut records = Vec::new();
        for merchant in 1..=merchants {
            for sku in 1..=SKUS {
                let listed = format!(
                    r#"{{"type":"sku.listed","merchant_id":{merchant},"sku":{sku},"category":"cat{}"}}"#,
                    sku % 7
                );
                let received = format!(
                    r#"{{"type":"stock.received","merchant_id":{merchant},"receipt_id":"r{sku}","received_at":{START},"sku":{sku},"qty":1000000}}"#
                );
                for value in [listed, received] {
                    records.push((merchant.to_string(), value, START));
                }
            }
        }
        for order in 0..orders {
            let merchant = 1 + order * 7_919 % merchants;
            let at = START + order as i64 / 500;
            let (first, second) = (1 + order % SKUS, 1 + order / 7 % SKUS);
            let value = format!(
                concat!(
                    r#"{{"type":"order.placed","merchant_id":{},"order_id":"o{:09}","buyer_id":{},"#,
                    r#""placed_at":{},"channel":"app","region":"330106","area":"urban","#,
                    r#""settle":"on_placement","lines":[{{"sku":{},"qty":1,"unit_price":9900}},"#,
                    r#"{{"sku":{},"qty":2,"unit_price":1290}}]}}"#
                ),
                merchant,
                order,
                order % 1_000_003,
                at,
                first,
                second
            );
            records.push((merchant.to_string(), value, at));
        }
        Input { records }
    }

    fn records(&self) -> Vec<Record<'_>> {
        let numbered = (0..).map(Offset).zip(&self.records);
        numbered
            .map(|(offset, (key, value, timestamp))| Record {
                partition: 0,
                offset,
                timestamp: *timestamp,
                key: Some(key.as_bytes()),
                value: Some(value.as_bytes()),
                headers: &NoHeaders,
            })
            .collect()
    }
}

fn rules() -> Rules {
    Rules { partitions: 1, ..Rules::default() }
}

fn decoder() -> Decoder {
    let Rules { partitions, partitioner, .. } = rules();
    Decoder::new(Route { partition: 0, partitions, partitioner })
}

fn decode(records: &[Record<'_>]) -> Duration {
    let (mut decoder, mut scratch) = (decoder(), Scratch::new());
    let started = Instant::now();
    for batch in records.chunks(BATCH) {
        scratch.clear();
        for record in batch {
            std::hint::black_box(decoder.decode(record, &scratch)).expect("it is valid");
        }
    }
    started.elapsed()
}

fn decide(records: &[Record<'_>]) -> Duration {
    let (mut decoder, mut scratch) = (decoder(), Scratch::new());
    let mut ledger = Ledger::new(rules());
    let mut effects = 0;
    let started = Instant::now();
    for batch in records.chunks(BATCH) {
        scratch.clear();
        for ahead in batch.chunks(pipeline::engine::AHEAD) {
            let command = |record| decoder.decode(record, &scratch).expect("it is valid");
            let commands: Vec<_> = ahead.iter().map(command).collect();
            ledger.prefetch(&commands);
            for (record, command) in ahead.iter().zip(commands) {
                ledger.apply(record.offset, record.timestamp, Ok(command), &mut |_| {
                    effects += 1;
                });
            }
        }
    }
    std::hint::black_box(effects);
    started.elapsed()
}

fn work(records: &[Record<'_>]) -> Duration {
    let mut engine = Engine::new(0, "orders", rules());
    let mut outputs = Outputs::new();
    let started = Instant::now();
    for (index, batch) in records.chunks(BATCH).enumerate() {
        // A transaction of 50 ms at a million records a second.
        if index % 100 == 0 {
            outputs.clear();
        }
        engine.apply(batch, &mut outputs);
    }
    std::hint::black_box(engine.digest());
    started.elapsed()
}

fn digest(records: &[Record<'_>]) -> Duration {
    let mut engine = Engine::new(0, "orders", rules());
    let mut outputs = Outputs::new();
    let mut digest = Digest::default();
    let mut took = Duration::ZERO;
    for batch in records.chunks(BATCH) {
        outputs.clear();
        engine.apply(batch, &mut outputs);
        let started = Instant::now();
        digest.fold(&outputs, 0);
        took += started.elapsed();
    }
    std::hint::black_box(digest);
    took
}
