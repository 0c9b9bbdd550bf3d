//! The seeds that a mutation or a fuzzer starts from: `corpus/`, what the repository already has of
//! each format, and snapshots and recordings made by the present code.
//!
//! Invariant: every seed is found from the source tree alone.

use std::fs;
use std::path::{Path, PathBuf};

use drill::recording::chunk;
use ledger::rules::Rules;
use pipeline::engine::Engine;
use pipeline::snapshot::{self, Header};
use serde_json::Value;
use wire::{NoHeaders, Outputs, Record};

use crate::configuration::DEFAULTS;
use crate::recordings;
use crate::snapshots::{OFFSET, body, place};

/// Where the corpora are, one folder for each decoder.
pub fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The files of one decoder's corpus, in the order of their names.
pub fn files(decoder: &str) -> Vec<Vec<u8>> {
    let folder = corpus().join(decoder);
    let entries = fs::read_dir(&folder).expect("each decoder has a corpus");
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the corpus can be listed").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).expect("a corpus is made of files")).collect()
}

/// Every command of the contract's example and of the golden logs.
pub fn commands() -> Vec<Vec<u8>> {
    logs().into_iter().flatten().filter_map(|line| line.value).collect()
}

/// The documented configuration, and each of its lines under its section.
pub fn configurations() -> Vec<Vec<u8>> {
    let mut seeds = vec![DEFAULTS.as_bytes().to_vec()];
    let mut section = "";
    for line in DEFAULTS.lines() {
        if line.starts_with('[') {
            section = line;
        } else if line.contains('=') && !line.starts_with('#') {
            seeds.push(format!("{section}\n{line}\n").into_bytes());
        }
    }
    seeds
}

/// Snapshots of an empty partition and of one after each of the logs.
pub fn snapshots() -> Vec<Vec<u8>> {
    let empty = Engine::new(0, &place().topic, Rules::default());
    let logs = logs();
    let engines = std::iter::once(empty).chain(logs.iter().map(|log| after(log)));
    engines.map(bytes_of).collect()
}

/// The bodies of these snapshots, half a megabyte each.
pub fn bodies() -> Vec<Vec<u8>> {
    snapshots().iter().map(|snapshot| body(snapshot)).collect()
}

/// A chunk of each of the logs, and their records as they are before they are compressed.
pub fn recordings() -> Vec<Vec<u8>> {
    let record = |line: Line| drill::recording::Record {
        offset: line.offset,
        timestamp_ms: line.timestamp,
        key: line.key,
        value: line.value,
        headers: vec![("trace".to_owned(), None)],
    };
    let bodies = logs().into_iter().map(|log| {
        let records: Vec<_> = log.into_iter().map(record).collect();
        (records.len() as u32, recordings::body(&records))
    });
    let both = bodies.flat_map(|(records, body)| {
        let sealed = chunk::seal(&recordings::header(records), &body);
        [sealed.expect("memory takes what is compressed"), body]
    });
    both.collect()
}

fn bytes_of(mut engine: Engine) -> Vec<u8> {
    let header = Header {
        state_version: ledger::STATE_VERSION,
        offset: OFFSET,
        digest: engine.digest().to_bits(),
        rules: Rules::default(),
    };
    snapshot::encode(&place(), &header, &engine.freeze()).expect("memory takes what is written")
}

fn after(log: &[Line]) -> Engine {
    let mut engine = Engine::new(0, &place().topic, Rules::default());
    let records: Vec<Record<'_>> = log
        .iter()
        .map(|line| Record {
            partition: 0,
            offset: ledger::units::Offset(line.offset),
            timestamp: line.timestamp,
            key: line.key.as_deref(),
            value: line.value.as_deref(),
            headers: &NoHeaders,
        })
        .collect();
    engine.apply(&records, &mut Outputs::new());
    engine
}

/// A line of a log as far as it is a seed.
struct Line {
    offset: u64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

fn logs() -> Vec<Vec<Line>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    ["docs/examples", "tests/golden/allocation", "tests/golden/once", "tests/golden/presale"]
        .into_iter()
        .chain(["tests/golden/catalogue", "tests/golden/rounding", "tests/golden/garbage"])
        .map(|log| read_log(&root.join(log).join("input.jsonl")))
        .collect()
}

fn read_log(path: &Path) -> Vec<Line> {
    let text = fs::read_to_string(path).expect("the repository has this log");
    text.lines()
        .enumerate()
        .filter_map(|(number, line)| {
            let line: Value = serde_json::from_str(line).ok()?;
            let bytes = |name: &str| line[name].as_str().map(|text| text.as_bytes().to_vec());
            Some(Line {
                offset: line["offset"].as_u64().unwrap_or(number as u64),
                timestamp: line["timestamp"].as_i64().unwrap_or(0),
                key: bytes("key"),
                value: bytes("value"),
            })
        })
        .collect()
}
