//! A small text form of logs for tests: one record to a line, with what must come of it.
//!
//! ```text
//! T | type id field=value … | output; output
//! ```
//!
//! `T` is the record's timestamp. The id is the command's own (or its order, SKU or location).
//! Fields that a command needs and a test does not care about have defaults (merchant 7, buyer 1,
//! the command's own time T, one line of SKU 1). `stock SKU@LOCATION` and `remembered` are no
//! records: they show a cell, or the number of remembered ids.

use serde_json::{Map, Value, json};

use crate::{InputRecord, Output, PlainPartition, Rules, Topic};

/// Fields that are strings even where they look like numbers.
const STRINGS: [&str; 6] =
    ["order_id", "payment_id", "refund_id", "receipt_id", "region", "category"];

/// Runs a text log under the default rules.
pub(crate) fn check(log: &str) {
    check_with(&Rules::default(), log);
}

/// Runs a text log and compares every line's outputs with those it asks for.
pub(crate) fn check_with(rules: &Rules, log: &str) {
    let mut run = Run { partition: PlainPartition::new(rules.clone(), 0), offset: 0 };
    for line in log.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [time, command, expected] = columns[..] else { panic!("three columns: {line}") };
        let found = run.line(time, command);
        assert_eq!(found, expected, "in the line {line}\nof the log {log}");
    }
}

struct Run {
    partition: PlainPartition,
    offset: u64,
}

impl Run {
    fn line(&mut self, time: &str, command: &str) -> String {
        if command == "remembered" {
            return self.partition.remembered_ids().to_string();
        }
        if let Some(cell) = command.strip_prefix("stock ") {
            let (sku, location) = cell.split_once('@').unwrap();
            let (sku, location) = (sku.parse().unwrap(), location.parse().unwrap());
            let (on_hand, held) = self.partition.merchant(7).cell(sku, location);
            return format!("{on_hand} on_hand, {held} held");
        }
        let record = record(self.offset, time.parse().unwrap(), command);
        self.offset += 1;
        let before = duplicates(&self.partition);
        let mut told: Vec<String> = self.partition.apply(&record).iter().map(brief).collect();
        if duplicates(&self.partition) > before {
            told.push("duplicate".to_owned());
        }
        told.join("; ")
    }
}

fn duplicates(partition: &PlainPartition) -> u128 {
    partition.counters().iter().map(|(_, counter)| counter.figures.duplicates).sum()
}

/// The input record that a command in text stands for.
pub(crate) fn record(offset: u64, time: i64, command: &str) -> InputRecord {
    let mut words = command.split_whitespace();
    let kind = words.next().unwrap();
    let mut fields = defaults(kind, time);
    for word in words {
        match word.split_once('=') {
            None => set(&mut fields, kind, id_field(kind), word),
            Some((name, text)) => set(&mut fields, kind, name, text),
        }
    }
    let merchant_id = fields.get("merchant_id");
    let key = merchant_id.map(|merchant_id| merchant_id.to_string().into_bytes());
    let value = Some(Value::Object(fields).to_string().into_bytes());
    InputRecord { offset, timestamp: time, key, value, headers: Vec::new() }
}

fn id_field(kind: &str) -> &'static str {
    match kind {
        "order.placed" | "order.cancelled" => "order_id",
        "order.paid" => "payment_id",
        "order.refunded" => "refund_id",
        "stock.received" | "stock.moved" => "receipt_id",
        "sku.listed" | "sku.withdrawn" => "sku",
        _ => "location",
    }
}

fn defaults(kind: &str, time: i64) -> Map<String, Value> {
    let specific = match kind {
        "order.placed" => json!({
            "buyer_id": 1, "placed_at": time,
            "lines": [{"sku": 1, "qty": 1, "unit_price": 100}],
        }),
        "order.paid" => json!({"amount": 100, "paid_at": time}),
        "order.refunded" => {
            json!({"order_id": "a", "amount": 100, "refunded_at": time, "lines": []})
        }
        "stock.received" => json!({"sku": 1, "received_at": time}),
        "stock.moved" => json!({"sku": 1, "received_at": time, "from": 0, "to": 1}),
        "location.opened" => json!({"kind": "store"}),
        _ => json!({}),
    };
    let mut fields = specific.as_object().unwrap().clone();
    fields.insert("type".to_owned(), json!(kind));
    if kind != "tick" {
        fields.insert("merchant_id".to_owned(), json!(7));
    }
    fields
}

fn set(fields: &mut Map<String, Value>, kind: &str, name: &str, text: &str) {
    let value = match (kind, name) {
        ("order.placed", "lines") => lines(text, "unit_price"),
        (_, "lines") => lines(text, "location"),
        ("order.placed", "pickup") => {
            let mode = json!({"mode": "pickup", "location": scalar(text)});
            fields.insert("fulfilment".to_owned(), mode);
            return;
        }
        ("order.placed", "deposit") => {
            // `deposit=20:5000`: the deposit, and when the balance is due.
            let (deposit, due) = text.split_once(':').unwrap();
            let presale = json!({"deposit": scalar(deposit), "balance_due": scalar(due)});
            fields.insert("presale".to_owned(), presale);
            return;
        }
        _ if STRINGS.contains(&name) => json!(text),
        _ => scalar(text),
    };
    fields.insert(name.to_owned(), value);
}

fn scalar(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// `1x2@100,…`: two units of SKU 1, at a unit price (or a location) of 100.
fn lines(text: &str, at: &str) -> Value {
    let line = |line: &str| {
        let (sku, rest) = line.split_once('x').unwrap();
        let (qty, value) = rest.split_once('@').unwrap();
        json!({"sku": scalar(sku), "qty": scalar(qty), at: scalar(value)})
    };
    text.split(',').map(line).collect()
}

/// An output in short: what tells it apart in a table.
pub(crate) fn brief(output: &Output) -> String {
    if output.topic == Topic::DeadLetters {
        return format!("dead {}", header(output, "exception.class.name"));
    }
    let value: Value = serde_json::from_slice(output.value.as_ref().unwrap()).unwrap();
    let mut words = vec![value["type"].as_str().unwrap().to_owned()];
    for name in ["payment_id", "refund_id", "order_id", "reason"] {
        words.extend(value[name].as_str().map(str::to_owned));
    }
    if value["type"] != "hold.released" {
        words.extend(value["lines"].as_array().map(|lines| {
            let places = lines.iter().map(|line| format!("{}@{}", line["sku"], line["location"]));
            format!("[{}]", places.collect::<Vec<_>>().join(" "))
        }));
    }
    for name in ["sku", "forfeited", "expires_at"] {
        words.extend(value[name].as_u64().map(|number| format!("{name}={number}")));
    }
    words.join(" ")
}

/// The text of an error header.
pub(crate) fn header(output: &Output, name: &str) -> String {
    let name = format!("__connect.errors.{name}");
    let found = output.headers.iter().rev().find(|(known, _)| *known == name);
    String::from_utf8(found.unwrap().1.clone().unwrap()).unwrap()
}
