//! The fast decoder against the slow, obvious one, on generated commands with every kind of flaw, and
//! on damaged bytes; and no input makes it panic.
//!
//! One decoder reads all values of a test, so what it learned from one must not change the next.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod reference;

use std::cell::RefCell;

use ledger::effect::DeadLetter;
use ledger::rules::Partitioner;
use ledger::units::Offset;
use proptest::collection::vec;
use proptest::prelude::*;
use wire::{Decoder, NoHeaders, Record, Route, Scratch};

/// The command as text; `None`: invalid. A command's key is not known here: a valid one that comes back
/// as misrouted is decoded again with the key that the refusal names.
fn fast(decoder: &mut Decoder, value: &[u8]) -> Option<String> {
    let scratch = Scratch::new();
    let mut decode = |key: &[u8]| {
        let record = Record {
            partition: 0,
            offset: Offset(0),
            timestamp: 0,
            key: Some(key),
            value: Some(value),
            headers: &NoHeaders,
        };
        decoder.decode(&record, &scratch).map(|command| format!("{command:?}"))
    };
    decode(likely_key(value))
        .or_else(|refused| match refused.why {
            wire::Why::WrongKey { merchant } => decode(merchant.0.to_string().as_bytes()),
            _ => Err(refused),
        })
        .inspect_err(|refused| {
            assert_eq!(refused.code, DeadLetter::Invalid, "{refused}");
            assert!(refused.to_string().len() < 400, "bounded: {refused}");
        })
        .ok()
}

/// The digits behind the first `merchant_id`, without zeros before them: the key, as a rule. With a wrong
/// one a command is not read by the layout of another.
fn likely_key(value: &[u8]) -> &[u8] {
    const NAME: &[u8] = b"merchant_id";
    let at = value.windows(NAME.len()).position(|bytes| bytes == NAME);
    let behind = at.map_or(&[][..], |at| &value[at + NAME.len()..]);
    let start = behind.iter().position(|byte| (b'1'..=b'9').contains(byte));
    let digits = &behind[start.unwrap_or(behind.len())..];
    &digits[..digits.iter().take_while(|byte| byte.is_ascii_digit()).count()]
}

fn decoder() -> Decoder {
    Decoder::new(Route { partition: 0, partitions: 1, partitioner: Partitioner::Murmur2 })
}

fn check(decoder: &mut Decoder, value: &[u8]) -> Result<bool, TestCaseError> {
    let (fast, slow) = (fast(decoder, value), reference::decode(value));
    prop_assert_eq!(&fast, &slow, "{}", String::from_utf8_lossy(value));
    Ok(slow.is_some())
}

/// Choices made from a list of numbers, so that a failing case shrinks; 0, the plainest, at its end.
struct Choices<'c>(&'c [u16]);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % bound
    }

    /// True about once in `rarity`, never for the plainest choice.
    fn rarely(&mut self, rarity: usize) -> bool {
        self.below(rarity) == rarity - 1
    }

    fn of<'t>(&mut self, table: &[&'t str]) -> &'t str {
        table[self.below(table.len())]
    }
}

/// For each type its fields, each with values that are valid there as a rule, the plainest first.
type Table = &'static [(&'static str, &'static [&'static str])];

const ID: &[&str] =
    &["1", "\"1\"", "\"00018446744073709551615\"", "18446744073709551615", "12345678"];
const TEXT: &[&str] =
    &["\"o\"", "\"a_B.9:-\"", "\"3F2504E0-4F89-11D3-9A0C-0305E82C3301\"", "\"\\u0041\""];
const TIME: &[&str] = &["1762790400009", "0", "1000000000000000"];
const MONEY: &[&str] = &["990", "0", "1", "1000000000000000"];
const LOCATION: &[&str] = &["7", "\"7\"", "0", "4294967295", "\"0000004294967295\""];
const CHANNEL: &[&str] =
    &["\"app\"", "\"kiosk\"", "\"\"", "\"mini_program\"", "\"\u{76f4}\\u64ad\""];
const REGION: &[&str] = &["\"330106\"", "\"000000\"", "\"999999\""];
const AREA: &[&str] = &["\"urban\"", "\"rural\""];
const BOOLEAN: &[&str] = &["true", "false"];
const COUNT: &[&str] = &["2", "1", "1000000"];

const PLACED: Table = &[
    ("merchant_id", ID),
    ("order_id", TEXT),
    ("buyer_id", ID),
    ("placed_at", TIME),
    ("lines", &[]),
    ("channel", CHANNEL),
    ("region", REGION),
    ("area", AREA),
    ("discount", &["0", "1", "100"]),
    ("settle", &["\"on_payment\"", "\"on_placement\""]),
    ("pay_by", TIME),
    (
        "fulfilment",
        &[
            "{\"mode\":\"ship\"}",
            "{\"location\":7,\"mode\":\"pickup\"}",
            "{}",
            "{\"mode\":\"pickup\"}",
            "{\"mode\":null,\"location\":\"07\",\"x\":[{}]}",
            "{\"mode\":\"ship\",\"location\":-1}",
        ],
    ),
    (
        "presale",
        &[
            "{\"deposit\":1,\"balance_due\":5}",
            "{\"balance_due\":0,\"deposit\":989,\"x\":-0}",
            "{}",
            "{\"deposit\":990,\"balance_due\":5}",
            "{\"deposit\":0,\"balance_due\":5}",
        ],
    ),
];
const PAID: Table = &[
    ("merchant_id", ID),
    ("payment_id", TEXT),
    ("order_id", TEXT),
    ("amount", MONEY),
    ("paid_at", TIME),
    ("part", &["\"full\"", "\"deposit\"", "\"balance\""]),
];
const REFUNDED: Table = &[
    ("merchant_id", ID),
    ("refund_id", TEXT),
    ("order_id", TEXT),
    ("refunded_at", TIME),
    ("amount", MONEY),
    ("lines", &[]),
    ("restock", BOOLEAN),
    ("channel", CHANNEL),
    ("region", REGION),
    ("area", AREA),
];
const COMMANDS: [(&str, Table); 11] = [
    ("order.placed", PLACED),
    ("order.paid", PAID),
    ("order.cancelled", &[("merchant_id", ID), ("order_id", TEXT)]),
    ("order.refunded", REFUNDED),
    (
        "stock.received",
        &[
            ("merchant_id", ID),
            ("receipt_id", TEXT),
            ("received_at", TIME),
            ("sku", ID),
            ("qty", &["5", "-5", "1000000000", "-1000000000"]),
            ("location", LOCATION),
        ],
    ),
    (
        "stock.moved",
        &[
            ("merchant_id", ID),
            ("receipt_id", TEXT),
            ("received_at", TIME),
            ("sku", ID),
            ("from", LOCATION),
            ("to", &["1", "7", "0"]),
            ("qty", COUNT),
        ],
    ),
    (
        "sku.listed",
        &[
            ("merchant_id", ID),
            ("sku", ID),
            ("category", &["\"agri.fruit\"", "\"none\"", "\"A\"", "\"\\u0061\""]),
            ("per_buyer_limit", COUNT),
            ("safety_stock", COUNT),
        ],
    ),
    ("sku.withdrawn", &[("merchant_id", ID), ("sku", ID)]),
    (
        "location.opened",
        &[
            ("merchant_id", ID),
            ("location", LOCATION),
            ("kind", &["\"store\"", "\"warehouse\""]),
            ("region", REGION),
            ("priority", &["10", "0", "65535", "65536"]),
            ("ships", BOOLEAN),
            ("pickup", BOOLEAN),
        ],
    ),
    ("location.closed", &[("merchant_id", ID), ("location", LOCATION)]),
    ("tick", &[]),
];
const LINE: Table = &[("sku", ID), ("qty", COUNT), ("unit_price", MONEY)];
const REFUND_LINE: Table = &[("sku", ID), ("location", LOCATION), ("qty", COUNT)];

/// Values that are wrong in most places, right in some, and always a temptation.
const TEMPTING: [&str; 40] = [
    "null",
    "0",
    "-1",
    "-0",
    "1.0",
    "1e2",
    "1E0",
    "\"\"",
    "\"0\"",
    "\"-1\"",
    "\"+1\"",
    "\"1.0\"",
    "\" 1\"",
    "[]",
    "{}",
    "[null]",
    "[1]",
    "true",
    "false",
    "\"null\"",
    "18446744073709551616",
    "\"18446744073709551616\"",
    "1000000000000001",
    "4294967296",
    "\"4294967296\"",
    "1000001",
    "1000000001",
    "\"a b\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\u{e9}\"",
    "\"x\\\"y\"",
    "01",
    "1.",
    "nul",
    "\"\\x\"",
    "[{\"sku\":1,\"sku\":1}]",
    "1e999",
    "123456789012345678901234567890",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
];
const NAMES: [&str; 12] = [
    "x",
    "",
    "type",
    "\u{4e2d}",
    "lines",
    "location",
    "qty",
    "Type",
    "merchant_id ",
    "sk",
    "area",
    "unit_price",
];

fn object(choices: &mut Choices<'_>, command: Option<&str>, table: Table, depth: u32) -> String {
    let mut members = Vec::new();
    for (name, values) in table {
        // The plainest command has every field.
        if choices.rarely(16) {
            continue;
        }
        let value = match (choices.rarely(40), values.is_empty()) {
            (true, _) => choices.of(&TEMPTING).to_owned(),
            (false, true) => lines(choices, command, depth),
            (false, false) => choices.of(values).to_owned(),
        };
        members.push((*name, value));
    }
    if choices.rarely(3) {
        members.push((choices.of(&NAMES), choices.of(&TEMPTING).to_owned()));
    }
    if choices.rarely(30) && !members.is_empty() {
        let name = members[choices.below(members.len())].0;
        members.push((name, choices.of(&TEMPTING).to_owned()));
    }
    if let Some(command) = command {
        members.insert(0, ("type", format!("\"{command}\"")));
    }
    if choices.rarely(3) {
        let places = members.len();
        for index in 0..places {
            members.swap(index, choices.below(places));
        }
    }
    let members = members.iter().map(|(name, value)| member(choices, name, value));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn member(choices: &mut Choices<'_>, name: &str, value: &str) -> String {
    const SPACES: [&str; 5] = ["", " ", "\n\t", "\r", "  "];
    let mut name = name.to_owned();
    if choices.rarely(20) && !name.is_empty() {
        let first = name.remove(0);
        name.insert_str(0, &format!("\\u{:04x}", u32::from(first)));
    }
    if choices.rarely(8) {
        let [a, b, c, d] = [(); 4].map(|()| choices.of(&SPACES));
        return format!("{a}\"{name}\"{b}:{c}{value}{d}");
    }
    format!("\"{name}\":{value}")
}

fn lines(choices: &mut Choices<'_>, command: Option<&str>, depth: u32) -> String {
    let table = if command == Some("order.placed") { LINE } else { REFUND_LINE };
    let count = if choices.rarely(30) { 99 + choices.below(3) } else { 1 + choices.below(3) };
    let lines = (0..count).map(|_| object(choices, None, table, depth + 1)).collect::<Vec<_>>();
    format!("[{}]", lines.join(","))
}

fn command(choices: &[u16]) -> String {
    let mut choices = Choices(choices);
    let (name, table) = COMMANDS[choices.below(COMMANDS.len())];
    object(&mut choices, Some(name), table, 0)
}

/// The text with one value, or one byte, replaced.
fn changed(text: &str, place: usize, by: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let starts: Vec<usize> = text.match_indices(':').map(|(at, _)| at + 1).collect();
    let start = starts[place % starts.len()];
    if by.is_multiple_of(4) {
        let at = start.saturating_sub(by / 4 % 16).min(bytes.len() - 1);
        bytes[at] = bytes[at].wrapping_add((by / 64) as u8);
        return bytes;
    }
    let len = text[start..].find([',', '}', ']']).unwrap_or(text.len() - start);
    let others = TEMPTING.iter().chain(ID).chain(TEXT).chain(TIME).chain(CHANNEL).chain(REGION);
    let others: Vec<_> = others.chain(AREA).chain(COUNT).collect();
    bytes.splice(start..start + len, others[by / 4 % others.len()].bytes());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    /// The decoder has learned a layout from the first, so the others are read by it as far as they fit.
    #[test]
    fn commands_with_the_layout_of_another_are_judged_alike(
        is_payment: bool,
        choices in vec(any::<u16>(), 0..60),
        changes in vec((any::<u16>(), any::<u16>()), 1..8),
    ) {
        let (name, table) = COMMANDS[usize::from(is_payment)];
        let text = object(&mut Choices(&choices), Some(name), table, 0);
        let mut decoder = decoder();
        check(&mut decoder, text.as_bytes())?;
        for (place, by) in changes {
            check(&mut decoder, &changed(&text, place.into(), by.into()))?;
        }
    }

    #[test]
    fn generated_commands_are_judged_alike(choices in vec(any::<u16>(), 0..120)) {
        thread_local!(static DECODER: RefCell<Decoder> = RefCell::new(decoder()));
        DECODER.with_borrow_mut(|decoder| check(decoder, command(&choices).as_bytes()))?;
    }

    /// Bytes put in, taken out, or replaced: mostly by those that mean something in JSON.
    #[test]
    fn damaged_commands_are_judged_alike(
        choices in vec(any::<u16>(), 0..120),
        damage in vec((any::<u16>(), 0..4_u8, any::<u8>()), 1..4),
    ) {
        const TELLING: &[u8] = b"\"\\{}[]:,0123456789-+.eE ntu/\x00\x1f\x7f\x80\xc3\xed\xf4\xff";
        let mut value = command(&choices).into_bytes();
        for (place, kind, byte) in damage {
            let place = usize::from(place) % value.len();
            let byte = TELLING[usize::from(byte) % TELLING.len()];
            match kind {
                0 => { value.remove(place); }
                1 => value.insert(place, byte),
                2 => value[place] = byte,
                _ => value.truncate(place + 1),
            }
            if value.is_empty() {
                break;
            }
        }
        thread_local!(static DECODER: RefCell<Decoder> = RefCell::new(decoder()));
        DECODER.with_borrow_mut(|decoder| check(decoder, &value))?;
    }

    #[test]
    fn garbage_is_refused_without_a_panic(value in vec(any::<u8>(), 0..200), open in any::<bool>()) {
        let mut value = value;
        if open {
            value.splice(0..0, *b"{\"type\":\"order.placed\",");
        }
        thread_local!(static DECODER: RefCell<Decoder> = RefCell::new(decoder()));
        DECODER.with_borrow_mut(|decoder| check(decoder, &value))?;
    }
}

/// A property that every generated value is invalid would prove nothing.
#[test]
fn generated_commands_are_valid_often_enough() {
    let mut decoder = decoder();
    let mut state = 1_u32;
    let mut valid = 0;
    for _ in 0..4_000 {
        let choices = (0..100).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u16
        });
        let value = command(&choices.collect::<Vec<_>>());
        valid += u32::from(check(&mut decoder, value.as_bytes()).unwrap());
    }
    assert!((800..3_200).contains(&valid), "{valid} of 4000 are valid");
}
