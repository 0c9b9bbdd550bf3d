//! A made-up sale day as records of the topic `gmv`, and a source that a test feeds by hand.
//!
//! Only what the board reads: no order, no state machine. Invariant: every order is counted once in
//! each dimension, as the contract's section 6 says, so that what the board adds up can be compared.
#![allow(dead_code, reason = "each test, and the example, uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use board::{Answers, Counters, End, Looked, OnRecord, Source, SourceError};

/// 2025-11-11 00:00 +8.
pub(crate) const MIDNIGHT_MS: u64 = 1_762_790_400_000;
pub(crate) const DAY: &str = "2025-11-11";
pub(crate) const DAY_OFFSET_MS: u64 = 28_800_000;
pub(crate) const PARTITIONS: u32 = 4;

pub(crate) type Record = (Vec<u8>, Option<Vec<u8>>);

/// A source that hands on what it is fed; away while it is told to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fed(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Record>,
    error: Option<SourceError>,
    /// Whether there is more that has not been fed yet.
    more: bool,
    ends: Option<Vec<End>>,
}

impl Fed {
    pub(crate) fn feed(&self, records: impl IntoIterator<Item = Record>) {
        self.fail_and_feed(None, records);
    }

    /// Fails from the next look on: once if everything is to be read anew, else until it is fed.
    pub(crate) fn fail(&self, error: SourceError) {
        self.fail_and_feed(Some(error), []);
    }

    /// Whether what is fed counts as a part of what is there.
    pub(crate) fn has_more(&self, more: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).more = more;
    }

    /// How the partitions stand from now on.
    pub(crate) fn stand(&self, ends: Vec<End>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ends = Some(ends);
    }

    /// Both between two looks.
    pub(crate) fn fail_and_feed(
        &self,
        error: Option<SourceError>,
        records: impl IntoIterator<Item = Record>,
    ) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.error = error;
        state.waiting.extend(records);
    }
}

impl Source for Fed {
    fn look(
        &mut self,
        wait: Duration,
        on_record: &mut OnRecord<'_>,
    ) -> Result<Looked, SourceError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = state.error.clone() {
            if matches!(error, SourceError::Anew(_)) {
                state.error = None;
            }
            return Err(error);
        }
        let records = state.waiting.len().min(1_000);
        for (key, value) in state.waiting.drain(..records) {
            on_record(Some(&key), value.as_deref());
        }
        let caught_up = state.waiting.is_empty() && !state.more;
        drop(state);
        if records == 0 {
            std::thread::sleep(wait);
        }
        Ok(Looked { records, caught_up })
    }

    fn ends(&mut self) -> Option<Vec<End>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ends.clone()
    }
}

/// A partition of which everything was read that can be: all that is written, or what stands in front of
/// an open transaction.
pub(crate) fn read_to_its_end(partition: u32, hidden: u64) -> End {
    End { partition, next: 7, readable: 7, written: 7 + hidden, reached: true }
}

/// Names with weights.
type Weighted = &'static [(&'static str, u64)];

const CHANNELS: Weighted = &[
    ("app", 46),
    ("mini_program", 22),
    ("livestream", 17),
    ("web", 8),
    ("store", 5),
    ("phone", 1),
    ("other", 1),
];
const AREAS: Weighted = &[("urban", 66), ("rural", 34)];
const FULFILMENTS: Weighted = &[("ship", 71), ("pickup", 29)];
const CATEGORIES: Weighted = &[
    ("apparel", 21),
    ("electronics", 18),
    ("home", 13),
    ("beauty", 12),
    ("agri.fruit", 8),
    ("food", 7),
    ("baby", 6),
    ("agri.tea", 4),
    ("sports", 4),
    ("agri.grain", 3),
    ("agri.vegetables", 2),
    ("books", 1),
    ("agri.livestock", 1),
];
const PROVINCES: Weighted = &[
    ("44", 120),
    ("32", 98),
    ("33", 95),
    ("37", 66),
    ("31", 60),
    ("11", 52),
    ("41", 50),
    ("51", 48),
    ("42", 41),
    ("43", 36),
    ("35", 38),
    ("34", 34),
    ("13", 33),
    ("61", 24),
    ("21", 24),
    ("50", 22),
    ("36", 22),
    ("12", 18),
    ("45", 18),
    ("53", 16),
    ("14", 15),
    ("52", 13),
    ("23", 12),
    ("22", 10),
    ("15", 9),
    ("65", 8),
    ("62", 7),
    ("46", 6),
    ("64", 3),
    ("63", 2),
    ("54", 1),
    ("71", 1),
    ("81", 2),
    ("82", 1),
    ("00", 4),
];

/// A repeatable stream of numbers (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn pick(&mut self, from: Weighted) -> &'static str {
        let mut point = self.roll(from.iter().map(|(_, weight)| weight).sum());
        for (name, weight) in from {
            if point < *weight {
                return name;
            }
            point -= weight;
        }
        from[0].0
    }
}

type Key = (u32, &'static str, String);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Sale {
    pub(crate) now_ms: u64,
    pub(crate) merchants: u64,
    dice: Dice,
    counters: BTreeMap<Key, Counters>,
    answers: BTreeMap<u32, Answers>,
    changed: BTreeSet<Key>,
    offset: u64,
}

impl Sale {
    pub(crate) fn new(seed: u64, merchants: u64) -> Sale {
        Sale {
            now_ms: MIDNIGHT_MS,
            merchants,
            dice: Dice(seed),
            counters: BTreeMap::new(),
            answers: BTreeMap::new(),
            changed: BTreeSet::new(),
            offset: 0,
        }
    }

    /// So many orders alike at the present time.
    pub(crate) fn sell(&mut self, orders: u64) {
        let rank = self.dice.roll(1_000_000);
        // A few sell much, many a little.
        let merchant = 1_000 + (rank * rank / 1_000_000) * self.merchants / 1_000_000;
        let amount = u128::from(900 + self.dice.roll(40_000)) * u128::from(orders);
        let location = self.dice.roll(5) as u32;
        let category = self.dice.pick(CATEGORIES);
        let paid = orders - orders * self.dice.roll(12) / 100;
        let refunded = self.dice.roll(100) < 2;
        let counters = Counters {
            orders_placed: orders,
            placed: amount,
            orders_settled: paid,
            units_settled: paid * (1 + self.dice.roll(3)),
            settled: amount * u128::from(paid) / u128::from(orders.max(1)),
            orders_refunded: 0,
            refunded: 0,
        };
        let whole = match refunded {
            true => {
                Counters { orders_refunded: paid / 2, refunded: counters.settled / 2, ..counters }
            }
            false => counters,
        };
        let at_location = Counters { orders_placed: 0, placed: 0, ..counters };
        let (channel, area) = (self.dice.pick(CHANNELS), self.dice.pick(AREAS));
        let (fulfilment, province) = (self.dice.pick(FULFILMENTS), self.dice.pick(PROVINCES));
        let partition = (merchant % u64::from(PARTITIONS)) as u32;
        let minute = (self.now_ms / 60_000).to_string();
        for (dimension, value, counters) in [
            ("all", "all".to_owned(), whole),
            ("channel", channel.to_owned(), whole),
            ("area", area.to_owned(), whole),
            ("fulfilment", fulfilment.to_owned(), counters),
            ("province", province.to_owned(), whole),
            ("category", category.to_owned(), counters),
            ("merchant", merchant.to_string(), whole),
            ("location", format!("{merchant}:{location}"), at_location),
            ("minute", minute, whole),
        ] {
            self.add((partition, dimension, value), &counters);
        }
        let rejected = orders * self.dice.roll(8) / 100;
        let answers = self.answers.entry(partition).or_default();
        answers.orders_rejected += rejected;
        answers.orders_released += orders - paid;
        answers.dead_letters += u64::from(rank < 2_000);
        answers.duplicates += rejected / 4;
    }

    fn add(&mut self, key: Key, more: &Counters) {
        let sum = self.counters.entry(key.clone()).or_default();
        sum.orders_placed += more.orders_placed;
        sum.placed += more.placed;
        sum.orders_settled += more.orders_settled;
        sum.units_settled += more.units_settled;
        sum.settled += more.settled;
        sum.orders_refunded += more.orders_refunded;
        sum.refunded += more.refunded;
        self.changed.insert(key);
    }

    /// The counters that changed since, as records.
    pub(crate) fn records(&mut self) -> Vec<Record> {
        self.offset += 1;
        let changed = std::mem::take(&mut self.changed);
        changed.iter().map(|key| self.record(key)).collect()
    }

    fn record(&self, key: &Key) -> Record {
        let (partition, dimension, value) = key;
        let c = self.counters[key];
        let further = match (*dimension, self.answers.get(partition)) {
            ("all", Some(a)) => format!(
                r#""orders_rejected":{},"orders_released":{},"dead_letters":{},"duplicates":{},"#,
                a.orders_rejected, a.orders_released, a.dead_letters, a.duplicates
            ),
            _ => String::new(),
        };
        let text = format!(
            r#"{{"partition":{partition},"day":"{DAY}","dimension":"{dimension}","value":"{value}","orders_placed":{},"placed":{},"orders_settled":{},"units_settled":{},"settled":{},"orders_refunded":{},"refunded":{},{further}"offset":{},"at":{}}}"#,
            c.orders_placed,
            c.placed,
            c.orders_settled,
            c.units_settled,
            c.settled,
            c.orders_refunded,
            c.refunded,
            self.offset,
            self.now_ms
        );
        let key = format!("{partition}/{DAY}/{dimension}/{value}");
        (key.into_bytes(), Some(text.into_bytes()))
    }

    /// The sum of a counter over all partitions.
    pub(crate) fn sum(&self, dimension: &str, value: &str, of: impl Fn(&Counters) -> u128) -> u128 {
        let found = |key: &&Key| key.1 == dimension && key.2 == value;
        self.counters.keys().filter(found).map(|key| of(&self.counters[key])).sum()
    }

    /// A number below another one.
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.dice.roll(below)
    }

    /// From midnight on, so many seconds: a flood that ebbs away.
    pub(crate) fn history(&mut self, seconds: u64, scale: u64) {
        for second in 0..seconds {
            self.now_ms = MIDNIGHT_MS + second * 1_000 + 999;
            let flood = scale * (20 + 2_000 / (4 + second.abs_diff(26)));
            for _ in 0..8 {
                let orders = flood * (80 + self.dice.roll(40)) / 800;
                self.sell(orders);
            }
            let (a, b) = (self.dice.roll(900), self.dice.roll(97));
            self.dice.0 ^= a * b;
        }
    }
}
