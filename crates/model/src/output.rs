//! Outputs as bytes (contract section 5).
//!
//! Every value is written out with its fields in the contract's order. No escaping is needed
//! anywhere: ids, regions, channels and categories only come through `decode`, whose alphabets hold
//! no character that JSON escapes. What is announced, and when, is not decided here.

use crate::command::{OrderPaid, OrderRefunded};
use crate::orders::Hold;
use crate::record::{Headers, InputRecord, Moment, Output, Topic};

/// A dead letter whose key, value and headers have more bytes than this leaves parts out.
const DEAD_LETTER_BYTES_MAX: usize = 900_000;

/// Why a record became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    TooLarge,
    Invalid,
    Misrouted,
    Stale,
    ClockSkew,
    StockUnderflow,
    StockOverflow,
    TooMany,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Code::TooLarge => "too_large",
            Code::Invalid => "invalid",
            Code::Misrouted => "misrouted",
            Code::Stale => "stale",
            Code::ClockSkew => "clock_skew",
            Code::StockUnderflow => "stock_underflow",
            Code::StockOverflow => "stock_overflow",
            Code::TooMany => "too_many",
        }
    }

    fn stage(self) -> &'static str {
        match self {
            Code::TooLarge | Code::Invalid => "decode",
            Code::Misrouted => "route",
            _ => "apply",
        }
    }
}

/// Why an order got no hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    Stale,
    ClockSkew,
    UnknownSku(u64),
    LocationUnavailable,
    BuyerLimit(u64),
    OutOfStock(u64),
}

/// Why a hold was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    Cancelled,
    Expired,
}

/// Why a payment was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Stale,
    ClockSkew,
    WrongPart,
    AmountMismatch,
    Expired,
    Cancelled,
    Rejected,
    Settled,
    UnknownOrder,
}

impl Refusal {
    fn name(self) -> &'static str {
        match self {
            Refusal::Stale => "stale",
            Refusal::ClockSkew => "clock_skew",
            Refusal::WrongPart => "wrong_part",
            Refusal::AmountMismatch => "amount_mismatch",
            Refusal::Expired => "expired",
            Refusal::Cancelled => "cancelled",
            Refusal::Rejected => "rejected",
            Refusal::Settled => "settled",
            Refusal::UnknownOrder => "unknown_order",
        }
    }
}

/// An output with the merchant's id as key and T as timestamp.
fn for_merchant(topic: Topic, moment: Moment, merchant_id: u64, value: String) -> Output {
    Output {
        topic,
        key: Some(merchant_id.to_string().into_bytes()),
        value: Some(value.into_bytes()),
        timestamp: moment.at as i64,
        headers: Headers::new(),
    }
}

pub(crate) fn hold_placed(moment: Moment, merchant_id: u64, hold: &Hold) -> Output {
    let Moment { offset, at } = moment;
    let order = &hold.order;
    let (order_id, buyer_id, amount) = (&order.order_id, order.buyer_id, order.amount());
    let lines = lines_of(hold);
    let expires_at = hold.expires_at;
    let value = format!(
        r#"{{"type":"hold.placed","offset":{offset},"order_id":"{order_id}","merchant_id":{merchant_id},"buyer_id":{buyer_id},"amount":{amount},"lines":{lines},"expires_at":{expires_at},"at":{at}}}"#
    );
    for_merchant(Topic::Status, moment, merchant_id, value)
}

pub(crate) fn hold_rejected(
    moment: Moment,
    merchant_id: u64,
    order_id: &str,
    buyer_id: u64,
    rejection: Rejection,
) -> Output {
    let Moment { offset, at } = moment;
    let (reason, sku) = match rejection {
        Rejection::Stale => ("stale", None),
        Rejection::ClockSkew => ("clock_skew", None),
        Rejection::UnknownSku(sku) => ("unknown_sku", Some(sku)),
        Rejection::LocationUnavailable => ("location_unavailable", None),
        Rejection::BuyerLimit(sku) => ("buyer_limit", Some(sku)),
        Rejection::OutOfStock(sku) => ("out_of_stock", Some(sku)),
    };
    let sku = sku.map_or(String::new(), |sku| format!(r#""sku":{sku},"#));
    let value = format!(
        r#"{{"type":"hold.rejected","offset":{offset},"order_id":"{order_id}","merchant_id":{merchant_id},"buyer_id":{buyer_id},"reason":"{reason}",{sku}"at":{at}}}"#
    );
    for_merchant(Topic::Status, moment, merchant_id, value)
}

pub(crate) fn hold_released(
    moment: Moment,
    merchant_id: u64,
    hold: &Hold,
    release: Release,
) -> Output {
    let Moment { offset, at } = moment;
    let (order_id, amount) = (&hold.order.order_id, hold.order.amount());
    let reason = match release {
        Release::Cancelled => "cancelled",
        Release::Expired => "expired",
    };
    let lines = lines_of(hold);
    let forfeited =
        hold.paid_deposit().map_or(String::new(), |deposit| format!(r#""forfeited":{deposit},"#));
    let value = format!(
        r#"{{"type":"hold.released","offset":{offset},"order_id":"{order_id}","merchant_id":{merchant_id},"reason":"{reason}","amount":{amount},"lines":{lines},{forfeited}"at":{at}}}"#
    );
    for_merchant(Topic::Status, moment, merchant_id, value)
}

pub(crate) fn hold_extended(moment: Moment, merchant_id: u64, hold: &Hold) -> Output {
    let Moment { offset, at } = moment;
    let (order_id, expires_at) = (&hold.order.order_id, hold.expires_at);
    let value = format!(
        r#"{{"type":"hold.extended","offset":{offset},"order_id":"{order_id}","merchant_id":{merchant_id},"expires_at":{expires_at},"at":{at}}}"#
    );
    for_merchant(Topic::Status, moment, merchant_id, value)
}

pub(crate) fn payment_refused(
    moment: Moment,
    merchant_id: u64,
    paid: &OrderPaid,
    refusal: Refusal,
) -> Output {
    let Moment { offset, at } = moment;
    let OrderPaid { payment_id, order_id, amount, .. } = paid;
    let reason = refusal.name();
    let value = format!(
        r#"{{"type":"payment.refused","offset":{offset},"payment_id":"{payment_id}","order_id":"{order_id}","merchant_id":{merchant_id},"amount":{amount},"reason":"{reason}","at":{at}}}"#
    );
    for_merchant(Topic::Status, moment, merchant_id, value)
}

pub(crate) fn order_settled(moment: Moment, merchant_id: u64, hold: &Hold) -> Output {
    let Moment { offset, at } = moment;
    let order = &hold.order;
    let (order_id, buyer_id, placed_at) = (&order.order_id, order.buyer_id, order.placed_at);
    let (amount, discount) = (order.amount(), order.discount);
    let lines = lines_of(hold);
    let (channel, region, area) = (order.origin.channel, &order.origin.region, order.origin.area);
    let value = format!(
        r#"{{"type":"order.settled","offset":{offset},"order_id":"{order_id}","merchant_id":{merchant_id},"buyer_id":{buyer_id},"amount":{amount},"discount":{discount},"lines":{lines},"channel":"{channel}","region":"{region}","area":"{area}","placed_at":{placed_at},"at":{at}}}"#
    );
    for_merchant(Topic::Settled, moment, merchant_id, value)
}

pub(crate) fn order_refunded(moment: Moment, merchant_id: u64, refund: &OrderRefunded) -> Output {
    let Moment { offset, at } = moment;
    let OrderRefunded { refund_id, order_id, amount, restock, .. } = refund;
    let lines = array(refund.lines.iter().map(|line| {
        let (sku, location, qty) = (line.sku, line.location, line.qty);
        format!(r#"{{"sku":{sku},"location":{location},"qty":{qty}}}"#)
    }));
    let origin = &refund.origin;
    let (channel, region, area) = (origin.channel, &origin.region, origin.area);
    let value = format!(
        r#"{{"type":"order.refunded","offset":{offset},"refund_id":"{refund_id}","order_id":"{order_id}","merchant_id":{merchant_id},"amount":{amount},"lines":{lines},"restock":{restock},"channel":"{channel}","region":"{region}","area":"{area}","at":{at}}}"#
    );
    for_merchant(Topic::Settled, moment, merchant_id, value)
}

/// An order's lines as they stood in the order, each with its location.
fn lines_of(hold: &Hold) -> String {
    array(hold.order.lines.iter().map(|line| {
        let (sku, qty, unit_price) = (line.sku, line.qty, line.unit_price);
        let location = hold.allocation[&sku];
        format!(r#"{{"sku":{sku},"qty":{qty},"unit_price":{unit_price},"location":{location}}}"#)
    }))
}

fn array(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<_>>().join(","))
}

/// The dead letter of `record`, which came from `partition` of `input_topic`.
pub(crate) fn dead_letter(
    moment: Moment,
    input_topic: &str,
    partition: u32,
    record: &InputRecord,
    code: Code,
    message: &str,
) -> Output {
    let mut omitted = Vec::new();
    let mut left = original_bytes(record);
    for part in [Part::Value, Part::Headers, Part::Key] {
        // What the record never had cannot be missing.
        if left > DEAD_LETTER_BYTES_MAX && part.is_in(record) {
            left -= part.bytes(record);
            omitted.push(part);
        }
    }
    let kept = |part: Part| !omitted.contains(&part);
    let mut headers = if kept(Part::Headers) { record.headers.clone() } else { Headers::new() };
    let mut error = |name: &str, value: &str| {
        let value = Some(value.as_bytes().to_vec());
        headers.push((format!("__connect.errors.{name}"), value));
    };
    error("topic", input_topic);
    error("partition", &partition.to_string());
    error("offset", &record.offset.to_string());
    error("timestamp", &record.timestamp.to_string());
    error("stage", code.stage());
    error("exception.class.name", code.name());
    error("exception.message", message);
    if !omitted.is_empty() {
        error("omitted", &omitted.iter().map(Part::name).collect::<Vec<_>>().join(","));
    }
    Output {
        topic: Topic::DeadLetters,
        key: record.key.clone().filter(|_| kept(Part::Key)),
        value: record.value.clone().filter(|_| kept(Part::Value)),
        timestamp: moment.at as i64,
        headers,
    }
}

/// A part of the original record, in the order in which parts are left out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Value,
    Headers,
    Key,
}

impl Part {
    fn name(&self) -> &'static str {
        match self {
            Part::Value => "value",
            Part::Headers => "headers",
            Part::Key => "key",
        }
    }

    fn is_in(self, record: &InputRecord) -> bool {
        match self {
            Part::Value => record.value.is_some(),
            Part::Headers => !record.headers.is_empty(),
            Part::Key => record.key.is_some(),
        }
    }

    /// How many bytes of the original record the part has.
    fn bytes(self, record: &InputRecord) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        match self {
            Part::Value => length(&record.value),
            Part::Headers => {
                record.headers.iter().map(|(name, value)| name.len() + length(value)).sum()
            }
            Part::Key => length(&record.key),
        }
    }
}

fn original_bytes(record: &InputRecord) -> usize {
    [Part::Value, Part::Headers, Part::Key].into_iter().map(|part| part.bytes(record)).sum()
}
