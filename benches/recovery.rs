//! Recovery on a real Kafka with a large state: from `kill -9` to the first new answer that a reader
//! with `read_committed` sees.
//!
//! Broker, load, reader and the pipeline share the machine. Not a test: it prints figures, which mean
//! something on a quiet machine only; `fire` judges what is answered. The process comes back at once
//! under its name, as a supervisor brings it back.
//!
//! ```text
//! cargo run --release -p benches --bin recovery -- [HOLDS [SKUS [KILLS [ORDERS_PER_SECOND]]]]
//! ```
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use e2e::fire::load::Load;
use e2e::fire::reader::{Reader, Recovery};
use e2e::process::{Process, build};
use e2e::stage::{Stage, Stamps};
use e2e::{KafkaServer, Options};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use serde_json::Value;

const PARTITIONS: u32 = 4;
const SKUS_EACH: u64 = 10;
/// What is logged of a partition when its replay is over.
const REPLAYED: &str = "replay reached the committed digest";
/// Beyond those of the load.
const FIRST_MERCHANT: u64 = 1_000_000_000;
const NAME: &str = "pod-0";
/// Longest that anything may take: no measure of what is good, only of what comes at all.
const PATIENCE: Duration = Duration::from_secs(300);
const NAP: Duration = Duration::from_millis(2);
/// How long the load runs between two kills: now less, now more than what brings a snapshot.
const BETWEEN_KILLS: [u64; 5] = [7, 23, 11, 31, 17];
const CONFIGURATION: &str = "[log]\nformat = 'json'\n[snapshots]\ninterval_ms = 20000\n";
/// As long as nobody stops it in order, everything is replayed from the start.
const WITHOUT_SNAPSHOTS: &str = "[log]\nformat = 'json'\n\
     [snapshots]\ninterval_ms = 86400000\nreplay_ms = 86400000\npause_ms = 86400000\n";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut argument = |default| arguments.next().unwrap_or(Ok(default));
    let (holds, skus) = (argument(5_000_000)?, argument(1_000_000)?);
    let (kills, orders_per_second) = (argument(5)?, argument(10_000)?);
    anyhow::ensure!(build(), "floodgate could not be built");

    let server = KafkaServer::start(&Options::default())?;
    let stage = Stage::on(server.bootstrap(), PARTITIONS, Stamps::Append);
    publish(&stage, holds, skus)?;
    println!("{skus} SKUs, {holds} open holds, {PARTITIONS} partitions, 2 workers");
    backlog(&stage)?;

    stage.configure_as(CONFIGURATION);
    let mut settle = start(&stage);
    settle.await_live(PARTITIONS as usize);
    let reader = Reader::start(&stage);
    let load = Load::start(&stage, orders_per_second, 1);
    println!("load         {orders_per_second} orders a second");
    println!("\nkill  first answer  all partitions  replayed records  thousand a second");
    let mut rounds = Rounds::default();
    for round in 0..kills {
        let calm = reader.watch();
        await_some("answers in every partition", || calm.took())?;
        thread::sleep(Duration::from_secs(BETWEEN_KILLS[round as usize % BETWEEN_KILLS.len()]));
        let watch = reader.watch();
        settle.kill();
        rounds.note_snapshots(&settle);
        settle = start(&stage);
        await_some("an answer in every partition", || watch.took())?;
        rounds.note(round + 1, &watch, &settle);
    }
    settle.terminate();
    rounds.note_snapshots(&settle);
    drop(settle);
    load.stop().map_err(anyhow::Error::msg)?;
    rounds.print();
    Ok(())
}

/// Settles all that is published, once live and, after a `kill -9`, once in a replay, and prints how
/// fast each was.
fn backlog(stage: &Stage) -> anyhow::Result<()> {
    stage.configure_as(WITHOUT_SNAPSHOTS);
    let (mut settle, seconds) = settle_all(stage)?;
    settle.kill();
    let records: u64 = stage.ends_of("orders").iter().sum();
    let live = records as f64 / seconds;
    println!(
        "backlog      {records} records in {seconds:.1} s: {:.0} thousand a second",
        live / 1e3
    );
    settle = start(stage);
    let all = PARTITIONS as usize;
    await_some("the replay's end", || (settle.logged(REPLAYED).len() == all).then_some(()))?;
    let (records, seconds) = replayed(&settle);
    let replay = records as f64 / seconds;
    println!(
        "replayed     {records} records in {seconds:.1} s: {:.0} thousand a second, {:.2} of that",
        replay / 1e3,
        replay / live
    );
    settle.stop();
    Ok(())
}

fn start(stage: &Stage) -> Process {
    stage.settle_with(&["--instance", NAME, "--workers", "2"])
}

fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        anyhow::ensure!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        thread::sleep(NAP);
    }
}

/// Every SKU with its stock, then orders that nobody pays for within a day.
fn publish(stage: &Stage, holds: u64, skus: u64) -> anyhow::Result<()> {
    let mut config = stage.client();
    // Merchants go where the contract puts them.
    config.set("partitioner", "murmur2_random").set("enable.idempotence", "true");
    config.set("linger.ms", "20").set("compression.type", "lz4");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create()?;
    let (topic, merchants) = (stage.topic("orders"), skus.div_ceil(SKUS_EACH));
    for merchant in 0..merchants {
        for value in catalogue(FIRST_MERCHANT + merchant) {
            send(&producer, &topic, FIRST_MERCHANT + merchant, &value)?;
        }
    }
    for number in 0..holds {
        let merchant = FIRST_MERCHANT + number * 7_919 % merchants;
        send(&producer, &topic, merchant, &order(merchant, number))?;
    }
    producer.flush(PATIENCE)?;
    Ok(())
}

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    merchant: u64,
    value: &str,
) -> anyhow::Result<()> {
    let key = merchant.to_string();
    loop {
        match producer.send(BaseRecord::to(topic).key(&key).payload(value)) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                thread::sleep(NAP);
            }
            Err((error, _)) => return Err(error).context("publishing"),
        }
    }
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
}

fn catalogue(merchant: u64) -> Vec<String> {
    let now = now_ms();
    let of = |sku| {
        [
            format!(r#"{{"type":"sku.listed","merchant_id":{merchant},"sku":{sku}}}"#),
            format!(
                r#"{{"type":"stock.received","merchant_id":{merchant},"receipt_id":"r{sku}","received_at":{now},"sku":{sku},"qty":1000000}}"#
            ),
        ]
    };
    (1..=SKUS_EACH).flat_map(of).collect()
}

fn order(merchant: u64, number: u64) -> String {
    let now = now_ms();
    format!(
        concat!(
            r#"{{"type":"order.placed","merchant_id":{},"order_id":"o{:09}","buyer_id":{},"#,
            r#""placed_at":{},"region":"330106","pay_by":{},"#,
            r#""lines":[{{"sku":{},"qty":1,"unit_price":9900}},"#,
            r#"{{"sku":{},"qty":2,"unit_price":1290}}]}}"#
        ),
        merchant,
        number,
        number % 1_000_003,
        now,
        now + 86_400_000,
        1 + number % SKUS_EACH,
        1 + number / 7 % SKUS_EACH
    )
}

/// Has all that is published answered; how many seconds that took from the first commit on, scaled to
/// all of it.
fn settle_all(stage: &Stage) -> anyhow::Result<(Process, f64)> {
    let ends: u64 = stage.ends_of("orders").iter().sum();
    let settle = start(stage);
    let committed = || stage.try_committed().map(|committed| committed.iter().sum::<u64>());
    let first = await_some("a commit", || committed().filter(|committed| *committed > 0))?;
    let started = Instant::now();
    await_some("the backlog's end", || committed().filter(|committed| *committed >= ends))?;
    let seconds = started.elapsed().as_secs_f64() * ends as f64 / (ends - first).max(1) as f64;
    Ok((settle, seconds))
}

/// What was measured, kill by kill.
#[derive(Debug, Default)]
struct Rounds {
    first: Vec<Duration>,
    all: Vec<Duration>,
    /// Records a second.
    replays: Vec<f64>,
    /// Bytes and milliseconds.
    snapshots: Vec<(u64, u64)>,
}

impl Rounds {
    fn note(&mut self, number: u64, watch: &Recovery, settle: &Process) {
        let first = watch.first().unwrap_or_default();
        let all = watch.took().unwrap_or_default();
        let (records, seconds) = replayed(settle);
        let rate = records as f64 / seconds;
        println!(
            "{number:>4}{:>12.2} s{:>14.2} s{records:>18}{:>19.0}",
            first.as_secs_f64(),
            all.as_secs_f64(),
            if records == 0 { 0.0 } else { rate / 1e3 }
        );
        self.first.push(first);
        self.all.push(all);
        if records > 0 {
            self.replays.push(rate);
        }
    }

    fn note_snapshots(&mut self, settle: &Process) {
        let figures = settle.logged("snapshot published").into_iter().filter_map(|line| {
            let (bytes, took_ms) = (&line["fields"]["bytes"], &line["fields"]["took_ms"]);
            // The log has a number of 128 bits as text.
            Some((bytes.as_u64()?, took_ms.as_str()?.parse().ok()?))
        });
        self.snapshots.extend(figures);
    }

    fn print(mut self) {
        let middle_and_max = |times: &mut Vec<Duration>| {
            times.sort();
            let at = |index: usize| times.get(index).copied().unwrap_or_default().as_secs_f64();
            format!("p50 {:.2} s, max {:.2} s", at(times.len() / 2), at(times.len().max(1) - 1))
        };
        println!("\nkill -9 to the first new answer: {}", middle_and_max(&mut self.first));
        println!("to new answers in every partition: {}", middle_and_max(&mut self.all));
        self.replays.sort_by(f64::total_cmp);
        if let Some(replay) = self.replays.get(self.replays.len() / 2) {
            println!("replay, beside the load: {:.0} thousand records a second", replay / 1e3);
        }
        let bytes: u64 = self.snapshots.iter().map(|(bytes, _)| bytes).sum();
        let took_ms: u64 = self.snapshots.iter().map(|(_, took_ms)| took_ms).sum();
        if let Some(largest) = self.snapshots.iter().map(|(bytes, _)| bytes).max() {
            println!(
                "{} snapshots of up to {:.0} MB, written with {:.0} MB/s",
                self.snapshots.len(),
                *largest as f64 / 1e6,
                bytes as f64 / 1e3 / took_ms.max(1) as f64
            );
        }
    }
}

/// Records that a process replayed, and in how many seconds, by its own log: from the first partition
/// opened until the last one live.
fn replayed(settle: &Process) -> (u64, f64) {
    let opened = settle.logged("opened");
    let records = opened.iter().filter_map(|line| {
        let (start, until) =
            (line["fields"]["start"].as_u64()?, line["fields"]["replay_until"].as_u64()?);
        Some(until - start)
    });
    let began = opened.iter().filter_map(seconds).min_by(f64::total_cmp);
    let reached = settle.logged(REPLAYED);
    let ended = reached.iter().filter_map(seconds).max_by(f64::total_cmp);
    (records.sum(), ended.zip(began).map_or(f64::INFINITY, |(ended, began)| ended - began))
}

/// The second of the day at which a line was logged: `2025-11-11T00:00:00.000000Z`.
fn seconds(line: &Value) -> Option<f64> {
    let time = line["timestamp"].as_str()?.split_once('T')?.1.strip_suffix('Z')?;
    let mut parts = time.split(':').map(|part| part.parse::<f64>().ok());
    Some(parts.next()?? * 3_600.0 + parts.next()?? * 60.0 + parts.next()??)
}
