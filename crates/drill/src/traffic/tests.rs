//! The promises of the traffic: the same bytes everywhere, everything in order of time and in the
//! right place, every kind in a short run. What Floodgate makes of it is judged elsewhere.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use super::malformed::MALFORMED;
use super::planned::TICK;
use super::*;

/// A minute before the midnight that begins 11 November 2025 in China.
const START_MS: i64 = 1_762_790_340_000;

fn traffic(orders: u64, seed: u64, partitions: u32) -> Traffic {
    Traffic::new(Settings::default(), orders, seed, partitions, START_MS)
}

fn digest(mut traffic: Traffic) -> u64 {
    let mut digest = Xxh3::new();
    let mut sent = Sent::new();
    while traffic.next_into(&mut sent) {
        digest.update(&sent.partition.to_le_bytes());
        digest.update(&sent.timestamp_ms.to_le_bytes());
        for field in [sent.key(), sent.value()] {
            digest.update(&field.map_or(u64::MAX, |bytes| bytes.len() as u64).to_le_bytes());
            digest.update(field.unwrap_or_default());
        }
    }
    digest.digest()
}

/// The types of the contract with the fields that each requires.
const REQUIRED: [(&str, Kind, &[&str]); 11] = [
    ("order.placed", Kind::OrderPlaced, &["order_id", "buyer_id", "placed_at", "lines"]),
    ("order.paid", Kind::OrderPaid, &["payment_id", "order_id", "amount", "paid_at"]),
    ("order.cancelled", Kind::OrderCancelled, &["order_id"]),
    (
        "order.refunded",
        Kind::OrderRefunded,
        &["refund_id", "order_id", "refunded_at", "amount", "lines"],
    ),
    ("stock.received", Kind::StockReceived, &["receipt_id", "received_at", "sku", "qty"]),
    ("stock.moved", Kind::StockMoved, &["receipt_id", "received_at", "sku", "from", "to", "qty"]),
    ("sku.listed", Kind::SkuListed, &["sku"]),
    ("sku.withdrawn", Kind::SkuWithdrawn, &["sku"]),
    ("location.opened", Kind::LocationOpened, &["location", "kind"]),
    ("location.closed", Kind::LocationClosed, &["location"]),
    ("tick", Kind::Tick, &[]),
];

/// The decimal digits of an id, written as a number or a string, without leading zeros.
fn digits(id: &Value) -> String {
    let text = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    text.parse::<u64>().unwrap().to_string()
}

#[test]
fn same_arguments_give_other_bytes() {
    assert_eq!(digest(traffic(1_500, 7, 4)), digest(traffic(1_500, 7, 4)));
    assert_ne!(digest(traffic(1_500, 7, 4)), digest(traffic(1_500, 8, 4)));
}

#[test]
fn pinned_bytes() {
    // A change here makes every recorded seed mean something else: say so in the CHANGELOG.
    assert_eq!(digest(traffic(3_000, 1, 12)), 7_144_516_332_282_157_173);
}

#[test]
fn a_reused_record_keeps_something_of_the_last_one() {
    let mut reused = traffic(2_000, 3, 4);
    let mut sent = Sent::new();
    for fresh in traffic(2_000, 3, 4) {
        assert!(reused.next_into(&mut sent));
        assert_eq!(sent, fresh);
    }
    assert!(!reused.next_into(&mut sent));
}

#[test]
fn the_number_of_partitions_changes_what_is_sold() {
    let values = |partitions| -> Vec<Vec<u8>> {
        let sold = traffic(1_000, 5, partitions).filter(|sent| sent.kind != Kind::Tick);
        sold.map(|sent| sent.value().unwrap_or_default().to_vec()).collect()
    };
    assert_eq!(values(2), values(12));
}

#[test]
fn time_goes_back() {
    let mut last_ms = START_MS;
    for sent in traffic(3_000, 2, 3) {
        assert!(sent.timestamp_ms >= last_ms);
        last_ms = sent.timestamp_ms;
    }
}

#[test]
fn orders_are_missing_or_ids_are_given_twice() {
    for orders in [0, 1, 100, 2_345] {
        let mut traffic = traffic(orders, 11, 4);
        let mut ids = HashSet::new();
        for sent in traffic.by_ref() {
            if !matches!(sent.kind, Kind::OrderPlaced | Kind::Late | Kind::Ahead) {
                continue;
            }
            let command: Value = serde_json::from_slice(sent.value().unwrap()).unwrap();
            if command["type"] == "order.placed" {
                assert!(ids.insert(command["order_id"].as_str().unwrap().to_owned()));
            }
        }
        assert_eq!(ids.len() as u64, orders);
        assert_eq!(traffic.summary().orders, orders);
    }
}

#[test]
fn a_command_in_order_is_not_of_its_type_or_lacks_a_field() {
    for sent in traffic(2_000, 4, 4) {
        let Some(&(name, _, fields)) = REQUIRED.iter().find(|(_, kind, _)| *kind == sent.kind)
        else {
            continue;
        };
        let command: Value = serde_json::from_slice(sent.value().unwrap()).unwrap();
        assert_eq!(command["type"], name);
        assert!(fields.iter().all(|field| !command[*field].is_null()), "{command}");
        let id = fields.first().and_then(|field| command[*field].as_str());
        assert!(id.is_none_or(|id| (1..=40).contains(&id.len())), "{command}");
    }
}

#[test]
fn a_kind_does_not_occur_in_a_short_run() {
    let mut traffic = traffic(2_000, 6, 4);
    traffic.by_ref().for_each(drop);
    for (kind, count) in traffic.summary().iter() {
        assert!(count > 0, "{kind:?}");
    }
    assert!(traffic.summary().count(Kind::Malformed) >= MALFORMED.len() as u64);
    let total: u64 = traffic.summary().iter().map(|(_, count)| count).sum();
    assert_eq!(total, traffic.summary().records);
}

#[test]
fn a_way_to_go_wrong_is_left_out_of_the_round() {
    let round: BTreeSet<Aside> = (0..ROUND).map(Aside::of).collect();
    assert!((0..MALFORMED.len() as u16).all(|index| round.contains(&Aside::Malformed(index))));
    let fates: BTreeSet<u8> =
        (0..1_000).map(|n| traffic(1_000, 9, 1).world.fate(n) as u8).collect();
    assert_eq!(fates.len(), Settings::default().fates.len() + 1, "the listed ones and `Paid`");
}

#[test]
fn a_record_is_misled_without_being_called_misrouted() {
    for partitions in [1, 12] {
        let mut misrouted = 0;
        for sent in traffic(2_000, 8, partitions).filter(|sent| sent.value().is_some()) {
            let command: Option<Value> = serde_json::from_slice(sent.value().unwrap()).ok();
            let is_addressed = match (sent.kind, command) {
                (Kind::Malformed | Kind::Tick, _) | (_, None) => continue,
                (_, Some(command)) => {
                    let key = digits(&command["merchant_id"]);
                    let partition = partition_of(key.as_bytes(), partitions);
                    sent.key() == Some(key.as_bytes()) && sent.partition == partition
                }
            };
            assert_eq!(is_addressed, sent.kind != Kind::Misrouted);
            misrouted += u32::from(!is_addressed);
        }
        assert!(misrouted >= 4);
    }
}

#[test]
fn a_repetition_is_not_byte_for_byte() {
    let mut seen = HashSet::new();
    for sent in traffic(3_000, 10, 4) {
        let key = sent.key().map(<[u8]>::to_vec);
        let record = (sent.partition, key, sent.value().map(<[u8]>::to_vec));
        assert!(sent.kind != Kind::Repeated || seen.contains(&record));
        seen.insert(record);
    }
}

#[test]
fn large_values_miss_the_limit() {
    let sizes: Vec<usize> = traffic(1_000, 12, 4)
        .filter_map(|sent| sent.value().map(<[u8]>::len))
        .filter(|&bytes| bytes > 100_000)
        .collect();
    assert_eq!(sizes, [262_144, 262_145]);
}

#[test]
fn a_partition_ends_before_its_last_hold() {
    let mut last_ms = 0;
    let mut placed = [0_u64; 2];
    let mut closing_ticks = [0_u64; 2];
    for sent in traffic(5_000, 13, 2) {
        let partition = sent.partition as usize;
        match sent.kind {
            Kind::OrderPlaced => {
                let command: Value = serde_json::from_slice(sent.value().unwrap()).unwrap();
                let balance_due = command["presale"]["balance_due"].as_i64().unwrap_or(0);
                let pay_by = command["pay_by"].as_i64().unwrap_or(0);
                last_ms = last_ms.max(balance_due).max(pay_by).max(sent.timestamp_ms + 900_000);
                placed[partition] += 1;
            }
            Kind::Tick if sent.value() == Some(TICK) => {
                assert!(sent.timestamp_ms >= last_ms);
                closing_ticks[partition] += 1;
            }
            _ => {}
        }
    }
    assert!(closing_ticks[0] * HOLDS_SWEPT_MAX > placed[0], "{closing_ticks:?} {placed:?}");
    assert!(closing_ticks[1] * HOLDS_SWEPT_MAX > placed[1], "{closing_ticks:?} {placed:?}");
}

/// The records of a run with other settings than the default ones.
fn changed(orders: u64, change: impl FnOnce(&mut Settings)) -> Vec<Sent> {
    let mut settings = Settings::default();
    change(&mut settings);
    Traffic::new(settings, orders, 4, 4, START_MS).collect()
}

fn commands(sent: &[Sent], kind: &str) -> Vec<(i64, Value)> {
    let parse =
        |sent: &Sent| Some((sent.timestamp_ms, serde_json::from_slice(sent.value()?).ok()?));
    let is_sound = |sent: &&Sent| !matches!(sent.kind, Kind::Repeated | Kind::Malformed);
    let all = sent.iter().filter(is_sound).filter_map(parse);
    all.filter(|(_, command): &(i64, Value)| command["type"] == kind).collect()
}

#[test]
fn bots_are_not_as_many_or_as_greedy_as_asked_for() {
    let bots_of = |sent: &[Sent]| -> Vec<u64> {
        let buyer = |order: &Value| digits(&order["buyer_id"]).parse().unwrap();
        let buyers = commands(sent, "order.placed").into_iter().map(|(_, order)| buyer(&order));
        buyers.filter(|buyer| (30_000_001..30_000_101).contains(buyer)).collect()
    };
    assert!(bots_of(&changed(3_000, |_| {})).is_empty());
    let bots = bots_of(&changed(3_000, |settings| {
        (settings.bots_per_mille, settings.bots) = (500, 5);
    }));
    // Half of 3 % of 3,000 orders, from 5 buyers.
    assert!((25..75).contains(&bots.len()), "{}", bots.len());
    assert_eq!(bots.iter().collect::<BTreeSet<_>>().len(), 5);
}

#[test]
fn presale_balances_come_before_they_can_be_paid() {
    let opens_ms = START_MS + 60_000 + 1_800_000;
    let sent = changed(2_000, |settings| settings.balances_open_ms = 1_800_000);
    let balances: Vec<i64> = commands(&sent, "order.paid")
        .into_iter()
        .filter(|(_, payment)| payment["part"] == "balance")
        .map(|(at_ms, _)| at_ms)
        .collect();
    assert!(balances.iter().all(|at_ms| *at_ms >= opens_ms), "{balances:?}");
    let at_once = balances.iter().filter(|at_ms| **at_ms <= opens_ms + 10_000).count();
    assert!(at_once > 50, "{at_once} of {}", balances.len());
}

#[test]
fn more_is_late_or_malformed_than_asked_for() {
    let count = |sent: &[Sent], kind| sent.iter().filter(|sent| sent.kind == kind).count();
    let plain = changed(2_000, |_| {});
    let sent = changed(2_000, |settings| {
        (settings.late_per_ten_thousand, settings.malformed_per_ten_thousand) = (500, 1_000);
    });
    let more = |kind| count(&sent, kind) - count(&plain, kind);
    assert!((60..140).contains(&more(Kind::Late)), "{}", more(Kind::Late));
    assert!((150..250).contains(&more(Kind::Malformed)), "{}", more(Kind::Malformed));
    let orders = |sent: &[Sent]| commands(sent, "order.placed");
    assert!(orders(&plain) == orders(&sent), "the orders are others");
}

#[test]
fn everybody_pays_at_another_time_than_asked_for() {
    let sent = changed(1_000, |settings| {
        settings.pay_quickly_percent = 100;
        settings.pay_soon_percent = 0;
        (settings.pay_quickly_ms_min, settings.pay_quickly_ms_max) = (2_000, 2_000);
        settings.fates.clear();
    });
    let placed: std::collections::BTreeMap<String, i64> = commands(&sent, "order.placed")
        .into_iter()
        .map(|(at_ms, order)| (order["order_id"].to_string(), at_ms))
        .collect();
    let paid = commands(&sent, "order.paid");
    // But for the asides' payments of orders that never were.
    let of_orders = paid
        .iter()
        .filter_map(|(at_ms, payment)| Some(at_ms - placed.get(&payment["order_id"].to_string())?));
    let waits: BTreeSet<i64> = of_orders.collect();
    assert!(waits.into_iter().eq([2_000]));
}
