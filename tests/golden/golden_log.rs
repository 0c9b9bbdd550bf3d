//! The files of a golden log, read and written.
//!
//! Not what is done with them. Invariant: an input file gives the same bytes wherever it is read,
//! and an output file holds everything that the contract settles.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use model::{InputRecord, Output, Topic};
use serde_json::{Value, json};

use crate::sides::{Totals, code_of};

/// Longer texts are shown by their length.
const SHOWN_BYTES_MAX: usize = 400;

/// How much of the outputs a file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// As the contract's example does: of a dead letter its code.
    Contract,
    /// Everything.
    All,
    /// How many outputs of each type a record has.
    Numbers,
}

/// See the module's documentation.
pub(crate) struct GoldenLog {
    pub(crate) inputs: Vec<InputRecord>,
    outputs: PathBuf,
    shows: Shows,
}

impl GoldenLog {
    /// The log in `golden/<name>`.
    pub(crate) fn read(name: &str) -> GoldenLog {
        let folder = folder(name);
        let inputs = read_inputs(&folder.join("input.jsonl"));
        GoldenLog { inputs, outputs: folder.join("output.jsonl"), shows: Shows::All }
    }

    /// The example of the contract.
    pub(crate) fn contract_example() -> GoldenLog {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
        let inputs = read_inputs(&folder.join("input.jsonl"));
        GoldenLog { inputs, outputs: folder.join("output.jsonl"), shows: Shows::Contract }
    }

    /// 2,600 holds that expire at the same moment, some of them ended before they are swept.
    pub(crate) fn expiry_burst() -> GoldenLog {
        const DUE: u64 = 2_000_000;
        let mut log = Builder::default();
        log.command(1_000_000, "sku.listed", r#""sku":1,"per_buyer_limit":3000"#);
        let stock = r#""receipt_id":"r","received_at":1000000,"sku":1,"qty":2600"#;
        log.command(1_000_000, "stock.received", stock);
        for number in 0..2_600 {
            let order = format!(
                r#""order_id":"o{number}","buyer_id":1,"placed_at":1000000,"pay_by":{DUE},"lines":[{{"sku":1,"qty":1,"unit_price":{number}}}]"#
            );
            log.command(1_000_000, "order.placed", &order);
        }
        let more = r#""order_id":"more","buyer_id":1,"placed_at":1999999,"lines":[{"sku":1,"qty":1,"unit_price":1}]"#;
        log.command(DUE - 1, "order.cancelled", r#""order_id":"o5""#);
        // Swept by one of these: 1,024 at most, so the last ones are expired but not swept yet.
        let late = r#""payment_id":"late","order_id":"o2599","amount":2599,"paid_at":2000000"#;
        log.command(DUE, "order.paid", late);
        log.command(DUE, "order.cancelled", r#""order_id":"o2598""#);
        log.command(DUE, "order.placed", more);
        log.command(DUE, "order.placed", &more.replace("more", "last"));
        GoldenLog::made("expiry-burst", log.inputs)
    }

    /// One category and one location more than there may be, and what still goes after that.
    pub(crate) fn too_many() -> GoldenLog {
        let mut log = Builder::default();
        // `none` is the 4,096th.
        for number in 0..4_095 {
            let listing = format!(r#""sku":{},"category":"c{number}""#, number % 9);
            log.command(1, "sku.listed", &listing);
        }
        log.command(2, "sku.listed", r#""sku":1"#);
        log.command(3, "sku.listed", r#""sku":1,"category":"one-too-many""#);
        log.command(3, "sku.withdrawn", r#""sku":2"#);
        log.command(3, "sku.listed", r#""sku":2,"category":"one-too-many""#);
        log.command(4, "sku.listed", r#""sku":2,"category":"c4000""#);
        for number in 1..=4_096 {
            log.command(5, "location.opened", &format!(r#""location":{number},"kind":"store""#));
        }
        log.command(6, "location.opened", r#""location":4097,"kind":"store""#);
        log.command(6, "location.opened", r#""location":7,"kind":"warehouse","priority":1"#);
        log.command(7, "location.closed", r#""location":9"#);
        log.command(8, "location.opened", r#""location":4097,"kind":"store""#);
        log.command(8, "location.opened", r#""location":9,"kind":"store""#);
        let stock = r#""receipt_id":"r","received_at":9,"sku":1,"qty":3,"location":4097"#;
        log.command(9, "stock.received", stock);
        let order = r#""order_id":"o","buyer_id":1,"placed_at":9,"settle":"on_placement","lines":[{"sku":1,"qty":3,"unit_price":1}]"#;
        log.command(9, "order.placed", order);
        GoldenLog::made("too-many", log.inputs)
    }

    fn made(name: &str, inputs: Vec<InputRecord>) -> GoldenLog {
        GoldenLog { inputs, outputs: folder(name).join("output.jsonl"), shows: Shows::Numbers }
    }

    /// Compares the model's outputs and counters with the file, or writes the file.
    pub(crate) fn compare(&self, outputs: &[Vec<Output>], totals: &Totals) {
        let mut text = String::new();
        for (input, outputs) in self.inputs.iter().zip(outputs) {
            match self.shows {
                Shows::Numbers => numbers(&mut text, input.offset, outputs),
                _ => outputs.iter().for_each(|output| {
                    writeln!(text, "{}", self.line(input.offset, output)).unwrap();
                }),
            }
        }
        for figures in totals.figures() {
            let figures = figures.strip_prefix(r#"{"partition":0,"#).unwrap();
            writeln!(text, r#"{{"topic":"gmv",{figures}}}"#).unwrap();
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() && self.shows != Shows::Contract {
            fs::create_dir_all(self.outputs.parent().unwrap()).unwrap();
            fs::write(&self.outputs, &text).unwrap();
        }
        let kept = fs::read_to_string(&self.outputs).unwrap();
        for (number, (found, kept)) in text.lines().zip(kept.lines()).enumerate() {
            assert_eq!(found, kept, "{}, line {}", self.outputs.display(), number + 1);
        }
        assert_eq!(text.lines().count(), kept.lines().count(), "{}", self.outputs.display());
    }

    fn line(&self, input: u64, output: &Output) -> String {
        let topic = output.topic.name();
        if output.topic != Topic::DeadLetters {
            let value = String::from_utf8(output.value.clone().unwrap()).unwrap();
            return format!(r#"{{"input":{input},"topic":"{topic}","value":{value}}}"#);
        }
        let code = code_of(&output.headers);
        let mut line = format!(r#"{{"input":{input},"topic":"{topic}","code":"{code}""#);
        if self.shows == Shows::All {
            let headers = output.headers.iter().map(|(name, value)| json!([name, shown(value)]));
            let (key, value) = (shown(&output.key), shown(&output.value));
            let headers = Value::from_iter(headers);
            write!(line, r#","key":{key},"value":{value},"headers":{headers}"#).unwrap();
        }
        line + "}"
    }
}

/// `{"input":…,"hold.released":1024}` for a record with outputs.
fn numbers(text: &mut String, input: u64, outputs: &[Output]) {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    for output in outputs {
        *counts.entry(type_of(output)).or_default() += 1;
    }
    if !counts.is_empty() {
        let counts: Vec<String> =
            counts.iter().map(|(name, count)| format!(r#""{name}":{count}"#)).collect();
        writeln!(text, r#"{{"input":{input},{}}}"#, counts.join(",")).unwrap();
    }
}

fn type_of(output: &Output) -> String {
    if output.topic == Topic::DeadLetters {
        return code_of(&output.headers);
    }
    let value: Value = serde_json::from_slice(output.value.as_ref().unwrap()).unwrap();
    value["type"].as_str().unwrap().to_owned()
}

/// Bytes in JSON: as text if they are, long ones by their length.
fn shown(bytes: &Option<Vec<u8>>) -> Value {
    match bytes {
        None => Value::Null,
        Some(bytes) if bytes.len() > SHOWN_BYTES_MAX => json!({"bytes": bytes.len()}),
        Some(bytes) => match str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({"base16": base16(bytes)}),
        },
    }
}

fn base16(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn read_inputs(path: &PathBuf) -> Vec<InputRecord> {
    let text = fs::read_to_string(path).unwrap();
    let inputs: Vec<InputRecord> =
        text.lines().map(|line| input_of(&serde_json::from_str(line).unwrap())).collect();
    // The embedded log numbers records like this, so that all ways see the same offsets.
    assert!(inputs.iter().zip(0..).all(|(input, number)| input.offset == number));
    inputs
}

fn input_of(line: &Value) -> InputRecord {
    let header = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), bytes_of(&pair[1]));
    InputRecord {
        offset: line["offset"].as_u64().unwrap(),
        timestamp: line["timestamp"].as_i64().unwrap(),
        key: bytes_of(&line["key"]),
        value: bytes_of(&line["value"]),
        headers: line["headers"].as_array().into_iter().flatten().map(header).collect(),
    }
}

/// A text, `{"base16":…}` for bytes that are none, `{"repeat":…,"times":…}` for a long one.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    if let Some(digits) = value["base16"].as_str() {
        let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        return Some((0..digits.len()).step_by(2).map(pair).collect());
    }
    if let Some(piece) = value["repeat"].as_str() {
        let times = usize::try_from(value["times"].as_u64().unwrap()).unwrap();
        return Some(piece.repeat(times).into_bytes());
    }
    value.as_str().map(|text| text.as_bytes().to_vec())
}

/// A log of one merchant, record by record.
#[derive(Default)]
struct Builder {
    inputs: Vec<InputRecord>,
}

impl Builder {
    fn command(&mut self, at: u64, kind: &str, fields: &str) {
        let value = format!(r#"{{"type":"{kind}","merchant_id":1001,{fields}}}"#);
        self.inputs.push(InputRecord {
            offset: self.inputs.len() as u64,
            timestamp: at.cast_signed(),
            key: Some(b"1001".to_vec()),
            value: Some(value.into_bytes()),
            headers: Vec::new(),
        });
    }
}
