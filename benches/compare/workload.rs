//! The log that everybody settles: every SKU with its stock, then orders that settle on placement.
//!
//! Not a sale day (that is the drill's): made so that what must come of it is known without asking
//! anybody. Most orders have two lines and settle; one in 100 asks for more of a scarce SKU than
//! there is; one in 200 is one that came before, word for word. Invariant: the records are a function
//! of the counts alone, and so is [`Workload::expected`].

use std::io::Write as _;

use serde::Serialize;

/// Log time of the first record, in milliseconds since 1970.
const START_MS: i64 = 1_762_790_400_000;
const ORDERS_EACH_MS: u64 = 500;
/// SKUs that most orders are for; the one after the last of them is scarce.
const SKUS_EACH: u64 = 10;
const SCARCE: u64 = SKUS_EACH + 1;
/// One of so many orders is for the scarce SKU.
const REJECTED_EACH: u64 = 100;
/// One of so many orders is a repetition of the one that came this much before.
const REPEATED_EACH: u64 = 200;
const REPEATED_AFTER: u64 = 100;
/// One of so many orders has a discount of 5 yuan.
const DISCOUNTED_EACH: u64 = 10;
const DISCOUNT: u64 = 500;
/// One at 99.00, two at 12.90.
const GROSS: u64 = 9_900 + 2 * 1_290;

/// See the module's documentation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) merchants: u64,
    pub(crate) orders: u64,
}

/// What must come of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Expected {
    /// Orders settled.
    pub(crate) settled: u64,
    /// Their amount, in fen.
    pub(crate) amount: u64,
    /// Orders rejected.
    pub(crate) rejected: u64,
    /// Orders that came again, to which nothing is written.
    pub(crate) duplicates: u64,
}

/// A record of the log; its buffers are used again.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp_ms: i64,
}

impl Workload {
    /// Records before the first order.
    pub(crate) fn catalogue(&self) -> u64 {
        self.merchants * SCARCE * 2
    }

    /// Puts a record of the catalogue into `made`.
    pub(crate) fn make_catalogue(&self, number: u64, timestamp_ms: i64, made: &mut Made) {
        let (merchant, sku) = (1 + number / 2 / SCARCE, 1 + number / 2 % SCARCE);
        made.begin(merchant, timestamp_ms);
        let units = if sku == SCARCE { 5 } else { 100_000_000 };
        // Writing to a vector does not fail.
        _ = if number.is_multiple_of(2) {
            write!(
                made.value,
                r#"{{"type":"sku.listed","merchant_id":{merchant},"sku":{sku},"category":"cat{}"}}"#,
                sku % 7
            )
        } else {
            write!(
                made.value,
                r#"{{"type":"stock.received","merchant_id":{merchant},"receipt_id":"r{sku}","received_at":{timestamp_ms},"sku":{sku},"qty":{units}}}"#
            )
        };
    }

    /// Puts an order of the log into `made`.
    pub(crate) fn make_order(&self, number: u64, made: &mut Made) {
        let original = if is_repeated(number) { number - REPEATED_AFTER } else { number };
        self.make_order_at(original, log_time_ms(original), made);
        made.timestamp_ms = log_time_ms(number);
    }

    /// The same of an order placed now, never a repetition.
    pub(crate) fn make_order_at(&self, number: u64, placed_at_ms: i64, made: &mut Made) {
        let merchant = 1 + number * 7_919 % self.merchants;
        made.begin(merchant, placed_at_ms);
        let is_rejected = is_rejected(number);
        let (first, second) = match is_rejected {
            true => (SCARCE, 1),
            false => (1 + number % SKUS_EACH, 1 + number / 7 % SKUS_EACH),
        };
        let mut digits = itoa::Buffer::new();
        let mut put = |before: &str, number: u64| {
            made.value.extend_from_slice(before.as_bytes());
            made.value.extend_from_slice(digits.format(number).as_bytes());
        };
        put(r#"{"type":"order.placed","merchant_id":"#, merchant);
        put(r#","order_id":"o"#, 1_000_000_000 + number);
        put(r#"","buyer_id":"#, number % 1_000_003);
        put(r#","placed_at":"#, placed_at_ms.unsigned_abs());
        put(r#","channel":"app","region":"330106","area":"urban","discount":"#, discount(number));
        put(r#","settle":"on_placement","lines":[{"sku":"#, first);
        put(r#","qty":"#, if is_rejected { 1_000 } else { 1 });
        put(r#","unit_price":9900},{"sku":"#, second);
        made.value.extend_from_slice(br#","qty":2,"unit_price":1290}]}"#);
    }

    /// What must come of the whole log.
    pub(crate) fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        for number in 0..self.orders {
            if is_repeated(number) {
                expected.duplicates += 1;
            } else if is_rejected(number) {
                expected.rejected += 1;
            } else {
                expected.settled += 1;
                expected.amount += GROSS - discount(number);
            }
        }
        expected
    }

    /// Log time of the catalogue.
    pub(crate) fn start_ms(&self) -> i64 {
        START_MS
    }
}

impl Made {
    fn begin(&mut self, merchant: u64, timestamp_ms: i64) {
        self.key.clear();
        self.key.extend_from_slice(itoa::Buffer::new().format(merchant).as_bytes());
        self.value.clear();
        self.timestamp_ms = timestamp_ms;
    }
}

/// The number in an order's id, from its text behind `"order_id":"`.
pub(crate) fn number_of(id: &[u8]) -> Option<u64> {
    let digits = id.strip_prefix(b"o")?.get(..10)?;
    std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?.checked_sub(1_000_000_000)
}

fn log_time_ms(order: u64) -> i64 {
    START_MS + (order / ORDERS_EACH_MS).cast_signed()
}

fn is_repeated(number: u64) -> bool {
    number % REPEATED_EACH == REPEATED_EACH - 1
}

fn is_rejected(number: u64) -> bool {
    number % REJECTED_EACH == REJECTED_EACH / 2
}

fn discount(number: u64) -> u64 {
    if number % DISCOUNTED_EACH == 3 { DISCOUNT } else { 0 }
}
