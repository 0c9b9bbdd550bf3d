//! The stages of a worker without the log, each together with those before it, and what they work on:
//! orders of two lines that settle on placement, as records of one partition.
//!
//! Not sale-day traffic (`drill`): every run reads the same bytes, so that figures can be compared
//! across versions.

use std::hint::black_box;

use ledger::rules::Rules;
use ledger::units::Offset;
use ledger::{Ledger, LogRecord};
use pipeline::digest::Digest;
use pipeline::engine::Engine;
use wire::{Decoder, NoHeaders, Outputs, Record, Route, Scratch};

/// Records that are handed on at a time, as by the log.
const BATCH: usize = 512;
/// Batches of a transaction of 50 ms at a million records a second.
const TRANSACTION: usize = 100;
const SKUS: u64 = 10;

/// Records of one partition: SKUs and stock first, then orders that settle on placement.
pub(crate) struct Input {
    records: Vec<(String, String, i64)>,
}

impl Input {
    pub(crate) fn new(orders: u64, merchants: u64) -> Input {
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

    pub(crate) fn records(&self) -> Vec<Record<'_>> {
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

/// Decodes.
pub(crate) fn decode(records: &[Record<'_>]) {
    let (mut decoder, mut scratch) = (decoder(), Scratch::new());
    for batch in records.chunks(BATCH) {
        scratch.clear();
        for record in batch {
            black_box(decoder.decode(record, &scratch)).expect("it is valid");
        }
    }
}

/// Decodes and decides.
pub(crate) fn decide(records: &[Record<'_>]) {
    let (mut decoder, mut scratch) = (decoder(), Scratch::new());
    let mut ledger = Ledger::new(rules());
    let mut effects = 0;
    for batch in records.chunks(BATCH) {
        scratch.clear();
        for ahead in batch.chunks(pipeline::engine::AHEAD) {
            let command = |record| decoder.decode(record, &scratch).expect("it is valid");
            let commands: Vec<_> = ahead.iter().map(command).collect();
            let inputs = ahead.iter().zip(&commands).map(|(record, command)| LogRecord {
                offset: record.offset,
                timestamp: record.timestamp,
                command: Ok(command),
            });
            ledger.apply_all(inputs, &mut |_, _, _| effects += 1);
        }
    }
    black_box(effects);
}

/// Decodes, decides, encodes and folds the outputs into the digest: all that a worker does.
pub(crate) fn work(records: &[Record<'_>]) {
    all(records, &mut |_| {});
}

/// [`work`], and the outputs are folded once more.
pub(crate) fn fold_again(records: &[Record<'_>]) {
    let mut digest = Digest::default();
    all(records, &mut |outputs| digest.fold(outputs, 0));
    black_box(digest);
}

fn all(records: &[Record<'_>], behind: &mut dyn FnMut(&Outputs)) {
    let mut engine = Engine::new(0, "orders", rules());
    let mut outputs = Outputs::new();
    for transaction in records.chunks(BATCH * TRANSACTION) {
        outputs.clear();
        for batch in transaction.chunks(BATCH) {
            engine.apply(batch, &mut outputs);
        }
        behind(&outputs);
    }
    black_box(engine.digest());
}
