//! `floodgate simulate` as a command: what it prints, and that a seed is the same run in any process.

use std::process::{Command, Output};

use serde_json::Value;

fn simulate(arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_floodgate");
    Command::new(binary).arg("simulate").args(arguments).output().expect("the binary runs")
}

fn summary(arguments: &[&str]) -> Value {
    let output = simulate(arguments);
    let text = String::from_utf8(output.stdout).expect("it prints text");
    assert!(output.status.success(), "{text}");
    serde_json::from_str(text.lines().last().expect("it prints a line")).expect("it is JSON")
}

#[test]
fn a_seed_is_the_same_run_in_every_process_and_on_any_number_of_threads() {
    let first = summary(&["--seed", "7", "--seeds", "6", "--threads", "1", "--format", "json"]);
    let second = summary(&["--seed", "7", "--seeds", "6", "--threads", "3", "--format", "json"]);
    for figure in ["trace_hash", "events", "faults_by_phase", "inputs", "outputs"] {
        assert_eq!(first[figure], second[figure], "{figure}");
        assert_ne!(first[figure], Value::Null, "{figure}");
    }
    let other = summary(&["--seed", "8", "--seeds", "6", "--format", "json"]);
    assert_ne!(first["trace_hash"], other["trace_hash"]);
}

#[test]
fn the_trace_of_a_seed_ends_with_its_hash() {
    let one = summary(&["--seed", "7", "--format", "json"]);
    let output = simulate(&["--seed", "7", "--trace"]);
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let hash = one["trace_hash"].as_str().expect("it is text");
    assert_eq!(text.lines().last(), Some(format!("trace hash {hash}").as_str()));
    assert_eq!(text.lines().count() as u64, one["events"].as_u64().unwrap_or_default() + 1);
}
