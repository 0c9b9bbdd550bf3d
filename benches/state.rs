//! A large state of one partition, without the log: how long the loop stands still while it grows, while
//! it is frozen and while it is written; how large its snapshot is; how long a restart takes to load it.
//!
//! Not a test: it prints figures, which mean something on a quiet machine only. That the state which was
//! loaded and caught up is the one that was left is checked all the same.
//!
//! ```text
//! cargo run --release -p benches --bin state -- [HOLDS [SKUS]]
//! ```
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ledger::STATE_VERSION;
use ledger::rules::Rules;
use ledger::units::Offset;
use pipeline::background::{Publication, Published, publish};
use pipeline::digest::Digest;
use pipeline::engine::Engine;
use pipeline::snapshot::{self, Header};
use pipeline::store::{ObjectSnapshots, Place, SnapshotStore};
use wire::{NoHeaders, Outputs, Record};

/// Records that are handed on at a time, as by the log.
const BATCH: usize = 512;
const SKUS_EACH: u64 = 10;
const START: i64 = 1_762_790_400_000;
/// Orders a millisecond of log time.
const ORDERS_EACH_MS: u64 = 500;
/// Records applied to a state that nobody touches otherwise, for comparison.
const UNDISTURBED: u64 = 1_000_000;
const INPUT_TOPIC: &str = "orders";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let holds: u64 = arguments.next().map_or(Ok(5_000_000), |text| text.parse())?;
    let skus: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let mut input = Input { merchants: skus.div_ceil(SKUS_EACH), next: 0 };
    let mut engine = Engine::new(0, INPUT_TOPIC, rules());
    let resident_before = resident_bytes();

    let opened = apply(&mut engine, &mut input, Part::Catalogue);
    let grown = apply(&mut engine, &mut input, Part::Orders(holds));
    println!("{skus} SKUs with stock, {} open holds of two lines", engine.ledger().holds_open());
    println!("resident             {:8.0} MB", mega(resident_bytes() - resident_before));
    println!("catalogue and stock  {opened}");
    println!("orders, growing      {grown}");
    let quiet = apply(&mut engine, &mut input, Part::Orders(UNDISTURBED));
    println!("orders, undisturbed  {quiet}");

    let directory = tempfile::tempdir()?;
    let store = Arc::new(ObjectSnapshots::in_directory(directory.path())?);
    let header = header(&engine);
    let since = input;
    let started = Instant::now();
    let state = engine.freeze();
    println!("freeze               {:8.2} ms", millis(started.elapsed()));
    let writer = thread::spawn({
        let store = store.clone();
        move || {
            let publication =
                Publication { place: place(), header, state, previous: None, slot: None };
            publish(store.as_ref(), publication)
        }
    });
    let disturbed = apply(&mut engine, &mut input, Part::OrdersWhile(&|| !writer.is_finished()));
    let Published { bytes, took } = writer.join().expect("it does not panic")?;
    println!("orders, beside it    {disturbed}");
    let (size, seconds) = (mega(bytes), took.as_secs_f64());
    println!("snapshot             {size:8.0} MB in {seconds:.1} s: {:.0} MB/s", size / seconds);

    restart(store.as_ref(), &header, since, &engine)
}

/// What a process does that was killed and comes back.
fn restart(
    store: &dyn SnapshotStore,
    header: &Header,
    mut since: Input,
    left: &Engine,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let bytes = store.read(&place(), header.offset)?;
    let (header, ledger) = snapshot::decode(&place(), header.offset, &bytes)?;
    println!("load                 {:8.2} s", started.elapsed().as_secs_f64());
    let digest = Digest::from_bits(header.digest);
    let mut engine = Engine::resume(0, INPUT_TOPIC, header.rules, ledger, digest, header.offset);
    let behind = left.next().0 - header.offset.0;
    let replayed = apply(&mut engine, &mut since, Part::Orders(behind));
    println!("replay               {replayed}");
    anyhow::ensure!(engine.digest() == left.digest(), "the replay came to something else");
    Ok(())
}

/// One input partition's records, made as they are asked for.
#[derive(Debug, Clone, Copy)]
struct Input {
    merchants: u64,
    /// Offset of the next record.
    next: u64,
}

/// How much of the input is to be applied.
enum Part<'a> {
    /// Every SKU, and its stock.
    Catalogue,
    /// So many orders.
    Orders(u64),
    /// Orders for as long as this holds.
    OrdersWhile(&'a dyn Fn() -> bool),
}

impl Input {
    fn catalogue(&self) -> u64 {
        self.merchants * SKUS_EACH * 2
    }

    /// Merchant and value of a record.
    fn record(&self, offset: u64) -> (String, String, i64) {
        if offset >= self.catalogue() {
            return self.order(offset - self.catalogue());
        }
        let (merchant, sku) = (1 + offset / 2 / SKUS_EACH, 1 + offset / 2 % SKUS_EACH);
        let value = if offset.is_multiple_of(2) {
            format!(
                r#"{{"type":"sku.listed","merchant_id":{merchant},"sku":{sku},"category":"c{sku}"}}"#
            )
        } else {
            format!(
                r#"{{"type":"stock.received","merchant_id":{merchant},"receipt_id":"r{sku}","received_at":{START},"sku":{sku},"qty":1000000}}"#
            )
        };
        (merchant.to_string(), value, START)
    }

    /// Paid for by nobody within the time of the run.
    fn order(&self, order: u64) -> (String, String, i64) {
        let merchant = 1 + order * 7_919 % self.merchants;
        let at = START + (order / ORDERS_EACH_MS).cast_signed();
        let value = format!(
            concat!(
                r#"{{"type":"order.placed","merchant_id":{},"order_id":"o{:09}","buyer_id":{},"#,
                r#""placed_at":{},"channel":"app","region":"330106","area":"urban","pay_by":{},"#,
                r#""lines":[{{"sku":{},"qty":1,"unit_price":9900}},"#,
                r#"{{"sku":{},"qty":2,"unit_price":1290}}]}}"#
            ),
            merchant,
            order,
            order % 1_000_003,
            at,
            START + 86_400_000,
            1 + order % SKUS_EACH,
            1 + order / 7 % SKUS_EACH
        );
        (merchant.to_string(), value, at)
    }
}

/// What applying records took.
#[derive(Debug, Default)]
struct Applied {
    records: u64,
    took: Duration,
    longest: Duration,
}

impl std::fmt::Display for Applied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Applied { records, took, longest } = self;
        let thousands = *records as f64 / took.as_secs_f64() / 1e3;
        write!(
            f,
            "{thousands:8.0} thousand records a second; longest batch of {BATCH} {:.2} ms",
            millis(*longest)
        )
    }
}

/// Applies batch by batch; making the records is not counted.
fn apply(engine: &mut Engine, input: &mut Input, part: Part<'_>) -> Applied {
    let (mut applied, mut outputs) = (Applied::default(), Outputs::new());
    let end = match part {
        Part::Catalogue => input.catalogue(),
        Part::Orders(count) => input.next + count,
        Part::OrdersWhile(_) => u64::MAX,
    };
    while input.next < end {
        if let Part::OrdersWhile(holds) = &part
            && !holds()
        {
            break;
        }
        let last = end.min(input.next + BATCH as u64);
        let made: Vec<_> = (input.next..last).map(|offset| input.record(offset)).collect();
        let records: Vec<Record<'_>> = (input.next..).zip(&made).map(as_record).collect();
        outputs.clear();
        let started = Instant::now();
        engine.apply(&records, &mut outputs);
        let took = started.elapsed();
        applied.records += records.len() as u64;
        applied.took += took;
        applied.longest = applied.longest.max(took);
        input.next = last;
    }
    applied
}

fn as_record((offset, (key, value, timestamp)): (u64, &(String, String, i64))) -> Record<'_> {
    Record {
        partition: 0,
        offset: Offset(offset),
        timestamp: *timestamp,
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &NoHeaders,
    }
}

fn rules() -> Rules {
    Rules { partitions: 1, ..Rules::default() }
}

fn place() -> Place {
    let [cluster, group, topic] = ["cluster", "group", INPUT_TOPIC].map(str::to_owned);
    Place { cluster, group, topic, partition: 0 }
}

fn header(engine: &Engine) -> Header {
    Header {
        state_version: STATE_VERSION,
        offset: engine.next(),
        digest: engine.digest().to_bits(),
        rules: rules(),
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// What the process has in memory; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4_096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * PAGE_BYTES
}
