//! Measures the state machine alone against the goals in numbers of the design.
//!
//! Not a test: it asserts nothing. `cargo run --release -p ledger --example measure -- speed` prints
//! orders per second of decoded commands on one core; `memory` prints resident bytes for each open
//! hold and each remembered id, and the longest single record, while they grow; `snapshot` prints what
//! a snapshot costs the records beside it. Invariant: commands are made before the clock starts.

#![allow(clippy::print_stdout, reason = "a command-line tool that prints what it measured")]

use ledger::command::{
    Command, ExternalId, Fulfilment, Line, OrderPaid, OrderPlaced, Part, Settle, SkuListed,
    StockReceived,
};
use ledger::effect::Effect;
use ledger::rules::Rules;
use ledger::units::{
    BuyerId, Category, Channel, LocationId, MerchantId, Millis, Money, Offset, Region, SkuId, Units,
};
use ledger::{Cadence, Ledger, LogRecord};
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

const SKUS: u64 = 1_000_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

/// How orders spread over SKUs.
#[derive(Clone, Copy, Debug)]
enum Spread {
    Uniform,
    Zipf,
    One,
}

struct Skus {
    spread: Spread,
    /// Cumulated weights of the ranks, for Zipf.
    cumulated: Vec<f64>,
}

impl Skus {
    fn new(spread: Spread) -> Skus {
        let mut sum = 0.0;
        let weight = |rank: u64| {
            sum += (rank as f64 + 1.0).powf(-1.1);
            sum
        };
        let cumulated = match spread {
            Spread::Zipf => (0..SKUS).map(weight).collect(),
            Spread::Uniform | Spread::One => Vec::new(),
        };
        Skus { spread, cumulated }
    }

    fn draw(&self, random: &mut Random) -> u64 {
        match self.spread {
            Spread::One => 4711,
            Spread::Uniform => random.below(SKUS),
            Spread::Zipf => {
                let total = self.cumulated[self.cumulated.len() - 1];
                let at = random.next() as f64 / u64::MAX as f64 * total;
                let rank = self.cumulated.partition_point(|sum| *sum < at) as u64;
                // Ranks are scattered over merchants.
                rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) % SKUS
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Traffic {
    spread: Spread,
    merchants: u64,
    uuid: bool,
    lines: usize,
    settle: Settle,
    /// Orders in one millisecond of log time.
    orders_per_ms: f64,
}

impl Traffic {
    fn merchant(&self, sku: u64) -> MerchantId {
        MerchantId(1000 + sku % self.merchants)
    }

    /// The orders' commands: all are placed, then, if they settle on payment, all are paid.
    fn commands<'a>(&self, orders: &'a [Order]) -> Vec<Command<'a>> {
        let mut commands = Vec::with_capacity(2 * orders.len());
        commands.extend(orders.iter().map(|order| order.command(self.settle, None)));
        if self.settle == Settle::OnPayment {
            commands.extend(orders.iter().map(Order::payment));
        }
        commands
    }
}

/// An order before it is lent to a command.
#[derive(Default)]
struct Order {
    id: String,
    lines: Vec<Line>,
    merchant: MerchantId,
    buyer: u64,
    region: u32,
    at: u64,
}

struct Source {
    traffic: Traffic,
    skus: Skus,
    random: Random,
    made: u64,
}

const START: u64 = 1_762_790_400_000;

impl Source {
    fn new(traffic: Traffic) -> Source {
        Source { skus: Skus::new(traffic.spread), traffic, random: Random(7), made: 0 }
    }

    fn draw(&mut self) -> u32 {
        self.skus.draw(&mut self.random) as u32
    }

    fn order(&mut self) -> Order {
        let mut order = Order::default();
        let sku = self.draw();
        self.fill(u64::from(sku), &mut order);
        order
    }

    /// Makes the next order, of this SKU, in the place of an old one.
    fn fill(&mut self, sku: u64, order: &mut Order) {
        let stride = self.traffic.merchants;
        order.lines.clear();
        // Further lines are of the same merchant.
        order.lines.extend((0..self.traffic.lines as u64).map(|line| Line {
            sku: SkuId((sku + line * stride) % SKUS),
            qty: Units(1),
            unit_price: Money(990 + line),
        }));
        self.made += 1;
        let (a, b) = (self.random.next(), self.random.next());
        order.id.clear();
        let written = if self.traffic.uuid {
            let (c, d, e) = (a >> 16 & 0xffff, a & 0xffff, b & 0xffff_ffff_ffff);
            write!(order.id, "{:08x}-{c:04x}-{d:04x}-{:04x}-{e:012x}", a >> 32, b >> 48)
        } else {
            write!(order.id, "{}", 202_511_110_000_000_000 + self.made)
        };
        written.expect("a string takes everything");
        order.merchant = self.traffic.merchant(sku);
        order.buyer = a;
        order.region = (b % 34 * 10_000 + b % 89) as u32;
        order.at = START + (self.made as f64 / self.traffic.orders_per_ms) as u64;
    }
}

impl Order {
    fn command(&self, settle: Settle, pay_by: Option<Millis>) -> Command<'_> {
        Command::OrderPlaced(OrderPlaced {
            merchant: self.merchant,
            order_id: ExternalId::new(&self.id).expect("an id"),
            buyer: BuyerId(self.buyer),
            placed_at: Millis(self.at),
            lines: &self.lines,
            amount: Money(self.lines.iter().map(|line| line.unit_price.0).sum()),
            discount: Money(0),
            channel: Channel::ALL[self.buyer as usize % 7],
            region: Region::new(self.region).expect("a region"),
            rural: self.buyer.is_multiple_of(3),
            fulfilment: Fulfilment::Ship,
            settle,
            pay_by,
            presale: None,
        })
    }

    fn payment(&self) -> Command<'_> {
        Command::OrderPaid(OrderPaid {
            merchant: self.merchant,
            payment_id: ExternalId::new(&self.id).expect("an id"),
            order_id: ExternalId::new(&self.id).expect("an id"),
            amount: Money(self.lines.iter().map(|line| line.unit_price.0).sum()),
            part: Part::Full,
            paid_at: Millis(self.at),
        })
    }
}

/// A ledger with all SKUs listed and stocked.
fn stocked(traffic: &Traffic) -> Ledger {
    let mut ledger = Ledger::new(Rules::default());
    let names: Vec<String> = (0..200).map(|n| format!("category-{n}")).collect();
    for sku in 0..SKUS {
        let merchant = traffic.merchant(sku);
        let category = &names[(sku % 200) as usize];
        let listing = SkuListed {
            merchant,
            sku: SkuId(sku),
            category: Category::new(category).expect("a category"),
            per_buyer_limit: Units(0),
            safety_stock: Units(0),
        };
        let id = sku.to_string();
        let receipt = StockReceived {
            merchant,
            receipt_id: ExternalId::new(&id).expect("an id"),
            received_at: Millis(START),
            sku: SkuId(sku),
            location: LocationId(0),
            qty: 1_000_000_000,
        };
        let mut none = |_: Effect<'_>| ();
        ledger.apply(Offset(0), START as i64, Ok(Command::SkuListed(listing)), &mut none);
        ledger.apply(Offset(0), START as i64, Ok(Command::StockReceived(receipt)), &mut none);
    }
    ledger.take_notices(|_| ());
    ledger
}

/// Counts what comes out.
#[derive(Default)]
struct Seen {
    accepted: u64,
    refused: u64,
}

impl Seen {
    fn note(&mut self, effect: &Effect<'_>) {
        match black_box(effect) {
            Effect::HoldPlaced { .. } | Effect::OrderSettled { .. } => self.accepted += 1,
            _ => self.refused += 1,
        }
    }
}

/// Time that this thread has spent on a core: on a machine that is busy with other things, the wall
/// clock says nothing. Falls back to the wall clock where the kernel does not tell.
fn on_core(start: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// Orders of one batch, small enough to stay near the core like those of a record batch.
const BATCH: usize = 512;

/// Runs so many batches through `on`; gives the time on the core, that of making them included.
fn run_batches(traffic: &Traffic, batches: usize, mut on: impl FnMut(&[Order])) -> Duration {
    let mut source = Source::new(*traffic);
    // Drawing from a large table would push the ledger's state out of the caches.
    let skus: Vec<u32> = (0..batches * BATCH).map(|_| source.draw()).collect();
    let mut orders: Vec<Order> = Vec::new();
    let start = Instant::now();
    let begun = on_core(start);
    for skus in skus.chunks(BATCH) {
        orders.resize_with(BATCH, Order::default);
        for (order, sku) in orders.iter_mut().zip(skus) {
            source.fill(u64::from(*sku), order);
        }
        on(&orders);
    }
    on_core(start) - begun
}

fn speed(traffic: Traffic, orders: usize, ahead: usize) {
    let mut ledger = stocked(&traffic);
    let mut seen = Seen::default();
    let batches = orders / BATCH;
    let making = run_batches(&traffic, batches, |orders| {
        black_box(traffic.commands(orders));
    });
    let mut part = 0u32;
    let all = run_batches(&traffic, batches, |orders| {
        let commands = traffic.commands(orders);
        let at = orders[0].at as i64;
        for commands in commands.chunks(ahead) {
            let inputs = commands.iter().map(|command| LogRecord {
                offset: Offset(1),
                timestamp: at,
                command: Ok(command),
            });
            ledger.apply_all(inputs, &mut |_, _, effect| seen.note(&effect));
        }
        // More often than once a second, and in as many parts as there are commits in one.
        part += 1;
        if part.is_multiple_of(100) {
            for which in [Cadence::Fast, Cadence::Slow] {
                ledger.write_counters(which, part / 100 % 50, 50, &mut |counter| {
                    black_box(counter);
                });
            }
        }
    });
    let ns = (all - making).as_nanos() as f64 / (batches * BATCH) as f64;
    println!(
        "{:?}, {} merchants, {} lines, uuid {}, {:?}, {ahead} at a time: {:.2} M orders/s, {ns:.0} ns each \
         ({:.0} ns more to make it); {} accepted, {} refused, {} ids",
        traffic.spread,
        traffic.merchants,
        traffic.lines,
        traffic.uuid,
        traffic.settle,
        1000.0 / ns,
        making.as_nanos() as f64 / (batches * BATCH) as f64,
        seen.accepted,
        seen.refused,
        ledger.ids_remembered(),
    );
}

/// The longest records, those left out during which the kernel gave the core to somebody else.
#[derive(Default)]
struct Longest {
    worst: Duration,
    over_1_ms: u64,
    sum: Duration,
    records: u64,
    interruptions: Option<u64>,
}

impl Longest {
    fn interruptions() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with("nonvoluntary_ctxt_switches"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    fn time(&mut self, record: impl FnOnce()) {
        // Looked up now and then, so that a long record can be told from an interrupted one.
        if self.records.is_multiple_of(64) {
            self.interruptions = Longest::interruptions();
        }
        self.records += 1;
        let clock = Instant::now();
        record();
        let took = clock.elapsed();
        if took > Duration::from_micros(200) {
            let now = Longest::interruptions();
            let interrupted = now != self.interruptions;
            self.interruptions = now;
            if interrupted {
                return;
            }
        }
        self.over_1_ms += u64::from(took > Duration::from_millis(1));
        self.worst = self.worst.max(took);
        self.sum += took;
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: longest record {:.2} ms, {} of {} over 1 ms, mean {:.0} ns",
            self.worst.as_secs_f64() * 1e3,
            self.over_1_ms,
            self.records,
            self.sum.as_nanos() as f64 / self.records.max(1) as f64
        );
    }
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Grows holds or remembered ids from 1 M to 10 M; prints their mean resident size and the longest
/// record.
fn memory(traffic: Traffic) {
    let mut ledger = stocked(&traffic);
    let mut source = Source::new(traffic);
    let mut longest = Longest::default();
    let mut base = 0;
    let pay_by = Some(Millis(START + 10_000_000_000));
    for million in 1..=10u64 {
        for _ in 0..1_000_000 {
            let order = source.order();
            let command = order.command(traffic.settle, pay_by);
            longest.time(|| apply(&mut ledger, command));
        }
        let now = resident();
        if million == 1 {
            base = now;
        } else {
            let each = (now - base) as f64 / (million - 1) as f64 / 1e6;
            println!("{million} M: {each:.1} bytes each");
        }
    }
    longest.print(&format!("{:?} uuid {}", traffic.settle, traffic.uuid));
    println!("{} holds, {} ids", ledger.holds_open(), ledger.ids_remembered());
}

fn apply(ledger: &mut Ledger, command: Command<'_>) {
    ledger.apply(Offset(1), START as i64, Ok(command), &mut |effect| {
        black_box(effect);
    });
}

/// Freezes a large state, serialises it on another thread, and prints what the records beside it feel.
fn snapshot(traffic: Traffic) {
    let mut ledger = stocked(&traffic);
    let mut source = Source::new(traffic);
    let pay_by = Some(Millis(START + 10_000_000_000));
    for _ in 0..7_000_000 {
        let order = source.order();
        apply(&mut ledger, order.command(traffic.settle, pay_by));
    }
    for round in 0..3 {
        let clock = Instant::now();
        let frozen = ledger.snapshot();
        let froze = clock.elapsed();
        let bytes = frozen.bytes();
        let writer = std::thread::spawn(move || {
            let clock = Instant::now();
            let mut sum = 0;
            for section in frozen.sections() {
                let written: Result<(), ()> = section.write_to(&mut |piece| {
                    // About the price of a fast checksum or compression.
                    sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
                    Ok(())
                });
                black_box(written).unwrap_or_default();
            }
            (clock.elapsed(), sum)
        });
        let mut longest = Longest::default();
        while !writer.is_finished() {
            for _ in 0..1000 {
                let order = source.order();
                let command = order.command(traffic.settle, pay_by);
                longest.time(|| apply(&mut ledger, command));
            }
        }
        let wrote = writer.join().map(|(took, _)| took).unwrap_or_default();
        println!(
            "{round}: {:.2} GB frozen in {:.2} ms, written in {:.0} ms",
            bytes as f64 / 1e9,
            froze.as_secs_f64() * 1e3,
            wrote.as_secs_f64() * 1e3,
        );
        longest.print("beside it");
    }
}

fn main() {
    let what = std::env::args().nth(1).unwrap_or_default();
    let ahead = std::env::args().nth(2).and_then(|text| text.parse().ok()).unwrap_or(32);
    let orders = std::env::args().nth(3).and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let base = Traffic {
        spread: Spread::Zipf,
        merchants: 20_000,
        uuid: false,
        lines: 1,
        settle: Settle::OnPlacement,
        orders_per_ms: 5000.0,
    };
    match what.as_str() {
        "speed" => {
            let traffics = [
                Traffic { spread: Spread::Uniform, ..base },
                base,
                Traffic { spread: Spread::One, ..base },
                Traffic { merchants: 200_000, ..base },
                Traffic { uuid: true, lines: 2, ..base },
                Traffic { settle: Settle::OnPayment, ..base },
            ];
            for traffic in traffics {
                for ahead in [1, 32] {
                    speed(traffic, 5_000_000, ahead);
                }
            }
        }
        "zipf" => speed(base, orders, ahead),
        "one" => speed(Traffic { spread: Spread::One, ..base }, orders, ahead),
        "uniform" => speed(Traffic { spread: Spread::Uniform, ..base }, orders, ahead),
        // Log time so fast that ids are forgotten as quickly as they come.
        "steady" => speed(Traffic { orders_per_ms: 2.0, ..base }, orders, ahead),
        // So fast, and so few SKUs, that everything stays in the nearest caches: computing alone.
        "near" => {
            let traffic = Traffic { spread: Spread::One, orders_per_ms: 0.01, ..base };
            speed(traffic, orders, ahead);
        }
        "pay" => speed(Traffic { settle: Settle::OnPayment, ..base }, 5_000_000, ahead),
        "memory" => {
            for (uuid, lines, settle) in [
                (true, 2, Settle::OnPayment),
                (false, 2, Settle::OnPayment),
                (true, 1, Settle::OnPlacement),
                (false, 1, Settle::OnPlacement),
            ] {
                memory(Traffic { spread: Spread::Uniform, uuid, lines, settle, ..base });
            }
        }
        "snapshot" => snapshot(Traffic { uuid: true, lines: 2, settle: Settle::OnPayment, ..base }),
        _ => println!("speed | zipf | uniform | steady | near | pay | memory | snapshot"),
    }
}
