//! The plain model and the engine side by side, record for record: on the drill's sale day under
//! rules of all kinds, on a hostile stream of this test's own, and on generated logs that shrink.
//!
//! Every output is compared byte for byte, every counter at intervals and at the end; and after each
//! run the books must balance: what was stocked is on hand, held or settled, and what was settled is
//! what the counters say, in every dimension. Invariant: a seed says everything about its stream, so
//! a difference can be had again.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

#[path = "model_against_ledger/books.rs"]
mod books;
#[path = "model_against_ledger/generated.rs"]
mod generated;
#[path = "model_against_ledger/hostile.rs"]
mod hostile;
#[path = "model_against_ledger/pair.rs"]
mod pair;
#[allow(dead_code, reason = "each test binary uses its part")]
mod sides;

use drill::traffic::{Sent, Settings, Traffic};
use ledger::rules::{Partitioner, Rules};
use model::InputRecord;

use books::Books;
use hostile::Hostile;
use pair::Pair;

/// A minute before the midnight that begins 11 November 2025 in China.
const SALE_STARTS: i64 = 1_762_790_340_000;

/// A sale day of the drill, partition by partition.
fn drill(settings: Settings, orders: u64, seed: u64, rules: Rules) {
    let what = format!("{orders} orders, seed {seed}, {rules:?}");
    let mut pairs: Vec<Pair> =
        (0..rules.partitions).map(|partition| Pair::new(partition, rules, &what)).collect();
    let mut next = vec![0_u64; pairs.len()];
    let mut traffic = Traffic::new(settings, orders, seed, rules.partitions, SALE_STARTS);
    let mut sent = Sent::new();
    while traffic.next_into(&mut sent) {
        let partition = sent.partition as usize;
        let input = InputRecord {
            offset: next[partition],
            timestamp: sent.timestamp_ms,
            key: sent.key().map(<[u8]>::to_vec),
            value: sent.value().map(<[u8]>::to_vec),
            headers: Vec::new(),
        };
        pairs[partition].apply(&input);
        // Transaction markers leave gaps.
        next[partition] += 1 + u64::from(next[partition] % 50 == 49);
    }
    for pair in pairs {
        assert!(pair.finish().settlements() > 0, "{what}: the sale sold nothing");
    }
}

#[test]
fn an_ordinary_sale_day_is_decided_alike() {
    for (seed, partitions) in [(1, 1), (2, 4), (3, 1), (4, 4)] {
        drill(Settings::default(), 4_000, seed, Rules { partitions, ..Rules::default() });
    }
}

#[test]
fn a_sale_day_under_any_partitioner_is_decided_alike() {
    let rules = Rules { partitions: 4, partitioner: Partitioner::Any, ..Rules::default() };
    drill(Settings::default(), 3_000, 5, rules);
}

#[test]
fn a_sale_day_with_tiny_windows_is_decided_alike() {
    for (seed, window, skew) in [(6, 0, 0), (7, 1, 1), (8, 2_000, 500)] {
        let rules = Rules {
            order_window_ms: window,
            receipt_window_ms: window * 3,
            skew_ms: skew,
            ..Rules::default()
        };
        drill(Settings::default(), 3_000, seed, rules);
    }
}

#[test]
fn a_sale_day_whose_holds_live_for_an_instant_is_decided_alike() {
    for (seed, hold_ttl_ms) in [(9, 0), (10, 700), (11, 30_000)] {
        drill(Settings::default(), 3_000, seed, Rules { hold_ttl_ms, ..Rules::default() });
    }
}

#[test]
fn a_sale_day_counted_on_other_days_is_decided_alike() {
    // Midnight falls at the opening, in the middle, and with no offset at all.
    for (seed, day_offset_ms) in [(12, 0), (13, 28_770_000), (14, 86_399_999), (15, 30_000_000)] {
        let rules = Rules { day_offset_ms, partitions: 4, ..Rules::default() };
        drill(Settings::default(), 3_000, seed, rules);
    }
}

#[test]
fn a_sale_day_of_few_merchants_and_scarce_stock_is_decided_alike() {
    let settings = Settings {
        merchants_min: 3,
        orders_per_merchant: 3_000,
        stock_percent: 40,
        stock_base: 2,
        repeated_soon_per_mille: 200,
        repeated_late_per_ten_thousand: 300,
        orders_per_aside: 5,
        orders_per_buyer: 60,
        ..Settings::default()
    };
    drill(settings, 4_000, 16, Rules::default());
}

/// A hostile stream, which the two sides must take alike to the end.
fn hostile(seed: u64, records: u64, rules: Rules) -> Books {
    let mut stream = Hostile::new(seed, rules);
    let mut pair = Pair::new(0, rules, &format!("hostile seed {seed}, {rules:?}"));
    for _ in 0..records {
        pair.apply(&stream.next_record());
    }
    // Everything that can expire does, and the clock can go no further.
    (0..4).for_each(|_| pair.apply(&stream.end_of_time()));
    (0..100).for_each(|_| pair.apply(&stream.next_record()));
    pair.finish()
}

#[test]
fn hostile_streams_are_decided_alike() {
    let mut all = Books::default();
    for seed in 0..12 {
        let rules = Rules {
            order_window_ms: [0, 5, 60_000, 900_000][seed as usize % 4],
            receipt_window_ms: [3, 100_000, 86_400_000][seed as usize % 3],
            skew_ms: [0, 60_000][seed as usize % 2],
            hold_ttl_ms: [0, 40, 900_000, 5_000_000][seed as usize % 4],
            day_offset_ms: [0, 28_800_000, 50_000_000_000_000][seed as usize % 3],
            ..Rules::default()
        };
        all.add_answers(&hostile(seed, 6_000, rules));
    }
    // A stream that never gets past the gate would prove nothing.
    let answers = [
        "hold.placed",
        "hold.extended",
        "hold.released cancelled",
        "hold.released expired",
        "hold.rejected stale",
        "hold.rejected clock_skew",
        "hold.rejected unknown_sku",
        "hold.rejected location_unavailable",
        "hold.rejected buyer_limit",
        "hold.rejected out_of_stock",
        "payment.refused stale",
        "payment.refused clock_skew",
        "payment.refused wrong_part",
        "payment.refused amount_mismatch",
        "payment.refused expired",
        "payment.refused cancelled",
        "payment.refused rejected",
        "payment.refused settled",
        "payment.refused unknown_order",
        "order.settled",
        "order.refunded",
        "invalid",
        "misrouted",
        "stale",
        "clock_skew",
        "stock_underflow",
        "stock_overflow",
        "duplicate",
    ];
    let counts: Vec<_> = answers.iter().map(|answer| (answer, all.answers(answer))).collect();
    assert!(counts.iter().all(|(_, count)| *count > 20), "{counts:?}");
}

#[test]
fn hostile_streams_with_extreme_rules_are_decided_alike() {
    let longest = Rules::MILLIS_MAX;
    let rules = Rules {
        order_window_ms: longest,
        receipt_window_ms: longest,
        skew_ms: longest,
        hold_ttl_ms: longest,
        day_offset_ms: longest,
        ..Rules::default()
    };
    hostile(100, 6_000, rules);
    let shortest = Rules {
        order_window_ms: 0,
        receipt_window_ms: 0,
        skew_ms: 0,
        hold_ttl_ms: 0,
        day_offset_ms: 0,
        ..Rules::default()
    };
    hostile(101, 6_000, shortest);
}

#[test]
fn thousands_of_categories_and_locations_are_decided_alike() {
    let rules = Rules::default();
    let mut stream = Hostile::new(200, rules);
    let mut pair = Pair::new(0, rules, "crowds");
    for number in 0..4_200 {
        pair.apply(&stream.listing_of_category(number));
        pair.apply(&stream.opening_of_location(number));
        if number % 7 == 0 {
            pair.apply(&stream.next_record());
        }
    }
    for _ in 0..1_500 {
        pair.apply(&stream.next_record());
    }
    let books = pair.finish();
    assert!(books.answers("too_many") > 100, "{}", books.answers("too_many"));
}
