//! Logs made by proptest: few ids, few SKUs, scarce stock and short windows, so that commands meet
//! each other all the time; and where the two sides differ, the shortest log on which they do.
//!
//! Not realistic, and all commands are valid (garbage is the hostile stream's and the fuzzer's).
//! Invariant: the steps of a log say everything, so that one without a step is a log too.

use std::collections::HashMap;

use ledger::rules::Rules;
use model::InputRecord;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::pair::Pair;

/// When the log begins, in milliseconds; a minute before a day ends with the default offset.
const BEGINS: i64 = 1_762_790_340_000;
/// Ids of orders, few enough to come again.
const ORDERS: u8 = 12;
const REGIONS: [&str; 4] = ["330106", "330108", "310101", "000000"];
const CHANNELS: [&str; 4] = ["app", "store", "livestream", "kiosk"];
const CATEGORIES: [&str; 3] = ["none", "tea", "fruit"];
/// Location 0 is always open; 9 is never opened.
const LOCATIONS: [u32; 4] = [0, 5, 6, 9];

/// Holds that a sweep takes at most (contract, 4.2).
const SWEPT_EACH: u32 = 1_024;

/// A record, a restart of the engine behind the last one, or so many orders of one unit.
#[derive(Debug, Clone)]
enum Step {
    Record { merchant: u8, clock_ms: i64, command: Command },
    Restart,
    Crowd { orders: u32, pay_within_ms: i64 },
}

/// Numbers are indexes into what there is, times are relative to the record's.
#[derive(Debug, Clone)]
enum Command {
    Place(Order),
    Pay { id: u8, order: u8, sum: Sum, age_ms: i64 },
    Cancel { order: u8 },
    Refund { id: u8, lines: Vec<(u8, usize, u32)>, restock: bool, amount: u64, age_ms: i64 },
    Receive { id: u8, sku: u8, location: usize, qty: i64, age_ms: i64 },
    Move { id: u8, sku: u8, from: usize, to: usize, qty: u32, age_ms: i64 },
    List { sku: u8, category: usize, limit: u32, safety: u32 },
    Withdraw { sku: u8 },
    Open { location: usize, region: usize, priority: u16, ships: bool, pickup: bool },
    Close { location: usize },
    Tick,
}

#[derive(Debug, Clone)]
struct Order {
    id: u8,
    buyer: u8,
    lines: Vec<(u8, u32, u64)>,
    discount_percent: u64,
    origin: (usize, usize, bool),
    pickup: Option<usize>,
    on_placement: bool,
    pay_within_ms: Option<i64>,
    /// The deposit in percent, and when the balance is due.
    presale: Option<(u64, i64)>,
    age_ms: i64,
}

/// What a payment says it pays.
#[derive(Debug, Clone, Copy)]
enum Sum {
    /// What the order asks for next, as far as its buyer knows.
    Due,
    Full,
    Deposit,
    Balance,
    Wrong(u64),
}

/// Mostly now, at times too old, at times from the future.
fn age() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(0_i64), 2 => 0..400_i64, 1 => -400..0_i64, 1 => -2_000_000..2_000_000_i64]
}

fn order() -> impl Strategy<Value = Order> {
    let goods = (vec((0..3_u8, 1..4_u32, 0..100_u64), 1..4), 0..=100_u64);
    let terms = (
        option::weighted(0.1, 0..LOCATIONS.len()),
        prop::bool::weighted(0.2),
        option::weighted(0.3, -50..300_i64),
        option::weighted(0.3, (1..100_u64, -50..400_i64)),
    );
    let origin = (0..CHANNELS.len(), 0..REGIONS.len(), any::<bool>());
    ((0..ORDERS, 0..2_u8, age()), goods, origin, terms).prop_map(
        |((id, buyer, age_ms), (lines, discount_percent), origin, terms)| {
            let (pickup, on_placement, pay_within_ms, presale) = terms;
            Order {
                id,
                buyer,
                lines,
                discount_percent,
                origin,
                pickup,
                on_placement,
                pay_within_ms,
                presale,
                age_ms,
            }
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let sum = prop_oneof![
        8 => Just(Sum::Due),
        1 => Just(Sum::Full),
        1 => Just(Sum::Deposit),
        1 => Just(Sum::Balance),
        1 => (0..50_u64).prop_map(Sum::Wrong),
    ];
    let (sku, location) = (0..3_u8, 0..LOCATIONS.len());
    let returned = vec((sku.clone(), location.clone(), 1..4_u32), 0..3);
    prop_oneof![
        8 => order().prop_map(Command::Place),
        8 => (0..3 * ORDERS, 0..2 * ORDERS, sum, age())
            .prop_map(|(id, order, sum, age_ms)| Command::Pay { id, order, sum, age_ms }),
        1 => (0..ORDERS).prop_map(|order| Command::Cancel { order }),
        1 => (0..4_u8, returned, any::<bool>(), 0..99_u64, age()).prop_map(
            |(id, lines, restock, amount, age_ms)| Command::Refund {
                id,
                lines,
                restock,
                amount,
                age_ms
            }
        ),
        3 => (0..9_u8, sku.clone(), location.clone(), -5..20_i64, age()).prop_map(
            |(id, sku, location, qty, age_ms)| Command::Receive { id, sku, location, qty, age_ms }
        ),
        1 => (0..9_u8, sku.clone(), location.clone(), location.clone(), 1..9_u32, age()).prop_map(
            |(id, sku, from, to, qty, age_ms)| Command::Move { id, sku, from, to, qty, age_ms }
        ),
        2 => (sku.clone(), 0..CATEGORIES.len(), 0..9_u32, 0..3_u32).prop_map(
            |(sku, category, limit, safety)| Command::List { sku, category, limit, safety }
        ),
        1 => sku.prop_map(|sku| Command::Withdraw { sku }),
        1 => (1..3_usize, 0..REGIONS.len(), 0..3_u16, any::<bool>(), any::<bool>()).prop_map(
            |(location, region, priority, ships, pickup)| Command::Open {
                location,
                region,
                priority,
                ships,
                pickup
            }
        ),
        1 => (1..3_usize).prop_map(|location| Command::Close { location }),
        1 => Just(Command::Tick),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let clock =
        prop_oneof![6 => Just(0_i64), 6 => 0..60_i64, 1 => -100..0_i64, 1 => 0..200_000_i64];
    prop_oneof![
        30 => (prop::bool::weighted(0.1), clock, command()).prop_map(
            |(other, clock_ms, command)| Step::Record {
                merchant: 1 + u8::from(other),
                clock_ms,
                command
            }
        ),
        1 => Just(Step::Restart),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let window = prop::sample::select(vec![0, 100, 5_000, 900_000]);
    let ttl = prop::sample::select(vec![0, 150, 900_000]);
    (window.clone(), window, prop::sample::select(vec![0, 60_000]), ttl).prop_map(
        |(order_window_ms, receipt_window_ms, skew_ms, hold_ttl_ms)| Rules {
            order_window_ms,
            receipt_window_ms,
            skew_ms,
            hold_ttl_ms,
            ..Rules::default()
        },
    )
}

/// What the buyer of the last order placed under an id knows.
#[derive(Debug, Default, Clone, Copy)]
struct Price {
    amount: u64,
    deposit: u64,
    deposit_paid: bool,
}

/// What buyers know.
#[derive(Debug, Default)]
struct Prices {
    /// By merchant and order.
    of: HashMap<(u8, u8), Price>,
    /// The order that was placed last.
    latest: u8,
}

fn placed(order: &Order, merchant: u8, now: i64, prices: &mut Prices) -> String {
    let Order { id, buyer, lines, origin: (channel, region, rural), .. } = order;
    let gross: u64 = lines.iter().map(|(_, qty, price)| u64::from(*qty) * price).sum();
    let discount = gross * order.discount_percent / 100;
    let amount = gross - discount;
    let lines: Vec<String> = lines
        .iter()
        .map(|(sku, qty, price)| format!(r#"{{"sku":{sku},"qty":{qty},"unit_price":{price}}}"#))
        .collect();
    let mut fields = format!(
        r#""order_id":"o{id}","buyer_id":{buyer},"placed_at":{},"discount":{discount},"lines":[{}],"channel":"{}","region":"{}","area":"{}""#,
        now - order.age_ms,
        lines.join(","),
        CHANNELS[*channel],
        REGIONS[*region],
        if *rural { "rural" } else { "urban" },
    );
    if let Some(location) = order.pickup {
        let location = LOCATIONS[location];
        fields += &format!(r#","fulfilment":{{"mode":"pickup","location":{location}}}"#);
    }
    if let Some(within) = order.pay_within_ms {
        fields += &format!(r#","pay_by":{}"#, now + within);
    }
    let mut deposit = 0;
    if order.on_placement {
        fields += r#","settle":"on_placement""#;
    } else if let Some((percent, due)) = order.presale.filter(|_| amount > 1) {
        deposit = (amount * percent / 100).max(1);
        let due = now + due;
        fields += &format!(r#","presale":{{"deposit":{deposit},"balance_due":{due}}}"#);
    }
    prices.latest = *id;
    prices.of.insert((merchant, *id), Price { amount, deposit, deposit_paid: false });
    fields
}

fn paid(merchant: u8, order: u8, sum: Sum, prices: &mut Prices) -> (&'static str, u64) {
    let price = prices.of.entry((merchant, order)).or_default();
    let Price { amount, deposit, deposit_paid } = *price;
    match sum {
        Sum::Due if deposit > 0 && !deposit_paid => {
            price.deposit_paid = true;
            ("deposit", deposit)
        }
        Sum::Due if deposit > 0 => ("balance", amount - deposit),
        Sum::Due | Sum::Full => ("full", amount),
        Sum::Deposit => ("deposit", deposit),
        Sum::Balance => ("balance", amount - deposit),
        Sum::Wrong(amount) => ("full", amount),
    }
}

/// Type and fields of a command; receipts of nothing and moves to nowhere become ticks.
fn fields(
    command: &Command,
    merchant: u8,
    now: i64,
    prices: &mut Prices,
) -> (&'static str, String) {
    match command {
        Command::Place(order) => ("order.placed", placed(order, merchant, now, prices)),
        Command::Pay { id, order, sum, age_ms } => {
            // Half of all payments are for the order that was placed last.
            let order = if *order < ORDERS { *order } else { prices.latest };
            let (part, amount) = paid(merchant, order, *sum, prices);
            let at = now - age_ms;
            let fields = format!(
                r#""payment_id":"p{id}","order_id":"o{order}","amount":{amount},"part":"{part}","paid_at":{at}"#
            );
            ("order.paid", fields)
        }
        Command::Cancel { order } => ("order.cancelled", format!(r#""order_id":"o{order}""#)),
        Command::Refund { id, lines, restock, amount, age_ms } => {
            let lines: Vec<String> = lines
                .iter()
                .map(|(sku, location, qty)| {
                    let location = LOCATIONS[*location];
                    format!(r#"{{"sku":{sku},"location":{location},"qty":{qty}}}"#)
                })
                .collect();
            let (lines, at) = (lines.join(","), now - age_ms);
            let fields = format!(
                r#""refund_id":"r{id}","order_id":"o{id}","refunded_at":{at},"amount":{amount},"lines":[{lines}],"restock":{restock}"#
            );
            ("order.refunded", fields)
        }
        Command::Receive { id, sku, location, qty, age_ms } if *qty != 0 => {
            let (location, at) = (LOCATIONS[*location], now - age_ms);
            let fields = format!(
                r#""receipt_id":"s{id}","received_at":{at},"sku":{sku},"qty":{qty},"location":{location}"#
            );
            ("stock.received", fields)
        }
        Command::Move { id, sku, from, to, qty, age_ms } if from != to => {
            let (from, to, at) = (LOCATIONS[*from], LOCATIONS[*to], now - age_ms);
            let fields = format!(
                r#""receipt_id":"s{id}","received_at":{at},"sku":{sku},"from":{from},"to":{to},"qty":{qty}"#
            );
            ("stock.moved", fields)
        }
        Command::List { sku, category, limit, safety } => {
            let category = CATEGORIES[*category];
            let fields = format!(
                r#""sku":{sku},"category":"{category}","per_buyer_limit":{limit},"safety_stock":{safety}"#
            );
            ("sku.listed", fields)
        }
        Command::Withdraw { sku } => ("sku.withdrawn", format!(r#""sku":{sku}"#)),
        Command::Open { location, region, priority, ships, pickup } => {
            let (location, region) = (LOCATIONS[*location], REGIONS[*region]);
            let fields = format!(
                r#""location":{location},"kind":"store","region":"{region}","priority":{priority},"ships":{ships},"pickup":{pickup}"#
            );
            ("location.opened", fields)
        }
        Command::Close { location } => {
            ("location.closed", format!(r#""location":{}"#, LOCATIONS[*location]))
        }
        Command::Receive { .. } | Command::Move { .. } | Command::Tick => {
            ("tick", r#""x":0"#.to_owned())
        }
    }
}

/// What every log begins with, so that few steps are enough to sell something.
fn opening() -> Vec<Step> {
    let record = |command| Step::Record { merchant: 1, clock_ms: 0, command };
    (0..3_u8)
        .flat_map(|sku| {
            let listing = Command::List { sku, category: usize::from(sku), limit: 0, safety: 0 };
            let location = usize::from(sku % 2);
            let stock = Command::Receive { id: 100 + sku, sku, location, qty: 12, age_ms: 0 };
            [record(listing), record(stock)]
        })
        .chain([record(Command::Open {
            location: 1,
            region: 0,
            priority: 1,
            ships: true,
            pickup: true,
        })])
        .collect()
}

/// Both sides, and where the log stands.
struct Log {
    pair: Pair,
    prices: Prices,
    now: i64,
    offset: u64,
}

impl Log {
    fn record(&mut self, merchant: u8, kind: &str, fields: &str) {
        let value = format!(r#"{{"type":"{kind}","merchant_id":{merchant},{fields}}}"#);
        self.pair.apply(&InputRecord {
            offset: self.offset,
            timestamp: self.now,
            key: Some(merchant.to_string().into_bytes()),
            value: Some(value.into_bytes()),
            headers: Vec::new(),
        });
        self.offset += 1;
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Restart => self.pair.restart(),
            Step::Record { merchant, clock_ms, command } => {
                self.now += clock_ms;
                let (kind, fields) = fields(command, *merchant, self.now, &mut self.prices);
                self.record(*merchant, kind, &fields);
            }
            Step::Crowd { orders, pay_within_ms } => self.crowd(*orders, *pay_within_ms),
        }
    }

    /// Orders that nothing else is told of, with stock of their own.
    fn crowd(&mut self, orders: u32, pay_within_ms: i64) {
        let (now, pay_by) = (self.now, self.now + pay_within_ms);
        self.record(1, "sku.listed", r#""sku":9"#);
        let stock = format!(r#""receipt_id":"c","received_at":{now},"sku":9,"qty":{orders}"#);
        self.record(1, "stock.received", &stock);
        for number in 0..orders {
            let order = format!(
                r#""order_id":"c{number}","buyer_id":7,"placed_at":{now},"pay_by":{pay_by},"lines":[{{"sku":9,"qty":1,"unit_price":1}}]"#
            );
            self.record(1, "order.placed", &order);
        }
    }
}

/// Takes both sides through the log; how many orders were settled.
fn run(rules: Rules, steps: &[Step]) -> u64 {
    let pair = Pair::new(0, rules, &format!("generated, {rules:?}"));
    let mut log = Log { pair, prices: Prices::default(), now: BEGINS, offset: 0 };
    opening().iter().chain(steps).for_each(|step| log.take(step));
    log.pair.finish().settlements()
}

/// More holds than two sweeps take are due around the same moment, the last ones those of the known
/// orders; then commands that meet them before the sweep does.
fn overdue() -> impl Strategy<Value = Vec<Step>> {
    const PAY_WITHIN_MS: i64 = 100;
    let meets = prop_oneof![
        3 => (0..3 * ORDERS, 0..ORDERS)
            .prop_map(|(id, order)| Command::Pay { id, order, sum: Sum::Due, age_ms: 0 }),
        2 => (0..ORDERS).prop_map(|order| Command::Cancel { order }),
        1 => order().prop_map(Command::Place),
    ];
    let held = |id: u8| Order {
        id,
        buyer: 0,
        lines: vec![(id % 3, 1, 10)],
        discount_percent: 0,
        origin: (0, 0, false),
        pickup: None,
        on_placement: false,
        pay_within_ms: Some(PAY_WITHIN_MS),
        presale: None,
        age_ms: 0,
    };
    let record = |clock_ms, command| Step::Record { merchant: 1, clock_ms, command };
    (PAY_WITHIN_MS - 1..=PAY_WITHIN_MS + 1, vec(meets, 3..6)).prop_map(move |(wait, meets)| {
        let crowd = Step::Crowd { orders: 2 * SWEPT_EACH, pay_within_ms: PAY_WITHIN_MS };
        let known = (0..ORDERS).map(|id| record(0, Command::Place(held(id))));
        let waits = meets.into_iter().enumerate();
        let waits = waits.map(|(number, it)| record(if number == 0 { wait } else { 0 }, it));
        [crowd].into_iter().chain(known).chain(waits).collect()
    })
}

/// Enough for an ordinary run; `PROPTEST_CASES` asks for more, a test of long logs for a share of them.
fn config(usual: u32, share: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let cases = if asked { ProptestConfig::default().cases / share } else { usual };
    ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(1_500, 1))]

    #[test]
    fn generated_logs_are_decided_alike(rules in rules(), steps in vec(step(), 0..120)) {
        run(rules, &steps);
    }
}

proptest! {
    #![proptest_config(config(16, 100))]

    /// Two commands, at most, meet a hold that is expired and not swept: 16 logs have some 20.
    #[test]
    fn holds_that_wait_for_the_sweep_are_expired_for_every_command(steps in overdue()) {
        run(Rules::default(), &steps);
    }
}

/// Logs in which nothing is ever sold would prove little.
#[test]
fn generated_logs_sell_often_enough() {
    let mut runner = TestRunner::deterministic();
    let logs = vec(step(), 60..120);
    let settled: u64 = (0..40)
        .map(|_| {
            let steps = logs.new_tree(&mut runner).unwrap().current();
            run(Rules::default(), &steps)
        })
        .sum();
    assert!(settled > 40, "{settled} orders settled in 40 logs");
}
