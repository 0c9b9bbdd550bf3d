//! A plain model that goes on from a snapshot of the ledger writes what one writes that has seen
//! every record: the law that an audit from a snapshot rests on.
//!
//! A ledger and a model run side by side; again and again the ledger's snapshot is written, read
//! back and handed over to a new model, which then keeps pace with the old one, output for output
//! and counter for counter. That the streams can tell is shown by spoiling what is handed over.
//! Invariant: the hand-over is the one that `floodgate audit` uses.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

#[path = "golden/golden_log.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod golden_log;
#[path = "../crates/floodgate/src/handover.rs"]
mod handover;
#[path = "model_against_ledger/hostile.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod hostile;
#[allow(dead_code, reason = "each test binary uses its part")]
mod sides;

use drill::traffic::{Sent, Settings, Traffic};
use ledger::Ledger;
use ledger::rules::Rules;
use model::{Ending, Fact, IdSpace, InputRecord, Output, PlainPartition};
use pipeline::engine::Engine;
use pipeline::snapshot::{self, Header};
use pipeline::store::Place;
use wire::Outputs;

use golden_log::GoldenLog;
use hostile::Hostile;
use sides::{Totals, comparable, model_rules, outputs_of, shown, with_records};

/// A minute before the midnight that begins 11 November 2025 in China.
const SALE_STARTS: i64 = 1_762_790_340_000;

/// Input of partition 0, and how often it is cut.
struct Stream {
    what: String,
    rules: Rules,
    inputs: Vec<InputRecord>,
    /// Records between two cuts.
    every: usize,
    /// Records for which most of the models that were handed over keep pace. Each eighth does so to
    /// the end.
    reach: usize,
}

/// A model that was handed over.
struct Resumed {
    model: PlainPartition,
    /// The offset that it went on from.
    from: u64,
    /// The record number at which it is given up.
    until: usize,
}

/// What happens to each fact on its way to the model.
type Spoil = fn(Fact) -> Option<Fact>;

impl Stream {
    fn engine(&self) -> Engine {
        Engine::new(0, sides::INPUT, self.rules)
    }

    /// The ledger as another process would have it.
    fn through_a_snapshot(&self, engine: &mut Engine) -> Ledger {
        let [cluster, group, topic] = ["cluster", "group", sides::INPUT].map(str::to_owned);
        let place = Place { cluster, group, topic, partition: 0 };
        let (offset, digest) = (engine.next(), engine.digest().to_bits());
        let state_version = ledger::STATE_VERSION;
        let header = Header { state_version, offset, digest, rules: self.rules };
        let bytes = snapshot::encode(&place, &header, &engine.freeze()).unwrap();
        snapshot::decode(&place, offset, &bytes).unwrap().1
    }

    fn hand_over(&self, ledger: &Ledger, spoil: Option<Spoil>) -> PlainPartition {
        let rules = model_rules(&self.rules);
        let model = match spoil {
            None => handover::model_of(ledger, rules, 0),
            Some(spoil) => {
                let mut model = PlainPartition::resume(rules, 0, ledger.time().0);
                let mut learn = |fact| spoil(fact).into_iter().for_each(|fact| model.learn(fact));
                ledger.export(|fact| learn(handover::fact_of(&fact)));
                model
            }
        };
        model.with_input_topic(sides::INPUT)
    }

    /// Says what a model that was handed over does otherwise, if there is such a thing.
    fn difference(&self, spoil: Option<Spoil>) -> Option<String> {
        let (mut engine, mut outputs) = (self.engine(), Outputs::new());
        let mut model = PlainPartition::new(model_rules(&self.rules), 0);
        let (mut resumed, mut written) = (Vec::<Resumed>::new(), Totals::default());
        for (number, input) in self.inputs.iter().enumerate() {
            if number % self.every == self.every - 1 {
                let cut = number / self.every;
                // Counters are written seldom, so that all kinds of them are unwritten at a cut.
                if cut % 3 == 1 {
                    engine.write_all_counters(&mut outputs);
                    outputs_of(&outputs).iter().for_each(|output| written.note(output));
                    outputs.clear();
                }
                let ledger = self.through_a_snapshot(&mut engine);
                let until = if cut.is_multiple_of(8) { usize::MAX } else { number + self.reach };
                let new =
                    Resumed { model: self.hand_over(&ledger, spoil), from: engine.next().0, until };
                if let Some(counter) = new.forgotten_counter(&model, &written) {
                    return Some(format!("{}: at {} without {counter}", self.what, new.from));
                }
                resumed.push(new);
            }
            let wanted: Vec<Output> = model.apply(input).into_iter().map(comparable).collect();
            with_records(0, std::slice::from_ref(input), |records| {
                engine.apply(records, &mut outputs);
            });
            outputs.clear();
            for resumed in &mut resumed {
                let found = resumed.model.apply(input);
                let found: Vec<Output> = found.into_iter().map(comparable).collect();
                if found != wanted {
                    return Some(self.told(resumed.from, input, &found, &wanted));
                }
            }
            let is_last = number + 1 == self.inputs.len();
            for resumed in resumed.extract_if(.., |resumed| is_last || resumed.until <= number) {
                if let Some(difference) = resumed.end(&model) {
                    return Some(format!("{}: from {}: {difference}", self.what, resumed.from));
                }
            }
        }
        None
    }

    fn told(&self, from: u64, input: &InputRecord, found: &[Output], wanted: &[Output]) -> String {
        let texts = |outputs: &[Output]| outputs.iter().map(shown).collect::<Vec<_>>().join("\n  ");
        let value = input.value.as_deref().unwrap_or_default();
        format!(
            "{}: from {from}, record {}: {}\nresumed:\n  {}\nfrom 0:\n  {}",
            self.what,
            input.offset,
            String::from_utf8_lossy(&value[..value.len().min(2_000)]),
            texts(found),
            texts(wanted),
        )
    }

    #[track_caller]
    fn check(&self) {
        let difference = self.difference(None);
        assert_eq!(difference, None, "{}", difference.as_deref().unwrap_or_default());
    }
}

impl Resumed {
    /// A counter that it should have been told of and was not: only what was written for the last
    /// time may be left out.
    fn forgotten_counter(&self, model: &PlainPartition, written: &Totals) -> Option<String> {
        let all = Totals::of_model(model);
        let known = Totals::of_model(&self.model);
        all.without(&known).without(written).first_key()
    }

    /// What it counts, and still remembers, otherwise than the model that has seen every record.
    fn end(&self, model: &PlainPartition) -> Option<String> {
        if (self.model.time(), self.model.open_holds(), self.model.remembered_ids())
            != (model.time(), model.open_holds(), model.remembered_ids())
        {
            return Some("another T, or other holds or ids".to_owned());
        }
        if let Some(key) =
            Totals::of_model(&self.model).without(&Totals::of_model(model)).first_key()
        {
            return Some(format!("counter {key}"));
        }
        let changed =
            model.counters().iter().filter(|(_, counter)| counter.changed_at >= self.from);
        let mut changed =
            changed.map(|(key, counter)| (key, self.model.counters().get(key), counter));
        let differs = changed.find(|(_, found, wanted)| *found != Some(*wanted));
        differs.map(|(key, found, wanted)| format!("counter {key:?}: {found:?}, not {wanted:?}"))
    }
}

/// A hostile stream; windows, skews and lives of all lengths.
fn hostile(seed: u64, records: usize) -> Stream {
    let rules = Rules {
        order_window_ms: [0, 5, 60_000, 900_000][seed as usize % 4],
        receipt_window_ms: [3, 100_000, 86_400_000][seed as usize % 3],
        skew_ms: [0, 60_000][seed as usize % 2],
        hold_ttl_ms: [0, 40, 900_000, 5_000_000][seed as usize % 4],
        day_offset_ms: [0, 28_800_000, 50_000_000_000_000][seed as usize % 3],
        ..Rules::default()
    };
    let mut stream = Hostile::new(seed, rules);
    let mut inputs: Vec<InputRecord> = (0..records).map(|_| stream.next_record()).collect();
    // Everything that can expire does, and the clock can go no further.
    inputs.extend((0..4).map(|_| stream.end_of_time()));
    inputs.extend((0..100).map(|_| stream.next_record()));
    let what = format!("hostile seed {seed}, {rules:?}");
    Stream { what, rules, inputs, every: 97, reach: 500 }
}

/// A sale day of the drill.
fn sale(settings: Settings, orders: u64, seed: u64, rules: Rules) -> Stream {
    let mut traffic = Traffic::new(settings, orders, seed, 1, SALE_STARTS);
    let (mut sent, mut inputs) = (Sent::new(), Vec::new());
    let mut offset = 0_u64;
    while traffic.next_into(&mut sent) {
        inputs.push(InputRecord {
            offset,
            timestamp: sent.timestamp_ms,
            key: sent.key().map(<[u8]>::to_vec),
            value: sent.value().map(<[u8]>::to_vec),
            headers: Vec::new(),
        });
        // Transaction markers leave gaps.
        offset += 1 + u64::from(offset % 50 == 49);
    }
    let every = inputs.len() / 40;
    let what = format!("{orders} orders, seed {seed}, {rules:?}");
    Stream { what, rules, reach: inputs.len() / 6, every, inputs }
}

fn golden(name: &str, log: GoldenLog, every: usize) -> Stream {
    let rules = Rules::default();
    Stream { what: name.to_owned(), rules, inputs: log.inputs, every, reach: usize::MAX / 2 }
}

/// A shelf that is full to the last unit, some of it held for a buyer who comes to fetch it.
fn full_shelf() -> Stream {
    let own = r#""merchant_id":1001,"sku":1"#;
    let receipt = |id: &str, qty: u64| {
        format!(
            r#"{{"type":"stock.received",{own},"location":7,"receipt_id":"{id}","received_at":1,"qty":{qty}}}"#
        )
    };
    let mut commands = vec![
        format!(r#"{{"type":"sku.listed",{own}}}"#),
        r#"{"type":"location.opened","merchant_id":1001,"location":7,"kind":"store"}"#.to_owned(),
    ];
    commands.extend(["a", "b", "c", "d"].map(|id| receipt(id, 1_000_000_000)));
    commands.push(receipt("e", 294_967_295));
    commands.push(r#"{"type":"order.placed","merchant_id":1001,"order_id":"o","buyer_id":1,"placed_at":1,"lines":[{"sku":1,"qty":3,"unit_price":5}],"fulfilment":{"mode":"pickup","location":7}}"#.to_owned());
    commands.push(receipt("one-too-many", 1));
    commands.push(r#"{"type":"order.paid","merchant_id":1001,"payment_id":"p","order_id":"o","amount":15,"paid_at":1}"#.to_owned());
    commands.push(receipt("f", 3));
    let input = |(offset, command): (u64, String)| InputRecord {
        offset,
        timestamp: 1,
        key: Some(b"1001".to_vec()),
        value: Some(command.into_bytes()),
        headers: Vec::new(),
    };
    let inputs = (0..).zip(commands).map(input).collect();
    let what = "a full shelf".to_owned();
    Stream { what, rules: Rules::default(), inputs, every: 1, reach: usize::MAX / 2 }
}

#[test]
fn a_full_shelf_goes_on_alike() {
    full_shelf().check();
}

#[test]
fn golden_logs_go_on_alike_from_every_record() {
    for name in ["presale", "allocation", "once", "rounding", "catalogue", "garbage"] {
        golden(name, GoldenLog::read(name), 1).check();
    }
    golden("the contract's example", GoldenLog::contract_example(), 1).check();
}

#[test]
fn a_burst_of_expiries_goes_on_alike_in_the_middle_of_its_sweeps() {
    let mut burst = golden("expiry burst", GoldenLog::expiry_burst(), 1);
    // The last records are the interesting ones; what is before them is one hold after the other.
    let (records, last) = (burst.inputs.len(), 4);
    burst.every = (records - last) / 3;
    burst.check();
    burst.every = records - 3;
    burst.check();
}

#[test]
fn crowds_of_categories_and_locations_go_on_alike() {
    golden("too many", GoldenLog::too_many(), 1_030).check();
}

#[test]
fn hostile_streams_go_on_alike_from_anywhere() {
    (0..12).for_each(|seed| hostile(seed, 3_000).check());
}

#[test]
fn sale_days_go_on_alike_from_anywhere() {
    sale(Settings::default(), 2_000, 1, Rules::default()).check();
    let scarce = Settings {
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
    sale(scarce, 2_000, 2, Rules { order_window_ms: 5_000, ..Rules::default() }).check();
    sale(Settings::default(), 1_500, 3, Rules { hold_ttl_ms: 700, ..Rules::default() }).check();
}

/// A pipeline that goes on from a snapshot under other rules is followed: what was forgotten stays
/// forgotten, and a hold keeps its time, whatever the new windows are.
fn change_rules(seed: u64, after: usize, changed: Rules) {
    let stream = hostile(seed, 2_000);
    let (mut engine, mut outputs) = (stream.engine(), Outputs::new());
    let (before, behind) = stream.inputs.split_at(after);
    with_records(0, before, |records| engine.apply(records, &mut outputs));
    outputs.clear();
    let mut ledger = stream.through_a_snapshot(&mut engine);
    ledger.set_rules(changed);
    let mut model = handover::model_of(&ledger, model_rules(&changed), 0);
    model = model.with_input_topic(sides::INPUT);
    let (digest, next) = (engine.digest(), engine.next());
    let mut engine = Engine::resume(0, sides::INPUT, changed, ledger, digest, next);
    for input in behind {
        with_records(0, std::slice::from_ref(input), |records| {
            engine.apply(records, &mut outputs);
        });
        let found: Vec<Output> = model.apply(input).into_iter().map(comparable).collect();
        let wanted: Vec<Output> = outputs_of(&outputs).into_iter().map(comparable).collect();
        outputs.clear();
        assert!(found == wanted, "{}", stream.told(next.0, input, &found, &wanted));
    }
    engine.write_all_counters(&mut outputs);
    let mut totals = Totals::default();
    outputs_of(&outputs).iter().for_each(|output| totals.note(output));
    assert_eq!(totals.without(&Totals::of_model(&model)).first_key(), None, "{}", stream.what);
}

#[test]
fn a_change_of_rules_at_the_snapshot_is_followed() {
    for seed in 0..6 {
        let longer = Rules {
            order_window_ms: 10_000_000,
            receipt_window_ms: 500_000_000,
            skew_ms: 5_000,
            hold_ttl_ms: 77,
            ..Rules::default()
        };
        let shorter = Rules { order_window_ms: 1_000, receipt_window_ms: 2_000, ..longer };
        change_rules(seed, 700 + 100 * seed as usize, longer);
        change_rules(seed, 700 + 100 * seed as usize, shorter);
    }
}

/// `fact` with something else in its place if it is a hold.
fn spoil_hold(fact: Fact, spoil: impl FnOnce(&mut model::OpenHold)) -> Option<Fact> {
    Some(match fact {
        Fact::Held(mut hold) => {
            spoil(&mut hold);
            Fact::Held(hold)
        }
        other => other,
    })
}

fn drop_seen(fact: Fact, which: IdSpace) -> Option<Fact> {
    Some(fact).filter(|fact| !matches!(fact, Fact::Seen { space, .. } if *space == which))
}

/// Ways to tell the model less, or something else, than the ledger knows.
const SPOILS: [(&str, Spoil); 21] = [
    ("no category", |fact| Some(fact).filter(|fact| !matches!(fact, Fact::Category(_)))),
    ("no buyer's count", |fact| match fact {
        Fact::BuyerCount { .. } => None,
        fact => spoil_hold(fact, |hold| {
            hold.lines.iter_mut().for_each(|line| line.in_buyer_count = false);
        }),
    }),
    ("holds in no buyer's count", |fact| {
        spoil_hold(fact, |hold| {
            hold.lines.iter_mut().for_each(|line| line.in_buyer_count = false);
        })
    }),
    ("no safety stock", |fact| match fact {
        Fact::Listed { merchant_id, sku, category, per_buyer_limit, .. } => {
            Some(Fact::Listed { merchant_id, sku, category, per_buyer_limit, safety_stock: 0 })
        }
        fact => Some(fact),
    }),
    ("no location", |fact| Some(fact).filter(|fact| !matches!(fact, Fact::Opened { .. }))),
    ("locations that all offer pickup", |fact| match fact {
        Fact::Opened { merchant_id, location, region, priority, ships, .. } => {
            Some(Fact::Opened { merchant_id, location, region, priority, ships, pickup: true })
        }
        fact => Some(fact),
    }),
    ("no stock", |fact| Some(fact).filter(|fact| !matches!(fact, Fact::Stock { .. }))),
    ("nothing held in stock", |fact| match fact {
        Fact::Stock { merchant_id, sku, location, on_hand, .. } => {
            Some(Fact::Stock { merchant_id, sku, location, on_hand, held: 0 })
        }
        fact => Some(fact),
    }),
    ("no hold", |fact| Some(fact).filter(|fact| !matches!(fact, Fact::Held(_)))),
    ("holds that live longer", |fact| spoil_hold(fact, |hold| hold.expires_at += 1)),
    ("holds in the opposite order", |fact| {
        spoil_hold(fact, |hold| hold.placement = (1 << 43) - hold.placement)
    }),
    ("pickup forgotten", |fact| spoil_hold(fact, |hold| hold.pickup = false)),
    ("deposits forgotten", |fact| {
        spoil_hold(fact, |hold| {
            hold.presale.iter_mut().for_each(|presale| presale.paid_by = None);
        })
    }),
    ("deposits' payments forgotten", |fact| {
        spoil_hold(fact, |hold| {
            hold.presale
                .iter_mut()
                .filter_map(|presale| presale.paid_by.as_mut())
                .for_each(|(payment, _)| payment.push('x'));
        })
    }),
    ("no ended order", |fact| Some(fact).filter(|fact| !matches!(fact, Fact::Ended { .. }))),
    ("orders that all settled", |fact| match fact {
        Fact::Ended { merchant_id, order_id, latest, .. } => {
            Some(Fact::Ended { merchant_id, order_id, ending: Ending::Settled, latest })
        }
        fact => Some(fact),
    }),
    ("ids forgotten a millisecond early", |fact| match fact {
        Fact::Seen { space, merchant_id, id, latest } => {
            Some(Fact::Seen { space, merchant_id, id, latest: latest.saturating_sub(1) })
        }
        fact => Some(fact),
    }),
    ("no payment", |fact| drop_seen(fact, IdSpace::Payments)),
    ("no refund", |fact| drop_seen(fact, IdSpace::Refunds)),
    ("no receipt", |fact| drop_seen(fact, IdSpace::Receipts)),
    ("no counter", |fact| Some(fact).filter(|fact| !matches!(fact, Fact::Counter { .. }))),
];

#[test]
fn whatever_is_not_handed_over_as_it_was_is_missed() {
    let mut streams = vec![full_shelf()];
    streams.extend((0..6).map(|seed| hostile(seed, 1_500)));
    streams.extend(["once", "presale"].map(|name| golden(name, GoldenLog::read(name), 1)));
    streams.push(golden("too many", GoldenLog::too_many(), 4_096));
    let is_missed = |spoil| streams.iter().any(|stream| stream.difference(Some(spoil)).is_some());
    let unnoticed = SPOILS.iter().filter(|(_, spoil)| !is_missed(*spoil));
    let unnoticed: Vec<&str> = unnoticed.map(|(what, _)| *what).collect();
    assert_eq!(unnoticed, Vec::<&str>::new());
}
