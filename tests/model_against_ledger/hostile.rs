//! A stream of records that no sane publisher would send: few ids, so that everything collides;
//! values at the edges of their ranges; clocks that jump.
//!
//! Not a sale: nothing follows from anything but chance. Invariant: a function of the seed.

use ledger::rules::Rules;
use model::InputRecord;

const START: u64 = 1_762_790_400_000;
const LARGEST: u64 = 1_000_000_000_000_000;
/// The largest id, and ids that differ only in what a careless hash would drop.
const MERCHANTS: [u64; 4] = [7, u64::MAX, 1 << 32, 0];
const SKUS: [u64; 6] = [1, 2, u64::MAX, 1 << 32, (1 << 32) + 1, 0];
const LOCATIONS: [u32; 5] = [0, 1, 2, 77, u32::MAX];
const REGIONS: [&str; 6] = ["000000", "330106", "330199", "339999", "440305", "999999"];

/// A small generator of pseudo-random numbers (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }
}

/// An order that was just sent.
#[derive(Debug, Clone)]
struct Recent {
    merchant: u64,
    id: String,
    amount: u64,
    /// 0 without presale.
    deposit: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Hostile {
    draw: Draw,
    rules: Rules,
    offset: u64,
    /// The publishers' clock; the records' own may say something else.
    now: u64,
    /// The recent orders, for payments that meet them.
    recent: Vec<Recent>,
}

impl Hostile {
    pub(crate) fn new(seed: u64, rules: Rules) -> Hostile {
        let draw = Draw(seed.wrapping_mul(0xD134_2543_DE82_EF95));
        Hostile { draw, rules, offset: 0, now: START, recent: Vec::new() }
    }

    /// The next record.
    pub(crate) fn next_record(&mut self) -> InputRecord {
        self.now += self.draw.of(&[0, 0, 0, 1, 2, 3, 10, 50]);
        if self.draw.one_in(400) {
            self.now += self.draw.of(&[1_000, 60_000, 900_000, 3_600_000, 86_400_000]);
        }
        let merchant = match self.draw.below(10) {
            0..6 => MERCHANTS[0],
            _ => self.draw.of(&MERCHANTS),
        };
        let (kind, fields) = match self.draw.below(100) {
            0..38 => ("order.placed", self.order(merchant)),
            38..62 => ("order.paid", self.payment(merchant)),
            62..67 => ("order.cancelled", self.cancellation(merchant)),
            67..73 => ("order.refunded", self.refund()),
            73..83 => ("stock.received", self.receipt()),
            83..88 => ("stock.moved", self.moved()),
            88..93 => ("sku.listed", self.listing()),
            93..94 => ("sku.withdrawn", format!(r#""sku":{}"#, self.sku())),
            94..96 => ("location.opened", self.opening()),
            96..97 => {
                ("location.closed", format!(r#""location":{}"#, self.draw.of(&LOCATIONS[1..])))
            }
            97..98 => ("tick", String::new()),
            _ => return self.garbage(merchant),
        };
        self.record(merchant, kind, &fields)
    }

    /// A listing under a category that is not there yet.
    pub(crate) fn listing_of_category(&mut self, number: u64) -> InputRecord {
        let fields = format!(r#""sku":{},"category":"c{number}""#, self.draw.of(&SKUS));
        self.record(MERCHANTS[0], "sku.listed", &fields)
    }

    /// The opening of a location that is not there yet.
    pub(crate) fn opening_of_location(&mut self, number: u64) -> InputRecord {
        let fields = format!(
            r#""location":{},"kind":"warehouse","priority":{}"#,
            u64::from(u32::MAX) - number,
            number % 65_536
        );
        self.record(MERCHANTS[0], "location.opened", &fields)
    }

    /// A tick at the last moment that there can be.
    pub(crate) fn end_of_time(&mut self) -> InputRecord {
        let tick = self.raw(None, br#"{"type":"tick"}"#.to_vec());
        InputRecord { timestamp: LARGEST.cast_signed(), ..tick }
    }

    fn record(&mut self, merchant: u64, kind: &str, fields: &str) -> InputRecord {
        let comma = if fields.is_empty() { "" } else { "," };
        let id = self.integer(u128::from(merchant));
        let value = format!(r#"{{"type":"{kind}","merchant_id":{id}{comma}{fields}}}"#);
        self.raw(Some(merchant.to_string().into_bytes()), value.into_bytes())
    }

    fn raw(&mut self, key: Option<Vec<u8>>, value: Vec<u8>) -> InputRecord {
        let offset = self.offset;
        self.offset += 1 + self.draw.of(&[0, 0, 0, 1, 900]);
        let now = self.now.cast_signed();
        let timestamp = match self.draw.below(60) {
            0 => -1,
            1 => i64::MIN,
            2 => i64::MAX,
            3 => LARGEST.cast_signed() + 1,
            4 => 0,
            5 => now - 7_200_000,
            6 => now + self.draw.of(&[70, 3_000, 59_000]),
            _ => now,
        };
        // The publishers' clock follows, or every later command would be too old.
        self.now =
            self.now.max(u64::try_from(timestamp).unwrap_or(0).min(now.cast_unsigned() + 60_000));
        InputRecord { offset, timestamp, key, value: Some(value), headers: Vec::new() }
    }

    /// A number, or the string of up to 39 digits that means the same.
    fn integer(&mut self, value: u128) -> String {
        match self.draw.below(12) {
            0 => format!(r#""{value}""#),
            1 => format!(r#""{value:039}""#),
            _ => value.to_string(),
        }
    }

    fn sku(&mut self) -> String {
        let sku = if self.draw.one_in(2) { SKUS[0] } else { self.draw.of(&SKUS) };
        self.integer(u128::from(sku))
    }

    fn location(&mut self) -> String {
        let location = self.draw.of(&LOCATIONS);
        self.integer(u128::from(location))
    }

    /// Of few, and the same in all id spaces.
    fn id(&mut self) -> String {
        match self.draw.below(20) {
            0 => format!("{:040}", self.draw.below(3)),
            1 => format!("{}", u64::MAX - self.draw.below(3)),
            2 => format!("a{:039}", self.draw.below(3)),
            3 => format!("0{}", self.draw.below(9)),
            4 => format!("A_.:-{}", self.draw.below(5)),
            // Slowly on, so that ids come back after their windows and new ones come too.
            _ => format!("{}", (self.now - START) / 2_000 % 50 * 7 + self.draw.below(60)),
        }
    }

    /// A command's own time, mostly now, else around the edges of window and skew.
    fn own_time(&mut self, window: u64) -> u64 {
        let edge = self.draw.below(3);
        let time = match self.draw.below(12) {
            0 => (self.now + 1).saturating_sub(window + edge),
            1 => (self.now + self.rules.skew_ms + edge).saturating_sub(1),
            2 => self.draw.of(&[0, 1, LARGEST, START - 5]),
            _ => self.now,
        };
        time.min(LARGEST)
    }

    fn time_around(&mut self) -> u64 {
        let ahead = self.draw.of(&[0, 1, 20, 500, 30_000, 5_000_000]);
        match self.draw.below(8) {
            0 => self.now.saturating_sub(ahead),
            1 => self.draw.of(&[0, LARGEST]),
            _ => self.now + ahead,
        }
    }

    fn order(&mut self, merchant: u64) -> String {
        let id = self.id();
        let (lines, gross) = self.lines();
        let discount = match self.draw.below(6) {
            0 => gross,
            1 => self.draw.below(gross + 2),
            2 => gross.saturating_sub(1),
            _ => 0,
        };
        let amount = gross.saturating_sub(discount);
        let buyer = self.draw.of(&[0, 1, 2, u64::MAX]);
        let placed_at = self.own_time(self.rules.order_window_ms);
        let mut fields = format!(
            r#""order_id":"{id}","buyer_id":{buyer},"placed_at":{placed_at},"lines":[{lines}],"discount":{discount}"#
        );
        let mut deposit = 0;
        match self.draw.below(10) {
            0..3 => fields += r#","settle":"on_placement""#,
            3..5 => {
                let due = self.time_around();
                deposit = self.draw.below(amount.clamp(1, 50)) + 1;
                fields += &format!(r#","presale":{{"deposit":{deposit},"balance_due":{due}}}"#);
            }
            _ => {}
        }
        if self.draw.one_in(4) {
            fields += &format!(r#","pay_by":{}"#, self.time_around());
        }
        if self.draw.one_in(4) {
            let location = self.location();
            fields += &format!(r#","fulfilment":{{"mode":"pickup","location":{location}}}"#);
        }
        fields += &self.origin();
        self.recent.push(Recent { merchant, id, amount, deposit });
        if self.recent.len() > 40 {
            self.recent.remove(0);
        }
        fields
    }

    fn lines(&mut self) -> (String, u64) {
        let count = match self.draw.below(30) {
            0 => 100,
            1..6 => 5,
            6..15 => 2,
            _ => 1,
        };
        let mut gross = 0_u64;
        let lines: Vec<String> = (0..count)
            .map(|_| {
                let (sku, qty) = (self.sku(), self.draw.of(&[1, 1, 1, 2, 3, 40, 1_000_000]));
                let price = match self.draw.below(100) {
                    0 => LARGEST,
                    1 => LARGEST / 1_000_000,
                    2..9 => 0,
                    _ => self.draw.below(200),
                };
                gross = gross.saturating_add(price.saturating_mul(qty));
                format!(r#"{{"sku":{sku},"qty":{qty},"unit_price":{price}}}"#)
            })
            .collect();
        (lines.join(","), gross.min(2 * LARGEST))
    }

    fn origin(&mut self) -> String {
        let mut fields = String::new();
        if self.draw.one_in(2) {
            fields += &format!(r#","region":"{}""#, self.draw.of(&REGIONS));
        }
        if self.draw.one_in(3) {
            fields += &format!(r#","channel":"{}""#, self.draw.of(&["app", "phone", "kiosk", ""]));
        }
        if self.draw.one_in(3) {
            fields += r#","area":"rural""#;
        }
        fields
    }

    /// Mostly of a recent order, and often what that expects.
    fn payment(&mut self, merchant: u64) -> String {
        let own: Vec<Recent> =
            self.recent.iter().filter(|order| order.merchant == merchant).cloned().collect();
        let strange = Recent { merchant, id: self.id(), amount: 1, deposit: 0 };
        let order = match own.as_slice() {
            own if own.is_empty() || self.draw.one_in(8) => strange,
            own => self.draw.of(own),
        };
        let Recent { id: order, amount, deposit, .. } = order;
        let (part, amount) = match (self.draw.below(10), deposit) {
            (0..7, 0) => ("full", amount),
            (0..4, deposit) => ("deposit", deposit),
            (4..8, deposit) => ("balance", amount.saturating_sub(deposit)),
            (8, _) => ("full", self.draw.of(&[0, 1, LARGEST])),
            _ => (self.draw.of(&["full", "deposit", "balance"]), self.draw.below(90)),
        };
        let paid_at = self.own_time(self.rules.order_window_ms);
        let id = self.id();
        format!(
            r#""payment_id":"{id}","order_id":"{order}","amount":{},"paid_at":{paid_at},"part":"{part}""#,
            amount.min(LARGEST)
        )
    }

    fn cancellation(&mut self, merchant: u64) -> String {
        let recent = self.recent.iter().rev().find(|order| order.merchant == merchant).cloned();
        let order = match recent {
            Some(Recent { id, .. }) if self.draw.one_in(2) => id,
            _ => self.id(),
        };
        format!(r#""order_id":"{order}""#)
    }

    fn refund(&mut self) -> String {
        let lines: Vec<String> = (0..self.draw.below(4))
            .map(|_| {
                let (sku, location) = (self.sku(), self.location());
                let qty = self.draw.of(&[1, 2, 1_000_000]);
                format!(r#"{{"sku":{sku},"location":{location},"qty":{qty}}}"#)
            })
            .collect();
        let (lines, refunded_at) = (lines.join(","), self.own_time(self.rules.receipt_window_ms));
        let (id, order, amount) = (self.id(), self.id(), self.draw.of(&[0, 1, 77, LARGEST]));
        let restock = self.draw.of(&["true", "true", "false", "null"]);
        let origin = self.origin();
        format!(
            r#""refund_id":"{id}","order_id":"{order}","refunded_at":{refunded_at},"amount":{amount},"lines":[{lines}],"restock":{restock}{origin}"#
        )
    }

    fn receipt(&mut self) -> String {
        let qty: i64 = self.draw.of(&[
            1,
            5,
            100,
            2_000,
            1_000_000_000,
            1_000_000_000,
            294_967_295,
            -1,
            -50,
            -1_000_000_000,
            0,
        ]);
        let (id, sku, location) = (self.id(), self.sku(), self.location());
        let received_at = self.own_time(self.rules.receipt_window_ms);
        format!(
            r#""receipt_id":"{id}","received_at":{received_at},"sku":{sku},"qty":{qty},"location":{location}"#
        )
    }

    fn moved(&mut self) -> String {
        let qty = self.draw.of(&[1, 3, 500, 1_000_000_000]);
        let (id, sku, from, to) = (self.id(), self.sku(), self.location(), self.location());
        let received_at = self.own_time(self.rules.receipt_window_ms);
        format!(
            r#""receipt_id":"{id}","received_at":{received_at},"sku":{sku},"from":{from},"to":{to},"qty":{qty}"#
        )
    }

    fn listing(&mut self) -> String {
        let (sku, category) = (self.sku(), self.draw.of(&["none", "tea", "a.b_c-9", "zz"]));
        let limit = self.draw.of(&[0, 1, 3, 50, 1_000_000_000]);
        let safety = self.draw.of(&[0, 0, 0, 0, 0, 0, 1, 1, 10, 1_000_000_000]);
        format!(
            r#""sku":{sku},"category":"{category}","per_buyer_limit":{limit},"safety_stock":{safety}"#
        )
    }

    fn opening(&mut self) -> String {
        let location = self.draw.of(&LOCATIONS[1..]);
        let (kind, region) = (self.draw.of(&["store", "warehouse"]), self.draw.of(&REGIONS));
        let priority = self.draw.of(&[0, 1, 100, 65_535]);
        let mut fields = format!(
            r#""location":{location},"kind":"{kind}","region":"{region}","priority":{priority}"#
        );
        if self.draw.one_in(3) {
            fields += &format!(r#","ships":{}"#, self.draw.of(&["true", "false"]));
        }
        if self.draw.one_in(3) {
            fields += &format!(r#","pickup":{}"#, self.draw.of(&["true", "false"]));
        }
        fields
    }

    /// A good command that was damaged, or sent under another's key.
    fn garbage(&mut self, merchant: u64) -> InputRecord {
        let order = self.order(merchant);
        let good = format!(r#"{{"type":"order.placed","merchant_id":{merchant},{order}}}"#);
        let mut value = good.into_bytes();
        let key = Some(merchant.to_string().into_bytes());
        match self.draw.below(6) {
            0 => return self.raw(None, value),
            1 => return self.raw(Some(format!("0{merchant}").into_bytes()), value),
            2 => value.truncate(self.draw.below(value.len() as u64) as usize),
            3 => value.extend_from_slice(b" \t\r\n"),
            4 => value.extend_from_slice(b"x"),
            _ => {
                let at = self.draw.below(value.len() as u64) as usize;
                value[at] = (self.draw.next() & 0xff) as u8;
            }
        }
        let mut record = self.raw(key, value);
        record.headers =
            vec![("trace".to_owned(), Some(b"1".to_vec())), ("empty".to_owned(), None)];
        record
    }
}
