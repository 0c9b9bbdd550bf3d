//! Effects, dead letters and counters to output records (contract, sections 5 and 6).
//!
//! It decides nothing: what leaves is what the state machine answered. Invariant: the bytes depend on
//! the effect, the record and T alone.

use std::fmt::Display;

use ledger::counters::{Counter, Dimension};
use ledger::effect::{DeadLetter, Effect};
use ledger::units::{Millis, Offset};

use crate::outputs::{Outputs, Topic};
use crate::record::Record;
use crate::refused::Refused;
use crate::template::{
    Day, Days, Piece, Prepared, Repeated, Value, Writer, area, date, dimension_name,
    dimension_value, members, open,
};

/// Most bytes of a dead letter's original key, value and headers together: with our own headers,
/// which are bounded, it then fits in Kafka's default `max.message.bytes` of 1,048,588.
pub const DEAD_LETTER_BYTES_MAX: usize = 900_000;

/// More than an output's key and value have without lines, whatever the values: the longest is the
/// counter `all` with 14 numbers of up to 39 digits.
const OUTPUT_BYTES_MAX: usize = 1_024;
/// More than a line has: four numbers of up to 20 digits and their names.
const LINE_BYTES_MAX: usize = 128;
/// More than an answer's last member has: `,"at":`, up to 20 digits and a brace.
const END_BYTES_MAX: usize = 32;

/// Encodes what one input topic causes.
#[derive(Debug, Clone)]
pub struct Encoder {
    input_topic: String,
    end: End,
    days: Days,
}

/// An answer's last member and brace, which are the same for all answers of a millisecond.
#[derive(Debug, Clone)]
struct End {
    at: Millis,
    text: Prepared<END_BYTES_MAX>,
}

impl End {
    /// The end of answers at this T.
    fn new(at: Millis) -> End {
        End { at, text: Prepared::new(|writer| at.write(",\"at\":", writer).put(b"}")) }
    }
}

impl Encoder {
    /// An encoder of answers to this topic, whose name dead letters repeat.
    pub fn new(input_topic: impl Into<String>) -> Encoder {
        Encoder { input_topic: input_topic.into(), end: End::new(Millis(0)), days: Days::new() }
    }

    /// Appends the output of an effect that `cause` had at T = `at`.
    #[inline]
    pub fn effect(
        &mut self,
        outputs: &mut Outputs,
        cause: &Record<'_>,
        at: Millis,
        effect: &Effect<'_>,
    ) {
        let (topic, order, lines) = match *effect {
            Effect::DeadLetter(code) => {
                return self.dead_letter(outputs, cause, at, code, explanation(code));
            }
            Effect::HoldPlaced { order, lines, .. } | Effect::HoldReleased { order, lines, .. } => {
                (Topic::Status, order, lines.len())
            }
            Effect::HoldRejected { order, .. }
            | Effect::HoldExtended { order, .. }
            | Effect::PaymentRefused { order, .. } => (Topic::Status, order, 0),
            Effect::OrderSettled { order, lines, .. } => (Topic::Settled, order, lines.len()),
            Effect::OrderRefunded { order, lines, .. } => (Topic::Settled, order, lines.len()),
        };
        if self.end.at != at {
            self.end = End::new(at);
        }
        let Encoder { end, days, .. } = self;
        let merchant = Repeated::new(order.merchant.0);
        let bytes_max = OUTPUT_BYTES_MAX + lines * LINE_BYTES_MAX;
        outputs.write(
            topic,
            cause.partition,
            at,
            bytes_max,
            |writer| merchant.write("", writer),
            |writer| {
                let writer = answer(writer, cause.offset, &merchant, effect, days);
                end.text.write("", writer)
            },
        );
    }

    /// Appends the dead letter of a record that was refused before the state machine saw it.
    pub fn refused(
        &self,
        outputs: &mut Outputs,
        cause: &Record<'_>,
        at: Millis,
        refused: &Refused,
    ) {
        self.dead_letter(outputs, cause, at, refused.code, refused.why);
    }

    /// Appends the dead letter of a record; `text` says what is wrong.
    pub fn dead_letter(
        &self,
        outputs: &mut Outputs,
        cause: &Record<'_>,
        at: Millis,
        code: DeadLetter,
        text: impl Display,
    ) {
        let omitted = Omitted::of(cause);
        let key = cause.key.filter(|_| !omitted.key);
        let value = cause.value.filter(|_| !omitted.value);
        outputs.push(Topic::DeadLetters, cause.partition, at, key, value);
        outputs.mark_dead_letter(code);
        if !omitted.headers {
            cause.headers.each(&mut |name, value| outputs.header(name, value));
        }
        let mut header = |name, value: &str| outputs.header(name, Some(value.as_bytes()));
        let mut digits = itoa::Buffer::new();
        header("__connect.errors.topic", &self.input_topic);
        header("__connect.errors.partition", digits.format(cause.partition));
        header("__connect.errors.offset", digits.format(cause.offset.0));
        header("__connect.errors.timestamp", digits.format(cause.timestamp));
        header("__connect.errors.stage", code.stage());
        header("__connect.errors.exception.class.name", code.code());
        header("__connect.errors.exception.message", &text.to_string());
        if let Some(parts) = omitted.names() {
            header("__connect.errors.omitted", parts);
        }
    }

    /// Appends the record of a counter: its totals up to and including the input record at `offset`,
    /// written at T = `at`.
    pub fn counter(
        &self,
        outputs: &mut Outputs,
        partition: u32,
        counter: &Counter<'_>,
        offset: Offset,
        at: Millis,
    ) {
        outputs.write(
            Topic::Gmv,
            partition,
            at,
            OUTPUT_BYTES_MAX,
            |writer| {
                let writer = date(counter.day, partition.write("", writer).put(b"/"));
                let name = dimension_name(&counter.dimension).as_bytes();
                dimension_value(&counter.dimension, writer.put(b"/").put(name).put(b"/"))
            },
            |writer| {
                let mut writer = totals(writer, partition, counter);
                members! { writer: "offset" => offset; "at" => at; }
                writer.put(b"}")
            },
        );
    }
}

/// The parts of a dead letter that are left out because all together are too long.
#[derive(Debug, Default, PartialEq, Eq)]
struct Omitted {
    value: bool,
    headers: bool,
    key: bool,
}

impl Omitted {
    /// Leaves out value, headers and key in this order until the rest is short enough. What counts
    /// are the bytes of key, value, header names and header values as they were received; what the
    /// record did not have cannot be missing.
    fn of(record: &Record<'_>) -> Omitted {
        let mut headers = None;
        record.headers.each(&mut |name, value| {
            *headers.get_or_insert(0) += name.len() + value.map_or(0, <[u8]>::len);
        });
        let mut omitted = Omitted::default();
        let parts = [
            (record.value.map(<[u8]>::len), &mut omitted.value),
            (headers, &mut omitted.headers),
            (record.key.map(<[u8]>::len), &mut omitted.key),
        ];
        let mut rest = parts.iter().filter_map(|(bytes, _)| *bytes).sum::<usize>();
        for (bytes, is_omitted) in parts {
            if let Some(bytes) = bytes
                && rest > DEAD_LETTER_BYTES_MAX
            {
                *is_omitted = true;
                rest -= bytes;
            }
        }
        omitted
    }

    /// The parts' names in the order in which they were left out.
    fn names(&self) -> Option<&'static str> {
        match (self.value, self.headers, self.key) {
            (false, false, false) => None,
            (true, false, false) => Some("value"),
            (false, true, false) => Some("headers"),
            (false, false, true) => Some("key"),
            (true, true, false) => Some("value,headers"),
            (true, false, true) => Some("value,key"),
            (false, true, true) => Some("headers,key"),
            (true, true, true) => Some("value,headers,key"),
        }
    }
}

/// An answer's object up to its last member, `at`. A dead letter has none: the record itself leaves.
#[inline(always)]
fn answer<'w>(
    mut writer: Writer<'w>,
    offset: Offset,
    merchant: &Repeated,
    effect: &Effect<'_>,
    days: &mut Days,
) -> Writer<'w> {
    match *effect {
        Effect::HoldPlaced { order, buyer, amount, lines, expires_at } => {
            open! { writer: type "hold.placed" }
            members! { writer: "offset" => offset; "order_id" => order.order_id;
            "merchant_id" => *merchant; "buyer_id" => buyer; "amount" => amount;
            "lines" => lines; "expires_at" => days.instant(expires_at); }
        }
        Effect::HoldRejected { order, buyer, rejection } => {
            open! { writer: type "hold.rejected" }
            members! { writer: "offset" => offset; "order_id" => order.order_id;
            "merchant_id" => *merchant; "buyer_id" => buyer; "reason" => rejection.name();
            "sku" => rejection.sku(); }
        }
        Effect::HoldReleased { order, reason, amount, lines, forfeited } => {
            open! { writer: type "hold.released" }
            members! { writer: "offset" => offset; "order_id" => order.order_id;
            "merchant_id" => *merchant; "reason" => reason.name(); "amount" => amount;
            "lines" => lines; "forfeited" => forfeited; }
        }
        Effect::HoldExtended { order, expires_at } => {
            open! { writer: type "hold.extended" }
            members! { writer: "offset" => offset; "order_id" => order.order_id;
            "merchant_id" => *merchant; "expires_at" => days.instant(expires_at); }
        }
        Effect::PaymentRefused { payment_id, order, amount, refusal } => {
            open! { writer: type "payment.refused" }
            members! { writer: "offset" => offset; "payment_id" => payment_id;
            "order_id" => order.order_id; "merchant_id" => *merchant; "amount" => amount;
            "reason" => refusal.name(); }
        }
        Effect::OrderSettled {
            order,
            buyer,
            amount,
            discount,
            lines,
            channel,
            region,
            rural,
            placed_at,
        } => {
            open! { writer: type "order.settled" }
            members! { writer: "offset" => offset; "order_id" => order.order_id;
            "merchant_id" => *merchant; "buyer_id" => buyer; "amount" => amount;
            "discount" => discount; "lines" => lines; "channel" => channel; "region" => region;
            "area" => area(rural); "placed_at" => days.instant(placed_at); }
        }
        Effect::OrderRefunded {
            refund_id,
            order,
            amount,
            lines,
            restock,
            channel,
            region,
            rural,
        } => {
            open! { writer: type "order.refunded" }
            members! { writer: "offset" => offset; "refund_id" => refund_id;
            "order_id" => order.order_id; "merchant_id" => *merchant; "amount" => amount;
            "lines" => lines; "restock" => restock; "channel" => channel; "region" => region;
            "area" => area(rural); }
        }
        Effect::DeadLetter(_) => {}
    }
    writer
}

/// A counter's object up to the last of its totals.
fn totals<'w>(mut writer: Writer<'w>, partition: u32, counter: &Counter<'_>) -> Writer<'w> {
    let figures = &counter.figures;
    open! { writer: "partition" => partition }
    members! { writer: "day" => Day(counter.day); "dimension" => dimension_name(&counter.dimension);
    "value" => Value(&counter.dimension); "orders_placed" => figures.orders_placed;
    "placed" => figures.placed; "orders_settled" => figures.orders_settled;
    "units_settled" => figures.units_settled; "settled" => figures.settled;
    "orders_refunded" => figures.orders_refunded; "refunded" => figures.refunded; }
    if let Dimension::All(answers) = counter.dimension {
        members! { writer: "orders_rejected" => answers.orders_rejected;
        "orders_released" => answers.orders_released; "dead_letters" => answers.dead_letters;
        "duplicates" => answers.duplicates; }
    }
    writer
}

/// What the reader of a dead letter should know about a code when nothing more particular is known.
const fn explanation(code: DeadLetter) -> &'static str {
    match code {
        DeadLetter::TooLarge => "the value is too large",
        DeadLetter::Invalid => "the value is not a command of the contract",
        DeadLetter::Misrouted => "the key or the partition is not the merchant's",
        DeadLetter::Stale => {
            "its own time is older than the window allows, so whether it was seen before is forgotten"
        }
        DeadLetter::ClockSkew => {
            "its own time lies further ahead of the partition's time than the allowed skew"
        }
        DeadLetter::StockUnderflow => "an on_hand would fall below 0; nothing of it took effect",
        DeadLetter::StockOverflow => {
            "on_hand and held of a cell would exceed 4294967295 together; nothing of it took effect"
        }
        DeadLetter::TooMany => {
            "the partition has no place for another category, or the merchant none for another open \
             location"
        }
    }
}
