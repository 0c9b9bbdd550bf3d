//! The bench `compare` on a small log: that it runs to its end on a real Kafka, and that its figures agree.
//!
//! No figure of speed is judged. Where there is no Kafka it says so and passes, as the Kafka tests do.

use std::process::Command;

use e2e::process::binary;
use e2e::{Options, start_or_skip};
use serde_json::Value;

const ORDERS: u64 = 20_000;
/// One order in 200 comes again, one in 100 is for more than there is.
const SETTLED: u64 = ORDERS - ORDERS / 200 - ORDERS / 100;

#[test]
fn a_comparison_counts_every_order_once_and_the_yardstick_writes_as_much() {
    if start_or_skip(&Options::default()).is_none() {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let orders = ORDERS.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    command.args(["--records", &orders, "--rounds", "1", "--only", "settle50,passthrough"]);
    command.args(["--merchants", "100", "--out"]).arg(out.path());
    if binary().is_file() {
        // All tests of the workspace take the one that was built with them.
        command.arg("--no-build");
    }
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));

    let raw = std::fs::read(out.path().join("compare.json")).unwrap();
    let figures: Value = serde_json::from_slice(&raw).unwrap();
    let round = |word: &str| {
        let contended = figures["throughput"].as_array().unwrap();
        let one = contended.iter().find(|one| one["contender"] == word).unwrap();
        assert_eq!(one["rounds"].as_array().unwrap().len(), 1);
        one["rounds"][0].clone()
    };
    let (settle, bare) = (round("settle50"), round("passthrough"));
    for came in ["counted", "answered"] {
        assert_eq!(settle["came"][came]["settled"], SETTLED);
        assert_eq!(settle["came"][came]["rejected"], ORDERS / 100);
    }
    assert_eq!(settle["came"]["counted"]["duplicates"], ORDERS / 200);
    for topic in ["settled", "status"] {
        let records = |round: &Value| round["written"][topic]["records"].as_u64().unwrap();
        // Fractions of records are left over.
        assert!(records(&settle).abs_diff(records(&bare)) <= 1, "{settle} {bare}");
        let bytes = |round: &Value| round["written"][topic]["value_bytes"].as_u64().unwrap();
        assert!(bytes(&settle).abs_diff(bytes(&bare)) <= bytes(&settle) / 50, "{settle} {bare}");
    }
    for round in [&settle, &bare] {
        // None if so few orders were all committed between two looks.
        assert!(round["orders_per_second"].as_f64().is_none_or(|rate| rate > 0.0), "{round}");
    }
    let page = std::fs::read_to_string(out.path().join("compare.html")).unwrap();
    assert!(page.contains("bare pass-through") && page.contains("Floodgate, commit 50 ms"));
    for outside in ["http:", "https:", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}
