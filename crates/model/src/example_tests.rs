//! The contract's example log against the plain model: record for record, and the final counters.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::text_log::header;
use crate::{InputRecord, Output, PlainPartition, Rules, Topic};

/// The lines of a file of the contract's examples.
fn example(name: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    let text = fs::read_to_string(folder.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn example_inputs() -> Vec<InputRecord> {
    let bytes = |value: &Value| value.as_str().map(|text| text.as_bytes().to_vec());
    let record = |line: Value| InputRecord {
        offset: line["offset"].as_u64().unwrap(),
        timestamp: line["timestamp"].as_i64().unwrap(),
        key: bytes(&line["key"]),
        value: bytes(&line["value"]),
        headers: Vec::new(),
    };
    example("input.jsonl").into_iter().map(record).collect()
}

/// The text of an output value in an expected line, with its fields in the line's order.
fn expected_values() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    let text = fs::read_to_string(folder.join("output.jsonl")).unwrap();
    text.lines().filter(|line| !line.contains(r#""topic":"gmv""#)).map(str::to_owned).collect()
}

/// An output in the form of the example's lines.
fn line_of(input: u64, output: &Output) -> String {
    let topic = output.topic.name();
    if output.topic == Topic::DeadLetters {
        let code = header(output, "exception.class.name");
        return format!(r#"{{"input":{input},"topic":"{topic}","code":"{code}"}}"#);
    }
    let value = String::from_utf8(output.value.clone().unwrap()).unwrap();
    format!(r#"{{"input":{input},"topic":"{topic}","value":{value}}}"#)
}

#[test]
fn the_example_log_has_the_outputs_that_the_contract_prints() {
    let mut partition = PlainPartition::new(Rules::default(), 0);
    let mut lines = Vec::new();
    for record in example_inputs() {
        lines.extend(partition.apply(&record).iter().map(|output| line_of(record.offset, output)));
    }
    let expected = expected_values();
    for (line, expected) in lines.iter().zip(&expected) {
        assert_eq!(line, expected);
    }
    assert_eq!(lines.len(), expected.len());
}

#[test]
fn the_example_log_ends_with_the_counters_that_the_contract_prints() {
    let mut partition = PlainPartition::new(Rules::default(), 0);
    let inputs = example_inputs();
    for record in &inputs {
        partition.apply(record);
    }
    let counters = partition.counters();
    let mut found = Vec::new();
    for (key, _) in counters.iter() {
        let record = counters.record(key, inputs.len() as u64, partition.time()).unwrap();
        let mut value: Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
        let object = value.as_object_mut().unwrap();
        assert_eq!(object.remove("partition"), Some(Value::from(0)));
        assert_eq!(object.remove("offset"), Some(Value::from(inputs.len())));
        assert_eq!(object.remove("at"), Some(Value::from(partition.time())));
        object.insert("topic".to_owned(), Value::from("gmv"));
        found.push(value);
    }
    let expected: Vec<Value> =
        example("output.jsonl").into_iter().filter(|line| line["topic"] == "gmv").collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}
