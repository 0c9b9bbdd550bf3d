//! The traffic before the plain model of the contract: it exercises every answer that checkout can
//! get, is mostly accepted, breaks what it means to break and nothing else, and leaves no hold
//! open. `too_many` is left out: it takes more categories than a rehearsal should have.

use std::collections::BTreeMap;

use model::{InputRecord, Output, PlainPartition, Rules, Topic};
use serde_json::Value;

use super::*;

/// A minute before the midnight that begins 11 November 2025 in China.
const START_MS: i64 = 1_762_790_340_000;

const ANSWERS: [&str; 26] = [
    "dead clock_skew",
    "dead invalid",
    "dead misrouted",
    "dead stale",
    "dead stock_overflow",
    "dead stock_underflow",
    "dead too_large",
    "hold.extended",
    "hold.placed",
    "hold.rejected buyer_limit",
    "hold.rejected clock_skew",
    "hold.rejected location_unavailable",
    "hold.rejected out_of_stock",
    "hold.rejected stale",
    "hold.rejected unknown_sku",
    "hold.released cancelled",
    "hold.released expired",
    "order.refunded",
    "order.settled",
    "payment.refused amount_mismatch",
    "payment.refused cancelled",
    "payment.refused clock_skew",
    "payment.refused expired",
    "payment.refused rejected",
    "payment.refused settled",
    "payment.refused wrong_part",
];
/// Answers that take a payment without an order, by now or ever.
const ANSWERS_TO_STRANGERS: [&str; 2] = ["payment.refused stale", "payment.refused unknown_order"];

/// What became of a run.
#[derive(Default)]
struct Verdict {
    answers: BTreeMap<String, u64>,
    orders_accepted: u64,
    holds_open: usize,
    /// Holds that expired before the last order came.
    expired_in_sale: u64,
}

/// The name of an output, with its reason or its code.
fn answer(output: &Output) -> String {
    if output.topic == Topic::DeadLetters {
        let is_code = |name: &str| name == "__connect.errors.exception.class.name";
        let code = output.headers.iter().find(|(name, _)| is_code(name)).unwrap();
        return format!("dead {}", str::from_utf8(code.1.as_ref().unwrap()).unwrap());
    }
    let value: Value = serde_json::from_slice(output.value.as_ref().unwrap()).unwrap();
    let name = value["type"].as_str().unwrap();
    value["reason"].as_str().map_or_else(|| name.to_owned(), |reason| format!("{name} {reason}"))
}

/// Judges a run, and each record by what it says of itself.
fn judge(orders: u64, seed: u64, partitions: u32) -> Verdict {
    let mut traffic = Traffic::new(Settings::default(), orders, seed, partitions, START_MS);
    let rules = Rules { partitions, ..Rules::default() };
    let mut judges: Vec<_> =
        (0..partitions).map(|partition| PlainPartition::new(rules.clone(), partition)).collect();
    let mut verdict = Verdict::default();
    let mut sent = Sent::new();
    while traffic.next_into(&mut sent) {
        let record = InputRecord {
            offset: traffic.summary().records,
            timestamp: sent.timestamp_ms,
            key: sent.key().map(<[u8]>::to_vec),
            value: sent.value().map(<[u8]>::to_vec),
            headers: Vec::new(),
        };
        let outputs = judges[sent.partition as usize].apply(&record);
        let answers: Vec<String> = outputs.iter().map(answer).collect();
        let is_sale = traffic.summary().orders < orders;
        for answer in &answers {
            *verdict.answers.entry(answer.clone()).or_default() += 1;
            verdict.expired_in_sale += u64::from(is_sale && answer == "hold.released expired");
        }
        let last = answers.last().map_or("", String::as_str);
        assert_is_what_it_says(&sent, last);
        let is_accepted =
            sent.kind == Kind::OrderPlaced && (last == "hold.placed" || last == "order.settled");
        verdict.orders_accepted += u64::from(is_accepted);
    }
    verdict.holds_open = judges.iter().map(PlainPartition::open_holds).sum();
    verdict
}

fn assert_is_what_it_says(sent: &Sent, answer: &str) {
    let value = || String::from_utf8_lossy(sent.value().unwrap_or_default());
    let is_broken = matches!(sent.kind, Kind::Malformed | Kind::WithoutValue);
    assert_eq!(answer == "dead invalid", is_broken, "{:?}: {}", sent.kind, value());
    let is_misrouted = sent.kind == Kind::Misrouted;
    assert_eq!(answer == "dead misrouted", is_misrouted, "{:?}: {}", sent.kind, value());
    let is_oversized = sent.kind == Kind::Oversized;
    assert_eq!(answer == "dead too_large", is_oversized, "{:?}", sent.kind);
    if sent.kind == Kind::Ahead {
        assert!(answer.ends_with("clock_skew"), "{answer}: {}", value());
    }
}

#[test]
fn an_answer_does_not_occur_in_a_short_run() {
    for seed in [1, 2, 3, 42] {
        let verdict = judge(1_000, seed, 12);
        for answer in ANSWERS.into_iter().chain(ANSWERS_TO_STRANGERS) {
            assert!(verdict.answers.contains_key(answer), "{answer}, seed {seed}");
        }
        assert!(verdict.expired_in_sale > 0, "seed {seed}");
    }
}

#[test]
fn too_few_orders_are_accepted() {
    for (orders, seed) in [(1_000, 1), (1_000, 7), (20_000, 1)] {
        let verdict = judge(orders, seed, 4);
        assert!(verdict.orders_accepted * 100 >= orders * 85, "{}", verdict.orders_accepted);
    }
}

#[test]
fn a_hold_stays_open_at_the_end() {
    for (orders, seed, partitions) in [(0, 1, 4), (10, 1, 4), (3_000, 5, 1), (20_000, 6, 2)] {
        assert_eq!(judge(orders, seed, partitions).holds_open, 0, "{orders} {seed} {partitions}");
    }
}
