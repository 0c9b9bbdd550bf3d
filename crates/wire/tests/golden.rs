//! Golden bytes: every effect, counter and dead letter as the contract's sections 5 and 6 write it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use ledger::command::{ExternalId, RefundLine};
use ledger::counters::{Answers, Counter, Dimension, Figures};
use ledger::effect::{
    DeadLetter, Effect, OrderRef, PaymentRefusal, PlacedLine, Rejection, ReleaseReason,
};
use ledger::units::{
    BuyerId, Category, Channel, LocationId, MerchantId, Millis, Money, Offset, Region, SkuId, Units,
};
use wire::{Encoder, Headers, NoHeaders, Output, Outputs, Record, Topic};

const AT: Millis = Millis(1_762_790_400_018);

fn cause() -> Record<'static> {
    Record {
        partition: 3,
        offset: Offset(14),
        timestamp: 1_762_790_400_017,
        key: Some(b"1001"),
        value: Some(b"{}"),
        headers: &NoHeaders,
    }
}

fn order(order_id: &str) -> OrderRef<'_> {
    OrderRef { merchant: MerchantId(1001), order_id: id(order_id) }
}

fn id(text: &str) -> ExternalId<'_> {
    ExternalId::new(text).unwrap()
}

const LINES: [PlacedLine; 2] = [
    PlacedLine { sku: SkuId(501), qty: Units(1), unit_price: Money(990), location: LocationId(0) },
    PlacedLine {
        sku: SkuId(502),
        qty: Units(1),
        unit_price: Money(12_900),
        location: LocationId(7),
    },
];

fn text(bytes: Option<&[u8]>) -> &str {
    std::str::from_utf8(bytes.unwrap()).unwrap()
}

fn check(effect: &Effect<'_>, topic: Topic, value: &str) {
    let mut outputs = Outputs::new();
    Encoder::new("orders").effect(&mut outputs, &cause(), AT, effect);
    assert_eq!(outputs.len(), 1);
    let output = outputs.get(0).unwrap();
    assert_eq!(text(output.value), value);
    assert_eq!(text(output.key), "1001");
    assert_eq!((output.topic, output.partition, output.timestamp), (topic, 3, AT));
    assert_eq!((output.headers.count(), output.dead_letter), (0, None));
}

#[test]
fn hold_placed() {
    let effect = Effect::HoldPlaced {
        order: order("100"),
        buyer: BuyerId(9),
        amount: Money(13_790),
        lines: &LINES,
        expires_at: Millis(1_762_791_300_010),
    };
    let value = r#"{"type":"hold.placed","offset":14,"order_id":"100","merchant_id":1001,"buyer_id":9,"amount":13790,"lines":[{"sku":501,"qty":1,"unit_price":990,"location":0},{"sku":502,"qty":1,"unit_price":12900,"location":7}],"expires_at":1762791300010,"at":1762790400018}"#;
    check(&effect, Topic::Status, value);
}

#[test]
fn hold_rejected_names_a_sku_where_there_is_one() {
    for (rejection, written) in [
        (Rejection::Stale, r#""stale""#),
        (Rejection::ClockSkew, r#""clock_skew""#),
        (Rejection::UnknownSku(SkuId(999)), r#""unknown_sku","sku":999"#),
        (Rejection::LocationUnavailable, r#""location_unavailable""#),
        (Rejection::BuyerLimit(SkuId(0)), r#""buyer_limit","sku":0"#),
        (Rejection::OutOfStock(SkuId(u64::MAX)), r#""out_of_stock","sku":18446744073709551615"#),
    ] {
        let effect = Effect::HoldRejected { order: order("101"), buyer: BuyerId(9), rejection };
        let value = format!(
            r#"{{"type":"hold.rejected","offset":14,"order_id":"101","merchant_id":1001,"buyer_id":9,"reason":{written},"at":1762790400018}}"#
        );
        check(&effect, Topic::Status, &value);
    }
}

#[test]
fn hold_released_names_a_forfeited_deposit() {
    for (reason, forfeited, name, written) in [
        (ReleaseReason::Cancelled, None, "cancelled", ""),
        (ReleaseReason::Expired, Some(Money(200)), "expired", r#","forfeited":200"#),
    ] {
        let effect = Effect::HoldReleased {
            order: order("a:b.c_d-E"),
            reason,
            amount: Money(0),
            lines: &LINES[1..],
            forfeited,
        };
        let value = format!(
            r#"{{"type":"hold.released","offset":14,"order_id":"a:b.c_d-E","merchant_id":1001,"reason":"{name}","amount":0,"lines":[{{"sku":502,"qty":1,"unit_price":12900,"location":7}}]{written},"at":1762790400018}}"#
        );
        check(&effect, Topic::Status, &value);
    }
}

#[test]
fn hold_extended() {
    let effect =
        Effect::HoldExtended { order: order("105"), expires_at: Millis(1_762_790_405_000) };
    let value = r#"{"type":"hold.extended","offset":14,"order_id":"105","merchant_id":1001,"expires_at":1762790405000,"at":1762790400018}"#;
    check(&effect, Topic::Status, value);
}

#[test]
fn payment_refused() {
    for (refusal, name) in [
        (PaymentRefusal::Stale, "stale"),
        (PaymentRefusal::ClockSkew, "clock_skew"),
        (PaymentRefusal::WrongPart, "wrong_part"),
        (PaymentRefusal::AmountMismatch, "amount_mismatch"),
        (PaymentRefusal::Expired, "expired"),
        (PaymentRefusal::Cancelled, "cancelled"),
        (PaymentRefusal::Rejected, "rejected"),
        (PaymentRefusal::Settled, "settled"),
        (PaymentRefusal::UnknownOrder, "unknown_order"),
    ] {
        let effect = Effect::PaymentRefused {
            payment_id: id("1"),
            order: order("100"),
            amount: Money(13_789),
            refusal,
        };
        let value = format!(
            r#"{{"type":"payment.refused","offset":14,"payment_id":"1","order_id":"100","merchant_id":1001,"amount":13789,"reason":"{name}","at":1762790400018}}"#
        );
        check(&effect, Topic::Status, &value);
    }
}

#[test]
fn order_settled() {
    let settled = |channel, region, rural| Effect::OrderSettled {
        order: order("100"),
        buyer: BuyerId(9),
        amount: Money(13_790),
        discount: Money(100),
        lines: &LINES,
        channel,
        region: Region::new(region).unwrap(),
        rural,
        placed_at: Millis(1_762_790_400_009),
    };
    let value = r#"{"type":"order.settled","offset":14,"order_id":"100","merchant_id":1001,"buyer_id":9,"amount":13790,"discount":100,"lines":[{"sku":501,"qty":1,"unit_price":990,"location":0},{"sku":502,"qty":1,"unit_price":12900,"location":7}],"channel":"app","region":"330106","area":"rural","placed_at":1762790400009,"at":1762790400018}"#;
    check(&settled(Channel::App, 330_106, true), Topic::Settled, value);
    for channel in Channel::ALL {
        let written = value
            .replace("\"app\"", &format!("{:?}", channel.name()))
            .replace("330106", "000042")
            .replace("rural", "urban");
        check(&settled(channel, 42, false), Topic::Settled, &written);
    }
}

#[test]
fn order_refunded() {
    let refunded = |lines, restock| Effect::OrderRefunded {
        refund_id: id("1"),
        order: order("100"),
        amount: Money(12_807),
        lines,
        restock,
        channel: Channel::App,
        region: Region::new(330_106).unwrap(),
        rural: true,
    };
    let lines = [RefundLine { sku: SkuId(502), location: LocationId(7), qty: Units(1) }; 2];
    let value = r#"{"type":"order.refunded","offset":14,"refund_id":"1","order_id":"100","merchant_id":1001,"amount":12807,"lines":[{"sku":502,"location":7,"qty":1},{"sku":502,"location":7,"qty":1}],"restock":true,"channel":"app","region":"330106","area":"rural","at":1762790400018}"#;
    check(&refunded(&lines, true), Topic::Settled, value);
    let value = r#"{"type":"order.refunded","offset":14,"refund_id":"1","order_id":"100","merchant_id":1001,"amount":12807,"lines":[],"restock":false,"channel":"app","region":"330106","area":"rural","at":1762790400018}"#;
    check(&refunded(&[], false), Topic::Settled, value);
}

/// The largest values of every type, so that no template's room is too small.
#[test]
fn largest_output_is_whole() {
    let longest = "x".repeat(40);
    let lines = [PlacedLine {
        sku: SkuId(u64::MAX),
        qty: Units(u32::MAX),
        unit_price: Money(u64::MAX),
        location: LocationId(u32::MAX),
    }; 100];
    let effect = Effect::OrderSettled {
        order: OrderRef { merchant: MerchantId(u64::MAX), order_id: id(&longest) },
        buyer: BuyerId(u64::MAX),
        amount: Money(u64::MAX),
        discount: Money(u64::MAX),
        lines: &lines,
        channel: Channel::MiniProgram,
        region: Region::new(999_999).unwrap(),
        rural: false,
        placed_at: Millis(u64::MAX),
    };
    let mut outputs = Outputs::new();
    let cause = Record { offset: Offset(u64::MAX), ..cause() };
    Encoder::new("orders").effect(&mut outputs, &cause, Millis(u64::MAX), &effect);
    let output = outputs.get(0).unwrap();
    assert_eq!(text(output.key), u64::MAX.to_string());
    let line = r#"{"sku":18446744073709551615,"qty":4294967295,"unit_price":18446744073709551615,"location":4294967295}"#;
    assert_eq!(text(output.value).matches(line).count(), 100);
}

#[test]
fn answer_never_has_the_time_of_the_one_before() {
    let effect = Effect::HoldExtended { order: order("105"), expires_at: Millis(7) };
    let mut encoder = Encoder::new("orders");
    let mut outputs = Outputs::new();
    for at in [0, AT.0, AT.0, AT.0 + 1, 9, 99_999_999, 100_000_000, u64::MAX, 0] {
        encoder.effect(&mut outputs, &cause(), Millis(at), &effect);
        let output = outputs.iter().last().unwrap();
        assert_eq!(output.timestamp, Millis(at));
        let end = format!(r#""expires_at":7,"at":{at}}}"#);
        assert!(text(output.value).ends_with(&end), "{}", text(output.value));
    }
}

fn counter(dimension: Dimension<'_>, key: &str, value: &str) {
    let figures = Figures {
        orders_placed: 12,
        placed: 19_250,
        orders_settled: 7,
        units_settled: 9,
        settled: u128::MAX,
        orders_refunded: 1,
        refunded: 12_807,
    };
    let counter = Counter { day: 20_403, dimension, figures };
    let mut outputs = Outputs::new();
    Encoder::new("orders").counter(&mut outputs, 3, &counter, Offset(61), AT);
    let output = outputs.get(0).unwrap();
    assert_eq!(text(output.key), format!("3/2025-11-11/{key}"));
    let figures = r#""orders_placed":12,"placed":19250,"orders_settled":7,"units_settled":9,"settled":340282366920938463463374607431768211455,"orders_refunded":1,"refunded":12807"#;
    let value = value.replace('$', figures);
    assert_eq!(
        text(output.value),
        format!(r#"{{"partition":3,"day":"2025-11-11",{value},"offset":61,"at":1762790400018}}"#)
    );
    assert_eq!((output.topic, output.partition, output.timestamp), (Topic::Gmv, 3, AT));
    assert_eq!((output.headers.count(), output.dead_letter), (0, None));
}

#[test]
fn counters_of_every_dimension() {
    let answers =
        Answers { orders_rejected: 11, orders_released: 4, dead_letters: 5, duplicates: 6 };
    counter(
        Dimension::All(answers),
        "all/all",
        r#""dimension":"all","value":"all",$,"orders_rejected":11,"orders_released":4,"dead_letters":5,"duplicates":6"#,
    );
    let merchant = MerchantId(1001);
    for (dimension, name, value) in [
        (Dimension::Channel(Channel::MiniProgram), "channel", "mini_program"),
        (Dimension::Area { rural: true }, "area", "rural"),
        (Dimension::Area { rural: false }, "area", "urban"),
        (Dimension::Fulfilment { pickup: true }, "fulfilment", "pickup"),
        (Dimension::Fulfilment { pickup: false }, "fulfilment", "ship"),
        (Dimension::Province(33), "province", "33"),
        (Dimension::Province(0), "province", "00"),
        (Dimension::Province(7), "province", "07"),
        (Dimension::Category(Category::new("agri.fruit").unwrap()), "category", "agri.fruit"),
        (Dimension::Merchant(merchant), "merchant", "1001"),
        (Dimension::Location(merchant, LocationId(0)), "location", "1001:0"),
        (Dimension::Minute(29_379_840), "minute", "29379840"),
    ] {
        let written = format!(r#""dimension":"{name}","value":"{value}",$"#);
        counter(dimension, &format!("{name}/{value}"), &written);
    }
}

#[derive(Debug)]
struct Pairs(Vec<(&'static str, Option<Vec<u8>>)>);

impl Headers for Pairs {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.iter().for_each(|(name, value)| visit(name, value.as_deref()));
    }
}

fn header<'a>(output: &Output<'a>, name: &str) -> Option<&'a str> {
    let name = format!("__connect.errors.{name}");
    output.headers.clone().find(|(found, _)| *found == name).map(|(_, value)| text(value))
}

#[test]
fn dead_letter_is_the_record_with_the_error_in_headers() {
    let headers =
        Pairs(vec![("trace", Some(b"\xff\x00".to_vec())), ("", None), ("trace", Some(vec![]))]);
    let cause = Record {
        timestamp: -1,
        key: Some(b"\xfe"),
        value: Some(b"not json"),
        headers: &headers,
        ..cause()
    };
    let mut outputs = Outputs::new();
    let encoder = Encoder::new("rehearsal.orders");
    encoder.dead_letter(&mut outputs, &cause, AT, DeadLetter::Invalid, "free text");
    let output = outputs.get(0).unwrap();
    assert_eq!((output.key, output.value), (cause.key, cause.value));
    assert_eq!((output.topic, output.partition, output.timestamp), (Topic::DeadLetters, 3, AT));
    assert_eq!(output.dead_letter, Some(DeadLetter::Invalid));
    let expected: [(&str, Option<&[u8]>); 10] = [
        ("trace", Some(b"\xff\x00")),
        ("", None),
        ("trace", Some(b"")),
        ("__connect.errors.topic", Some(b"rehearsal.orders")),
        ("__connect.errors.partition", Some(b"3")),
        ("__connect.errors.offset", Some(b"14")),
        ("__connect.errors.timestamp", Some(b"-1")),
        ("__connect.errors.stage", Some(b"decode")),
        ("__connect.errors.exception.class.name", Some(b"invalid")),
        ("__connect.errors.exception.message", Some(b"free text")),
    ];
    assert_eq!(output.headers.collect::<Vec<_>>(), expected);
}

#[test]
fn dead_letter_of_the_state_machine_explains_its_code() {
    for (code, name, stage) in [
        (DeadLetter::TooLarge, "too_large", "decode"),
        (DeadLetter::Invalid, "invalid", "decode"),
        (DeadLetter::Misrouted, "misrouted", "route"),
        (DeadLetter::Stale, "stale", "apply"),
        (DeadLetter::ClockSkew, "clock_skew", "apply"),
        (DeadLetter::StockUnderflow, "stock_underflow", "apply"),
        (DeadLetter::StockOverflow, "stock_overflow", "apply"),
        (DeadLetter::TooMany, "too_many", "apply"),
    ] {
        let mut outputs = Outputs::new();
        Encoder::new("orders").effect(&mut outputs, &cause(), AT, &Effect::DeadLetter(code));
        let output = outputs.get(0).unwrap();
        assert_eq!(output.dead_letter, Some(code));
        assert_eq!(header(&output, "exception.class.name"), Some(name));
        assert_eq!(header(&output, "stage"), Some(stage));
        assert!(header(&output, "exception.message").unwrap().len() > 20);
    }
}

/// Key, value and headers with so many bytes each; `None` where the record has none.
fn omitted(key: Option<usize>, value: Option<usize>, headers: Option<usize>) -> Option<String> {
    let part = |bytes: Option<usize>| bytes.map(|bytes| vec![b'x'; bytes]);
    let (key, value) = (part(key), part(value));
    // A header's name counts as its value does.
    let pairs =
        Pairs(headers.map(|bytes| ("name", Some(vec![b'x'; bytes - 4]))).into_iter().collect());
    let cause = Record { key: key.as_deref(), value: value.as_deref(), headers: &pairs, ..cause() };
    let mut outputs = Outputs::new();
    Encoder::new("orders").dead_letter(&mut outputs, &cause, AT, DeadLetter::Invalid, "text");
    let output = outputs.get(0).unwrap();
    let omitted = header(&output, "omitted").map(str::to_owned);
    let is_omitted = |name| omitted.iter().any(|names| names.split(',').any(|part| part == name));
    assert_eq!(output.key, cause.key.filter(|_| !is_omitted("key")));
    assert_eq!(output.value, cause.value.filter(|_| !is_omitted("value")));
    let has_headers = output.headers.clone().any(|(name, _)| name == "name");
    assert_eq!(has_headers, headers.is_some() && !is_omitted("headers"));
    omitted
}

#[test]
fn dead_letter_over_nine_hundred_thousand_bytes_loses_parts_in_order() {
    const MAX: usize = 900_000;
    let check = |key, value, headers, parts: Option<&str>| {
        assert_eq!(omitted(key, value, headers).as_deref(), parts, "{key:?} {value:?} {headers:?}");
    };
    check(Some(4), Some(MAX - 10), Some(6), None);
    check(Some(4), Some(MAX - 9), Some(6), Some("value"));
    check(None, Some(MAX), None, None);
    check(None, Some(MAX + 1), None, Some("value"));
    check(Some(4), Some(1), Some(MAX - 4), Some("value"));
    check(Some(4), Some(1), Some(MAX - 3), Some("value,headers"));
    check(Some(MAX), Some(0), Some(4), Some("value,headers"));
    check(Some(MAX + 1), Some(1), Some(4), Some("value,headers,key"));
    check(Some(MAX + 1), None, Some(4), Some("headers,key"));
    check(Some(MAX + 1), Some(1), None, Some("value,key"));
    check(Some(MAX + 1), None, None, Some("key"));
    check(Some(4), None, Some(MAX), Some("headers"));
}

#[test]
fn batch_gives_back_what_was_pushed() {
    let mut outputs = Outputs::new();
    assert!(outputs.is_empty() && outputs.get(0).is_none());
    let mut encoder = Encoder::new("orders");
    let effect = Effect::HoldExtended { order: order("1"), expires_at: Millis(2) };
    for round in 0..3 {
        outputs.push(Topic::Status, round, Millis(9), None, None);
        outputs.push(Topic::Gmv, round, Millis(9), Some(b""), Some(b"value"));
        outputs.header("a", Some(b"b"));
        outputs.header("", None);
        encoder.effect(&mut outputs, &cause(), AT, &effect);
        encoder.dead_letter(&mut outputs, &cause(), AT, DeadLetter::Stale, "text");
        let all = outputs.iter().collect::<Vec<_>>();
        assert_eq!((all.len(), all[0].partition), (4, round));
        assert_eq!((all[0].key, all[0].value, all[0].headers.clone().count()), (None, None, 0));
        assert_eq!((all[1].key, all[1].value), (Some(&b""[..]), Some(&b"value"[..])));
        let headers = all[1].headers.clone().collect::<Vec<_>>();
        assert_eq!(headers, [("a", Some(&b"b"[..])), ("", None)]);
        assert_eq!(all[2].topic, Topic::Status);
        assert_eq!(all[3].dead_letter, Some(DeadLetter::Stale));
        let bytes = outputs.bytes();
        outputs.truncate(4);
        assert_eq!((outputs.len(), outputs.bytes()), (4, bytes));
        outputs.truncate(2);
        assert_eq!((outputs.len(), outputs.iter().len()), (2, 2));
        assert_eq!(outputs.get(1).unwrap().headers.count(), 2);
        assert!(outputs.get(2).is_none());
        outputs.clear();
        assert_eq!((outputs.len(), outputs.bytes()), (0, 0));
    }
}

#[test]
fn copies_hold_the_outputs_from_a_number_on_in_place_of_those_before_or_behind_them() {
    let mut outputs = Outputs::new();
    outputs.push(Topic::Status, 1, Millis(9), None, None);
    outputs.push(Topic::Gmv, 2, Millis(8), Some(b""), Some(b"value"));
    outputs.header("a", Some(b"b"));
    Encoder::new("orders").dead_letter(&mut outputs, &cause(), AT, DeadLetter::Stale, "text");
    outputs.push(Topic::Settled, 3, Millis(7), Some(b"key"), Some(b"last"));
    let shown = |outputs: &Outputs, first: usize| -> Vec<String> {
        outputs.iter().skip(first).map(|output| format!("{output:?}")).collect()
    };
    let mut copy = Outputs::new();
    copy.push(Topic::Gmv, 9, Millis(1), Some(b"of"), Some(b"before"));
    for first in 0..=outputs.len() + 1 {
        copy.copy_from(&outputs, first);
        assert_eq!(shown(&copy, 0), shown(&outputs, first), "from {first}");
        let mut both = outputs.clone();
        both.extend_from(&outputs, first);
        assert_eq!(shown(&both, 0), [shown(&outputs, 0), shown(&outputs, first)].concat());
        assert_eq!(both.bytes(), outputs.bytes() + copy.bytes());
    }
    assert_eq!((copy.len(), copy.bytes()), (0, 0));
}

#[test]
fn topics_have_the_contracts_names() {
    let names = Topic::ALL.map(Topic::default_name);
    assert_eq!(names, ["orders.status", "orders.settled", "orders.dlq", "gmv"]);
}
