//! Contract sections 2 and 3: what is read, what is refused, and what defaults come to.

use crate::command::{Command, Decoded, OrderPlaced, Part, Presale};
use crate::decode::{Invalid, decode};
use crate::json::JsonError;

/// A valid command of each type, with every listed field.
const FULL: [&str; 11] = [
    r#"{"type":"order.placed","merchant_id":7,"order_id":"a","buyer_id":1,"placed_at":0,"lines":[{"sku":1,"qty":2,"unit_price":50}],"channel":"app","region":"330106","area":"rural","discount":1,"fulfilment":{"mode":"pickup","location":3},"settle":"on_payment","pay_by":9,"presale":{"deposit":1,"balance_due":8}}"#,
    r#"{"type":"order.paid","merchant_id":7,"payment_id":"p","order_id":"a","amount":0,"paid_at":0,"part":"deposit"}"#,
    r#"{"type":"order.cancelled","merchant_id":7,"order_id":"a"}"#,
    r#"{"type":"order.refunded","merchant_id":7,"refund_id":"r","order_id":"a","refunded_at":0,"amount":0,"lines":[{"sku":1,"location":0,"qty":1}],"restock":true,"channel":"web","region":"000000","area":"urban"}"#,
    r#"{"type":"stock.received","merchant_id":7,"receipt_id":"r","received_at":0,"sku":1,"qty":-5,"location":2}"#,
    r#"{"type":"stock.moved","merchant_id":7,"receipt_id":"r","received_at":0,"sku":1,"from":0,"to":1,"qty":5}"#,
    r#"{"type":"sku.listed","merchant_id":7,"sku":1,"category":"a.b-c_9","per_buyer_limit":0,"safety_stock":0}"#,
    r#"{"type":"sku.withdrawn","merchant_id":7,"sku":1}"#,
    r#"{"type":"location.opened","merchant_id":7,"location":1,"kind":"store","region":"110000","priority":0,"ships":false,"pickup":true}"#,
    r#"{"type":"location.closed","merchant_id":7,"location":1}"#,
    r#"{"type":"tick"}"#,
];

fn of_type(kind: &str) -> &'static str {
    FULL.into_iter().find(|command| command.contains(&format!("\"{kind}\""))).unwrap()
}

fn read(text: &str) -> Result<Decoded, Invalid> {
    decode(Some(text.as_bytes()))
}

/// Replaces a piece of a type's full command; every row must do to `accepted` what it says.
fn check(kind: &str, accepted: bool, rows: &[(&str, &str)]) {
    for (from, to) in rows {
        let full = of_type(kind);
        assert!(full.contains(from), "{from} is not in {full}");
        let text = full.replacen(from, to, 1);
        assert_eq!(read(&text).is_ok(), accepted, "{text}\n{:?}", read(&text));
    }
}

fn order(text: &str) -> OrderPlaced {
    match read(text).unwrap() {
        Decoded::ForMerchant { command: Command::OrderPlaced(order), .. } => order,
        other => panic!("not an order: {other:?}"),
    }
}

#[test]
fn every_type_is_read_with_all_of_its_fields() {
    for text in FULL {
        assert!(read(text).is_ok(), "{text}: {:?}", read(text));
    }
}

#[test]
fn a_value_that_is_not_one_json_object_is_refused() {
    for value in [
        "",
        " {\"type\":\"tick\"}",
        "\u{feff}{\"type\":\"tick\"}",
        "[{\"type\":\"tick\"}]",
        "{\"type\":\"tick\"",
        "{\"type\":\"tick\",}",
        "{\"type\":\"tick\"}{}",
        "{\"type\":\"tick\"}\u{b}",
        "{\"type\":\"tick\"}\u{a0}",
        "{\"type\":\"tick\"}\0",
        "{\"type\":\"tick\" \"a\":1}",
        "{\"type\":\"tick\",\"a\"}",
        "{\"type\":\"tick\",\"a\":}",
        "{\"type\":\"tick\",a:1}",
        "{'type':'tick'}",
        "{\"type\":\"tick\",\"a\":[1,]}",
        "{\"type\":\"tick\",\"a\":[1 2]}",
        "{\"type\":\"tick\",\"a\":01}",
        "{\"type\":\"tick\",\"a\":+1}",
        "{\"type\":\"tick\",\"a\":1.}",
        "{\"type\":\"tick\",\"a\":.5}",
        "{\"type\":\"tick\",\"a\":1e}",
        "{\"type\":\"tick\",\"a\":-}",
        "{\"type\":\"tick\",\"a\":NaN}",
        "{\"type\":\"tick\",\"a\":True}",
        "{\"type\":\"tick\",\"a\":nul}",
        "{\"type\":\"tick\",\"a\":\"\n\"}",
        "{\"type\":\"tick\",\"a\":\"\\x\"}",
        "{\"type\":\"tick\",\"a\":\"\\u12g4\"}",
        "{\"type\":\"tick\",\"a\":\"\\u123\"}",
        "{\"type\":\"tick\",\"a\":\"open}",
        "{\"type\":\"tick\"} // comment",
        "{}",
        "{\"type\":null}",
        "{\"type\":1}",
        "{\"type\":\"Tick\"}",
        "{\"type\":\"tick\",\"type\":\"tick\"}",
        "{\"type\":\"tick\",\"type\":null}",
        "{\"type\":\"tick\",\"\\u0074ype\":\"tick\"}",
    ] {
        assert!(read(value).is_err(), "{value:?}");
    }
    for value in [
        "{\"type\":\"tick\"} \t\r\n",
        "{ \"type\"\t:\r\n\"tick\" }",
        "{\"\\u0074\\u0079pe\":\"\\u0074ick\"}",
        "{\"type\":\"tick\",\"a\":-0,\"b\":-0.5e+10,\"c\":1E9,\"d\":0e-1,\"a\":null}",
        "{\"type\":\"tick\",\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\u{7f}\u{1f600}\"}",
        "{\"type\":\"tick\",\"merchant_id\":-1,\"merchant_id\":{}}",
        "{\"type\":\"tick\",\"\":{\"\":[[],{}]}}",
    ] {
        assert_eq!(read(value), Ok(Decoded::Tick), "{value:?}");
    }
    assert_eq!(decode(None), Err(Invalid::NoValue));
}

#[test]
fn text_that_is_not_unicode_is_refused_even_in_unknown_fields() {
    for bytes in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe4\xb8"] {
        let value = [b"{\"type\":\"tick\",\"a\":\"", bytes, b"\"}"].concat();
        assert_eq!(decode(Some(&value)), Err(Invalid::Json(JsonError::NotUtf8)), "{bytes:?}");
    }
    for escape in [
        "\\ud800",
        "\\udc00",
        "\\udc00\\ud800",
        "\\ud800x",
        "\\ud800\\n",
        "\\ud800\\ud800",
        "\\ud83d\\u0041",
    ] {
        for text in [
            format!("{{\"type\":\"tick\",\"a\":\"{escape}\"}}"),
            format!("{{\"type\":\"tick\",\"{escape}\":1}}"),
        ] {
            let refused =
                matches!(read(&text), Err(Invalid::Json(JsonError::UnpairedSurrogate { .. })));
            assert!(refused, "{text}");
        }
    }
    let paired = "{\"type\":\"tick\",\"a\":\"\\ud83d\\uDE00\"}";
    assert_eq!(read(paired), Ok(Decoded::Tick));
}

#[test]
fn nesting_deeper_than_32_is_refused_even_in_unknown_fields() {
    let nested = |levels: usize, open: &str, close: &str| {
        let inside = format!("{}1{}", open.repeat(levels - 1), close.repeat(levels - 1));
        format!("{{\"type\":\"tick\",\"a\":{inside}}}")
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert!(read(&nested(32, open, close)).is_ok());
        let refused = read(&nested(33, open, close));
        assert!(matches!(refused, Err(Invalid::Json(JsonError::TooDeep { .. }))));
        assert!(read(&nested(100_000, open, close)).is_err(), "and does not end the process");
    }
}

#[test]
fn required_fields_may_be_neither_missing_nor_null_and_optional_ones_may() {
    let fields = [
        (
            "order.placed",
            "type merchant_id order_id buyer_id placed_at lines",
            "channel region area discount fulfilment settle pay_by presale",
        ),
        ("order.paid", "type merchant_id payment_id order_id amount paid_at", "part"),
        ("order.cancelled", "type merchant_id order_id", ""),
        (
            "order.refunded",
            "type merchant_id refund_id order_id refunded_at amount lines",
            "restock channel region area",
        ),
        ("stock.received", "type merchant_id receipt_id received_at sku qty", "location"),
        ("stock.moved", "type merchant_id receipt_id received_at sku from to qty", ""),
        ("sku.listed", "type merchant_id sku", "category per_buyer_limit safety_stock"),
        ("sku.withdrawn", "type merchant_id sku", ""),
        ("location.opened", "type merchant_id location kind", "region priority ships pickup"),
        ("location.closed", "type merchant_id location", ""),
    ];
    for (kind, required, optional) in fields {
        let full: serde_json::Value = serde_json::from_str(of_type(kind)).unwrap();
        assert_eq!(
            full.as_object().unwrap().len(),
            required.split_whitespace().chain(optional.split_whitespace()).count(),
            "{kind}"
        );
        for (names, may_miss) in [(required, false), (optional, true)] {
            for name in names.split_whitespace() {
                let mut without = full.clone();
                without.as_object_mut().unwrap().remove(name);
                assert_eq!(read(&without.to_string()).is_ok(), may_miss, "{kind} without {name}");
                let mut null = full.clone();
                null[name] = serde_json::Value::Null;
                assert_eq!(read(&null.to_string()).is_ok(), may_miss, "{kind} with null {name}");
                for other in ["[]", "\"?\"", "1.5", "{\"a\":1}"] {
                    if (name, other) == ("channel", "\"?\"")
                        || (kind, name) == ("order.refunded", "lines")
                    {
                        continue;
                    }
                    if (name, other) == ("fulfilment", "{\"a\":1}") {
                        continue;
                    }
                    let mut wrong = full.clone();
                    wrong[name] = serde_json::from_str(other).unwrap();
                    assert!(read(&wrong.to_string()).is_err(), "{kind} with {name} {other}");
                }
                let own = format!("\"{name}\":null,\"type\":\"{kind}\"");
                let twice = of_type(kind).replacen(&format!("\"type\":\"{kind}\""), &own, 1);
                assert!(read(&twice).is_err(), "{kind} with {name} twice");
            }
        }
    }
}

#[test]
fn fields_of_other_types_and_places_are_unknown() {
    check(
        "order.cancelled",
        true,
        &[("{", r#"{"amount":-1,"amount":"x","lines":null,"qty":[],"#), ("{", r#"{"Order_id":1,"#)],
    );
    check(
        "order.placed",
        true,
        &[
            (r#"{"sku":1"#, r#"{"location":[],"location":-0,"sku":1"#),
            (r#"{"mode""#, r#"{"deposit":0,"deposit":0,"mode""#),
            (r#"{"deposit""#, r#"{"mode":1,"deposit""#),
            ("{", r#"{"sku":{},"qty":0,"mode":1,"deposit":null,"#),
        ],
    );
    check(
        "order.placed",
        false,
        &[
            (r#"{"sku":1"#, r#"{"sku":1,"sku":1"#),
            (r#""qty":2"#, r#""qty":2,"qty":null"#),
            (r#"{"mode""#, r#"{"location":3,"mode""#),
            (r#"{"deposit""#, r#"{"deposit":1,"deposit""#),
        ],
    );
}

#[test]
fn numeric_ids_are_numbers_or_strings_of_digits() {
    for (name, value) in [("merchant_id", "7"), ("sku", "1")] {
        let from = format!("\"{name}\":{value}");
        let of = |id: &str| format!("\"{name}\":{id}");
        for id in [
            "0",
            "18446744073709551615",
            "\"0\"",
            "\"000000000000000000000000000000000000007\"",
            "\"18446744073709551615\"",
            "\"\\u0037\"",
        ] {
            check("sku.withdrawn", true, &[(&from, &of(id))]);
        }
        for id in [
            "18446744073709551616",
            "-1",
            "-0",
            "1.0",
            "1e0",
            "\"\"",
            "\"-1\"",
            "\"+1\"",
            "\" 1\"",
            "\"1.0\"",
            "\"0x1\"",
            "\"١\"",
            "\"18446744073709551616\"",
            "\"0000000000000000000000000000000000000007\"",
            "\"999999999999999999999999999999999999999\"",
            "100000000000000000000000000000000000000000000",
            "true",
            "[1]",
        ] {
            check("sku.withdrawn", false, &[(&from, &of(id))]);
        }
    }
    let seven = r#"{"type":"sku.withdrawn","merchant_id":"007","sku":"09"}"#;
    let expected =
        Decoded::ForMerchant { merchant_id: 7, command: Command::SkuWithdrawn { sku: 9 } };
    assert_eq!(read(seven), Ok(expected));
    for id in ["4294967295", "\"4294967295\"", "\"0001\""] {
        check("location.closed", true, &[("\"location\":1", &format!("\"location\":{id}"))]);
    }
    for id in ["4294967296", "\"4294967296\"", "0", "\"0\"", "\"000\""] {
        check("location.closed", false, &[("\"location\":1", &format!("\"location\":{id}"))]);
        check("location.opened", false, &[("\"location\":1", &format!("\"location\":{id}"))]);
    }
}

#[test]
fn opaque_ids_have_their_alphabet_and_length() {
    let forty = "x".repeat(40);
    for id in ["\"0\"", "\"aZ09_.:-\"", "\"\\u0061\"", &format!("\"{forty}\"")] {
        check("order.cancelled", true, &[("\"a\"", id)]);
    }
    for id in ["\"\"", "\"a b\"", "\"a/b\"", "\"é\"", "1", &format!("\"{forty}x\"")] {
        check("order.cancelled", false, &[("\"a\"", id)]);
    }
}

#[test]
fn numbers_are_plain_integers_in_their_ranges() {
    const BILLION: i64 = 1_000_000_000;
    const MILLION_BILLION: i64 = 1_000_000_000_000_000;
    for (kind, name, written, min, max) in [
        ("order.placed", "placed_at", 0, 0, MILLION_BILLION),
        ("order.placed", "pay_by", 9, 0, MILLION_BILLION),
        ("order.placed", "balance_due", 8, 0, MILLION_BILLION),
        ("order.placed", "qty", 2, 1, 1_000_000),
        ("order.placed", "discount", 1, 0, 98),
        ("order.placed", "deposit", 1, 1, 98),
        ("order.paid", "amount", 0, 0, MILLION_BILLION),
        ("order.paid", "paid_at", 0, 0, MILLION_BILLION),
        ("order.refunded", "refunded_at", 0, 0, MILLION_BILLION),
        ("order.refunded", "amount", 0, 0, MILLION_BILLION),
        ("order.refunded", "qty", 1, 1, 1_000_000),
        ("stock.received", "received_at", 0, 0, MILLION_BILLION),
        ("stock.received", "qty", -5, -BILLION, BILLION),
        ("stock.moved", "received_at", 0, 0, MILLION_BILLION),
        ("stock.moved", "qty", 5, 1, BILLION),
        ("sku.listed", "per_buyer_limit", 0, 0, BILLION),
        ("sku.listed", "safety_stock", 0, 0, BILLION),
        ("location.opened", "priority", 0, 0, 65_535),
    ] {
        let from = format!("\"{name}\":{written}");
        let to = |text: &str| format!("\"{name}\":{text}");
        for number in [min, max] {
            check(kind, true, &[(&from, &to(&number.to_string()))]);
        }
        for number in [min - 1, max + 1, i64::MIN, i64::MAX] {
            check(kind, false, &[(&from, &to(&number.to_string()))]);
        }
        for text in ["-0", "1.0", "1e0", "1E2", "\"1\"", "true", "18446744073709551617"] {
            check(kind, false, &[(&from, &to(text))]);
        }
    }
    check("stock.received", false, &[("-5", "0")]);
}

#[test]
fn stock_moves_between_different_locations() {
    check("stock.moved", true, &[("\"to\":1", "\"to\":\"01\"")]);
    check("stock.moved", false, &[("\"to\":1", "\"to\":0"), ("\"to\":1", "\"to\":\"00\"")]);
}

#[test]
fn words_and_codes_are_read_as_listed() {
    let category = "c".repeat(32);
    check("sku.listed", true, &[("a.b-c_9", &category)]);
    check(
        "sku.listed",
        false,
        &[
            ("a.b-c_9", &format!("{category}c")),
            ("a.b-c_9", ""),
            ("a.b-c_9", "A"),
            ("a.b-c_9", "a:b"),
        ],
    );
    check(
        "order.placed",
        true,
        &[("\"330106\"", "\"999999\""), ("\"app\"", "\"\""), ("\"app\"", "\"Löffel\"")],
    );
    check(
        "order.placed",
        false,
        &[
            ("\"330106\"", "330106"),
            ("\"330106\"", "\"33010\""),
            ("\"330106\"", "\"33010a\""),
            ("\"330106\"", "\"3301060\""),
            ("\"rural\"", "\"Rural\""),
            ("\"on_payment\"", "\"later\""),
            ("\"pickup\"", "\"fly\""),
        ],
    );
    check(
        "location.opened",
        false,
        &[("\"ships\":false", "\"ships\":0"), ("\"kind\":\"store\"", "\"kind\":\"shop\"")],
    );
    for (written, channel) in
        [("mini_program", "mini_program"), ("phone", "phone"), ("App", "other"), ("kiosk", "other")]
    {
        let text = of_type("order.placed").replacen("\"app\"", &format!("\"{written}\""), 1);
        assert_eq!(order(&text).origin.channel, channel);
    }
}

#[test]
fn lines_have_their_number_and_no_nulls() {
    let line = r#"{"sku":1,"qty":1,"unit_price":1}"#;
    let lines = |count: usize| format!("[{}]", vec![line; count].join(","));
    let from = r#"[{"sku":1,"qty":2,"unit_price":50}]"#;
    check("order.placed", true, &[(from, &lines(100))]);
    check(
        "order.placed",
        false,
        &[
            (from, &lines(101)),
            (from, "[]"),
            (from, "[null]"),
            (from, &lines(1).replace(']', ",null]")),
            (from, line),
            (from, "[[]]"),
        ],
    );
    let from = r#"[{"sku":1,"location":0,"qty":1}]"#;
    check("order.refunded", true, &[(from, "[]")]);
    check(
        "order.refunded",
        false,
        &[
            (from, "[null]"),
            (from, "[{}]"),
            (from, "[{\"sku\":1,\"location\":4294967296,\"qty\":1}]"),
        ],
    );
}

#[test]
fn sums_of_an_order_are_checked() {
    let line = r#"{"sku":1,"qty":2,"unit_price":50}"#;
    check(
        "order.placed",
        true,
        &[
            (line, r#"{"sku":1,"qty":1000000,"unit_price":1000000000}"#),
            ("\"discount\":1", "\"discount\":98"),
        ],
    );
    let huge = vec![r#"{"sku":1,"qty":1000000,"unit_price":1000000000000000}"#; 100].join(",");
    check(
        "order.placed",
        false,
        &[
            (
                line,
                r#"{"sku":1,"qty":1000000,"unit_price":1000000000},{"sku":2,"qty":1,"unit_price":1}"#,
            ),
            (line, &huge),
            ("\"discount\":1", "\"discount\":101"),
            ("\"deposit\":1", "\"deposit\":0"),
            ("\"deposit\":1", "\"deposit\":99"),
            ("\"on_payment\"", "\"on_placement\""),
        ],
    );
    let free = of_type("order.placed").replace(r#""discount":1"#, r#""discount":100"#);
    assert!(read(&free).is_err(), "no deposit is less than an amount of 0");
    let free = free.replace(r#","presale":{"deposit":1,"balance_due":8}"#, "");
    assert_eq!(order(&free).amount(), 0);
}

#[test]
fn fulfilment_and_presale_are_checked_inside_even_without_effect() {
    let from = r#"{"mode":"pickup","location":3}"#;
    check(
        "order.placed",
        true,
        &[
            (from, "{}"),
            (from, r#"{"mode":null}"#),
            (from, r#"{"mode":"ship","location":"9"}"#),
            (from, r#"{"location":9}"#),
        ],
    );
    check(
        "order.placed",
        false,
        &[
            (from, r#"{"mode":"pickup"}"#),
            (from, r#"{"mode":"pickup","location":null}"#),
            (from, r#"{"mode":"ship","location":-1}"#),
            (from, r#"{"location":"x"}"#),
            (from, "[]"),
            (r#"{"deposit":1,"balance_due":8}"#, r#"{"deposit":1}"#),
            (r#"{"deposit":1,"balance_due":8}"#, r#"{"balance_due":8}"#),
            (r#"{"deposit":1,"balance_due":8}"#, "{}"),
        ],
    );
    let shipped = of_type("order.placed").replace(from, r#"{"location":9}"#);
    assert_eq!(order(&shipped).pickup, None, "a location is no pickup");
}

#[test]
fn defaults_are_those_of_the_contract() {
    let order = order(
        r#"{"type":"order.placed","merchant_id":7,"order_id":"a","buyer_id":1,"placed_at":0,"lines":[{"sku":1,"qty":2,"unit_price":50}]}"#,
    );
    assert_eq!((order.origin.channel, order.origin.region.as_str()), ("other", "000000"));
    assert_eq!((order.origin.area, order.discount, order.pickup), ("urban", 0, None));
    assert_eq!((order.on_placement, order.pay_by, order.presale), (false, None, None::<Presale>));
    let Decoded::ForMerchant { command: Command::OrderPaid(paid), .. } =
        read(&of_type("order.paid").replace(",\"part\":\"deposit\"", "")).unwrap()
    else {
        panic!("not a payment")
    };
    assert_eq!(paid.part, Part::Full);
    for (kind, pickup) in [("store", true), ("warehouse", false)] {
        let text =
            format!(r#"{{"type":"location.opened","merchant_id":7,"location":1,"kind":"{kind}"}}"#);
        let Decoded::ForMerchant { command: Command::LocationOpened(opened), .. } =
            read(&text).unwrap()
        else {
            panic!("not an opening")
        };
        assert_eq!((opened.pickup, opened.ships), (pickup, true));
        assert_eq!((opened.priority, opened.region.as_str()), (100, "000000"));
    }
    let Decoded::ForMerchant { command: Command::SkuListed(listed), .. } =
        read(r#"{"type":"sku.listed","merchant_id":7,"sku":1}"#).unwrap()
    else {
        panic!("not a listing")
    };
    assert_eq!(listed.category, "none");
    assert_eq!((listed.per_buyer_limit, listed.safety_stock), (0, 0));
}
