//! What is JSON and what is not, wherever it stands: tables against parsers that are too kind, too
//! strict, or lose their way at an edge of their eight-byte words.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use ledger::effect::DeadLetter;
use ledger::rules::Partitioner;
use ledger::units::Offset;
use wire::{Decoder, NoHeaders, Record, Route, Scratch};

fn accepts(value: &[u8]) -> bool {
    let route = Route { partition: 0, partitions: 1, partitioner: Partitioner::Any };
    let record = Record {
        partition: 0,
        offset: Offset(0),
        timestamp: 0,
        key: Some(b"1"),
        value: Some(value),
        headers: &NoHeaders,
    };
    match Decoder::new(route).decode(&record, &Scratch::new()) {
        Ok(_) => true,
        Err(refused) => {
            assert_eq!(refused.code, DeadLetter::Invalid);
            false
        }
    }
}

/// The places where any JSON value may stand: behind and before `type`, in a line, in an object in it.
fn unknown_places(value: &[u8]) -> Vec<Vec<u8>> {
    const PLACES: [(&str, &str); 5] = [
        (r#"{"type":"tick","x":"#, "}"),
        (r#"{"x":"#, r#","type":"tick"}"#),
        (
            r#"{"type":"order.refunded","merchant_id":1,"refund_id":"r","order_id":"o","refunded_at":1,"amount":1,"lines":[{"sku":1,"x":"#,
            r#","location":1,"qty":1}]}"#,
        ),
        (r#"{"type":"sku.withdrawn","x":{"sku":["#, r#"]},"merchant_id":1,"sku":1}"#),
        (
            r#"{"type":"order.placed","merchant_id":1,"order_id":"\u0041","buyer_id":1,"placed_at":1,"lines":[{"sku":1,"qty":1,"unit_price":1}],"fulfilment":{"x":"#,
            "}}",
        ),
    ];
    let places = PLACES.iter();
    places.map(|(before, after)| [before.as_bytes(), value, after.as_bytes()].concat()).collect()
}

fn check(accepted: &[&[u8]], refused: &[&[u8]]) {
    for value in accepted.iter().flat_map(|value| unknown_places(value)) {
        assert!(accepts(&value), "refused: {}", String::from_utf8_lossy(&value));
    }
    for value in refused.iter().flat_map(|value| unknown_places(value)) {
        assert!(!accepts(&value), "accepted: {}", String::from_utf8_lossy(&value));
    }
}

#[test]
fn numbers_follow_the_grammar() {
    check(
        &[
            b"0",
            b"-0",
            b"10",
            b"1.5",
            b"0.0",
            b"-0.0e-0",
            b"1e5",
            b"1E+5",
            b"1e-05",
            b"1e999",
            b"123456789012345678901234567890123456789012345678901234567890",
            b"-1",
        ],
        &[
            b"01",
            b"-01",
            b"00",
            b"1.",
            b".5",
            b"-.5",
            b"+1",
            b"1e",
            b"1e+",
            b"1.e5",
            b"--1",
            b"-",
            b"0x10",
            b"1_000",
            b"Infinity",
            b"NaN",
            b"-Infinity",
            b"1 2",
            b"1,",
            b"1d",
        ],
    );
}

#[test]
fn literals_are_spelled_out() {
    check(
        &[b"null", b"true", b"false", b" null ", b"[true,false,null]"],
        &[b"nul", b"nulll", b"True", b"tru", b"falsee", b"NULL", b"none", b"undefined", b"n"],
    );
}

#[test]
fn strings_hold_valid_unicode_without_control_characters() {
    check(
        &[
            br#""""#,
            br#""a""#,
            br#""\"\\\/\b\f\n\r\t""#,
            br#""\u0000""#,
            br#""\uD83D\uDE00""#,
            br#""\ud83d\ude00""#,
            br#""\uffff\uFFFE""#,
            b"\"\x7f\"",
            "\"\u{e9}\u{4e2d}\u{1f600}\"".as_bytes(),
            "\"\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\"".as_bytes(),
            br#""it's""#,
        ],
        &[
            br#"""#,
            br#""\x41""#,
            br#""\u12""#,
            br#""\u12g4""#,
            br#""\u+123""#,
            br#""\""#,
            br#""\'""#,
            br#""\ud800""#,
            br#""\udc00""#,
            br#""\ud83dx""#,
            br#""\ud83d\n""#,
            br#""\ud83d\ud83d""#,
            br#""\ude00\ud83d""#,
            br#""\ud83d\u0041""#,
            br#""\U0041""#,
            b"\"\x00\"",
            b"\"\x1f\"",
            b"\"\n\"",
            b"\"\t\"",
            b"'a'",
            b"\"\x80\"",
            b"\"\xc3\"",
            b"\"\xc0\xaf\"",
            b"\"\xc1\xbf\"",
            b"\"\xe0\x80\xaf\"",
            b"\"\xed\xa0\x80\"",
            b"\"\xf4\x90\x80\x80\"",
            b"\"\xf5\x80\x80\x80\"",
            b"\"\xff\"",
            b"\"\xe4\xb8\"",
            b"\"\xf0\x9f\x98\"",
            b"\xc2\xa0",
            b"\"a\xc3(\"",
        ],
    );
}

/// The same character at every place of an eight-byte word, and near the end of the text.
#[test]
fn no_position_in_a_word_is_special() {
    for length in 0..40 {
        let plain = "x".repeat(length);
        let string = |middle: &[u8]| [b"\"", plain.as_bytes(), middle, b"yz\""].concat();
        let accepted = [
            string(b""),
            string(br"\n"),
            string(br"\u0041"),
            string("\u{4e2d}".as_bytes()),
            string(br#"\""#),
            string(br"\\"),
            string(b"!#[]"),
        ];
        let refused = [
            string(b"\x1f"),
            string(b"\x00"),
            string(b"\""),
            string(br"\q"),
            string(b"\x80"),
            string(b"\xff"),
            string(br"\ud800"),
            string(b"\\"),
            string(b"\"\""),
        ];
        check(
            &accepted.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            &refused.iter().map(Vec::as_slice).collect::<Vec<_>>(),
        );
        let digits = "1".repeat(length + 1);
        check(
            &[digits.as_bytes()],
            &[format!("{digits}a").as_bytes(), format!("0{digits}").as_bytes()],
        );
    }
}

#[test]
fn keys_are_strings_too() {
    check(
        &[
            br#"{"":1,"":2,"a b":3,"\u0061":4,"\ud83d\ude00":5}"#,
            b"{ }",
            b"{}",
            "{\"\u{4e2d}\":1}".as_bytes(),
        ],
        &[
            b"{a:1}",
            b"{'a':1}",
            b"{1:1}",
            br#"{"a"}"#,
            br#"{"a":}"#,
            br#"{"a":1,}"#,
            br#"{,"a":1}"#,
            br#"{"a":1 "b":2}"#,
            br#"{"a":1,,"b":2}"#,
            br#"{"a",1}"#,
            br#"{"a":1]"#,
            br#"{"a"::1}"#,
            br#"{"\ud800":1}"#,
            b"{\"\x01\":1}",
            b"{\"\xff\":1}",
            br#"{"a":1"#,
            b"{",
            b"}",
            br#"{"a\":1}"#,
            b"{null:1}",
            br#"{"a":1;"b":2}"#,
            b"/**/1",
        ],
    );
    check(
        &[b"[]", b"[ ]", b"[1,2]", b"[[],{}]", b"\t\r\n 1 \t\r\n"],
        &[
            b"[1,]", b"[,1]", b"[1 2]", b"[1,,2]", b"[", b"]", b"[1}", b"[:]", b"\x0c1", b"\x0b1",
            b"\xa01",
        ],
    );
}

#[test]
fn nesting_ends_at_thirty_two() {
    let nested = |open: &str, close: &str, depth: usize| {
        [open.repeat(depth), close.repeat(depth)].concat().into_bytes()
    };
    let at_top = |value: Vec<u8>| [br#"{"type":"tick","x":"#, value.as_slice(), b"}"].concat();
    assert!(accepts(&at_top(nested("[", "]", 31))));
    assert!(!accepts(&at_top(nested("[", "]", 32))));
    let mixed = |depth: usize| nested("{\"a\":[", "]}", depth);
    assert!(accepts(&at_top(mixed(15))));
    assert!(!accepts(&at_top(mixed(16))));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(accepts(&at_top(objects(31).into_bytes())));
    assert!(!accepts(&at_top(objects(32).into_bytes())));
    // In a line an unknown field begins two levels deeper, in `presale` one.
    let in_line = |depth: usize| {
        format!(
            r#"{{"type":"order.placed","merchant_id":1,"order_id":"o","buyer_id":1,"placed_at":1,"lines":[{{"x":{}{},"sku":1,"qty":1,"unit_price":1}}]}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert!(accepts(in_line(29).as_bytes()));
    assert!(!accepts(in_line(30).as_bytes()));
    let in_fulfilment = |depth: usize| {
        format!(
            r#"{{"type":"order.placed","merchant_id":1,"order_id":"o","buyer_id":1,"placed_at":1,"lines":[{{"sku":1,"qty":1,"unit_price":1}}],"fulfilment":{{"x":{}{}}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert!(accepts(in_fulfilment(30).as_bytes()));
    assert!(!accepts(in_fulfilment(31).as_bytes()));
    // Before `type`, and in a text that must be written out, the limit is the same.
    for rest in [r#""type":"tick""#, r#""\u0074ype":"tick""#] {
        let before = |depth| format!("{{\"x\":{}{},{rest}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(accepts(before(31).as_bytes()), "{rest}");
        assert!(!accepts(before(32).as_bytes()), "{rest}");
    }
    assert!(!accepts(&at_top(vec![b'['; 200_000])));
}

#[test]
fn value_is_one_object_from_its_first_byte() {
    for value in [
        "{\"type\":\"tick\"}",
        "{\"type\":\"tick\"} \t\r\n",
        "{ \"type\" : \"tick\" }",
        "{\n\t\"type\"\r:\n\"tick\"\n}\n",
    ] {
        assert!(accepts(value.as_bytes()), "{value}");
    }
    for value in [
        " {\"type\":\"tick\"}",
        "\n{\"type\":\"tick\"}",
        "\u{feff}{\"type\":\"tick\"}",
        "{\"type\":\"tick\"}x",
        "{\"type\":\"tick\"}{}",
        "{\"type\":\"tick\"}\0",
        "{\"type\":\"tick\"},",
        "{\"type\":\"tick\"}\u{b}",
        "{\"type\":\"tick\"}\u{a0}",
        "{\"type\":\"tick\"",
        "{\"type\":\"tick\"]",
        "{\"type\":\"tick\",}",
        "{,\"type\":\"tick\"}",
        "{\"type\" \"tick\"}",
        "{\"type\":tick}",
        "{\"Type\":\"tick\"}",
        "{\"type\":[\"tick\"]}",
        "{\"type\":null}",
        "{\"type\":null,\"type\":\"tick\"}",
        "[]",
        "null",
        "\"tick\"",
        "1",
        "",
        " ",
        "{",
        "{}",
        "{\"type \":\"tick\"}",
        "{\"type\":\"tick\"}//",
        "{\"type\":\"tick\",\"\\u0074ype\":\"tick\"}",
        "{\"type\":\"tick\",\"type\":null}",
        "{\"x\":1,\"type\":\"tick\",\"type\":\"tick\"}",
        "{\"type\":\"\\u0074ick\",\"type\":\"tick\"}",
    ] {
        assert!(!accepts(value.as_bytes()), "{value}");
    }
}

/// An escape in one place must not make another place kinder.
#[test]
fn text_that_is_written_out_stays_what_it_was() {
    for value in [
        r#"{"type":"sku.withdrawn","merchant_id":1,"sku":1,"\u0022":"\u005c","a":"\"b\""}"#,
        r#"{"\u0074ype":"sku.withdrawn","merchant_id":1,"sku":1,"s\"ku":"\\","sk\\u":"\n"}"#,
        r#"{"type":"sku.listed","merchant_id":1,"sku":1,"category":"\u0061","\u00e9":"é","sku ":2}"#,
    ] {
        assert!(accepts(value.as_bytes()), "{value}");
    }
    for value in [
        r#"{"\u0074ype":"sku.withdrawn","merchant_id":1,"sku":1,"s\u006bu":1}"#,
        r#"{"\u0074ype":"sku.withdrawn","merchant_id":1,"sku":1,"x":01}"#,
        r#"{"\u0074ype":"sku.withdrawn","merchant_id":1,"sku":"1\u0022"}"#,
        r#"{"\u0074ype":"sku.withdrawn","merchant_id":1,"sku":1,"x":"\ud800"}"#,
        r#"{"\u0074ype":"sku.withdrawn","merchant_id":1,"sku":1}}"#,
        r#"{"type":"sku.listed","merchant_id":1,"sku":1,"category":"a\u0022,\u0022x\u0022:\u0022"}"#,
        r#"{"type":"sku.listed","merchant_id":1,"sku":1,"category":"\\u0061"}"#,
    ] {
        assert!(!accepts(value.as_bytes()), "{value}");
    }
    assert!(!accepts(b"{\"\\u0074ype\":\"tick\",\"x\":\"\xff\"}"));
}
