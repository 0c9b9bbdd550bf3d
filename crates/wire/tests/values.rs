//! Accepted and refused values of every listed field, each beside the parser that would get it wrong.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use ledger::effect::DeadLetter;
use ledger::rules::Partitioner;
use ledger::units::Offset;
use wire::{Decoder, NoHeaders, Record, Refused, Route, Scratch};

/// Commands with every field. In a table, a field's value is replaced or the field left out.
const COMMANDS: [(&str, &str); 10] = [
    (
        "order.placed",
        r#"merchant_id=1|order_id="o"|buyer_id=2|placed_at=3|channel="app"|region="330106"|area="urban"|discount=1|settle="on_payment"|pay_by=5|fulfilment={"mode":"pickup","location":7}|presale={"deposit":1,"balance_due":9}|lines=[{"sku":5,"qty":2,"unit_price":10}]"#,
    ),
    ("order.paid", r#"merchant_id=1|payment_id="p"|order_id="o"|amount=5|paid_at=6|part="full""#),
    ("order.cancelled", r#"merchant_id=1|order_id="o""#),
    (
        "order.refunded",
        r#"merchant_id=1|refund_id="r"|order_id="o"|refunded_at=6|amount=5|lines=[{"sku":5,"location":7,"qty":2}]|restock=true|channel="app"|region="330106"|area="rural""#,
    ),
    ("stock.received", r#"merchant_id=1|receipt_id="r"|received_at=6|sku=5|qty=4|location=7"#),
    ("stock.moved", r#"merchant_id=1|receipt_id="r"|received_at=6|sku=5|from=1|to=2|qty=4"#),
    ("sku.listed", r#"merchant_id=1|sku=5|category="agri.fruit"|per_buyer_limit=2|safety_stock=1"#),
    ("sku.withdrawn", "merchant_id=1|sku=5"),
    (
        "location.opened",
        r#"merchant_id=1|location=7|kind="store"|region="330106"|priority=10|ships=true|pickup=false"#,
    ),
    ("location.closed", "merchant_id=1|location=7"),
];

fn fields(command: &str) -> Vec<(String, String)> {
    let (_, fields) = COMMANDS.iter().find(|(name, _)| *name == command).unwrap();
    let split = |field: &str| {
        let (name, value) = field.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    std::iter::once(("type".to_owned(), format!("{command:?}")))
        .chain(fields.split('|').map(split))
        .collect()
}

fn json(fields: &[(String, String)]) -> String {
    let members = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn decode(value: &str) -> Result<(), Refused> {
    let decoded = decode_bytes(value.as_bytes());
    decoded.inspect_err(|refused| assert_eq!(refused.code, DeadLetter::Invalid, "{value}"))
}

fn decode_bytes(value: &[u8]) -> Result<(), Refused> {
    let route = Route { partition: 0, partitions: 1, partitioner: Partitioner::Any };
    let record = Record {
        partition: 0,
        offset: Offset(0),
        timestamp: 0,
        key: Some(b"1"),
        value: Some(value),
        headers: &NoHeaders,
    };
    Decoder::new(route).decode(&record, &Scratch::new()).map(|_| ())
}

/// The command with one field's value replaced.
fn with(command: &str, field: &str, value: &str) -> String {
    let mut fields = fields(command);
    let found = fields.iter_mut().find(|(name, _)| name == field);
    found.unwrap_or_else(|| panic!("{command} has no {field}")).1 = value.to_owned();
    json(&fields)
}

fn check(command: &str, field: &str, accepted: &[&str], refused: &[&str]) {
    for value in accepted {
        let value = with(command, field, value);
        decode(&value).unwrap_or_else(|refused| panic!("{value}: {refused}"));
    }
    for value in refused {
        let value = with(command, field, value);
        assert!(decode(&value).is_err(), "accepted: {value}");
    }
}

/// Every value that no field but an unknown one may have.
const NOWHERE: &[&str] =
    &["[]", "{}", "0.5", "1.0", "1e0", "1E1", "-0", "-1.5", "01", "\"\"", "tru"];

#[test]
fn every_command_is_accepted_as_it_stands() {
    for (command, _) in COMMANDS {
        decode(&json(&fields(command))).unwrap();
    }
}

#[test]
fn required_fields_are_required_and_optional_ones_are_not() {
    const REQUIRED: [(&str, &[&str]); 10] = [
        ("order.placed", &["merchant_id", "order_id", "buyer_id", "placed_at", "lines"]),
        ("order.paid", &["merchant_id", "payment_id", "order_id", "amount", "paid_at"]),
        ("order.cancelled", &["merchant_id", "order_id"]),
        (
            "order.refunded",
            &["merchant_id", "refund_id", "order_id", "refunded_at", "amount", "lines"],
        ),
        ("stock.received", &["merchant_id", "receipt_id", "received_at", "sku", "qty"]),
        ("stock.moved", &["merchant_id", "receipt_id", "received_at", "sku", "from", "to", "qty"]),
        ("sku.listed", &["merchant_id", "sku"]),
        ("sku.withdrawn", &["merchant_id", "sku"]),
        ("location.opened", &["merchant_id", "location", "kind"]),
        ("location.closed", &["merchant_id", "location"]),
    ];
    for (command, required) in REQUIRED {
        for (name, _) in fields(command) {
            let is_required = name == "type" || required.contains(&name.as_str());
            let mut absent = fields(command);
            absent.retain(|(field, _)| *field != name);
            let null = with(command, &name, "null");
            for value in [json(&absent), null] {
                assert_eq!(decode(&value).is_err(), is_required, "{value}");
            }
        }
    }
}

#[test]
fn listed_field_stands_once_even_as_null() {
    for (command, _) in COMMANDS {
        for (name, value) in fields(command) {
            for (first, second) in [
                (value.as_str(), value.as_str()),
                (&value, "null"),
                ("null", &value),
                ("null", "null"),
            ] {
                for at_end in [true, false] {
                    let mut twice = fields(command);
                    twice.iter_mut().find(|(field, _)| *field == name).unwrap().1 =
                        first.to_owned();
                    let again = (name.clone(), second.to_owned());
                    if at_end {
                        twice.push(again)
                    } else {
                        twice.insert(0, again)
                    }
                    assert!(decode(&json(&twice)).is_err(), "{}", json(&twice));
                }
            }
        }
    }
}

#[test]
fn no_listed_field_takes_what_belongs_nowhere() {
    for (command, _) in COMMANDS {
        for (name, _) in fields(command) {
            for value in NOWHERE {
                let is_empty_list =
                    name == "lines" && command == "order.refunded" && *value == "[]";
                let is_default_object = name == "fulfilment" && *value == "{}";
                let is_other_channel = name == "channel" && *value == "\"\"";
                if !is_empty_list && !is_default_object && !is_other_channel {
                    check(command, &name, &[], &[value]);
                }
            }
        }
    }
}

#[test]
fn ids_are_numbers_or_strings_of_digits() {
    let max = "18446744073709551615";
    let over = "18446744073709551616";
    let padded = format!("\"{}5\"", "0".repeat(38));
    let too_long = format!("\"{}5\"", "0".repeat(39));
    let quoted = format!("\"{max}\"");
    let quoted_over = format!("\"{over}\"");
    let nines = format!("\"{}\"", "9".repeat(39));
    let accepted = [max, "0", "\"0\"", "\"007\"", &padded, &quoted, "12345678", "123456789"];
    let refused = [
        over,
        "-1",
        "+1",
        "\"-1\"",
        "\"+1\"",
        "\" 1\"",
        "\"1 \"",
        "\"1.0\"",
        "\"0x1\"",
        &too_long,
        "99999999999999999999999999",
        &quoted_over,
        &nines,
        "\"1_0\"",
        "true",
        "\"\u{661}\"",
        "00",
    ];
    for (command, field) in [
        ("order.placed", "buyer_id"),
        ("stock.received", "sku"),
        ("stock.moved", "sku"),
        ("sku.listed", "sku"),
        ("sku.withdrawn", "sku"),
    ] {
        check(command, field, &accepted, &refused);
    }
    check("sku.withdrawn", "merchant_id", &["1", "\"1\"", "\"0001\""], &refused);
    let accepted = ["4294967295", "\"4294967295\"", "\"0000000000004294967295\"", &padded];
    let refused = ["4294967296", "\"4294967296\"", "-1", max, &too_long, "true"];
    for (command, field) in [
        ("stock.received", "location"),
        ("stock.moved", "from"),
        ("stock.moved", "to"),
        ("location.opened", "location"),
        ("location.closed", "location"),
    ] {
        check(command, field, &accepted, &refused);
    }
    check("stock.received", "location", &["0", "\"00\""], &[]);
    check("location.opened", "location", &["1"], &["0", "\"0\"", "\"00\""]);
    check("location.closed", "location", &["1"], &["0", "\"0\""]);
    check("stock.moved", "to", &["0", "2"], &["1", "\"1\"", "\"01\""]);
}

#[test]
fn publisher_ids_are_forty_plain_characters() {
    let longest = format!("\"{}\"", "x".repeat(40));
    let too_long = format!("\"{}\"", "x".repeat(41));
    let accepted = ["\"0\"", "\"-\"", "\"aZ09_.:-\"", &longest, "\"null\"", "\"\\u0041\""];
    let refused = [
        "1",
        "\"a b\"",
        "\"a/b\"",
        "\"a\\/b\"",
        "\"\u{e9}\"",
        "\"\\u00e9\"",
        "\"a\\n\"",
        &too_long,
        "\"\u{ff21}\"",
        "\"a\\u0000\"",
        "\"a\\\"b\"",
    ];
    for (command, field) in [
        ("order.placed", "order_id"),
        ("order.paid", "payment_id"),
        ("order.paid", "order_id"),
        ("order.cancelled", "order_id"),
        ("order.refunded", "refund_id"),
        ("order.refunded", "order_id"),
        ("stock.received", "receipt_id"),
        ("stock.moved", "receipt_id"),
    ] {
        check(command, field, &accepted, &refused);
    }
}

#[test]
fn money_and_times_end_at_ten_to_the_fifteenth() {
    let accepted = ["0", "1", "999999999999999", "1000000000000000"];
    let refused = ["1000000000000001", "-1", "\"5\"", "18446744073709551616", "10000000000000000"];
    for (command, field) in [
        ("order.placed", "placed_at"),
        ("order.placed", "pay_by"),
        ("order.paid", "amount"),
        ("order.paid", "paid_at"),
        ("order.refunded", "amount"),
        ("order.refunded", "refunded_at"),
        ("stock.received", "received_at"),
        ("stock.moved", "received_at"),
    ] {
        check(command, field, &accepted, &refused);
    }
}

#[test]
fn quantities_and_limits_have_their_own_ranges() {
    let refused = ["0", "1000000001", "-1000000001", "\"1\"", "- 1", "+1", "--1", "-", "-01"];
    check("stock.received", "qty", &["1", "-1", "1000000000", "-1000000000"], &refused);
    check("stock.moved", "qty", &["1", "1000000000"], &["0", "-1", "1000000001", "\"1\""]);
    for field in ["per_buyer_limit", "safety_stock"] {
        check("sku.listed", field, &["0", "1000000000"], &["-1", "1000000001", "\"1\"", "false"]);
    }
    check("location.opened", "priority", &["0", "65535"], &["65536", "-1", "\"1\""]);
}

#[test]
fn names_are_exact() {
    check("order.placed", "channel", &["\"App\"", "\"\u{76f4}\u{64ad}\"", "\"\\u76f4\""], &["1"]);
    for command in ["order.placed", "order.refunded"] {
        check(
            command,
            "area",
            &["\"urban\"", "\"rural\""],
            &["\"Urban\"", "\"\"", "1", "\"town\""],
        );
        let accepted = ["\"000000\"", "\"999999\"", "\"\\u0033\\u00330106\""];
        let refused =
            ["330106", "\"33010\"", "\"3301066\"", "\"33010a\"", "\"+33010\"", "\" 33010\""];
        check(command, "region", &accepted, &refused);
    }
    check("order.paid", "part", &["\"deposit\"", "\"balance\""], &["\"rest\"", "\"Full\"", "0"]);
    check(
        "order.refunded",
        "restock",
        &["true", "false"],
        &["\"true\"", "0", "1", "truex", "True"],
    );
    check("location.opened", "kind", &["\"warehouse\"", "\"store\""], &["\"shop\"", "true"]);
    for field in ["ships", "pickup"] {
        check("location.opened", field, &["true", "false"], &["\"false\"", "0", "nulll", "fals"]);
    }
    let longest = format!("\"{}\"", "a".repeat(32));
    let too_long = format!("\"{}\"", "a".repeat(33));
    let accepted = ["\"none\"", "\"a.b_c-9\"", &longest, "\"\\u0061\""];
    check("sku.listed", "category", &accepted, &["\"A\"", "\"a b\"", "\"a:b\"", &too_long, "1"]);
    check(
        "sku.listed",
        "type",
        &[],
        &["\"sku.Listed\"", "\"sku.listed \"", "\"sku\"", "1", "\"x\""],
    );
}

#[test]
fn lines_are_objects_with_three_fields() {
    const LINE: &str = r#"{"sku":5,"qty":2,"unit_price":10}"#;
    let list = |lines: &[&str]| format!("[{}]", lines.join(","));
    let most = list(&[LINE; 100]);
    let too_many = list(&[LINE; 101]);
    let accepted = [
        most.as_str(),
        r#"[ { "qty" : 1000000 , "sku" : "5" , "unit_price" : 1 } ]"#,
        r#"[{"sku":5,"qty":2,"unit_price":10,"location":"x","type":1,"x":null,"x":-0}]"#,
    ];
    let refused = [
        &too_many,
        "[]",
        "[null]",
        "[1]",
        "[[]]",
        "null",
        r#"{"sku":5,"qty":2,"unit_price":10}"#,
        r#"[{"sku":5,"qty":2,"unit_price":10},null]"#,
        r#"[null,{"sku":5,"qty":2,"unit_price":10}]"#,
        r#"[{"sku":5,"qty":2,"unit_price":10},]"#,
        r#"[,{"sku":5,"qty":2,"unit_price":10}]"#,
        r#"[{"sku":5,"qty":2}]"#,
        r#"[{"sku":5,"unit_price":10}]"#,
        r#"[{"qty":2,"unit_price":10}]"#,
        r#"[{"sku":5,"qty":0,"unit_price":10}]"#,
        r#"[{"sku":5,"qty":1000001,"unit_price":1}]"#,
        r#"[{"sku":5,"qty":"2","unit_price":10}]"#,
        r#"[{"sku":5,"qty":2,"unit_price":-1}]"#,
        r#"[{"sku":5,"sku":5,"qty":2,"unit_price":10}]"#,
        r#"[{"sku":5,"qty":null,"unit_price":10}]"#,
        r#"[{"sku":5,"qty":2,"unit_price":10,"qty":null}]"#,
        r#"[{"sku":5,"qty":2,"unit_price":1.0}]"#,
        r#"[{"sku":5,"qty":2,"unit_price":10,"x":01}]"#,
        r#"[{"sku":5,"qty":2,"unit_price":10,"x":"\ud800"}]"#,
        r#"[{"sku":5,"qty":2,"unit_price":10,"\u0073ku":5}]"#,
    ];
    check("order.placed", "lines", &accepted, &refused);
    let accepted = ["[]", "[ ]", r#"[{"sku":"05","location":"7","qty":1000000,"unit_price":"x"}]"#];
    let refused = [
        "[null]",
        "null",
        r#"[{"sku":5,"qty":2}]"#,
        r#"[{"sku":5,"location":7}]"#,
        r#"[{"sku":5,"location":4294967296,"qty":2}]"#,
        r#"[{"sku":5,"location":7,"qty":0}]"#,
        r#"[{"sku":5,"location":7,"qty":2,"location":7}]"#,
    ];
    check("order.refunded", "lines", &accepted, &refused);
    let refund = |count| list(&vec![r#"{"sku":5,"location":7,"qty":2}"#; count]);
    check("order.refunded", "lines", &[&refund(100)], &[&refund(101)]);
}

#[test]
fn gross_sum_is_exact_and_bounded() {
    let line = |qty: u64, price: u64| format!(r#"{{"sku":5,"qty":{qty},"unit_price":{price}}}"#);
    let list = |lines: &[String]| format!("[{}]", lines.join(","));
    let whole = list(&[line(1_000_000, 1_000_000_000)]);
    let over = list(&[line(1_000_000, 1_000_000_000), line(1, 1)]);
    // 18,448 lines' worth of wrapping: the sum modulo 2^64 would be small again.
    let wrapped = list(&[line(1_000_000, 18_446_744_073_710)]);
    let most = list(&vec![line(1_000_000, 1_000_000_000_000_000); 100]);
    check("order.placed", "lines", &[&whole], &[&over, &wrapped, &most]);
}

#[test]
fn discount_and_presale_fit_the_amount() {
    // The gross sum is 20, the presale's deposit 1.
    check("order.placed", "discount", &["0", "18"], &["19", "20", "21", "-1", "\"1\""]);
    let presale = |deposit: &str| format!(r#"{{"deposit":{deposit},"balance_due":9}}"#);
    let (least, most) = (presale("1"), presale("18"));
    let (none, whole) = (presale("0"), presale("19"));
    let accepted = [least.as_str(), &most, r#"{"deposit":1,"balance_due":0,"x":{},"x":1}"#];
    let refused = [
        &none,
        &whole,
        r#"{"deposit":1}"#,
        r#"{"balance_due":9}"#,
        "[]",
        "1",
        "\"\"",
        r#"{"deposit":1,"balance_due":null}"#,
        r#"{"deposit":1,"deposit":1,"balance_due":9}"#,
        r#"{"deposit":1,"balance_due":1000000000000001}"#,
        r#"{"deposit":1,"balance_due":9,"x":+1}"#,
    ];
    check("order.placed", "presale", &accepted, &refused);
    check("order.placed", "settle", &["\"on_payment\""], &["\"on_placement\"", "\"later\""]);
    let mut placement = fields("order.placed");
    placement.retain(|(name, _)| name != "presale");
    placement.iter_mut().find(|(name, _)| name == "settle").unwrap().1 = "\"on_placement\"".into();
    decode(&json(&placement)).unwrap();
    placement.iter_mut().find(|(name, _)| name == "discount").unwrap().1 = "20".into();
    decode(&json(&placement)).unwrap();
    placement.iter_mut().find(|(name, _)| name == "discount").unwrap().1 = "21".into();
    assert!(decode(&json(&placement)).is_err());
}

#[test]
fn fulfilment_is_checked_even_where_it_has_no_effect() {
    let accepted = [
        "{}",
        r#"{"mode":null}"#,
        r#"{"location":null}"#,
        r#"{"mode":"ship","location":7}"#,
        r#"{"location":"07"}"#,
        r#"{"mode":"pickup","location":0}"#,
        r#"{"x":[],"mode":"ship"}"#,
    ];
    let refused = [
        r#"{"mode":"pickup"}"#,
        r#"{"mode":"pickup","location":null}"#,
        r#"{"mode":"drone"}"#,
        r#"{"mode":"ship","location":-1}"#,
        r#"{"location":4294967296}"#,
        r#"{"mode":1}"#,
        r#"{"mode":"ship","mode":"ship"}"#,
        r#"{"location":7,"location":null,"mode":"ship"}"#,
        "\"ship\"",
        "[]",
        r#"{"mode":"ship","location":7.0}"#,
        r#"{"mode":"ship",}"#,
        "{1}",
    ];
    check("order.placed", "fulfilment", &accepted, &refused);
}

/// What is listed for another type or place is unknown here: any valid JSON, as often as it likes.
#[test]
fn field_of_another_command_is_unknown() {
    for (command, _) in COMMANDS {
        let listed = fields(command);
        let names = COMMANDS.iter().flat_map(|(other, _)| fields(other)).map(|(name, _)| name);
        for name in names.filter(|name| listed.iter().all(|(field, _)| field != name)) {
            let mut more = listed.clone();
            for value in ["-0", "1e999", "[null,{}]", "null", "\"\\ud83d\\ude00\"", "\"\u{4e2d}\""]
            {
                more.insert(1, (name.clone(), value.to_owned()));
                more.push((name.clone(), value.to_owned()));
            }
            decode(&json(&more)).unwrap_or_else(|refused| panic!("{}: {refused}", json(&more)));
            more.push((name, "\"\\udc00\"".to_owned()));
            assert!(decode(&json(&more)).is_err(), "{}", json(&more));
        }
    }
}

#[test]
fn refusals_say_what_to_write() {
    let text = |value: &str| decode(value).unwrap_err().to_string();
    let line = |rest: &str| with("order.placed", "lines", &format!(r#"[{{"sku":5,{rest}}}]"#));
    assert_eq!(
        text(&line(r#""qty":0,"unit_price":1"#)),
        "order.placed: \"lines[0].qty\" must be 1..=1000000, a number without fraction, exponent or -0"
    );
    assert_eq!(text(&line(r#""qty":1"#)), "order.placed: \"lines[0].unit_price\" is missing");
    assert_eq!(text("{}"), "\"type\" is missing");
    assert_eq!(
        text(&with("order.paid", "part", "\"x\"")),
        "order.paid: \"part\" must be one of \"full\", \"deposit\", \"balance\""
    );
    assert_eq!(
        text(&with("order.placed", "fulfilment", r#"{"mode":"pickup"}"#)),
        "order.placed: \"fulfilment.location\" is missing"
    );
    assert_eq!(
        text(&with("order.placed", "presale", r#"{"deposit":20,"balance_due":1}"#)),
        "order.placed: \"presale.deposit\" must be at least 1 and below the order's amount"
    );
    assert_eq!(text(r#"{"type":"tick","type":"tick"}"#), "tick: \"type\" stands twice");
    assert_eq!(text("[]"), "not a JSON object at byte 0: the first byte must be '{'");
    assert_eq!(text(r#"{"type":"tick","x":01}"#), "not a JSON object at byte 21: malformed number");
}
