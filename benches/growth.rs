//! What an order costs as the state grows: SKUs, open holds, merchants.
//!
//! All stages of a worker but the log, one partition, one core: decode, decide, encode, digest. Making the
//! records is not counted. Not a test: it prints nanoseconds, to be compared down a column;
//! memory is what `measure memory` of `ledger` tells.
//!
//! ```text
//! cargo run --release -p benches --bin growth -- [DIVIDED_BY]
//! ```
//! With an argument all sizes are divided by it, for a look on a small machine.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::io::Write as _;
use std::time::{Duration, Instant};

use ledger::rules::Rules;
use ledger::units::Offset;
use pipeline::engine::Engine;
use wire::{NoHeaders, Outputs, Record};

/// Records that are handed on at a time, as by the log.
const BATCH: u64 = 512;
/// Batches in a transaction of 50 ms at a million records a second.
const TRANSACTION: u64 = 100;
const MEASURED: u64 = 1_000_000;
const START: i64 = 1_762_790_400_000;
/// Orders a millisecond of log time.
const ORDERS_EACH_MS: u64 = 500;

fn main() -> anyhow::Result<()> {
    let divided_by: u64 = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let scaled = |size: u64| (size / divided_by).max(1);
    let plain = Shape { merchants: 2_000, skus_each: 10, holds: 0 };
    println!("{:>12} {:>12} {:>12} {:>10}", "SKUs", "open holds", "merchants", "ns/order");
    for skus in [1_000, 10_000, 100_000, 1_000_000, 10_000_000].map(scaled) {
        let merchants = plain.merchants.min(skus.div_ceil(10));
        measure(Shape { merchants, skus_each: skus.div_ceil(merchants), ..plain });
    }
    println!();
    for holds in [0, 1_000_000, 3_000_000, 10_000_000].map(scaled) {
        measure(Shape { skus_each: scaled(1_000_000) / plain.merchants + 1, holds, ..plain });
    }
    println!();
    for merchants in [2_000, 20_000, 200_000].map(scaled) {
        measure(Shape { merchants, skus_each: scaled(1_000_000).div_ceil(merchants), ..plain });
    }
    Ok(())
}

/// What is there before the orders that are measured.
#[derive(Debug, Clone, Copy)]
struct Shape {
    merchants: u64,
    skus_each: u64,
    /// Open holds; then the measured orders are held too, else they settle at once.
    holds: u64,
}

impl Shape {
    fn catalogue(&self) -> u64 {
        self.merchants * self.skus_each * 2
    }

    /// Key, value and timestamp of a record, one behind the other.
    fn make(&self, number: u64, into: &mut Vec<u8>) -> (usize, i64) {
        match number.checked_sub(self.catalogue()) {
            None => self.make_catalogue(number, into),
            Some(order) => self.make_order(order, into),
        }
    }

    fn make_catalogue(&self, number: u64, into: &mut Vec<u8>) -> (usize, i64) {
        let (cell, is_stock) = (number / 2, number % 2 == 1);
        let (merchant, sku) = (1 + cell / self.skus_each, 1 + cell % self.skus_each);
        let key = key(merchant, into);
        // Writing to a vector does not fail.
        _ = if is_stock {
            write!(
                into,
                r#"{{"type":"stock.received","merchant_id":{merchant},"receipt_id":"r{sku}","received_at":{START},"sku":{sku},"qty":1000000}}"#
            )
        } else {
            write!(
                into,
                r#"{{"type":"sku.listed","merchant_id":{merchant},"sku":{sku},"category":"cat{}"}}"#,
                sku % 7
            )
        };
        (key, START)
    }

    fn make_order(&self, order: u64, into: &mut Vec<u8>) -> (usize, i64) {
        // A multiplication spreads neighbours over all merchants and SKUs.
        let mixed = order.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let merchant = 1 + (mixed >> 20) % self.merchants;
        let (first, second) =
            (1 + (mixed >> 32) % self.skus_each, 1 + (mixed >> 8) % self.skus_each);
        let at = START + (order / ORDERS_EACH_MS).cast_signed();
        let (settle, pay_by) = match self.holds {
            0 => ("on_placement", at),
            _ => ("on_payment", START + 86_400_000),
        };
        let key = key(merchant, into);
        _ = write!(
            into,
            concat!(
                r#"{{"type":"order.placed","merchant_id":{},"order_id":"o{:09}","buyer_id":{},"#,
                r#""placed_at":{},"channel":"app","region":"330106","area":"urban","settle":"{}","#,
                r#""pay_by":{},"lines":[{{"sku":{},"qty":1,"unit_price":9900}},"#,
                r#"{{"sku":{},"qty":2,"unit_price":1290}}]}}"#
            ),
            merchant,
            order,
            order % 1_000_003,
            at,
            settle,
            pay_by,
            first,
            second
        );
        (key, at)
    }
}

fn key(merchant: u64, into: &mut Vec<u8>) -> usize {
    into.clear();
    _ = write!(into, "{merchant}");
    into.len()
}

fn measure(shape: Shape) {
    let rules = Rules { partitions: 1, ..Rules::default() };
    let mut engine = Engine::new(0, "orders", rules);
    let first = shape.catalogue() + shape.holds;
    apply(&mut engine, &shape, 0, first);
    let took = apply(&mut engine, &shape, first, first + MEASURED);
    println!(
        "{:>12} {:>12} {:>12} {:>10.0}",
        shape.merchants * shape.skus_each,
        shape.holds,
        shape.merchants,
        took.as_nanos() as f64 / MEASURED as f64,
    );
}

/// Applies records, and gives what that took without making them.
fn apply(engine: &mut Engine, shape: &Shape, from: u64, to: u64) -> Duration {
    let mut outputs = Outputs::new();
    let mut made: Vec<(Vec<u8>, usize, i64)> = vec![Default::default(); BATCH as usize];
    let mut took = Duration::ZERO;
    for (number, first) in (from..to).step_by(BATCH as usize).enumerate() {
        let count = BATCH.min(to - first) as usize;
        for (offset, (bytes, key, timestamp)) in (first..).zip(&mut made[..count]) {
            (*key, *timestamp) = shape.make(offset, bytes);
        }
        let records: Vec<Record<'_>> = (first..).zip(&made[..count]).map(as_record).collect();
        if (number as u64).is_multiple_of(TRANSACTION) {
            outputs.clear();
        }
        let started = Instant::now();
        engine.apply(&records, &mut outputs);
        took += started.elapsed();
    }
    took
}

fn as_record((offset, (bytes, key, timestamp)): (u64, &(Vec<u8>, usize, i64))) -> Record<'_> {
    Record {
        partition: 0,
        offset: Offset(offset),
        timestamp: *timestamp,
        key: Some(&bytes[..*key]),
        value: Some(&bytes[*key..]),
        headers: &NoHeaders,
    }
}
